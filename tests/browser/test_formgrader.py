"""Formgrader, as a TA opens it in JupyterLab, on a small class that was just graded."""

import pytest
from playwright.sync_api import expect

from autograder.course.commands import run_nbgrader
from autograder.demo.sample_class import PREFIX, honest_work

from .conftest import CHAPTER

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

STUDENTS = ("all_right_1", "misconceptions_1", "half_done")


@pytest.fixture(scope="module")
def graded(course, material):
    """Return the cases of a class of three, graded by plain `nbgrader autograde`."""
    cases = {}
    for case, write in honest_work(material):
        if case.student.removeprefix(PREFIX) in STUDENTS:
            folder = course.submitted / case.student / CHAPTER
            folder.mkdir(parents=True)
            (folder / "theory.ipynb").write_bytes((material.folder / "theory.ipynb").read_bytes())
            write(folder)
            cases[case.student] = case
    done = run_nbgrader(course.root, "autograde", CHAPTER, timeout_s=200)
    assert done.returncode == 0, done.stderr
    assert len(cases) == len(STUDENTS)
    return cases


@pytest.fixture
def formgrader(lab, graded):
    """Return the frame that Formgrader's entry of the menu opens."""
    lab.goto()
    page = lab.page
    page.get_by_role("menuitem", name="Nbgrader", exact=True).click()
    page.locator('li[data-command="nbgrader:open-formgrader"]').click()
    frame = page.frame_locator("#formgrader iframe")
    expect(line(frame, CHAPTER)).to_be_visible()
    return frame


def line(frame, text):
    """Return the line of the table that has a cell with this text."""
    return frame.locator("tr", has=frame.locator("td").get_by_text(text, exact=True))


def test_the_class_is_there_with_the_scores_it_deserves(formgrader, material, graded):
    submissions = line(formgrader, CHAPTER).locator(".num-submissions")
    expect(submissions).to_have_text(str(len(STUDENTS)))
    submissions.get_by_role("link").click()

    total = sum(material.points.values())
    for student, case in graded.items():
        score = line(formgrader, student).locator(".score")
        expect(score).to_have_text(f"{sum(case.scores.values()):g} / {total:g}")


def test_a_submission_opens_with_its_points_and_the_messages_of_its_tests(formgrader, material):
    formgrader.get_by_role("link", name="Manage Students").click()
    student = line(formgrader, PREFIX + "misconceptions_1")
    student.get_by_role("link").first.click()
    for name in (CHAPTER, "exercises"):
        formgrader.get_by_role("link", name=name, exact=True).click()
    points = formgrader.locator("input.score")
    expect(points.nth(2 * len(material.exercises) - 1)).to_be_visible()
    failed = formgrader.locator(".output_error", has_text="AssertionError")
    expect(failed.first).to_be_visible()
