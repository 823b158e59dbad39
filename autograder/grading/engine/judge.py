"""Run one notebook: the learner's cells in a jail, the test cells here.

This process is trusted and never runs learner code. In a test cell the learner's
names are proxies; a call goes to the jail as plain data and its answer comes back
as plain data, so that nothing but a right answer can pass a test.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import os
import select
import signal
import socket
import symtable
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from autograder.grading.engine.answers import REFUSED, Answers
from autograder.grading.engine.channel import (
    MAX_LEARNER_MESSAGE,
    Channel,
    ChannelClosed,
    ChannelGarbage,
    ChannelTimeout,
)
from autograder.grading.engine.codec import NotPlainData, Opaque, decode, encode, mutate
from autograder.grading.engine.errors import raised
from autograder.grading.engine.outputs import Outputs, clean, error_output
from autograder.grading.engine.shell import CellShell, CellStopped, Stream
from servemath_helpers import checks
from servemath_helpers.checks import Credit

#: The least time given to a cell once the notebook's own limit is near.
LEAST_CELL_S = 1.0

#: How long a cell may take to end after it was interrupted, before its jail is torn down.
INTERRUPT_GRACE_S = 2.0

#: How long a cell whose output went over the limit may take to end by itself.
FLOOD_GRACE_S = 0.5

#: A transcript of a test cell keeps this many calls, of this many characters together.
TRANSCRIPT_CALLS = 2000
TRANSCRIPT_CHARS = 1_000_000

#: Output of all cells of a notebook beyond this many bytes is cut.
NOTEBOOK_OUTPUT_BYTES = 20_000_000

#: How long a jail may take to stand, with what was handed in.
STAND_S = 60.0

#: How long a jail's keeper may take to say why the jail ended.
LAST_WORD_S = 2.0

#: What it says if learner code ended it: by leaving, or by growing beyond its limits.
OWN_DOING = b"O\n"

#: What a judge tells it: to press the stop button, or to say how much time of a core was used.
INTERRUPT, USED = b"I", b"U"

#: What it may take to say that. It answers at once, when it gets a core.
USED_S = 1.0

#: What was used of a core before a cell is known to this share of what the cell may use: to ask
#: for each would take longer than most cells do.
AGO = 0.01

#: A cell that waits for a core may take this many times what is allowed.
STARVED = 4

#: Calls of a table that go into the jail in one message, at most, and how long what nobody wants
#: of them any more may take to end by itself.
MOST_TOGETHER = 50
LEAVE_S = 1.0

#: How long it lets them be made before it looks: to be woken for each takes longer than most do.
BREATH_S = 0.0005

LEARNER, COURSE, TEST = "learner", "course", "test"

#: Short names under which tests may find a module that only the learner imported.
_MODULES = {"np": "numpy", "plt": "matplotlib.pyplot", "dt": "datetime"}

_KINDS = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
)


class JailLost(Exception):
    """The learner's process ended, or had to be ended, while a cell ran.

    It was `excusable` if somebody else may have ended it: an administrator, the kernel for
    want of memory. Learner code that kills itself looks the same.
    """

    def __init__(self, ename: str, message: str, *, excusable: bool = False) -> None:
        super().__init__(message)
        self.ename = ename
        self.excusable = excusable


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes; see `execute.ExecuteGraded` for what each is for."""

    cell_s: float
    notebook_s: float
    max_restarts: int
    keep_output_bytes: int
    flood_output_bytes: int


@dataclass
class JailEnds:
    """A judge's ends of what connects it to a jail."""

    channel: socket.socket
    leash: socket.socket
    stdout: int
    stderr: int


