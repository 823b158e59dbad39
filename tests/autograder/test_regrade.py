"""An instructor changes a hidden test; the class is graded again, shown first, whole or not."""

import dataclasses
import hashlib
import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing, nullcontext
from functools import partial
from types import SimpleNamespace

import pytest
from rich.console import Console

from autograder import regrade
from autograder.course import Course
from autograder.course.commands import run_nbgrader
from autograder.files import write_atomically
from autograder.gradebook.record import collect
from autograder.grading.outcomes import GRADED, load_outcome
from autograder.regrade import promotion, rehearsal, workspace
from autograder.regrade.changes import Changes
from autograder.report.snapshots import Snapshot, compare

from ..shared import copy_of
from .small_course import NAME, RIGHT, gradebook_of, hand_in, make, released, text_of

SQUARES = {**RIGHT, "double": "def double(x):\n    return x**2\n"}

#: Squares pass the new test, and learners who add do not.
NEW = "assert double(3) == 9"

BEFORE = {"adds": 5.0, "squares": 3.0, "undone": 2.5}
AFTER = {"adds": 3.0, "squares": 5.0, "undone": 2.5}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Return a graded course whose hidden test was changed, and the plan; not to be changed."""
    course = copy_of(released(tmp_path_factory), tmp_path_factory.mktemp("course"))
    hand_in(course, "adds", **RIGHT)
    hand_in(course, "squares", **SQUARES)
    hand_in(course, "undone")
    done = run_nbgrader(course.root, "autograde", NAME)
    assert done.returncode == 0, done.stderr
    with gradebook_of(course) as gradebook:
        where = ("exercises", NAME, "undone")
        grade = gradebook.find_grade("half__hidden__negative", *where)
        grade.manual_score, grade.extra_credit, grade.needs_manual_grade = 2.0, 0.5, False
        gradebook.find_comment("double__solution", *where).manual_comment = "Come and see me."
        gradebook.db.commit()
    write_atomically(course.source / NAME / "exercises.py", text_of(large=NEW))
    untouched = tree(course)
    changes = regrade.plan(course, NAME)
    assert tree(course) == untouched
    return course, changes


@pytest.fixture
def course(planned, tmp_path):
    """Return a copy of the planned course, and the plan."""
    copy = tmp_path / "course"
    # Times stay: the plan knows the submissions by them.
    shutil.copytree(planned[0].root, copy, copy_function=shutil.copy2)
    made = Course.at(copy)
    return made, dataclasses.replace(planned[1], state=workspace.state_of(made, NAME))


def tree(course):
    """Return a digest of every file of the course but the regrade's own."""
    return {
        str(path.relative_to(course.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in course.root.rglob("*")
        if path.is_file() and ".servemath" not in path.parts
    }


def totals(course):
    return {one.student: one.total for one in collect(course, NAME).submissions}


def test_the_plan_says_who_changes_and_by_how_much(planned):
    course, changes = planned
    assert totals(course) == BEFORE
    assert changes.tests == ("double__hidden__large",) and changes.any
    found = {one.learner: (one.before, one.after) for one in changes.comparison.changed}
    assert found == {"adds": (5, 3), "squares": (3, 5)}
    assert changes.comparison.unchanged == 1
    assert {one.learner: one.exercises for one in changes.comparison.changed} == {
        "adds": {"double": -2.0},
        "squares": {"double": 2.0},
    }


def test_the_plan_is_shown_before_anything_is_written(planned, capsys):
    regrade.show(planned[1], Console(width=100))
    shown = capsys.readouterr().out
    assert "Tests that changed: double__hidden__large" in shown
    assert "2 of 3 change: 1 gain, 1 lose; 1 stay." in shown
    line = next(line for line in shown.splitlines() if "squares" in line)
    assert line.split() == ["squares", "3", "5", "+2", "double", "+2"]


def test_names_with_brackets_are_shown_as_they_are(planned, capsys):
    changes = planned[1]
    (first, *_) = changes.comparison.changed
    odd = dataclasses.replace(first, learner="s [bold]1[/x]")
    comparison = dataclasses.replace(changes.comparison, changed=(odd,))
    reasons = {"t [2]": "exercises.ipynb is missing; the folder holds [b].txt"}
    odd_changes = dataclasses.replace(changes, comparison=comparison, not_graded=reasons)
    regrade.show(odd_changes, Console(width=100))
    shown = capsys.readouterr().out
    assert "s [bold]1[/x]" in shown and "t [2]" in shown and "[b].txt" in shown


def changes_between(old, new, *, worth=(2.0, 2.0), **given):
    """Return the changes between two runs: learners' points of one exercise, what it is worth."""
    before, after = (
        Snapshot(
            "today", {"double": most}, {name: got and {"double": got} for name, got in run.items()}
        )
        for run, most in zip((old, new), worth, strict=True)
    )
    empty = {"tests": (), "not_graded": {}, "state": "", "token": ""}
    return Changes(NAME, before, after, compare(before, after), **{**empty, **given})


@pytest.mark.parametrize(
    ("old", "new", "worth", "any_change"),
    [
        ({"a": 1.0}, {"a": 1.0}, (2.0, 2.0), False),
        ({"a": 1.0}, {"a": 2.0}, (2.0, 2.0), True),
        ({"a": 1.0}, {"a": 1.0}, (2.0, 3.0), True),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}, (2.0, 2.0), True),
        ({"a": 1.0, "b": 1.0}, {"a": 1.0}, (2.0, 2.0), True),
    ],
    ids=["nothing", "points", "worth", "came", "went"],
)
def test_any_change_counts(old, new, worth, any_change):
    assert changes_between(old, new, worth=worth).any is any_change


