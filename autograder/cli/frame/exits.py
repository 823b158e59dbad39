"""How the program ends: exit codes, and errors that are told in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import IntEnum


class Exit(IntEnum):
    """What the exit codes mean."""

    DONE = 0
    NEEDS_A_LOOK = 1
    WRONG_USAGE = 2
    NOT_HERE = 3
    BUG = 70
    STOPPED = 130


class Told(Exception):
    """Ends the program with a message for a person; no traceback."""

    code = Exit.WRONG_USAGE


class Mistake(Told):
    """Something asked for cannot be: a name, a file, a folder, a text."""


class NotHere(Told):
    """The machine lacks something, or refuses it."""

    code = Exit.NOT_HERE


@contextlib.contextmanager
def told_as(error: type[Told], *kinds: type[Exception]) -> Iterator[None]:
    """Turn exceptions of the given kinds into an error that is told in one line.

    Examples
    --------
    >>> with told_as(Mistake, ZeroDivisionError):
    ...     1 / 0
    Traceback (most recent call last):
    autograder.cli.frame.exits.Mistake: division by zero
    """
    try:
        yield
    except kinds as cause:
        raise error(str(cause) or type(cause).__name__) from cause
