"""Symbols and terms come from one file, and every notebook leads to them."""

import re

import nbformat
import pytest

from autograder.authoring.reference import data, glossary_page, symbol_table, symbols_page
from autograder.course import HOME

from .conftest import CHAPTERS, COURSE

NOTEBOOKS = [
    path for chapter in CHAPTERS for path in sorted((COURSE.source / chapter).glob("*.ipynb"))
]
name_of = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}"
)


def prose(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize(
    ("name", "text"), [("symbols.md", symbols_page()), ("glossary.md", glossary_page())]
)
def test_the_pages_are_what_the_data_file_gives(name, text):
    assert (HOME / "docs" / name).read_text(encoding="utf-8") == text, "run: make notebooks"


@name_of
def test_every_notebook_links_to_symbols_and_glossary(path):
    text = prose(path)
    for name in ("symbols.md", "glossary.md"):
        assert f"(../../docs/{name})" in text
        assert (path.parent / "../../docs" / name).resolve().is_file()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_symbol_table_in_theory_comes_from_the_data_file(chapter):
    rows = set(symbol_table().splitlines())
    text = prose(COURSE.source / chapter / "theory.ipynb")
    found = re.findall(r"^\| symbol \| in code .*?(?=\n\n|\Z)", text, re.M | re.S)
    assert found, "theory opens with its symbols"
    assert {row for table in found for row in table.splitlines()} <= rows


def test_no_symbol_and_no_name_in_code_has_two_meanings():
    symbols = data()["symbols"].values()
    shown = [entry["symbol"] for entry in symbols]
    assert len(shown) == len(set(shown))


def test_a_symbol_that_is_not_in_the_file_is_refused():
    with pytest.raises(ValueError, match="got nothing_like_it"):
        symbol_table("lam", "nothing_like_it")


def test_every_section_that_the_glossary_names_exists():
    sections = set()
    for chapter in CHAPTERS:
        sections |= set(
            re.findall(r"^## (\d\.\d+)", prose(COURSE.source / chapter / "theory.ipynb"), re.M)
        )
    numbers = {section.partition(".")[0] for section in sections}
    named = {
        section
        for meaning in data()["terms"].values()
        for group in re.findall(r"\(([\d., ]+)\)", meaning)
        for section in re.findall(r"\d\.\d+", group)
        if section.partition(".")[0] in numbers
    }
    assert named <= sections
