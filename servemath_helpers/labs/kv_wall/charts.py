"""The pictures of lab 3 as SVG text, with the same numbers as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from servemath_helpers.labs.frame.svg import Axis, Chart, number_text
from servemath_helpers.labs.kv_wall import memory as room
from servemath_helpers.labs.kv_wall import serving
from servemath_helpers.labs.kv_wall.memory import MemoryPlan
from servemath_helpers.labs.kv_wall.serving import Goals, Run
from servemath_helpers.labs.kv_wall.story import duration, rate, share

__all__ = [
    "frontier_chart",
    "goals_chart",
    "memory_chart",
    "occupancy_chart",
    "paging_chart",
    "ttft_chart",
    "users_chart",
]

#: Colour, dash and marker of configurations A and B.
_LOOK: Final = {"A": ("primary", "", "o"), "B": ("secondary", "7 4", "s")}
_CONTEXTS: Final = tuple(512 * 4.0**i for i in range(5))
_CONTEXT_NAMES: Final = tuple(f"{at / 1024:g}" for at in _CONTEXTS)
_BINS: Final = 28
_SMALL: Final = {"width": 370, "height": 270}
_WIDE: Final = {"width": 470, "height": 280}
_MOMENTS: Final = 200


def _short(value: float) -> str:
    """Return a number for an axis with little room: 20k for 20 000."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{number_text(value / size)}{letter}"
    return number_text(value)


