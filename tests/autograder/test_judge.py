"""The judge's own parts, without a jail: how long it waits, what it keeps, what it asks for."""

import inspect
import math
import os
import socket
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from autograder.grading.engine import judge
from autograder.grading.engine.channel import Channel
from autograder.grading.engine.codec import encode
from autograder.grading.engine.outputs import Outputs


class Jail:
    """Says how long a core was had, and whether one is wanted."""

    def __init__(self, *answers):
        self.answers = iter(answers)

    def used_s(self):
        return next(self.answers)


@pytest.fixture
def clock(monkeypatch):
    """Time stands still but for what a test adds: `[now, processor time of the judge]`."""
    now = [1000.0, 5.0]
    monkeypatch.setattr(judge.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(judge.time, "process_time", lambda: now[1])
    return now


@pytest.mark.parametrize(
    ("used_s", "here_s", "ready", "after_s", "latest_s", "more_s"),
    [
        (2.0, 0.0, True, 10, 99, 8.0),  # had 2 of 10 s: the others are still to come
        (1.0, 1.0, True, 10, 99, 8.0),  # the judge's own share counts
        (2.0, 0.0, False, 10, 99, None),  # waits for something else than a core
        (8.0, 0.0, True, 10, 99, 2.0),
        (8.1, 0.0, True, 10, 99, None),
        (2.0, 0.0, True, 10, 15, 5.0),  # no longer than the notebook may take
        (2.0, 0.0, True, 38, 99, 2.0),  # nor than four times what is allowed
        (2.0, 0.0, True, 40, 99, None),
    ],
)
def test_a_cell_that_waits_for_a_core_gets_the_time_it_missed(
    clock, used_s, here_s, ready, after_s, latest_s, more_s
):
    patience = judge.Patience(Jail((3.0, True), (3.0 + used_s, ready)), 10.0, 1000.0 + latest_s)
    assert patience.deadline == 1010.0
    clock[0] += after_s
    clock[1] += here_s
    assert patience.more() is (more_s is not None)
    if more_s is None:
        assert (patience.deadline, patience.added_s) == (1010.0, 0.0)
    else:
        assert patience.deadline == 1000.0 + after_s + more_s
        assert patience.added_s == patience.deadline - 1010.0


def test_time_that_was_added_twice_adds_up(clock):
    patience = judge.Patience(Jail((0.0, True), (2.0, True), (5.0, True)), 10.0, 2000.0)
    for now, deadline in ((1010.0, 1018.0), (1018.0, 1023.0)):
        clock[0] = now
        assert patience.more() and patience.deadline == deadline
    assert patience.added_s == 13.0


@pytest.fixture
def connected():
    """A jail whose learner is a test: the jail, the learner's channel, its leash and pipes."""
    ours, theirs = socket.socketpair()
    leash, held = socket.socketpair()
    (out, told), (err, complained) = os.pipe(), os.pipe()
    jail = judge.Jail(judge.JailEnds(ours, leash, out, err), None)
    pipes = [os.fdopen(end, "wb", buffering=0) for end in (told, complained)]
    yield jail, Channel(theirs, 1000), held, pipes
    jail.close()
    for end in (theirs, held, *pipes):
        end.close()


def test_why_a_jail_fell_is_the_last_that_it_said(connected):
    jail, learner, _, (_, complained) = connected
    complained.write(b"Traceback\n  ...\nOSError: no room\n")
    learner.close()
    assert jail.why_fallen() == "OSError: no room"


@pytest.mark.parametrize(
    ("falls", "told"), [([""], None), (["first", ""], None), (["first", "last"], "stand: last")]
)
def test_a_jail_that_falls_before_it_stands_is_opened_once_more(monkeypatch, falls, told):
    whys, closed = iter(falls), []
    opened = SimpleNamespace(why_fallen=lambda: next(whys), close=lambda: closed.append(1))
    monkeypatch.setattr(judge, "Jail", lambda *_: opened)
    limits = dict.fromkeys(inspect.signature(judge.Limits).parameters, 1)
    judging = judge.Judge({"cells": [], "limits": limits}, lambda: None, None)
    if told:
        with pytest.raises(RuntimeError, match=told):
            judging._standing_jail()
    else:
        assert judging._standing_jail() is opened
    assert len(closed) == len(list(filter(None, falls)))


@pytest.mark.parametrize("ends", [True, False])
def test_calls_that_nobody_wants_are_interrupted_once(connected, monkeypatch, ends):
    jail, learner, held, _ = connected
    monkeypatch.setattr(judge, "LEAVE_S", 0.1)
    monkeypatch.setattr(judge, "INTERRUPT_GRACE_S", 20.0 if ends else 0.1)
    jail.ask_together([{"call": 1}, {"call": 2}], False, None)
    learner.receive()

    def stop_when_told():
        assert held.recv(1) == judge.INTERRUPT
        if ends:
            learner.send({"reply": {"error": ["KeyboardInterrupt", ""]}, "to": 1})

    thread = threading.Thread(target=stop_when_told)
    thread.start()
    if ends:
        jail.leave()
        assert jail.coming == 0
    else:
        with pytest.raises(judge.JailLost, match="ended beyond its test"):
            jail.leave()
    thread.join(20)
    held.setblocking(False)
    with pytest.raises(BlockingIOError):
        held.recv(1)


@pytest.mark.parametrize("ends", [True, False])
def test_a_flood_that_is_over_was_no_reason_to_stop(connected, monkeypatch, ends):
    """Whoever put out too much and is done all the same was not stopped."""
    jail, answering, held, _ = connected
    monkeypatch.setattr(judge, "FLOOD_GRACE_S", 5.0 if ends else 0.1)

    def learner():
        number = answering.receive()["number"]
        answering.send({"output": {"type": "stream", "name": "stdout", "text": "x" * 99}})
        if ends:
            time.sleep(0.1)
        else:
            assert held.recv(1) == judge.INTERRUPT
        answering.send({"reply": {"done": True}, "to": number, "asked": ends})

    thread = threading.Thread(target=learner)
    thread.start()
    patience = SimpleNamespace(allowed_s=20.0, deadline=time.monotonic() + 20)
    reply = jail.ask({}, Outputs(10, 20), patience)
    thread.join(20)
    assert reply == ({"done": True} if ends else {"done": True, "stopped": "flood"})
    assert jail.asked_withheld is ends  # as it said itself


def test_calls_are_kept_while_there_is_room(monkeypatch):
    monkeypatch.setattr(judge, "TRANSCRIPT_CALLS", 3)
    monkeypatch.setattr(judge, "TRANSCRIPT_CHARS", 4 * len(repr({"n": 1})))
    calls = judge.Transcript()
    for number in range(5):
        calls.add({"n": number})
    assert [call["n"] for call in calls.calls] == [0, 1, 2]
    monkeypatch.setattr(judge, "TRANSCRIPT_CALLS", 9)
    full = judge.Transcript()
    for number in range(4):
        full.add({"n": number})
    full.add({"n": "more"})
    full.add({"n": 1})
    assert [call["n"] for call in full.calls] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("source", "lent"),
    [
        ("import math\nfrom a import b as c\nassert f(1)", "import math\nfrom a import b as c"),
        ("%matplotlib inline\nimport math", "import math"),
        ("import a\n### BEGIN HIDDEN TESTS\nimport b\n### END HIDDEN TESTS", "import a"),
        ("def f():\n    import a", ""),
        ("import (", ""),
    ],
)
def test_of_a_test_later_cells_get_what_its_visible_part_imports(source, lent):
    assert judge._imports(source) == lent


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import math\nx = 1\ndef g(): return f(x)\nassert g()", {"f"}),
        ("assert [f(n) for n in values]", {"f", "values"}),
        ("class A:\n    y = f\n    def m(self): return late", {"f", "late"}),
        ("%time y\nf(x)", {"f", "x"}),
        ("f(", set()),
        (
            "import math\nthe_answer = 42\ndef hidden_tests():\n    secret = math.pi\n"
            "    assert f(secret) == len([the_answer for unused in range(1)])\nhidden_tests()",
            {"f", "len", "range"},
        ),
    ],
)
def test_the_learner_is_asked_for_what_a_test_takes_from_outside(source, names):
    assert judge._names(source) - {"get_ipython"} == names


