"""What `servemath watch` does, from an exchange to the pages in it, with nbgrader and engine."""

import os
import pwd
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from autograder.attempts.record import Records
from autograder.course.commands import run_nbgrader
from autograder.gradebook.reader import grades_of

from .. import warm
from . import small_course
from .exchange_folder import NAME, Exchange
from .small_course import RIGHT, WRONG


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return small_course.released(tmp_path_factory)


def watch(exchange, *arguments):
    return subprocess.run(
        [warm.programs() / "servemath", "watch", *arguments],
        cwd=exchange.course.root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def points(exchange):
    with small_course.gradebook_of(exchange.course) as gradebook:
        return {who: one.total for who, one in grades_of(gradebook, NAME).items()}


def test_what_is_submitted_comes_back_graded_and_the_best_attempt_stays(
    released, tmp_path, monkeypatch
):
    exchange = Exchange(
        released, tmp_path, 'c.Attempts.counts = "best"\nc.Attempts.pause_minutes = 0'
    )
    first = exchange.submit("u1", **RIGHT)
    other = exchange.submit("u2", **WRONG)
    done = watch(exchange, NAME, "--once")
    assert done.returncode == 0, done.stderr
    assert points(exchange) == {"u1": 5.0, "u2": 2.0}
    assert "<strong>5</strong> of 5 points" in exchange.fetch(first)
    assert "<strong>2</strong> of 5 points" in exchange.fetch(other)

    worse = exchange.submit("u1", **WRONG)
    nothing = exchange.submit("u2")
    (exchange.inbound / nothing / "exercises.ipynb").write_text("{")
    exchange.watch(monkeypatch)
    assert points(exchange) == {"u1": 5.0, "u2": 2.0}  # and not what was tried last
    page = exchange.fetch(worse)
    assert "<strong>2</strong> of 5 points" in page
    assert "This is attempt 2 of at most 12; the best one counts." in page
    assert "So far that is attempt 1, with 5 of 5 points." in page
    assert "exercises.ipynb is not valid JSON" in exchange.fetch(nothing)
    assert "It takes none of your attempts: 1 of at most 12 were made" in exchange.fetch(nothing)
    made = Records(exchange.course).of(NAME, "u1")
    assert [(one.number, one.points, one.is_open) for one in made] == [(1, 5, False), (2, 2, False)]

    told = " ".join(watch(exchange, NAME, "--attempts", "u1").stdout.split())
    assert "1* " in told
    assert "5 of 5 graded attempts/ch9_small/u1/001 2 " in told

    told = watch(exchange, "--status").stdout
    assert "NOT at work: ch9_small" in told
    assert "Waiting: 0" in told
    log = (exchange.course.outcomes / "watch.log").read_text()
    assert "u1  ch9_small  attempt 2: 2 of 5 points" in log


def test_what_was_submitted_in_another_s_name_is_neither_collected_nor_graded(released, tmp_path):
    exchange = Exchange(released, tmp_path, "c.ExchangeCollect.check_owner = True")
    me, later = pwd.getpwuid(os.getuid()).pw_name, datetime.now(UTC) + timedelta(hours=1)
    mine = exchange.submit(me, **RIGHT)
    forged = [exchange.submit("somebody_else", **WRONG)]
    if os.getuid() == 0:  # and one in mine, which only root can make here
        forged.append(exchange.submit(me, later, **WRONG))
        os.chown(exchange.inbound / forged[-1], pwd.getpwnam("nobody").pw_uid, -1)
    (exchange.inbound / f"{me}+{NAME}+no time+x").mkdir()
    collected = run_nbgrader(exchange.course.root, "collect", NAME)
    assert collected.returncode == 0, collected.stderr
    assert [path.name for path in exchange.course.submitted.iterdir()] == [me]
    kept = (exchange.course.submitted / me / NAME / "exercises.ipynb").read_bytes()
    assert kept == (exchange.inbound / mine / "exercises.ipynb").read_bytes()

    assert watch(exchange, NAME, "--once").returncode == 1  # it needs a look
    assert points(exchange) == {me: 5.0}
    status = watch(exchange, "--status").stdout
    log = (exchange.course.outcomes / "watch.log").read_text()
    for name in forged:
        for told in (collected.stderr, status, log):
            assert name in told
    assert "it says that it is somebody_else's and belongs to" in log