def test_what_is_worth_more_and_who_comes_to_a_grade_is_shown(capsys):
    old, new = {"a": None, "b": 2.0, "c": 1.0, "d": 1.0}, {"a": 1.0, "b": None, "c": 1.5, "d": 0.5}
    changes = changes_between(old, new, worth=(2.0, 2.5), not_graded={"b": "is an empty file"})
    regrade.show(changes, Console(width=100))
    first, worth, *table, count, not_graded = filter(None, capsys.readouterr().out.splitlines())
    assert (first, worth) == ("Tests that changed: none", "double is worth 2.5 points, was 2")
    assert [line.split() for line in table[3:] if line.strip()] == [
        ["c", "1", "1.5", "+0.5", "double", "+0.5"],
        ["d", "1", "0.5", "-0.5", "double", "-0.5"],
        ["a", "not", "graded", "1"],
        ["b", "2", "not", "graded"],
    ]
    assert count == "4 of 4 change: 1 gain, 1 lose; 0 stay."
    assert not_graded == "not graded: b: is an empty file"


def test_what_each_regrade_kept_has_a_folder_of_its_own(tmp_path):
    course, changes = make(tmp_path), changes_between({}, {})
    found = []
    for _ in range(3):
        found.append(promotion._place_for_previous(course, changes))
        found[-1].mkdir(parents=True)
    assert [folder.name for folder in found] == ["today", "today-2", "today-3"]


@pytest.mark.parametrize(
    ("code", "reason", "ended"),
    [
        (0, "", True),
        (1, "is an empty file", True),
        (2, "", False),
        (0, rehearsal.UNFINISHED, False),
        (0, "not graded yet", False),
    ],
)
def test_a_rehearsal_that_did_not_end_plans_nothing(tmp_path, monkeypatch, code, reason, ended):
    course = make(tmp_path)
    record = SimpleNamespace(submissions=[SimpleNamespace(student="a", reason=reason)])
    monkeypatch.setattr(rehearsal, "collect", lambda *_: record)
    answers = iter([(0, ""), (code, "first\nlast")])
    monkeypatch.setattr(rehearsal, "_nbgrader", lambda *_: next(answers))
    if ended:
        assert rehearsal._grade(course, NAME) is record
        assert (course.root / "regrade.log").read_text() == "first\nlast"
        return
    with pytest.raises(regrade.RegradeError, match=rf"did not finish \(exit code {code}, .*\n"):
        rehearsal._grade(course, NAME)


def test_applying_writes_what_was_shown_and_keeps_what_was(course, monkeypatch):
    course, changes = course
    monkeypatch.setattr(promotion.secrets, "randbelow", lambda end: end - 1)
    old_gradebook = course.database.read_bytes()
    previous = regrade.apply(course, changes)
    assert totals(course) == AFTER
    assert promotion._version(course.database) == 2**31 - 1  # the largest that a header can hold
    kept = json.loads((previous / "scores.json").read_text())
    assert {
        student: sum(one.values()) for student, one in kept["before"]["scores"].items()
    } == BEFORE
    assert {student: sum(one.values()) for student, one in kept["after"]["scores"].items()} == AFTER
    assert stat.S_IMODE(previous.stat().st_mode) == 0o700
    assert previous.parent == course.reports / NAME / "regrades"
    earlier = Course.at(course.root)
    shutil.copy(previous / "gradebook.db", earlier.database)
    assert totals(earlier) == BEFORE and len(old_gradebook) > 0


