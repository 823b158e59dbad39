"""Formulas, facts and checks for the mathematics of LLM serving.

Each module has one subject and is loaded when it is first used:

>>> import servemath_helpers as sm
>>> sm.queueing.littles_law(lam=12, W=2)
24.0

What draws pictures lives in `servemath_helpers.plotting`, which loads matplotlib
only when a picture is drawn; everything else needs NumPy and the standard library.
"""

from types import ModuleType

__version__ = "0.2.0"


def __getattr__(name: str) -> ModuleType:
    """Load the module `name` of this package when it is first asked for."""
    from importlib import import_module

    if not name.startswith("_"):
        full = f"{__name__}.{name}"
        try:
            return import_module(full)
        except ModuleNotFoundError as error:
            if error.name != full:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the modules too, so that completion finds them."""
    from pkgutil import iter_modules

    modules = (info.name for info in iter_modules(__path__) if not info.name.startswith("_"))
    return sorted({*globals(), *modules})
