"""Whatever stops a watcher, and whenever: nothing is graded twice, nothing is lost."""

import errno
import json
import logging
import os
import shutil
import zipfile
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from autograder.attempts.policy import Attempts
from autograder.attempts.record import Records
from autograder.course import Course
from autograder.watch import arrivals
from autograder.watch import steps as steps_module
from autograder.watch.copying import TooMuch, copy_plain
from autograder.watch.exchange import SECRET, ExchangeFolder
from autograder.watch.grader import Graded, NotNow
from autograder.watch.status import OneIsAtWork, Status, alone, is_at_work
from autograder.watch.steps import MOST_FAILURES, REPLACED, Steps
from autograder.watch.uploads import UploadsFolder
from autograder.watch.watcher import Watcher
from autograder.watch.worker import WorkFailed

NAME = "ch9_small"
START = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
BEST = {"counts": "best", "pause_minutes": 0, "per_day": 0}


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class Clock:
    """A time of day that a test moves, and seconds that only go on."""

    def __init__(self):
        self.day, self.seconds = START, 0.0

    def __call__(self):
        return self.day

    def monotonic(self):
        return self.seconds

    def pass_(self, **by):
        by = timedelta(**by)
        self.day, self.seconds = self.day + by, self.seconds + by.total_seconds()


class FakeGrader:
    """Scores are what the handed-in file says; notes all that it is asked for."""

    most_bytes = 10_000
    zone = UTC

    def __init__(self, course, **policy):
        self.course, self.policy = course, Attempts(**policy)
        self.deadline = None
        self.gradebook, self.calls, self.released = {}, [], {}
        self.faults = {}

    def _place(self, step, student):
        return self.course.root / step / student / NAME

    def place_of(self, _assignment, student):
        return self._place("submitted", student)

    def graded_place_of(self, _assignment, student):
        return self._place("autograded", student)

    def pages_of(self, _assignment, student):
        return self._place("feedback", student)

    def due(self, _assignment, _student):
        return self.deadline

    def remember_reviews(self, _assignment, _student):
        pass

    def grade(self, _assignment, students):
        results = {}
        for student in students:
            text = (self.place_of(NAME, student) / "work.txt").read_text()
            self.calls.append((student, text))
            fault = self.faults.get(student, "")
            if fault:
                results[student] = Graded(reason="trouble", fault=fault)
            elif not text.isdigit():
                results[student] = Graded(reason="no number")
            else:
                results[student] = Graded(points=float(text), of=9.0)
                self.gradebook[student] = float(text)
                shutil.copytree(
                    self.place_of(NAME, student),
                    self.graded_place_of(NAME, student),
                    dirs_exist_ok=True,
                )
        return results

    def write_pages(self, _assignment, students):
        for student in students:
            pages = self.pages_of(NAME, student)
            shutil.rmtree(pages, ignore_errors=True)
            shutil.copytree(self.place_of(NAME, student), pages)
            shutil.copy(pages / "work.txt", pages / "exercises.html")

    def refuse(self, attempt, folder):
        folder.mkdir(exist_ok=True)
        (folder / "exercises.html").write_text(attempt.refused)

    def release(self, attempt, folder):
        whose = attempt.returned_as or (folder / SECRET).read_text()
        self.released[whose] = (folder / "exercises.html").read_text()


