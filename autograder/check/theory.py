"""Rules on theory, and on what every notebook of a chapter says."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.authoring.reference import data, symbol_table
from autograder.check.chapter import THEORY, Chapter
from autograder.course import Course

#: What a section consists of. A list of mistakes asks no question of its own.
ANATOMY = {
    "a question": r"\*\*Question\.",
    "a formula": r"\$[^$]+\$",
    "a computation": r"^\[code\]",
    "a common mistake": r"^> \*\*Common mistake",
    "a cell to check yourself": r"check_yourself\(",
    "a source": r"\*Source",
}
_ASKS_NOTHING = re.compile(r"common mistakes", re.IGNORECASE)

#: Characters that describe a figure, at least.
_LEAST_ALT = 40

_SECTION = re.compile(r"## (\d+\.\d+) (.*)")
_MISTAKE = re.compile(r"^> \*\*Common mistake", re.M)
_BLOCK_QUOTE = re.compile(r"(^>.*\n?)+", re.M)


def _texts(notebook: NotebookNode | None) -> dict[str, str]:
    """Return the text of each section by number and title, code marked as such, in order."""
    found: dict[str, str] = {}
    current = ""
    for cell in notebook.cells if notebook else ():
        if cell.cell_type == "code":
            if current:
                found[current] += f"\n[code]\n{cell.source}\n"
            continue
        for part in re.split(r"(?m)^(?=## )", cell.source):
            heading = _SECTION.match(part)
            if heading:
                current = f"{heading[1]} {heading[2]}"
                found[current] = ""
            elif part.startswith("## "):
                current = ""
            if current:
                found[current] += part
    return found


def sections_of_course(course: Course) -> dict[str, dict[str, str]]:
    """Return the sections of each chapter's theory: number to text."""
    found = {}
    for path in sorted(course.source.glob(f"*/{THEORY}.ipynb")):
        texts = _texts(nbformat.read(path, as_version=4))
        found[path.parent.name] = {heading.split()[0]: text for heading, text in texts.items()}
    return found


def sections_of_chapter(chapter: Chapter) -> list[str]:
    """Return the numbers of a chapter's sections, in order."""
    return [heading.split()[0] for heading in _texts(chapter.notebooks.get(THEORY))]


def order(chapter: Chapter) -> Iterator[str]:
    """Sections are numbered within the chapter, one after another."""
    given = sections_of_chapter(chapter)
    first = int(given[0].partition(".")[2]) if given else 1
    own = re.match(r"ch(\d+)_", chapter.name)
    number = own[1] if own else given[0].partition(".")[0] if given else ""
    wanted = [f"{number}.{first + k}" for k in range(len(given))]
    if not given or first > 1 or given != wanted:
        yield (
            f"sections of theory.py are {', '.join(given) or 'none'}: number them "
            f"{number}.1, {number}.2, ... (or from {number}.0)"
        )


def anatomy(chapter: Chapter) -> Iterator[str]:
    """Every section of theory has all its parts."""
    for heading, text in _texts(chapter.notebooks.get(THEORY)).items():
        lacks = [what for what, sign in ANATOMY.items() if not re.search(sign, text, re.M)]
        if _ASKS_NOTHING.search(heading):
            lacks = [what for what in lacks if what != "a question"]
        if lacks:
            yield f"theory {heading} lacks {', '.join(lacks)}"


def figures(chapter: Chapter) -> Iterator[str]:
    """Every figure says in words what it shows, and has its numbers in a table."""
    shown = [
        output["data"]["text/html"]
        for cell in chapter.notebooks[THEORY].cells
        for output in cell.get("outputs", [])
        if "<img" in output.get("data", {}).get("text/html", "")
    ]
    if not shown:
        yield "theory.py shows no figure: show(fig, words, table={...})"
    for figure in shown:
        alt = re.search(r'<img alt="([^"]*)"', figure)
        words = alt[1] if alt else ""
        if len(words) <= _LEAST_ALT:
            yield f"a figure of theory is described by {words!r}: say in words what it shows"
        if "<table>" not in figure:
            yield f"a figure of theory has no table of its numbers: {words[:60]!r}"


def _prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def reference(chapter: Chapter) -> Iterator[str]:
    """Every notebook leads to symbols and glossary; symbols come from the data file."""
    for name, notebook in chapter.notebooks.items():
        for page in ("symbols.md", "glossary.md"):
            if f"(../../docs/{page})" not in _prose(notebook):
                yield f"{name}.py has no link to ../../docs/{page}"
    rows = set(symbol_table().splitlines())
    text = _prose(chapter.notebooks[THEORY])
    tables = re.findall(r"^\| symbol \| in code .*?(?=\n\n|\Z)", text, re.M | re.S)
    if not tables:
        yield 'theory.py has no table of its symbols: << symbols("lam", "mu") >>'
    for row in {row for table in tables for row in table.splitlines()} - rows:
        yield f"a row of symbols in theory.py is not that of docs/glossary.toml: {row}"


@functools.cache
def _wrong_values() -> dict[str, str]:
    """Return what is wrong, as a pattern of how it would be written, to what is right."""
    path = Path(__file__).with_name("wrong_values.toml")
    table: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8"))
    return table


def wrong_values_in(text: str) -> list[str]:
    """Return the wrong values that `text` teaches; a passage on a common mistake may name them."""
    taught = _BLOCK_QUOTE.sub(lambda found: "" if _MISTAKE.match(found[0]) else found[0], text)
    return [
        f"{hit[0]!r}: right is {right}"
        for wrong, right in _wrong_values().items()
        for hit in re.finditer(wrong, taught)
    ]


def values(chapter: Chapter) -> Iterator[str]:
    """No wrong value in circulation is taught: in prose, in code, in what it prints."""
    for name, notebook in chapter.notebooks.items():
        for text in _passages(notebook):
            yield from (f"{name}.py teaches {hit}" for hit in wrong_values_in(text))


def _passages(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" or "mistake" not in cell.source.lower():
            yield cell.source
            for output in cell.get("outputs", ()):
                yield output.get("text", "") or output.get("data", {}).get("text/plain", "")


def package_values(course: Course) -> Iterator[str]:
    """No wrong value in circulation is documented in the package."""
    for path in sorted(course.root.glob("servemath_helpers/**/*.py")):
        found = wrong_values_in(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(course.root)}: {hit}" for hit in found)


def glossary(course: Course) -> Iterator[str]:
    """Terms name sections that are there; no symbol has two meanings."""
    sections = {section for found in sections_of_course(course).values() for section in found}
    chapters = {section.partition(".")[0] for section in sections}
    for term, meaning in data()["terms"].items():
        for group in re.findall(r"\(([\d., ]+)\)", meaning):
            for section in re.findall(r"\d+\.\d+", group):
                if section not in sections and section.partition(".")[0] in chapters:
                    yield f"{term}: no theory has a section {section}"
    shown = [entry["symbol"] for entry in data()["symbols"].values()]
    for symbol in sorted({symbol for symbol in shown if shown.count(symbol) > 1}):
        yield f"the symbol {symbol} has two meanings"


RULES = (order, anatomy, figures, reference, values)
