"""Both labs in JupyterLab: predict, lock, adjust, fail, recover, save, come back."""

import json
import shutil

import pytest
from playwright.sync_api import expect

from autograder.course import HOME
from servemath_helpers.labs.kv_wall.view import KVWallLab
from servemath_helpers.labs.queueing_lab.view import QueueingLab
from tests.helpers.labs.kv_wall.test_mission import ACT1, ACT2
from tests.helpers.labs.queueing_lab.test_mission import BREAK

from .axe import violations
from .jupyter import Lab, errors
from .labs import LabPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

LABS = {"ch3_kv_cache_wall": KVWallLab, "ch4_queueing_lab": QueueingLab}

#: Settings that break each promise there is: chapter, variant, part, how.
FAILURES = [
    *(("ch3_kv_cache_wall", "latency", "act1", change) for change, _ in ACT1),
    *(("ch3_kv_cache_wall", context, "act2", change) for context, change, _ in ACT2),
    *(("ch4_queueing_lab", track, part, change) for track, part, _, change in BREAK),
]

#: A slider that is moved by keyboard in the first part of each lab, and the card that follows.
SLIDER = {
    "ch3_kv_cache_wall": ("seq_tokens", "Max users"),
    "ch4_queueing_lab": ("lam_rps", "L = λW"),
}


@pytest.fixture(params=list(LABS))
def chapter(request):
    return request.param


@pytest.fixture(scope="module")
def pages(browser, server, course):
    """Return a function that opens a released lab in a page of its own, which stays."""
    known = {}

    def page(chapter):
        if chapter not in known:
            notebook = f"release/{chapter}/lab.ipynb"
            (course.root / notebook).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HOME / notebook, course.root / notebook)
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            known[chapter] = context, Lab(context.new_page(), server)
            known[chapter][1].open(notebook)
        return known[chapter][1]

    yield page
    for context, _ in known.values():
        context.close()
    server.end_sessions()


@pytest.fixture
def opened(pages, chapter):
    """Return the lab on the page, begun anew by Run All, beside one in code.

    Opening JupyterLab takes longer than any of these tests, so they share the page.
    """
    lab = pages(chapter)
    lab.page_errors.clear()
    lab.page.bring_to_front()
    lab.run_all()
    return LabPage(lab, LABS[chapter]())


def first_part(opened):
    return opened.oracle.session.parts[0].key


def test_the_notebook_runs_and_shows_no_simulator_before_the_lock(opened):
    assert errors(opened.lab.cells()) == []
    expect(opened.hud).to_be_visible()
    expect(opened.cards.filter(visible=True)).to_have_count(0)
    expect(opened.root.locator(".widget-slider").filter(visible=True)).to_have_count(0)
    opened.button("Lock my prediction").click()
    expect(opened.notices.filter(has_text="Not yet.")).to_be_visible()
    assert opened.lab.page_errors == []


def test_a_locked_prediction_stays_and_the_keyboard_moves_banner_and_cards(opened, chapter):
    part = first_part(opened)
    opened.answer(part)
    opened.lock(part)
    radios = opened.root.locator(".widget-radio").first.locator("input")
    assert all(radios.nth(number).is_disabled() for number in range(radios.count()))

    key, card = SLIDER[chapter]
    before = dict(opened.expected(part)[1])[card]
    for name in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        opened.press(part, key, name)
        opened.shows(part)
    assert dict(opened.expected(part)[1])[card] != before

    for _ in range(20):  # faster than any picture is drawn
        opened.press(part, key, "ArrowRight")
    opened.shows(part, within_s=3)

    opened.root.get_by_label("Show numbers as tables").check()
    expect(opened.root.locator("table caption").first).to_be_visible()
    pictures = opened.root.locator("svg[role=img], img").filter(visible=True)
    assert pictures.count() >= 2
    names = pictures.evaluate_all(
        "(all) => all.map((one) => one.getAttribute('aria-label') ?? one.getAttribute('alt'))"
    )
    assert all(name and len(name) > 20 for name in names)
    assert violations(opened.page, "critical", "serious") == []
    assert opened.lab.page_errors == []


#: What sticks out of the lab to the right by more than a border, unless it scrolls.
STICKS_OUT = """() => {
  const lab = document.querySelector('.sm-lab');
  const edge = lab.parentElement.getBoundingClientRect().right + 4;
  return [...lab.querySelectorAll('*')]
    .filter((one) => one.getBoundingClientRect().right > edge
      && one.getBoundingClientRect().width > 0 && !one.closest('.noUi-base, .sm-scroll'))
    .map((one) => one.outerHTML.slice(0, 200));
}"""


def test_a_lab_fits_a_narrow_window_and_reads_well_in_the_dark(opened):
    part = first_part(opened)
    opened.answer(part)
    opened.lock(part)
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        opened.lab.command("apputils:change-theme", {"theme": theme})
        light = str(theme.endswith("Light")).lower()
        expect(opened.page.locator("body")).to_have_attribute("data-jp-theme-light", light)
        for width in (640, 1280):
            opened.page.set_viewport_size({"width": width, "height": 900})
            assert opened.page.evaluate(STICKS_OUT) == []
            assert violations(opened.page, "critical", "serious") == []


@pytest.mark.parametrize(("chapter", "variant"), dict.fromkeys(row[:2] for row in FAILURES))
def test_every_failure_can_be_reached_and_left_again(opened, chapter, variant):
    if opened.oracle.session.variant != variant:
        opened.choose(variant)
    for part in opened.oracle.session.parts:
        ways = [row[3] for row in FAILURES if row[:3] == (chapter, variant, part.key)]
        opened.go_to(part.key)
        opened.answer(part.key)
        opened.lock(part.key)
        assert opened.shows(part.key) == [], "no default breaks a promise"
        for settings in ways:
            opened.set(part.key, **settings)
            assert opened.shows(part.key) != []
            opened.reset(part.key)
            assert opened.shows(part.key) == [], "what failed works again"


def test_a_saved_run_is_found_after_a_reload(opened, chapter, server_home):
    part = first_part(opened)
    opened.answer(part)
    opened.lock(part)
    key, _ = SLIDER[chapter]
    opened.press(part, key, "ArrowRight")
    opened.shows(part)
    expect(opened.hud).to_contain_text("NOT SAVED")
    opened.button("Save to ledger").click()
    expect(opened.notices.filter(has_text="Saved")).to_be_visible()
    expect(opened.hud).not_to_contain_text("NOT SAVED")
    moved = opened.oracle.session.settings(part)[key]
    records = json.loads((server_home / "ledger.json").read_text(encoding="utf-8"))
    assert opened.oracle.engine.key in json.dumps(records)

    opened.lab.server.end_sessions(f"release/{chapter}/lab.ipynb")
    opened.lab.reload(f"release/{chapter}/lab.ipynb")
    opened.lab.run_all()
    expect(opened.button("Lock my prediction")).to_be_visible()
    opened.button("Take up my saved run").click()
    expect(opened.notices.filter(has_text="Taken up:")).to_be_visible()
    expect(opened.button("Lock my prediction")).to_be_hidden()
    assert opened.oracle.session.settings(part)[key] == moved
    opened.shows(part)
