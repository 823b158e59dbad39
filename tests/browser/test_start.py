"""The bundle as a learner opens it: the start page, links that land, nothing for staff alone."""

import re
import zipfile

import pytest
from playwright.sync_api import expect

from autograder.authoring.bundle import bundle
from autograder.course import HOME, Course

from .jupyter import Lab, jupyter_lab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

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


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(bundle(Course.at(HOME), folder)) as archive:
        archive.extractall(folder)
    home, asked = tmp_path_factory.mktemp("home"), "--config=jupyter_lab_config.py"
    with jupyter_lab(folder / "servemath", home, None, "", asked) as server:
        yield server


@pytest.fixture
def learner(unpacked, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield Lab(page, unpacked)
    page.close()
    unpacked.end_sessions()


def test_the_bundle_opens_at_the_start_page_without_what_is_for_staff(learner):
    page = learner.page
    page.goto(f"{learner.server.url}/?token={learner.server.token}")
    expect(page.get_by_role("heading", name=re.compile("Start here"))).to_be_visible()
    expect(page.locator(".validate-button:visible")).to_have_count(1)
    learner.run_all()
    expect(page.get_by_text("1.1, mean stay in seconds: not answered yet")).to_be_visible(
        timeout=60_000
    )
    expect(page.locator(".lm-MenuBar-itemLabel").get_by_text("Nbgrader")).to_have_count(0)
    commands = page.evaluate("() => window.jupyterapp.commands.listCommands()")
    assert not {"nbgrader:open-formgrader", "nbgrader:open-create-assignment"} & {*commands}
    page.locator(".jp-Notebook a", has_text="theory").first.click()
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.context.path.endsWith('theory.ipynb')"
    )


@pytest.mark.parametrize(
    ("chapter", "section"), [("ch4_queueing_lab", "4.3"), ("ch3_kv_cache_wall", "3.13")]
)
def test_a_link_lands_on_its_section_while_the_theory_is_closed(learner, chapter, section):
    page, name = learner.page, section.replace(".", "-")
    learner.open(f"release/{chapter}/exercises.ipynb")
    page.locator(f"a[href*='cell-id=section-{name}']").first.click()
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.context.path.endsWith('theory.ipynb')"
    )
    page.wait_for_function(LANDED, arg=f"section-{name}")
    page.wait_for_function(DRAWN)
    assert page.evaluate(LANDED, f"section-{name}")
