"""Lab 3's widgets, driven from code: no browser."""

import random
import re
from xml.etree import ElementTree as ET

import pytest

from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.kv_wall import serving
from servemath_helpers.labs.kv_wall.story import CONTEXTS
from servemath_helpers.labs.kv_wall.view import KVWallLab


@pytest.fixture
def lab(tmp_path):
    return KVWallLab("ada", ledger=Ledger(tmp_path / "ledger.json"))


def finish_predictions(lab, *, right=True):
    for part in lab.session.parts:
        for asked in part.questions:
            key = next(o.key for o in asked.options if (o.key == asked.answer) == right)
            lab.predict(part.key, asked.key, key, 4)
        lab.lock(part.key)


def panes(lab, part, tables=False):
    return "".join(lab.instruments(lab.session, part, tables=tables).values())


@pytest.mark.parametrize("context", list(CONTEXTS))
def test_both_acts_can_be_worked_from_code(lab, context):
    lab.choose_variant(context)
    finish_predictions(lab)
    for part, asked in (("act1", "lever"), ("act2", "reason")):
        lab.adjust(part, **{"seq_tokens": 1024} if part == "act1" else {"a_max_batch": 100})
        lab.attempt(part)
        lab.reflect(part, asked, lab.session.part(part).reflections[0].answer)
    assert [a.passed for p in ("act1", "act2") for a in lab.session.attempts(p)] == [True, True]
    assert lab.save()
    other = KVWallLab("ada", ledger=lab.ledger)
    assert other.resume() and other.session.variant == context
    assert dict(other.hud(other.session))["REFLECT"] == "2/2"


def test_the_widget_is_built_and_follows_the_session(lab):
    box = lab.box("act1")
    lab.predict("act1", "users", "query_heads", 2)
    lab.lock("act1")
    assert box.questions["users"].options.disabled
    box.controls["n_gpus"].value = 1
    assert lab.session.settings("act1")["n_gpus"] == 1
    assert "Out of memory." in box.panes.value
    box.controls["n_gpus"].value = 8
    assert "Viable: 371 users." in box.panes.value


def test_the_reality_of_act_one_stays_when_sliders_move(lab):
    lab.predict("act1", "users", "query_heads", 2)
    lab.lock("act1")
    before = lab.reality(lab.session, "act1")
    assert "46 ✗" in before and "0.12×" in before and "sure 2 of 5" in before
    assert "What your number assumes:" in before
    lab.adjust("act1", n_gpus=1)
    assert lab.reality(lab.session, "act1") == before


def test_a_right_prediction_needs_no_explanation(lab):
    lab.predict("act1", "users", "right")
    lab.lock("act1")
    shown = lab.reality(lab.session, "act1")
    assert "371 ✓" in shown and "assumes" not in shown and "confidence not given" in shown


def test_the_reality_of_act_two_counts_right_answers_and_shows_the_runs(lab):
    finish_predictions(lab, right=False)
    shown = lab.reality(lab.session, "act2")
    assert "0 of 3" in shown and "continuous, at most 8" in shown and "3.11 min" in shown


@pytest.mark.parametrize("part", ["act1", "act2"])
def test_every_picture_has_alt_text_and_a_table_beside_it(lab, part):
    finish_predictions(lab)
    html = panes(lab, part)
    pictures = html.count("<svg")
    assert pictures == {"act1": 3, "act2": 4}[part]
    assert len(re.findall(r'role="img" aria-label="[^"]{40,}"', html)) == pictures
    assert "<table" not in html and "<table" in panes(lab, part, tables=True)


def test_the_sides_say_what_is_wrong_with_each(lab):
    finish_predictions(lab)
    lab.adjust("act2", b_mode="static", b_max_batch=8)
    html = lab.instruments(lab.session, "act2")["sides"]
    a, b = html.split('data-side="B"')
    assert "All goals met." in a and "Unstable queue." in b and "TTFT bound missed." in b
    assert "✗" not in a


def test_a_design_without_memory_shows_dashes(lab):
    finish_predictions(lab)
    lab.adjust("act2", a_n_gpus=1)
    html = lab.instruments(lab.session, "act2", tables=True)["sides"]
    assert "Out of memory." in html.split('data-side="B"')[0] and "<b>–" in html


def test_what_has_no_bound_is_not_judged(lab):
    lab.choose_variant("throughput")
    finish_predictions(lab)
    sides = lab.instruments(lab.session, "act2")["sides"]
    assert sides.count("no bound") == 4


def test_the_story_names_the_role_and_the_task_what_is_asked(lab):
    for context in CONTEXTS.values():
        lab.choose_variant(context.key)
        assert context.role in lab.story(lab.session)
        for part, said in (("act1", context.act1_message), ("act2", context.act2_message)):
            assert said.split(".")[0] in lab.task(lab.session, part)


def test_the_derivations_can_be_opened(lab):
    assert "371" in lab.peek(lab.session, "act1") and "18.3 ms" in lab.peek(lab.session, "act2")
    assert all("<details" in lab.peek(lab.session, part) for part in ("act1", "act2"))


def test_a_missed_design_is_an_attempt_too(lab):
    finish_predictions(lab)
    lab.adjust("act2", a_mode="static")
    lab.attempt("act2")
    (tried,) = lab.session.attempts("act2")
    assert not tried.passed and tried.figures["batching"] == "static"


def test_only_the_configuration_that_changed_runs_again(lab):
    finish_predictions(lab)
    panes(lab, "act2")
    before = serving._run.cache_info().misses
    lab.adjust("act2", a_max_batch=77)
    panes(lab, "act2")
    assert serving._run.cache_info().misses == before + 1


def anything(control, rng):
    """A random value that the control accepts, often one of its ends."""
    if control.choices:
        return rng.choice([value for _, value in control.choices])
    steps = round((control.high - control.low) / control.step)
    return control.low + control.step * rng.choice([0, steps, rng.randrange(steps + 1)])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("context", list(CONTEXTS))
def test_every_setting_can_be_shown_and_saved(lab, context, seed):
    lab.choose_variant(context)
    finish_predictions(lab)
    rng = random.Random(seed)
    for part in lab.session.parts:
        lab.adjust(part.key, **{c.key: anything(c, rng) for c in part.controls})
        html = panes(lab, part.key, tables=True)
        for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
            ET.fromstring(svg)
        assert "nan" not in re.sub(r"[a-z]+nan[a-z]*|nan[a-z]+", "", html)
        lab.attempt(part.key)
    assert lab.save()
