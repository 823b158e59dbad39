"""Deep checks: wrong ideas meet a counter-example, small and in words; nothing secret ships.

That right solutions pass, and which wrong ones do, is a rule of `servemath check`.
"""

import contextlib
import math
import re
import threading
import time
from decimal import Decimal
from fractions import Fraction

import nbformat
import numpy as np
import pytest

from autograder import bank
from autograder.bank import runner
from autograder.course import HOME, Course
from servemath_helpers import deep
from servemath_helpers.deep import deep_check, engine
from servemath_helpers.deep.engine import Dice, Unasked, close, examine, exercise, root
from servemath_helpers.deep.exactly import asked, from_
from servemath_helpers.deep.limit import Spent, TooLong, Watch
from servemath_helpers.deep.shrink import shrink

from .. import shared

COURSE = Course.at(HOME)
CHECKED = [
    pytest.param(chapter, record, id=record.slug)
    for chapter in COURSE.chapters()
    for record in bank.load(chapter)
    if record.slug in deep.exercises()
]

#: Wrong ideas that reach lines of an oracle which neither the solution nor the first idea does.
#: Lines are counted with these alone: counting takes four times as long.
REACHING = {
    "mm1": ("latency_linear_in_load",),
    "replicas_needed": ("small_number_subtracted",),
    "summarize_traces": ("bounds_are_excluded",),
    "release_gate": ("mean_as_low_end", "quality_only", "unpaired"),
    "batch_metrics": ("rounded_load",),
    "validate_request": ("base_two",),
    "goodput": ("stability_only", "credits_added"),
    "min_gpus": ("reserve_in_doubles",),
    "capacity_plan": ("memory_buys_servers",),
    "two_choices_tail": ("cache_alone",),
    "fit_step": ("clipped_afterwards", "mean_error"),
    "plan_fleet": ("fewest_replicas",),
}


def secret_lines(chapter):
    """Lines of a solution, or of a hidden test, that learners do not receive."""
    notebook = nbformat.read(COURSE.source / chapter / "exercises.ipynb", as_version=4)
    secret, public = set(), set()
    for cell in notebook.cells:
        inside = False
        for line in map(str.strip, cell.source.splitlines()):
            if line.startswith("### "):
                inside = line.startswith("### BEGIN")
            else:
                (secret if inside else public).add(line)
    for record in bank.load(chapter):
        for one in record.right:
            secret |= {line.strip() for line in one.code.splitlines()}
    return {line for line in secret - public if len(line) > 20}


@pytest.mark.parametrize("chapter", COURSE.chapters())
def test_no_line_of_a_solution_or_of_a_hidden_test_is_shipped(chapter):
    secret = secret_lines(chapter)
    assert len(secret) > 100
    imports = re.compile(r"(from|import) ")
    for path in (HOME / "servemath_helpers" / "deep").glob("*.py"):
        lines = {line.strip() for line in path.read_text("utf-8").splitlines()}
        assert {line for line in lines & secret if not imports.match(line)} == set(), path


@pytest.fixture(scope="module", autouse=True)
def declared_anew():
    """Have promises run here, where lines are counted."""
    for one in deep.exercises().values():
        vars(one).pop("promises", None)


@pytest.mark.parametrize(("chapter", "record"), CHECKED)
def test_a_right_solution_meets_none_and_a_wrong_idea_the_same_each_time(
    chapter, record, tmp_path_factory
):
    notebook = nbformat.read(COURSE.source / chapter / "exercises.ipynb", as_version=4)
    right = runner.deep(record, runner.solution_source(notebook, record.slug))
    assert right.state == engine.FINE
    first, *others = record.wrong
    named = REACHING.get(record.slug, ())
    tried = [first, *(wrong for wrong in others if wrong.name in named)]
    assert len(tried) == len(named) + 1
    for wrong in tried:
        again = shared.deep_once(tmp_path_factory)(record, wrong.code)
        assert runner.deep(record, wrong.code) == again


