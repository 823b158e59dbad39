"""The preloaded parent: judges and jails are forked from it, so that imports cost once.

Its memory never holds a notebook, a test or a solution, since every jail is born
with a copy of it. It runs one thread, and serves requests over a socket that it
inherits; when that socket closes, it ends, and everything it started ends with it.

Run as ``python -m autograder.grading.engine.zygote <descriptor>``; settings come over the socket.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import psutil

from autograder.grading.engine import judge, learner, shell
from autograder.grading.engine.channel import MAX_TRUSTED_MESSAGE, Channel
from autograder.grading.engine.jail import (
    NO_WALL,
    JailSpec,
    drop_privileges,
    enter_jail,
    outgrown,
    settle_keeper,
    syscalls,
    work_folder,
)

#: Seconds between two looks of a jail's keeper at what is in use, if a look takes no time.
WATCH_S = 0.05

#: Seconds that jails may take to be taken down, once nobody needs them: a fraction of one,
#: unless the machine is busy.
END_S = 60.0

#: Address space of a judge, and processor seconds beyond the notebook's own limit.
JUDGE_BYTES = 4 * 2**30
JUDGE_MARGIN_S = 10


@dataclass(frozen=True)
class Settings:
    """What a zygote is told when it starts."""

    preload: tuple[str, ...]
    wall: str
    spec: JailSpec
    profile: str
    temporary: str


class Zygote:
    """Forks judges for its owner and jails for its judges."""

    def __init__(self, control: socket.socket, settings: Settings) -> None:
        self._control = control
        self._settings = settings
        self._asking: set[socket.socket] = set()
        self._judges: dict[int, socket.socket] = {}
        tempfile.tempdir = settings.temporary
        for name in settings.preload:
            importlib.import_module(name)
        self._shell = shell.make_shell(settings.profile)
        self._warm_up()
        gc.collect()
        gc.freeze()

    def _warm_up(self) -> None:
        """Run what every cell runs, so that nothing is left to import after a fork."""
        for source in ("1 + 1", "raise ValueError('warm')"):
            self._shell.run(source, 1)
        self._shell.reset()

    def serve(self) -> None:
        """Fork on request until the owner goes."""
        while True:
            ready, _, _ = select.select([self._control, *self._asking], [], [], 1.0)
            self._reap()
            if self._control in ready and not self._start_judge():
                for pid in self._judges:
                    os.kill(pid, signal.SIGKILL)
                self._see_jails_end()
                return
            self._end_unwanted()
            for asking in [sock for sock in ready if sock in self._asking]:
                self._start_jail(asking)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                if pid in self._judges:
                    self._judges.pop(pid).close()

    @staticmethod
    def _see_jails_end() -> None:
        deadline = time.monotonic() + END_S
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.001)

    def _end_unwanted(self) -> None:
        """Kill judges whose result nobody waits for any more: their job's other end is closed."""
        poll = select.poll()
        by_descriptor = {job.fileno(): pid for pid, job in self._judges.items()}
        for descriptor in by_descriptor:
            poll.register(descriptor, 0)
        for descriptor, _ in poll.poll(0):
            os.kill(by_descriptor[descriptor], signal.SIGKILL)

    def _fork(self, become: Callable[[], None]) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            become()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    # -------------------------------------------------------------------- judges

    def _start_judge(self) -> bool:
        request, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        if not request:
            return False
        job = socket.socket(fileno=descriptors[0])
        ours, theirs = socket.socketpair()

        def become() -> None:
            for sock in (self._control, ours, *self._asking, *self._judges.values()):
                sock.close()
            end_with_parent()
            if sys.platform == "linux":  # hidden tests are closed to others of this user
                syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
            self._judge(job, theirs)

        with theirs:
            try:
                self._judges[self._fork(become)] = job
                self._asking.add(ours)
            except OSError:  # no process to be had: whoever waits sees the end of it
                job.close()
                ours.close()
        return True

    def _judge(self, job: socket.socket, asking: socket.socket) -> None:
        """Be a judge: one job in, one result out."""
        channel = Channel(job, MAX_TRUSTED_MESSAGE)
        sys.stdout, sys.stderr = shell.Stream("stdout"), shell.Stream("stderr")
        learner.reseed()
        self._shell.show_errors_in_brief()
        self._shell.autoawait = False  # no test awaits, and each cell is compiled to find out
        request = channel.receive()
        limit_judge(request["limits"]["notebook_s"])

        def open_jail() -> judge.JailEnds:
            asking.sendall(b"J")
            answer, descriptors, _, _ = socket.recv_fds(asking, 1, 4)
            if answer != b"J":
                raise RuntimeError("the zygote could not start a jail")
            ends = judge.JailEnds(
                socket.socket(fileno=descriptors[0]),
                socket.socket(fileno=descriptors[1]),
                *descriptors[2:],
            )
            wanted = {key: request[key] for key in ("files", "overlays", "path", "functions")}
            Channel(ends.channel, MAX_TRUSTED_MESSAGE).send(wanted)
            return ends

        try:
            answer = judge.Judge(request, open_jail, self._shell).run()
        except Exception:
            answer = {"crash": traceback.format_exc()}
        channel.send(answer)

    # --------------------------------------------------------------------- jails

    def _start_jail(self, asking: socket.socket) -> None:
        try:
            request = asking.recv(1)
        except OSError:  # a judge that died with our answer unread
            request = b""
        if not request:
            self._asking.discard(asking)
            asking.close()
            return
        channel, their_channel = socket.socketpair()
        leash, their_leash = socket.socketpair()
        out, their_out = os.pipe()
        err, their_err = os.pipe()
        theirs = (their_channel.fileno(), their_leash.fileno(), their_out, their_err)

        def become() -> None:
            for sock in (self._control, channel, leash, *self._asking, *self._judges.values()):
                sock.close()
            os.close(out)
            os.close(err)
            self._jail(their_channel, their_leash, their_out, their_err)

        try:
            self._fork(become)
            socket.send_fds(asking, [b"J"], [channel.fileno(), leash.fileno(), out, err])
        except OSError:  # no process to be had, or the judge is gone
            with contextlib.suppress(OSError):
                asking.sendall(b"N")
        for sock in (channel, leash, their_channel, their_leash):
            sock.close()
        for descriptor in (out, err, *theirs[2:]):
            os.close(descriptor)

    def _jail(self, sock: socket.socket, leash: socket.socket, out: int, err: int) -> None:
        """Be the first process of a jail: build its walls, start the learner, keep watch."""
        channel = Channel(sock, MAX_TRUSTED_MESSAGE)
        wanted = channel.receive()
        spec = dataclasses.replace(
            self._settings.spec,
            readable=(*self._settings.spec.readable, *wanted["path"][1:]),
            overlays=tuple(map(tuple, wanted["overlays"])),
        )
        for descriptor, number in ((out, 1), (err, 2)):
            os.dup2(descriptor, number)
            os.close(descriptor)
        jailed = self._settings.wall != NO_WALL
        if jailed:
            kept = (sock.fileno(), leash.fileno())
            enter_jail(spec, keep_fds=kept, wall=self._settings.wall)
            watch: Watch = Watch(leash, spec)
        else:
            os.setsid()
            watch = UnjailedWatch(leash, spec)
        folder = watch.folder()
        pid = os.fork()
        if pid == 0:
            leash.close()
            if jailed:
                drop_privileges(spec)
            else:
                limit_resources(spec)
            sys.stdout, sys.stderr = shell.Stream("stdout"), shell.Stream("stderr")
            learner.run_learner(channel, self._shell, wanted, folder)
            return
        sock.close()
        if jailed:
            settle_keeper()
        watch.keep(pid)


