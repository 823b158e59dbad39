"""Stable names that do not tell who is who."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

from autograder.course import Course

#: The course's secret. Without it a pseudonym cannot be traced to an id by trying ids.
SALT_FILE = ".report_salt"
_SALT_BYTES = 32

#: No 0, 1, 8, 9 and no vowels beyond these: read aloud and typed without mistakes.
_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ234567"
_LENGTH = 5


def salt(course: Course) -> bytes:
    """Return the course's secret salt, made on first use, readable by its owner alone.

    Raises
    ------
    ValueError
        If the file is there and does not hold a salt.
    """
    path = course.root / SALT_FILE
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return _read(path)


def _make(path: Path) -> None:
    """Write a new salt to `path`, unless another report was first."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_SALT_BYTES) + "\n")
        # A link is made whole or not at all, and never over a salt that is there.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()


def _read(path: Path) -> bytes:
    try:
        value = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        value = b""
    if len(value) != _SALT_BYTES:
        raise ValueError(
            f"{path} must hold {_SALT_BYTES} bytes in hex; restore it, or remove it to start "
            "with new pseudonyms"
        )
    return value


def _letters(secret: bytes, student: str, length: int) -> str:
    digest = hmac.new(secret, student.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    number = int.from_bytes(digest, "big")
    letters = []
    for _ in range(length):
        number, position = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[position])
    return "".join(letters)


def pseudonyms(secret: bytes, students: Iterable[str]) -> dict[str, str]:
    """Return a pseudonym for each student.

    The same student has the same pseudonym in every report of the course, except
    that two who would share one both get a longer one.

    Parameters
    ----------
    secret : bytes
        The course's salt.
    students : iterable of str
        Student ids.

    Examples
    --------
    >>> one = pseudonyms(b"salt", ["s1", "s2"])
    >>> one["s1"] == pseudonyms(b"salt", ["s1"])["s1"] != pseudonyms(b"other", ["s1"])["s1"]
    True
    """
    names = {student: _letters(secret, student, _LENGTH) for student in students}
    length = _LENGTH
    while len(set(names.values())) < len(names):
        length += 1
        taken = list(names.values())
        for student, name in names.items():
            if taken.count(name) > 1:
                names[student] = _letters(secret, student, length)
    return {student: f"L-{name}" for student, name in names.items()}