class Jail:
    """A learner's process, as its judge sees it."""

    def __init__(self, ends: JailEnds, answer: Callable[[Any], dict[str, Any]]) -> None:
        self.channel = Channel(ends.channel, MAX_LEARNER_MESSAGE)
        self._answer = answer
        self._leash = ends.leash
        self._pipes = {ends.stdout: "stdout", ends.stderr: "stderr"}
        self._words = b""
        self._ended_itself = False
        self._used_s, self._looked = 0.0, -math.inf
        self._asked = 0
        #: Calls asked together whose answers are still to come, whether they should be refused,
        #: and the number of the first of them.
        self._coming = 0
        self._refused = False
        self._first = 0
        #: Whether learner code, by its own account, asked for an answer that is withheld.
        self.asked_withheld = False
        for descriptor in self._pipes:
            os.set_blocking(descriptor, False)

    def close(self) -> None:
        """End everything inside: the jail's first process ends when its leash is let go."""
        self._leash.close()
        self.channel.close()
        for descriptor in self._pipes:
            os.close(descriptor)
        self._pipes = {}

    def why_fallen(self) -> str:
        """Wait until it stands, before anything of the learner's runs; return why it does not."""
        outputs = Outputs(1 << 16, sys.maxsize)
        try:
            if self._collect(outputs, time.monotonic() + STAND_S, False) is not None:
                return ""
        except (ChannelClosed, ChannelGarbage):
            self._drain(outputs)
        said = "".join(item["text"] for item in outputs.items)
        return (said.strip().splitlines() or ["no reason"])[-1]

    def interrupt(self) -> None:
        """Send the learner's process what a press of the stop button sends."""
        with suppress(OSError):
            self._leash.send(INTERRUPT)

    def used_s(self) -> tuple[float, bool]:
        """Return what the learner's process had of a core, and whether it wants to go on.

        It wants a core just now, or waits for its judge to read what it said.
        """
        self._looked = time.monotonic()
        with suppress(OSError, ValueError):
            self._leash.send(USED)
            used, state = self._word(USED_S).split()
            self._used_s = float(used)
            said, _, _ = select.select([self.channel.fileno(), *self._pipes], [], [], 0)
            return self._used_s, state == b"R" or bool(said)
        return 0.0, False

    def used_lately_s(self, ago_s: float) -> float:
        """Return what it had of a core, as of now or of so many seconds ago at most."""
        if time.monotonic() - self._looked > ago_s:
            self.used_s()
        return self._used_s

    def _word(self, timeout_s: float) -> bytes:
        """Return the next line that the keeper says."""
        self._leash.settimeout(timeout_s)
        while b"\n" not in self._words:
            if not (data := self._leash.recv(64)):
                raise OSError
            self._words += data
        word, _, self._words = self._words.partition(b"\n")
        self._ended_itself |= word == OWN_DOING.strip()
        return word

    def ask(
        self,
        request: dict[str, Any],
        outputs: Outputs,
        patience: Patience,
    ) -> dict[str, Any]:
        """Send a request, collect outputs until the reply; stop it when its time is over.

        Returns
        -------
        dict
            The reply, with ``"stopped"`` added as ``"time"`` or ``"flood"`` if it was.
        """
        self.leave()
        self._asked += 1
        return self._reply({**request, "number": self._asked}, outputs, patience)

    def ask_together(
        self, calls: list[dict[str, Any]], refused: bool, deadline: float | None
    ) -> int:
        """Send calls of which each is made if the one before came to the end that is hoped for.

        Return what `coming` is as long as answers of these calls are to come.
        """
        self.leave()
        self._coming, self._refused, self._first = len(calls), refused, self._asked + 1
        request = {"do": "calls", "calls": calls, "refused": refused, "number": self._first}
        with self._lost_if_gone():
            self.channel.send(request, deadline)
        return self._first

    def next_reply(self, outputs: Outputs, patience: Patience) -> dict[str, Any]:
        """Return what came of the next of the calls that were asked together; see `ask`."""
        self._asked += 1
        reply = self._reply(None, outputs, patience)
        self._count(reply)
        return reply

    @property
    def coming(self) -> int:
        """Which calls that were asked together have answers still to come, 0 for none."""
        return self._first if self._coming else 0

    def _count(self, reply: dict[str, Any]) -> None:
        hoped = "error" if self._refused else "result"
        self._coming = self._coming - 1 if hoped in reply else 0

    def leave(self) -> None:
        """Have calls that were asked together, and that nobody wants any more, come to their end.

        Raises
        ------
        JailLost
            If one of them would not, or took the jail with it: nobody is to blame for what was
            not asked for in the end.
        """
        nowhere, interrupted = Outputs(0, sys.maxsize), False
        deadline = time.monotonic() + LEAVE_S
        try:
            while self._coming:
                self._asked += 1
                reply = self._collect(nowhere, deadline, watch_flood=False)
                if reply is not None:
                    self._count(reply)
                    continue
                if interrupted:
                    raise ChannelTimeout
                self._asked -= 1
                self.interrupt()
                interrupted, deadline = True, time.monotonic() + INTERRUPT_GRACE_S
        except (ChannelClosed, ChannelGarbage, ChannelTimeout):
            raise JailLost("DeadKernelError", "ended beyond its test", excusable=True) from None

    def _reply(
        self, request: dict[str, Any] | None, outputs: Outputs, patience: Patience
    ) -> dict[str, Any]:
        stopped = ""
        timeout_message = f"stop after {patience.allowed_s:.0f} s"
        deadline = patience.deadline
        with self._lost_if_gone(timeout_message):
            if request is not None:
                self.channel.send(request, deadline)
            while True:
                reply = self._collect(outputs, deadline, watch_flood=not stopped)
                if reply is not None:
                    return {**reply, "stopped": stopped} if stopped else reply
                if stopped:
                    raise JailLost(
                        "CellTimeoutError", f"would not {timeout_message} and was killed"
                    )
                if outputs.flooded:
                    reply = self._collect(outputs, time.monotonic() + FLOOD_GRACE_S, False)
                    if reply is not None:
                        return reply
                    stopped = "flood"
                elif patience.more():
                    deadline = patience.deadline
                    continue
                else:
                    stopped = "time"
                self.interrupt()
                deadline = time.monotonic() + INTERRUPT_GRACE_S

    @contextmanager
    def _lost_if_gone(self, timeout_message: str = "take a call") -> Iterator[None]:
        """Tell of a jail that is gone, or as good as gone, as of one that was lost."""
        try:
            yield
        except ChannelTimeout:
            raise JailLost(
                "CellTimeoutError", f"would not {timeout_message} and was killed"
            ) from None
        except ChannelClosed:
            excusable = not self._own_doing()
            raise JailLost("DeadKernelError", "killed the kernel", excusable=excusable) from None
        except ChannelGarbage:
            raise JailLost("DeadKernelError", "broke the kernel's messages") from None

    def _own_doing(self) -> bool:
        """Tell whether learner code ended the jail, as its keeper has it."""
        try:
            while not self._ended_itself:
                self._word(LAST_WORD_S)  # or an answer that came late
        except OSError:
            return False
        return True

    def _collect(self, outputs: Outputs, deadline: float, watch_flood: bool) -> Any | None:
        """Collect until a reply, the deadline, or (if watched) a flood."""
        while True:
            while (message := self.channel.poll()) is not None:
                if isinstance(message.get("reply"), dict) and message.get("to") == self._asked:
                    self._drain(outputs)
                    self.asked_withheld |= message.get("asked") is True
                    return message["reply"]
                if "question" in message:
                    self.channel.send({"answer": self._answer(message["question"])}, deadline)
                    if time.monotonic() > deadline:  # there may be no end of questions
                        return None
                outputs.take(message.get("output"))
                if watch_flood and outputs.flooded:
                    return None
            if self._coming > 1:
                time.sleep(BREATH_S)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            told = self.channel.fileno()
            ready, _, _ = select.select([told, *self._pipes], [], [], left)
            for descriptor in ready:
                if descriptor == told:
                    self.channel.fill()
                else:
                    self._read_pipe(descriptor, outputs)
            if watch_flood and outputs.flooded:
                return None

    def _read_pipe(self, descriptor: int, outputs: Outputs) -> None:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._pipes.pop(descriptor, None)
            os.close(descriptor)
            return
        text = data.decode("utf-8", "replace")
        outputs.take({"type": "stream", "name": self._pipes[descriptor], "text": text})

    def _drain(self, outputs: Outputs) -> None:
        ready, _, _ = select.select(list(self._pipes), [], [], 0)
        for descriptor in ready:
            self._read_pipe(descriptor, outputs)


