"""Which student of this course somebody on a platform is."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from autograder.course.names import composed
from autograder.downloads.names import Upload
from autograder.exports.mapping import Person, people_of


def _plain(name: str) -> str:
    """Return a name for comparison: "Doe, Jane" is "jane doe".

    >>> _plain("Doe,  Jane") == _plain("jane doe")
    True
    """
    last, comma, first = composed(name).partition(",")
    return " ".join(f"{first} {last}".split() if comma else last.split()).casefold()


def addresses_in(worksheet: Path) -> dict[str, str]:
    """Return the e-mail address of each participant in a grading worksheet of Moodle.

    Its headings are in the site's language: a row is known by a first cell that ends in
    a number, and an address in another.
    """
    found = {}
    with worksheet.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        for row in csv.reader(stream):
            number = re.search(r"(\d+)$", row[0]) if row else None
            address = next((cell.strip() for cell in row if "@" in cell), "")
            if number and address:
                found[number[1]] = address
    return found


class Roster:
    """The people of a course, as a mapping for exports knows them.

    Parameters
    ----------
    mapping : Path
        The CSV file; nobody is known if it is not there.
    addresses : mapping
        E-mail addresses by number in Moodle, from its grading worksheet.

    Raises
    ------
    ExportError
        If the file is there and is no mapping.
    """

    def __init__(self, mapping: Path, addresses: Mapping[str, str]) -> None:
        self._people = list(people_of(mapping)) if mapping.is_file() else []
        self._addresses = addresses

    def _one(self, column: str, value: str) -> str | None:
        """Return the student whose column has the value, None unless it is one."""
        found = [one.student for one in self._people if _is(one, column, value)]
        return found[0] if len(found) == 1 else None

    def student(self, upload: Upload) -> str | None:
        """Return whose upload it is, None if the mapping does not tell."""
        if upload.platform == "Canvas":
            return self._one("canvas_id", upload.number)
        if (address := self._addresses.get(upload.number)) and (who := self._one("email", address)):
            return who
        # The name of a group stands before the person's, with a hyphen: names have some too.
        parts = upload.name.split("-")
        names = ["-".join(parts[start:]) for start in range(len(parts))]
        return next((who for name in names if (who := self._one("name", name))), None)

    def students(self, uploads: Iterable[Upload]) -> dict[tuple[str, str], str]:
        """Return the student of each platform and number; unmapped people go by what is known.

        Canvas' number for a person stays the same. Moodle's does not: there it is the name,
        and the number only where two have the same.
        """
        by_number = {(one.platform, one.number): one for one in uploads}
        names = Counter(one.name for one in by_number.values())
        found = {}
        for key, one in by_number.items():
            if one.platform == "Canvas":
                otherwise = one.number
            else:
                otherwise = one.name if names[one.name] == 1 else f"{one.name} ({one.number})"
            found[key] = composed(self.student(one) or otherwise)
        return found

    def knows(self, student: str) -> bool:
        """Tell whether the mapping has a student of that name, or there is no mapping."""
        return not self._people or any(one.student == student for one in self._people)


def _is(person: Person, column: str, value: str) -> bool:
    return bool(person.get(column)) and _plain(person.get(column)) == _plain(value)
