"""What exports to learning platforms have in common: whose grades, and when to refuse."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from nbgrader.api import Assignment, Gradebook
from nbgrader.plugins import ExportPlugin
from traitlets import Dict, Enum, Unicode

from autograder.course.names import composed
from autograder.exports.mapping import ExportError, Person, read_mapping
from autograder.exports.spreadsheet import looks_like_formula
from autograder.files import write_atomically
from autograder.gradebook.reader import Grades, grades_of


@dataclass
class Column:
    """One assignment: its heading on the platform, what it is worth, points by student.

    `waiting` are students with a submission that has no grade yet.
    """

    assignment: str
    heading: str
    worth: float
    points: dict[str, float] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)


class PlatformExporter(ExportPlugin):
    """Export final points, late penalties taken off, in a platform's import format."""

    #: Where the file goes if ``--to`` does not say.
    file_name: ClassVar[str] = "grades.csv"

    mapping = Unicode(
        "students.csv", help="CSV file that says which student is who on the platform"
    ).tag(config=True)

    headings = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="assignment name -> heading of its column on the platform; the name by default",
    ).tag(config=True)

    no_submission = Enum(
        ("leave out", "zero"),
        default_value="leave out",
        help="what a student of the mapping gets who handed nothing in",
    ).tag(config=True)

    def identifiers(self) -> list[str]:
        """Return the mapping's columns that tell people apart on the platform."""
        raise NotImplementedError

    def table(self, people: list[Person], columns: list[Column]) -> list[list[str]]:
        """Return the file's rows, header first."""
        raise NotImplementedError

    def problems(self, people: list[Person], columns: list[Column]) -> list[str]:
        """Return what else forbids an export."""
        return []

    def export(self, gradebook: Gradebook) -> None:
        """Write the file, or say what is wrong, a line each, and end with exit code 1."""
        try:
            path = self.write(gradebook)
        except ExportError as error:
            for problem in error.problems:
                self.log.error(problem)
            self.log.error("Nothing was exported.")
            sys.exit(1)
        self.log.info("Exported to %s", path)

    def write(self, gradebook: Gradebook) -> Path:
        """Write the file, whole or not at all, and return its path.

        Raises
        ------
        ExportError
            If the mapping is not sound, or somebody with a grade is not in it.
        """
        people = read_mapping(Path(self.mapping), self.identifiers())
        columns = self._columns(gradebook, people)
        listed = self._listed(people, columns)
        problems = self._not_mapped(people, columns) + self._bad_headings(columns)
        problems += self.problems(listed, columns)
        if problems:
            raise ExportError(problems)
        self._tell(listed, columns)
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerows(self.table(listed, columns))
        path = Path(self.to or self.file_name)
        write_atomically(path, stream.getvalue())
        return path

    def _columns(self, gradebook: Gradebook, people: dict[str, Person]) -> list[Column]:
        wanted = [str(name) for name in self.assignment]
        known = {assignment.name: assignment for assignment in gradebook.assignments}
        unknown = [name for name in wanted if name not in known]
        if unknown or not known:
            raise ExportError(
                [
                    f"the gradebook has no assignment {name}; it has {', '.join(known) or 'none'}"
                    for name in unknown or ["to export"]
                ]
            )
        return [self._column(gradebook, known[name], people) for name in wanted or known]

    def _column(
        self, gradebook: Gradebook, assignment: Assignment, people: dict[str, Person]
    ) -> Column:
        name = assignment.name
        column = Column(name, self.headings.get(name, name), float(assignment.max_score))
        kept: dict[str, Grades] = {}
        for student, grades in grades_of(gradebook, name).items():
            if composed(student) in kept:
                raise ExportError([f"{name}: {student} stands twice, in two forms of Unicode"])
            kept[composed(student)] = grades
        asked = {composed(str(one)) for one in self.student}
        for student in dict.fromkeys([*people, *kept]):
            if asked and student not in asked:
                continue
            if student not in kept:
                if self.no_submission == "zero" and student in people:
                    column.points[student] = 0.0
            elif kept[student].ungraded:
                column.waiting.append(student)
            else:
                column.points[student] = kept[student].final
        return column

    @staticmethod
    def _listed(people: dict[str, Person], columns: list[Column]) -> list[Person]:
        """Return who has points somewhere: a platform may take an empty cell for an order."""
        return [
            person
            for person in people.values()
            if any(person.student in column.points for column in columns)
        ]

    def _not_mapped(self, people: dict[str, Person], columns: list[Column]) -> list[str]:
        graded = dict.fromkeys(student for column in columns for student in column.points)
        return [
            f"{self.mapping}: student {student} has a grade and no row"
            for student in graded
            if student not in people
        ]

    @staticmethod
    def _bad_headings(columns: list[Column]) -> list[str]:
        return [
            f"heading of {column.assignment} could be taken for a formula: {column.heading!r}"
            for column in columns
            if looks_like_formula(column.heading)
        ]

    def _tell(self, listed: list[Person], columns: list[Column]) -> None:
        """Log who is left out, and where a cell is empty."""
        for column in columns:
            if column.waiting:
                self.log.warning(
                    "%s: without a grade yet, left out: %s",
                    column.assignment,
                    ", ".join(column.waiting),
                )
            empty = [one.student for one in listed if one.student not in column.points]
            if empty:
                self.log.warning(
                    "%s: empty cells, which may clear a grade on the platform: %s. "
                    "Export one assignment at a time to leave them alone.",
                    column.assignment,
                    ", ".join(empty),
                )


def points_text(value: float | None, decimals: int) -> str:
    """Return points with at most `decimals` decimals, and nothing for None.

    Examples
    --------
    >>> points_text(2.70, 2), points_text(1 / 3, 5), points_text(20, 2), points_text(None, 2)
    ('2.7', '0.33333', '20', '')
    """
    if value is None:
        return ""
    text = f"{value + 0.0:.{decimals}f}"  # no minus before a zero
    return text.rstrip("0").rstrip(".") if "." in text else text