class Patience:
    """The time of one cell, longer if others had the cores for most of it.

    Parameters
    ----------
    jail : Jail
        Where it runs.
    allowed_s : float
        What it may take.
    latest : float
        When it ends whatever happens, by `time.monotonic`.
    used_s : float, optional
        What the learner's process had of a core before, if that is known.
    """

    def __init__(
        self, jail: Jail, allowed_s: float, latest: float, used_s: float | None = None
    ) -> None:
        self.allowed_s = allowed_s
        self.added_s = 0.0
        self._jail = jail
        self._here_s = time.process_time()
        self._there_s = jail.used_s()[0] if used_s is None else used_s
        now = time.monotonic()
        self.deadline = now + allowed_s
        self._latest = min(latest, now + STARVED * allowed_s)

    def more(self) -> bool:
        """Move the deadline on if the cell is ready to run and had too little of its time."""
        used_s, ready = self._jail.used_s()
        used_s += time.process_time() - self._here_s - self._there_s
        now = time.monotonic()
        if not ready or used_s > 0.8 * self.allowed_s or now >= self._latest:
            return False
        later = min(now + self.allowed_s - used_s, self._latest)
        self.added_s += later - self.deadline
        self.deadline = later
        return True


class Judge:
    """Runs the cells of one notebook.

    Parameters
    ----------
    job : dict
        ``cells``: dicts of ``id``, ``source``, ``kind`` (learner, course or test), ``slug``,
        ``grade_id``, and ``seconds`` if all tests of that slug share a limit of their own;
        ``limits``; ``files``: base64 by relative path; ``together_s``: calls of a table are made
        together where the first takes less than so many seconds, 0 for never.
    open_jail : callable
        Returns a new `JailEnds` for the job's files.
    shell : CellShell
        Runs the test cells.
    """

    def __init__(
        self, job: dict[str, Any], open_jail: Callable[[], JailEnds], shell: CellShell
    ) -> None:
        self._cells: list[dict[str, Any]] = job["cells"]
        self._limits = Limits(**job["limits"])
        self._open_jail = open_jail
        self._shell = shell
        self._jail: Jail | None = None
        self._results: dict[str, dict[str, Any]] = {}
        self._incidents: dict[str, list[str]] = {}
        self._transcripts: dict[str, Any] = {}
        self._lost: set[int] = set()
        self._excused: set[int] = set()
        self._count = 0
        self._rebuilt = 0
        self._asked_withheld = False
        self._kept_bytes = 0
        self._functions = frozenset(job.get("functions", ()))
        #: Calls are made together where the first takes less than so many seconds.
        self.together_s: float = job.get("together_s", 0.0)
        self._replaced: dict[str, set[str]] = {"replaced": set(), "overwritten": set()}
        told = job.get("answers")
        self.answers = Answers(job["withheld"], told) if told else None
        #: What functions and modules of the learner's are, until another cell is run there.
        self.known: dict[str, dict[str, Any]] = {}
        #: What the test's call that is under way was given.
        self.call: list[Any] | None = None

    def run(self) -> dict[str, Any]:
        """Run all cells.

        Returns
        -------
        dict
            ``cells``: outputs, count, seconds, whether stopped, and a test's score if it gives
            one, by cell id; ``incidents``: cell ids by what happened; ``transcripts``: seconds
            and calls by `grade_id`; ``asked_withheld``: whether a withheld answer was asked for;
            ``questions``: how often, where answers are told; ``off``: how many answers were not
            the right ones; ``replaced``: functions over which a later cell imported the
            package's; ``overwritten``: functions in whose place it put a value.
        """
        self._deadline = time.monotonic() + self._limits.notebook_s
        restarts = 0
        index = 0
        try:
            while index < len(self._cells):
                if time.monotonic() > self._deadline:
                    self._note(f"not run, {self._limits.notebook_s:g} s were over", index)
                elif restarts <= self._limits.max_restarts:
                    try:
                        self._ready(index)
                        self._run_cell(index)
                    except JailLost as loss:
                        if self._excuse(index, loss):
                            continue
                        restarts += 1
                        self._lose(index, loss)
                index += 1
        finally:
            self._close()
        return {
            "cells": self._results,
            "incidents": self._incidents,
            "transcripts": self._transcripts,
            "asked_withheld": self._asked_withheld,
            "questions": self.answers.asked if self.answers else 0,
            "off": self.off,
            **{what: sorted(names) for what, names in self._replaced.items()},
        }

    @property
    def off(self) -> int:
        """How many answers were told that were not the right ones."""
        return self.answers.off if self.answers else 0

    def _answer(self, question: Any) -> dict[str, Any]:
        """Answer what learner code asks of a withheld function; in a cell, within some time."""
        if self.answers is None:
            return REFUSED
        if self.call is not None:  # the test's own alarm is set
            return self.answers.answer(question, self.call)
        told = REFUSED
        with _alarm(LEAST_CELL_S):
            told = self.answers.answer(question, None)
        return told

    # ------------------------------------------------------------------ the jail

    def _ready(self, index: int) -> None:
        """Have a jail in which all cells before `index` were run."""
        while self._jail is None:
            most = self._limits.max_restarts + len(self._excused)
            if time.monotonic() > self._deadline or self._rebuilt > most:
                raise JailLost("DeadKernelError", "could not be run again in time")
            self._rebuilt += 1
            self._jail = self._standing_jail()
            for earlier in range(index):
                if earlier in self._lost or self._cells[earlier]["id"] not in self._results:
                    continue
                source = self._jail_source(self._cells[earlier])
                if not source:
                    continue
                if time.monotonic() > self._deadline:
                    self._close()
                    raise JailLost("DeadKernelError", "could not be run again in time")
                try:
                    count = self._results[self._cells[earlier]["id"]]["count"]
                    self._in_jail(source, earlier, Outputs(0, sys.maxsize), count or 0)
                except JailLost as loss:
                    if not self._excuse(earlier, loss):
                        # What the first run did by luck cannot be rebuilt; go on without it.
                        self._lost.add(earlier)
                        self._note(str(loss), earlier)
                    break

    def _excuse(self, index: int, loss: JailLost) -> bool:
        """Close a lost jail; tell whether the cell is run once more, in a fresh one.

        Whoever loses a jail twice is at fault.
        """
        self._close()
        bounded = len(self._excused) <= self._limits.max_restarts
        if loss.excusable and bounded and index not in self._excused:
            self._excused.add(index)
            return True
        return False

    def _standing_jail(self) -> Jail:
        for _ in range(2):
            jail = Jail(self._open_jail(), self._answer)
            if not (why := jail.why_fallen()):
                return jail
            jail.close()
        raise RuntimeError(f"jails end before they stand: {why}")

    def _close(self) -> None:
        if self._jail is not None:
            self._asked_withheld |= self._jail.asked_withheld
            self._jail.close()
            self._jail = None
            self.known.clear()

    def _lose(self, index: int, loss: JailLost) -> None:
        cell = self._cells[index]
        result = self._results.setdefault(cell["id"], self._new_result())
        result["outputs"].append(error_output(loss.ename, str(loss)))
        result["stopped"] = True
        self._lost.add(index)
        self._note(str(loss), index)

    def _note(self, what: str, index: int) -> None:
        found = self._incidents.setdefault(what, [])
        name = self._cells[index]["id"]
        if name not in found:
            found.append(name)

    # ----------------------------------------------------------------- the cells

    def _new_result(self) -> dict[str, Any]:
        return {"outputs": [], "count": self._count, "seconds": 0.0, "stopped": False}

    def _run_cell(self, index: int) -> None:
        cell = self._cells[index]
        if not cell["source"].strip():
            self._results[cell["id"]] = {**self._new_result(), "count": None}
            return
        again = index in self._excused
        if not again:
            self._count += 1
        allowed = self._allowed_s(cell)
        room = max(0, NOTEBOOK_OUTPUT_BYTES - self._kept_bytes)
        keep = min(self._limits.keep_output_bytes, room)
        outputs = Outputs(keep, self._limits.flood_output_bytes)
        result = self._new_result()
        result["outputs"] = outputs.items
        self._results[cell["id"]] = result
        started = time.perf_counter()
        try:
            if cell["kind"] == TEST:
                self._run_test(cell, index, outputs, allowed)
                self._lend_imports(cell, index)
            else:
                if cell["kind"] == COURSE and not again:
                    self._run_here(cell["source"], Outputs(0, sys.maxsize), allowed)
                self._in_jail(cell["source"], index, outputs, self._count, allowed)
        finally:
            result["seconds"] = time.perf_counter() - started
            self._kept_bytes += outputs.kept

    def _allowed_s(self, cell: dict[str, Any] | None = None) -> float:
        left = self._deadline - time.monotonic()
        limit = self._limits.cell_s or left
        if cell is not None and cell["kind"] == TEST and "seconds" in cell:
            limit = cell["seconds"] - sum(
                self._results[other["id"]]["seconds"]
                for other in self._cells
                if (other["kind"], other["slug"]) == (TEST, cell["slug"])
                and other is not cell
                and other["id"] in self._results
            )
        return max(LEAST_CELL_S, min(limit, left))

    def _patience(self, allowed: float) -> Patience:
        assert self._jail is not None
        used_s = self._jail.used_lately_s(AGO * allowed)
        return Patience(self._jail, allowed, self._deadline, used_s)

    def _jail_source(self, cell: dict[str, Any]) -> str:
        """Return what of a cell runs in the jail: of a test only what it imports."""
        return _imports(cell["source"]) if cell["kind"] == TEST else str(cell["source"])

    def _lend_imports(self, cell: dict[str, Any], index: int) -> None:
        """Let later cells of the learner use what a test cell imported, as in their own kernel."""
        source = self._jail_source(cell)
        if source and self._jail is not None:  # a jail to come gets them as it is made
            self._in_jail(source, index, Outputs(0, sys.maxsize), self._count)

    def _in_jail(
        self, source: str, index: int, outputs: Outputs, count: int, allowed: float | None = None
    ) -> None:
        assert self._jail is not None
        allowed = self._allowed_s() if allowed is None else allowed
        self.known.clear()
        request = {"do": "cell", "source": source, "count": count}
        reply = self._jail.ask(request, outputs, self._patience(allowed))
        for what, names in self._replaced.items():
            said = reply.get(what)
            if isinstance(said, list):
                names |= self._functions.intersection(filter(_is_text, said))
        if reply.get("asked_to_exit"):
            raise JailLost("DeadKernelError", "ended the kernel with quit() or exit()")
        self._settle_stop(str(reply.get("stopped", "")), outputs, index, allowed)

    def _settle_stop(self, stopped: str, outputs: Outputs, index: int, allowed: float) -> None:
        """Say in the outputs, and to the grader, that a cell was stopped, and why."""
        if not stopped:
            return
        if stopped == "flood":
            ename = "OutputFlood"
            message = f"stopped after {self._limits.flood_output_bytes:,} bytes of output"
            advice = ""
        else:
            ename, message = "CellTimeoutError", f"stopped after {allowed:.0f} s"
            advice = "; look for a loop that never ends"
        error = error_output(ename, message)
        error["traceback"] = [f"{ename}: {message}{advice}"]
        outputs.items.append(error)
        result = self._results.get(self._cells[index]["id"])
        if result is not None:
            result["stopped"] = True
        self._note(message, index)

    # ----------------------------------------------------------------- the tests

    def _run_here(
        self, source: str, outputs: Outputs, allowed: float, patience: Patience | None = None
    ) -> tuple[bool, bool]:
        """Run trusted source in this process; tell whether it failed, and had to be stopped."""
        failed = True
        limit = allowed + 2 * INTERRUPT_GRACE_S
        with _sending_to(self._shell, outputs), _alarm(limit, patience) as alarm:
            failed = not self._shell.run(source, self._count)
        return failed, alarm.rang

    def _run_test(self, cell: dict[str, Any], index: int, outputs: Outputs, allowed: float) -> None:
        transcript = Transcript()
        assert self._jail is not None
        patience = self._patience(allowed)
        asking = Asking(self, outputs, patience, transcript)
        # A cell that is run again is run as carefully as can be.
        if self.together_s and index not in self._excused:
            checks.together = asking.together
        lent: dict[str, Any] = {}
        started = time.perf_counter()
        failed = overran = False
        try:
            with suppress(CellStopped):
                with _alarm(allowed + 2 * INTERRUPT_GRACE_S, patience) as alarm:
                    lent = asking.names(cell["source"])
                failed, overran = self._run_here(cell["source"], outputs, allowed, patience)
                overran = overran or alarm.rang
        finally:
            checks.together = None
            for name, value in lent.items():
                if self._shell.user_ns.get(name) is value:
                    del self._shell.user_ns[name]
            self._transcripts[cell["grade_id"]] = {
                "seconds": round(time.perf_counter() - started, 6),
                "calls": transcript.calls,
            }
        if asking.loss is not None:
            raise asking.loss
        try:
            self._jail.leave()
        except JailLost:  # by what the test did not wait for: the next cell has another jail
            self._close()
            self._rebuilt -= 1
        # A test that swallowed the stop was stopped all the same.
        stopped = asking.stopped or ("time" if overran else "")
        self._settle_stop(stopped, outputs, index, allowed)
        if failed and not outputs.has_error:
            outputs.items.append(error_output("TestFailed", "the test ended with an error"))
        # The value itself, not what was shown: a learner's function can show anything.
        if type(self._shell.last_value) is Credit and not failed:
            self._results[cell["id"]]["score"] = float(self._shell.last_value)


