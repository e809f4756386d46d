"""Keras without what it imports for functions that nothing here calls."""

import sys

NOT_NEEDED = ("pandas", "matplotlib")


def import_keras() -> None:
    """Import Keras as it is where pandas and Matplotlib are not installed: in half the time.

    For commands, before anything else imports it, and not for libraries, whose user may want to
    give Keras a data frame. Both packages can be imported afterwards.
    """
    if "keras" in sys.modules:
        return
    hidden = [name for name in NOT_NEEDED if name not in sys.modules]
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    modules.update(dict.fromkeys(hidden))  # None makes an import fail as if it were not there
    try:
        import keras  # noqa: F401
    finally:
        for name in hidden:
            del modules[name]
