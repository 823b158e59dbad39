"""What the names of files in a platform's download say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from autograder.course.names import composed

#: Canvas: a name without spaces, LATE, the person's and the upload's numbers, the file.
_CANVAS = re.compile(
    r"(?P<name>.+?)_(?:(?P<late>LATE)_)?(?P<number>\d+)_(?P<upload>\d+)_(?P<file>.+)"
)

#: Moodle: the name, the participant's number, what kind of answer; the file, or a folder of it.
_MOODLE = re.compile(
    r"(?P<name>.+)_(?P<number>\d+)_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<file>.*))?"
)

#: What platforms, browsers and Jupyter put behind a name that is taken.
_NUMBERED = re.compile(r"(?P<stem>.+?)(?:-| \(|-Copy|\()(?P<times>\d+)\)?")


@dataclass(frozen=True)
class Upload:
    """One file of a download.

    `number` tells people apart on the platform, in Moodle only within an assignment;
    `order` grows from one upload of a person to the next; `kind` is "file", or what
    else the platform took for an answer.
    """

    platform: str
    name: str
    number: str
    file: PurePosixPath
    order: int = 0
    late: bool = False
    kind: str = "file"

    @property
    def prefix(self) -> str:
        """What stands before a file's name on the platform, by which it takes files back.

        >>> upload_of(["doejane_LATE_1001_55501_exercises.ipynb"]).prefix
        'doejane_LATE_1001_55501_'
        >>> upload_of(["Jane Doe_123_assignsubmission_file", "exercises.ipynb"]).prefix
        'Jane Doe_123_assignsubmission_file_'
        """
        if self.platform == "Canvas":
            return f"{self.name}_{'LATE_' * self.late}{self.number}_{self.order}_"
        return f"{self.name}_{self.number}_assignsubmission_{self.kind}_"


def upload_of(parts: Sequence[str]) -> Upload | None:
    """Return what a path in a download says, None if no platform writes such a name.

    Examples
    --------
    >>> found = upload_of(["submissions", "doejane_LATE_1001_55501_exercises-1.ipynb"])
    >>> found.number, found.late, str(found.file)
    ('1001', True, 'exercises-1.ipynb')
    >>> found = upload_of(["Jane Doe_123_assignsubmission_file_", "src", "tools.py"])
    >>> found.name, found.number, str(found.file)
    ('Jane Doe', '123', 'src/tools.py')
    >>> upload_of(["exercises.ipynb"]) is None
    True
    """
    for position, part in enumerate(map(composed, parts)):
        rest = [composed(one) for one in parts[position + 1 :]]
        if found := _MOODLE.fullmatch(part):
            inside = [found["file"], *rest] if found["file"] else rest
            kind = found["kind"]
            return Upload(
                "Moodle", found["name"], found["number"], PurePosixPath(*inside), kind=kind
            )
        if found := _CANVAS.fullmatch(part):
            file, late = PurePosixPath(found["file"], *rest), found["late"] is not None
            order = int(found["upload"])
            return Upload("Canvas", found["name"], found["number"], file, order, late)
    return None


def meant(file: PurePosixPath, notebooks: Iterable[str]) -> tuple[PurePosixPath, int]:
    """Return the file that a numbered name stands for, and its number.

    Only notebooks of the assignment: any other name may be the learner's own.

    Examples
    --------
    >>> [str(meant(PurePosixPath(name), ["exercises.ipynb"])[0]) for name in (
    ...     "exercises-2.ipynb", "Exercises (1).ipynb", "exercises-Copy1.ipynb", "week-2.ipynb")]
    ['exercises.ipynb', 'exercises.ipynb', 'exercises.ipynb', 'week-2.ipynb']
    """
    known: Mapping[str, str] = {name.casefold(): name for name in notebooks}
    numbered = _NUMBERED.fullmatch(file.stem)
    plain = f"{numbered['stem']}{file.suffix}" if numbered else ""
    for name, times in ((file.name, 0), (plain, int(numbered["times"]) if numbered else 0)):
        if name.casefold() in known:
            return file.with_name(known[name.casefold()]), times
    return file, 0
