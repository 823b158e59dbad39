"""The pictures of the queueing lab, as SVG, each with its numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from servemath_helpers import batching, queueing
from servemath_helpers.labs.frame.chrome import escape, table
from servemath_helpers.labs.frame.svg import Axis, Chart, number_text
from servemath_helpers.labs.queueing_lab.mission import Gauge, latency_ms, ms_text, promise_name
from servemath_helpers.labs.queueing_lab.model import (
    ALPHA_MS,
    BETA_MS,
    CAMERA_HZ,
    REFRESH_HZ,
    Flow,
    Measured,
    cliff,
    idle_sojourn_ms,
    loss_curve,
    measure,
    u_curve,
)
from servemath_helpers.labs.queueing_lab.story import MAX_LOSS, TRACKS, slo_ms
from servemath_helpers.plotting import COLORS
from servemath_helpers.quantities import format_bytes

__all__ = [
    "Drawn",
    "area_chart",
    "best_rps",
    "curve_chart",
    "gauge_chart",
    "histogram_chart",
    "seesaw_chart",
    "waterfall_chart",
]

#: A picture and the same numbers as an HTML table.
Drawn = tuple[str, str]

_STAGES: Final = {
    "formation": ("formation", "secondary"),
    "queue": ("queue", "error"),
    "compute": ("compute", "primary"),
    "overhead": ("transfer, overhead", "neutral"),
}
_SIZES: Final = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128)
_SIMULATED: Final = (1, 2, 4, 6, 8, 12, 16, 32, 64, 128)


def _nice(value: float) -> float:
    """Return a round number of at least `value`, so that an axis does not jump with it."""
    if not 0 < value < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 1.5, 2, 3, 5, 7.5, 10) if m * power >= value * 0.9999)


def gauge_chart(here: Gauge, thing: str) -> Drawn:
    """Draw requests in flight against the room there is.

    Parameters
    ----------
    here : Gauge
        The law's numbers.
    thing : str
        What is in flight.

    Returns
    -------
    Drawn
        A bar that turns into another colour, and says so, when it is too long.

    Examples
    --------
    >>> from servemath_helpers.labs.queueing_lab.mission import gauge
    >>> "fits" in gauge_chart(gauge("cloud", {"lam_rps": 40, "W_ms": 2000}), "requests")[0]
    True
    """
    width, left, right, top = 520, 14, 506, 52
    end = _nice(max(here.slots * 1.25, here.L))
    scale = (right - left) / end
    bar, limit = min(here.L, end) * scale, left + here.slots * scale
    color = COLORS["primary" if here.fits else "error"]
    verdict = "fits" if here.fits else "does not fit"
    alt = (
        f"Little's gauge: {number_text(here.L)} {thing} in flight, room for "
        f"{number_text(here.slots)}: {verdict}."
    )
    late = limit > (left + right) / 2
    svg = (
        f'<svg class="sm-chart" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} 130">'
        f'<text x="{left}" y="16" class="sm-title">Little\'s gauge: L = λW against the room</text>'
        f'<text x="{left}" y="42">{number_text(here.L)} in flight, '
        f"{format_bytes(here.used_bytes)}: {verdict}</text>"
        f'<rect x="{left}" y="{top}" width="{right - left}" height="34" fill="none" '
        f'stroke="currentColor" stroke-opacity=".5"/>'
        f'<rect x="{left}" y="{top}" width="{bar:.1f}" height="34" fill="{color}"/>'
        f'<line x1="{limit:.1f}" x2="{limit:.1f}" y1="{top - 6}" y2="{top + 42}" '
        f'stroke="{COLORS["error"]}" stroke-width="2.5" stroke-dasharray="5 3"/>'
        f'<text x="{limit + (-6 if late else 6):.1f}" y="{top + 58}" '
        f'text-anchor="{"end" if late else "start"}">room for {number_text(here.slots)} '
        f"({format_bytes(here.room_bytes)})</text></svg>"
    )
    columns = {
        "": ["in flight", "room"],
        thing: [number_text(here.L), number_text(here.slots)],
        "memory": [format_bytes(here.used_bytes), format_bytes(here.room_bytes)],
    }
    return svg, table("Little's gauge", columns)


def area_chart(run: Flow, thing: str) -> Drawn:
    """Draw the number in flight against time; the area below it is all the time spent.

    Parameters
    ----------
    run : Flow
        A simulated run.
    thing : str
        What is in flight.

    Returns
    -------
    Drawn
        The staircase with its mean.

    Examples
    --------
    >>> from servemath_helpers.labs.queueing_lab.model import flow_of
    >>> area_chart(flow_of(40, 2), "requests")[0].startswith("<svg")
    True
    """
    top = _nice(max(float(run.in_flight.max()), run.L) * 1.15)
    alt = (
        f"Number of {thing} in flight against time, its mean {number_text(run.L)}: the area "
        f"divided by the time equals λ times W as observed, {number_text(run.lam_rps)} times "
        f"{ms_text(1e3 * run.W_s)}."
    )
    chart = Chart(
        Axis(0, float(run.time_s[-1]), "time (s)"),
        Axis(0, top, f"{thing} in flight N(t)"),
        title="The area under N(t) is everybody's time",
        alt=alt,
    )
    chart.steps(run.time_s.tolist(), run.in_flight.tolist(), label="N(t), as it begins", fill=True)
    chart.rule(run.L, up=False, label=f"whole run: area / time = {number_text(run.L)}")
    columns = {
        "observed": ["λ (1/s)", "W", "λW", "area / time"],
        "value": [
            number_text(run.lam_rps),
            ms_text(1e3 * run.W_s),
            number_text(run.lam_rps * run.W_s),
            number_text(run.L),
        ],
    }
    return chart.render(), table("Little's law on this run", columns)


def seesaw_chart(track: str, part: str, run: Measured, best_rps: float) -> Drawn:
    """Draw throughput and latency side by side, each against what it is judged by.

    Parameters
    ----------
    track, part : str
        Keys.
    run : Measured
        What was measured.
    best_rps : float
        Throughput that counts as full.

    Returns
    -------
    Drawn
        Two bars and the line that latency must stay below.

    Examples
    --------
    >>> run = measure("edge", "part2", {"sensors": 5, "B": 5})
    >>> "Seesaw" in seesaw_chart("edge", "part2", run, 500.0)[0]
    True
    """
    limit, latency = slo_ms(track, part), latency_ms(track, part, run)
    served, late = run.throughput_rps / best_rps, latency / limit
    name = promise_name(track, part)
    alt = (
        f"Seesaw: throughput {number_text(run.throughput_rps)} per second, "
        f"{served:.0%} of {number_text(best_rps)}; {name} {ms_text(latency)}, "
        f"{number_text(100 * late)} percent of the promised {ms_text(limit)}."
    )
    chart = Chart(
        Axis(0, 2, "", ticks=(0.5, 1.5), names=("throughput", name)),
        Axis(0, 1.5, "share of the target", ticks=(0, 0.5, 1, 1.5), names=("0", "½", "1", "1½")),
        title="Seesaw: throughput and latency",
        alt=alt,
    )
    chart.bar(0.3, 0.4, min(served, 1.5), role="tertiary")
    chart.bar(1.3, 0.4, min(late, 1.5), role="primary" if late <= 1 + 1e-9 else "error")
    chart.note(0.5, min(served, 1.3) + 0.06, f"{number_text(run.throughput_rps)} 1/s")
    chart.note(1.5, min(late, 1.3) + 0.06, f"{ms_text(latency)} {'✓' if late <= 1 + 1e-9 else '✗'}")
    chart.rule(1.0, up=False, role="neutral")
    columns = {
        "": ["throughput (1/s)", name],
        "value": [number_text(run.throughput_rps), ms_text(latency)],
        "target": [number_text(best_rps), ms_text(limit)],
    }
    return chart.render(), table("Seesaw", columns)


def waterfall_chart(run: Measured, thing: str) -> Drawn:
    """Draw where the time goes: of the average, and of the slowest hundredth.

    Parameters
    ----------
    run : Measured
        What was measured.
    thing : str
        What takes the time.

    Returns
    -------
    Drawn
        Two bars of four stages each.

    Examples
    --------
    >>> run = measure("edge", "part2", {"sensors": 5, "B": 5})
    >>> "queue" in waterfall_chart(run, "frames")[1]
    True
    """
    rows = {"average": run.stages_ms, "slowest 1 %": run.slow_stages_ms}
    end = _nice(max(sum(stages.values()) for stages in rows.values()))
    width, left, right = 520, 92, 508
    parts, told = [], []
    for row, (name, stages) in enumerate(rows.items()):
        y, x = 66 + 50 * row, float(left)
        parts.append(f'<text x="{left - 8}" y="{y + 20}" text-anchor="end">{name}</text>')
        for stage, ms in stages.items():
            wide = ms / end * (right - left)
            dash = ' stroke-dasharray="4 2"' if stage == "formation" else ""
            solid = 0.45 if stage == "formation" else 1
            color = COLORS[_STAGES[stage][1]]
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="30" fill="{color}" '
                f'fill-opacity="{solid}" stroke="{color}"{dash}/>'
            )
            if wide > 48:
                parts.append(
                    f'<text x="{x + wide / 2:.1f}" y="{y + 20}" text-anchor="middle" '
                    f'class="sm-inbar">{ms_text(ms)}</text>'
                )
            x += wide
        listed = ", ".join(f"{_STAGES[stage][0]} {ms_text(ms)}" for stage, ms in stages.items())
        told.append(f"{name}: {listed}")
    across = 14
    for _, (label, role) in _STAGES.items():
        parts.append(
            f'<rect x="{across}" y="32" width="14" height="12" fill="{COLORS[role]}"/>'
            f'<text x="{across + 19}" y="42">{label}</text>'
        )
        across += 19 + 7 * len(label) + 18
    alt = f"Where the time of {thing} goes. {'; '.join(told)}."
    svg = (
        f'<svg class="sm-chart" role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} 190">'
        f'<text x="14" y="16" class="sm-title">Waterfall: where the time goes</text>'
        f"{''.join(parts)}"
        f'<text x="{left}" y="180">0</text>'
        f'<text x="{right}" y="180" text-anchor="end">{ms_text(end)}</text></svg>'
    )
    columns: dict[str, Sequence[Any]] = {"stage": [label for label, _ in _STAGES.values()]}
    for name, stages in rows.items():
        columns[name] = [ms_text(stages[stage]) for stage in _STAGES]
    return svg, table("Where the time goes", columns)


def histogram_chart(track: str, part: str, run: Measured) -> Drawn:
    """Draw how the time in the system is spread.

    Parameters
    ----------
    track, part : str
        Keys.
    run : Measured
        What was measured.

    Returns
    -------
    Drawn
        Bars with mean, median, P99 and the promise.

    Examples
    --------
    >>> run = measure("edge", "part2", {"sensors": 5, "B": 5})
    >>> "P99" in histogram_chart("edge", "part2", run)[0]
    True
    """
    limit = slo_ms(track, part)
    ordered = np.sort(run.times_ms)
    high = float(ordered[min(ordered.size - 1, int(0.995 * ordered.size))])
    end = _nice(max(high * 1.1, limit * 1.1))
    counts, _ = np.histogram(np.minimum(run.times_ms, end * 0.9999), 40, (0.0, end))
    share = counts / run.times_ms.size
    top = _nice(float(share.max()) * 1.5)  # room for the marks' names above the bars
    thing = TRACKS[track].thing
    alt = (
        f"Histogram of the time of {thing} in the system: median {ms_text(run.p50_ms)}, mean "
        f"{ms_text(run.mean_ms)}, P99 {ms_text(run.p99_ms)}, promised {ms_text(limit)}."
    )
    chart = Chart(
        Axis(0, end, "time in the system (ms)"),
        Axis(0, top, f"share of {thing}"),
        title="Latency histogram",
        alt=alt,
    )
    step = end / 40
    for k, value in enumerate(share):
        if value:
            chart.bar(k * step, step, float(value))
    marks = (
        ("P50", run.p50_ms, "tertiary", "2 3"),
        ("mean", run.mean_ms, "secondary", "8 3"),
        ("P99", run.p99_ms, "highlight", "6 4"),
        ("promise", limit, "error", "1 0"),
    )
    for row, (name, at, role, dash) in enumerate(marks):
        if at <= end:
            chart.rule(at, role=role, dash=dash)
            # One line of text each: marks that lie close together stay legible.
            # The median is left of the mean, and so is its name.
            right = at > (0.2 if name == "P50" else 0.6) * end
            chart.note(
                at + (-0.012 if right else 0.012) * end,
                top * (0.95 - 0.085 * row),
                f"{name} {ms_text(at)}",
                "end" if right else "start",
            )
    columns = {
        "": ["P50", "mean", "P99", "largest", "promise"],
        "time": [ms_text(x) for x in (run.p50_ms, run.mean_ms, run.p99_ms, run.worst_ms, limit)],
    }
    return chart.render(), table("Latency", columns)


# --- the curve on which the setting lies -----------------------------------------------------


def _u(s: Mapping[str, Any], run: Measured) -> Drawn:
    lam = s["lam_rps"]
    lines = {
        "fixed (formula)": (_SIZES, u_curve(lam, "fixed", 0.0, _SIZES), "primary", "", "o"),
        "greedy": (_SIMULATED, u_curve(lam, "greedy", 0.0, _SIMULATED), "tertiary", "6 3", "s"),
        f"window {s['window_ms']:g} ms": (
            _SIMULATED,
            u_curve(lam, "window", s["window_ms"], _SIMULATED),
            "secondary",
            "2 3",
            "^",
        ),
    }
    end = 2.5 * slo_ms("cloud", "part2")
    chart = Chart(
        Axis(1, 128, "batch size B (log)", log=True, ticks=(1, 2, 4, 8, 16, 32, 64, 128)),
        Axis(0, end, "mean latency (ms)"),
        title=f"U-curve at λ = {number_text(lam)} 1/s",
        alt=f"Mean latency against the batch size at {number_text(lam)} requests per second. "
        f"Your setting, B {s['B']} and policy {s['policy']}, has {ms_text(run.mean_ms)}.",
    )
    for name, (sizes, values, role, dash, marker) in lines.items():
        shown = [value if value <= end else math.nan for value in values]
        chart.line(sizes, shown, label=name, role=role, dash=dash, marker=marker)
    chart.dot(s["B"], min(run.mean_ms, end), label=f"you: {ms_text(run.mean_ms)}")
    columns: dict[str, Sequence[Any]] = {"B": _SIMULATED}
    for name, (sizes, values, *_) in lines.items():
        by_size = dict(zip(sizes, values, strict=True))
        columns[name] = [ms_text(by_size.get(B, math.nan)) for B in _SIMULATED]
    return chart.render(), table("Mean latency against batch size", columns)


def _burst(s: Mapping[str, Any], run: Measured) -> Drawn:
    alpha, beta = ALPHA_MS["edge"], BETA_MS["edge"]
    counts = list(range(1, 13))
    lines = {
        "one batch": ([batching.batch_service_time(n, alpha, beta) for n in counts], "primary"),
        "one by one": ([n * (alpha + beta) for n in counts], "secondary"),
    }
    chart = Chart(
        Axis(0.5, 12.5, "cameras that fire at once", ticks=(1, 3, 6, 9, 12)),
        Axis(0, 45, "last frame done (ms)"),
        title="Worst case against the number of cameras",
        alt=f"Time until the last frame is done, against the cameras, in one batch and one by "
        f"one. Your setting: {ms_text(run.worst_ms)}, window {ms_text(slo_ms('edge', 'part2'))}.",
    )
    for (name, (values, role)), (dash, marker) in zip(
        lines.items(), (("", "o"), ("6 3", "s")), strict=True
    ):
        chart.line(counts, values, label=name, role=role, dash=dash, marker=marker)
    limit = slo_ms("edge", "part2")
    chart.rule(limit, up=False, label=f"window {ms_text(limit)}")
    chart.dot(s["sensors"], min(_last(s), 45), label=f"you: {ms_text(_last(s))}")
    columns: dict[str, Sequence[Any]] = {
        "cameras": counts,
        **{k: [ms_text(x) for x in v] for k, (v, _) in lines.items()},
    }
    return chart.render(), table("Last frame done", columns)


def _last(s: Mapping[str, Any]) -> float:
    """Return when the last frame of a burst is done, whether or not that is in time [ms]."""
    return float(measure("edge", "part2", s).times_ms.max())


def _ages(s: Mapping[str, Any], run: Measured) -> Drawn:
    sizes = [1, 2, 3, 4]
    runs = [measure("mobile", "part2", {**s, "B": B}) for B in sizes]
    end = _nice(runs[-1].worst_ms)
    chart = Chart(
        Axis(0.5, 4.5, "frames in a batch B", ticks=(1, 2, 3, 4)),
        Axis(0, end, "age of the oldest frame (ms)"),
        title="Age against batch size",
        alt="Age of a batch's oldest frame when its computing ends: "
        + ", ".join(f"B {B} {ms_text(r.worst_ms)}" for B, r in zip(sizes, runs, strict=True)),
    )
    for k, (stage, (label, role)) in enumerate(_STAGES.items()):
        for B, seen in zip(sizes, runs, strict=True):
            below = sum(seen.slow_stages_ms[name] for name in list(_STAGES)[:k])
            chart.bar(
                B - 0.3,
                0.6,
                below + seen.slow_stages_ms[stage],
                base=below,
                role=role,
                label=label.split(",")[0] if B == 1 else "",
                pattern=stage == "formation",
            )
    limit = slo_ms("mobile", "part2")
    chart.rule(limit, up=False, label=f"promised {ms_text(limit)}")
    chart.dot(s["B"], run.worst_ms, label=f"you: {ms_text(run.worst_ms)}")
    columns: dict[str, Sequence[Any]] = {
        "B": sizes,
        "oldest frame": [ms_text(seen.worst_ms) for seen in runs],
        "frames per second": [number_text(seen.extra["fps"]) for seen in runs],
    }
    return chart.render(), table("Age against batch size", columns)


_LOADS: Final = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)


def _losses(s: Mapping[str, Any], run: Measured) -> Drawn:
    slots = s.get("slots", 1)
    grid = np.linspace(0.05, 1.3, 40).tolist()
    load = s["lam_rps"] * s["S_ms"] / 1e3
    mine = loss_curve(s, _LOADS)
    chart = Chart(
        Axis(0, 1.3, "load a = λS"),
        Axis(0, 0.6, "share lost"),
        title="Loss against load",
        alt=f"Share of frames lost against the load. At your load of {number_text(load)}, "
        f"{run.loss:.1%} are lost; random arrivals without a buffer would lose "
        f"{queueing.erlang_b(slots, load):.1%}.",
    )
    name = "s" if slots > 1 else ""
    chart.line(
        grid,
        [queueing.erlang_b(slots, a) for a in grid],
        label=f"Erlang B, {slots} processor{name}",
        role="secondary",
        dash="6 3",
    )
    chart.line(_LOADS, mine, label="your traffic (simulated)", marker="o")
    chart.rule(MAX_LOSS, up=False, label=f"allowed: {MAX_LOSS:.0%}")
    chart.dot(min(load, 1.3), min(run.loss, 0.6), label=f"you: {run.loss:.1%}")
    columns = {
        "load": [number_text(a) for a in _LOADS],
        "Erlang B": [f"{queueing.erlang_b(slots, a):.1%}" for a in _LOADS],
        "your traffic": [f"{share:.1%}" for share in mine],
    }
    return chart.render(), table("Loss against load", columns)


@cache
def _exact_cliff(c: int) -> tuple[list[float], list[float]]:
    """Return utilisations and the P99 of a Poisson pool at each, in service times."""
    grid = np.linspace(0.05, 0.98, 40).tolist()
    return grid, [queueing.mmc_sojourn_quantile_s("0.99", rho * c, 1.0, c) for rho in grid]


def _cliff(s: Mapping[str, Any], run: Measured) -> Drawn:
    c, kind = s["replicas"], s["arrivals"]
    S, end = idle_sojourn_ms(), 30.0
    points = cliff(c, kind)
    rhos = [rho for rho, _, _ in points]
    grid, exact = _exact_cliff(c)
    chart = Chart(
        Axis(0, 1, "utilisation ρ"),
        Axis(0, end, "time / service time S"),
        title=f"The cliff: {c} replica{'s' if c > 1 else ''}, {kind} traffic",
        alt=f"Mean and P99 of the time in the system against utilisation, in service times, for "
        f"{c} replicas and {kind} traffic. Your setting: ρ {number_text(run.rho)}, P99 "
        f"{number_text(run.p99_ms / S)} S.",
    )
    cut = [value if value <= end else math.nan for value in exact]
    chart.line(grid, cut, label="P99, Poisson (exact)", role="neutral", dash="2 3")
    for label, column, role, dash, marker in (
        ("P99", 2, "primary", "", "o"),
        ("mean W", 1, "secondary", "6 3", "s"),
    ):
        values = [point[column] for point in points]
        cut = [value if value <= end else math.nan for value in values]
        chart.line(rhos, cut, label=label, role=role, dash=dash, marker=marker)
    chart.rule(slo_ms("cloud", "part3") / S, up=False, label="promise: 10 S")
    chart.dot(
        run.rho, min(run.p99_ms / S, end), label=f"you: P99 = {number_text(run.p99_ms / S)} S"
    )
    columns = {
        "ρ": [number_text(rho) for rho in rhos],
        "mean / S": [number_text(mean) for _, mean, _ in points],
        "P99 / S": [number_text(p99) for _, _, p99 in points],
    }
    return chart.render(), table("The utilisation cliff", columns)


def _cameras(s: Mapping[str, Any], run: Measured) -> Drawn:
    counts = [1, 2, 3, 4, 5, 6, 8, 10, 12]
    runs = [measure("edge", "part3", {**s, "sensors": n}) for n in counts]
    end = 45.0
    chart = Chart(
        Axis(0, 13, "cameras", ticks=(1, 3, 6, 9, 12)),
        Axis(0, end, "time in the system (ms)"),
        title="Worst case seen against cameras",
        alt="Worst case and mean against the number of cameras. "
        f"Yours: {s['sensors']} cameras, worst {ms_text(run.worst_ms)}.",
    )
    for name, values, role, dash, marker in (
        ("worst", [seen.worst_ms for seen in runs], "primary", "", "o"),
        ("mean", [seen.mean_ms for seen in runs], "secondary", "6 3", "s"),
    ):
        cut = [value if value <= end else math.nan for value in values]
        chart.line(counts, cut, label=name, role=role, dash=dash, marker=marker)
    limit = slo_ms("edge", "part3")
    chart.rule(limit, up=False, label=f"window {ms_text(limit)}")
    chart.dot(s["sensors"], min(run.worst_ms, end), label=f"you: {ms_text(run.worst_ms)}")
    columns: dict[str, Sequence[Any]] = {
        "cameras": counts,
        "utilisation": [f"{seen.rho:.0%}" for seen in runs],
        "mean": [ms_text(seen.mean_ms) for seen in runs],
        "worst": [ms_text(seen.worst_ms) for seen in runs],
    }
    return chart.render(), table("Worst case against cameras", columns)


def _frames(s: Mapping[str, Any], run: Measured) -> Drawn:
    works = [8.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0]
    runs = [measure("mobile", "part3", {**s, "compute_ms": ms}) for ms in works]
    end = 60.0
    chart = Chart(
        Axis(0.4, 1.1, "utilisation ρ"),
        Axis(0, end, "age of a frame (ms)"),
        title=f"The cliff: {s['scene']} scene, {s['arrivals']} frames",
        alt=f"Mean and P99 of a frame's age against utilisation. Yours: ρ "
        f"{number_text(run.rho)}, P99 {ms_text(run.p99_ms)}.",
    )
    rhos = [seen.rho for seen in runs]
    for name, values, role, dash, marker in (
        ("P99", [seen.p99_ms for seen in runs], "primary", "", "o"),
        ("mean", [seen.mean_ms for seen in runs], "secondary", "6 3", "s"),
    ):
        cut = [value if value <= end else math.nan for value in values]
        chart.line(rhos, cut, label=name, role=role, dash=dash, marker=marker)
    limit = slo_ms("mobile", "part3")
    chart.rule(limit, up=False, label=f"promised {ms_text(limit)}")
    chart.dot(run.rho, min(run.p99_ms, end), label=f"you: P99 {ms_text(run.p99_ms)}")
    columns = {
        "mean computing": [ms_text(ms) for ms in works],
        "ρ": [number_text(rho) for rho in rhos],
        "mean age": [ms_text(seen.mean_ms) for seen in runs],
        "P99 age": [ms_text(seen.p99_ms) for seen in runs],
    }
    return chart.render(), table("Age against utilisation", columns)


_CURVES: Final = {
    ("cloud", "part2"): _u,
    ("cloud", "part3"): _cliff,
    ("edge", "part2"): _burst,
    ("edge", "part3"): _cameras,
    ("mobile", "part2"): _ages,
    ("mobile", "part3"): _frames,
    ("tiny", "part2"): _losses,
    ("tiny", "part3"): _losses,
}


def curve_chart(track: str, part: str, settings: Mapping[str, Any], run: Measured) -> Drawn:
    """Draw the curve of a track's own trade-off, and where the setting lies on it.

    Parameters
    ----------
    track, part : str
        Keys.
    settings : mapping
        Every control of the part.
    run : Measured
        What was measured at them.

    Returns
    -------
    Drawn
        U-curve, burst, age, loss, or cliff.

    Examples
    --------
    >>> settings = {"sensors": 5, "B": 5}
    >>> run = measure("edge", "part2", settings)
    >>> "you: 9.5 ms" in curve_chart("edge", "part2", settings, run)[0]
    True
    """
    return _CURVES[track, part](settings, run)


def best_rps(track: str, part: str, settings: Mapping[str, Any], run: Measured) -> float:
    """Return the throughput that counts as full on the seesaw [1/s].

    Parameters
    ----------
    track, part : str
        Keys.
    settings : mapping
        Every control of the part.
    run : Measured
        What was measured.

    Returns
    -------
    float
        The capacity at the present setting; for the cloud's batches and the glasses what
        the mission asks for.

    Examples
    --------
    >>> settings = {"sensors": 5, "B": 5}
    >>> best_rps("edge", "part2", settings, measure("edge", "part2", settings))
    150.0
    """
    targets = {("cloud", "part2"): 200.0, ("edge", "part2"): 5 * CAMERA_HZ}
    if track == "mobile":
        return REFRESH_HZ
    return targets.get((track, part), run.lam_rps / run.rho)
