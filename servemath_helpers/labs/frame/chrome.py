"""Pieces of a lab's page as HTML text: cards, banners, tables, derivations, the footer, the style.

No widget here: what these functions return goes into one, or is read by a test.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CSS",
    "banner",
    "cards",
    "escape",
    "footer",
    "peek",
    "picture",
    "table",
]

#: How a lab looks. Colours come from the JupyterLab theme, so that both themes read well.
CSS = """<style>
.sm-lab{--sm-ink:var(--jp-ui-font-color1,#1a1a1a);--sm-soft:var(--jp-ui-font-color2,#555);
--sm-line:var(--jp-border-color1,#bbb);--sm-card:var(--jp-layout-color2,#f2f2f2);
--sm-paper:var(--jp-layout-color1,#fff);color:var(--sm-ink);max-width:1180px;padding:2px 5px;
font-size:var(--jp-ui-font-size1,13px);line-height:1.45}
.sm-lab .widget-html,.sm-lab .widget-htmlmath,.sm-lab .jupyter-widgets.widget-html-content
{height:auto;overflow:visible}
.sm-lab .widget-html-content{line-height:1.45;font-size:14px;overflow-wrap:anywhere;
white-space:normal}
.sm-lab h2,.sm-lab h3,.sm-lab h4{margin:.5em 0 .3em;line-height:1.25;color:var(--sm-ink)}
.sm-lab h2{font-size:22px}.sm-lab h3{font-size:18px}.sm-lab h4{font-size:15px}
.sm-lab p{margin:.35em 0;max-width:78ch}
.sm-badge{display:inline-block;border:1px solid var(--sm-line);border-radius:10px;
padding:1px 9px;margin:0 6px 4px 0;font-size:12.5px;color:var(--sm-ink)}
.sm-cards{display:flex;flex-wrap:wrap;gap:8px;margin:6px 0}
.sm-card{flex:1 1 112px;min-width:104px;background:var(--sm-card);border-radius:6px;
padding:7px 10px;border-left:4px solid var(--sm-line)}
.sm-card b{display:block;font-size:19px;line-height:1.25;font-variant-numeric:tabular-nums}
.sm-card span,.sm-card small{display:block;color:var(--sm-soft);font-size:12.5px}
.sm-good{border-left-color:#029e73}.sm-bad{border-left-color:#d55e00}
.sm-banner{border:1px solid var(--sm-line);border-left-width:6px;border-radius:5px;
padding:7px 12px;margin:6px 0;background:var(--sm-paper);color:var(--sm-ink)}
.sm-fail{border-left-color:#d55e00;background:rgba(213,94,0,.12)}
.sm-ok{border-left-color:#029e73;background:rgba(2,158,115,.10)}
.sm-info{border-left-color:#0173b2;background:rgba(1,115,178,.09)}
.sm-chart{width:100%;height:auto;display:block;max-width:640px;color:var(--sm-ink)}
.sm-chart text{fill:currentColor;font:12px var(--jp-ui-font-family,sans-serif)}
.sm-chart .sm-title{font-size:13.5px;font-weight:600}
.sm-chart .sm-halo{paint-order:stroke;stroke:var(--sm-paper);stroke-width:3px;
stroke-linejoin:round}
.sm-grid{stroke:currentColor;stroke-opacity:.13}.sm-axis{stroke:currentColor;stroke-opacity:.6}
.sm-mark{stroke:var(--sm-paper);stroke-width:1}path.sm-mark{stroke-width:1.6}
.sm-panes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));
gap:8px 14px}
.sm-panes:has(>div:nth-child(3):last-child)
{grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr))}
.sm-lab img{max-width:100%;height:auto;background:#fff;border-radius:5px}
.sm-lab table.sm-table{border-collapse:collapse;margin:6px 0;font-size:13px;
font-variant-numeric:tabular-nums}
.sm-table caption{text-align:left;font-weight:600;padding:2px 0}
.sm-table th,.sm-table td{overflow-wrap:normal;
border:1px solid var(--sm-line);padding:2px 9px;text-align:right;
color:var(--sm-ink)}
.sm-table th{background:var(--sm-card)}
.sm-scroll{overflow-x:auto}
.sm-hud{display:flex;flex-wrap:wrap;gap:4px 0;background:#12222e;color:#fff;border-radius:6px;
padding:7px 6px;margin-top:8px;font-size:12.5px}
.sm-hud div{padding:0 10px;border-right:1px solid #50606c;white-space:nowrap}
.sm-hud div:last-child{border-right:0}
.sm-hud span{color:#b9c7d1;margin-right:5px}.sm-hud b{font-variant-numeric:tabular-nums}
.sm-peek summary{cursor:pointer;font-weight:600;padding:4px 0}
.sm-peek summary:focus-visible{outline:2px solid #0173b2}
.sm-lab .widget-radio{width:auto;max-width:100%;height:auto}
.sm-lab .widget-radio-box{max-width:860px;margin:0}
.sm-lab .widget-radio-box label{display:flex;flex-direction:row-reverse;
justify-content:flex-end;align-items:flex-start;gap:8px;height:auto;
line-height:1.35;white-space:normal;padding:3px 0;font-size:14px;color:var(--sm-ink);margin:0}
.sm-lab .widget-radio-box label input{position:static;flex:none;float:none;margin:1px 0 0 2px;
width:16px;height:16px}
.sm-lab .widget-toggle-buttons .widget-toggle-button{width:auto;min-width:0;padding:0 12px}
.sm-lab .widget-toggle-buttons{width:auto;height:auto;display:flex;flex-wrap:nowrap;
align-items:center}
.sm-lab .widget-toggle-buttons>div{display:flex;flex-wrap:wrap}
.sm-lab .widget-toggle-buttons>.widget-label{padding-right:8px;flex:none}
.sm-controls .widget-toggle-buttons>.widget-label{text-align:right}
.sm-inbar{fill:#fff!important;paint-order:stroke;stroke:rgba(0,0,0,.7);stroke-width:3px}
.sm-lab .widget-slider,.sm-lab .widget-dropdown{width:100%;max-width:520px}
.sm-lab .widget-label{color:var(--sm-ink)}
.sm-lab .widget-textarea{width:100%;max-width:860px}
.sm-lab .jupyter-button{height:auto;min-height:30px;line-height:1.3;padding:4px 14px}
.sm-lab .jupyter-button:focus-visible{outline:2px solid #0173b2;outline-offset:1px}
.sm-controls{display:grid!important;
grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:0 18px}
</style>"""


def escape(text: Any) -> str:
    """Return text that is safe inside HTML.

    Parameters
    ----------
    text : any
        Written as text.

    Returns
    -------
    str
        With <, >, & and quotes replaced.

    Examples
    --------
    >>> escape("rho < 1")
    'rho &lt; 1'
    """
    return html.escape(str(text))


def cards(items: Iterable[tuple[str, str, str] | tuple[str, str, str, bool | None]]) -> str:
    """Return a row of cards, each with a name, a value and a note.

    Parameters
    ----------
    items : iterable of tuple
        Name, value, note, and optionally True (good, ✓), False (bad, ✗) or None.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> "<b>80 ✓</b>" in cards([("In flight", "80", "requests", True)])
    True
    """
    shown = []
    for name, value, note, *rest in items:
        good = rest[0] if rest else None
        mark = {True: " ✓", False: " ✗", None: ""}[good]
        kind = {True: " sm-good", False: " sm-bad", None: ""}[good]
        shown.append(
            f'<div class="sm-card{kind}"><span>{escape(name)}</span>'
            f"<b>{escape(value)}{mark}</b><small>{escape(note)}</small></div>"
        )
    return f'<div class="sm-cards">{"".join(shown)}</div>'


def banner(kind: str, title: str, text: str = "") -> str:
    """Return a banner: a failure, a success or a piece of news.

    Parameters
    ----------
    kind : {"fail", "ok", "info"}
        What it says; shown by a sign as well as by a colour.
    title, text : str
        Headline and explanation, plain text.

    Returns
    -------
    str
        HTML that screen readers announce.

    Examples
    --------
    >>> 'data-banner="fail"' in banner("fail", "Unstable", "More arrives than leaves.")
    True
    """
    sign = {"fail": "✗", "ok": "✓", "info": "→"}[kind]
    role = "alert" if kind == "fail" else "status"
    return (
        f'<div class="sm-banner sm-{kind}" role="{role}" data-banner="{kind}">'
        f'<b><span aria-hidden="true">{sign}</span> {escape(title)}</b> {escape(text)}</div>'
    )


def table(caption: str, columns: Mapping[str, Sequence[Any]]) -> str:
    """Return a table that stands in for a picture.

    Parameters
    ----------
    caption : str
        What it shows.
    columns : mapping of str to sequence
        Heading to cells, all of one length.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> "<td>7</td>" in table("Batches", {"B": [7]})
    True
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in zip(*columns.values(), strict=True)
    )
    return (
        f'<div class="sm-scroll"><table class="sm-table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def peek(title: str, body: str) -> str:
    """Return a derivation that the reader opens on demand.

    Parameters
    ----------
    title : str
        What it derives.
    body : str
        HTML; mathematics between dollar signs.

    Returns
    -------
    str
        HTML for `widgets.HTMLMath`.

    Examples
    --------
    >>> peek("Why?", "Because $L = λW$.").startswith("<details")
    True
    """
    return f'<details class="sm-peek"><summary>MathPeek · {escape(title)}</summary>{body}</details>'


def footer(fields: Iterable[tuple[str, str]]) -> str:
    """Return the line of a lab's state that stands at its foot.

    Parameters
    ----------
    fields : iterable of (str, str)
        Name and value.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> "<b>80</b>" in footer([("L", "80")])
    True
    """
    shown = "".join(
        f'<div data-hud="{escape(name)}"><span>{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value in fields
    )
    return f'<div class="sm-hud" role="group" aria-label="State of the lab">{shown}</div>'


def picture(fig: Figure, alt: str, dpi: int = 90) -> str:
    """Return a matplotlib figure as an ``<img>`` with alt text, for a pane.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        Make it once with ``matplotlib.figure.Figure``, update its artists, and call this
        again: that is twice as fast as a new figure.
    alt : str
        What it shows.
    dpi : int, optional
        Dots per inch.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> picture(Figure(figsize=(1, 1)), "An empty figure").startswith('<img alt="An empty')
    True
    """
    file = io.BytesIO()
    fig.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'
