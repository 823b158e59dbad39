"""The zygote's own parts: what it forks and closes, how a keeper watches, how it all ends."""

import array
import ctypes
import errno
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from autograder.grading.engine import judge, zygote
from autograder.grading.engine.jail import JailSpec

from .conftest import told_by

SPEC = JailSpec(readable=(), memory_bytes=2**34, cpu_s=70, file_bytes=2**20)


def child_that_ended():
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # nobody collects it yet
    return pid


# ------------------------------------------------------------------ a keeper's watch


class Watch(zygote.Watch):
    """Keeps watch over a learner of which a test says how it fares, look by look."""

    def __init__(self, leash, *, ends=(), grows=(), look_s=0.0, clock=None):
        super().__init__(leash, SPEC)
        self.ends, self.grows = iter(ends), iter(grows)
        self.look_s, self.clock = look_s, clock
        self.used = self.ended = 0

    def _ended(self, learner):
        return next(self.ends, None)

    def _outgrown(self):
        if self.clock:
            self.clock[0] += self.look_s
        return next(self.grows, False)

    def _tell_used(self, pid):
        self.used += 1

    def _end(self):
        self.ended += 1


@pytest.fixture
def leash():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def exited(code):
    return code << 8


@pytest.mark.parametrize(
    ("ends", "grows", "own_doing"),
    [
        ([exited(0)], [], True),
        ([None, exited(7)], [], True),
        ([None, signal.SIGKILL], [], False),  # it may have been anybody
        ([None] * 3, [False, False, True], True),
    ],
)
def test_a_keeper_says_if_a_learner_ended_or_outgrew_its_jail(leash, ends, grows, own_doing):
    ours, theirs = leash
    watch = Watch(theirs, ends=ends, grows=grows)
    watch.keep(1)
    theirs.close()
    assert ours.recv(9) == (judge.OWN_DOING if own_doing else b"")
    assert watch.ended == 1


def test_a_keeper_does_what_the_judge_says_and_ends_when_it_is_let_go(leash, monkeypatch):
    ours, theirs = leash
    stopped = []
    monkeypatch.setattr(zygote.os, "kill", lambda *which: stopped.append(which))
    ours.sendall(judge.USED + judge.INTERRUPT + judge.USED)
    ours.shutdown(socket.SHUT_WR)
    watch = Watch(theirs, grows=[False])
    watch.keep(77)
    assert (stopped, watch.used, watch.ended) == ([(77, signal.SIGINT)], 2, 1)
    assert [*watch.grows] == []  # a look after the stop button, none after each question
    theirs.close()
    assert ours.recv(9) == b""


def test_looking_takes_a_fifth_of_a_keepers_time(leash, monkeypatch):
    _, theirs = leash
    clock, waits = [100.0], []
    monkeypatch.setattr(zygote.time, "monotonic", lambda: clock[0])

    def waiting(_read, _write, _other, seconds):
        waits.append(seconds)
        return [], [], []

    monkeypatch.setattr(zygote.select, "select", waiting)
    for look_s in (0.0, 0.5):
        Watch(theirs, ends=[None, None], grows=[False, True], look_s=look_s, clock=clock).keep(1)
    assert waits == [zygote.WATCH_S, zygote.WATCH_S, zygote.WATCH_S, 2.0]


@pytest.mark.parametrize(
    ("status", "state"), [("running", b"R"), ("sleeping", b"-"), ("disk-sleep", b"-")]
)
def test_a_keeper_tells_what_a_learner_used_and_whether_it_is_ready(
    leash, monkeypatch, status, state
):
    ours, theirs = leash
    times = SimpleNamespace(user=1.5, system=0.25)
    learner = SimpleNamespace(cpu_times=lambda: times, status=lambda: status)
    monkeypatch.setattr(zygote.psutil, "Process", {7: learner}.__getitem__)
    zygote.Watch(theirs, SPEC)._tell_used(7)
    assert ours.recv(99) == b"1.75 " + state + b"\n"


class Process:
    """Stands for a process of the jail: how much memory it has, None if it is gone."""

    def __init__(self, rss):
        self.rss = rss

    def memory_info(self):
        if self.rss is None:
            raise psutil.NoSuchProcess(1)
        return SimpleNamespace(rss=self.rss)