class House:
    """A course, an exchange, and a watcher that can be stopped and begun again."""

    def __init__(self, folder, **policy):
        (folder / "course" / "source").mkdir(parents=True)
        self.course = Course.at(folder / "course")
        self.inbound = folder / "inbound"
        self.inbound.mkdir()
        self.grader = FakeGrader(self.course, **policy)
        self.clock = Clock()
        self.records = Records(self.course)
        self.reach = lambda _step: None
        self.begin()

    def begin(self):
        """Begin a watcher, as after a crash."""
        self.watcher = Watcher(
            self.course, [NAME], [self.source()], self.work, logging.getLogger("none"),
            poll_s=0.01, now=self.clock, monotonic=self.clock.monotonic,
        )  # fmt: skip

    def source(self):
        return ExchangeFolder(self.inbound, [NAME], check_owner=False)

    def work(self, assignment, turns, hear, meanwhile):
        """Do what a process of its own does, here."""

        def say(attempt, what):
            hear((json.loads(json.dumps(asdict(attempt))), what))

        meanwhile()
        try:
            Steps(self.course, self.grader, say, self.clock, lambda step: self.reach(step)).run(
                assignment, turns
            )
        except NotNow as error:
            raise WorkFailed(str(error)) from error

    def submit(self, student, work, at=None, *, finish=True):
        """Leave a submission as nbgrader does; return its name, which is its secret too."""
        at = at or self.clock.day
        name = f"{student}+{NAME}+{at:%Y-%m-%d %H:%M:%S.%f} UTC+abc"
        folder = self.inbound / name
        folder.mkdir()
        (folder / "work.txt").write_text(str(work))
        if finish:
            (folder / SECRET).write_text(name)
            folder.chmod(0o777)
        return name

    def turn(self):
        """Look once, and deal with what is there."""
        self.watcher.look()
        batch = self.watcher._batch()
        return self.watcher._deal(*batch) if batch else None

    def all(self):
        """Deal with everything that is there."""
        while self.turn():
            pass

    def attempts(self, student="u1"):
        return self.records.of(NAME, student)


def scenario(house):
    """Three submissions of one learner, one of another: good, worse, too many."""
    house.submit("u1", 7)
    house.submit("u2", 4)
    house.all()
    house.clock.pass_(minutes=1)
    house.submit("u1", 3)
    house.all()
    house.clock.pass_(minutes=1)
    house.submit("u1", 8)
    house.all()


def state(house):
    """Return what must not depend on where a watcher was stopped."""
    return (
        house.grader.gradebook,
        {
            who: [asdict(one) | {"answered": ""} for one in house.attempts(who)]
            for who in ("u1", "u2")
        },
        dict(house.grader.released),
        sorted(
            (str(path.relative_to(house.course.root)), path.read_text())
            for path in house.course.root.rglob("*")
            if path.is_file() and ".servemath" not in path.parts and path.name != "attempt.json"
        ),
    )


def reach_at_files(monkeypatch, reach):
    """Have `reach` called before and after whatever changes names of files."""

    def around(owner, name):
        original = getattr(owner, name)

        def call(*arguments, **named):
            reach(f"before {name}")
            done = original(*arguments, **named)
            reach(f"after {name}")
            return done

        monkeypatch.setattr(owner, name, call)

    around(Path, "rename")
    around(Path, "replace")
    around(shutil, "copytree")
    around(shutil, "rmtree")
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # no machine loses its power here


