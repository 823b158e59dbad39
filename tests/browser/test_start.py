"""Bundle and `make lab` as a learner opens them: start page, links that land, nothing for staff."""

import contextlib
import re
import shutil
import zipfile

import pytest
from playwright.sync_api import TimeoutError as Late
from playwright.sync_api import expect

from autograder.authoring.bundle import bundle
from autograder.course import HOME, Course
from autograder.machine import lab as machine_lab

from .jupyter import Lab, jupyter_lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

#: A long theory is drawn to its end: that takes a busy machine a while.
PATIENT_MS = 90_000
#: Seen in the window: JupyterLab scrolls on while cells above are drawn.
LANDED = """(id) => {
  const panel = window.jupyterapp.shell.currentWidget;
  const cell = panel.content?.widgets?.find((cell) => cell.model.id === id);
  const heading = cell?.node.querySelector('h2');
  if (!heading) { return false; }
  const place = heading.getBoundingClientRect(), window_ = panel.node.getBoundingClientRect();
  return place.top >= window_.top && place.bottom <= window_.bottom;
}"""
DRAWN = """() => window.jupyterapp.shell.currentWidget.content.widgets.every(
  (cell) => !cell.isPlaceholder())"""


@pytest.fixture(scope="module", params=["bundle", "make lab"])
def opened(request, tmp_path_factory):
    """Return a JupyterLab as a learner starts it, and where the notebooks lie in it."""
    folder, home = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("home")
    if request.param == "bundle":
        with zipfile.ZipFile(bundle(Course.at(HOME), folder)) as archive:
            archive.extractall(folder)
        asked = "--config=jupyter_lab_config.py"
        with jupyter_lab(folder / "servemath", home, None, "", asked) as server:
            yield server, "release"
    else:
        (folder / "source").symlink_to(HOME / "source")
        shutil.copy(HOME / "nbgrader_config.py", folder)
        shutil.copytree(HOME / "release", folder / "release")
        typed = ("autograder", "--course", str(folder), "lab")
        with jupyter_lab(folder, home, program=typed) as server:
            yield server, machine_lab.FOLDER


@pytest.fixture
def learner(opened, browser):
    server, _ = opened
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield Lab(page, server)
    page.close()
    server.end_sessions()


def at(page, name):
    page.wait_for_function(
        "(name) => window.jupyterapp.shell.currentWidget.context.path.endsWith(name)",
        arg=name,
        timeout=PATIENT_MS,
    )


def test_it_opens_at_the_start_page_without_what_is_for_staff(learner, opened):
    page = learner.page
    page.goto(f"{learner.server.url}/?token={learner.server.token}")
    learner.until_ready(f"{opened[1]}/start.ipynb")
    expect(page.get_by_role("heading", name=re.compile("Start here"))).to_be_visible()
    expect(page.locator(".validate-button:visible")).to_have_count(1)
    learner.run_all()
    expect(page.get_by_text("1.1, mean stay in seconds: not answered yet")).to_be_visible(
        timeout=PATIENT_MS
    )
    expect(page.locator(".lm-MenuBar-itemLabel").get_by_text("Nbgrader")).to_have_count(0)
    commands = page.evaluate("() => window.jupyterapp.commands.listCommands()")
    assert not {"nbgrader:open-formgrader", "nbgrader:open-create-assignment"} & {*commands}
    page.locator(".jp-Notebook a", has_text="bring it").click()
    at(page, "your_service.ipynb")
    page.get_by_role("tab", name="start.ipynb").click()
    page.locator(".jp-Notebook a", has_text="theory").first.click()
    at(page, "theory.ipynb")


@pytest.mark.parametrize(
    ("chapter", "section"), [("ch4_queueing_lab", "4.3"), ("ch3_kv_cache_wall", "3.13")]
)
def test_a_link_lands_on_its_section_while_the_theory_is_closed(learner, opened, chapter, section):
    page, exercises = learner.page, f"{opened[1]}/{chapter}/exercises.ipynb"
    target = "section-" + section.replace(".", "-")
    learner.open(exercises)

    def follow():
        page.locator(f"a[href*='cell-id={target}']:visible").first.click()
        at(page, "theory.ipynb")

    follow()
    page.wait_for_function(DRAWN, timeout=PATIENT_MS)
    with contextlib.suppress(Late):
        page.wait_for_function(LANDED, arg=target, timeout=PATIENT_MS / 9)
        return
    # JupyterLab 4.6 waits ten seconds for a cell to be drawn. A machine that takes longer for
    # those above it stays at the top, until the link is followed again.
    page.get_by_role("tab", name="exercises.ipynb").click()
    at(page, "exercises.ipynb")
    follow()
    page.wait_for_function(LANDED, arg=target, timeout=PATIENT_MS)
