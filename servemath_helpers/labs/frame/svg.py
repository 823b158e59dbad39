"""Small charts as SVG text: fast enough to follow a slider, sharp, and at home in any theme.

A `Chart` collects lines, bars and marks in data coordinates and renders them as one
``<svg role="img" aria-label=...>``. Text takes the colour of its surroundings, so that a
chart reads in a light and in a dark JupyterLab. Colour never stands alone: lines carry
dashes or markers and a label. Matplotlib, which writes SVG too, needs a hundred milliseconds for
what takes less than one here, and knows neither alt text nor a page's theme.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from servemath_helpers.labs.frame.numbers import number_text
from servemath_helpers.plotting import COLORS

FloatArray = npt.NDArray[np.float64]

__all__ = ["Axis", "Chart", "Drawn", "round_up", "svg", "ticks"]


class Drawn(NamedTuple):
    """A picture, and its numbers as an HTML table, written when somebody asks for it."""

    svg: str
    table: Callable[[], str]


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return about n multiples of 1, 2 or 5 times a power of ten between two ends."""
    raw = (high - low) / n
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def round_up(value: float) -> float:
    """Return a round number of at least `value`, so that an axis does not jump with it."""
    if not 0 < value < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 1.5, 2, 3, 5, 7.5, 10) if m * power >= value * 0.9999)


def svg(alt: str, width: float, height: float, parts: Iterable[str]) -> str:
    """Return a drawing that says what it shows and scales with the page."""
    return (
        f'<svg class="sm-chart" role="img" aria-label="{escape(alt)}" '
        f'viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class Axis:
    """A range of numbers along one side of a chart, both ends above 0 where it is logarithmic.

    Numbers stand at `ticks`, or where it suits; `names` are written there instead of them, and
    with `short` 20 000 is written 20k.
    """

    low: float
    high: float
    label: str = ""
    log: bool = False
    ticks: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    short: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"low must be below high, and above 0 on a logarithmic axis, "
                f"got {self.low!r} and {self.high!r}"
            )

    def place(self, values: Iterable[float], start: float, end: float) -> list[float]:
        """Return where between `start` and `end` values lie, held within the axis.

        All at once and without a call for each: a slider waits for it.
        """
        low, high = self.low, self.high
        if self.log:
            scale, log = (end - start) / math.log(high / low), math.log
            return [start + scale * log(min(max(value, low), high) / low) for value in values]
        scale = (end - start) / (high - low)
        return [start + scale * (min(max(value, low), high) - low) for value in values]

    def shown_ticks(self) -> list[tuple[float, str]]:
        """Return where numbers stand, and their text."""
        if self.ticks:
            at = list(self.ticks)
        elif self.log:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            at = [10.0**k for k in powers]
            if len(at) < 3:
                at = [m * 10.0**k for k in (powers.start - 1, *powers) for m in (1, 2, 5)]
                at = [value for value in at if self.low <= value <= self.high]
        else:
            at = ticks(self.low, self.high)
        names = self.names or [_short(x) if self.short else number_text(x) for x in at]
        return list(zip(at, names, strict=True))


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{number_text(value / size)}{letter}"
    return number_text(value)


class _Label(NamedTuple):
    """A text, and the places that it could have: x, y of its baseline, and its anchor."""

    text: str
    where: list[tuple[float, float, str]]
    weight: str = ""