class UploadsHouse(House):
    """The same with a folder of a platform's downloads in the exchange's place."""

    downloads = 0

    def source(self):
        mapping = self.course.root / "students.csv"
        return UploadsFolder(self.inbound, NAME, ["work.txt"], mapping, self.clock.monotonic)

    def submit(self, student, work, late=""):
        """Put a zip there that holds one upload, as Canvas names it; return how that begins."""
        self.downloads += 1
        whose = f"doe_{late}{student.removeprefix('u')}_{self.downloads}_"
        with zipfile.ZipFile(self.inbound / f"submissions ({self.downloads}).zip", "w") as archive:
            archive.writestr(f"{whose}work.txt", str(work))
        return whose

    def attempts(self, student="u1"):
        return super().attempts(student.removeprefix("u"))


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        (House, False),
        (UploadsHouse, False),
        pytest.param(House, True, marks=pytest.mark.soak),
        pytest.param(UploadsHouse, True, marks=pytest.mark.soak),
    ],
)
def test_killed_at_any_step_the_next_watcher_ends_where_an_undisturbed_one_does(
    tmp_path, monkeypatch, kind, every
):
    at_work = []

    def reach(step):
        for one in at_work:
            one(step)

    reach_at_files(monkeypatch, reach)
    whole = kind(tmp_path / "whole", **BEST, most=2)
    whole.reach = reach
    reached = []
    at_work.append(reached.append)
    scenario(whole)
    at_work.clear()
    assert sorted(whole.grader.gradebook.values()) == [4.0, 7.0]
    assert [one.points for one in whole.attempts()] == [7.0, 3.0, None]
    assert {"copy", "take", "place", "grade", "noted", "keep pages", "release", "put back",
            "refuse", "answered"} <= set(reached)  # fmt: skip
    assert len(reached) > 150
    last = {step: at for at, step in enumerate(reached)}  # of each kind of step
    for at, step in enumerate(reached) if every else [(at, step) for step, at in last.items()]:
        house = kind(tmp_path / str(at), **BEST, most=2)
        house.reach = reach
        countdown = iter(range(at, -1, -1))

        def kill(_step, countdown=countdown):
            if next(countdown, None) == 0:
                at_work.clear()
                raise Killed

        at_work.append(kill)
        for later, submissions in ((0, ("u1", 7, "u2", 4)), (1, ("u1", 3)), (1, ("u1", 8))):
            house.clock.pass_(minutes=later)
            for who, work in zip(submissions[::2], submissions[1::2], strict=True):
                house.submit(who, work)
            try:
                house.all()
            except Killed:
                house.begin()
                house.all()
        at_work.clear()
        assert state(house) == state(whole), f"killed at step {at}, {step}"
        assert not any(one.is_open for who in ("u1", "u2") for one in house.attempts(who))
        assert not list(house.course.attempts.rglob(".new-*"))
        shutil.rmtree(tmp_path / str(at))


@pytest.mark.parametrize("what", ["write", "rename", "copy"])
def test_on_a_full_disk_it_waits_and_then_goes_on(tmp_path, monkeypatch, what):
    house = House(tmp_path)
    name = house.submit("u1", 5)
    full = [True]

    def when_full(original):
        def call(*arguments, **named):
            if full[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*arguments, **named)

        return call

    if what == "write":
        from autograder.attempts import record

        monkeypatch.setattr(record, "write_atomically", when_full(record.write_atomically))
    elif what == "rename":
        monkeypatch.setattr(steps_module, "_put", when_full(steps_module._put))
    else:
        monkeypatch.setattr(arrivals, "copy_plain", when_full(arrivals.copy_plain))
    for _ in range(4):
        house.clock.pass_(seconds=70)
        assert house.turn() is False
    assert "No space left" in house.watcher.status.errors[-1]["said"]
    assert len(house.watcher.status.errors) == 1  # one error, however often
    full[0] = False
    house.clock.pass_(seconds=70)
    house.all()
    assert house.grader.released == {name: "5"}
    assert house.grader.calls == [("u1", "5")]
    assert house.attempts()[0].came == START.isoformat()  # when it came, not when there was room


def test_a_gradebook_out_of_reach_takes_nobody_s_attempt_and_one_s_trouble_is_not_another_s(
    tmp_path,
):
    house = House(tmp_path)
    house.grader.faults = {"u1": "machine"}
    house.submit("u1", 5)
    house.submit("u2", 6)
    assert house.turn() is False
    assert house.grader.gradebook == {"u2": 6.0}
    assert house.turn() is None  # it waits
    for _ in range(5):
        house.submit("u3", 7, house.clock.day)
        house.turn()
        house.clock.pass_(seconds=70)
        house.turn()
    assert house.grader.gradebook["u3"] == 7.0
    assert [one.graded for one in house.attempts()] == [False]
    house.grader.faults = {}
    house.clock.pass_(seconds=70)
    house.all()
    assert house.grader.gradebook["u1"] == 5.0
    assert len(house.attempts()) == 1