@pytest.mark.parametrize(
    ("sizes", "outgrown"),
    [([], False), ([2**33, None, 2**33], False), ([2**33, None, 2**33, 1], True)],
)
def test_without_a_wall_the_memory_of_all_processes_counts(leash, sizes, outgrown, monkeypatch):
    watch = zygote.UnjailedWatch(leash[1], SPEC)
    monkeypatch.setattr(watch, "_started", lambda: [Process(rss) for rss in sizes])
    assert watch._outgrown() is outgrown


@pytest.mark.skipif(sys.platform != "linux", reason="orphans come to their keeper on Linux alone")
def test_without_a_wall_what_lost_its_parent_is_found_and_ended():
    def keep():
        watch = zygote.UnjailedWatch(None, SPEC)
        folder = watch.folder()
        script = "sh -c 'sleep 600 & echo $!'; sleep 600"
        parent = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
        orphan = int(parent.stdout.readline())
        found = {process.pid for process in watch._started()}
        watch._end()
        codes = [os.waitpid(pid, 0)[1] for pid in (parent.pid, orphan)]
        return {parent.pid, orphan} <= found, codes, Path(folder).exists()

    assert told_by(keep) == (True, [signal.SIGKILL] * 2, False)


def test_a_keeper_collects_who_ended_until_it_is_the_learner():
    def keep():
        child_that_ended()
        child_that_ended()
        hear, hold = os.pipe()
        if (learner := os.fork()) == 0:
            os.close(hold)
            os.read(hear, 1)
            os._exit(3)
        before = zygote.Watch._ended(learner)
        left = len(psutil.Process().children())
        os.close(hold)
        os.waitid(os.P_PID, learner, os.WEXITED | os.WNOWAIT)
        return before, left, zygote.Watch._ended(learner)

    assert told_by(keep) == (None, 1, exited(3))


# ------------------------------------------------------------------ what is limited


def limits_after(limit, *given):
    limit(*given)
    names = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_CORE")
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no limit on address space")
def test_without_a_wall_and_in_a_judge_resources_are_limited():
    values = {"RLIMIT_AS": 2**34, "RLIMIT_CPU": 70, "RLIMIT_FSIZE": 2**20, "RLIMIT_CORE": 0}
    found = told_by(limits_after, zygote.limit_resources, SPEC)
    assert found == {name: (value, value) for name, value in values.items()}
    judges = told_by(limits_after, zygote.limit_judge, 60.7)
    assert judges["RLIMIT_CPU"] == (70, 70) and judges["RLIMIT_AS"] == (4 * 2**30,) * 2


# ------------------------------------------------------------------ what is forked


@pytest.fixture
def forking():
    """A zygote without a shell, and its owner's end of the control socket."""
    made = zygote.Zygote.__new__(zygote.Zygote)
    ours, made._control = socket.socketpair()
    made._asking, made._judges = set(), {}
    with ours, made._control:
        yield made, ours


def descriptors_open():
    gc.collect()  # nothing that others forgot is closed between two counts
    return psutil.Process().num_fds()


def begin_judge(ours):
    job, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(ours, [b"J"], [theirs.fileno()])
    return job


PR_GET_PDEATHSIG, PR_GET_DUMPABLE = 2, 3


def test_a_judge_is_closed_to_others_and_holds_what_is_its_own_alone(forking, monkeypatch):
    made, ours = forking
    held = [*socket.socketpair(), *socket.socketpair()]
    made._asking.add(held[0])
    made._judges[0] = held[2]

    def being(job, asking):
        libc, told = ctypes.CDLL(None), array.array("i", [0])
        libc.prctl(PR_GET_PDEATHSIG, ctypes.c_void_p(told.buffer_info()[0]), 0, 0, 0)
        alive = [sock.fileno() != -1 for sock in (made._control, held[0], held[2], job, asking)]
        job.sendall(json.dumps([libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), told[0], alive]).encode())

    monkeypatch.setattr(made, "_judge", being)
    job = begin_judge(ours)
    assert made._start_judge()
    with job:
        dumpable, death, alive = json.loads(job.recv(999))
    assert alive == [False, False, False, True, True]
    if sys.platform == "linux":
        assert (dumpable, death) == (0, signal.SIGKILL)
    (pid,) = made._judges.keys() - {0}
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    for sock in (*held, made._judges.pop(pid), *made._asking):
        sock.close()
    os.waitpid(pid, 0)


