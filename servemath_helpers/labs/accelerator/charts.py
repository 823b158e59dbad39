"""The pictures of lab 5, as SVG, each with its numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from servemath_helpers.labs.accelerator.mission import Step
from servemath_helpers.labs.accelerator.model import (
    BATCHES,
    KEPT,
    MOST_REPLICAS,
    Fleet,
    Played,
    Record,
    fleet,
    mva_s,
    played,
    promises,
)
from servemath_helpers.labs.frame.chrome import table
from servemath_helpers.labs.frame.numbers import duration, number_text, share
from servemath_helpers.labs.frame.svg import Axis, Chart, Drawn, round_up
from servemath_helpers.measure.summary import TOOLS
from servemath_helpers.tinyllm.transformer import SMALL

__all__ = [
    "error_chart",
    "fit_chart",
    "fleet_chart",
    "gain_chart",
    "loop_chart",
    "ratio_chart",
    "roofline_chart",
    "slope_chart",
    "tools_chart",
    "wait_chart",
]

_BLOCKS: Final = 10
_POWERS: Final = tuple(2**i for i in range(7))


def roofline_chart(bw_gbs: float, gflops: float, step: Step) -> Drawn:
    """Draw what can be reached against operations per byte, and where a batch lies."""
    ridge = gflops / bw_gbs
    xs = [0.1 * 10 ** (i / 10) for i in range(0, 36)]
    ys = [min(gflops, bw_gbs * x) for x in xs]
    # A weight of four bytes takes two operations a sequence.
    at = step.batch / 2
    here = min(gflops, bw_gbs * at)
    chart = Chart(
        Axis(0.1, 10**2.5, "operations per byte of weights", log=True, short=True),
        Axis(min(ys) * 0.7, gflops * 3, "GFLOP/s", log=True, short=True),
        title="Roofline of this machine",
        alt=f"Roofline: {number_text(bw_gbs)} GB/s up to {number_text(ridge)} operations a byte, "
        f"then {number_text(gflops)} GFLOP/s. A batch of {step.batch} lies at {number_text(at)} "
        f"operations a byte and can reach {number_text(here)} GFLOP/s.",
    )
    chart.line(xs, ys, label="can be reached")
    chart.dot(at, here, label=f"B = {step.batch}")
    columns = {
        "": ["ridge", f"B = {step.batch}"],
        "operations per byte": [number_text(ridge), number_text(at)],
        "GFLOP/s": [number_text(gflops), number_text(here)],
    }
    return Drawn(chart.render(), lambda: table("Roofline", columns))


def gain_chart(bw_gbs: float, gflops: float, context: int, step: Step) -> Drawn:
    """Draw tokens per second against the batch."""
    line = SMALL.roofline(1e9 * bw_gbs, 1e9 * gflops)
    rates = [b / line.iteration_s(b, b * context, 0, 0) for b in _POWERS]
    linear = [b / step.alone_s for b in _POWERS]
    names = tuple(map(str, _POWERS))
    chart = Chart(
        Axis(1, 64, "batch B", log=True, ticks=tuple(map(float, _POWERS)), names=names),
        Axis(rates[0] * 0.7, linear[-1] * 2, "tokens per second", log=True, short=True),
        title="What a batch gains",
        alt=f"Tokens per second against the batch: {number_text(rates[0])} alone, "
        f"{number_text(step.tok_s)} at B = {step.batch}, {number_text(step.gain, 2)} times that.",
    )
    chart.line([*_POWERS], linear, label="as many times as B", role="neutral", dash="4 3")
    chart.line([*_POWERS], rates, label="roofline", marker="o")
    chart.dot(step.batch, step.tok_s, label=f"{number_text(step.tok_s)} tok/s")
    columns = {"B": _POWERS, "tokens per second": [number_text(rate) for rate in rates]}
    return Drawn(chart.render(), lambda: table("Tokens per second", columns))


def slope_chart(run: Played) -> Drawn:
    """Draw TTFT from request to request, block means, and the line through them."""
    ttft = np.array(run.summary.times("ttft"))
    n = ttft.size // _BLOCKS * _BLOCKS
    kept = ttft[ttft.size - n :]
    means = kept.reshape(_BLOCKS, -1).mean(axis=1)
    at = (np.arange(_BLOCKS) + 0.5) * n / _BLOCKS
    low, high = (1e3 * end for end in run.slope)
    verdict = "grows" if run.unstable else "does not grow beyond doubt"
    top = round_up(float(max(ttft.max(), 1e-6)) * 1.2)
    chart = Chart(
        Axis(0, ttft.size, "request"),
        Axis(0, top, "TTFT [s]"),
        title="Is it stable? TTFT from first to last",
        alt=f"Time to first token of {ttft.size} requests in order of arrival with the means of "
        f"{_BLOCKS} blocks: it {verdict}, {number_text(low)} to {number_text(high)} ms a request.",
    )
    chart.line(list(range(ttft.size)), ttft.tolist(), label="requests", role="neutral", width=0.8)
    chart.line(at.tolist(), means.tolist(), label="means of blocks", marker="o", width=2.2)
    columns = {"block": range(1, _BLOCKS + 1), "mean TTFT": [duration(float(m)) for m in means]}
    return Drawn(chart.render(), lambda: table("Means of blocks", columns))


def loop_chart(record: Record) -> Drawn:
    """Draw R against N: measured, simulated with the fit, and by mean-value analysis."""
    measured = [float(np.mean(record.run("closed", n).summary.times("e2e"))) for n in BATCHES]
    fitted = [
        float(np.mean(played(record, loop="closed", users=n).summary.times("e2e"))) for n in BATCHES
    ]
    queue = mva_s(record, BATCHES)
    spoken = ", ".join([f"N {n}: {duration(r)}" for n, r in zip(BATCHES, measured, strict=True)])
    users = [float(n) for n in BATCHES]
    chart = Chart(
        Axis(0.5, 8.5, "users N", ticks=tuple(users), names=tuple(map(str, BATCHES))),
        Axis(0, round_up(max(*measured, *fitted, *queue) * 1.15), "mean E2E [s]"),
        title="R against N: a batch is no queue",
        alt=f"Mean response time of a closed loop against its users. Measured {spoken}. Mean-value "
        f"analysis of one at a time gives {duration(queue[-1])} for {BATCHES[-1]}.",
    )
    chart.line(users, queue, label="MVA, one at a time", role="neutral", dash="5 3", marker="^")
    chart.line(users, fitted, label="fit, simulated", role="secondary", dash="2 3", marker="s")
    chart.line(users, measured, label="measured", marker="o")
    columns: dict[str, Sequence[Any]] = {
        "N": BATCHES,
        "measured": [*map(duration, measured)],
        "fit": [*map(duration, fitted)],
        "MVA": [*map(duration, queue)],
    }
    return Drawn(chart.render(), lambda: table("Mean E2E of closed loops", columns))


def tools_chart(run: Played) -> Drawn:
    """Draw the mean time per output token as each tool defines it."""
    times = {tool: 1e3 * (run.summary.tpot_s(tool) or math.nan) for tool in TOOLS}
    spoken = ", ".join([f"{tool} {number_text(ms)} ms" for tool, ms in times.items()])
    chart = Chart(
        Axis(
            0, 4, "", ticks=(0.5, 1.5, 2.5, 3.5), names=("vLLM", "inf.-perf", "MLPerf", "GuideLLM")
        ),
        Axis(0, round_up(max(times.values()) * 1.2), "per output token [ms]"),
        title="One run, four tools",
        alt=f"Mean time per output token of one run as four tools define it: {spoken}.",
    )
    for i, ms in enumerate(times.values()):
        chart.bars([i + 0.2], 0.6, [ms], role="primary" if i < 3 else "secondary", pattern=i == 3)
        chart.note(i + 0.5, ms * 1.03, number_text(ms))
    columns = {"tool": list(times), "mean [ms]": [number_text(ms) for ms in times.values()]}
    return Drawn(chart.render(), lambda: table("Time per output token", columns))


def ratio_chart(record: Record) -> Drawn:
    """Draw measured over predicted step by batch."""
    ratios = record.ratios
    spoken = ", ".join([f"B {batch}: {number_text(ratio)}" for batch, ratio in ratios.items()])
    chart = Chart(
        Axis(0, len(ratios), "batch B", ticks=tuple(i + 0.5 for i in range(len(ratios))),
             names=tuple(map(str, ratios))),
        Axis(0, round_up(max(*ratios.values(), 1.0) * 1.25), "measured / roofline"),
        title="Where the machine leaves its roofline",
        alt=f"Measured over predicted time of a decode step by batch: {spoken}.",
    )  # fmt: skip
    for i, ratio in enumerate(ratios.values()):
        chart.bars([i + 0.2], 0.6, [ratio])
        chart.note(i + 0.5, ratio * 1.03, number_text(ratio))
    chart.rule(1.0, up=False, label="roofline", named=True)
    columns: dict[str, list[Any]] = {
        "B": list(ratios),
        "measured / roofline": [*map(number_text, ratios.values())],
    }
    return Drawn(chart.render(), lambda: table("Measured over predicted", columns))


def fit_chart(record: Record) -> Drawn:
    """Draw fitted against measured steps that the fit has not seen."""
    rows = record.steps[1::2][:: max(1, len(record.steps) // 400)]
    measured = [1e3 * s for *_, s in rows]
    fitted = [1e3 * record.step.iteration_s(d, c, p, 0) for d, c, p, _ in rows]
    low, high = 0.8 * min(*measured, *fitted), 1.25 * max(*measured, *fitted)
    error = share(record.fit["held_out_error"])
    chart = Chart(
        Axis(low, high, "measured step [ms]", log=True, short=True),
        Axis(low, high, "fitted step [ms]", log=True, short=True),
        title="Steps that the fit has not seen",
        alt=f"Fitted against measured steps, {len(rows)} of those held out, along the diagonal; "
        f"median error {error}.",
    )
    chart.line([low, high], [low, high], label="equal", role="neutral", dash="4 3")
    for kind, role, marker in ((True, "primary", "o"), (False, "secondary", "s")):
        some = [i for i, row in enumerate(rows) if (row[2] == 0) is kind]
        chart.line([measured[i] for i in some], [fitted[i] for i in some], role=role,
                   marker=marker, width=0, label="decode" if kind else "prompts")  # fmt: skip
    columns: dict[str, list[Any]] = {
        "": ["steps shown", "median error"],
        "value": [len(rows), error],
    }
    return Drawn(chart.render(), lambda: table("Fit", columns))


def error_chart(record: Record) -> Drawn:
    """Draw the errors of fit and roofline on steps that neither has seen."""
    errors = {"fit": record.fit["held_out_error"], "roofline": record.roofline_error}
    texts = {name: share(value) for name, value in errors.items()}
    chart = Chart(
        Axis(0, 2, "", ticks=(0.5, 1.5), names=tuple(errors)),
        Axis(0, round_up(100 * max(*errors.values(), 0.01) * 1.3), "median error [%]"),
        title="How far off, held out",
        alt=f"Median relative error of a step: fit {texts['fit']}, roofline {texts['roofline']}.",
    )
    for i, (name, value) in enumerate(errors.items()):
        role = "primary" if name == "fit" else "secondary"
        chart.bars([i + 0.25], 0.5, [100 * value], role=role, pattern=i == 1)
        chart.note(i + 0.5, 100 * value * 1.03, texts[name])
    columns = {"": list(errors), "median error": list(texts.values())}
    return Drawn(chart.render(), lambda: table("Errors", columns))


def _fleets(record: Record, load: float, max_batch: int) -> list[Fleet]:
    counts = range(1, MOST_REPLICAS + 1)
    return [fleet(record, replicas, load, max_batch=max_batch) for replicas in counts]


def fleet_chart(record: Record, replicas: int, load: float, max_batch: int) -> Drawn:
    """Draw the share of promises kept against the number of machines."""
    shares = [100 * one.share for one in _fleets(record, load, max_batch)]
    counts = [float(r) for r in range(1, MOST_REPLICAS + 1)]
    wanted = 100 * float(KEPT)
    chart = Chart(
        Axis(0.5, MOST_REPLICAS + 0.5, "machines"),
        Axis(0, 110, "promises kept [%]"),
        title=f"At {number_text(load)} times the capacity of one",
        alt=f"Share of promises kept against machines: {number_text(shares[replicas - 1])} percent "
        f"with {replicas}, wanted {number_text(wanted)}.",
    )
    chart.line(counts, shares, label="replayed", marker="o")
    chart.rule(wanted, up=False, label="promised")
    chart.dot(replicas, shares[replicas - 1], label=f"you: {replicas}")
    columns = {"machines": range(1, MOST_REPLICAS + 1), "kept [%]": [*map(number_text, shares)]}
    return Drawn(chart.render(), lambda: table("Promises kept", columns))


def wait_chart(record: Record, replicas: int, load: float, max_batch: int) -> Drawn:
    """Draw P99 of TTFT against the number of machines."""
    waits = [one.ttft_p99_s for one in _fleets(record, load, max_batch)]
    counts = [float(r) for r in range(1, MOST_REPLICAS + 1)]
    bound = promises(record)["ttft_s"]
    here = duration(waits[replicas - 1])
    chart = Chart(
        Axis(0.5, MOST_REPLICAS + 0.5, "machines"),
        Axis(
            0.5 * min(*waits, bound), 3 * max(*waits, bound), "TTFT P99 [s]", log=True, short=True
        ),
        title="What one more machine saves",
        alt=f"P99 of the time to first token against machines: {here} with {replicas}, "
        f" promised {duration(bound)}.",
    )
    chart.line(counts, waits, label="replayed", role="secondary", marker="s")
    chart.rule(bound, up=False, label=f"promised {duration(bound)}")
    chart.dot(replicas, waits[replicas - 1], label=f"you: {here}")
    columns = {"machines": range(1, MOST_REPLICAS + 1), "TTFT P99": [*map(duration, waits)]}
    return Drawn(chart.render(), lambda: table("TTFT P99", columns))
