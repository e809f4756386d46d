"""Imports gradio without what the page has no use for, before anything else imports it.

That takes little more than half the time. There are no usage statistics, and no look-ups on the
Hugging Face Hub. pandas is for tables. For type stubs, which editors read, gradio parses its own
source whenever it is imported; it leaves that out for classes that have no file.
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
_PANDAS, _FIND_FILE = _OnDemand("pandas"), inspect.getfile
sys.modules.setdefault("pandas", _PANDAS)
inspect.getfile = _find_no_file
try:
    import gradio  # noqa: F401
finally:
    inspect.getfile = _FIND_FILE
    if sys.modules.get("pandas") is _PANDAS:
        del sys.modules["pandas"]
