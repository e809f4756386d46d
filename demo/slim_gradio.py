"""Imports gradio without what the page has no use for, before anything else imports it.

That takes little more than half the time. There are no usage statistics, and no look-ups on the
Hugging Face Hub. pandas is for tables. httpx's command line is an extra, which it does without
where that is not installed. For type stubs, which editors read, gradio parses its own source
whenever it is imported; it leaves that out for classes that have no file.
"""

import importlib
import inspect
import os
import sys
import types
from typing import Any


class _OnDemand(types.ModuleType):
    """Stands in for a module, which is imported when something in it is used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def _find_no_file(of: Any) -> str:
    raise FileNotFoundError(of)


os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
_UNUSED = {"pandas": _OnDemand("pandas"), "httpx._main": None}
_STAND_INS: dict[str, Any] = {n: m for n, m in _UNUSED.items() if n not in sys.modules}
_FIND_FILE = inspect.getfile
sys.modules.update(_STAND_INS)
inspect.getfile = _find_no_file
try:
    import gradio  # noqa: F401
finally:
    inspect.getfile = _FIND_FILE
    for _name, _stand_in in _STAND_INS.items():
        if sys.modules.get(_name) is _stand_in:
            sys.modules.pop(_name, None)
