"""The pictures of lab 3 as SVG, with the numbers of act I's as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from servemath_helpers.labs.frame.chrome import table
from servemath_helpers.labs.frame.numbers import duration, number_text, share
from servemath_helpers.labs.frame.svg import Axis, Chart, Drawn
from servemath_helpers.labs.kv_wall.model import (
    FEW_USERS,
    Goals,
    MemoryPlan,
    Run,
    frontier,
    page_waste,
    users_by_context,
)

__all__ = [
    "frontier_chart",
    "goals_chart",
    "memory_chart",
    "occupancy_chart",
    "paging_chart",
    "ttft_chart",
    "users_chart",
]

#: Name and run of each configuration, the first ``"A"``.
Runs = Sequence[tuple[str, Run]]

#: Colour, dash and marker of configurations A and B.
_LOOK: Final = {"A": ("primary", "", "o"), "B": ("secondary", "7 4", "s")}
_CONTEXTS: Final = tuple(512 * 4.0**i for i in range(5))
_CONTEXT_NAMES: Final = tuple(f"{at / 1024:g}" for at in _CONTEXTS)
_BINS: Final = 28
_SMALL: Final = {"width": 370, "height": 270}
_WIDE: Final = {"width": 470, "height": 280}
_MOMENTS: Final = 200


def users_chart(found: MemoryPlan) -> Drawn:
    """Draw users against context."""
    setup = found.setup
    tokens, users = users_by_context(setup)
    here = f"{found.users} users" if found.fits else "the weights do not fit"
    chart = Chart(
        Axis(512, 131_072, "context [Ki tokens]", log=True, ticks=_CONTEXTS, names=_CONTEXT_NAMES),
        Axis(0.1, 100_000, "users", log=True, short=True),
        alt="Users against context on logarithmic axes: a line that falls with slope minus one; "
        f"at {setup.seq_tokens} tokens {here}.",
        title="Twice the context, half the users",
        **_SMALL,
    )
    chart.band(0.1, FEW_USERS, role="error", label=f"fewer than {FEW_USERS}")
    chart.rule(FEW_USERS, up=False)
    chart.line(tokens, [u if u > 0 else math.nan for u in users], label="users that fit")
    chart.dot(setup.seq_tokens, max(found.users, 0.1), label=here)
    every = slice(None, None, 4)  # one row an octave
    return Drawn(
        chart.render(),
        lambda: table(
            "Users against context",
            {"context [tokens]": tokens[every], "users": [int(u) for u in users[every]]},
        ),
    )


def memory_chart(found: MemoryPlan) -> Drawn:
    """Draw where each GPU's memory goes."""
    setup = found.setup
    unit, n = setup.units, setup.n_gpus
    pieces = {
        "weights": ("primary", found.gpu_weights_bytes),
        "caches": ("tertiary", found.gpu_kv_bytes),
        "rest": ("neutral", found.gpu_free_bytes),
        "reserve": ("highlight", found.gpu_reserve_bytes),
    }
    heights = {name: found.in_units(amount) for name, (_, amount) in pieces.items()}
    shown = [name for name, height in heights.items() if height > 0]
    texts = {name: number_text(height) for name, height in heights.items()}
    size = found.in_units(setup.gpu_bytes)
    top = max(size, found.in_units(sum([pieces[name][1] for name in shown])))
    spoken = ", ".join([f"{name} {texts[name]} {unit}" for name in shown])
    cards, names = [i + 0.5 for i in range(n)], [str(i + 1) for i in range(n)]
    chart = Chart(
        Axis(0, n, "GPU", ticks=tuple(cards), names=tuple(names)),
        Axis(0, 1.12 * top, f"memory [{unit}]"),
        alt=f"Memory of each of {n} GPUs of {number_text(size)} {unit}: {spoken}."
        + ("" if found.fits else " That is more than the card holds."),
        title="Where the memory of a card goes",
        **_SMALL,
    )
    base = 0.0
    for name in shown:
        chart.bars(
            [at - 0.38 for at in cards],
            0.76,
            [base + heights[name]] * n,
            bases=[base] * n,
            role=pieces[name][0],
            pattern=name in ("rest", "reserve"),
            label=name,
        )
        base += heights[name]
    chart.rule(size, label=f"card: {number_text(size)} {unit}", up=False)
    what = ["weights", "caches of users", "rest, too small for one more user", "reserve"]
    columns = {"what": what, unit: list(texts.values())}
    return Drawn(chart.render(), lambda: table("Memory of one card", columns))