class Transcript:
    """What a test cell asked of the learner's functions, and what came back."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._chars = 0

    def add(self, call: dict[str, Any]) -> None:
        """Keep a call while there is room."""
        self._chars += len(repr(call)) if self._chars <= TRANSCRIPT_CHARS else 0
        if len(self.calls) < TRANSCRIPT_CALLS and self._chars <= TRANSCRIPT_CHARS:
            self.calls.append(call)


class Asking:
    """The learner's names as one test cell sees them."""

    def __init__(
        self,
        judge: Judge,
        outputs: Outputs,
        patience: Patience,
        transcript: Transcript,
    ) -> None:
        self._judge = judge
        self._outputs = outputs
        self._patience = patience
        self._transcript = transcript
        self._stand_ins: dict[int, tuple[Callable[..., Any], str, str | int]] = {}
        self.stopped = ""
        self.loss: JailLost | None = None

    def names(self, source: str) -> dict[str, Any]:
        """Define here what the test uses and only the learner's cells define."""
        shell = self._judge._shell
        wanted = sorted(
            name
            for name in _names(source)
            if name not in shell.user_ns and not hasattr(builtins, name)
        )
        known = self._judge.known
        unknown = [name for name in wanted if name not in known]
        found = self._ask({"do": "look", "names": unknown}).get("found") if unknown else {}
        told = found if isinstance(found, dict) else {}
        lent: dict[str, Any] = {}
        for name in wanted:
            said = known.get(name, told.get(name))
            if not isinstance(said, dict):
                continue
            if said.get("callable") or said.get("module"):
                known[name] = said
            if said.get("callable"):
                lent[name] = self._proxy(name, name, said)
            elif said.get("module"):
                module = sys.modules.get(_MODULES[name] if name in _MODULES else str(name))
                if module is not None:
                    lent[name] = module
            else:
                with suppress(NotPlainData):
                    lent[name] = decode(said.get("value"))
        shell.user_ns.update(lent)
        return lent

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._from(lambda jail: jail.ask(request, self._outputs, self._patience))

    def _from(self, get: Callable[[Jail], dict[str, Any]]) -> dict[str, Any]:
        jail = self._judge._jail
        if self.loss is not None or jail is None:
            raise CellStopped
        try:
            reply = get(jail)
        except JailLost as loss:
            self.loss = loss
            raise CellStopped from None
        if reply.get("stopped"):
            self.stopped = reply["stopped"]
            raise CellStopped
        return reply

    def _proxy(self, name: str, which: str | int, about: dict[str, Any]) -> Callable[..., Any]:
        """Return a stand-in for a function of the learner's: by name, or one that a call gave."""

        def proxy(*args: Any, **kwargs: Any) -> Any:
            return self._make(_Call(name, which, args, kwargs))

        proxy.__name__ = proxy.__qualname__ = name
        self._stand_ins[id(proxy)] = proxy, name, which
        _tell(proxy, about)
        return proxy

    def _make(self, call: _Call) -> Any:
        off = self._judge.off
        self._judge.call = [list(call.args), call.kwargs]
        try:
            reply = self._ask({"do": "call", **call.request})
        finally:
            self._judge.call = None
        return self._settle(call, reply, off=self._judge.off > off)

    def _settle(self, call: _Call, reply: dict[str, Any], *, off: bool = False) -> Any:
        """Return, or raise, what came of a call; keep it in the transcript."""
        name, args, kwargs = call.name, call.args, call.kwargs
        told: dict[str, Any] = {
            "function": name,
            "args": call.request["args"],
            "kwargs": call.request["kwargs"],
        }
        if off:
            told["off"] = True
        after = reply.get("after")
        if isinstance(after, list) and len(after) == 2:
            told["changed"] = True
            with suppress(NotPlainData):
                mutate(list(args), decode(after[0]))
                mutate(dict(kwargs), decode(after[1]))
        if "result" in reply:
            try:
                result = decode(reply["result"])
            except NotPlainData as problem:
                # No ValueError: nothing was refused, where a test asks for that.
                raise RuntimeError(f"{name}: the answer is {problem}") from None
            self._transcript.add({**told, "result": reply["result"]})
            if type(reply.get("callable")) is int and isinstance(result, Opaque):
                return self._proxy(f"{name}()", reply["callable"], reply)
            return result
        error = raised(reply.get("error"))
        self._transcript.add({**told, "error": [type(error).__name__, str(error)[:200]]})
        raise error

    def together(
        self,
        function: Callable[..., Any],
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]],
        refused: bool,
    ) -> list[Callable[[], Any]]:
        """Return what makes each call of a table, see `checks.together`.

        The first goes alone; those after it, if it was quick, in one message. What each answers
        and prints comes back by itself and is taken in its turn, as if it had been asked alone.
        """
        if id(function) not in self._stand_ins:
            return [partial(function, *args, **named) for args, named in calls]
        _, name, which = self._stand_ins[id(function)]
        table = _Table(self, partial(_Call, name, which), calls, refused)
        return [partial(table.answer, number) for number in range(len(calls))]


