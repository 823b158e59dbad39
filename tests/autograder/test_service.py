"""The service's own parts, without a judge: what it hands on, how long it waits, what it says."""

import os
import site
import socket
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

import autograder
from autograder.grading.engine import service
from autograder.grading.engine.channel import ChannelClosed, ChannelGarbage, ChannelTimeout
from autograder.grading.engine.jail import LANDLOCK, NAMESPACES, NO_WALL, JailSpec
from autograder.grading.engine.service import (
    EngineError,
    EngineGone,
    JobTooLong,
    Service,
    ZygoteProcess,
)

SPEC = JailSpec(readable=("/of/the/command",))
JOB = {"withheld": [], "limits": {"notebook_s": 7, "max_restarts": 3}}


@pytest.mark.parametrize("name", ["nowhere_to_be_found", "without_init"])
def test_without_the_courses_package_no_engine_begins(name, tmp_path, monkeypatch):
    (tmp_path / "without_init").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(service, "PACKAGE", name)
    with pytest.raises(EngineError, match=f"the package {name} is not installed here"):
        Service(SPEC, wall=NO_WALL)


def test_a_jail_reads_what_is_installed_and_nothing_of_the_staffs(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(tmp_path))
    with Service(SPEC, wall=NO_WALL) as without:
        assert str(tmp_path) not in without._spec.readable
    monkeypatch.syspath_prepend(tmp_path)
    with Service(SPEC, wall=NO_WALL) as engine:
        assert {"/of/the/command", str(tmp_path)} < {*engine._spec.readable}
        assert engine._spec.hidden == (*SPEC.hidden, str(Path(autograder.__file__).parent))


class Judge:
    """Stands for the channel to a judge: keeps what it is sent, and gives one answer or error."""

    def __init__(self, answer):
        self.answer = answer
        self.closed = False

    def send(self, job, deadline):
        self.job, self.deadline = job, deadline

    def receive(self, deadline):
        assert deadline == self.deadline
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self):
        self.closed = True


@pytest.fixture
def asking(monkeypatch):
    """Return how a service with this wall asks judges that answer one after the other."""

    def asking(*answers, wall=NO_WALL):
        judges = [Judge(answer) for answer in answers]
        asked = iter(judges)
        engine = Service(SPEC, wall=wall)
        monkeypatch.setattr(engine, "_start_judge", lambda: next(asked))
        monkeypatch.setattr(service, "Channel", lambda judge, limit: judge)
        return engine, judges

    return asking


@pytest.mark.parametrize(
    ("answers", "told", "asked"),
    [
        ((ChannelTimeout(),), (JobTooLong, "not done after 82 s"), 1),
        ((ChannelClosed(), ChannelGarbage()), (EngineError, "judges it ended early"), 2),
        (({"crash": "Traceback\n  x\nKeyError: 1\n"},) * 2, (EngineError, "^KeyError: 1$"), 2),
        ((ChannelClosed(), {"cells": 1}), None, 2),
        (({"cells": 1},), None, 1),
    ],
)
def test_a_job_is_tried_twice_unless_it_is_too_long(asking, answers, told, asked):
    engine, judges = asking(*answers, {"cells": "one too many"})
    began = time.monotonic()
    with engine:
        if told is None:
            assert engine.run(JOB) == {"cells": 1, "wall": engine._described}
        else:
            with pytest.raises(told[0], match=told[1]):
                engine.run(JOB)
    # The notebook's own limit, a minute, and five seconds for each new jail.
    assert began + 82 <= judges[0].deadline <= time.monotonic() + 82
    assert [judge.closed for judge in judges] == [True] * asked + [False] * (len(judges) - asked)


@pytest.mark.parametrize(
    ("wall", "beside"), [(NAMESPACES, False), (LANDLOCK, True), (NO_WALL, True)]
)
def test_the_package_without_answers_is_laid_over_or_put_before_the_installed_one(
    asking, wall, beside
):
    engine, (first, again) = asking({}, {}, wall=wall)
    with engine:
        engine.run(JOB)
        engine.run(JOB)
        ((copy, place),) = {*first.job["overlays"]}
        assert Path(place) == service.package_folder() and Path(copy, "__init__.py").is_file()
        assert first.job["path"] == ["", *([str(Path(copy).parent)] if beside else [])]
        assert again.job["overlays"] == first.job["overlays"]  # it is made once
        for folder in Path(copy).parents[:2]:  # a jail has another user
            assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert not Path(copy).exists()


def test_a_closed_engine_starts_nothing(monkeypatch):
    monkeypatch.setattr(service, "ZygoteProcess", None)
    engine = Service(SPEC, wall=NO_WALL)
    engine.close()
    with pytest.raises(EngineError, match="the grading engine was closed"):
        engine.run(JOB)


@pytest.fixture
def zygote(tmp_path):
    """A zygote's owner, and the socket of the zygote itself, which is not there."""
    owner = ZygoteProcess.__new__(ZygoteProcess)
    owner._control, theirs = socket.socketpair()
    owner._log = tmp_path / "log"
    owner._lock = threading.Lock()
    owner._ready = False
    with owner._control, theirs:
        yield owner, theirs


@pytest.mark.parametrize(
    ("said", "logged", "reason"),
    [
        (b"R", "a warning", None),
        (b"X", "", "no reason"),
        (b"", "Traceback\n  line 1\nImportError: x\n", "ImportError: x"),
        (None, "still importing", "still importing"),
    ],
)
def test_a_zygote_is_ready_when_it_says_so(zygote, said, logged, reason, monkeypatch):
    owner, theirs = zygote
    owner._log.write_text(logged)
    if said is None:
        monkeypatch.setattr(service, "START_S", 0.05)
    elif said:
        theirs.sendall(said)
    else:
        theirs.close()
    if reason is None:
        owner.start_judge().close()
        assert owner._control.gettimeout() is None
        owner.start_judge().close()  # it says so once
        request, descriptors, _, _ = socket.recv_fds(theirs, 1, 1)
        assert request == b"J" and os.fstat(descriptors[0])
        os.close(descriptors[0])
        theirs.close()
        with pytest.raises(EngineGone):
            owner.start_judge()
    else:
        with pytest.raises(EngineError, match=f"the grading engine did not start: {reason}$"):
            owner.start_judge()


class Stubborn:
    """Stands for a zygote's process that ends when it is killed, and not before."""

    killed = False

    def kill(self):
        self.killed = True

    def wait(self, timeout):
        if not self.killed:
            raise subprocess.TimeoutExpired("zygote", timeout)


def test_a_zygote_that_does_not_end_is_killed(zygote):
    owner, _ = zygote
    owner._process, owner._folder = Stubborn(), tempfile.TemporaryDirectory()
    owner.close()
    assert owner._process.killed and not Path(owner._folder.name).exists()
    assert owner._control.fileno() == -1
