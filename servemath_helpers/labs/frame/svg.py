"""Small charts as SVG text: fast enough to follow a slider, sharp, and at home in any theme.

A `Chart` collects lines, bars and marks in data coordinates and renders them as one
``<svg role="img" aria-label=...>``. Text takes the colour of its surroundings, so that a
chart reads in a light and in a dark JupyterLab. Colour never stands alone: lines carry
dashes or markers and a label.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from servemath_helpers.plotting import COLORS

__all__ = ["Axis", "Chart", "number_text", "ticks"]


def number_text(value: float, digits: int = 3) -> str:
    """Return a number as short text for a card or an axis.

    Parameters
    ----------
    value : float
        Any number; infinity is written as such.
    digits : int, optional
        Significant digits.

    Returns
    -------
    str
        With narrow no-break spaces between thousands and no exponent within 1e-4 to 1e15.

    Examples
    --------
    >>> [number_text(x) for x in (0.0123456, 12.0, 1234.5, float("inf"))]
    ['0.0123', '12', '1\u202f230', '∞']
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -5 < size < 15:
        return f"{value:.{digits - 1}e}"
    text = f"{round(value, digits - 1 - size):,.{max(0, digits - 1 - size)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(",", "\u202f").replace("-", "−")


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return about n round numbers between two ends.

    Parameters
    ----------
    low, high : float
        Ends, low below high.
    n : int, optional
        How many, roughly.

    Returns
    -------
    list of float
        Multiples of 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> ticks(0, 1), ticks(3, 47)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [10.0, 20.0, 30.0, 40.0])
    """
    raw = (high - low) / n
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


@dataclass(frozen=True)
class Axis:
    """A range of numbers along one side of a chart.

    Attributes
    ----------
    low, high : float
        Ends; both above 0 on a logarithmic axis.
    label : str
        What it measures, with its unit.
    log : bool
        Logarithmic.
    ticks : tuple of float
        Where to write numbers; chosen if empty.
    names : tuple of str
        Text at those ticks instead of the numbers.
    """

    low: float
    high: float
    label: str = ""
    log: bool = False
    ticks: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"low must be below high, and above 0 on a logarithmic axis, "
                f"got {self.low!r} and {self.high!r}"
            )

    def share(self, value: float) -> float:
        """Return how far along the axis a value lies, held within its ends."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def shown_ticks(self) -> list[tuple[float, str]]:
        """Return where numbers stand, and their text."""
        if self.ticks:
            at = list(self.ticks)
        elif self.log:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            at = [10.0**k for k in powers]
            if len(at) < 3:
                at = [m * 10.0**k for k in (*powers, powers.start - 1) for m in (1, 2, 5)]
                at = sorted(value for value in at if self.low <= value <= self.high)
        else:
            at = ticks(self.low, self.high)
        names = self.names or tuple(number_text(value) for value in at)
        return list(zip(at, names, strict=True))


