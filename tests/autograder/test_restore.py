"""What became of course cells in a submission, and what is run after all."""

import copy
from types import SimpleNamespace

import nbformat
import pytest
from nbgrader.utils import compute_checksum

from autograder.cells import grade_id_of
from autograder.grading.original import Original
from autograder.grading.restore import RestoreCourseCells

from .conftest import code_cell, notebook_of

STATEMENT = "half__statement"
SOLUTION = "half__solution"
VISIBLE = "half__visible__halves"
HIDDEN = "half__hidden__edges"
HIDDEN_SOURCE = (
    '"""Hidden: edges."""\n### BEGIN HIDDEN TESTS\nassert half(0) == 0\n### END HIDDEN TESTS'
)


def course_notebook():
    statement = nbformat.v4.new_markdown_cell("Halve.")
    statement.metadata = code_cell("", STATEMENT, grade=False).metadata
    return notebook_of(
        statement,
        code_cell("def half(x): ...", SOLUTION, grade=False, solution=True, locked=False),
        code_cell("half(4)"),
        code_cell("assert half(4) == 2", VISIBLE),
        code_cell(HIDDEN_SOURCE, HIDDEN),
    )


@pytest.fixture
def original():
    """What the gradebook keeps of the notebook, as rows with the same attributes."""
    kept = SimpleNamespace(
        kernelspec=None, source_cells=[], grade_cells=[], solution_cells=[], task_cells=[]
    )
    for cell in course_notebook().cells:
        if "nbgrader" not in cell.metadata:
            continue
        metadata = cell.metadata.nbgrader
        row = SimpleNamespace(
            name=metadata.grade_id,
            cell_type=cell.cell_type,
            source=cell.source,
            locked=metadata.locked,
            checksum=compute_checksum(cell),
            max_score=1,
        )
        kept.source_cells.insert(0, row)  # the gradebook promises no order
        if metadata.grade:
            kept.grade_cells.append(row)
        if metadata.solution:
            kept.solution_cells.append(row)
    return Original(kept, [STATEMENT, SOLUTION, VISIBLE, HIDDEN])


@pytest.fixture
def submitted():
    """The notebook as a learner got it and solved it."""
    notebook = course_notebook()
    notebook.cells[1].source = "def half(x): return x / 2"
    notebook.cells[4].source = '"""Hidden: edges."""'
    return notebook


def repair(notebook, original):
    return RestoreCourseCells()._repair(notebook, original)


def names(notebook):
    return [grade_id_of(cell) for cell in notebook.cells]


def test_hidden_tests_come_back_without_a_remark(submitted, original):
    assert repair(submitted, original) == []
    assert submitted.cells[4].source == HIDDEN_SOURCE
    assert submitted.cells[1].source == "def half(x): return x / 2"


def test_an_edited_test_is_restored_and_remarked(submitted, original):
    submitted.cells[3].source = "pass"
    assert repair(submitted, original) == ["1 edited course cell restored"]
    assert submitted.cells[3].source == "assert half(4) == 2"


def test_of_a_copied_solution_the_last_counts(submitted, original):
    newer = copy.deepcopy(submitted.cells[1])
    newer.source = "def half(x): return x * 0.5"
    submitted.cells.insert(2, newer)
    assert repair(submitted, original) == ["1 duplicated cell set aside"]
    assert names(submitted) == [STATEMENT, None, SOLUTION, None, VISIBLE, HIDDEN]
    assert len({cell.id for cell in submitted.cells}) == len(submitted.cells)


@pytest.mark.parametrize("deleted", [{VISIBLE}, {HIDDEN}, {VISIBLE, HIDDEN}])
def test_deleted_tests_return_behind_the_solution(submitted, original, deleted):
    submitted.cells = [cell for cell in submitted.cells if grade_id_of(cell) not in deleted]
    (remark,) = repair(submitted, original)
    assert remark.startswith(f"{len(deleted)} deleted graded cell")
    order = [name for name in names(submitted) if name]
    assert order == [STATEMENT, SOLUTION, VISIBLE, HIDDEN]


def test_with_everything_deleted_the_tests_return_at_the_end(original):
    notebook = notebook_of(code_cell("def half(x): return x / 2"))
    repair(notebook, original)
    assert names(notebook) == [None, VISIBLE, HIDDEN]


@pytest.mark.parametrize(
    "tampered",
    [
        {"points": 100},
        {"grade": False},
        {"solution": True},
        {"locked": False},
        {"schema_version": 99},
    ],
    ids=str,
)
def test_metadata_of_a_submission_decides_nothing(submitted, original, tampered):
    submitted.cells[3].metadata.nbgrader.update(tampered)
    repair(submitted, original)
    metadata = submitted.cells[3].metadata.nbgrader
    assert (metadata.points, metadata.grade, metadata.solution) == (1.0, True, False)
    assert (metadata.locked, metadata.schema_version) == (True, 3)


@pytest.mark.parametrize("junk", [{}, {"grade_id": 7}, {"grade_id": ""}, [], "text", None])
def test_malformed_metadata_is_dropped(submitted, original, junk):
    submitted.cells[2].metadata["nbgrader"] = junk
    repair(submitted, original)
    assert "nbgrader" not in submitted.cells[2].metadata


def test_an_unknown_grade_id_is_dropped(submitted, original):
    submitted.cells.append(code_cell("1 + 1", "mine__visible__all_points", points=50))
    repair(submitted, original)
    assert "nbgrader" not in submitted.cells[-1].metadata


def test_a_test_turned_into_text_is_code_again(submitted, original):
    markdown = nbformat.v4.new_markdown_cell("assert half(4) == 2")
    markdown.metadata = submitted.cells[3].metadata
    submitted.cells[3] = markdown
    assert repair(submitted, original) == ["1 edited course cell restored"]
    assert submitted.cells[3].cell_type == "code"
    assert submitted.cells[3].outputs == []


def test_a_test_tagged_to_be_skipped_is_run(submitted, original):
    submitted.cells[3].metadata["tags"] = ["skip-execution", "mine"]
    assert repair(submitted, original) == ["1 cell marked to be skipped is run"]
    assert submitted.cells[3].metadata["tags"] == ["mine"]


def test_old_notebooks_without_cell_ids_get_them(submitted, original):
    submitted.nbformat_minor = 4
    for cell in submitted.cells:
        del cell["id"]
    repair(submitted, original)
    nbformat.validate(submitted)
    assert submitted.nbformat_minor == 5


def test_the_repaired_notebook_has_the_checksums_of_the_course(submitted, original):
    for cell in submitted.cells[3:]:
        cell.source = "pass"
    repair(submitted, original)
    for cell in submitted.cells[3:]:
        assert compute_checksum(cell) == original.sources[grade_id_of(cell)].checksum