class _Table:
    """Calls of a function, to be made in their order, all but the first in a few messages."""

    def __init__(
        self,
        asking: Asking,
        call: Callable[[tuple[Any, ...], dict[str, Any]], _Call],
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]],
        refused: bool,
    ) -> None:
        self._asking = asking
        self._call = call
        self._calls = calls
        self._refused = refused
        self._first_s = self._quick_s = asking._judge.together_s
        #: What was, or is about to be, sent, with its place in the table.
        self._sent: deque[tuple[int, _Call]] = deque()
        self._batch = 0

    def answer(self, number: int) -> Any:
        """Make the call of this place in the table."""
        if number == 0:
            began = time.monotonic()
            try:
                return self._asking._make(self._call(*self._calls[0]))
            finally:
                self._first_s = time.monotonic() - began
        fresh = not self._sent and self._first_s < self._quick_s
        if fresh:
            self._prepare(number)
        if not self._sent or self._sent[0][0] != number:
            return self._asking._make(self._call(*self._calls[number]))
        if fresh:
            reply = self._asking._from(self._send)
        _, call = self._sent.popleft()
        if not fresh:
            jail = self._asking._judge._jail
            if jail is None or jail.coming != self._batch:
                return self._asking._make(call)
            reply = self._asking._from(self._next)
        return self._asking._settle(call, reply)

    def _prepare(self, number: int) -> None:
        enough = time.monotonic() + self._quick_s
        for place, given in enumerate(self._calls[number:][:MOST_TOGETHER], start=number):
            if time.monotonic() > enough:
                return
            try:
                self._sent.append((place, self._call(*given)))
            except (NotPlainData, TypeError):  # it will be said in its turn
                return

    def _send(self, jail: Jail) -> dict[str, Any]:
        requests = [call.request for _, call in self._sent]
        deadline = self._asking._patience.deadline
        self._batch = jail.ask_together(requests, self._refused, deadline)
        return self._next(jail)

    def _next(self, jail: Jail) -> dict[str, Any]:
        return jail.next_reply(self._asking._outputs, self._asking._patience)


