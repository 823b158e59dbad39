import os
from dataclasses import replace
from textwrap import dedent

import nbformat
import pytest

from autograder import bank
from autograder.authoring import build
from autograder.authoring.build import build_text, from_text, theory_link
from autograder.authoring.exercises import name_cell, overview, statement
from autograder.authoring.prose import ProseError, render

TEXT = dedent(
    '''\
    # ---
    # jupyter:
    #   kernelspec:
    #     display_name: Python 3
    #     language: python
    #     name: python3
    # ---

    # %% [markdown]
    # In << num(queueing.littles_law(lam=7, L=21), 3) >> s, for << points["half"] >> of
    # << points.total >> points.

    # %% half__solution
    def half(x):
        """Halve a number."""
        ### BEGIN SOLUTION
        return x / 2
        ### END SOLUTION

    # %%
    print(half(4))

    # %% half__visible__halves points=2
    assert half(4) == 2
    '''
)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "exercises.py"
    path.write_text(TEXT)
    return path


def test_prose_is_rendered_from_the_library_and_the_points(text):
    notebook = from_text(text)
    assert notebook.cells[0].source == "In 3 s, for 2.0 of\n2.0 points."


RECORD = replace(
    bank.load("ch1_serving_tradeoffs")[0],
    slug="half",
    title="Halves",
    number=3,
    stars=2,
    points={"visible": 1, "hidden": 2},
    section="1.10",
    also=("1.9",),
    functions=("half", "quarter"),
)


@pytest.mark.parametrize(
    ("marker", "grade", "locked", "solution", "points"),
    [
        ({"title": "setup__statement"}, False, True, False, None),
        ({"title": "half__statement"}, False, True, False, None),
        ({"title": "half__solution"}, False, False, True, None),
        ({"title": "half__visible__small"}, True, True, False, 1),
        ({"title": "half__hidden__large"}, True, True, False, 2),
        ({"title": "third__hidden__large", "points": 0.5}, True, True, False, 0.5),
        ({"title": "reflection__answer"}, True, False, True, 0),
        ({"title": "half__answer", "points": 3}, True, False, True, 3),
    ],
)
def test_nbgraders_metadata_follow_from_the_grade_id_and_the_record(
    marker, grade, locked, solution, points
):
    cell = nbformat.v4.new_code_cell(metadata=marker)
    name_cell(cell, {"half": RECORD})
    wanted = {
        "grade": grade,
        "grade_id": marker["title"],
        "locked": locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    wanted |= {} if points is None else {"points": points}
    assert cell.metadata == {"nbgrader": wanted}


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ({"title": "Some words"}, "grade_id must look like"),
        ({"title": "third__hidden__x"}, "no record for 'third__hidden__x'"),
        ({"title": "half__hidden__x", "points": 2}, "which its record in the bank does"),
    ],
)
def test_a_marker_that_says_too_little_or_too_much_is_refused(marker, told):
    with pytest.raises(ValueError, match=told):
        name_cell(nbformat.v4.new_code_cell(metadata=marker), {"half": RECORD})


def test_heading_sections_and_overview_come_from_the_record(tmp_path):
    def link(section):
        return f"[{section}]"

    assert statement("Halve it.", RECORD, link) == (
        "## 3 · Halves ★★ (3 points)\n\nHalve it.\n\nHelp: [1.9] and [1.10]."
    )
    assert overview([RECORD]).splitlines()[2:] == [
        "| 3 | Halves: `half`, `quarter` | 1.10 | ★★ | 3 |"
    ]
    path = tmp_path / "ch1_serving_tradeoffs" / "exercises.py"
    path.parent.mkdir()
    path.with_name("theory.py").write_text("# ## 1.1 Law\n")
    path.write_text(
        "# %% [markdown]\n# << count >>\n#\n# << overview >>\n\n"
        "# %% [markdown] littles_law__statement\n# No. << exercises.littles_law.number >>.\n"
    )
    front, _, asked = (cell.source for cell in from_text(path).cells)
    assert front.startswith("ten\n\n| # |") and len(front.splitlines()) == 14
    assert asked == (
        "## 1 · Little's law ★ (2 points)\n\nNo. 1.\n\n"
        "Help: [theory 1.1](theory.ipynb#cell-id=section-1-1)."
    )


