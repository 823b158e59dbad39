"""Pseudonyms that tell nothing, and runs that are compared."""

import json
import stat
import threading

import pytest

from autograder.course import Course
from autograder.report.pseudonyms import SALT_FILE, pseudonyms, salt
from autograder.report.snapshots import KEPT_RUNS, Snapshot, compare, keep


@pytest.fixture
def course(tmp_path):
    (tmp_path / "source").mkdir()
    return Course.at(tmp_path)


def test_the_salt_is_made_once_and_is_the_owner_s_alone(course):
    made = salt(course)
    assert len(made) == 32 and salt(course) == made
    path = course.root / SALT_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    salt(course)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in course.root.iterdir() if one.name != "source"] == [SALT_FILE]


def test_reports_that_start_at_once_share_a_salt(course):
    made, start = [], threading.Barrier(8)

    def work():
        start.wait()
        made.append(salt(course))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len(set(made)) == 1


@pytest.mark.parametrize("content", ["", "00", "not hex at all", "zz" * 32])
def test_a_damaged_salt_is_refused_by_name(course, content):
    (course.root / SALT_FILE).write_text(content)
    with pytest.raises(ValueError, match=SALT_FILE):
        salt(course)


def test_pseudonyms_are_stable_distinct_and_hang_on_the_salt():
    people = [f"student{k}" for k in range(3000)]
    names = pseudonyms(b"a" * 32, people)
    assert len(set(names.values())) == len(people)
    assert pseudonyms(b"a" * 32, people[:10]) == {one: names[one] for one in people[:10]}
    other = pseudonyms(b"b" * 32, people)
    assert sum(names[one] == other[one] for one in people) == 0


def test_two_that_would_share_a_pseudonym_get_longer_ones(monkeypatch):
    monkeypatch.setattr("autograder.report.pseudonyms._LENGTH", 1)
    people = [f"s{k}" for k in range(200)]
    names = pseudonyms(b"a" * 32, people)
    assert len(set(names.values())) == 200


def test_any_id_has_a_pseudonym():
    odd = ["", "ä", "<script>", "\udcff", "a\x00b"]
    assert len(set(pseudonyms(b"x", odd).values())) == len(odd)


def run(taken, **scores):
    return Snapshot(taken, {"mm1": 2.0, "goodput": 3.0}, scores)


FIRST = run(
    "2026-01-01T000000Z",
    a={"mm1": 1.0, "goodput": 3.0},
    b={"mm1": 2.0, "goodput": 0.0},
    c=None,
    gone={"mm1": 0.0, "goodput": 0.0},
)
SECOND = run(
    "2026-01-02T000000Z",
    a={"mm1": 2.0, "goodput": 2.0},
    b={"mm1": 2.0, "goodput": 0.0},
    c={"mm1": 2.0, "goodput": 3.0},
    new={"mm1": 1.0, "goodput": 1.0},
)


def test_what_changed_between_two_runs():
    found = compare(FIRST, SECOND)
    assert found.previous == FIRST.taken
    assert {one.learner: one.exercises for one in found.changed} == {
        "a": {"mm1": 1.0, "goodput": -1.0},
        "c": {},
    }
    assert {one.learner: one.difference for one in found.changed} == {"a": 0.0, "c": None}
    assert found.unchanged == 1 and found.came == ("new",) and found.went == ("gone",)
    assert found.exercises == {"mm1": 0.5, "goodput": -0.5}  # over a and b


def test_what_exercises_are_worth_is_compared_too():
    worth_more = Snapshot("x", {"mm1": 4.0, "new": 1.0}, {})
    found = compare(run("y"), worth_more)
    assert found.max_points_changed == {"mm1": (2.0, 4.0), "goodput": (3.0, 0.0), "new": (0.0, 1.0)}


def test_a_report_written_twice_still_compares_with_the_run_before(course):
    assert keep(course, "ch", FIRST) is None
    assert keep(course, "ch", FIRST) is None
    assert keep(course, "ch", SECOND) == FIRST
    assert keep(course, "ch", SECOND) == FIRST
    assert len(list((course.reports / "ch" / "runs").iterdir())) == 2


def test_old_runs_go(course):
    for number in range(KEPT_RUNS + 5):
        keep(course, "ch", run("2026-01-01T000000Z", a={"mm1": number / 100, "goodput": 0.0}))
    left = sorted((course.reports / "ch" / "runs").iterdir())
    assert len(left) == KEPT_RUNS
    newest = json.loads(left[-1].read_text())["scores"]["a"]["mm1"]
    assert newest == (KEPT_RUNS + 4) / 100


@pytest.mark.parametrize("content", ["", "{", "[]", '{"taken": 3}', '{"other": 1}'])
def test_a_damaged_run_is_passed_over(course, content):
    keep(course, "ch", FIRST)
    folder = course.reports / "ch" / "runs"
    (folder / "2026-01-01T120000Z-00.json").write_text(content)
    assert keep(course, "ch", SECOND) == FIRST