def test_an_engine_that_fails_at_one_submission_gives_it_up_in_the_end(tmp_path):
    house = House(tmp_path)
    house.grader.faults = {"u1": "engine"}
    name = house.submit("u1", 5)
    (tmp_path / "course" / "feedback").mkdir()
    for _ in range(MOST_FAILURES):
        house.clock.pass_(seconds=70)
        house.turn()
    assert house.attempts()[0].reason == "trouble"
    assert not house.attempts()[0].takes_one
    assert name in house.grader.released


def test_what_is_still_being_written_is_left_alone_until_it_has_come(tmp_path):
    house = House(tmp_path)
    name = house.submit("u1", 5, finish=False)
    assert house.turn() is None
    house.clock.pass_(seconds=9)
    (house.inbound / name / "more.txt").write_text("more")
    assert house.turn() is None
    house.clock.pass_(seconds=9)
    assert house.turn() is None
    (house.inbound / name / SECRET).write_text(name)
    (house.inbound / name).chmod(0o777)
    assert house.turn() is True
    gone = house.submit("u2", 5, finish=False)  # and its nbgrader was killed
    house.turn()
    shutil.rmtree(house.inbound / gone)
    house.all()
    assert house.watcher._waiting() == []


def test_what_arrives_while_it_works_is_dealt_with_next(tmp_path):
    house = House(tmp_path, **BEST)

    def reach(step):
        if step == "grade" and not list(house.inbound.glob("u2*")):
            house.submit("u2", 6)
            house.submit("u1", 9, house.clock.day + timedelta(seconds=1))

    house.reach = reach
    house.submit("u1", 5)
    house.all()
    house.clock.pass_(seconds=2)
    house.all()
    assert house.grader.gradebook == {"u1": 9.0, "u2": 6.0}


def test_of_what_waits_together_the_last_is_graded_and_late_work_stands_for_none_in_time(tmp_path):
    house = House(tmp_path, pause_minutes=0)
    house.grader.deadline = START + timedelta(minutes=30)
    names = [house.submit("u1", n, START + timedelta(minutes=20 * n)) for n in range(3)]
    house.clock.pass_(hours=1)
    house.all()
    assert [one.refused for one in house.attempts()] == [REPLACED, "", ""]
    assert house.grader.released == {names[0]: REPLACED, names[1]: "1", names[2]: "2"}
    assert house.grader.calls == [("u1", "1"), ("u1", "2")]


def test_a_learner_cannot_write_when_a_submission_came(tmp_path):
    house = House(tmp_path, after_deadline="none")
    house.grader.deadline = START + timedelta(minutes=10)
    house.turn()
    house.clock.pass_(minutes=20)
    house.turn()
    house.submit("u1", 5, START)  # says that it came before the deadline
    house.clock.pass_(seconds=1)
    house.all()
    (attempt,) = house.attempts()
    assert attempt.refused == "it came after the due date"
    assert "was not there at 2026-12-01 12:20:00 UTC" in attempt.remarks[0]
    house.submit("u2", 5, START + timedelta(days=300))  # and one from the future
    house.all()
    assert house.attempts("u2")[0].time == house.clock.day


def test_clocks_that_jump_lock_nobody_out(tmp_path):
    house = House(tmp_path, per_day=1)
    house.clock.day += timedelta(days=40)
    house.submit("u1", 5)
    house.all()
    house.clock.day -= timedelta(days=40)  # and back, without a second passing
    house.clock.pass_(minutes=1)
    house.submit("u1", 6)
    house.all()
    assert [one.refused for one in house.attempts()] == ["", ""]
    house.submit("u1", 7, house.clock.day + timedelta(seconds=1))
    house.clock.pass_(seconds=2)
    house.all()
    assert house.attempts()[-1].refused == "1 attempts a day can be made"
    assert house.attempts()[-1].next_at == "2026-12-02T00:00:00+00:00"


