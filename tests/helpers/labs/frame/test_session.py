import json
from dataclasses import FrozenInstanceError, replace

import pytest

from servemath_helpers.labs.frame.lock import LabError, Option, Question
from servemath_helpers.labs.frame.session import Control, Part, Session

RIGHT, WRONG = Option("twice", "160", 160), Option("same", "80", 80)
PREDICT = Question("double", "Twice the arrivals?", (WRONG, RIGHT), "twice")
REFLECT = Question("sizing", "Which number?", (WRONG, RIGHT), "same")
CONTROLS = (
    Control("lam_rps", "Arrivals", 40.0, low=0, high=200),
    Control("B", "Batch", 8, low=1, high=64),
    Control("policy", "Policy", "fixed", choices=(("fixed", "fixed"), ("greedy", "greedy"))),
    Control("pipelined", "Pipelined", False),
    Control("free", "Free", 1.0),
)


def fresh(learner="ada"):
    parts = [
        Part("part1", "One", (PREDICT,), {"lam_rps": 80}, CONTROLS, (REFLECT,)),
        Part("part2", "Two", (PREDICT,), {"B": 4}, CONTROLS),
    ]
    return Session.start("lab4", learner, "cloud", parts)


def locked(*parts):
    run = fresh()
    for part in parts or ("part1",):
        run = run.predict(part, "double", "twice", 4).lock(part)
    return run


def test_every_step_gives_a_new_session_and_leaves_the_old_one():
    first = fresh()
    second = first.predict("part1", "double", "same")
    third = second.predict("part1", "double", "twice", 4).lock("part1")
    assert first.chosen("part1", "double") == (None, None)
    assert second.chosen("part1", "double") == ("same", None)
    assert (second.is_locked("part1"), third.is_locked("part1")) == (False, True)
    with pytest.raises(FrozenInstanceError):
        third.text = "x"
    with pytest.raises(TypeError):
        third.settings("part1")["lam_rps"] = 0


def test_a_lock_holds_the_answer_and_the_scenario_as_they_were():
    run = locked().adjust("part1", lam_rps=10)
    kept = run.prediction("part1", "double")
    assert (kept.correct, kept.confidence, dict(kept.scenario)) == (True, 4, {"lam_rps": 80})
    assert run.predictions("part1") == (kept,) and run.predictions("part2") == ()


@pytest.mark.parametrize(
    "step",
    [
        lambda run: run.adjust("part1", lam_rps=1),
        lambda run: run.reset("part1"),
        lambda run: run.attempt("part1", True),
        lambda run: run.reflect("part1", "sizing", "same"),
        lambda run: run.prediction("part1", "double"),
    ],
    ids=["adjust", "reset", "attempt", "reflect", "prediction"],
)
def test_nothing_of_a_part_opens_before_its_lock(step):
    with pytest.raises(LabError, match='lock your prediction of "One" first'):
        step(fresh())


def test_an_option_can_be_named_by_its_place():
    options = [option.key for option in fresh().part("part1").questions[0].options]
    for place, key in enumerate(options, 1):
        assert fresh().predict("part1", "double", place, 4).chosen("part1", "double") == (key, 4)


def test_each_of_several_predictions_is_found():
    second = Question("again", "And again?", (WRONG, RIGHT), "same")
    part = Part("part1", "One", (PREDICT, second), {})
    run = Session.start("lab4", "ada", "cloud", [part])
    run = run.predict("part1", "double", "same").predict("part1", "again", "same").lock("part1")
    assert [run.prediction("part1", key).correct for key in ("double", "again")] == [False, True]


def test_the_journey_lists_every_answer_in_order():
    rows = full().lock("part2").record()["journey"]
    assert [(row["part"], row["kind"], row["correct"], row["confidence"]) for row in rows] == [
        ("One", "prediction", True, 4),
        ("One", "reflection", True, None),
        ("Two", "prediction", False, None),
    ]
    assert [row["correct"] for row in locked().record()["journey"]] == [True]


def test_what_is_locked_stays_locked():
    run = locked()
    with pytest.raises(LabError, match="is locked"):
        run.predict("part1", "double", "same")
    with pytest.raises(LabError, match="is locked"):
        run.lock("part1")


