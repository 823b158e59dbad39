"""When a submission came: what its ``timestamp.txt`` says, whatever wrote it."""

from __future__ import annotations

import codecs
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import NamedTuple

from autograder.late.times import HOW, TimeNotUnderstood, utc_of

NAME = "timestamp.txt"

#: What stands there of work that a platform marked late without saying by how much.
LATE_MARK = "LATE"

#: More bytes than this are not a time.
MOST_BYTES = 4096

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Stamp(NamedTuple):
    """When a submission came, in UTC, if that is known; `remark` is what a grader should know."""

    time: datetime | None = None
    remark: str = ""


def decoded(data: bytes) -> str:
    r"""Return text that some tool wrote in an encoding of its own.

    >>> decoded("18:00".encode("utf-16-le")), decoded("2 d\xe9c".encode("latin-1"))
    ('18:00', '2 d\xe9c')
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data:
        # Of UTF-16, every other byte of plain text is zero: the second of two, or the first.
        little = data[1::2].count(0) >= data[::2].count(0)
        return data.decode("utf-16-le" if little else "utf-16-be", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def read_stamp(folder: Path, zone: tzinfo = UTC) -> Stamp:
    """Return when the submission in `folder` came.

    Without a file nothing is known, and there is nothing to remark. `zone` is the
    course's own, for the short names of zones.
    """
    path = folder / NAME
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            return _unread("it is a link or no file")
        data = path.open("rb").read(MOST_BYTES + 1)
    except FileNotFoundError:
        return Stamp()
    except OSError as error:
        return _unread(error.strerror or type(error).__name__)
    if len(data) > MOST_BYTES:
        return _unread(f"it is longer than {MOST_BYTES} bytes")
    text = decoded(data).strip().strip("\0").strip()
    if text.upper() == LATE_MARK:
        return Stamp(
            remark="marked late by the platform, which does not say by how much: no penalty is "
            f"taken until {NAME} says when it came"
        )
    try:
        return Stamp(_one_of(text, zone))
    except TimeNotUnderstood as error:
        return _unread(str(error).removesuffix(f"; {HOW}"))


def _unread(why: str) -> Stamp:
    return Stamp(
        remark=f"{NAME} could not be read ({why}): nothing is known about lateness, "
        "and no penalty is taken"
    )


def _one_of(text: str, zone: tzinfo) -> datetime:
    """Return the time of a text, or of its lines if all that name one name the same."""
    if not text:
        raise TimeNotUnderstood("it is empty")
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return utc_of(" ".join(lines), zone)
    except TimeNotUnderstood:
        if len(lines) == 1:
            raise
    # Headings over a time, as some tools print them, hold no digit.
    times = {utc_of(line, zone) for line in lines if any(map(str.isdigit, line))}
    if len(times) != 1:
        raise TimeNotUnderstood(f"it holds {len(times) or 'no'} times")
    return times.pop()
