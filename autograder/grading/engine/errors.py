"""Exceptions across the wall: what one is, as plain data, and one that looks the same here."""

from __future__ import annotations

import builtins
import importlib
import sys
from contextlib import suppress
from typing import Any

from autograder.grading.engine.codec import NotPlainData, decode, encode, printable
from autograder.grading.engine.outputs import clean

#: Modules besides the built-in one whose exceptions tests may ask for by their own class.
KNOWN_MODULES = (
    "decimal",
    "fractions",
    "json.decoder",
    "statistics",
    "numpy",
    "numpy.exceptions",
    "numpy.linalg",
    "zoneinfo",
)

#: Attributes that built-in exceptions keep beside their arguments.
_SLOTS = ("filename", "filename2", "name", "path", "msg", "lineno", "offset", "text")

#: Characters of a message that cross, and exceptions that one may be raised from.
_MOST_CHARS = 4000
_MOST_CAUSES = 4


def described(error: BaseException, causes: int = _MOST_CAUSES) -> list[Any]:
    """Return name, known bases, message, arguments, attributes and cause of an exception."""
    bases = [
        [module, kind.__name__]
        for kind in type(error).__mro__
        if (module := getattr(kind, "__module__", "")) in ("builtins", *KNOWN_MODULES)
    ]
    try:
        message = str(error)
    except Exception:
        message = "(an exception whose message cannot be shown)"
    cause = error.__cause__ if causes else None
    return [
        printable(type(error).__name__, 80),
        bases,
        message[:_MOST_CHARS],
        _plain(list(getattr(error, "args", ()))),
        _plain(_attributes(error)),
        None if cause is None else described(cause, causes - 1),
    ]


def _attributes(error: BaseException) -> dict[str, Any]:
    """Return what an exception carries besides its arguments, those of built-in kinds too."""
    found = {name: getattr(error, name, None) for name in _SLOTS}
    own = {name: value for name, value in vars(error).items() if isinstance(name, str)}
    return {**{name: value for name, value in found.items() if value is not None}, **own}


def _plain(value: Any) -> Any:
    """Return the form of what can cross, None where something in it cannot."""
    try:
        form = encode(value)
    except (NotPlainData, RecursionError):
        return None
    return form if len(repr(form)) <= 4 * _MOST_CHARS else None


def raised(said: Any) -> Exception:
    """Return an exception of the type, and with the contents, that crossed."""
    return _raised(said, _MOST_CAUSES)


def _raised(said: Any, causes: int) -> Exception:
    match said:
        case [str(name), list(bases), str(message), args, attributes, cause]:
            name, message = printable(name, 80), clean(message)
        case _:
            return RuntimeError("the call gave no answer")
    kinds = _least(list(filter(None, map(_known, bases[:40]))))
    given = _decoded(args, list)
    error = _made(name, kinds, message, given)
    for key, value in (_decoded(attributes, dict) or {}).items():
        if isinstance(key, str) and not key.startswith("__"):
            with suppress(AttributeError, TypeError):
                setattr(error, key, value)
    if cause is not None and causes:
        error.__cause__ = _raised(cause, causes - 1)
    return error


def _known(base: Any) -> type[Exception] | None:
    match base:
        case ["builtins", str(name)]:
            kind = getattr(builtins, name, None)
        case [str(module), str(name)] if module in KNOWN_MODULES:
            kind = getattr(sys.modules.get(module) or importlib.import_module(module), name, None)
        case _:
            return None
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return None
    if issubclass(kind, (StopIteration, StopAsyncIteration)):
        return None  # it would end a test's own loop instead of the test
    return kind


def _least(kinds: list[type[Exception]]) -> tuple[type[Exception], ...]:
    """Return the classes of which none is another's base, in their order."""
    return tuple(
        kind
        for kind in dict.fromkeys(kinds)
        if not any(other is not kind and issubclass(other, kind) for other in kinds)
    )


def _made(
    name: str, kinds: tuple[type[Exception], ...], message: str, args: list[Any] | None
) -> Exception:
    given, place = [message] if args is None else args, {"__module__": "__main__"}
    # All bases together, or where they do not go together the first alone that can be had.
    for bases in filter(None, (kinds, *((kind,) for kind in kinds))):
        with suppress(Exception):
            own = [base.__name__ for base in bases] == [name]
            error = _new(bases[0] if own else type(name, bases, place), given)
            if str(error) != message:
                # Its class says what it says by a method of its own, or was given no message.
                told = {**place, "__str__": lambda _self: message}
                error = _new(type(name, bases, told), given)
            return error
    return RuntimeError(f"{name}: {message}")


def _new(kind: type[Exception], given: list[Any]) -> Exception:
    try:
        return kind(*given)
    except Exception:  # JSONDecodeError and the like take more than their message
        return kind.__new__(kind, *given)


def _decoded(form: Any, kind: type) -> Any:
    with suppress(NotPlainData):
        value = decode(form)
        if type(value) is kind:
            return value
    return None