def test_what_a_person_gave_survives(course):
    course, changes = course
    regrade.apply(course, changes)
    with gradebook_of(course) as gradebook:
        where = ("exercises", NAME, "undone")
        grade = gradebook.find_grade("half__hidden__negative", *where)
        assert (grade.manual_score, grade.extra_credit) == (2.0, 0.5)
        assert gradebook.find_comment("double__solution", *where).comment == "Come and see me."


def test_notebooks_release_and_outcomes_are_those_of_the_new_test(course):
    course, changes = course
    regrade.apply(course, changes)
    assert NEW in (course.source / NAME / "exercises.ipynb").read_text()
    assert NEW not in (course.release / NAME / "exercises.ipynb").read_text()
    for student in BEFORE:
        assert NEW in (course.autograded / student / NAME / "exercises.ipynb").read_text()
        assert load_outcome(course.root, NAME, student).status == GRADED
    assert not workspace.workspace(course, NAME).exists()


def test_nbgrader_goes_on_with_the_new_gradebook(course):
    course, changes = course
    regrade.apply(course, changes)
    done = run_nbgrader(course.root, "autograde", NAME, "--student", "squares", "--force")
    assert done.returncode == 0, done.stderr
    assert totals(course) == AFTER


def test_a_plan_is_applied_once(course):
    course, changes = course
    regrade.apply(course, changes)
    with pytest.raises(regrade.RegradeError, match="plan this one again"):
        regrade.apply(course, changes)


@pytest.mark.parametrize("what", ["gradebook", "text", "submission", "new submission"])
def test_a_plan_is_refused_when_the_course_moved_on(course, what):
    course, changes = course
    if what == "gradebook":
        with gradebook_of(course) as gradebook:
            gradebook.find_student("adds").first_name = "A"
            gradebook.db.commit()
    elif what == "text":
        write_atomically(course.source / NAME / "exercises.py", text_of(large="pass"))
    elif what == "submission":
        hand_in(course, "undone", **RIGHT)
    else:
        hand_in(course, "another", **RIGHT)
    untouched = tree(course)
    with pytest.raises(regrade.RegradeError, match="nothing was written"):
        regrade.apply(course, changes)
    assert tree(course) == untouched


def test_a_plan_can_be_dropped(course):
    course, changes = course
    untouched = tree(course)
    regrade.discard(course, changes)
    assert tree(course) == untouched and not workspace.workspace(course, NAME).exists()


def killed_at(course, changes, number):
    """Apply in a child that dies at its step `number`, without clean-up; tell whether it did."""
    child = os.fork()
    if child == 0:
        steps = iter(range(10_000))

        def deadly(work):
            def step(*arguments):
                if next(steps) == number:
                    os._exit(9)
                result = work(*arguments)
                if next(steps) == number:
                    os._exit(9)
                return result

            return step

        for name in ("copy_gradebook", "write_atomically", "_replace", "_mark"):
            setattr(promotion, name, deadly(getattr(promotion, name)))
        try:
            promotion.apply(course, changes)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_killed_anywhere_the_old_or_the_new_state_is_left(planned, tmp_path):
    base, changes = planned
    states, number = [], 0
    while True:
        root = tmp_path / f"course{number}"
        shutil.copytree(base.root, root, copy_function=shutil.copy2)
        course = Course.at(root)
        here = dataclasses.replace(changes, state=workspace.state_of(course, NAME))
        before = tree(course)
        died = killed_at(course, here, number)
        scores = totals(course)  # whatever else lies about, grades are of one state
        assert scores in (BEFORE, AFTER)
        regrade.recover(course, NAME)
        assert totals(course) == scores
        files = {name: digest for name, digest in tree(course).items() if "reports" not in name}
        if scores == BEFORE:
            assert files == before
        else:
            assert NEW in (course.source / NAME / "exercises.ipynb").read_text()
            for student in BEFORE:
                notebook = course.autograded / student / NAME / "exercises.ipynb"
                assert NEW in notebook.read_text()
        assert not workspace.journal(course, NAME).exists()
        states.append(scores == AFTER)
        shutil.rmtree(root)
        if not died:
            break
        number += 1
    assert states == sorted(states) and states[0] is False and states[-1] is True
    assert number >= 12