def paging_chart(found: MemoryPlan) -> Drawn:
    """Draw what page sizes waste; the one in use is marked by a sign too."""
    setup, rows = found.setup, page_waste(found.setup)
    texts = [share(row.waste) for row in rows]
    spoken = ", ".join([f"{row.label} {text}" for row, text in zip(rows, texts, strict=True)])
    sizes = [row.page_tokens for row in rows[:-1]]
    mine = sizes.index(setup.page_tokens)
    chart = Chart(
        Axis(
            0,
            len(rows),
            "handed out at a time [tokens; all: whole context]",
            ticks=tuple(i + 0.5 for i in range(len(rows))),
            names=(*map(str, sizes), "all"),
        ),
        Axis(0, 100, "share of the cache wasted [%]"),
        alt="Share of the cache that is handed out and holds no token, for answers a quarter as "
        f"long as the context on average: {spoken}.",
        title="Small pages waste next to nothing",
        **_SMALL,
    )
    for i, row in enumerate(rows):
        role = "secondary" if i == mine else "primary"
        chart.bars([i + 0.18], 0.64, [100 * row.waste], role=role)
        mark = " ◀" if i == mine else ""
        chart.note(i + 0.5, min(100 * row.waste + 3, 95), texts[i] + mark)
    return Drawn(
        chart.render(),
        lambda: table(
            "Waste by page size",
            {
                "handed out at a time": [row.label for row in rows],
                "wasted": texts,
                "sequences that fit": [row.users for row in rows],
            },
        ),
    )


def goals_chart(runs: Runs, goals: Goals) -> str:
    """Draw how the configurations stand against the goals, raw numbers on the bars."""
    measures: list[tuple[str, list[float | None], list[str]]] = []
    for name, bound, read in (
        ("TTFT P99", goals.ttft_slo_s, [run.ttft_p99_s for _, run in runs]),
        ("TPOT P99", goals.tpot_slo_s, [run.tpot_p99_s for _, run in runs]),
    ):
        if bound is not None:
            shares = [None if value is None else value / bound for value in read]
            measures.append((f"{name} (≤)", shares, [duration(value) for value in read]))
    rates: list[float | None] = [run.tok_s / goals.least_tok_s(run.workload) for _, run in runs]
    measures.append(("tok/s (≥)", rates, [number_text(run.tok_s, 4) for _, run in runs]))
    names = [which for which, _ in runs]
    spoken = []
    for name, _, raws in measures:
        said = [f"{which} {raw}" for which, raw in zip(names, raws, strict=True)]
        spoken.append(f"{name} {', '.join(said)}")
    n = len(measures)
    highest = max([100 * x for _, shares, _ in measures for x in shares if x is not None])
    top = 10.0 ** math.ceil(math.log10(max(highest, 1000.0) * 3))
    chart = Chart(
        Axis(0, n, "", ticks=tuple(i + 0.5 for i in range(n)), names=tuple(m[0] for m in measures)),
        Axis(1, top, "share of the goal [%]", log=True, short=True),
        alt=f"Each measure as a share of its goal: {'; '.join(spoken)}.",
        title="Against the goals (100 % = just met)",
        **_WIDE,
    )
    for j, which in enumerate(names):
        role, dash, _ = _LOOK[which]
        heights = [max(1.0, 100 * (shares[j] or 0.0)) for _, shares, _ in measures]
        lefts = [i + 0.12 + 0.4 * j for i in range(n)]
        chart.bars(lefts, 0.34, heights, role=role, pattern=bool(dash), label=which)
        for left, height, (_, _, raws) in zip(lefts, heights, measures, strict=True):
            chart.note(left + 0.17, 1.25 * height, raws[j])
    chart.rule(100, up=False)
    return chart.render()


def _histogram(runs: Runs) -> tuple[list[float], dict[str, list[int]]]:
    """Return logarithmic bin edges and the counts of each run's TTFT."""
    times = {
        which: run.result.ttft_s[~np.isnan(run.result.ttft_s)]
        for which, run in runs
        if run.result is not None and run.served
    }
    if not times:
        return [0.01, 1.0], {}
    together = np.concatenate(list(times.values()))
    low, high = float(together.min()), float(together.max())
    edges = np.geomspace(low * 0.95, max(high, 2 * low) * 1.05, _BINS + 1)
    return edges.tolist(), {
        which: np.histogram(values, edges)[0].tolist() for which, values in times.items()
    }


