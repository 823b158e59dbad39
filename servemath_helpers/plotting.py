"""The course's look, and figures that everybody can read.

`use_course_style` sets one style for every picture; `show` displays a picture
with alt text and, where asked, its numbers as a table. Importing this module
loads no plotting library: matplotlib, seaborn and IPython are imported by the
functions that need them.
"""

from __future__ import annotations

import base64
import html
import io
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from servemath_helpers._validate import same_length

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLORS", "markup", "show", "use_course_style"]

#: Colours by role, from seaborn's "colorblind" palette, as hex text. A colour
#: never stands alone: give each line its own style, marker or label as well.
COLORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "primary": "#0173b2",
        "secondary": "#de8f05",
        "tertiary": "#029e73",
        "error": "#d55e00",
        "neutral": "#949494",
        "highlight": "#cc78bc",
    }
)

_DPI: Final = 120
_PALETTE_COLORS: Final = 128
# Without a date, a version or a host's font in it, a figure has the same bytes
# on every run. The font is the one that matplotlib itself ships.
_PNG_METADATA: Final = {"Software": None}
_RC: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "figure.figsize": (10.0, 6.0),
        "figure.dpi": _DPI,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "axes.facecolor": "white",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 13.0,
        "axes.labelsize": 13.0,
        "axes.titlesize": 14.0,
        "xtick.labelsize": 12.0,
        "ytick.labelsize": 12.0,
        "legend.fontsize": 12.0,
        "legend.frameon": True,
        "legend.framealpha": 0.92,
        "legend.edgecolor": "white",
        "lines.linewidth": 2.2,
        # Matplotlib's copy of seaborn's "whitegrid" is one of 2015: what has changed since.
        "axes.linewidth": 1.25,
        "grid.linewidth": 1.0,
        "image.cmap": "cividis",
        "legend.title_fontsize": 12.0,
        "patch.edgecolor": "w",
        "patch.force_edgecolor": True,
        "xtick.bottom": False,
        "ytick.left": False,
        **{
            f"{axis}tick.{kind}.{what}": value
            for axis in "xy"
            for kind, size, width in (("major", 6.0, 1.25), ("minor", 4.0, 1.0))
            for what, value in (("size", size), ("width", width))
        },
    }
)
_CARD: Final = (
    "max-width:100%;background:#ffffff;padding:8px;border-radius:6px;box-sizing:border-box"
)


def use_course_style(seed: int | None = 42) -> None:
    """Set the course's plot style, and seed NumPy's legacy random generator.

    The grid is seaborn's "whitegrid" where seaborn is installed, else
    matplotlib's own copy of it; every setting is the same in both.

    Parameters
    ----------
    seed : int or None, default 42
        Seed for ``numpy.random.seed``; None leaves the generator as it is.

    Examples
    --------
    >>> use_course_style()
    >>> import matplotlib as mpl
    >>> [float(inches) for inches in mpl.rcParams["figure.figsize"]]
    [10.0, 6.0]
    """
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib import style

    try:
        import seaborn as sns  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        style.use("seaborn-v0_8-whitegrid")
    else:
        sns.set_theme(style="whitegrid", palette="colorblind")
    settings: dict[Any, Any] = {**_RC, "axes.prop_cycle": cycler(color=list(COLORS.values()))}
    mpl.rcParams.update(settings)
    if seed is not None:
        np.random.seed(seed)


def show(fig: Figure, alt: str, table: Mapping[str, Sequence[Any]] | None = None) -> None:
    """Display a figure with alt text, and close it.

    The picture is an ``<img>`` with an ``alt`` attribute inside a ``<figure>``,
    on a white card so that it reads as well in a dark JupyterLab. A front end
    without HTML shows ``Figure: <alt>``. The same figure gives the same bytes.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The figure to display.
    alt : str
        What the picture shows, for those who cannot see it: its message first,
        then the values that carry it. Must not be empty.
    table : mapping of str to sequence, optional
        Column name to values, all columns of one length; displayed below the
        picture as a data table that the reader can open.

    Raises
    ------
    ValueError
        If `fig` is not a figure, `alt` is empty or not text, or `table` is
        empty or ragged.

    Examples
    --------
    >>> import matplotlib as mpl
    >>> mpl.use("agg")
    >>> from matplotlib import pyplot as plt
    >>> fig, ax = plt.subplots()
    >>> show(fig, "An empty plane")
    Figure: An empty plane
    >>> plt.get_fignums()
    []
    """
    from IPython.display import display
    from matplotlib import pyplot as plt

    shown = _Shown(markup=markup(fig, alt, table), text=f"Figure: {' '.join(alt.split())}")
    plt.close(fig)
    display(shown)  # type: ignore[no-untyped-call, unused-ignore]


def markup(fig: Figure, alt: str, table: Mapping[str, Sequence[Any]] | None = None) -> str:
    """Return a figure as the HTML that `show` displays.

    Parameters
    ----------
    fig, alt, table
        As for `show`.

    Returns
    -------
    str
        A ``<figure>``; nothing is displayed or closed.

    Raises
    ------
    ValueError
        As for `show`.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> markup(Figure(), "Nothing yet")[:31]
    '<figure><img alt="Nothing yet" '
    """
    from matplotlib.figure import Figure

    if not isinstance(fig, Figure):
        raise ValueError(f"fig must be a matplotlib figure, got {fig!r}")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must be text that says what the figure shows, got {alt!r}")
    details = "" if table is None else _data_table(table)

    source = base64.b64encode(_png(fig)).decode("ascii")
    text = html.escape(" ".join(alt.split()))
    image = f'<img alt="{text}" src="data:image/png;base64,{source}" style="{_CARD}">'
    return f"<figure>{image}{details}</figure>"


def _png(fig: Figure) -> bytes:
    """Render a figure as PNG with a palette: a quarter of the bytes, the same picture."""
    from PIL import Image

    full, small = io.BytesIO(), io.BytesIO()
    fig.savefig(full, format="png", dpi=_DPI, facecolor="white", metadata=_PNG_METADATA)
    with Image.open(full) as picture:
        picture.convert("RGB").quantize(_PALETTE_COLORS).save(small, format="png", optimize=True)
    return small.getvalue()


@dataclass(frozen=True)
class _Shown:
    """What a front end displays: HTML where it can, one line of text where not."""

    markup: str
    text: str

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text


def _data_table(table: Mapping[str, Sequence[Any]]) -> str:
    """Return the columns of `table` as HTML that a reader opens on demand."""
    if not isinstance(table, Mapping) or not table:
        raise ValueError(f"table must map column names to values, got {table!r}")
    columns: dict[str, list[Any]] = {}
    for name, values in table.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise ValueError(f"table[{name!r}] must be a sequence of values, got {values!r}")
        columns[str(name)] = list(values)
    same_length(**columns)

    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(_cell(value))}</td>' for value in values)}</tr>"
        for values in zip(*columns.values(), strict=True)
    )
    return (
        "<details><summary>The figure as a table</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )


def _cell(value: Any) -> str:
    """Return one value as short text: six significant digits for what is not whole."""
    if value is None:
        return "–"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        return str(value)
    if isinstance(value, numbers.Integral):
        return str(value)
    return f"{float(value):.6g}"