class Watch:
    """What a jail's keeper does: pass on interrupts, watch what is in use, end with its leash.

    When it ends, so does everything else in the jail.
    """

    def __init__(self, leash: socket.socket, spec: JailSpec) -> None:
        self._leash = leash
        self._spec = spec

    def folder(self) -> str:
        """Return the learner's working folder."""
        return work_folder()

    def keep(self, pid: int) -> None:
        """Keep watch until the learner's process or the judge is gone; tell whose doing it was."""
        pause_s = WATCH_S
        own_doing = False
        while (status := self._ended(pid)) is None:
            ready, _, _ = select.select([self._leash], [], [], pause_s)
            if ready:
                order = b""
                with contextlib.suppress(OSError):  # a judge that died with our answer unread
                    order = self._leash.recv(1)
                if not order:
                    break
                if order == judge.USED:
                    self._tell_used(pid)
                    continue
                os.kill(pid, signal.SIGINT)
            began = time.monotonic()
            if self._outgrown():
                own_doing = True
                break
            pause_s = max(WATCH_S, 4 * (time.monotonic() - began))
        # By a signal it may have been anybody.
        if own_doing or (status is not None and os.WIFEXITED(status)):
            with contextlib.suppress(OSError):
                self._leash.send(judge.OWN_DOING)
        self._end()

    @staticmethod
    def _ended(learner: int) -> int | None:
        """Return how the learner's process ended, or None as long as it lives."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == learner:
                return status
            if pid == 0:
                return None

    def _tell_used(self, pid: int) -> None:
        """Say how long the learner's process had a core, and whether it is ready for one."""
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            used = process.cpu_times()
            state = "R" if process.status() == psutil.STATUS_RUNNING else "-"
            self._leash.send(f"{used.user + used.system} {state}\n".encode())

    def _outgrown(self) -> bool:
        return outgrown(self._spec)

    def _end(self) -> None:
        """Leave the rest to the jail."""