class Chart:
    """One chart; add what it shows in data coordinates, then `render` it.

    >>> chart = Chart(Axis(0, 10, "B"), Axis(0, 5, "ms"), alt="A line that rises")
    >>> chart.line([0, 10], [0, 5], label="latency")
    >>> 'aria-label="A line that rises"' in chart.render()
    True
    """

    _LEFT, _RIGHT, _BOTTOM = 58, 24, 46

    def __init__(
        self, x: Axis, y: Axis, *, alt: str, title: str = "", width: int = 520, height: int = 290
    ) -> None:
        self.x, self.y, self.alt, self.title = x, y, alt, title
        self.width, self.height = width, height
        self._top, self._right = (50 if title else 30), width - self._RIGHT
        self._floor = height - self._BOTTOM
        self._body: list[str] = []
        self._notes: list[_Label] = []
        self._labels: list[_Label] = []
        self._segments: list[tuple[float, float, float, float]] = []  # what no label may cross
        self._boxes: list[tuple[float, float, float, float]] = []  # nor cover
        self._legend: list[tuple[str, str]] = []  # sample, label

    def _at(self, xs: Iterable[float], ys: Iterable[float]) -> tuple[list[float], list[float]]:
        """Return where data lie in the drawing."""
        across = self.x.place(xs, self._LEFT, self._right)
        return across, self.y.place(ys, self._floor, self._top)

    # --- what a chart can hold -------------------------------------------------------------

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        label: str = "",
        role: str = "primary",
        dash: str = "",
        marker: str = "",
        width: float = 2.2,
    ) -> None:
        """Draw a line; it is interrupted where a value is not finite."""
        color = COLORS[role]
        style = f'fill="none" stroke="{color}" stroke-width="{width:g}"'
        style += f' stroke-dasharray="{dash}"' if dash else ""
        runs: list[list[tuple[float, float]]] = [[]]
        for x, y, value in zip(*self._at(xs, ys), ys, strict=True):
            if math.isfinite(value):
                runs[-1].append((x, y))
            elif runs[-1]:
                runs.append([])
        self._body += [f'<polyline {style} points="{_points(run)}"/>' for run in runs if run]
        self._segments += [(*a, *b) for run in runs for a, b in itertools.pairwise(run)]
        if marker:
            self._body += [_marks(run, marker, color) for run in runs]
        if label:
            sample = f'<line x1="0" y1="-4" x2="24" y2="-4" {style}/>'
            self._legend.append((sample + _marks([(12, -4)], marker, color), label))

    def steps(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        label: str = "",
        role: str = "primary",
        fill: bool = False,
    ) -> None:
        """Draw a staircase: each value holds until the next x. The area below can be filled."""
        wide = [x for x in xs for _ in range(2)][1:]
        high = [y for y in ys for _ in range(2)][:-1]
        if fill and wide:
            base = self.y.low
            around = zip(*self._at([wide[0], *wide, wide[-1]], [base, *high, base]), strict=True)
            self._body.append(
                f'<polygon points="{_points(around)}" fill="{COLORS[role]}" fill-opacity="0.25"/>'
            )
        self.line(wide, high, label=label, role=role, width=1.6)

    def bars(
        self,
        xs: Sequence[float],
        width: float,
        ys: Sequence[float],
        *,
        bases: Sequence[float] = (),
        role: str = "primary",
        label: str = "",
        pattern: bool = False,
    ) -> None:
        """Draw upright bars from each x to x + width, from the axis or `bases` to each y."""
        color = COLORS[role]
        box = f'fill="{"none" if pattern else color}" stroke="{color}" stroke-width="1.2"'
        box += ' stroke-dasharray="3 2"' if pattern else ""
        lefts, highs = self._at(xs, ys)
        rights, lows = self._at([x + width for x in xs], bases or [self.y.low] * len(xs))
        self._boxes += zip(lefts, highs, rights, lows, strict=True)
        self._body += [
            f'<rect x="{left:.1f}" y="{high:.1f}" width="{max(0.5, right - left):.1f}" '
            f'height="{max(0.0, low - high):.1f}" {box}/>'
            for left, right, low, high in zip(lefts, rights, lows, highs, strict=True)
        ]
        if label:
            self._legend.append((f'<rect x="2" y="-10" width="18" height="10" {box}/>', label))

    def band(self, low: float, high: float, *, role: str, label: str) -> None:
        """Shade a range of y, below everything else."""
        _, (bottom, top) = self._at((), (low, high))
        box = f'fill="{COLORS[role]}" fill-opacity="0.14"'
        self._body.insert(
            0,
            f'<rect x="{self._LEFT:.1f}" y="{top:.1f}" width="{self._right - self._LEFT:.1f}" '
            f'height="{bottom - top:.1f}" {box}/>',
        )
        self._legend.append((f'<rect x="2" y="-10" width="18" height="10" {box}/>', label))

    def rule(
        self,
        at: float,
        *,
        label: str = "",
        role: str = "error",
        dash: str = "6 4",
        up: bool = True,
        named: bool = False,
    ) -> None:
        """Draw a straight line at an x (or, with up=False, at a y), its text beside it.

        One that is `named` has its text in the legend, where several lie close together.
        """
        style = f'stroke="{COLORS[role]}" stroke-width="1.6" stroke-dasharray="{dash}"'
        top, low = self._top + 12.0, self._floor - 6.0
        if up:
            (x,), _ = self._at((at,), ())
            line = x, float(self._top), x, float(self._floor)
            late = x - self._LEFT > 0.6 * (self._right - self._LEFT)
            sides = ((x - 5, "end"), (x + 5, "start"))[:: 1 if late else -1]
            where = [(side, y, anchor) for y in (top, low) for side, anchor in sides]
        else:
            _, (y,) = self._at((), (at,))
            line = float(self._LEFT), y, float(self._right), y
            wide = self._right - self._LEFT
            between = [(self._LEFT + share * wide, "middle") for share in (0.7, 0.5, 0.3)]
            sides = (self._right - 4.0, "end"), (self._LEFT + 6.0, "start")
            places = [y + 14, y - 5][:: 1 if y - self._top < 16 else -1]
            where = [(x, place, anchor) for x, anchor in (*sides, *between) for place in places]
        ends = 'x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"'.format(*line)
        self._segments.append(line)
        self._body.append(f"<line {ends} {style}/>")
        if label and named:
            self._legend.append((f'<line x1="0" y1="-4" x2="24" y2="-4" {style}/>', label))
        elif label:
            self._labels.append(_Label(label, where))

    def dot(
        self, x: float, y: float, *, label: str = "", role: str = "error", marker: str = "o"
    ) -> None:
        """Mark one point, held within the chart, with its text beside it."""
        (px,), (py,) = self._at((x,), (y,))
        self._body.append(_marks([(px, py)], marker, COLORS[role], 6.5))
        self._segments += [(px - 6, py, px + 6, py), (px, py - 6, px, py + 6)]
        if not label:
            return
        late = px - self._LEFT > 0.6 * (self._right - self._LEFT)
        order = -1 if late else 1
        where = []
        for away in (11.0, 26.0, 44.0, 75.0):
            sides = ((px + away, "start"), (px - away, "end"))[::order]
            rows = [py - 0.75 * away, py + away + 9, py + 4.0]
            where += [(x, y, anchor) for y in rows for x, anchor in sides]
            where += [(px, py - away - 3, "middle"), (px, py + away + 12, "middle")]
        self._labels.append(_Label(label, where, ' font-weight="600"'))

    def note(self, x: float, y: float, text: str, anchor: str = "middle") -> None:
        """Write at a point, or as little above it as keeps clear of lines, bars and labels."""
        (px,), (py,) = self._at((x,), (y,))
        px += {"start": 6.0, "middle": 0.0, "end": -6.0}[anchor]
        where = [(px, py - up, anchor) for up in (0, 5, 10, 15, 20, 28)]
        self._notes.append(_Label(text, where))

    def _placed(self) -> list[str]:
        """Return the labels, each where it crosses the least: the first such of its places."""
        frame = self._LEFT, self._top - 4.0, float(self.width), self._floor - 1.0
        lines = np.array(self._segments or [(0.0, 0.0, 0.0, 0.0)])
        taken: list[tuple[float, float, float, float]] = []
        found = []
        for text, where, weight in (*self._notes, *self._labels):  # notes can move least
            boxes = np.array([_box(text, *place) for place in where])
            bad = _crossings(boxes, lines) + 50.0 * _outside(boxes, frame)
            bad += _covered(boxes, self._boxes) + 5.0 * _covered(boxes, taken)
            best = int(np.argmin(bad))
            taken.append(tuple(boxes[best].tolist()))
            found.append(_written(text, *where[best], weight))
        return found

    # --- the whole -------------------------------------------------------------------------

    def render(self) -> str:
        """Return the chart as SVG text."""
        left, right, floor = self._LEFT, self._right, self._floor
        parts = []
        if self.title:
            parts.append(f'<text x="{left}" y="16" class="sm-title">{escape(self.title)}</text>')
        x_ticks, y_ticks = self.x.shown_ticks(), self.y.shown_ticks()
        x_at, y_at = self._at([value for value, _ in x_ticks], [value for value, _ in y_ticks])
        for y, (_, name) in zip(y_at, y_ticks, strict=True):
            parts.append(
                f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="sm-grid"/>'
                f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            )
        for x, (_, name) in zip(x_at, x_ticks, strict=True):
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}" class="sm-axis"/>'
                f'<text x="{x:.1f}" y="{floor + 17}" text-anchor="middle">{escape(name)}</text>'
            )
        parts += [
            f'<line x1="{left}" x2="{right}" y1="{floor}" y2="{floor}" class="sm-axis"/>',
            f'<text x="{(left + right) / 2:.1f}" y="{self.height - 8}" '
            f'text-anchor="middle">{escape(self.x.label)}</text>',
            f'<text transform="translate(14 {(self._top + floor) / 2:.1f}) rotate(-90)" '
            f'text-anchor="middle">{escape(self.y.label)}</text>',
            *self._body,
            *self._placed(),
        ]
        across = float(left)
        for sample, label in self._legend:
            parts.append(
                f'<g transform="translate({across:.1f} {self._top - 8:.1f})">{sample}'
                f'<text x="29" y="0">{escape(label)}</text></g>'
            )
            across += 29 + 6.3 * len(label) + 12
        return svg(self.alt, self.width, self.height, parts)


