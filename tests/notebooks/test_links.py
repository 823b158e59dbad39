"""Links between notebooks lead to headings that are there, under the name JupyterLab gives them."""

import re
from functools import cache
from urllib.parse import unquote

import nbformat

from autograder.cells import grade_id_of

from .conftest import COURSE

LINK = re.compile(r"\[[^\]]+\]\(((?:\.\./)?(?:\w+/)?\w+\.ipynb)(?:#([^)]+))?\)")


@cache
def markdown(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]


@cache
def headings(path):
    """A heading is found by the id of the cell that begins with it, or by its text with dashes."""
    text = "\n".join(cell.source for cell in markdown(path))
    named = {f"cell-id={c.id}" for c in markdown(path) if c.source.startswith("## ")}
    return named | {line.replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)}


def links(path):
    for cell in markdown(path):
        for target, fragment in LINK.findall(cell.source):
            yield cell, path.parent.joinpath(target).resolve(), unquote(fragment)


def test_every_link_leads_to_a_heading():
    found = [
        (path, target, fragment)
        for path in COURSE.release.rglob("*.ipynb")
        for _, target, fragment in links(path)
    ]
    begun = {path.parent.name for path, _, _ in found}
    assert len(found) > 100 and begun == {COURSE.release.name, *COURSE.chapters()}
    assert [one for one in found if not one[1].is_file()] == []
    assert [one for one in found if one[2] and one[2] not in headings(one[1])] == []


def test_each_statement_names_a_section_and_each_theory_its_exercises_and_lab(chapter):
    folder = COURSE.release / chapter
    theory = folder / "theory.ipynb"
    statements = [
        cell
        for cell in markdown(folder / "exercises.ipynb")
        if (grade_id_of(cell) or "").endswith("__statement") and re.match(r"## \d", cell.source)
    ]
    helped = [cell for cell, target, fragment in links(folder / "exercises.ipynb") if fragment]
    assert len(statements) >= 10
    assert [cell.source[:40] for cell in statements if cell not in helped] == []
    solved = {fragment for _, target, fragment in links(theory) if target.name == "exercises.ipynb"}
    assert {f"cell-id={cell.id}" for cell in statements} <= solved
    first = {target.name for cell, target, _ in links(theory) if cell is markdown(theory)[0]}
    assert first == {path.name for path in folder.glob("*.ipynb")} - {"theory.ipynb"}
    assert all(
        "**Time on task:** about" in markdown(folder / name)[0].source
        for name in ("theory.ipynb", "exercises.ipynb")
    )
