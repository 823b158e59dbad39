"""The released exercises, validated with nbgrader's button before and after solving them."""

import pytest
from playwright.sync_api import expect

from autograder.demo.sample_class import solution_cell

from .axe import violations
from .conftest import CHAPTER
from .jupyter import errors

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def exercises(lab, material):
    path = material.folder / "exercises.ipynb"
    released = path.read_bytes()
    lab.open(f"release/{CHAPTER}/exercises.ipynb")
    yield lab
    path.write_bytes(released)  # Validate saves first


def validate(lab):
    """Press Validate and return what the dialog says."""
    lab.page.locator(".validate-button:visible").click()
    dialog = lab.page.locator(".jp-Dialog")
    said = dialog.inner_text()
    dialog.locator(".jp-mod-accept").click()
    expect(dialog).to_have_count(0)
    return said


def test_validate_names_each_cell_before_and_none_after_solving(exercises, material):
    before = validate(exercises)
    assert before.count("The following cell failed:") == len(material.exercises)
    assert before.count("NotImplementedError") >= len(material.exercises)
    assert "Success" not in before

    solved = material.solved()
    for exercise in material.exercises:
        source = solution_cell(solved, exercise.slug).source
        exercises.set_source(f"{exercise.slug}__solution", source)
    after = validate(exercises)
    assert "Success! Your notebook passes all the tests." in after
    assert "failed" not in after


def test_run_all_ends_at_an_unsolved_exercise_and_says_so(exercises):
    exercises.run_all()
    raised = exercises.page.locator(".jp-OutputArea-output[data-mime-type*=stderr]")
    expect(raised.first).to_contain_text("NotImplementedError")
    assert {error.partition(":")[0] for error in errors(exercises.cells())} == {
        "NotImplementedError"
    }
    assert violations(exercises.page, "critical", "serious") == []
    assert exercises.page_errors == []
