"""A page: a headline, tables, a picture and remarks, as text and as HTML.

It knows nothing of what it shows, and loads matplotlib only to draw. Whatever can be printed can
be shown; rows of different lengths are a `ValueError`.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from servemath_helpers.sim._arrays import FloatArray

__all__ = ["Curves", "Table", "as_html", "as_text", "draw"]

#: The fast edge of a band, its middle, its slow edge.
_STYLES, _LABELS = (":", "-", "--"), ("fast edge", "expected", "slow edge")


@dataclass(frozen=True)
class Table:
    """Rows of text below a heading; the first row names the columns if `named`."""

    heading: str
    rows: Sequence[Sequence[str]]
    named: bool = True


@dataclass(frozen=True)
class Curves:
    """Values at both edges of a band and in its middle.

    Attributes
    ----------
    x_label, y_label : str
        Of the axes.
    x : numpy.ndarray
        Where the values are.
    values : tuple of numpy.ndarray
        As many at the fast edge, in the middle, and at the slow edge.
    promised : float
        Where a line across says what was promised.
    log : bool
        Whether values are drawn on a logarithmic scale, as a line; else with a mark for each.
    """

    x_label: str
    y_label: str
    x: FloatArray
    values: tuple[FloatArray, FloatArray, FloatArray]
    promised: float
    log: bool = True


def as_text(headline: str, tables: Sequence[Table], remarks: Sequence[str]) -> str:
    """Return the page as lines of text.

    Parameters
    ----------
    headline : str
        What the page says, in one sentence.
    tables : sequence of Table
        Its numbers.
    remarks : sequence of str
        What one should know besides, a sentence each.

    Returns
    -------
    str
        Columns aligned: the first to the left, numbers to the right.

    Examples
    --------
    >>> print(as_text("Rent one.", [Table("On offer", [["GPU", "USD/h"], ["L4", "0.80"]])], []))
    Rent one.
    <BLANKLINE>
    On offer
      GPU  USD/h
      L4    0.80
    """
    lines = [headline]
    for table in tables:
        lines += ["", table.heading]
        widths = [max(map(len, column)) for column in zip(*table.rows, strict=True)]
        for row in table.rows:
            cells = [
                text.rjust(width) if i and table.named else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
    if remarks:
        lines += ["", "To know", *(f"  - {remark}" for remark in remarks)]
    return "\n".join(lines)


def as_html(
    headline: str, tables: Sequence[Table], remarks: Sequence[str], figure: str = ""
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    headline, tables, remarks
        As for `as_text`; everything is escaped.
    figure : str, optional
        Markup of a picture, put behind the headline as it is.

    Returns
    -------
    str
        An ``<article>``.

    Examples
    --------
    >>> as_html("1 < 2", [], ["So it is."])
    '<article><p><strong>1 &lt; 2</strong></p><ul><li>So it is.</li></ul></article>'
    >>> as_html("It is.", [], [])
    '<article><p><strong>It is.</strong></p></article>'
    """
    parts = [f"<article><p><strong>{html.escape(headline)}</strong></p>", figure]
    for table in tables:
        rows = []
        for i, row in enumerate(table.rows):
            cells = []
            for j, text in enumerate(row):
                head = (table.named and i == 0) or j == 0
                scope = ' scope="col"' if table.named and i == 0 else ' scope="row"'
                tag = f"th{scope}" if head else "td"
                look = f"text-align:{'right' if j and table.named else 'left'};padding:0 .6em"
                cells.append(f'<{tag} style="{look}">{html.escape(text)}</{tag.split()[0]}>')
            rows.append(f"<tr>{''.join(cells)}</tr>")
        look = "text-align:left;font-weight:bold"
        caption = f'<caption style="{look}">{html.escape(table.heading)}</caption>'
        parts.append(f"<table>{caption}{''.join(rows)}</table>")
    if remarks:
        parts.append(f"<ul>{''.join(f'<li>{html.escape(one)}</li>' for one in remarks)}</ul>")
    return "".join(parts) + "</article>"


def draw(panels: Sequence[Curves], title: str) -> Any:
    """Return a figure with a panel for each set of curves, bands filled.

    Parameters
    ----------
    panels : sequence of Curves
        At least one.
    title : str
        Above all of them.

    Returns
    -------
    matplotlib.figure.Figure
        In the course's style.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0])
    >>> one = Curves("replicas", "kept", x, (x, x / 2, x / 3), promised=0.95)
    >>> len(draw([one], "A plan").axes)
    1
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    from servemath_helpers.plotting import COLORS, use_course_style

    with mpl.rc_context():
        use_course_style(seed=None)
        figure = Figure(figsize=(4.2 * len(panels) + 1, 4.2), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, one in zip(axes, panels, strict=True):
            ax.fill_between(one.x, one.values[0], one.values[2], color=COLORS["primary"], alpha=0.2)
            mark = "" if one.log else "o"
            for values, style, label in zip(one.values, _STYLES, _LABELS, strict=True):
                ax.plot(one.x, values, style, marker=mark, color=COLORS["primary"], label=label)
            ax.axhline(one.promised, color=COLORS["error"], linestyle="-.", label="promised")
            if one.log:
                ax.set_yscale("log")
                ax.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}")
                ax.yaxis.set_minor_locator(NullLocator())
            else:
                ax.set_xticks(one.x)
            ax.set(xlabel=one.x_label, ylabel=one.y_label)
        axes[0].legend(loc="lower right")
        figure.suptitle(title, x=0.01, ha="left")
        return figure
