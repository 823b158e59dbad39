"""What hidden tests hold, found without the code under test, and where a page shows it."""

import ast
import html
import re

from autograder.cells import iter_test_cells
from autograder.feedback.hidden import CellSource
from autograder.feedback.said import sayable

BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

#: Shorter lines and texts say nothing of what is tested: ``else:``, ``"mm1"``.
TELLING = 12

NUMBER = re.compile(r"(?<![\w.])\d[\d_]*(?:\.\d+)?(?:e-?\d+)?(?![\w.]*\w)")


def flat(text):
    return " ".join(text.split())


def hidden_regions(notebook):
    """Return the hidden part of each test cell that has one, by `grade_id`."""
    return {
        cell.metadata.nbgrader["grade_id"]: cell.source.split(BEGIN)[1].split(END)[0]
        for _, cell in iter_test_cells(notebook)
        if BEGIN in cell.source
    }


def shown_to_learners(released):
    return "\n".join(cell.source for cell in released.cells)


def secrets(built, released):
    """Return lines and texts of hidden tests that learners did not receive."""
    public, found = flat(shown_to_learners(released)), set()
    for region in hidden_regions(built).values():
        found.update(region.split("\n"))
        found.update(
            node.value
            for node in ast.walk(ast.parse(region))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
    flattened = {flat(text) for text in found} - properties(built)
    return {text for text in flattened if len(text) >= TELLING and text not in public}


def properties(built):
    """Return the sentences with which hidden tests may name what fell: they are no secrets.

    Their numbers are, unless the exercise shows them: `secret_numbers` looks for those.
    """
    regions = hidden_regions(built)
    sources = {
        grade_id: CellSource(cell.source.split(BEGIN)[0], regions.get(grade_id, ""))
        for cell in built.cells
        if (grade_id := cell.metadata.get("nbgrader", {}).get("grade_id"))
        and cell.metadata.nbgrader["locked"]
    }
    return {text for said in sayable(sources).values() for text in said}


def secret_numbers(built, *public):
    """Return numbers of hidden tests, of four characters and more, that stand nowhere in public."""
    known = set(NUMBER.findall("\n".join(public)))
    found = {
        repr(node.value)
        for region in hidden_regions(built).values()
        for node in ast.walk(ast.parse(region))
        if isinstance(node, ast.Constant) and type(node.value) in (int, float)
    }
    return {number for number in found if len(number) >= 4} - known


def readings(page):
    """Return a page as it stands, with its entities decoded, and as text without elements."""
    decoded = html.unescape(page)
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return flat(page), flat(decoded), flat(html.unescape(re.sub(r"<[^>]*>", "", body)))


def found_in(page, texts):
    """Return those texts that a page shows, in whatever way."""
    read = readings(page)
    return sorted(text for text in texts if any(text in reading for reading in read))


def numbers_in(page):
    return set(NUMBER.findall(readings(page)[2]))