def _log_axis(low: float, high: float, label: str) -> Axis:
    """Return a logarithmic axis with short numbers at its powers of ten."""
    at = [10.0**k for k in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    if len(at) < 3:
        every = [m * 10.0**k for k in range(-4, 9) for m in (1, 2, 5)]
        at = [value for value in every if low <= value <= high]
    names = tuple(_short(value) for value in at)
    return Axis(low, high, label, log=True, ticks=tuple(at), names=names)


def users_chart(found: MemoryPlan) -> str:
    """Return the chart of users against context.

    Parameters
    ----------
    found : MemoryPlan
        What fits.

    Returns
    -------
    str
        SVG with alt text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.memory import MemorySetup, plan
    >>> "at 4096 tokens 371 users" in users_chart(plan(MemorySetup()))
    True
    """
    setup = found.setup
    tokens, users = room.users_by_context(setup)
    here = f"{found.users} users" if found.fits else "the weights do not fit"
    chart = Chart(
        Axis(512, 131_072, "context [Ki tokens]", log=True, ticks=_CONTEXTS, names=_CONTEXT_NAMES),
        _log_axis(0.1, 100_000, "users"),
        alt=f"Users against context on logarithmic axes: a line that falls with slope minus one; "
        f"at {setup.seq_tokens} tokens {here}.",
        title="Twice the context, half the users",
        **_SMALL,
    )
    chart.band(0.1, room.FEW_USERS, role="error", label=f"fewer than {room.FEW_USERS}")
    chart.rule(room.FEW_USERS, up=False)
    chart.line(tokens, [u if u > 0 else math.nan for u in users], label="users that fit")
    chart.dot(setup.seq_tokens, max(found.users, 0.1), label=here)
    return chart.render()


def memory_chart(found: MemoryPlan) -> str:
    """Return the chart of where each GPU's memory goes.

    Parameters
    ----------
    found : MemoryPlan
        What fits.

    Returns
    -------
    str
        SVG with alt text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.memory import MemorySetup, plan
    >>> "weights 17.6 GB, caches 62.2 GB" in memory_chart(plan(MemorySetup()))
    True
    """
    setup = found.setup
    unit, n = setup.units, setup.n_gpus
    size = found.in_units(setup.gpu_bytes)
    pieces = (
        ("weights", "primary", found.gpu_weights_bytes, False),
        ("caches", "tertiary", found.gpu_kv_bytes, False),
        ("rest", "neutral", found.gpu_free_bytes, True),
        ("reserve", "highlight", found.gpu_reserve_bytes, True),
    )
    shown = [piece for piece in pieces if piece[2] > 0]
    spoken = ", ".join(
        f"{name} {number_text(found.in_units(amount))} {unit}" for name, _, amount, _ in shown
    )
    top = max(size, found.in_units(sum(piece[2] for piece in shown)))
    chart = Chart(
        Axis(0, n, "GPU", ticks=tuple(i + 0.5 for i in range(n)), names=_numbers(n)),
        Axis(0, 1.12 * top, f"memory [{unit}]"),
        alt=f"Memory of each of {n} GPUs of {number_text(size)} {unit}: {spoken}."
        + ("" if found.fits else " That is more than the card holds."),
        title="Where the memory of a card goes",
        **_SMALL,
    )
    for gpu in range(n):
        base = 0.0
        for name, role, amount, pattern in shown:
            height = found.in_units(amount)
            chart.bar(
                gpu + 0.12,
                0.76,
                base + height,
                base=base,
                role=role,
                pattern=pattern,
                label="" if gpu else name,
            )
            base += height
    chart.rule(size, label=f"card: {number_text(size)} {unit}", up=False)
    return chart.render()


def _numbers(n: int) -> tuple[str, ...]:
    return tuple(str(i + 1) for i in range(n))


def paging_chart(found: MemoryPlan) -> str:
    r"""Return the chart of what page sizes waste.

    Parameters
    ----------
    found : MemoryPlan
        What fits.

    Returns
    -------
    str
        SVG with alt text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.memory import MemorySetup, plan
    >>> "256 tokens 11 %" in paging_chart(plan(MemorySetup())).replace("\u202f", " ")
    True
    """
    setup = found.setup
    rows = room.page_waste(setup)
    spoken = ", ".join(f"{row.label} {share(row.waste)}" for row in rows)
    chart = Chart(
        Axis(
            0,
            len(rows),
            "handed out at a time [tokens; all: whole context]",
            ticks=tuple(i + 0.5 for i in range(len(rows))),
            names=(*(str(row.page_tokens) for row in rows[:-1]), "all"),
        ),
        Axis(0, 100, "share of the cache wasted [%]"),
        alt=f"Share of the cache that is handed out and holds no token, for answers a quarter as "
        f"long as the context on average: {spoken}.",
        title="Small pages waste next to nothing",
        **_SMALL,
    )
    for i, row in enumerate(rows):
        mine = row.page_tokens == setup.page_tokens and i < len(rows) - 1
        chart.bar(i + 0.18, 0.64, 100 * row.waste, role="secondary" if mine else "primary")
        mark = " ◀" if mine else ""
        chart.note(i + 0.5, min(100 * row.waste + 3, 95), f"{share(row.waste)}{mark}")
    return chart.render()


def goals_chart(runs: Sequence[tuple[str, Run]], goals: Goals) -> str:
    """Return the chart of how the configurations stand against the goals.

    Parameters
    ----------
    runs : sequence of (str, Run)
        Name and run of each configuration, the first ``"A"``.
    goals : Goals
        What they are held against.

    Returns
    -------
    str
        SVG with alt text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.serving import Configuration, Goals, Workload, run
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> runs = [("A", run(peak, Configuration(max_batch=8))), ("B", run(peak, Configuration()))]
    >>> "TTFT P99 (≤) A 3.11 min, B 67.8 ms" in goals_chart(runs, Goals(ttft_slo_s=0.2))
    True
    """
    measures: list[tuple[str, list[float | None], list[str]]] = []
    for name, bound, read in (
        ("TTFT P99", goals.ttft_slo_s, [run.ttft_p99_s for _, run in runs]),
        ("TPOT P99", goals.tpot_slo_s, [run.tpot_p99_s for _, run in runs]),
    ):
        if bound is not None:
            shares = [None if value is None else value / bound for value in read]
            measures.append((f"{name} (≤)", shares, [duration(value) for value in read]))
    rates = [run.tok_s / goals.least_tok_s(run.workload) for _, run in runs]
    measures.append(("tok/s (≥)", [*rates], [rate(run.tok_s) for _, run in runs]))
    spoken = "; ".join(
        f"{name} " + ", ".join(f"{which} {raw}" for (which, _), raw in zip(runs, raws, strict=True))
        for name, _, raws in measures
    )
    n = len(measures)
    highest = max(100 * value for _, shares, _ in measures for value in shares if value is not None)
    top = 10.0 ** math.ceil(math.log10(max(highest, 1000.0) * 3))
    chart = Chart(
        Axis(0, n, "", ticks=tuple(i + 0.5 for i in range(n)), names=tuple(m[0] for m in measures)),
        _log_axis(1, top, "share of the goal [%]"),
        alt=f"Each measure as a share of its goal: {spoken}.",
        title="Against the goals (100 % = just met)",
        **_WIDE,
    )
    for j, (which, _) in enumerate(runs):
        role, dash, _ = _LOOK[which]
        for i, (_, shares, raws) in enumerate(measures):
            value, x = shares[j], i + 0.12 + 0.4 * j
            label = which if i == 0 else ""
            height = 1.0 if value is None else max(1.0, 100 * value)
            chart.bar(x, 0.34, height, role=role, pattern=bool(dash), label=label)
            chart.note(x + 0.17, 1.25 * height, raws[j])
    chart.rule(100, up=False)
    return chart.render()


def _histogram(
    runs: Sequence[tuple[str, Run]],
) -> tuple[list[float], dict[str, list[int]]]:
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


def ttft_chart(runs: Sequence[tuple[str, Run]], goals: Goals) -> str:
    """Return the histogram of the times to first token.

    Parameters
    ----------
    runs : sequence of (str, Run)
        Name and run of each configuration, the first ``"A"``.
    goals : Goals
        With the bound to draw.

    Returns
    -------
    str
        SVG with alt text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.serving import Configuration, Goals, Workload, run
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> runs = [("A", run(peak, Configuration(max_batch=8))), ("B", run(peak, Configuration()))]
    >>> "B: median 22.1 ms, P99 67.8 ms" in ttft_chart(runs, Goals(ttft_slo_s=0.2))
    True
    """
    edges, counts = _histogram(runs)
    high = max((max(c) for c in counts.values()), default=1)
    spoken = "; ".join(
        f"{which}: median {duration(run.ttft_p50_s)}, P99 {duration(run.ttft_p99_s)}"
        for which, run in runs
    )
    chart = Chart(
        _log_axis(edges[0], edges[-1], "time to first token [s]"),
        Axis(0, 1.1 * high, "requests"),
        alt=f"Histogram of the time to first token. {spoken}.",
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


def occupancy_chart(runs: Sequence[tuple[str, Run]]) -> str:
    """Return the chart of the cache in use against time.

    Parameters
    ----------
    runs : sequence of (str, Run)
        Name and run of each configuration, the first ``"A"``.

    Returns
    -------
    str
        SVG with alt text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.serving import Configuration, Workload, run
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> runs = [("A", run(peak, Configuration(max_batch=8))), ("B", run(peak, Configuration()))]
    >>> occupancy_chart(runs).startswith("<svg")
    True
    """
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
    spoken = "; ".join(
        f"{which}: at most {number_text(run.kv_peak_tokens)} of "
        f"{number_text(run.configuration.kv_tokens)} tokens"
        for which, run in runs
    )
    chart = Chart(
        Axis(0, end or 1.0, "time [s]"),
        Axis(0, max(1.25 * peak, 1.0), "cache set aside [%]"),
        alt=f"Cache set aside against time. {spoken}.",
        title="KV occupancy",
        **_WIDE,
    )
    if peak > 75:
        chart.rule(100, label="full", up=False)
    for which, at, used in lines:
        role, dash, _ = _LOOK[which]
        chart.line(at.tolist(), used.tolist(), label=which, role=role, dash=dash, width=1.6)
    return chart.render()


def frontier_chart(runs: Sequence[tuple[str, Run]]) -> str:
    """Return the chart of volume against time per token, with what decoding alone permits.

    Parameters
    ----------
    runs : sequence of (str, Run)
        Name and run of each configuration, the first ``"A"``.

    Returns
    -------
    str
        SVG with alt text.

    Examples
    --------
    >>> from servemath_helpers.labs.kv_wall.serving import Configuration, Workload, run
    >>> peak = Workload(lam_rps=16, prompt_tokens=512, mean_output=256)
    >>> runs = [("A", run(peak, Configuration(max_batch=8))), ("B", run(peak, Configuration()))]
    >>> "A: 7.38 ms" in frontier_chart(runs)
    True
    """
    # Of the first server that holds the weights: without them there is nothing to compare with.
    whose, first = next((pair for pair in runs if pair[1].configuration.weights_fit), runs[0])
    points = serving.frontier(first.workload, first.configuration)
    reached = [
        (which, 1000 * run.tpot_p99_s, run.tok_s)
        for which, run in runs
        if run.tpot_p99_s is not None
    ]
    xs = [1000 * p.tpot_s for p in points] + [x for _, x, _ in reached] or [1.0]
    ys = [p.tok_s for p in points] + [y for _, _, y in reached] or [1.0]
    wide, high = (min(xs) * 0.7, max(xs) * 1.5), (max(min(ys), 1.0) * 0.6, max(ys) * 1.9)
    spoken = "; ".join(f"{which}: {number_text(x)} ms, {rate(y)} tok/s" for which, x, y in reached)
    chart = Chart(
        _log_axis(*wide, "time per output token, P99 [ms]"),
        _log_axis(*high, "tokens per second"),
        alt="Tokens per second against time per output token on logarithmic axes; decoding alone "
        f"permits a line that rises with the batch. {spoken}.",
        title="Volume against time per token",
        **_WIDE,
    )
    if points:
        chart.line(
            [1000 * p.tpot_s for p in points],
            [p.tok_s for p in points],
            label=f"full batches, no prefill (GPUs of {whose})",
            role="neutral",
            marker="^",
        )
        for p in points:
            chart.note(1000 * p.tpot_s, p.tok_s * 1.12, f"B={p.batch}", "end")
    for which, x, y in reached:
        role, _, marker = _LOOK[which]
        chart.dot(x, y, label=which, role=role, marker=marker)
    return chart.render()