@pytest.mark.no_cover
@pytest.mark.parametrize(("chapter", "record"), CHECKED)
def test_wrong_ideas_meet_a_counter_example(chapter, record, tmp_path_factory):
    """Nearly all, also of those that visible checks catch."""
    look = shared.deep_once(tmp_path_factory)
    found = {wrong.name: look(record, wrong.code) for wrong in record.wrong}
    states = [finding.state for finding in found.values()]
    assert set(states) <= {engine.BROKEN, engine.FINE}
    assert states.count(engine.BROKEN) >= 0.8 * len(states), found
    told = [finding.text for finding in found.values() if finding.state == engine.BROKEN]
    for text in told:
        head, *_, what = text.splitlines()
        assert re.fullmatch(r"✗ \w+: a counter-example\.", head)
        assert what.startswith(("What should hold: ", "Does a loop never end"))


# ------------------------------------------------------------------ the search


@pytest.fixture
def promised(monkeypatch):
    """Return what declares an exercise `f`, and checks a function for it."""
    monkeypatch.setattr(engine, "EXERCISES", {})

    def promised(declare, function, **limits):
        exercise("f")(declare)
        return examine({"f": function}, **limits)

    return promised


def pairs(dice):
    return {"x": dice.number(0, 9), "y": dice.whole(1, 9)}


def test_a_counter_example_is_made_small_and_shown_whole(promised):
    def declare(deep):
        deep.agrees(pairs, lambda x, y: x + y, "f adds")

    assert promised(declare, lambda x, y: x + y).text == (
        "✓ f: no counter-example in 60 random and edge cases"
    )
    found = promised(declare, lambda x, y: x + (y if y < 4 else 4))
    assert found.text == (
        "✗ f: a counter-example.\n  <lambda>(x=0, y=5) should return 5, but it returned 4.\n"
        "What should hold: f adds."
    )


def crash(x, y):
    return 1 / (x - x)


def spoil(x, y):
    x.append(y)
    return y


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (crash, r"crash\(x=0, y=0\) should return 0, but it raised ZeroDivisionError"),
        (lambda x, y: None, r"should return 0, but it returned None: is a `return` missing"),
        (lambda y: y, r"raised TypeError: .*unexpected keyword argument 'x'"),
    ],
)
def test_what_came_is_said(promised, function, told):
    def declare(deep):
        deep.agrees(pairs, lambda x, y: x + y, "f adds")

    assert re.search(told, promised(declare, function).text)


def test_a_changed_argument_is_a_counter_example(promised):
    def declare(deep):
        deep.agrees(lambda dice: {"x": [1, 2, 3], "y": 4}, lambda x, y: y, "f is y")

    def declare_property(deep):
        deep.holds(lambda dice: {"x": [1, 2], "y": 4}, lambda f, x, y: f(x, y) == y, "f is y")

    for promise, shown in ((declare, "x=[], y=0"), (declare_property, "[], 0")):
        found = promised(promise, spoil)
        assert f"spoil({shown}) should leave its arguments as they are" in found.text


def test_an_oracle_says_what_is_refused_and_what_is_not_asked(promised):
    def oracle(x, y):
        if x < 5:
            raise ValueError("x is at least 5")
        if y > 3:
            raise Unasked
        return x

    def declare(deep):
        deep.agrees(pairs, oracle, "f is x", edges=[{"x": 1, "y": 1}, {"x": 6, "y": 9}])

    def right(x, y):
        if x < 5:
            raise ValueError
        return x if y <= 3 else None

    assert promised(declare, right).state == engine.FINE
    found = promised(declare, lambda x, y: x)
    assert "<lambda>(x=0, y=0) should raise ValueError, but it returned 0" in found.text
    assert "What should hold: x is at least 5." in found.text


def test_an_oracle_of_numbers_answers_once():
    answered = []

    @asked(x=from_(0))
    def oracle(x, waits=()):
        answered.append((type(x), list(waits)))
        return x

    assert [oracle(x=5), oracle(x=5), oracle(x=5.0)] == [5, 5, 5]
    assert [oracle(x=5, waits=[1]), oracle(x=5, waits=[1])] == [5, 5]  # lists are no keys
    assert answered == [(int, []), (float, []), (int, [1]), (int, [1])]
    with pytest.raises(Unasked):
        oracle(x=-1)


