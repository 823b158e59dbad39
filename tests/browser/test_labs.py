"""All labs in JupyterLab: predict, lock, adjust, fail, recover, save, come back."""

import json
import re
import shutil

import pytest
from playwright.sync_api import expect

from autograder.course import HOME
from servemath_helpers.labs.accelerator.view import AcceleratorLab
from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.kv_wall.view import KVWallLab
from servemath_helpers.labs.queueing_lab.mission import judge
from servemath_helpers.labs.queueing_lab.view import QueueingLab

from .axe import violations
from .jupyter import Lab, errors
from .labs import LabPage

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

LABS = {
    "ch3_kv_cache_wall": KVWallLab,
    "ch4_queueing_lab": QueueingLab,
    "ch5_fleets_and_measurement": AcceleratorLab,
}

#: Of both machines that lab 5 brings along.
MACHINE = {
    "part1": {"Noisy.": {"spread": 30}},
    "part2": {
        "Unstable queue.": {"share": 150},
        "KV full.": {"kv_tokens": 128},
        "Client late: run void.": {"client_ms": 500},
        "Noisy.": {"noise": 50},
    },
    "part3": {"Promise broken.": {"replicas": 1}, "Unstable queue.": {"replicas": 1}},
}

#: Settings that break each promise there is: variant -> part -> title of the banner -> how.
FAILURES = {
    "ch3_kv_cache_wall": {
        "latency": {
            "act1": {
                "Out of memory.": {"n_gpus": 1},
                "At the wall: 5 users.": {"n_gpus": 1, "bits": 8},
                "Nobody fits.": {"seq_tokens": 32768, "model": "Llama-3-70B as MHA", "n_gpus": 2},
            },
            "act2": {
                "Out of memory.": {"a_n_gpus": 1},
                "KV full.": {"b_n_gpus": 2},
                "Unstable queue.": {"lam_rps": 60.0},
                "TTFT bound missed.": {"lam_rps": 60.0},
                "TPOT bound missed.": {"prompt_tokens": 8192},
                "Throughput below target.": {"lam_rps": 60.0},
            },
        },
        "throughput": {
            "act1": {"Out of memory.": {"n_gpus": 1}},
            "act2": {
                "Out of memory.": {"a_n_gpus": 1},
                "KV full.": {"a_n_gpus": 2},
                "Throughput below target.": {"lam_rps": 1.0},
            },
        },
    },
    "ch5_fleets_and_measurement": {"recorded": MACHINE, "reference": MACHINE},
    "ch4_queueing_lab": {
        "cloud": {
            "part1": {"Memory exceeded.": {"lam_rps": 400.0, "W_ms": 8000.0}},
            "part2": {
                "Latency promise broken.": {"lam_rps": 10.0},
                "Unstable queue.": {"lam_rps": 400.0},
            },
            "part3": {
                "Latency promise broken.": {"rho": 0.99},
                "Memory exceeded.": {"rho": 0.99, "policy": "greedy"},
                "Over budget.": {"replicas": 16},
            },
        },
        "edge": {
            "part1": {"Memory exceeded.": {"W_ms": 40.0}},
            "part2": {"Unstable queue.": {"sensors": 12}, "Deadline missed.": {"sensors": 12}},
            "part3": {"Unstable queue.": {"sensors": 12}, "Deadline missed.": {"sensors": 12}},
        },
        "mobile": {
            "part1": {"Memory exceeded.": {"lam_rps": 240.0}},
            "part2": {
                "Latency promise broken.": {"B": 4},
                "Frame skip.": {"wait_ms": 15.0},
            },
            "part3": {
                "Unstable queue.": {"compute_ms": 18.0},
                "Frame skip.": {"compute_ms": 18.0},
                "Latency promise broken.": {"compute_ms": 18.0},
            },
        },
        "tiny": {
            "part1": {"Memory exceeded.": {"lam_rps": 200.0}},
            "part2": {
                "Frames lost.": {"lam_rps": 200.0},
                "Energy budget exceeded.": {"S_ms": 2.0},
                "Deadline missed.": {"S_ms": 12.0},
            },
            "part3": {
                "Frames lost.": {"lam_rps": 200.0},
                "Energy budget exceeded.": {"S_ms": 2.0},
                "Deadline missed.": {"S_ms": 12.0},
            },
        },
    },
}

