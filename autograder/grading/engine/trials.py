"""Which solutions rest on the package's own answer: found by running them without it.

A notebook is run with a copy of the package in which the asked functions have no body.
Most never ask for one: that run is all there is to it, and an answer that came by any
secret way was not there to come. Where one was asked for, the notebook is run with the
package as it is. A test that passes then, and fails without the answer, was passed by
the answer; one that used another exercise's answer is welcome to it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from autograder.grading.engine.judge import TEST

Run = Callable[[dict[str, Any]], dict[str, Any]]


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


def grade(job: dict[str, Any], run: Run) -> dict[str, Any]:
    """Run a job without the answers, and again with them if it asks for one.

    Returns
    -------
    dict
        The result; ``own_work`` says which exercises rest on their own answer
        (``relying``) and which could not be judged (``unclear``), by slug.
    """
    answers: dict[str, list[str]] = job["own_work"]
    withheld = _together(answers) or job["withheld"]
    without = run({**job, "withheld": withheld})
    if not (answers and without["asked_withheld"]):
        return {**without, "own_work": {"relying": [], "unclear": []}}
    result = run(job)
    trials = _Trials(job, result, run)
    asked = {slug: answers[slug] for slug in answers if earned(job, result, slug)}
    suspects, unclear = trials.compare(asked, without)
    relying: list[str] = []
    for slug in suspects:
        # With all answers gone it may have failed for want of another exercise's.
        failing, stopped = trials.failing_without({slug: answers[slug]})
        relying += failing
        unclear += stopped
    return {**result, "own_work": {"relying": relying, "unclear": unclear}}


def _together(answers: dict[str, list[str]]) -> list[str]:
    return sorted({answer for some in answers.values() for answer in some})


class _Trials:
    """Runs without answers, which together have the time of one notebook."""

    def __init__(self, job: dict[str, Any], result: dict[str, Any], run: Run) -> None:
        self._job = job
        self._result = result
        self._run = run
        self._deadline = time.monotonic() + job["limits"]["notebook_s"]

    def failing_without(self, asked: dict[str, list[str]]) -> tuple[list[str], list[str]]:
        """Return the exercises that lose a test without their answers, and those not judged."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return [], list(asked)
        trial = {
            **self._job,
            "cells": [self._trial_cell(cell, asked) for cell in self._job["cells"]],
            "limits": {**self._job["limits"], "notebook_s": left},
            "withheld": _together(asked),
        }
        return self.compare(asked, self._run(trial))

    def compare(
        self, asked: dict[str, list[str]], seen: dict[str, Any]
    ) -> tuple[list[str], list[str]]:
        """Return the exercises that lost a test in a run without answers, and those not judged."""
        ran = {
            cell["grade_id"]
            for cell in self._job["cells"]
            if cell["id"] in seen["cells"] and not seen["cells"][cell["id"]]["stopped"]
        }
        quick = self._quick()
        failing, unclear = [], []
        for slug in asked:
            before = earned(self._job, self._result, slug)
            after = earned(self._job, seen, slug)
            lost = {name for name, score in before.items() if after.get(name, 0) < score}
            # What never ends without the answer, and took no time with it, rests on it.
            if lost & (ran | quick):
                failing.append(slug)
            elif lost or not before.keys() <= ran:
                unclear.append(slug)
        return failing, unclear

    def _quick(self) -> set[str]:
        """Return the tests that were done in a fraction of the time that a cell may take."""
        cells = self._result["cells"]
        return {
            cell["grade_id"]
            for cell in self._job["cells"]
            if cell["id"] in cells
            and not cells[cell["id"]]["stopped"]
            and cells[cell["id"]]["seconds"] < self._job["limits"]["cell_s"] / 3
        }

    def _trial_cell(self, cell: dict[str, Any], asked: dict[str, list[str]]) -> dict[str, Any]:
        # What was stopped once would be stopped again; other exercises' tests say nothing.
        unwatched = cell["kind"] == TEST and cell["slug"] not in asked
        stopped = self._result["cells"].get(cell["id"], {}).get("stopped")
        return {**cell, "source": ""} if unwatched or stopped else cell