def _box(text: str, x: float, y: float, anchor: str) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a text of twelve pixels, a little room around it."""
    wide = 6.7 * len(text) + 4
    left = x - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
    return left, y - 11, left + wide, y + 3


def _crossings(boxes: FloatArray, lines: FloatArray) -> FloatArray:
    """Return how many segments touch each box: neither lies wholly on one side of the other."""
    x0, y0, x1, y1 = (boxes[:, k, None] for k in range(4))
    ax, ay, bx, by = lines.T
    near = (np.maximum(ax, bx) >= x0) & (np.minimum(ax, bx) <= x1)
    near &= (np.maximum(ay, by) >= y0) & (np.minimum(ay, by) <= y1)
    sides = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x in (x0, x1) for y in (y0, y1)]
    crossed = (np.minimum.reduce(sides) <= 0) & (np.maximum.reduce(sides) >= 0)
    return np.asarray((near & crossed).sum(axis=1), dtype=np.float64)


def _covered(boxes: FloatArray, others: Sequence[tuple[float, ...]]) -> FloatArray:
    """Return how many other boxes each box shares some area with."""
    x0, y0, x1, y1 = (boxes[:, k, None] for k in range(4))
    left, top, right, bottom = np.array(others).reshape(-1, 4).T
    shared = (left < x1) & (right > x0) & (top < y1) & (bottom > y0)
    return np.asarray(shared.sum(axis=1), dtype=np.float64)


def _outside(boxes: FloatArray, frame: tuple[float, float, float, float]) -> FloatArray:
    """Return which boxes stick out of a frame."""
    low, high = np.array(frame[:2]), np.array(frame[2:])
    out = (boxes[:, :2] < low).any(axis=1) | (boxes[:, 2:] > high).any(axis=1)
    return np.asarray(out, dtype=np.float64)


def _written(text: str, x: float, y: float, anchor: str, weight: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{max(y, 12):.1f}" text-anchor="{anchor}"{weight} '
        f'class="sm-halo">{escape(text)}</text>'
    )


def _points(at: Iterable[tuple[float, float]]) -> str:
    return " ".join([f"{x:.1f},{y:.1f}" for x, y in at])


def _marks(at: Iterable[tuple[float, float]], marker: str, color: str, size: float = 3.6) -> str:
    """Return markers: o circle, s square, ^ triangle, x cross; nothing for no marker."""
    if not marker:
        return ""
    if marker == "o":
        look = f'r="{size:g}" fill="{color}" class="sm-mark"'
        return "".join([f'<circle cx="{x:.1f}" cy="{y:.1f}" {look}/>' for x, y in at])
    shapes = {
        "s": f"M{-size:g} {-size:g}H{size:g}V{size:g}H{-size:g}Z",
        "^": f"M0 {-size * 1.2:g}L{size * 1.1:g} {size:g}H{-size * 1.1:g}Z",
        "x": f"M{-size:g} {-size:g}L{size:g} {size:g}M{-size:g} {size:g}L{size:g} {-size:g}",
    }
    # A cross is nothing but its outline, which the class would draw in the paper's colour.
    look = f'stroke="{color}" stroke-width="3"' if marker == "x" else 'class="sm-mark"'
    look = f'd="{shapes[marker]}" fill="{color}" {look}'
    return "".join([f'<path transform="translate({x:.1f} {y:.1f})" {look}/>' for x, y in at])
