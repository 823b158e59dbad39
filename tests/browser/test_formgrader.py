"""Formgrader, as a TA opens it in JupyterLab, on a small class that was just graded."""

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbgrader.api import Gradebook
from nbgrader.server_extensions.formgrader.handlers import template_path
from playwright.sync_api import expect

from autograder.course.commands import run_nbgrader
from autograder.demo.sample_class import PREFIX, honest_work
from tests.autograder import hostile

from .conftest import CHAPTER
from .test_feedback import RAN

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


def submission_page(server, graded, course):
    """Return the address of somebody's page, whose notebook holds what outputs can hold."""
    student = next(iter(graded))
    path = course.autograded / student / CHAPTER / "exercises.ipynb"
    notebook = nbformat.read(path, as_version=4)
    there = "http://127.0.0.1:9"  # where nobody answers
    shown = hostile.notebook(there, "stranger").cells
    for mime in ("image/png", "image/jpeg"):
        shown[1].outputs.append(hostile.display({mime: "x"}))
        shown[1].outputs[-1].metadata[mime] = {"width": "1 onerror=window.ran_width=1"}
    shown[0].metadata["nbgrader"] |= {"grade_id": "'><script>window.ran_grade_id=1</script>"}
    texts = [nbformat.v4.new_markdown_cell(html) for html in hostile.html_vectors(there).values()]
    for cell in (*shown, *texts):
        cell.pop("id", None)
    notebook.cells += [*shown, *texts, nbformat.v4.new_markdown_cell("## The end")]
    nbformat.write(notebook, path)
    with Gradebook(course.database_url) as gradebook:
        name = gradebook.find_submission_notebook("exercises", CHAPTER, student).id
    return f"{server.url}/formgrader/submissions/{name}/"


def test_nothing_of_a_submission_runs_with_the_log_in_of_who_reads_it(
    lab, server, graded, course, material
):
    address = submission_page(server, graded, course)
    lab.goto()  # the log-in
    page = lab.page
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(address)
    expect(page.get_by_role("heading", name="The end")).to_be_visible()
    expect(page.locator("input.score").nth(len(material.exercises))).to_be_visible()
    assert page.evaluate(RAN) == []
    assert page.title() == "exercises"
    assert [url for url in asked if ":9/" in url] == []
    assert page.locator(".container img[src^='data:image/png']").count() > 0  # a real picture stays

    # Those are no straw men: this is what formgrader shows by itself.
    plain = HTMLExporter(
        template_name="formgrade", extra_template_basedirs=[template_path]
    ).from_filename(
        str(course.autograded / next(iter(graded)) / CHAPTER / "exercises.ipynb"),
        resources={"base_url": "", "index": 0, "total": 1},
    )[0]
    plain = plain.replace('http-equiv="refresh"', "")  # it would lead away before one can look
    page.route("**/plain", lambda route: route.fulfill(body=plain, content_type="text/html"))
    page.goto(f"{server.url}/plain", wait_until="commit")
    for name in ("ran_script", "ran_onerror", "ran_ontoggle", "ran_width"):
        page.wait_for_function(f"() => window.{name}")


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
    failed = formgrader.locator(".output_error", has_text="should return")
    expect(failed.first).to_be_visible()
