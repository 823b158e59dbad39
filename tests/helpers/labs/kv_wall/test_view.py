"""Lab 3 on the page."""

import pytest

from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.kv_wall import view
from servemath_helpers.labs.kv_wall.model import MemorySetup
from servemath_helpers.labs.kv_wall.story import CONTEXTS
from servemath_helpers.labs.kv_wall.view import KVWallLab

from ..test_all_labs import unlock

ENGINE = KVWallLab.engine


@pytest.fixture
def lab(tmp_path):
    return KVWallLab("ada", ledger=Ledger(tmp_path / "ledger.json"))


def test_the_widget_is_built_and_follows_the_session(lab):
    box = lab.box("act1")
    lab.predict("act1", "users", "query_heads", 2)
    lab.lock("act1")
    assert box.questions["users"].options.disabled
    box.controls["n_gpus"].value = 1
    assert lab.session.settings("act1")["n_gpus"] == 1
    assert "Out of memory." in box.panes.value
    box.controls["n_gpus"].value = 8
    assert "Viable: 297 users." in box.panes.value


def test_the_reality_of_act_one_says_what_the_number_assumes(lab):
    lab.predict("act1", "users", "query_heads", 2)
    lab.lock("act1")
    before = ENGINE.reality(lab.session, "act1")
    assert "13 ✗" in before and "0.12×" in before and "sure 2 of 5" in before
    assert "What your number assumes:" in before


def test_a_right_prediction_needs_no_explanation(lab):
    lab.predict("act1", "users", "right")
    lab.lock("act1")
    shown = ENGINE.reality(lab.session, "act1")
    assert "106 ✓" in shown and "assumes" not in shown and "confidence not given" in shown


def test_the_reality_of_act_two_counts_right_answers_and_shows_the_runs(lab):
    unlock(lab, right=False)
    shown = ENGINE.reality(lab.session, "act2")
    assert "0 of 3" in shown and "continuous, at most 8" in shown and "3.11 min" in shown


def test_the_sides_say_what_is_wrong_with_each(lab):
    unlock(lab)
    lab.adjust("act2", b_mode="static", b_max_batch=8)
    html = ENGINE.panes(lab.session, "act2", False)["sides"]
    a, b = html.split('data-side="B"')
    assert "Every bound kept." in a and "Unstable queue." in b and "TTFT bound missed." in b
    assert "✗" not in a


def test_a_design_without_memory_shows_dashes(lab):
    unlock(lab)
    lab.adjust("act2", a_n_gpus=1)
    html = ENGINE.panes(lab.session, "act2", True)["sides"]
    assert "Out of memory." in html.split('data-side="B"')[0] and "<b>–" in html


def test_what_has_no_bound_is_not_judged(lab):
    lab.choose_variant("throughput")
    unlock(lab)
    sides = ENGINE.panes(lab.session, "act2", False)["sides"]
    assert sides.count("no bound") == 4


def test_the_story_names_the_role_and_the_task_what_is_asked(lab):
    for context in CONTEXTS.values():
        lab.choose_variant(context.key)
        assert context.role in ENGINE.story(lab.session)
        for part, said in (("act1", context.act1_message), ("act2", context.act2_message)):
            assert said.split(".")[0] in ENGINE.task(lab.session, part)


def test_a_missed_design_is_an_attempt_too(lab):
    unlock(lab)
    lab.adjust("act2", a_mode="static")
    lab.attempt("act2")
    (tried,) = lab.session.attempts("act2")
    assert not tried.passed and tried.figures["batching"] == "static"


def test_the_derivation_shows_gqa_and_what_it_saves():
    text = view._memory_derivation(MemorySetup())
    for shown in (
        r"2 \cdot 80 \cdot 8 \cdot 128 \cdot 2 = 327680",
        *("1.25$ GiB", "10 GiB", "5$ MiB", "= 371"),
    ):
        assert shown in text
    # Where every head has its own, there is nothing to compare with.
    plain = view._memory_derivation(MemorySetup(model="Llama-2-7B"))
    assert plain.count("<p>") == text.count("<p>") - 1


def test_the_second_derivation_prints_the_numbers_of_the_run(lab):
    text = ENGINE.peek(lab.session, "act2")
    assert "18.3 ms" in text and "bound by memory" in text and "3.36" in text