def stand_in(**about):
    def proxy():
        """Is not seen."""

    judge._tell(proxy, about)
    return proxy


def test_a_stand_in_has_the_docstring_and_the_signature_of_the_function():
    parameters = [["x", 1, []], ["rest", 2, []], ["scale", 3, [encode(2.5)]], ["more", 4, []]]
    told = stand_in(doc="Doubles.", parameters=parameters)
    assert told.__doc__ == "Doubles."
    assert str(inspect.signature(told)) == "(x, *rest, scale=2.5, **more)"
    assert str(inspect.signature(stand_in(parameters=[["x", 0, []]]))) == "(x, /)"


@pytest.mark.parametrize(
    "parameters",
    [7, ["x"], [["x", 9, []]], [["x", "1", []]], [["x y", 1, []]], [["x", 1, [["odd"]]]]],
    ids=str,
)
def test_a_signature_that_is_none_is_left_out(parameters):
    told = stand_in(doc=7, parameters=parameters)
    assert told.__doc__ is None and str(inspect.signature(told)) == "()"


def test_a_module_that_only_the_learner_imported_is_the_test_s_own_of_that_name():
    known = {name: {"module": True} for name in ("np", "math", "no_such")}
    shell = SimpleNamespace(user_ns={})
    asking = judge.Asking(SimpleNamespace(_shell=shell, known=known), None, None, None)
    found = asking.names("assert np.sqrt(4) == math.sqrt(4) == no_such.sqrt(4)")
    assert found == shell.user_ns == {"np": np, "math": math}


