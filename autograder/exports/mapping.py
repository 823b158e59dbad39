"""Which learner is who on a learning platform: a CSV file that staff keep."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.course.names import composed
from autograder.exports.spreadsheet import looks_like_formula


class ExportError(RuntimeError):
    """Grades cannot be exported; `problems` says why, a line each. Nothing was written."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Person:
    """One row: the student id that grading knows, and the columns of the file."""

    student: str
    row: int
    columns: dict[str, str]

    def get(self, name: str) -> str:
        """Return a column's value, "" where there is none."""
        return self.columns.get(name, "")


def people_of(path: Path) -> Iterator[Person]:
    """Yield the rows of a mapping file that say who they are about.

    Raises
    ------
    ExportError
        If it cannot be read, or has no column ``student``.
    """
    header, rows = _rows(path)
    if "student" not in header:
        raise ExportError([f"{path}, row 1: there is no column student"])
    for number, cells in rows:
        columns = dict(zip(header, cells, strict=False))
        if columns.get("student"):
            yield Person(composed(columns["student"]), number, columns)


def read_mapping(path: Path, identifiers: Iterable[str]) -> dict[str, Person]:
    """Return the people of a mapping file by student id.

    The first row names the columns; one is ``student``. Commas or semicolons part
    them. Blank rows are skipped.

    Parameters
    ----------
    path : Path
        The file, UTF-8 with or without a byte-order mark.
    identifiers : iterable of str
        Columns that tell people apart on the platform. Each person needs one of them,
        and nobody may share one.

    Raises
    ------
    ExportError
        With a line for each problem, its row and the student it concerns.
    """
    identifiers = list(identifiers)
    header, rows = _rows(path)
    missing = [] if "student" in header else ["student"]
    if not set(identifiers) & set(header):
        missing.append(" or ".join(identifiers))
    if missing:
        raise ExportError(
            [
                f"{path}, row 1: there is no column {name}; it has {', '.join(header)}"
                for name in missing
            ]
        )
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if doubled:
        raise ExportError([f"{path}, row 1: the column {name} stands twice" for name in doubled])
    people: dict[str, Person] = {}
    problems = []
    for number, cells in rows:
        if len(cells) > len(header):
            problems.append(f"{path}, row {number}: more cells than there are columns")
            continue
        columns = dict(zip(header, cells, strict=False))
        person = Person(composed(columns.get("student", "")), number, columns)
        problems += _problems_of(person, path, identifiers, people)
        people.setdefault(person.student, person)
    problems += _shared(people.values(), path, identifiers)
    if problems:
        raise ExportError(problems)
    return people


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, in lower case, and the rows that are not blank with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ExportError([f"{path} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ExportError([f"{path} is not UTF-8 text; save it as CSV UTF-8"]) from error
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        lines = [
            (number, [cell.strip() for cell in cells])
            for number, cells in enumerate(
                csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True),
                start=1,
            )
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise ExportError([f"{path} is not a CSV file: {error}"]) from error
    if not lines:
        raise ExportError([f"{path} is empty; its first row names the columns"])
    return [name.lower() for name in lines[0][1]], lines[1:]


def _problems_of(
    person: Person, path: Path, identifiers: list[str], people: dict[str, Person]
) -> list[str]:
    where = f"{path}, row {person.row}"
    if not person.student:
        return [f"{where}: the student id is missing"]
    if person.student in people:
        first = people[person.student].row
        return [f"{where}: student {person.student} stands in row {first} already"]
    ids = {name: person.get(name) for name in identifiers if person.get(name)}
    if not ids:
        return [f"{where}: student {person.student} has no {' or '.join(identifiers)}"]
    return [
        f"{where}: {name} of student {person.student} could be taken for a formula by a "
        f"spreadsheet: {value!r}"
        for name, value in ids.items()
        if looks_like_formula(value) or "\n" in value or "\r" in value
    ]


def _shared(people: Iterable[Person], path: Path, identifiers: list[str]) -> list[str]:
    problems, seen = [], dict[tuple[str, str], Person]()
    for person in people:
        for name in identifiers:
            value = person.get(name)
            if not value:
                continue
            other = seen.setdefault((name, value), person)
            if other is not person:
                problems.append(
                    f"{path}, row {person.row}: {name} {value} of student {person.student} is "
                    f"that of student {other.student} (row {other.row})"
                )
    return problems