#: A slider that is moved by keyboard in the first part of each lab, and the card that follows.
SLIDER = {
    "ch3_kv_cache_wall": ("seq_tokens", "Max users"),
    "ch4_queueing_lab": ("lam_rps", "L = λW"),
    "ch5_fleets_and_measurement": ("batch", "tok/s"),
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
def opened(pages, chapter, server_home, tmp_path):
    """Return the lab on the page, begun anew by Run All, beside one in code.

    Opening JupyterLab takes longer than any of these tests, so they share the page, and what one
    did is not taken up by the next.
    """
    lab = pages(chapter)
    lab.page_errors.clear()
    lab.page.bring_to_front()
    (server_home / "ledger.json").unlink(missing_ok=True)
    lab.run_all()
    return LabPage(lab, LABS[chapter](ledger=Ledger(tmp_path / "ledger.json")))


@pytest.mark.parametrize("track", FAILURES["ch4_queueing_lab"])
def test_no_promise_of_a_track_is_missing_above(track):
    for part in QueueingLab.engine.parts(track):
        settings = {control.key: control.default for control in part.controls}
        promised = {limit.title for limit in judge(track, part.key, settings).limits}
        assert promised == set(FAILURES["ch4_queueing_lab"][track][part.key])


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
    sliders = opened.root.locator(".noUi-handle").filter(visible=True)
    for label in sliders.evaluate_all("(all) => all.map((one) => one.ariaLabel)"):
        assert label
    said = opened.slider(part, key).get_attribute("aria-valuetext")
    assert float(said) == opened.oracle.session.settings(part)[key]
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
      && one.getBoundingClientRect().width > 0
      // MathJax clips its copy for screen readers to one pixel.
      && !one.closest('.noUi-base, .sm-scroll, .sm-peek, mjx-assistive-mml'))
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
        for width in (390, 640, 1280):
            opened.page.set_viewport_size({"width": width, "height": 900})
            assert opened.page.evaluate(STICKS_OUT) == []
            if width > 390:  # there JupyterLab's own prose is not its best: tables that scroll
                assert violations(opened.page, "critical", "serious") == []


@pytest.mark.parametrize(
    ("chapter", "variant"),
    [(chapter, variant) for chapter, variants in FAILURES.items() for variant in variants],
)
def test_every_failure_can_be_reached_and_left_again(opened, variant):
    chapter = next(name for name, kind in LABS.items() if isinstance(opened.oracle, kind))
    if opened.oracle.session.variant != variant:
        opened.choose(variant)
    for part, ways in FAILURES[chapter][variant].items():
        opened.go_to(part)
        opened.answer(part)
        opened.lock(part)
        assert opened.shows(part) == [], "no default breaks a promise"
        reached = set()
        for settings in {str(settings): settings for settings in ways.values()}.values():
            opened.set(part, **settings)
            reached |= set(opened.shows(part))
            opened.reset(part)
            assert opened.shows(part) == [], "what failed works again"
        assert set(ways) <= reached


def test_a_run_is_kept_as_it_goes_and_taken_up_after_a_restart(opened, chapter, server_home):
    part = first_part(opened)
    expect(opened.hud).to_contain_text("NOT SAVED")
    opened.answer(part)
    opened.lock(part)
    expect(opened.hud).not_to_contain_text("NOT SAVED")
    key, _ = SLIDER[chapter]
    opened.press(part, key, "ArrowRight")
    opened.shows(part)
    opened.button("Save to ledger").click()  # sooner than when the slider has rested
    expect(opened.notices.filter(has_text="Saved")).to_be_visible()
    moved = opened.oracle.session.settings(part)[key]
    records = json.loads((server_home / "ledger.json").read_text(encoding="utf-8"))
    assert opened.oracle.engine.key in json.dumps(records)

    opened.lab.server.end_sessions(f"release/{chapter}/lab.ipynb")
    opened.lab.reload(f"release/{chapter}/lab.ipynb")
    opened.lab.run_all()
    expect(opened.notices.filter(has_text="Taken up:")).to_be_visible()
    expect(opened.button("Lock my prediction")).to_be_hidden()
    assert opened.oracle.session.settings(part)[key] == moved
    opened.shows(part)


#: The button measures this machine, with a model so small that it takes seconds.
SMALL_MODEL = """
from functools import partial
from servemath_helpers.labs.accelerator import model, view
from servemath_helpers.tinyllm.transformer import TINY
model._OUTPUTS = (3, 5)
view.measure_record = partial(model.measure_record, shape=TINY)
"""


@pytest.mark.parametrize("chapter", ["ch5_fleets_and_measurement"])
def test_a_click_measures_my_machine_and_turns_to_it(opened, server_home):
    opened.lab.in_kernel(SMALL_MODEL)
    opened.button("Measure my machine").click()
    expect(opened.notices.filter(has_text="Measured.")).to_be_visible(timeout=120_000)
    mine = opened.root.get_by_role("button", name="My machine", exact=True)
    expect(mine).to_have_class(re.compile("mod-active"))
    expect(opened.button("Lock my prediction")).to_be_visible()
    record = json.loads((server_home / "accelerator.json").read_text(encoding="utf-8"))
    assert record["clock"] == "wall" and opened.lab.page_errors == []
    (server_home / "accelerator.json").unlink()