class Chart:
    """One chart; add what it shows, then `render` it.

    Parameters
    ----------
    x, y : Axis
        The two sides.
    alt : str
        What the chart shows, for those who cannot see it.
    title : str, optional
        One line above.
    width, height : int, optional
        Size in units of the drawing; it scales with the page.

    Examples
    --------
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
        self._body: list[str] = []
        self._legend: list[tuple[str, str]] = []  # sample, label

    # --- coordinates ---------------------------------------------------------------------

    @property
    def _top(self) -> float:
        return 12 + (20 if self.title else 0) + 18 * self._legend_rows

    _legend_rows = 1

    def _px(self, value: float) -> float:
        return self._LEFT + self.x.share(value) * (self.width - self._LEFT - self._RIGHT)

    def _py(self, value: float) -> float:
        bottom = self.height - self._BOTTOM
        return bottom - self.y.share(value) * (bottom - self._top)

    def _points(self, xs: Iterable[float], ys: Iterable[float]) -> str:
        return " ".join(f"{self._px(x):.1f},{self._py(y):.1f}" for x, y in zip(xs, ys, strict=True))

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
        """Draw a line; it leaves the chart where a value is not finite."""
        color = COLORS[role]
        style = f'fill="none" stroke="{color}" stroke-width="{width:g}"'
        style += f' stroke-dasharray="{dash}"' if dash else ""
        run: list[tuple[float, float]] = []
        for x, y in [*zip(xs, ys, strict=True), (0.0, math.nan)]:
            if math.isfinite(y):
                run.append((x, y))
            elif run:
                points = self._points(*zip(*run, strict=True))
                self._body.append(f'<polyline {style} points="{points}"/>')
                run = []
        if marker:
            for x, y in zip(xs, ys, strict=True):
                if math.isfinite(y):
                    self._body.append(_mark(self._px(x), self._py(y), marker, color))
        if label:
            sample = f'<line x1="0" y1="-4" x2="24" y2="-4" {style}/>'
            sample += _mark(12, -4, marker, color) if marker else ""
            self._legend.append((sample, label))

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
        wide: list[float] = []
        high: list[float] = []
        for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if k:
                wide.append(x)
                high.append(high[-1])
            wide.append(x)
            high.append(y)
        if fill and wide:
            base = self.y.low
            points = self._points([wide[0], *wide, wide[-1]], [base, *high, base])
            self._body.append(
                f'<polygon points="{points}" fill="{COLORS[role]}" fill-opacity="0.25"/>'
            )
        self.line(wide, high, label=label, role=role, width=1.6)

    def bar(
        self,
        x: float,
        width: float,
        y: float,
        *,
        base: float | None = None,
        role: str = "primary",
        label: str = "",
        pattern: bool = False,
    ) -> None:
        """Draw an upright bar from x to x + width, from `base` to y."""
        left, right = self._px(x), self._px(x + width)
        low, high = sorted((self._py(y), self._py(self.y.low if base is None else base)))
        color = COLORS[role]
        fill = "none" if pattern else color
        box = f'fill="{fill}" stroke="{color}" stroke-width="1.2"'
        box += ' stroke-dasharray="3 2"' if pattern else ""
        self._body.append(
            f'<rect x="{left:.1f}" y="{low:.1f}" width="{max(0.5, right - left):.1f}" '
            f'height="{max(0.0, high - low):.1f}" {box}/>'
        )
        if label:
            self._legend.append((f'<rect x="2" y="-10" width="18" height="10" {box}/>', label))

    def band(
        self, low: float, high: float, *, role: str, label: str = "", across: bool = True
    ) -> None:
        """Shade a range of y (or of x, with across=False)."""
        if across:
            top, bottom = self._py(high), self._py(low)
            left, right = float(self._LEFT), float(self.width - self._RIGHT)
        else:
            left, right = self._px(low), self._px(high)
            top, bottom = self._top, float(self.height - self._BOTTOM)
        box = f'fill="{COLORS[role]}" fill-opacity="0.14"'
        self._body.insert(
            0,
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{bottom - top:.1f}" {box}/>',
        )
        if label:
            self._legend.append((f'<rect x="2" y="-10" width="18" height="10" {box}/>', label))

    def rule(
        self, at: float, *, label: str = "", role: str = "error", dash: str = "6 4", up: bool = True
    ) -> None:
        """Draw a straight line at an x (or, with up=False, at a y), its text beside it."""
        style = f'stroke="{COLORS[role]}" stroke-width="1.6" stroke-dasharray="{dash}"'
        if up:
            x = self._px(at)
            self._body.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self._top:.1f}" '
                f'y2="{self.height - self._BOTTOM}" {style}/>'
            )
            late = self.x.share(at) > 0.6
            self._text(x + (-5 if late else 5), self._top + 12, label, "end" if late else "start")
        else:
            y = self._py(at)
            self._body.append(
                f'<line x1="{self._LEFT}" x2="{self.width - self._RIGHT}" '
                f'y1="{y:.1f}" y2="{y:.1f}" {style}/>'
            )
            below = y - self._top < 16
            self._text(self.width - self._RIGHT - 4, y + (14 if below else -5), label, "end")

    def dot(
        self, x: float, y: float, *, label: str = "", role: str = "error", marker: str = "o"
    ) -> None:
        """Mark one point, held within the chart, with its text beside it."""
        self._body.append(_mark(self._px(x), self._py(y), marker, COLORS[role], 6.5))
        late = self.x.share(x) > 0.6
        px = self._px(x) + (-11 if late else 11)
        below = self._py(y) - self._top < 24
        self._text(
            px, self._py(y) + (20 if below else -8), label, "end" if late else "start", bold=True
        )

    def note(self, x: float, y: float, text: str, anchor: str = "middle") -> None:
        """Write at a point."""
        self._text(self._px(x), self._py(y), text, anchor)

    def _text(self, x: float, y: float, text: str, anchor: str, *, bold: bool = False) -> None:
        if text:
            weight = ' font-weight="600"' if bold else ""
            self._body.append(
                f'<text x="{x:.1f}" y="{max(y, 12):.1f}" text-anchor="{anchor}"{weight} '
                f'class="sm-halo">{html.escape(text)}</text>'
            )

    # --- the whole -------------------------------------------------------------------------

    def render(self) -> str:
        """Return the chart as SVG text."""
        right, bottom = self.width - self._RIGHT, self.height - self._BOTTOM
        parts = [
            f'<svg class="sm-chart" role="img" aria-label="{html.escape(self.alt)}" '
            f'viewBox="0 0 {self.width} {self.height}" preserveAspectRatio="xMidYMid meet">'
        ]
        if self.title:
            parts.append(f'<text x="{self._LEFT}" y="16" class="sm-title">')
            parts.append(f"{html.escape(self.title)}</text>")
        for value, name in self.y.shown_ticks():
            y = self._py(value)
            parts.append(
                f'<line x1="{self._LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="sm-grid"/>'
                f'<text x="{self._LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{html.escape(name)}</text>"
            )
        for value, name in self.x.shown_ticks():
            x = self._px(value)
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" '
                f'class="sm-axis"/><text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">'
                f"{html.escape(name)}</text>"
            )
        middle = (self._top + bottom) / 2
        parts += [
            f'<line x1="{self._LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" class="sm-axis"/>',
            f'<text x="{(self._LEFT + right) / 2:.1f}" y="{self.height - 8}" '
            f'text-anchor="middle">{html.escape(self.x.label)}</text>',
            f'<text transform="translate(14 {middle:.1f}) rotate(-90)" text-anchor="middle">'
            f"{html.escape(self.y.label)}</text>",
            *self._body,
        ]
        across = float(self._LEFT)
        for sample, label in self._legend:
            parts.append(
                f'<g transform="translate({across:.1f} {self._top - 8:.1f})">{sample}'
                f'<text x="29" y="0">{html.escape(label)}</text></g>'
            )
            across += 29 + 6.6 * len(label) + 16
        return "".join([*parts, "</svg>"])


def _mark(x: float, y: float, marker: str, color: str, size: float = 3.6) -> str:
    """Return one marker: o circle, s square, ^ triangle, x cross."""
    at = f"{x:.1f} {y:.1f}"
    if marker == "o":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" fill="{color}" class="sm-mark"/>'
    shapes = {
        "s": f"M{-size:g} {-size:g}H{size:g}V{size:g}H{-size:g}Z",
        "^": f"M0 {-size * 1.2:g}L{size * 1.1:g} {size:g}H{-size * 1.1:g}Z",
        "x": f"M{-size:g} {-size:g}L{size:g} {size:g}M{-size:g} {size:g}L{size:g} {-size:g}",
    }
    # A cross is nothing but its outline, which the class would draw in the paper's colour.
    look = f'stroke="{color}" stroke-width="3"' if marker == "x" else 'class="sm-mark"'
    return f'<path transform="translate({at})" d="{shapes[marker]}" fill="{color}" {look}/>'