class UnjailedWatch(Watch):
    """The same without walls: what the learner started is found and ended one by one."""

    def folder(self) -> str:
        """Make a working folder; there is no private /tmp."""
        if sys.platform == "linux":
            # What lost its parents becomes a child of this process, and is found.
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        self._folder = tempfile.mkdtemp(prefix="servemath-run-")
        return self._folder

    def _started(self) -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    def _outgrown(self) -> bool:
        total = 0
        for process in self._started():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total > self._spec.memory_bytes

    def _end(self) -> None:
        for process in self._started():
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def limit_resources(spec: JailSpec) -> None:
    """Set the limits that make sense without a user of one's own."""
    for name, value in (
        ("RLIMIT_AS", spec.memory_bytes),
        ("RLIMIT_CPU", spec.cpu_s),
        ("RLIMIT_FSIZE", spec.file_bytes),
        ("RLIMIT_CORE", 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit on address space
            resource.setrlimit(getattr(resource, name), (value, value))


def limit_judge(notebook_s: float) -> None:
    """Bound what a test can be made to cost by an answer that is small here and large in use."""
    seconds = int(notebook_s) + JUDGE_MARGIN_S
    for name, value in (("RLIMIT_AS", JUDGE_BYTES), ("RLIMIT_CPU", seconds)):
        with contextlib.suppress(ValueError, OSError):  # macOS has no limit on address space
            resource.setrlimit(getattr(resource, name), (value, value))


def end_with_parent() -> None:
    """Ask the kernel to end this process when its parent does; elsewhere the socket tells."""
    if sys.platform == "linux":
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> NoReturn:
    """Start from the command line that `service.ZygoteProcess` makes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    # Not on the command line, which learner code can read.
    told = Channel(control, MAX_TRUSTED_MESSAGE).receive()
    control.settimeout(None)
    spec = JailSpec(**{**told["spec"], "readable": tuple(told["spec"]["readable"])})
    settings = Settings(
        tuple(told["preload"]), told["wall"], spec, told["profile"], told["temporary"]
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command; we end with it
    zygote = Zygote(control, settings)
    control.sendall(b"R")
    zygote.serve()
    sys.exit(0)


if __name__ == "__main__":
    main()
