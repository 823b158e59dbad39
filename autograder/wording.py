"""How lists and errors are told to a person."""

from __future__ import annotations

from collections.abc import Iterable


def few(names: Iterable[str], most: int = 10) -> str:
    """Return the first names, and how many more there are.

    >>> few(["u1", "u2", "u3"], most=2)
    'u1, u2 and 1 more'
    """
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")


def first_line(said: object) -> str:
    r"""Return the first line of what an error or a text says; of a silent error, its kind.

    >>> first_line(ValueError("no such table: grade\n[SQL: ...]"))
    'no such table: grade'
    >>> first_line(NotImplementedError()), first_line("")
    ('NotImplementedError', '')
    """
    otherwise = type(said).__name__ if isinstance(said, BaseException) else ""
    return next(iter(str(said).strip().splitlines()), otherwise)


def last_lines(text: str, most: int = 6) -> str:
    r"""Return the last lines of a log that say something.

    >>> last_lines("one\n\ntwo\n\n", most=1)
    'two'
    """
    return "\n".join([line for line in text.splitlines() if line.strip()][-most:])
