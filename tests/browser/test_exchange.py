"""A learner on another computer's JupyterLab fetches, solves and submits; staff collect."""

import getpass
import shutil

import pytest
from playwright.sync_api import expect

from autograder.course.commands import run_nbgrader

from .conftest import CHAPTER
from .jupyter import jupyter_lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def staff(course, exchange, *arguments):
    done = run_nbgrader(course.root, *arguments, f"--Exchange.root={exchange}", timeout_s=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def collected(course):
    """Return where a submission of the person who runs the tests will stand."""
    student = course.submitted / getpass.getuser()
    yield student / CHAPTER
    shutil.rmtree(student, ignore_errors=True)  # the class that other tests grade is another


@pytest.fixture
def folder(tmp_path):
    """Return the learner's folder, where nothing is yet."""
    (tmp_path / "learner").mkdir()
    return tmp_path / "learner"


@pytest.fixture
def learner(course, material, exchange, folder, tmp_path, open_lab):
    """Return the JupyterLab of a learner, who knows the course's name and the exchange."""
    staff(course, exchange, "release_assignment", CHAPTER)
    config = f'c.CourseDirectory.course_id = "servemath"\nc.Exchange.root = {str(exchange)!r}\n'
    with jupyter_lab(folder, tmp_path / "home", nbgrader_config=config) as server:
        lab = open_lab(server)
        lab.goto()
        yield lab
        lab.page.close()


def test_an_assignment_is_fetched_submitted_and_collected(
    learner, folder, course, exchange, collected, material
):
    page = learner.page
    learner.command("nbgrader:open-assignment-list")
    released, fetched, submitted = (
        page.locator(f"#{state}_assignments_list .list_item", has_text=CHAPTER)
        for state in ("released", "fetched", "submitted")
    )
    released.get_by_role("button", name="Fetch").click()
    expect(fetched).to_be_visible()
    work = folder / CHAPTER
    assert {path.name for path in work.glob("*.ipynb")} == {
        path.name for path in material.folder.glob("*.ipynb")
    }

    expect(submitted).to_have_count(0)
    fetched.get_by_role("button", name="Submit").click()
    expect(submitted.first).to_be_visible()

    staff(course, exchange, "collect", CHAPTER)
    assert (collected / "exercises.ipynb").read_bytes() == (work / "exercises.ipynb").read_bytes()
