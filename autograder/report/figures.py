"""The report's figures as SVG that follows the page's colours and holds no style or script."""

from __future__ import annotations

import hashlib
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"

#: Colours to draw with; each becomes a class that the page's style sheet colours.
INK, BAR, SOFT, GRID, MARK = "#010101", "#020202", "#030303", "#040404", "#050505"
_CLASSES = {INK: "ink", BAR: "bar", SOFT: "soft", GRID: "grid", MARK: "mark"}

#: Inches. Narrow, so that words are still readable on a phone.
_WIDTH = 4.8

_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "servemath",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
}


def distribution(totals: Sequence[float], most: float) -> str:
    """Return a histogram of total points, in ten bins from 0 to `most`.

    Points beyond `most` (extra credit) stand in the last bin.
    """
    edges = [most * k / 10 for k in range(11)]
    counts = bin_counts(totals, most)
    with mpl.rc_context(_RC):
        figure, axes = _figure(2.6)
        axes.bar(edges[:-1], counts, width=most / 10 * 0.94, align="edge", color=BAR)
        axes.set(xlabel=f"points of {most:g}", ylabel="submissions", xlim=(0, most))
        axes.set_ylim(0, max([*counts, 1]) * 1.15)
        for edge, count in zip(edges, counts, strict=False):
            if count:
                axes.text(edge + most / 20, count, f"{count}", ha="center", va="bottom")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.grid(axis="y")
        busiest = max(range(10), key=counts.__getitem__)
        words = (
            f"Histogram of points of {len(totals)} submissions. Most, {counts[busiest]}, have "
            f"{edges[busiest]:g} to {edges[busiest + 1]:g} of {most:g} points."
        )
        return _svg(figure, words)


def bin_counts(totals: Sequence[float], most: float) -> list[int]:
    """Return how many totals fall into each tenth of 0 to `most`.

    Examples
    --------
    >>> bin_counts([0, 9.9, 10, 99, 100, 103], 100)
    [2, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    """
    counts = [0] * 10
    for total in totals:
        # A total on an edge belongs to the bin above; rounding must not move it below.
        counts[min(9, max(0, int(total / most * 10 + 1e-9)))] += 1
    return counts


def shares(names: Sequence[str], values: Sequence[float], about: str, label: str) -> str:
    """Return horizontal bars of shares in 0..1, one line a name.

    Parameters
    ----------
    names, values : sequences
        The lines from the top down.
    about : str
        What the bars are, for those who do not see them.
    label : str
        What the axis says.
    """
    with mpl.rc_context(_RC):
        figure, axes = _lines(names)
        axes.barh(range(len(values)), [100 * value for value in values], color=BAR, height=0.7)
        for line, value in enumerate(values):
            inside = value > 0.85
            axes.text(
                100 * value + (-1.5 if inside else 1.5),
                line,
                f"{100 * value:.0f} %",
                ha="right" if inside else "left",
                va="center",
                color=MARK if inside else INK,
            )
        axes.set(xlim=(0, 100), xlabel=label)
        axes.grid(axis="x")
        return _svg(figure, about)


def correlations(names: Sequence[str], values: Sequence[float | None], about: str) -> str:
    """Return a dot for each correlation in -1..1; a line without a value has none."""
    with mpl.rc_context(_RC):
        figure, axes = _lines(names)
        axes.axvline(0, color=INK, linewidth=0.8)
        for line, value in enumerate(values):
            if value is None:
                axes.text(0.03, line, "not defined", ha="left", va="center", style="italic")
            else:
                axes.plot([0, value], [line, line], color=SOFT, linewidth=2)
                axes.plot(value, line, "o", color=BAR, markersize=7)
        axes.set(xlim=(min([0.0, *(v for v in values if v is not None)]) - 0.08, 1.05))
        axes.set_xlabel("correlation with the other exercises")
        axes.grid(axis="x")
        return _svg(figure, about)


def ranges(
    names: Sequence[str],
    low: Sequence[float],
    middle: Sequence[float],
    high: Sequence[float],
    about: str,
    label: str,
) -> str:
    """Return a line from `low` to `high` with a dot at `middle`, for each name."""
    with mpl.rc_context(_RC):
        figure, axes = _lines(names)
        for line, (start, centre, end) in enumerate(zip(low, middle, high, strict=True)):
            axes.plot([start, end], [line, line], color=SOFT, linewidth=5, solid_capstyle="round")
            axes.plot(centre, line, "o", color=BAR, markersize=7)
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        axes.grid(axis="x")
        return _svg(figure, about)


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _lines(names: Sequence[str]) -> tuple[Figure, Axes]:
    """Return axes with a line for each name, from the top down."""
    figure, axes = _figure(0.75 + 0.3 * len(names))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _svg(figure: Figure, about: str) -> str:
    """Return the figure as an SVG element for a page with a strict security policy."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    root = ET.fromstring(stream.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}style", f"{{{_SVG}}}metadata"):
                parent.remove(child)
    for element in root.iter():
        _plain(element)
    # A page has several figures: their ids must differ.
    digest = f"f{hashlib.sha256(about.encode()).hexdigest()[:8]}"
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", about)
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    text = ET.tostring(root, encoding="unicode")
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{digest}-", text)


def _plain(element: ET.Element) -> None:
    """Turn an inline style into attributes, and our colours into classes."""
    style = element.attrib.pop("style", "")
    classes = [element.attrib["class"]] if "class" in element.attrib else []
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if value in _CLASSES and name in ("fill", "stroke"):
            classes.append(f"{name}-{_CLASSES[value]}")
        elif name == "font":
            _font(element, value)
        else:
            element.set(name, value)
    if classes:
        element.set("class", " ".join(classes))


def _font(element: ET.Element, value: str) -> None:
    """Keep a font's size and slant; the family is the page's."""
    size = re.search(r"([\d.]+)px", value)
    if size:
        element.set("font-size", size[1])
    if "italic" in value:
        element.set("font-style", "italic")