def test_when_something_came_is_known_after_a_restart(tmp_path):
    house = House(tmp_path)
    house.grader.faults = {"u1": "machine"}
    house.turn()
    house.clock.pass_(minutes=5)
    house.submit("u1", 5, START + timedelta(minutes=4))
    house.watcher.look()
    house.watcher._show(always=True)
    house.clock.pass_(hours=3)
    house.begin()
    house.grader.faults = {}
    house.all()
    (attempt,) = house.attempts()
    assert (attempt.time, attempt.remarks) == (START + timedelta(minutes=4), ())


def test_a_damaged_record_stops_one_learner_alone_and_is_told(tmp_path):
    house = House(tmp_path)
    house.submit("u1", 5)
    house.all()
    (house.records.folder(house.attempts()[0]) / "attempt.json").write_text("{")
    house.begin()
    house.clock.pass_(minutes=30)
    house.submit("u1", 6)
    house.submit("u2", 7)
    for _ in range(3):
        house.clock.pass_(seconds=70)
        house.turn()
    assert house.grader.gradebook["u2"] == 7.0
    assert "is no record of an attempt" in house.watcher.status.errors[-1]["said"]


def test_of_two_watchers_one_works_and_the_other_says_so(tmp_path):
    house = House(tmp_path)
    assert not is_at_work(house.course)
    with alone(house.course):
        assert is_at_work(house.course)
        with pytest.raises(OneIsAtWork, match=f"process {os.getpid()} on"):
            alone(house.course).__enter__()
    assert not is_at_work(house.course)


def test_the_status_tells_queue_rate_and_errors(tmp_path):
    house = House(tmp_path)
    house.grader.faults = {"u2": "machine"}
    house.submit("u1", 5)
    house.submit("u2", 5)
    house.clock.pass_(seconds=3)
    house.turn()
    told = "\n".join(Status.load(house.course).lines(at_work=True, now=house.clock.day))
    assert "Waiting: 1\n  u2  ch9_small  2026-12-01 12:00:00 UTC" in told
    assert "Answered: 1; 0.2 a minute" in told
    assert "median 3.0 s" in told
    assert "u2: trouble" in told


def test_links_and_other_people_s_files_are_not_followed(tmp_path):
    source, secret = tmp_path / "source", tmp_path / "secret"
    (source / "deep").mkdir(parents=True)
    secret.mkdir()
    (secret / "grades").write_text("all of them")
    (source / "own").write_text("mine")
    (source / "deep" / "own").write_text("mine")
    (source / "file").symlink_to(secret / "grades")
    (source / "folder").symlink_to(secret)
    os.mkfifo(source / "pipe")
    left_out = copy_plain(source, tmp_path / "copy", most_bytes=100)
    assert sorted(left_out) == ["file (a link)", "folder (a link)", "pipe (no file)"]
    copied = sorted(str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*"))
    assert copied == ["deep", "deep/own", "own"]
    with pytest.raises(TooMuch):
        copy_plain(source, tmp_path / "small", most_bytes=5)


@pytest.mark.parametrize("student", ["..", ".hidden", "a,b", ""])
def test_names_that_no_folder_can_have_are_not_taken(tmp_path, student):
    house = House(tmp_path)
    (house.inbound / f"{student}+{NAME}+2026-12-01 12:00:00 UTC+x").mkdir()
    house.all()
    assert house.watcher._waiting() == []
    house.watcher._show(always=True)
    assert len(house.watcher.status.not_taken) == 1


def test_a_submission_must_belong_to_the_account_that_it_names(tmp_path):
    house = House(tmp_path)
    source = ExchangeFolder(house.inbound, [NAME])
    name = house.submit("somebody_else", 5)
    assert source.arrivals() == []
    assert "it says that it is somebody_else's and belongs to" in source.refused[name]