def test_a_property_shows_its_calls(promised):
    def declare(deep):
        deep.holds(
            pairs,
            lambda f, x, y: f(x=y, y=x) == f(x=x, y=y),
            "f is symmetric",
            where=lambda x, y: x < y,
        )

    assert promised(declare, lambda x, y: x + y).state == engine.FINE
    assert promised(declare, lambda x, y: x - y).text == (
        "✗ f: a counter-example.\n  <lambda>(x=1, y=0) returned 1\n"
        "  <lambda>(x=0, y=1) returned -1\nWhat should hold: f is symmetric."
    )
    assert "raised ZeroDivisionError" in promised(declare, crash).text


def test_what_cannot_be_looked_at_breaks_a_property(promised):
    def declare(deep):
        deep.holds(pairs, lambda f, x, y: f(x, y)["key"] > 0, "f has a key")

    for answer in ({}, None, 5, {"key": None}):
        assert promised(declare, lambda x, y, answer=answer: answer).state == engine.BROKEN


def test_bad_values_are_tried_alone_and_negative_ones_in_pairs(promised):
    def declare(deep):
        deep.refuses({"x": 1, "y": 2}, {"x": [0, -1], "y": [-2]}, "x and y are above 0")

    def product(x, y):
        if x * y <= 0:
            raise ValueError("above 0")
        return x * y

    found = promised(declare, product)
    assert "product(x=-1, y=-1) should raise ValueError, but it returned 1" in found.text
    assert found.text.endswith("x and y are above 0; here x is -1 and y is -1.")

    def wrong_kind(x, y):
        raise TypeError("no")

    assert "but it raised TypeError: no" in promised(declare, wrong_kind).text


@pytest.mark.parametrize(
    ("good", "bad", "called"),
    [
        ({"x": 40, "y": 30}, {"x": -8}, "x=-1, y=1"),
        ({"x": 40, "y": [7, 8]}, {"x": None}, "x=None, y=[1, 1]"),
        ({"x": 40, "y": "9"}, {"x": "0"}, "x=0, y=1"),
        ({"x": 40, "y": 0}, {"x": [5, -7.5]}, "x=[1, -1], y=0"),
        ({"x": {"a": 6}, "y": 3}, {"x": {"a": -6}}, "x={'a': -1}, y=1"),
        ({"x": 0.25, "y": 3}, {"x": 1.25}, "x=1.25, y=1"),  # a share stays what it is
        ({"x": 2, "y": 3}, {"x": 4}, "x=4, y=3"),  # too large beside y, perhaps
        ({"x": [1, 2], "y": 3}, {"x": []}, "x=[], y=3"),
        ({"x": [1, 2], "y": 3}, {"x": [*range(2, 40)]}, "x=[2, 3"),
        ({"y": 3}, {"x": 28}, "y=3, x=28"),
    ],
)
def test_what_must_be_refused_for_itself_is_shown_with_small_numbers(promised, good, bad, called):
    def declare(deep):
        deep.refuses(good, {name: [value] for name, value in bad.items()}, "it is refused")

    found = promised(declare, lambda x, y: 5)
    assert f"<lambda>({called}" in found.text
    assert ("; here x is" in found.text) == (len(str(bad["x"])) < 40)


def test_words_are_those_of_the_part_or_of_the_edge(promised):
    def declare(deep):
        deep.agrees(
            lambda dice: {"x": dice.whole(1, 9)},
            lambda x: {"half": Fraction(x, 2), "row": [x, 0]},
            "f has two parts",
            parts={"half": "half of x", "row": "x and 0"},
            edges_say=[(lambda x: x == 0, "nothing of nothing")],
        )

    def wrong(half, row, nothing=0):
        def f(x):
            return {"half": half(x), "row": row(x)} if x else {"half": nothing, "row": [0, 0]}

        return promised(declare, f).text

    def right(x):
        return x / 2

    assert "key 'half' should be 0.5, but it is 1.\nWhat should hold: half of x." in wrong(
        lambda x: x, lambda x: [x, 0]
    )
    assert "What should hold: x and 0." in wrong(right, lambda x: [0, x])
    assert "What should hold: nothing of nothing." in wrong(right, lambda x: [0, x], 1)
    assert "should be 0.5, but it is None.\nWhat" in wrong(lambda x: None, lambda x: [x, 0])
    crashed = promised(declare, lambda x: 1 / 0).text
    assert crashed.endswith("What should hold: nothing of nothing.")