def test_an_unanswered_question_is_named_by_its_place_not_by_its_key():
    with pytest.raises(LabError, match=r"^answer the question first$"):
        fresh().lock("part1")
    asked = tuple(Question(key, "?", (WRONG, RIGHT), "same") for key in "abc")
    run = Session.start("lab4", "ada", "cloud", [Part("part1", "One", asked, {})])
    with pytest.raises(LabError, match=r"^of 3 questions, answer first: 1, 3$"):
        run.predict("part1", "b", 1).lock("part1")


@pytest.mark.parametrize(
    "step", [lambda run: run.predict("part2", "double", 1), lambda run: run.lock("part2")]
)
def test_no_part_can_be_answered_before_the_one_that_it_tells_of(step):
    with pytest.raises(LabError, match='lock your prediction of "One" first'):
        step(fresh())
    assert fresh().waits_for("part2").key == "part1" and fresh().waits_for("part1") is None
    assert locked().waits_for("part2") is None


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda run: run.part("part9"), "lab4 has no part 'part9'"),
        (lambda run: run.chosen("part1", "x"), "part1 has no question 'x'"),
        (lambda run: run.predict("part1", "double", "x"), "double has no option 'x'"),
        (lambda run: run.predict("part1", "double", 0), "double has no option 0; it has 1 to"),
        (lambda run: run.predict("part1", "double", True), "double has no option True"),
        (lambda run: run.predict("part1", "double", "same", 9), "confidence"),
        (lambda run: run.adjust("part1", x=1), "part1 has no setting 'x'"),
        (lambda run: run.adjust("part1", lam_rps=201), "lam_rps must be from 0 to 200"),
        (lambda run: run.adjust("part1", lam_rps=-1), "lam_rps must be from 0 to 200"),
        (lambda run: run.adjust("part1", lam_rps="x"), "lam_rps must be a finite number"),
        (lambda run: run.adjust("part1", B=2.5), "B must be a whole number"),
        (lambda run: run.adjust("part1", policy="best"), "policy must be one of 'fixed', 'greedy'"),
        (lambda run: run.adjust("part1", pipelined=1), "pipelined must be True or False"),
        (lambda run: run.write(3), "text must be text"),
    ],
)
def test_what_does_not_exist_or_fit_is_named(step, message):
    with pytest.raises(LabError, match=message):
        step(locked() if message[:4] not in ("doub", "conf") else fresh())


def test_settings_keep_their_kind():
    run = locked().adjust("part1", lam_rps=12, B=4.0, pipelined=True, policy="greedy", free=1e9)
    assert dict(run.settings("part1")) == {
        "lam_rps": 12.0,
        "B": 4,
        "policy": "greedy",
        "pipelined": True,
        "free": 1e9,
    }
    assert type(run.settings("part1")["B"]) is int
    assert run.reset("part1").settings("part1") == fresh().settings("part1")


def test_a_step_that_changes_nothing_returns_the_same_session():
    run = locked().write("why")
    assert run.adjust("part1", lam_rps=40) is run
    assert run.write("why") is run


def test_attempts_are_counted_and_keep_their_settings():
    run = locked().attempt("part1", False, {"P99": "2 s"})
    run = run.adjust("part1", B=2).attempt("part1", True)
    assert run.iterations == 2
    first, second = run.attempts("part1")
    assert (first.passed, first.settings["B"], dict(first.figures)) == (False, 8, {"P99": "2 s"})
    assert (second.passed, second.settings["B"]) == (True, 2)


def test_a_part_is_done_when_all_its_reflections_are_answered():
    run = locked()
    assert not run.is_done("part1")
    assert run.reflection("part1", "sizing") is None
    run = run.reflect("part1", "sizing", "twice").reflect("part1", "sizing", "same")
    assert run.is_done("part1") and run.reflection("part1", "sizing").correct
    assert locked("part1", "part2").is_done("part2")  # nothing to reflect on
    assert not run.is_done("part2")


