"""A bar in a terminal, lines in a log, and no line lost between them."""

import io
import logging

import pytest

from autograder.grading import run_progress
from autograder.grading.run_progress import RunProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def log():
    logger = logging.Logger("run")
    logger.written = io.StringIO()
    logger.addHandler(logging.StreamHandler(logger.written))
    return logger


def logged(log):
    return log.written.getvalue()


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(log, monkeypatch):
    monkeypatch.setattr(run_progress, "LOG_EVERY_S", 0.0)
    run = RunProgress(3, log, io.StringIO())
    for number, student in enumerate(("a", "b", "c")):
        run.done(student, 0.5 * number)
    lines = logged(log).splitlines()
    assert lines[0].startswith("1 of 3 graded, ") and "left; slowest: a 0.0 s" in lines[0]
    assert lines[-1].startswith("3 of 3 graded, ")
    assert "slowest: c 1.0 s, b 0.5 s, a 0.0 s in " in lines[-1]
    assert len(lines) == 3


def test_a_line_says_how_fast_it_goes_and_what_is_left(log, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(run_progress, "LOG_EVERY_S", 30.0)
    run = RunProgress(8, log, io.StringIO())
    assert run.line() == "0 of 8 graded, 0.0/s, about 0 s left"
    for second in (20.0, 29.9, 30.0, 59.0, 60.0):
        now[0] = 100.0 + second
        run.done("a", 1.0)
    named = "; slowest: a 1.0 s, a 1.0 s, a 1.0 s"
    assert logged(log).splitlines() == [
        f"3 of 8 graded, 0.1/s, about 50 s left{named}",
        f"5 of 8 graded, 0.1/s, about 36 s left{named}",
    ]
    now[0] = 110.0
    run.done("a", 1.0)
    run.close()
    assert logged(log).splitlines()[-1] == f"6 of 8 graded, 0.6/s, about 3 s left{named} in 10 s"


def test_a_quiet_log_gets_the_last_line_alone(log):
    run = RunProgress(2, log, io.StringIO())
    run.done("a", 1.0)
    assert logged(log) == ""
    run.done("b", 2.0)
    assert len(logged(log).splitlines()) == 1


def test_only_the_slowest_are_named(log):
    run = RunProgress(5, log, io.StringIO())
    for number in range(5):
        run.done(f"s{number}", float(number))
    assert "s4 4.0 s, s3 3.0 s, s2 2.0 s" in logged(log)
    assert "s1" not in logged(log)


def test_a_terminal_gets_a_bar_and_log_lines_stand_above_it():
    terminal = Terminal()
    log, kept = logging.Logger("run"), io.StringIO()
    log.addHandler(logging.StreamHandler(terminal))
    log.addHandler(logging.StreamHandler(kept))  # a file, or formgrader's page
    run = RunProgress(2, log, terminal)
    run.done("slow_one", 2.0)
    log.warning("slow_one: stopped [cell 3]")
    assert log.handlers[0].stream is not terminal
    run.done("b", 1.0)
    shown = terminal.getvalue()
    assert "2/2" in shown and "slow_one 2.0 s" in shown
    assert shown.count("slow_one: stopped [cell 3]") == 1
    assert log.handlers[0].stream is terminal
    assert "slow_one: stopped [cell 3]" in kept.getvalue() and "2 of 2" in kept.getvalue()


def test_a_run_that_ends_early_is_summed_up_once(log):
    run = RunProgress(3, log, io.StringIO())
    run.done("a", 1.0)
    run.close()
    run.close()
    (line,) = logged(log).splitlines()
    assert "1 of 3 graded" in line