def test_none_is_no_missing_return_where_it_may_be_the_answer(promised):
    def declare(deep):
        edges = [{"x": 0}, {"x": 3}]
        deep.agrees(lambda dice: {"x": 1}, lambda x: x or None, "f is x", edges=edges)

    assert promised(declare, lambda x: None).text == (
        "✗ f: a counter-example.\n  <lambda>(x=1) should return 1, but it returned None.\n"
        "What should hold: f is x."
    )


def test_the_form_of_a_number_is_named_if_it_matters(promised):
    def declare(deep):
        deep.agrees(lambda dice: {"x": "2.50", "y": 1}, lambda x, y: float(x), "f is x")

    said = "For <lambda>(x=0, y=0) it is right."
    assert said in promised(declare, lambda x, y: x).text
    assert "it is right" not in promised(declare, lambda x, y: -1).text
    assert "it is right" not in promised(declare, lambda x, y: x + 1).text


def test_lists_of_another_length_are_shown_and_an_array_is_named(promised):
    def declare(deep):
        deep.agrees(lambda dice: {"x": np.array([3, 4]), "y": 1}, lambda x, y: [*x], "f is x")

    assert "should return [0], but it returned []." in promised(declare, lambda x, y: []).text
    found = promised(declare, lambda x, y: x if type(x) is list else [])
    assert "For <lambda>(x=[3], y=0) it is right." in found.text


def test_numbers_that_differ_by_a_hair_are_shown_to_the_last_digit(promised):
    def same(f, x, y):
        return f(x, y) == f(x, 0)

    found = promised(
        lambda deep: deep.holds(lambda dice: {"x": 1, "y": 2}, same, "f is x"),
        lambda x, y: 0.1 + 0.2 if y else 0.3,
    )
    assert "(0, 1) returned 0.30000000000000004\n  <lambda>(0, 0) returned 0.3\n" in found.text

    def declare(deep):
        deep.agrees(lambda dice: {"x": 1, "y": 2}, lambda x, y: Fraction(10**8, 7), "f is it")

    found = promised(declare, lambda x, y: round(10**8 / 7))
    assert (
        "but it returned 14285714. It is off by 2e-08 of the right number; nine digits"
        in found.text
    )


def test_a_property_says_what_of_it_fell(promised):
    def declare(deep):
        deep.holds(pairs, lambda f, x, y: f(x, y) >= 0 or "f is not negative", "f is fine")

    assert promised(declare, lambda x, y: -1).text.endswith("What should hold: f is not negative.")
    assert promised(declare, lambda x, y: 1).state == engine.FINE


def test_oracles_answers_can_be_read():
    large = Fraction(10**400, 3)
    given = {"a": [Fraction(1, 4), (Fraction(4), "text")], "b": large}
    assert engine._readable(given) == {"a": [0.25, [4, "text"]], "b": large}


