"""Grades for Moodle: Grades, Import, CSV file."""

from __future__ import annotations

from traitlets import Enum, Float

from autograder.exports.lms import Column, PlatformExporter, points_text
from autograder.exports.mapping import Person

#: The mapping's column that people are found by -> its heading in Moodle's own exports.
HEADINGS = {
    "email": "Email address",
    "id_number": "ID number",
    "username": "Username",
    "moodle_id": "User ID",
}

#: Digits after the point that Moodle keeps.
DECIMALS = 5


class MoodleExporter(PlatformExporter):
    """Write a CSV that Moodle's grade import reads.

    The mapping has the columns ``student`` and the one that `identifier` names. In
    Moodle, map the first column to the user field and each other one to its grade item.
    """

    file_name = "moodle.csv"

    identifier = Enum(tuple(HEADINGS), default_value="email", help="how Moodle finds people").tag(
        config=True
    )

    largest = Float(
        100.0, help="largest grade that the site takes; more is refused, unless it was raised"
    ).tag(config=True)

    def identifiers(self) -> list[str]:
        """Return the one column that people are found by."""
        return [self.identifier]

    def problems(self, people: list[Person], columns: list[Column]) -> list[str]:
        """Refuse points that Moodle would refuse, with them the whole file."""
        return [
            f"{column.assignment}: {points_text(points, DECIMALS)} points of student {student} are "
            f"more than the {self.largest:g} that Moodle takes"
            for column in columns
            for student, points in column.points.items()
            if points > self.largest
        ]

    def table(self, people: list[Person], columns: list[Column]) -> list[list[str]]:
        """Return header and one row a person."""
        rows = [[HEADINGS[self.identifier], *(column.heading for column in columns)]]
        for one in people:
            points = [points_text(column.points.get(one.student), DECIMALS) for column in columns]
            rows.append([one.get(self.identifier), *points])
        return rows