def ttft_chart(runs: Runs, goals: Goals) -> str:
    """Draw the histogram of the times to first token."""
    edges, counts = _histogram(runs)
    high = max((max(c) for c in counts.values()), default=1)
    spoken = [
        f"{which}: median {duration(run.ttft_p50_s)}, P99 {duration(run.ttft_p99_s)}"
        for which, run in runs
    ]
    chart = Chart(
        Axis(edges[0], edges[-1], "time to first token [s]", log=True, short=True),
        Axis(0, 1.1 * high, "requests"),
        alt=f"Histogram of the time to first token. {'; '.join(spoken)}.",
        title="Time to first token (dots: median, dashes: P99)",
        **_WIDE,
    )
    for which, run in runs:
        if run.ttft_p50_s is None or run.ttft_p99_s is None:
            continue
        role, outline, _ = _LOOK[which]
        chart.steps(edges, [*counts[which], 0], label=which, role=role, fill=not outline)
        for dash, value in (("2 3", run.ttft_p50_s), ("7 3", run.ttft_p99_s)):
            chart.rule(value, role=role, dash=dash)
    bound = goals.ttft_slo_s
    if bound is not None and edges[0] < bound < edges[-1]:
        chart.rule(bound, label="bound")
    return chart.render()


def occupancy_chart(runs: Runs) -> str:
    """Draw the cache in use against time."""
    lines = []
    for which, run in runs:
        if run.result is not None:
            time, tokens = run.result.timeline.kv_occupancy()
            at = np.linspace(0, time[-1], _MOMENTS) if time.size else np.zeros(1)
            used = np.interp(at, time, tokens) if time.size else np.zeros(1)
            # A peak between two moments must not vanish.
            if time.size > _MOMENTS:
                np.maximum.at(used, np.searchsorted(at, time, "left"), tokens)
            lines.append((which, at, 100 * used / run.configuration.kv_tokens))
    end = max((float(at[-1]) for _, at, _ in lines), default=0.0)
    peak = max((float(used.max()) for _, _, used in lines), default=0.0)
    spoken = [
        f"{which}: at most {number_text(run.kv_peak_tokens)} of "
        f"{number_text(run.configuration.kv_tokens)} tokens"
        for which, run in runs
    ]
    chart = Chart(
        Axis(0, end or 1.0, "time [s]"),
        Axis(0, max(1.25 * peak, 1.0), "cache set aside [%]"),
        alt=f"Cache set aside against time. {'; '.join(spoken)}.",
        title="KV occupancy",
        **_WIDE,
    )
    if peak > 75:
        chart.rule(100, label="full", up=False)
    for which, at, used in lines:
        role, dash, _ = _LOOK[which]
        chart.line(at.tolist(), used.tolist(), label=which, role=role, dash=dash, width=1.6)
    return chart.render()


def frontier_chart(runs: Runs) -> str:
    """Draw volume against time per token, with what decoding alone permits."""
    # Of the first server that holds the weights: without them there is nothing to compare with.
    whose, first = next((pair for pair in runs if pair[1].configuration.kv_tokens), runs[0])
    points = frontier(first.workload, first.configuration)
    tpots, rates = [1000 * p.tpot_s for p in points], [p.tok_s for p in points]
    reached = [
        (which, 1000 * run.tpot_p99_s, run.tok_s)
        for which, run in runs
        if run.tpot_p99_s is not None
    ]
    xs = tpots + [x for _, x, _ in reached] or [1.0]
    ys = rates + [y for _, _, y in reached] or [1.0]
    wide, high = (min(xs) * 0.7, max(xs) * 1.5), (max(min(ys), 1.0) * 0.6, max(ys) * 1.9)
    spoken = [f"{which}: {number_text(x)} ms, {number_text(y, 4)} tok/s" for which, x, y in reached]
    chart = Chart(
        Axis(*wide, "time per output token, P99 [ms]", log=True, short=True),
        Axis(*high, "tokens per second", log=True, short=True),
        alt="Tokens per second against time per output token on logarithmic axes; decoding alone "
        f"permits a line that rises with the batch. {'; '.join(spoken)}.",
        title="Volume against time per token",
        **_WIDE,
    )
    if points:
        label = f"full batches, no prefill (GPUs of {whose})"
        chart.line(tpots, rates, label=label, role="neutral", marker="^")
        for p in points:
            chart.note(1000 * p.tpot_s, p.tok_s * 1.12, f"B={p.batch}", "end")
    for which, x, y in reached:
        role, _, marker = _LOOK[which]
        chart.dot(x, y, label=which, role=role, marker=marker)
    return chart.render()