def test_killed_while_the_gradebook_is_copied_it_is_as_it_was(course):
    course, _ = course
    scratch = Course.at(workspace.workspace(course, NAME))
    child = os.fork()
    if child == 0:
        one, other = sqlite3.connect(scratch.database), sqlite3.connect(course.database)
        # Page by page, so that there is a half-way.
        one.backup(other, pages=1, progress=lambda *left: os._exit(9) if left[1] < 20 else None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert totals(course) == BEFORE


def test_a_gradebook_in_use_is_left_alone_and_can_be_written_later(course, monkeypatch):
    course, changes = course
    monkeypatch.setattr(
        promotion, "copy_gradebook", partial(workspace.copy_gradebook, patience_s=0)
    )
    other = sqlite3.connect(course.database)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(regrade.RegradeError, match="could not be copied"):
            regrade.apply(course, changes)
    finally:
        other.rollback()
        other.close()
    assert totals(course) == BEFORE and not list(course.root.glob("reports/*/regrades/*"))
    assert regrade.recover(course, NAME) is False
    regrade.apply(course, changes)
    assert totals(course) == AFTER


@pytest.mark.parametrize(("waited_s", "copied"), [(10.0, True), (10.1, False)])
def test_a_gradebook_in_use_is_waited_for_as_long_as_patience_lasts(
    tmp_path, monkeypatch, waited_s, copied
):
    for name in ("mine", "theirs"):
        with closing(sqlite3.connect(tmp_path / name)) as made:
            made.execute(f"CREATE TABLE {name} (n)")
    with closing(sqlite3.connect(tmp_path / "theirs")) as other:
        other.execute("BEGIN IMMEDIATE")
        times = iter([0.0, waited_s])

        def clock():
            if (now := next(times)) > 0:
                other.rollback()
            return now

        monkeypatch.setattr(workspace, "time", SimpleNamespace(monotonic=clock))
        with nullcontext() if copied else pytest.raises(regrade.RegradeError, match="is locked"):
            workspace.copy_gradebook(tmp_path / "mine", tmp_path / "theirs")
        found = other.execute("SELECT name FROM sqlite_master").fetchall()
    assert found == [("mine" if copied else "theirs",)]


def test_one_regrade_at_a_time(course):
    course, _ = course
    with workspace.locked(course), pytest.raises(regrade.RegradeError, match="at work"):
        regrade.plan(course, NAME)


def test_links_and_pipes_that_were_handed_in_are_not_followed(course, tmp_path):
    course, _ = course
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "exercises.ipynb").write_text("{}")
    handed_in = course.submitted / "adds" / NAME
    os.mkfifo(handed_in / "pipe")
    (handed_in / "link.ipynb").symlink_to(secret / "exercises.ipynb")
    (course.submitted / "linked").mkdir()
    (course.submitted / "linked" / NAME).symlink_to(secret)
    scratch = workspace.lay_out(course, NAME)
    copied = scratch.submitted / "adds" / NAME
    assert sorted(path.name for path in copied.iterdir()) == ["exercises.ipynb", "link.ipynb"]
    assert (copied / "link.ipynb").is_symlink() and (
        scratch.submitted / "linked" / NAME
    ).is_symlink()


ADDED = """
# %% half__hidden__more points=1
assert half(0) == 0
"""


def test_added_and_removed_graded_cells_are_refused_by_name(course):
    course, _ = course
    text = text_of(large=NEW, extra=ADDED).replace("half__hidden__negative", "half__hidden__minus")
    write_atomically(course.source / NAME / "exercises.py", text)
    untouched = tree(course)
    with pytest.raises(regrade.RegradeError) as refused:
        regrade.plan(course, NAME)
    told = str(refused.value)
    assert "added: half__hidden__minus, half__hidden__more" in told
    assert "removed: half__hidden__negative" in told and "once the gradebook holds" in told
    assert tree(course) == untouched


def test_what_cannot_be_regraded_is_said(tmp_path):
    course = make(tmp_path)
    with pytest.raises(regrade.RegradeError, match="no gradebook"):
        regrade.plan(course, NAME)
    with pytest.raises(ValueError, match=f"chapter must be one of {NAME}"):
        regrade.plan(course, "ch0")
    course.database.touch()
    with pytest.raises(regrade.RegradeError, match="nobody has handed in"):
        regrade.plan(course, NAME)
    config = tmp_path / "nbgrader_config.py"
    text = config.read_text()
    config.write_text(text + '\nc.CourseDirectory.db_url = "sqlite:///elsewhere.db"\n')
    with pytest.raises(regrade.RegradeError, match="names another gradebook"):
        regrade.plan(course, NAME)
    config.write_text(text + '\nc.CourseDirectory.db_url = "sqlite:///gradebook.db"\n')
    with pytest.raises(regrade.RegradeError, match="nobody has handed in"):
        regrade.plan(course, NAME)
