"""The report as one HTML page: no script, nothing loaded, nothing a learner wrote unescaped."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from autograder.report import figures, similarity
from autograder.report.contents import Contents
from autograder.report.snapshots import TIME_FORMAT
from autograder.report.statistics import LEAST_FOR_CORRELATION

_FOLDER = Path(__file__).resolve().parent

_POLICY = "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _points(value: float) -> str:
    """Return points with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"


def _gain(value: float) -> str:
    """Return a difference with its sign."""
    text = _points(abs(value))
    return "0" if text == "0" else f"{'+' if value > 0 else '−'}{text}"


def _time(taken: str) -> str:
    """Return the time of a run as people write it."""
    return datetime.strptime(taken, TIME_FORMAT).strftime("%Y-%m-%d %H:%M UTC")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = _points
    environment.filters["gain"] = _gain
    environment.filters["time"] = _time
    return environment


def _figures(contents: Contents) -> dict[str, Markup]:
    """Return the figures that have something to show, as markup of our own making."""
    drawn: dict[str, str] = {}
    totals = [one.total or 0.0 for one in contents.graded]
    if totals and contents.most:
        drawn["distribution"] = figures.distribution(totals, contents.most)
        results = contents.exercises
        slugs = [result.slug for result in results]
        means = [result.mean_share or 0.0 for result in results]
        lowest = min(results, key=lambda result: result.mean_share or 0.0)
        drawn["difficulty"] = figures.shares(
            slugs,
            means,
            f"Bars of mean points of {len(slugs)} exercises as a share of what each is worth. "
            f"Lowest: {lowest.slug} with {100 * (lowest.mean_share or 0.0):.0f} %.",
            "mean points, % of the exercise",
        )
        known = [result for result in results if result.discrimination is not None]
        if known:
            least = min(known, key=lambda result: result.discrimination or 0.0)
            drawn["discrimination"] = figures.correlations(
                slugs,
                [result.discrimination for result in results],
                f"Dots of the correlation of {len(slugs)} exercises with the others. "
                f"Lowest: {least.slug} with {least.discrimination:.2f}.",
            )
    if contents.times:
        longest = max(contents.times, key=lambda time: time.seconds.median)
        drawn["times"] = figures.ranges(
            [time.slug for time in contents.times],
            [time.seconds.lower_quartile for time in contents.times],
            [time.seconds.median for time in contents.times],
            [time.seconds.upper_quartile for time in contents.times],
            f"Median and quartiles of execution seconds of {len(contents.times)} exercises. "
            f"Longest: {longest.slug} with a median of {longest.seconds.median:.2g} s.",
            "execution, s: median and middle half",
        )
    return {name: Markup(text) for name, text in drawn.items()}


def render(contents: Contents) -> str:
    """Return the page of a report.

    The page's security policy allows its own style sheet, by hash, and nothing else.
    """
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    totals = [one.total or 0.0 for one in contents.graded]
    counts = figures.bin_counts(totals, contents.most) if contents.most else []
    edges = [contents.most * k / 10 for k in range(11)]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=contents,
            style=Markup(style),
            policy=_POLICY.format(digest=digest),
            figures=_figures(contents),
            bins=list(zip(edges[:-1], edges[1:], counts, strict=False)),
            least_for_correlation=LEAST_FOR_CORRELATION,
            alike=similarity.ALIKE,
            chance=similarity.CHANCE,
            tokens_per_bit=similarity.TOKENS_PER_BIT,
        )
    )
