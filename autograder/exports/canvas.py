"""Grades for Canvas: Gradebook, Import."""

from __future__ import annotations

import re

from traitlets import Bool

from autograder.exports.lms import Column, PlatformExporter, points_text
from autograder.exports.mapping import Person
from autograder.exports.spreadsheet import plain_text

#: The columns before assignments, as Canvas exports them and expects them back, in order.
INFORMATION = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")

#: What Canvas recognises the row of possible points by.
POINTS_POSSIBLE = "    Points Possible"

#: Digits after the point that Canvas keeps.
DECIMALS = 2

#: An existing assignment's heading ends in its number.
_NUMBERED = re.compile(r".+ \(\d+\)")

#: Headings that Canvas takes for totals of its own and skips.
_RESERVED = re.compile(r"(Current|Final|Override) (Score|Points|Grade|Status)")


class CanvasExporter(PlatformExporter):
    """Write the CSV that Canvas imports in its gradebook.

    The mapping has the columns ``student`` and at least one of ``canvas_id``,
    ``sis_user_id``, ``sis_login_id``; ``name`` and ``section`` may be there.
    """

    file_name = "canvas.csv"

    points_possible = Bool(
        True,
        help="write the row of possible points; Canvas sets an assignment's points to them",
    ).tag(config=True)

    def identifiers(self) -> list[str]:
        """Return the columns that Canvas finds people by, in the order it tries them."""
        return ["canvas_id", "sis_user_id", "sis_login_id"]

    def problems(self, people: list[Person], columns: list[Column]) -> list[str]:
        """Refuse numbers that are none, and headings that Canvas skips in silence."""
        found = [
            f"{self.mapping}, row {one.row}: canvas_id of student {one.student} is not a number: "
            f"{one.get('canvas_id')!r}"
            for one in people
            if one.get("canvas_id") and not re.fullmatch(r"[0-9]+", one.get("canvas_id"))
        ]
        found += [
            f"heading of {column.assignment} is a total of Canvas' own: {column.heading!r}"
            for column in columns
            if _RESERVED.search(column.heading)
        ]
        for column in columns:
            if not _NUMBERED.fullmatch(column.heading):
                self.log.warning(
                    "%s: the heading %r names no assignment by its number, as 'Chapter 1 (1234)' "
                    "does; Canvas looks for that title, or makes a new assignment",
                    column.assignment,
                    column.heading,
                )
        return found

    def table(self, people: list[Person], columns: list[Column]) -> list[list[str]]:
        """Return header, possible points, one row a person."""
        rows = [[*INFORMATION, *(column.heading for column in columns)]]
        if self.points_possible:
            blank = [""] * (len(INFORMATION) - 1)
            worth = [points_text(column.worth, DECIMALS) for column in columns]
            rows.append([POINTS_POSSIBLE, *blank, *worth])
        for one in people:
            points = [points_text(column.points.get(one.student), DECIMALS) for column in columns]
            rows.append(
                [
                    plain_text(one.get("name")),
                    one.get("canvas_id"),
                    one.get("sis_user_id"),
                    one.get("sis_login_id"),
                    plain_text(one.get("section")),
                    *points,
                ]
            )
        return rows
