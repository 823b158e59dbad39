"""The pictures of lab 4, as SVG, each with its numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from servemath_helpers import batching, queueing
from servemath_helpers.labs.frame.chrome import table
from servemath_helpers.labs.frame.numbers import duration, ms_text, number_text
from servemath_helpers.labs.frame.svg import Axis, Chart, Drawn, round_up, svg
from servemath_helpers.labs.queueing_lab.mission import TIGHT, Gauge, latency_ms, promise_name
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
    "area_chart",
    "best_rps",
    "curve_chart",
    "gauge_chart",
    "histogram_chart",
    "seesaw_chart",
    "waterfall_chart",
]

_STAGES: Final = {
    "formation": ("formation", "secondary"),
    "queue": ("queue", "error"),
    "compute": ("compute", "primary"),
    "overhead": ("transfer, overhead", "neutral"),
}
_SIZES: Final = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128)
_SIMULATED: Final = (1, 2, 4, 6, 8, 12, 16, 32, 64, 128)
_LOADS: Final = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)


def _below(values: Sequence[float], end: float) -> list[float]:
    """Return values with a gap where they leave the picture."""
    return [value if value <= end else math.nan for value in values]


def gauge_chart(here: Gauge, thing: str) -> Drawn:
    """Draw requests in flight against the room there is: a bar that says when it is too long."""
    left, right, top = 14, 506, 52
    end = round_up(max(here.slots * 1.25, here.L))
    scale = (right - left) / end
    bar, limit = min(here.L, end) * scale, left + here.slots * scale
    color = COLORS["primary" if here.fits else "error"]
    verdict = "fits" if here.fits else "does not fit"
    L, slots = number_text(here.L), number_text(here.slots)
    used, room = format_bytes(here.used_bytes), format_bytes(here.room_bytes)
    shift, anchor = (-6, "end") if limit > (left + right) / 2 else (6, "start")
    drawn = svg(
        f"Little's gauge: {L} {thing} in flight, room for {slots}: {verdict}.",
        520,
        130,
        [
            f'<text x="{left}" y="16" class="sm-title">Little\'s gauge: L = λW against the room'
            f'</text><text x="{left}" y="42">{L} in flight, {used}: {verdict}</text>'
            f'<rect x="{left}" y="{top}" width="{right - left}" height="34" fill="none" '
            'stroke="currentColor" stroke-opacity=".5"/>'
            f'<rect x="{left}" y="{top}" width="{bar:.1f}" height="34" fill="{color}"/>'
            f'<line x1="{limit:.1f}" x2="{limit:.1f}" y1="{top - 6}" y2="{top + 42}" '
            f'stroke="{COLORS["error"]}" stroke-width="2.5" stroke-dasharray="5 3"/>'
            f'<text x="{limit + shift:.1f}" y="{top + 58}" text-anchor="{anchor}">room for {slots} '
            f"({room})</text>"
        ],
    )
    columns = {"": ["in flight", "room"], thing: [L, slots], "memory": [used, room]}
    return Drawn(drawn, lambda: table("Little's gauge", columns))


def area_chart(run: Flow, thing: str) -> Drawn:
    """Draw the number in flight against time; the area below it is all the time spent."""
    lam, W, L = number_text(run.lam_rps), duration(run.W_s), number_text(run.L)
    chart = Chart(
        Axis(0, float(run.time_s[-1]), "time (s)"),
        Axis(0, round_up(max(float(run.in_flight.max()), run.L) * 1.15), f"{thing} in flight N(t)"),
        title="The area under N(t) is everybody's time",
        alt=f"Number of {thing} in flight against time, its mean {L}: the area divided by the time "
        f"equals λ times W as observed, {lam} times {W}.",
    )
    chart.steps(run.time_s.tolist(), run.in_flight.tolist(), label="N(t), as it begins", fill=True)
    # Named in the legend: N(t) crosses its mean all the time, and a label beside it.
    ends = [0.0, float(run.time_s[-1])]
    chart.line(ends, [run.L] * 2, label=f"whole run: area / time = {L}", role="error", dash="6 4")
    observed = ["λ (1/s)", "W", "λW", "area / time"]
    values = [lam, W, number_text(run.lam_rps * run.W_s), L]
    return Drawn(
        chart.render(),
        lambda: table("Little's law on this run", {"observed": observed, "value": values}),
    )


def seesaw_chart(track: str, part: str, run: Measured, best_rps: float) -> Drawn:
    """Draw throughput and latency side by side, each as a share of what it is judged by."""
    limit, latency = slo_ms(track, part), latency_ms(track, part, run)
    served, late = run.throughput_rps / best_rps, latency / limit
    kept, name = late <= 1 + TIGHT, promise_name(track, part)
    rps, best = number_text(run.throughput_rps), number_text(best_rps)
    took, promised = ms_text(latency), ms_text(limit)
    chart = Chart(
        Axis(0, 2, "", ticks=(0.5, 1.5), names=("throughput", name)),
        Axis(0, 1.7, "share of the target", ticks=(0, 0.5, 1, 1.5), names=("0", "½", "1", "1½")),
        title="Seesaw: throughput and latency",
        alt=f"Seesaw: throughput {rps} per second, {served:.0%} of {best}; {name} {took}, "
        f"{number_text(100 * late)} percent of the promised {promised}.",
    )
    chart.bars([0.3], 0.4, [min(served, 1.5)], role="tertiary")
    chart.bars([1.3], 0.4, [min(late, 1.5)], role="primary" if kept else "error")
    chart.note(0.5, min(served, 1.5) + 0.06, f"{rps} 1/s")
    chart.note(1.5, min(late, 1.5) + 0.06, f"{took} {'✓' if kept else '✗'}")
    chart.rule(1.0, up=False, role="neutral")
    columns = {
        "": ["throughput (1/s)", name],
        "value": [rps, took],
        "target": [best, promised],
    }
    return Drawn(chart.render(), lambda: table("Seesaw", columns))


def waterfall_chart(run: Measured, thing: str) -> Drawn:
    """Draw where the time goes, of the average and of the slowest hundredth, by stage."""
    rows = {"average": run.stages_ms, "slowest 1 %": run.slow_stages_ms}
    texts = {name: {k: ms_text(ms) for k, ms in stages.items()} for name, stages in rows.items()}
    end = round_up(max(sum(stages.values()) for stages in rows.values()))
    left, right = 92, 508
    parts = ['<text x="14" y="16" class="sm-title">Waterfall: where the time goes</text>']
    told = []
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
                    f'class="sm-inbar">{texts[name][stage]}</text>'
                )
            x += wide
        listed = [f"{_STAGES[stage][0]} {text}" for stage, text in texts[name].items()]
        told.append(f"{name}: {', '.join(listed)}")
    across = 14
    for label, role in _STAGES.values():
        parts.append(
            f'<rect x="{across}" y="32" width="14" height="12" fill="{COLORS[role]}"/>'
            f'<text x="{across + 19}" y="42">{label}</text>'
        )
        across += 19 + 7 * len(label) + 18
    parts.append(f'<text x="{left}" y="180">0</text>')
    parts.append(f'<text x="{right}" y="180" text-anchor="end">{ms_text(end)}</text>')
    columns = {
        "stage": [label for label, _ in _STAGES.values()],
        **{name: [texts[name][stage] for stage in _STAGES] for name in rows},
    }
    return Drawn(
        svg(f"Where the time of {thing} goes. {'; '.join(told)}.", 520, 190, parts),
        lambda: table("Where the time goes", columns),
    )


def histogram_chart(track: str, part: str, run: Measured) -> Drawn:
    """Draw how the time in the system is spread, with mean, median, P99 and the promise."""
    limit = slo_ms(track, part)
    ordered = np.sort(run.times_ms)
    high = float(ordered[min(ordered.size - 1, int(0.995 * ordered.size))])
    end = round_up(max(high * 1.1, limit * 1.1))
    counts, edges = np.histogram(np.minimum(run.times_ms, end * 0.9999), 40, (0.0, end))
    share = counts / run.times_ms.size
    top = round_up(float(share.max()) * 1.05)
    thing = TRACKS[track].thing
    marks = {
        "P50": (run.p50_ms, "tertiary", "2 3"),
        "mean": (run.mean_ms, "secondary", "8 3"),
        "P99": (run.p99_ms, "highlight", "6 4"),
        "promise": (limit, "error", "1 0"),
    }
    texts = {name: ms_text(at) for name, (at, _, _) in marks.items()}
    chart = Chart(
        Axis(0, end, "time in the system (ms)"),
        Axis(0, top, f"share of {thing}"),
        title="Latency histogram",
        alt=f"Histogram of the time of {thing} in the system: median {texts['P50']}, mean "
        f"{texts['mean']}, P99 {texts['P99']}, promised {texts['promise']}.",
    )
    full = share > 0
    chart.bars(edges[:-1][full].tolist(), end / 40, share[full].tolist())
    for name, (at, role, dash) in marks.items():
        if at <= end:
            # In the legend: they often lie closer together than their names are wide.
            chart.rule(at, label=f"{name} {number_text(at)}", role=role, dash=dash, named=True)
    shown = {**texts, "largest": ms_text(run.worst_ms), "promise": texts["promise"]}
    names = ["P50", "mean", "P99", "largest", "promise"]
    return Drawn(
        chart.render(),
        lambda: table("Latency", {"": names, "time": [shown[name] for name in names]}),
    )


# --- the curve on which the setting lies -----------------------------------------------------


def _lines(
    chart: Chart, xs: Sequence[float], end: float, values: Mapping[str, list[float]]
) -> None:
    """Draw two lines that differ in colour, dash and marker."""
    looks = (("primary", "", "o"), ("secondary", "6 3", "s"))
    for (label, ys), (role, dash, marker) in zip(values.items(), looks, strict=True):
        chart.line(xs, _below(ys, end), label=label, role=role, dash=dash, marker=marker)


def _u(s: Mapping[str, Any], run: Measured) -> Drawn:
    lam, window = s["lam_rps"], s["window_ms"]
    end = 2.5 * slo_ms("cloud", "part2")
    lines = {
        "fixed (formula)": (_SIZES, u_curve(lam, "fixed", 0.0, _SIZES), "primary", "", "o"),
        "greedy": (_SIMULATED, u_curve(lam, "greedy", 0.0, _SIMULATED), "tertiary", "6 3", "s"),
        f"window {window:g} ms": (
            *(_SIMULATED, u_curve(lam, "window", window, _SIMULATED)),
            *("secondary", "2 3", "^"),
        ),
    }
    chart = Chart(
        Axis(1, 128, "batch size B (log)", log=True, ticks=(1, 2, 4, 8, 16, 32, 64, 128)),
        Axis(0, end, "mean latency (ms)"),
        title=f"Mean latency by batch size at λ = {number_text(lam)} 1/s",
        alt=f"Mean latency against the batch size at {number_text(lam)} requests per second. "
        f"Your setting, B {s['B']} and policy {s['policy']}, has {ms_text(run.mean_ms)}.",
    )
    for name, (sizes, values, role, dash, marker) in lines.items():
        chart.line(sizes, _below(values, end), label=name, role=role, dash=dash, marker=marker)
    chart.dot(s["B"], min(run.mean_ms, end), label=f"you: {ms_text(run.mean_ms)}")

    def numbers() -> str:
        columns: dict[str, Sequence[Any]] = {"B": _SIMULATED}
        for name, (sizes, values, *_) in lines.items():
            by_size = dict(zip(sizes, values, strict=True))
            columns[name] = [ms_text(by_size[B]) for B in _SIMULATED]
        return table("Mean latency against batch size", columns)

    return Drawn(chart.render(), numbers)


def _burst(s: Mapping[str, Any], run: Measured) -> Drawn:
    alpha, beta, end, limit = ALPHA_MS["edge"], BETA_MS["edge"], 45.0, slo_ms("edge", "part2")
    counts = list(range(1, 13))
    lines = {
        "one batch": [batching.batch_service_time(n, alpha, beta) for n in counts],
        "one by one": [n * (alpha + beta) for n in counts],
    }
    chart = Chart(
        Axis(0.5, 12.5, "cameras that fire at once", ticks=(1, 3, 6, 9, 12)),
        Axis(0, end, "last frame done (ms)"),
        title="Worst case against the number of cameras",
        alt="Time until the last frame is done, against the cameras, in one batch and one by "
        f"one. Your setting: {ms_text(run.worst_ms)}, window {ms_text(limit)}.",
    )
    _lines(chart, counts, math.inf, lines)
    chart.rule(limit, up=False, label=f"window {ms_text(limit)}")
    # When the last one is done, whether or not that is before the next burst.
    last = float(run.times_ms.max())
    chart.dot(s["sensors"], min(last, end), label=f"you: {ms_text(last)}")
    return Drawn(
        chart.render(),
        lambda: table(
            "Last frame done",
            {"cameras": counts, **{name: list(map(ms_text, ys)) for name, ys in lines.items()}},
        ),
    )


def _ages(s: Mapping[str, Any], run: Measured) -> Drawn:
    sizes, limit = [1, 2, 3, 4], slo_ms("mobile", "part2")
    runs = [measure("mobile", "part2", {**s, "B": B}) for B in sizes]
    ages = [ms_text(seen.worst_ms) for seen in runs]
    chart = Chart(
        Axis(0.5, 4.5, "frames in a batch B", ticks=(1, 2, 3, 4)),
        Axis(0, round_up(runs[-1].worst_ms), "age of the oldest frame (ms)"),
        title="Age against batch size",
        alt="Age of a batch's oldest frame when its computing ends: "
        + ", ".join([f"B {B} {age}" for B, age in zip(sizes, ages, strict=True)]),
    )
    bases = [0.0] * len(sizes)
    for stage, (label, role) in _STAGES.items():
        tops = [base + seen.slow_stages_ms[stage] for base, seen in zip(bases, runs, strict=True)]
        chart.bars(
            [B - 0.3 for B in sizes],
            0.6,
            tops,
            bases=bases,
            role=role,
            label=label.split(",")[0],
            pattern=stage == "formation",
        )
        bases = tops
    chart.rule(limit, up=False, label=f"limit {ms_text(limit)}", named=True)
    chart.dot(s["B"], run.worst_ms, label=f"you: {ms_text(run.worst_ms)}")
    fps = [seen.extra["fps"] for seen in runs]
    return Drawn(
        chart.render(),
        lambda: table(
            "Age against batch size",
            {
                "B": sizes,
                "oldest frame": ages,
                "frames per second": list(map(number_text, fps)),
            },
        ),
    )


@cache
def _erlang_b(slots: int, loads: tuple[float, ...]) -> list[float]:
    return [queueing.erlang_b(slots, a) for a in loads]


def _losses(s: Mapping[str, Any], run: Measured) -> Drawn:
    slots, grid = s.get("slots", 1), tuple(np.linspace(0.05, 1.3, 40).tolist())
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
    label = f"Erlang B, {slots} processor{'s' if slots > 1 else ''}"
    chart.line(grid, _erlang_b(slots, grid), label=label, role="secondary", dash="6 3")
    chart.line(_LOADS, mine, label="your traffic (simulated)", marker="o")
    chart.rule(MAX_LOSS, up=False, label=f"allowed: {MAX_LOSS:.0%}")
    chart.dot(min(load, 1.3), min(run.loss, 0.6), label=f"you: {run.loss:.1%}")
    return Drawn(
        chart.render(),
        lambda: table(
            "Loss against load",
            {
                "load": list(map(number_text, _LOADS)),
                "Erlang B": [f"{share:.1%}" for share in _erlang_b(slots, _LOADS)],
                "your traffic": [f"{share:.1%}" for share in mine],
            },
        ),
    )


@cache
def _exact_cliff(c: int) -> tuple[list[float], list[float]]:
    """Return utilisations and the P99 of a Poisson pool at each, in service times."""
    grid = np.linspace(0.05, 0.98, 40).tolist()
    return grid, [queueing.mmc_sojourn_quantile_s("0.99", rho * c, 1.0, c) for rho in grid]


def _cliff(s: Mapping[str, Any], run: Measured) -> Drawn:
    c, kind = s["replicas"], s["arrivals"]
    S, end = idle_sojourn_ms(), 30.0
    rhos, means, p99s = (list(column) for column in zip(*cliff(c, kind), strict=True))
    p99 = number_text(run.p99_ms / S)
    chart = Chart(
        Axis(0, 1, "utilisation ρ"),
        Axis(0, end, "time / service time S"),
        title=f"The cliff: {c} replica{'s' if c > 1 else ''}, {kind} traffic",
        alt="Mean and P99 of the time in the system against utilisation, in service times, for "
        f"{c} replicas and {kind} traffic. Your setting: ρ {number_text(run.rho)}, P99 {p99} S.",
    )
    grid, exact = _exact_cliff(c)
    label = "P99, Poisson (exact)"
    chart.line(grid, _below(exact, end), label=label, role="neutral", dash="2 3")
    _lines(chart, rhos, end, {"P99": p99s, "mean W": means})
    chart.rule(slo_ms("cloud", "part3") / S, up=False, label="promise: 10 S")
    chart.dot(run.rho, min(run.p99_ms / S, end), label=f"you: P99 = {p99} S")
    return Drawn(
        chart.render(),
        lambda: table(
            "The utilisation cliff",
            {
                "ρ": list(map(number_text, rhos)),
                "mean / S": list(map(number_text, means)),
                "P99 / S": list(map(number_text, p99s)),
            },
        ),
    )


def _cameras(s: Mapping[str, Any], run: Measured) -> Drawn:
    counts, end, limit = [1, 2, 3, 4, 5, 6, 8, 10, 12], 45.0, slo_ms("edge", "part3")
    runs = [measure("edge", "part3", {**s, "sensors": n}) for n in counts]
    worst, means = [seen.worst_ms for seen in runs], [seen.mean_ms for seen in runs]
    mine = ms_text(run.worst_ms)
    chart = Chart(
        Axis(0, 13, "cameras", ticks=(1, 3, 6, 9, 12)),
        Axis(0, end, "time in the system (ms)"),
        title="Worst case seen against cameras",
        alt="Worst case and mean against the number of cameras. "
        f"Yours: {s['sensors']} cameras, worst {mine}.",
    )
    _lines(chart, counts, end, {"worst": worst, "mean": means})
    chart.rule(limit, up=False, label=f"window {ms_text(limit)}")
    chart.dot(s["sensors"], min(run.worst_ms, end), label=f"you: {mine}")
    return Drawn(
        chart.render(),
        lambda: table(
            "Worst case against cameras",
            {
                "cameras": counts,
                "utilisation": [f"{seen.rho:.0%}" for seen in runs],
                "mean": list(map(ms_text, means)),
                "worst": list(map(ms_text, worst)),
            },
        ),
    )


def _frames(s: Mapping[str, Any], run: Measured) -> Drawn:
    works, end = [8.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0], 60.0
    limit = slo_ms("mobile", "part3")
    runs = [measure("mobile", "part3", {**s, "compute_ms": ms}) for ms in works]
    p99s, means = [seen.p99_ms for seen in runs], [seen.mean_ms for seen in runs]
    rhos, mine = [seen.rho for seen in runs], ms_text(run.p99_ms)
    chart = Chart(
        Axis(0.4, 1.1, "utilisation ρ"),
        Axis(0, end, "age of a frame (ms)"),
        title=f"The cliff: {s['scene']} scene, {s['arrivals']} frames",
        alt="Mean and P99 of a frame's age against utilisation. Yours: ρ "
        f"{number_text(run.rho)}, P99 {mine}.",
    )
    _lines(chart, rhos, end, {"P99": p99s, "mean": means})
    chart.rule(limit, up=False, label=f"promised {ms_text(limit)}")
    chart.dot(run.rho, min(run.p99_ms, end), label=f"you: P99 {mine}")
    return Drawn(
        chart.render(),
        lambda: table(
            "Age against utilisation",
            {
                "mean computing": list(map(ms_text, works)),
                "ρ": list(map(number_text, rhos)),
                "mean age": list(map(ms_text, means)),
                "P99 age": list(map(ms_text, p99s)),
            },
        ),
    )


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
    """Draw the curve of a track's own trade-off, and where the setting lies on it."""
    return _CURVES[track, part](settings, run)


def best_rps(track: str, part: str, run: Measured) -> float:
    """Return the throughput that counts as full on the seesaw [1/s].

    That is the capacity at the present setting; for the cloud's batches and the glasses what the
    mission asks for.
    """
    if track == "mobile":
        return REFRESH_HZ
    targets = {("cloud", "part2"): 200.0, ("edge", "part2"): 5 * CAMERA_HZ}
    return targets.get((track, part), run.lam_rps / run.rho)
