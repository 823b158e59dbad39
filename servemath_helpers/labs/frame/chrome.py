"""Pieces of a lab's page as HTML text: cards, banners, tables, derivations, the footer, the style.

No widget here: what these functions return goes into one, or is read by a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

__all__ = ["CSS", "SLIDERS", "banner", "cards", "footer", "peek", "table"]

#: How a lab looks. Colours come from the JupyterLab theme, so that both themes read well.
CSS = f"<style>\n{files(__package__).joinpath('lab.css').read_text(encoding='utf-8')}</style>"

#: What names a page's sliders. It needs an output of its own: a widget's HTML runs no script.
_NAMING = files(__package__).joinpath("lab.sliders.js").read_text(encoding="utf-8")
SLIDERS = f"<script>\n{_NAMING}</script>"

_GOOD = {True: (" ✓", " sm-good"), False: (" ✗", " sm-bad"), None: ("", "")}


def cards(items: Iterable[tuple[str, str, str] | tuple[str, str, str, bool | None]]) -> str:
    """Return a row of cards: name, value, note, and perhaps whether that is good or bad.

    >>> "<b>80 ✓</b>" in cards([("In flight", "80", "requests", True)])
    True
    """
    shown = []
    for name, value, note, *rest in items:
        mark, kind = _GOOD[rest[0] if rest else None]
        shown.append(
            f'<div class="sm-card{kind}"><span>{escape(name)}</span>'
            f"<b>{escape(value)}{mark}</b><small>{escape(note)}</small></div>"
        )
    return f'<div class="sm-cards">{"".join(shown)}</div>'


def banner(kind: str, title: str, text: str = "") -> str:
    """Return a banner that screen readers announce: "fail", "ok" or "info", told by a sign too."""
    sign = {"fail": "✗", "ok": "✓", "info": "→"}[kind]
    role = "alert" if kind == "fail" else "status"
    return (
        f'<div class="sm-banner sm-{kind}" role="{role}" data-banner="{kind}">'
        f'<b><span aria-hidden="true">{sign}</span> {escape(title)}</b> {escape(text)}</div>'
    )


def table(caption: str, columns: Mapping[str, Sequence[Any]]) -> str:
    """Return a table that stands in for a picture: heading to cells, all of one length."""
    head = "".join([f'<th scope="col">{escape(name)}</th>' for name in columns])
    rows = [
        f"<tr>{''.join([f'<td>{escape(str(cell))}</td>' for cell in row])}</tr>"
        for row in zip(*columns.values(), strict=True)
    ]
    return (
        f'<div class="sm-scroll"><table class="sm-table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def peek(title: str, body: str) -> str:
    """Return a derivation that the reader opens; mathematics of its HTML between dollar signs."""
    return f'<details class="sm-peek"><summary>MathPeek · {escape(title)}</summary>{body}</details>'


def footer(fields: Iterable[tuple[str, str]]) -> str:
    """Return the line of a lab's state that stands at its foot: name and value of each field."""
    shown = [
        f'<div data-hud="{escape(name)}"><span>{escape(name)}</span><b>{escape(value)}</b></div>'
        for name, value in fields
    ]
    return f'<div class="sm-hud" role="group" aria-label="State of the lab">{"".join(shown)}</div>'
