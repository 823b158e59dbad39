"""A deep check of a learner's function, for everybody who has no teacher at hand.

`deep_check` tries random and edge cases against slow, plain oracles and properties that the
statement names, and shows the first counter-example made small. Its content, one module a
chapter, is not there where work is graded: nothing is checked then, and no oracle can be handed
in as an answer.

What is not a function of an exercise is refused with a `ValueError` that says so.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from servemath_helpers.progress import DONE, MISSED, note

if TYPE_CHECKING:
    from servemath_helpers.deep.engine import Exercise

__all__ = ["deep_check", "exercises"]


def exercises() -> dict[str, Exercise]:
    """Return what can be checked, by the first function of each; nothing where work is graded.

    Examples
    --------
    >>> "littles_law" in exercises()
    True
    """
    chapters = [info.name for info in pkgutil.iter_modules(__path__) if info.name[:2] == "ch"]
    if not chapters:
        return {}
    for name in chapters:
        importlib.import_module(f"{__name__}.{name}")
    from servemath_helpers.deep import engine

    return engine.EXERCISES


def deep_check(*functions: Callable[..., Any]) -> None:
    """Look for an input for which functions of an exercise are wrong, and print it.

    The same cases are tried every time. A right solution takes a fraction of a second; a call
    that does not end is stopped after two.

    Parameters
    ----------
    *functions : callable
        The functions of one exercise, under the names that it asks for.

    Raises
    ------
    ValueError
        If they are not named as an exercise asks for.

    Examples
    --------
    >>> def littles_law(lam=None, W=None, L=None):
    ...     return lam * W if L is None else L / (lam or W)
    >>> deep_check(littles_law)
    ✗ littles_law: a counter-example.
      littles_law(lam=None, W=1) should raise ValueError, but it raised TypeError: unsupported \
operand type(s) for *: 'NoneType' and 'int'.
    What should hold: exactly one is missing, none is negative, and nothing is divided by 0; \
here lam is None.
    """
    asked = exercises()
    if not asked:
        print("The deep check does not run where work is graded.")
        return
    from servemath_helpers.deep import engine

    caller = sys._getframe(1).f_globals
    known = [name for exercise in asked.values() for name in exercise.functions]
    named = {_name_of(one, known, caller): one for one in functions}
    if not any(named.keys() <= {*exercise.functions} for exercise in asked.values()):
        raise ValueError(f"functions must be those of one exercise, got {', '.join(named)}")
    finding = engine.examine(named)
    exercise = engine.asked_of(named)
    words = finding.text.rpartition("\n")[2]
    said = {
        engine.BROKEN: f"{MISSED}: its deep check finds a counter-example. {words}",
        engine.UNSOLVED: "not begun",
    }
    if len(named) == len(exercise.functions):
        said[engine.FINE] = DONE
    if finding.state in said:  # not of what is too slow to tell
        note("deep", exercise.functions[0], said[finding.state])
    print(finding.text)


def _name_of(function: object, asked: Iterable[str], names: Mapping[str, object]) -> str:
    """Return a function's own name, or the one that an exercise knows it by among `names`."""
    own = str(getattr(function, "__name__", function))
    known = (name for name in asked if name == own or names.get(name) is function)
    return next(known, own)
