from textwrap import dedent

import nbformat
import pytest

from autograder.authoring.build import build_text, from_text, theory_link
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

    # %% nbgrader={"grade": false, "grade_id": "half__solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
    def half(x):
        """Halve a number."""
        ### BEGIN SOLUTION
        return x / 2
        ### END SOLUTION

    # %%
    print(half(4))

    # %% nbgrader={"grade": true, "grade_id": "half__visible__halves", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
    assert half(4) == 2
    '''  # noqa: E501
)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "exercises.py"
    path.write_text(TEXT)
    return path


def test_prose_is_rendered_from_the_library_and_the_points(text):
    notebook = from_text(text)
    assert notebook.cells[0].source == "In 3 s, for 2.0 of\n2.0 points."


def test_nbgrader_metadata_survives_the_text(text):
    notebook = from_text(text)
    assert notebook.cells[1].metadata.nbgrader["grade_id"] == "half__solution"
    assert notebook.cells[3].metadata.nbgrader["points"] == 2


def test_a_build_is_the_same_byte_for_byte(text):
    assert build_text(text) == build_text(text)
    assert build_text(text, outputs=True) == build_text(text, outputs=True)


def test_cell_ids_come_from_grade_ids_or_content(text):
    ids = [cell.id for cell in from_text(text).cells]
    text.write_text("# %% [markdown]\n# A cell in front.\n\n" + TEXT.partition("# ---\n\n")[2])
    assert [cell.id for cell in from_text(text).cells][1:] == ids
    assert ids[1] == "half__solution"


def test_equal_cells_get_different_ids(text):
    text.write_text(TEXT + "\n# %%\nprint(half(4))\n")
    ids = [cell.id for cell in from_text(text).cells]
    assert len(set(ids)) == len(ids)


def test_only_executed_notebooks_hold_outputs(text):
    plain = nbformat.reads(build_text(text), as_version=4)
    executed = nbformat.reads(build_text(text, outputs=True), as_version=4)
    assert plain.cells[2].outputs == []
    assert executed.cells[2].outputs[0].text == "2.0\n"


def test_a_doubled_grade_id_stops_the_build(text):
    text.write_text(TEXT + TEXT[TEXT.index("# %% nbgrader") :])
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
    assert theory_link(theory, "1.1") == "[theory 1.1](theory.ipynb#1.1-Little%27s-law)"
    with pytest.raises(ValueError, match=r"section must be one of theory\.py, got '1\.9'"):
        theory_link(theory, "1.9")
