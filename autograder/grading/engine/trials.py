"""Which solutions rest on the package's own answer: found by running them without it.

A notebook is run with a copy of the package in which the asked functions have no body.
Most never ask for one: that run is all there is to it, and an answer that came by any
secret way was not there to come. Where one was asked for, the notebook is run with the
package as it is. An exercise that passes only then is tried further, with what its own
withheld functions answer told by the judge (`autograder.grading.engine.answers`):

1. Far-off answers. What the learner's functions answer follows them: it is the package's.
   It stays as it was: the learner's own. It refuses to answer: this may be a comparison.
2. Exact answers. Who fails even now had them by a secret way, and asked for show.
3. Answers that are off only where a test's call asks for what it was given. A solution that
   tries the package at points of its own, to see whether it is on trial, sees nothing.
4. Answers slightly off. Whose own stays as it was compares with the package, and allows for
   rounding.

A solution that compares exactly cannot be told from one that is clever enough: its points
stand, and a person is asked to look. Using another exercise's answer is welcome throughout.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograder.grading.engine.answers import AIMED, EXACT, FAR, NEAR
from autograder.grading.engine.codec import NotPlainData, decode
from autograder.grading.engine.judge import TEST

Run = Callable[[dict[str, Any]], dict[str, Any]]

#: Answers that agree within this share are the same; near ones are further off.
SAME_SHARE = 1e-9

#: Texts and results that make wrong answers believable, at most.
MOST_TEXTS = 50
MOST_RESULTS = 8

#: So many questions slow a run down; that it is stopped says nothing then.
MANY_QUESTIONS = 2000

#: Calls of a table go into the jail together where the first takes less than so many seconds.
QUICK_S = 0.005

OWN, RELYING, COMPARES, UNCLEAR = "own", "relying", "compares", "unclear"


def earned(job: dict[str, Any], result: dict[str, Any], slug: str) -> dict[str, float]:
    """Return what an exercise's test cells gave that ran without an error, by `grade_id`.

    That is their score, and infinity for a test that gives all of its points.
    """
    found = {}
    for cell in job["cells"]:
        if cell["kind"] != TEST or cell["slug"] != slug:
            continue
        ran = result["cells"].get(cell["id"])
        if ran and not any(output["output_type"] == "error" for output in ran["outputs"]):
            found[cell["grade_id"]] = ran.get("score", math.inf)
    return found


def _lost(before: dict[str, float], after: dict[str, float]) -> frozenset[str]:
    """Return the tests that gave more before."""
    return frozenset(name for name, score in before.items() if after.get(name, 0) < score)


def grade(job: dict[str, Any], run: Run) -> dict[str, Any]:
    """Run a job without the answers, and again with them if it asks for one.

    Returns
    -------
    dict
        The result; ``own_work`` holds what rests on its own answer (``relying``: test cells
        that earn nothing, by slug), and slugs whose points stand for a person to look at: that
        compare with the package's answer (``compares``), and that a limit kept from being
        judged (``unclear``).
    """
    answers: dict[str, list[str]] = job["own_work"]
    withheld = sorted({answer for some in answers.values() for answer in some}) or job["withheld"]
    # Where nothing is tried, calls of a table are made together; trials compare them one by one.
    without = run({**job, "withheld": withheld, "together_s": QUICK_S})
    found: dict[str, Any] = {RELYING: {}, COMPARES: [], UNCLEAR: []}
    if not (answers and without["asked_withheld"]):
        return {**without, "own_work": found}
    result = run(job)
    trials = _Trials(job, result, run)
    for slug in answers:
        if not _lost(earned(job, result, slug), earned(job, without, slug)):
            continue
        verdict, cells = trials.judge(slug)
        if verdict == RELYING:
            found[RELYING][slug] = sorted(cells)
        elif verdict != OWN:
            found[verdict].append(slug)
    return {**result, "own_work": found}


@dataclass
class _Seen:
    """What a trial showed of one exercise, beside the run with the package as it is."""

    #: Functions whose answers were compared; those that followed what the package said.
    compared: set[str] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)
    #: Test cells in which a call came to another end, and those among them where no answer
    #: of the package was off.
    differs: set[str] = field(default_factory=set)
    unexplained: set[str] = field(default_factory=set)
    #: Tests that failed; those that were stopped or never ran.
    lost: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()
    #: Tests that were done in a fraction of the time that a cell may take.
    quick: frozenset[str] = frozenset()
    off: int = 0
    off_in_calls: bool = False
    questions: int = 0


class _Trials:
    """Runs without answers, which together have the time of one notebook."""

    def __init__(self, job: dict[str, Any], result: dict[str, Any], run: Run) -> None:
        self._job = job
        self._result = result
        self._run = run
        self._deadline = time.monotonic() + job["limits"]["notebook_s"]
        text = json.dumps(job["cells"], sort_keys=True)
        self._salt = hashlib.sha256(text.encode()).hexdigest()

    def judge(self, slug: str) -> tuple[str, frozenset[str]]:
        """Return whose work an exercise is, and the test cells that earn nothing."""
        whole = frozenset(earned(self._job, self._result, slug))
        far = self._seen(slug, FAR)
        if far is None:
            return UNCLEAR, whole
        if far.follows:
            return RELYING, self._borrowed(slug, far)
        if not far.lost and not far.differs:
            return OWN, whole
        exact = self._seen(slug, EXACT)
        if exact is None or self._limited(exact, exact):
            return UNCLEAR, whole
        if exact.lost or exact.differs:
            return RELYING, whole
        if far.stopped:
            return (UNCLEAR if self._limited(far, exact) else RELYING), whole
        aimed, near = self._seen(slug, AIMED), self._seen(slug, NEAR)
        if aimed is None or near is None:
            return UNCLEAR, whole
        if self._limited(aimed, exact) or self._limited(near, exact):
            return UNCLEAR, whole
        if aimed.follows or aimed.unexplained or aimed.stopped or near.follows:
            return RELYING, whole
        unchanged = not near.lost and not near.differs
        reached = aimed.off_in_calls or not near.off_in_calls
        if unchanged and near.off and reached:
            return OWN, whole
        return COMPARES, whole

    def _borrowed(self, slug: str, seen: _Seen) -> frozenset[str]:
        """Return the cells that earn nothing: those of functions that followed the package.

        All, unless another function of the exercise was seen to be the learner's own.
        """
        whole = frozenset(earned(self._job, self._result, slug))
        calls = {
            name: {call["function"] for call in self._calls(self._result, name)} for name in whole
        }
        asked = set().union(*calls.values())
        if not asked - seen.follows or not asked <= seen.compared:
            return whole
        return frozenset(name for name in whole if calls[name] & seen.follows)

    def _limited(self, seen: _Seen, exact: _Seen) -> bool:
        """Tell whether a limit, and no trick, may have kept tests from passing.

        What never ends without the answer, and took no time with it, rests on it; and so does
        what asks on and on where answers are off, and asked little where they were right.
        """
        slow = seen.stopped - exact.quick - self._quick(self._result)
        many = min(seen.questions, exact.questions) > MANY_QUESTIONS
        return bool(slow) or (bool(seen.stopped) and many)

    def _ran(self, result: dict[str, Any], within_s: float = math.inf) -> frozenset[str]:
        """Return the tests that ran to their end, in less than so many seconds."""
        cells = result["cells"]
        return frozenset(
            cell["grade_id"]
            for cell in self._job["cells"]
            if cell["id"] in cells
            and not cells[cell["id"]]["stopped"]
            and cells[cell["id"]]["seconds"] < within_s
        )

    def _quick(self, result: dict[str, Any]) -> frozenset[str]:
        """Return the tests that were done in a fraction of the time that a cell may take."""
        return self._ran(result, self._job["limits"]["cell_s"] / 3)

    # ----------------------------------------------------------------- one trial

    def _seen(self, slug: str, mode: str) -> _Seen | None:
        """Run a trial; None if there is no time left for it."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return None
        trial = {
            **self._job,
            "cells": [self._trial_cell(cell, slug) for cell in self._job["cells"]],
            "limits": {**self._job["limits"], "notebook_s": left},
            "withheld": self._job["own_work"][slug],
            "answers": {"mode": mode, "salt": self._salt, **self._believable(slug)},
        }
        result = self._run(trial)
        names = earned(self._job, self._result, slug)
        lost = _lost(names, earned(self._job, result, slug))
        stopped = lost - self._ran(result)
        seen = _Seen(lost=lost, stopped=stopped, quick=self._quick(result), off=result["off"])
        seen.questions = result["questions"]
        for name in names:
            self._compare(name, self._calls(self._result, name), self._calls(result, name), seen)
        return seen

    def _trial_cell(self, cell: dict[str, Any], slug: str) -> dict[str, Any]:
        # What was stopped once would be stopped again; other exercises' tests say nothing.
        unwatched = cell["kind"] == TEST and cell["slug"] != slug
        stopped = self._result["cells"].get(cell["id"], {}).get("stopped")
        return {**cell, "source": ""} if unwatched or stopped else cell

    @staticmethod
    def _calls(result: dict[str, Any], name: str) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = result["transcripts"].get(name, {}).get("calls", [])
        return calls

    def _believable(self, slug: str) -> dict[str, list[Any]]:
        """Return right answers of the exercise's functions to other questions."""
        results = [
            call["result"]
            for name in sorted(earned(self._job, self._result, slug))
            for call in self._calls(self._result, name)
            if "result" in call
        ]
        texts = dict.fromkeys(text for result in results for text in _texts(result))
        return {"texts": list(texts)[:MOST_TEXTS], "results": results[:MOST_RESULTS]}

    def _compare(
        self, name: str, before: list[dict[str, Any]], after: list[dict[str, Any]], seen: _Seen
    ) -> None:
        """Compare the calls of a test, as far as they are the same calls, until the test ends."""
        explained = False
        for was, is_now in zip(before, after, strict=False):
            if any(was[part] != is_now[part] for part in ("function", "args", "kwargs")):
                return
            off = is_now.get("off") is True
            explained |= off
            seen.off_in_calls |= off
            seen.compared.add(was["function"])
            if _same(was, is_now):
                continue
            seen.differs.add(name)
            if not explained:
                seen.unexplained.add(name)
            if "result" in was and not _gave_up(is_now) and seen.off:
                seen.follows.add(was["function"])


