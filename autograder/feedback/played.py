"""What a learner's plans did, played again: the visible trace as a picture, hidden ones in words.

Plans and traces stand in the transcript of a submission. Of a hidden trace the page says what
its points say too: whether the promise was kept, and how dearly.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from autograder import bank
from autograder.cells import parse_grade_id
from autograder.feedback.facts import Played
from autograder.feedback.safe import line_of_text
from autograder.grading.engine import codec
from servemath_helpers import fleetplans
from servemath_helpers.fleetplans import Judged, Scenario

#: The drawing and its margins, in its own units: small, so that a phone shows words large.
_WIDTH, _HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 22, 40

#: What becomes of a request: its mark as a path around a point, its class, what it means.
_FATES = {
    "kept": ("m-1.5,0a1.5,1.5 0 1,0 3,0a1.5,1.5 0 1,0 -3,0", "●", "Kept"),
    "late": ("m-3,-3l6,6m0,-6l-6,6", "×", "First token late"),
    "slow": ("m0,-3.5l3.5,6h-7z", "△", "First token in time, the others too slow"),
    "lost": ("m-2.5,-2.5h5v5h-5z", "□", "Rejected: larger than the cache"),
}


@functools.lru_cache(maxsize=256)
def _least(arguments: str) -> Fraction | None:
    """Return what the cheapest plan that keeps the promise costs, None if none does."""
    scenario = Scenario(*codec.decode(json.loads(arguments)))
    best = fleetplans.plan_fleet(*scenario)
    return None if best is None else fleetplans.judge_plan(best, *scenario).usd_h


class _Play:
    """One recorded question for a plan, and what the answer does."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        asked = codec.decode(call["args"])
        self.scenario, self.least = Scenario(*asked), _least(json.dumps(call["args"]))
        self.judged: Judged | None = None
        self.score, self.trouble, self.refused = Fraction(0), "", ""
        if "error" in call:
            self.trouble = "No plan came back"
            if call["error"][0] != "NotImplementedError":  # not written: the page says so above
                self.trouble += ": the function stopped with an error"
            self.trouble += "."
            return
        plan = codec.decode(call["result"])
        try:
            self.score = fleetplans.score_plan(plan, *asked)
            self.judged = None if plan is None else fleetplans.judge_plan(plan, *asked)
        except ValueError as refused:
            self.trouble = "What came back is no plan."
            self.refused = line_of_text(refused, 200)

    @property
    def said(self) -> str:
        """What became of it, in words that give no trace away."""
        if self.trouble:
            return self.trouble
        if self.judged is None:
            if self.score:
                return "Right: no plan keeps this promise."
            return "None came back, and there is a plan that keeps the promise."
        if not self.judged.feasible:
            return "Promise broken."
        if not self.score:
            return "Promise kept, for more than twice what the cheapest such plan costs."
        if self.score == 1:
            return "Promise kept, at the least cost."
        share = f"{math.floor(100 * self.score)} %"
        return f"Promise kept; the cheapest plan that keeps it costs {share} of this one."


def played(exercise: bank.Exercise, transcript: Mapping[str, Any]) -> dict[str, Played]:
    """Return what became of a learner's plans, by `grade_id` of the test that asked for them.

    Parameters
    ----------
    exercise : Exercise
        The bank's exercise; where no plan is asked for there is nothing to play.
    transcript : mapping
        The transcript of a submission: `grade_id` of a test cell to what it asked.

    Returns
    -------
    dict
        What cannot be read is left out.
    """
    found: dict[str, Played] = {}
    for grade_id, entry in transcript.items() if exercise.scenarios else ():
        try:
            name = parse_grade_id(grade_id)
            plays = [*_plays(exercise, entry)] if name.slug == exercise.slug else []
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            continue
        if not plays:
            continue
        worst = min(plays, key=lambda play: play.score)
        found[grade_id] = Played(worst.said) if name.role == "hidden" else _shown(worst)
    return found


def _plays(exercise: bank.Exercise, entry: Mapping[str, Any]) -> Iterator[_Play]:
    for call in entry["calls"]:
        if call["function"] == exercise.slug and codec.decode(call["args"])[0]:
            yield _Play(call)