def test_a_build_is_the_same_byte_for_byte(text):
    assert build_text(text) == build_text(text)
    assert build_text(text, outputs=True) == build_text(text, outputs=True)


def test_cell_ids_come_from_grade_ids_or_content(text):
    ids = [cell.id for cell in from_text(text).cells]
    text.write_text("# %% [markdown]\n# A cell in front.\n\n" + TEXT.partition("# ---\n\n")[2])
    # The new cell, then the one for Colab.
    assert [cell.id for cell in from_text(text).cells][2:] == [ids[0], *ids[2:]]
    assert ids[2] == "half__solution"


def test_equal_cells_get_different_ids(text):
    text.write_text(TEXT + "\n# %%\nprint(half(4))\n")
    ids = [cell.id for cell in from_text(text).cells]
    assert len(set(ids)) == len(ids)


def test_only_executed_notebooks_hold_outputs(text):
    plain = nbformat.reads(build_text(text), as_version=4)
    executed = nbformat.reads(build_text(text, outputs=True), as_version=4)
    assert plain.cells[3].outputs == []
    assert executed.cells[3].outputs[0].text == "2.0\n"


def test_a_doubled_grade_id_stops_the_build(text):
    text.write_text(TEXT + TEXT[TEXT.index("# %% half__solution") :])
    with pytest.raises(ValueError, match="'half__solution' stands twice"):
        from_text(text)


def test_a_grade_id_outside_the_scheme_stops_the_build(text):
    text.write_text(TEXT.replace("half__visible__halves", "test1"))
    with pytest.raises(ValueError, match="grade_id must look like"):
        from_text(text)


def test_an_unknown_name_in_prose_stops_the_build_and_names_the_cell():
    with pytest.raises(ProseError, match=r"theory\.py, cell 3: UndefinedError: 'nothing'"):
        render("<< nothing.at_all >>", {}, "theory.py, cell 3")


def test_a_formula_with_braces_is_left_alone():
    formula = r"$\frac{{a}}{b} \ll 1$ and {% raw %}"
    assert render(formula, {}, "x") == formula


def test_a_link_to_theory_names_a_section_that_is_there(tmp_path):
    theory = tmp_path / "theory.py"
    theory.write_text("# %% [markdown]\n# ## 1.1 Little's law\n")
    assert theory_link(theory, "1.1") == "[theory 1.1](theory.ipynb#cell-id=section-1-1)"
    with pytest.raises(ValueError, match=r"section must be one of theory\.py, got '1\.9'"):
        theory_link(theory, "1.9")


@pytest.mark.parametrize(
    ("newer", "current"),
    [
        ("source/ch1_x/exercises.py", False),
        ("source/ch1_x/theory.py", False),
        ("source/ch1_x/lab.py", True),
        ("autograder/bank/ch1_x/f.toml", False),
        ("autograder/bank/ch2_y/f.toml", True),
        ("servemath_helpers/data/gpus.json", False),
        ("servemath_helpers/data/course.json", True),
        ("autograder/authoring/prose.py", False),
        ("autograder/authoring/prose.pyc", True),
        ("docs/glossary.toml", False),
    ],
)
def test_a_notebook_is_stale_once_something_it_is_built_from_is_newer(
    tmp_path, monkeypatch, newer, current
):
    monkeypatch.setattr(build, "HOME", tmp_path)
    monkeypatch.setattr(build, "DATA", tmp_path / "docs" / "glossary.toml")
    text = tmp_path / "source" / "ch1_x" / "exercises.py"
    for path in (text, tmp_path / newer, text.with_suffix(".ipynb")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (1000, 1000))
    assert build.is_current(text)
    os.utime(tmp_path / newer, (2000, 2000))
    assert build.is_current(text) is current
    text.with_suffix(".ipynb").unlink()
    assert not build.is_current(text)