def full():
    run = locked().adjust("part1", B=3).attempt("part1", True, {"n": 1}).adjust("part1", B=5)
    return (
        run.reflect("part1", "sizing", "same").write("because").predict("part2", "double", "same")
    )


def test_a_run_can_be_restored_from_what_was_kept_as_json():
    run = full()
    again = fresh().restore(json.loads(json.dumps(run.to_dict())))
    assert again == run


def test_parts_that_an_earlier_version_let_lock_in_any_order_are_taken_up_so():
    state = locked("part1", "part2").to_dict()
    state.update(locked=["part2"], chosen={"part2/double": ["same", 2]}, attempts={})
    again = fresh().restore(state)
    assert again.is_locked("part2") and not again.is_locked("part1")


def test_what_stands_is_what_was_put_to_the_test_and_won():
    run = locked()
    assert run.attempted("part1") is None and run.missions == "0/2"
    assert run.adjust("part1", B=9).as_attempted().settings("part1")["B"] == 8
    run = run.adjust("part1", B=2).attempt("part1", False).adjust("part1", B=3)
    assert run.as_attempted().settings("part1")["B"] == 2
    run = run.attempt("part1", True).adjust("part1", B=4).attempt("part1", False)
    run = run.adjust("part1", B=64)
    assert run.as_attempted().settings("part1")["B"] == 3 and run.settings("part1")["B"] == 64
    assert run.missions == "1/2" and run.record()["missions"] == {"part1": True, "part2": False}


#: What another run may have done that this one has not.
MORE = (
    lambda run: run.attempt("part1", False),
    lambda run: run.reflect("part1", "sizing", "same"),
    lambda run: run.write("because"),
    lambda run: run.predict("part2", "double", "same"),
    lambda run: run.predict("part2", "double", "same").lock("part2"),
)


@pytest.mark.parametrize("more", MORE)
def test_a_run_holds_another_if_nothing_of_it_is_lost(more):
    run = locked()
    fuller = more(run)
    assert run.holds(fresh().to_dict()) and fuller.holds(run.to_dict())
    assert not run.holds(fuller.to_dict()) and not fresh().holds(run.to_dict())
    assert Session.fullness(fuller.to_dict()) > Session.fullness(run.to_dict())


def test_an_answer_that_is_not_locked_can_be_replaced_and_a_locked_one_cannot():
    first, other = (fresh().predict("part1", "double", key) for key in ("same", "twice"))
    assert other.holds(first.to_dict())
    assert not other.lock("part1").holds(first.lock("part1").to_dict())


def test_what_is_kept_before_the_lock_does_not_tell_the_key():
    run = fresh().predict("part1", "double", "twice", 4)
    ((place, sure),) = run.to_dict()["chosen"].values()
    assert (place, sure) in ((1, 4), (2, 4)) and fresh().restore(run.to_dict()) == run
    assert run.lock("part1").to_dict()["chosen"] == {"part1/double": ["twice", 4]}


def test_a_run_that_no_longer_fits_is_refused():
    state = full().to_dict()
    with pytest.raises(LabError, match="that run was of 'edge', this is 'cloud'"):
        fresh().restore({**state, "variant": "edge"})
    with pytest.raises(LabError, match="no option"):
        fresh().restore({**state, "chosen": {"part1/double": ["gone", None]}})


def test_any_change_unmarks_a_saved_run_and_its_record_is_plain_json():
    run = replace(full(), saved_at="2030-01-01")
    assert run.write("other").saved_at is None
    kept = json.loads(json.dumps(run.record({"L": 80, "p99_ms": float("inf")})))
    assert (kept["L"], kept["p99_ms"]) == (80, None)
    assert fresh().restore(kept["session"]) == full()


def test_a_default_out_of_range_is_refused_where_it_is_written():
    with pytest.raises(LabError, match="B must be from 1 to 4"):
        Control("B", "Batch", 8, low=1, high=4)


def test_a_number_is_kept_without_the_noise_of_adding_up_steps():
    control = Control("share", "Share", 0.1, low=0, high=1, step=0.05)
    assert control.accept(0.1 + 0.05) == 0.15 != 0.1 + 0.05