def test_simpler_inputs_that_nothing_knows_are_left_alone(promised):
    def declare(deep):
        deep.agrees(lambda dice: {"x": 8, "y": 2}, lambda x, y: x // (y // 2), "f halves y")

    found = promised(declare, lambda x, y: -1)
    assert "<lambda>(x=0, y=2) should return 0" in found.text


def test_what_is_not_written_yet_is_no_mistake(promised):
    def unsolved(x, y):
        raise NotImplementedError

    def declare(deep):
        deep.agrees(pairs, lambda x, y: x + y, "f adds")

    def refuses(deep):
        deep.refuses({"x": 1, "y": 2}, {"x": [-1]}, "x is not negative")

    def holds(deep):
        deep.holds(pairs, lambda f, x, y: f(x, y) > 0, "f is above 0")

    for promise in (declare, refuses, holds):
        assert promised(promise, unsolved).text == "f is not solved yet: come back then."


def test_a_learner_prints_and_warns_for_nobody(promised, capsys, recwarn):
    def noisy(x, y):
        print("here")
        np.float64(1) / np.float64(0)
        return x + y

    def declare(deep):
        deep.agrees(pairs, lambda x, y: x + y, "f adds")

    assert promised(declare, noisy).state == engine.FINE
    assert capsys.readouterr().out == ""
    assert not recwarn.list


def test_a_loop_that_never_ends_is_stopped(promised):
    def endless(x, y):
        while x < 7 or y:
            with contextlib.suppress(Exception):
                time.sleep(0.001)

    def declare(deep):
        deep.agrees(lambda dice: {"x": 1, "y": 2}, lambda x, y: x + y, "f adds")

    found = promised(declare, endless, call_s=0.1)
    assert found.state == engine.BROKEN
    assert "endless(x=1, y=2) had not returned after 0.1 s." in found.text


def test_an_example_stays_as_it_is_where_a_simpler_one_never_ends(promised):
    def function(x, y):
        while x < 5:
            time.sleep(0.001)
        return 0

    def declare(deep):
        deep.agrees(lambda dice: {"x": 8, "y": 2}, lambda x, y: x + y, "f adds")

    assert "(x=8, y=2) should return 10" in promised(declare, function, call_s=0.1).text


def test_a_slow_function_is_not_tried_for_ever(promised):
    def declare(deep):
        deep.agrees(pairs, lambda x, y: x + y, "f adds")

    found = promised(declare, lambda x, y: x + y, all_s=0)
    assert (found.state, found.text) == (
        engine.SLOW,
        "f is slow: 0 cases in 0 s. None was a counter-example, the others were left out.",
    )


def test_a_counter_example_that_came_late_is_not_made_small(promised):
    def late(x, y):
        time.sleep(0.3)
        return -1

    def declare(deep):
        deep.agrees(lambda dice: {"x": 8, "y": 2}, lambda x, y: x + y, "f adds")

    assert "(x=8, y=2) should return 10" in promised(declare, late, all_s=0.05).text


# ------------------------------------------------------------------ its parts


def test_a_watch_does_without_threads(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Watch(0.01) as watch, watch.one_call():
        time.sleep(0.02)


def test_whoever_has_the_machine_besides_costs_no_time(monkeypatch):
    clocks = {"process_time": 5.0, "monotonic": 70.0}
    for name in clocks:
        monkeypatch.setattr(time, name, lambda name=name: clocks[name])
    spent = Spent()
    assert spent.seconds() == 0.0
    clocks |= {"process_time": 7.0, "monotonic": 74.0}
    assert spent.seconds() == 2.0
    clocks["monotonic"] = 82.0  # it waits, or starves: a quarter counts
    assert spent.seconds() == 3.0


def test_no_handler_of_exceptions_swallows_the_end_of_time():
    assert not issubclass(TooLong, Exception)


@pytest.mark.parametrize(
    ("arguments", "fails", "simplest"),
    [
        ({"x": 83}, lambda x: x > 20, {"x": 21}),
        ({"x": -83}, lambda x: x < -2, {"x": -3}),
        ({"x": 8.346}, lambda x: x > 0.4, {"x": 1}),
        ({"x": 0.7512345}, lambda x: x != round(x), {"x": 0.5}),
        ({"x": "7.50"}, lambda x: float(x) > 0, {"x": 1}),
        ({"x": "7.50"}, lambda x: type(x) is str and float(x) > 0, {"x": "1"}),
        ({"x": Decimal("7.25")}, lambda x: x > 7.2, {"x": 7.25}),
        ({"x": Fraction(7, 4)}, lambda x: x in (1.75, 3), {"x": 1.75}),
        ({"x": Decimal("7.55")}, lambda x: type(x) is Decimal and x > 7, {"x": Decimal("7.6")}),
        ({"x": Decimal("7.55")}, lambda x: x % 1 > 0, {"x": 0.5}),
        ({"x": Fraction(22, 7)}, lambda x: x > 3, {"x": Fraction(22, 7)}),
        ({"x": [4, 8, 1, 9]}, lambda x: 8 in x, {"x": [8]}),
        ({"x": [4, 8], "y": (1, 2)}, lambda x, y: len(x) == len(y) > 0, {"x": [0], "y": [0]}),
        ({"x": np.array([4.0, 8.0])}, lambda x: len(x) > 0, {"x": [0]}),
        ({"x": [(3, 4)]}, lambda x: [len(one) for one in x] == [2], {"x": [(0, 0)]}),
        ({"x": {"a": 5, "b": "text"}}, lambda x: x["a"] > 1, {"x": {"a": 2, "b": "text"}}),
        ({"x": math.inf, "y": True}, lambda x, y: True, {"x": math.inf, "y": True}),
    ],
)
def test_inputs_become_simple(arguments, fails, simplest):
    assert shrink(arguments, lambda simpler: fails(**simpler)) == simplest


def test_simpler_inputs_are_tried_a_limited_number_of_times():
    tried = []
    shrink({"x": [7] * 90}, lambda simpler: bool(tried.append(simpler)))
    assert len(tried) == 400


def test_dice_draw_what_their_names_say():
    dice = Dice(5)
    assert {dice.whole(2, 4) for _ in range(50)} == {2, 3, 4}
    assert all(1 <= dice.number(1, 2) <= 2 for _ in range(50))
    assert all(Decimal("0.5") <= Decimal(dice.decimal(0.5, 0.7)) <= Decimal("0.7") for _ in "1234")
    forms = [dice.form("0.5") for _ in range(50)] + [dice.form("3") for _ in range(50)]
    assert {type(form) for form in forms} == {str, Decimal, Fraction, float, int}
    assert all(type(dice.form("0.10000000000000000001")) is not float for _ in range(20))
    assert {type(dice.sequence([1, 2])) for _ in range(50)} == {list, tuple, np.ndarray}


def test_a_root_is_found_from_both_sides():
    assert root(lambda x: x - 0.3, 0, 1) == pytest.approx(0.3, rel=1e-15)
    assert root(lambda x: 0.3 - x, 0, 1) == pytest.approx(0.3, rel=1e-15)


def test_close_tells_by_the_tolerance():
    assert close({"a": [1.0]}, {"a": [1 + 1e-12]}) and not close(1, 1.001)


# ------------------------------------------------------------------ for learners


def test_the_check_prints_what_it_found(capsys):
    def error_budget(n, slo):
        return 0

    def burn_rate(bad, n, slo):
        return 0.0

    deep_check(error_budget, burn_rate)
    assert capsys.readouterr().out.startswith("✗ error_budget: a counter-example.\n")
    deep_check(burn_rate)  # one of two alone
    assert capsys.readouterr().out.startswith("✗ burn_rate: a counter-example.\n")


def test_a_function_is_known_by_its_name():
    with pytest.raises(ValueError, match="must be those of one exercise, got abs"):
        deep_check(abs)
    with pytest.raises(ValueError, match="must be those of one exercise, got 5"):
        deep_check(5)


def test_what_is_not_solved_yet_says_so(capsys):
    def littles_law(lam=None, W=None, L=None):
        raise NotImplementedError

    deep_check(littles_law)
    assert capsys.readouterr().out == "littles_law is not solved yet: come back then.\n"


def test_what_is_too_slow_to_tell_leaves_the_record_alone(monkeypatch, capsys):
    noted = []
    monkeypatch.setattr(deep, "note", lambda *words: noted.append(words))
    monkeypatch.setattr(engine, "examine", lambda functions: engine.Finding(engine.SLOW, "slow"))

    def littles_law(lam=None, W=None, L=None):
        return 0

    deep_check(littles_law)
    assert (capsys.readouterr().out, noted) == ("slow\n", [])


def test_every_exercise_offers_a_check():
    records = [record for chapter in COURSE.chapters() for record in bank.load(chapter)]
    offered = {slug: exercise.functions for slug, exercise in deep.exercises().items()}
    assert offered == {record.slug: record.functions for record in records}


def test_a_function_may_have_another_name_of_its_own(capsys):
    cell = "burn_rate = lambda bad, n, slo: 0\ndeep_check(burn_rate)"
    exec(cell, {"deep_check": deep_check})
    assert capsys.readouterr().out.startswith("✗ burn_rate: a counter-example.\n")


def test_nothing_is_checked_where_the_chapters_are_not(monkeypatch, capsys):
    monkeypatch.setattr(deep, "__path__", [])
    deep_check(abs)
    assert capsys.readouterr().out == "The deep check does not run where work is graded.\n"