def test_a_test_gives_a_function_plain_data():
    assert judge._argument("f", [1, "a"]) == encode([1, "a"])
    for given in ([len], {"key": len}):
        with pytest.raises(TypeError, match="may give f plain data, not builtin"):
            judge._argument("f", given)


def test_where_no_answers_are_told_none_was_asked_for_or_off():
    limits = dict.fromkeys(inspect.signature(judge.Limits).parameters, 1)
    ran = judge.Judge({"cells": [], "limits": limits}, None, None).run()
    assert (ran["questions"], ran["off"], ran["asked_withheld"]) == (0, 0, False)


def test_tests_of_an_exercise_share_what_it_has(clock):
    kinds = {"a1": judge.TEST, "a2": judge.TEST, "a3": judge.TEST, "b1": judge.TEST, "a": "learner"}
    cells = [{"id": i, "kind": kind, "slug": i[0], "seconds": 20} for i, kind in kinds.items()]
    limits = {**dict.fromkeys(inspect.signature(judge.Limits).parameters, 1), "cell_s": 7.0}
    judging = judge.Judge({"cells": cells, "limits": limits}, None, None)
    judging._deadline = clock[0] + 100
    took = {"a1": 3.0, "a2": 4.0, "b1": 5.0, "a": 6.0}  # a2 is run again; a3 is still to come
    judging._results = {i: {"seconds": seconds} for i, seconds in took.items()}
    assert [judging._allowed_s(cell) for cell in cells] == [16.0, 17.0, 13.0, 20.0, 7.0]
    judging._results["a1"]["seconds"] = 50.0
    assert judging._allowed_s(cells[1]) == judge.LEAST_CELL_S
    judging._deadline = clock[0] + 12
    assert (judging._allowed_s(cells[3]), judging._allowed_s()) == (12.0, 7.0)


def test_an_alarm_rings_when_time_is_over_and_is_put_back():
    before = judge.signal.getsignal(judge.signal.SIGALRM)
    began = time.monotonic()
    with judge._alarm(0.05) as alarm:
        while time.monotonic() - began < 10:
            pass
    assert alarm.rang and time.monotonic() - began < 5
    assert judge.signal.getsignal(judge.signal.SIGALRM) is before
    assert judge.signal.getitimer(judge.signal.ITIMER_REAL) == (0.0, 0.0)
    with judge._alarm(20) as quiet:
        pass
    assert not quiet.rang