def _gave_up(call: dict[str, Any]) -> bool:
    """Tell whether a call gave no answer: it raised, or returned nothing."""
    return call.get("result") is None


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if "error" in one or "error" in other:
        return bool(one.get("error", [None])[0] == other.get("error", [None])[0])
    with suppress(NotPlainData):
        return _close(decode(one["result"]), decode(other["result"]))
    return bool(one["result"] == other["result"])


def _close(one: Any, other: Any) -> bool:
    """Tell whether two answers are the same but for rounding."""
    numbers = (int, float, np.number)
    if isinstance(one, numbers) and isinstance(other, numbers):
        if one == other or (one != one and other != other):
            return True
        try:
            return math.isclose(one, other, rel_tol=SAME_SHARE)
        except (OverflowError, TypeError):
            return False
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and all(
            map(_close, one.reshape(-1).tolist(), other.reshape(-1).tolist())
        )
    return repr(one) == repr(other)


def _texts(form: Any) -> Iterator[str]:
    """Yield the texts in an encoded answer that are no keys, in a list or a dict."""
    if isinstance(form, str):
        yield form
    elif isinstance(form, list) and form and form[0] in ("l", "t"):
        for part in form[1:]:
            yield from _texts(part)
    elif isinstance(form, list) and form and form[0] == "d":
        for _, part in form[1:]:
            yield from _texts(part)