def _shown(play: _Play) -> Played:
    judged, least = play.judged, play.least
    if judged is None:
        return Played(f"{play.said} {play.refused}".strip())
    fates, of = _fates(judged, play.scenario.slo), judged.kept.size
    counts = {fate: int(which.sum()) for fate, which in fates.items()}
    rows = (
        ("Your plan", f"{judged.name} × {judged.replicas}"),
        ("Requests kept", f"{judged.good} of {of}: {100 * judged.good / of:.1f} %"),
        ("Promised", f"{100 * float(judged.share):.1f} %"),
        *((meant, str(counts[fate])) for fate, (_, _, meant) in _FATES.items() if fate != "kept"),
        ("Cost", f"{float(judged.usd_h):.2f} $/h"),
        (
            "Cheapest plan that keeps the promise",
            "there is none" if least is None else f"{float(least):.2f} $/h",
        ),
    )
    legend = tuple((sign, fate, meant) for fate, (_, sign, meant) in _FATES.items() if counts[fate])
    return Played(play.said, _drawing(judged, fates, play.scenario.slo), legend, rows)


def _fates(judged: Judged, slo: Mapping[str, Any]) -> dict[str, npt.NDArray[np.bool_]]:
    lost = np.isnan(judged.ttft_s)
    late = judged.ttft_s > slo["ttft_s"]
    return {
        "kept": judged.kept,
        "late": late,
        "slow": ~(judged.kept | lost | late),
        "lost": lost,
    }


def _drawing(
    judged: Judged, fates: Mapping[str, npt.NDArray[np.bool_]], slo: Mapping[str, Any]
) -> Markup:
    """Return the time to first token of each request over its arrival, on a logarithmic axis."""
    promise, times = float(slo["ttft_s"]), judged.ttft_s[~np.isnan(judged.ttft_s)]
    reached = [*times[times > 0].tolist(), *([promise] if promise > 0 else []), 1.0]
    low, high = math.floor(math.log10(min(reached))), math.ceil(math.log10(max(reached)) + 0.1)
    span = float(judged.arrival_s[-1]) or 1.0
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def across(seconds: npt.ArrayLike) -> Any:
        return _LEFT + (right - _LEFT) * np.asarray(seconds) / span

    def up(seconds: npt.ArrayLike) -> Any:
        decades = np.log10(np.maximum(np.asarray(seconds), 10.0**low)) - low
        return bottom - (bottom - _TOP) * decades / (high - low)

    parts = []
    for decade in range(low, high + 1):
        y = float(up(10.0**decade))
        parts.append(Markup('<path class="grid" d="M{},{:.1f}H{}"/>').format(_LEFT, y, right))
        parts.append(
            Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                _LEFT - 5, y + 4, f"{10**decade} s" if decade >= 0 else f"{10 ** (3 + decade):g} ms"
            )
        )
    step = _round_step(span / 6)
    for tick in np.arange(0, span + step / 1e6, step):
        parts.append(
            Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{:g}</text>').format(
                float(across(tick)), bottom + 16, tick
            )
        )
    heights = np.where(np.isnan(judged.ttft_s), _TOP - 8.0, up(np.nan_to_num(judged.ttft_s)))
    for fate, (mark, _, _) in _FATES.items():
        points = zip(across(judged.arrival_s[fates[fate]]), heights[fates[fate]], strict=True)
        path = "".join(f"M{x:.1f},{y:.1f}{mark}" for x, y in points)
        if path:
            parts.append(Markup('<path class="{}" d="{}"/>').format(fate, path))
    if promise > 0:
        y = float(up(promise))
        parts.append(Markup('<path class="promise" d="M{},{:.1f}H{}"/>').format(_LEFT, y, right))
    parts.append(
        Markup('<text x="{}" y="{}" text-anchor="end">arrival [s]</text>').format(
            right, _HEIGHT - 6
        )
    )
    counts = "; ".join(f"{meant}, {fates[fate].sum()}" for fate, (_, _, meant) in _FATES.items())
    about = (
        f"Time to first token of {judged.kept.size} requests that come within {span:.0f} s, on a "
        f"logarithmic axis; a dashed line at {promise:g} s is the promise. {counts}."
    )
    return Markup(
        '<svg class="played" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(_WIDTH, _HEIGHT, about, Markup("").join(parts))


def _round_step(least: float) -> float:
    """Return the least of 1, 2, 5, 10, 20, ... (or tenths of them) that is no less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
