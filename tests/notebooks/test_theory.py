"""Every section of theory is there, in order, with the same anatomy."""

import re

import pytest

from .conftest import CHAPTERS, built

#: First and last section of each chapter.
SECTIONS = {"ch1": (0, 14), "ch2": (1, 22), "ch3": (1, 14), "ch4": (1, 12)}

#: What a section consists of. The list of ten mistakes asks no question of its own.
ANATOMY = {
    "a question": r"\*\*Question\.",
    "a formula": r"\$[^$]+\$",
    "a computation": r"^\[code\]",
    "a common mistake": r"^> \*\*Common mistake",
    "a cell to check yourself": r"check_yourself\(",
    "a source": r"\*Source",
}
EXEMPT = {("2.22", "a question")}


def sections(chapter):
    """Return the text of each section, code marked as such, in order."""
    found, current = {}, None
    for cell in built(chapter, "theory").cells:
        if cell.cell_type == "code":
            if current:
                found[current] += f"\n[code]\n{cell.source}\n"
            continue
        for part in re.split(r"(?m)^(?=## )", cell.source):
            heading = re.match(r"## (\d\.\d+) ", part)
            if heading:
                current = heading[1]
                found[current] = ""
            elif part.startswith("## "):
                current = None
            if current:
                found[current] += part
    return found


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_all_sections_are_there_in_order(chapter):
    number = chapter[2]
    first, last = SECTIONS[chapter[:3]]
    assert list(sections(chapter)) == [f"{number}.{k}" for k in range(first, last + 1)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_section_has_the_whole_anatomy(chapter):
    missing = [
        f"{number} lacks {what}"
        for number, text in sections(chapter).items()
        for what, pattern in ANATOMY.items()
        if (number, what) not in EXEMPT and not re.search(pattern, text, re.M)
    ]
    assert missing == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_says_in_words_what_it_shows_and_has_its_numbers_in_a_table(chapter):
    figures = [
        output["data"]["text/html"]
        for cell in built(chapter, "theory").cells
        for output in cell.get("outputs", [])
        if "<img" in output.get("data", {}).get("text/html", "")
    ]
    assert len(figures) >= 10
    for figure in figures:
        alt = re.search(r'<img alt="([^"]*)"', figure)
        assert alt and len(alt[1]) > 40
        assert "<table>" in figure