def test_an_owner_who_goes_ends_the_judges(forking, monkeypatch):
    made, ours = forking
    done = []
    monkeypatch.setattr(zygote.os, "kill", lambda *which: done.append(which))
    monkeypatch.setattr(made, "_see_jails_end", lambda: done.append("jails"))
    monkeypatch.setattr(made, "_reap", lambda: None)
    made._judges = {71: None, 72: None}
    ours.close()
    made.serve()
    assert done == [(71, signal.SIGKILL), (72, signal.SIGKILL), "jails"]


def test_only_a_judge_whose_result_nobody_waits_for_is_unwanted(forking, monkeypatch):
    made, _ = forking
    killed = []
    monkeypatch.setattr(zygote.os, "kill", lambda *which: killed.append(which))
    pairs = {pid: socket.socketpair() for pid in (71, 72, 73)}
    made._judges = {pid: ours for pid, (ours, _) in pairs.items()}
    pairs[72][1].sendall(b"a job that it has not read yet")
    pairs[73][1].close()
    made._end_unwanted()
    assert killed == [(73, signal.SIGKILL)]
    for pair in pairs.values():
        for sock in pair:
            sock.close()


def no_process():
    raise BlockingIOError(errno.EAGAIN, "no process to be had")


@pytest.mark.parametrize("had", [True, False])
def test_a_jail_leaves_nothing_open_where_it_was_asked_for(forking, had, monkeypatch):
    made, _ = forking
    ours, asking = socket.socketpair()
    made._asking.add(asking)
    monkeypatch.setattr(made, "_fork", lambda become: 7 if had else no_process())
    with ours, asking:
        ours.sendall(b"J")
        before = descriptors_open()
        made._start_jail(asking)
        answer, descriptors, _, _ = socket.recv_fds(ours, 1, 9)
        assert answer == (b"J" if had else b"N") and len(descriptors) == (4 if had else 0)
        for descriptor in descriptors:
            os.close(descriptor)
        assert descriptors_open() == before and made._asking == {asking}


def test_a_judge_that_died_with_an_answer_unread_asks_for_nothing_more(forking):
    made, _ = forking
    ours, asking = socket.socketpair()
    made._asking.add(asking)
    asking.sendall(b"N")
    ours.close()
    made._start_jail(asking)
    assert made._asking == set() and asking.fileno() == -1


def test_where_no_process_can_be_had_a_job_ends_at_once(forking, monkeypatch):
    made, ours = forking
    monkeypatch.setattr(made, "_fork", lambda become: no_process())
    before = descriptors_open()
    with begin_judge(ours) as job:
        assert made._start_judge()
        assert select.select([job], [], [], 20)[0] and job.recv(1) == b""
    assert descriptors_open() == before and not made._judges and not made._asking


@pytest.mark.parametrize(("error", "status"), [(None, 0), (KeyError("lost"), 1)])
def test_what_goes_wrong_in_a_fork_is_told_where_its_output_goes(forking, error, status, capfd):
    def become():
        if error:
            raise error

    pid = forking[0]._fork(become)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    assert ("KeyError: 'lost'" in capfd.readouterr().err) is (status == 1)


def test_a_judge_that_ended_is_collected_and_its_job_let_go(forking):
    made, _ = forking

    def reap():
        ended, _ = child_that_ended(), child_that_ended()
        lives = subprocess.Popen(["sleep", "600"])
        job, theirs = socket.socketpair()
        made._judges = {ended: job, lives.pid: theirs}
        made._reap()
        left = [process.pid for process in psutil.Process().children()]
        lives.kill()
        lives.wait()
        made._reap()  # nobody is left
        return left == [lives.pid] == [*made._judges], job.fileno(), theirs.fileno() > 0

    assert told_by(reap) == (True, -1, True)


@pytest.mark.parametrize(("sleep_s", "left"), [("0.2", 0), ("600", 1)])
def test_a_zygote_waits_for_its_jails_but_not_for_ever(sleep_s, left, monkeypatch):
    monkeypatch.setattr(zygote, "END_S", 20.0 if left == 0 else 0.05)

    def wait():
        subprocess.Popen(["sleep", sleep_s])
        zygote.Zygote._see_jails_end()
        lives = psutil.Process().children()
        for process in lives:
            process.kill()
        return len(lives)

    assert told_by(wait) == left