class _Call:
    """A call of a learner's function: what a test gave, and the request for the jail."""

    def __init__(
        self, name: str, which: str | int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.name, self.args, self.kwargs = name, args, kwargs
        self.request = {
            "name": which,
            "args": _argument(name, list(args)),
            "kwargs": _argument(name, kwargs),
        }


def _tell(proxy: Any, about: dict[str, Any]) -> None:
    """Give a stand-in the docstring and signature of what it stands for."""
    proxy.__doc__ = clean(about["doc"]) if isinstance(about.get("doc"), str) else None
    if "parameters" not in about:
        return
    with suppress(NotPlainData, TypeError, ValueError, LookupError):
        proxy.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    _KINDS[kind],
                    default=decode(default[0]) if default else inspect.Parameter.empty,
                )
                for name, kind, default in about["parameters"]
            ]
        )


def _argument(name: str, value: Any) -> Any:
    form = encode(value)
    for item in _items_of(value):
        if callable(item) and isinstance(encode(item), list):
            raise TypeError(f"a test may give {name} plain data, not {type(item).__name__}")
    return form


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _items_of(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else value


def _tree(source: str) -> ast.Module | None:
    # Most cells are plain Python; only magics need IPython's slower reading.
    for read in (str, TransformerManager().transform_cell):
        with suppress(SyntaxError, ValueError):
            return ast.parse(read(source))
    return None


def _names(source: str) -> set[str]:
    """Return the names that a cell takes from outside: what it binds itself is none of them.

    The jail is asked for them, and should not learn what a test calls its own variables.
    """
    try:
        top = symtable.symtable(source, "<test>", "exec")
    except SyntaxError:
        tree = _tree(source)
        nodes = ast.walk(tree) if tree is not None else ()
        return {node.id for node in nodes if isinstance(node, ast.Name)}
    bound = {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    return _taken(top) - bound


def _taken(table: symtable.SymbolTable) -> set[str]:
    own = table.get_type() == "module"
    names = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (own or symbol.is_global())
    }
    return names.union(*map(_taken, table.get_children()))


def _imports(source: str) -> str:
    """Return the import statements at the top level of a cell, hidden tests left out."""
    visible = source.partition("### BEGIN HIDDEN TESTS")[0]
    tree = _tree(visible)
    found = (
        [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        if tree
        else []
    )
    return "\n".join(map(ast.unparse, found))


@contextmanager
def _sending_to(shell: CellShell, outputs: Outputs) -> Iterator[None]:
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, Stream)]
    shell.sink = outputs.take
    for stream in streams:
        stream.sink = outputs.take
    try:
        yield
    finally:
        shell.sink = None
        for stream in streams:
            stream.sink = None


@dataclass
class _Alarm:
    rang: bool = False


@contextmanager
def _alarm(seconds: float, patience: Patience | None = None) -> Iterator[_Alarm]:
    """Stop a trusted cell that runs on although no call is waiting."""
    alarm = _Alarm()
    began = time.monotonic()

    def stop(_signal: int, _frame: object) -> None:
        # What the learner's side got on top, this one has too; the timer rings again.
        if patience and time.monotonic() - began < seconds + patience.added_s:
            return
        alarm.rang = True
        raise CellStopped

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again, should one be swallowed
    try:
        with suppress(CellStopped):
            yield alarm
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
