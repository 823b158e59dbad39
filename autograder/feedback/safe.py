"""Text, HTML and pictures that learners control, made harmless for a page.

Nothing a learner wrote may run, load, or lead away. HTML goes through ammonia (nh3),
which parses it as a browser does and keeps a short list of elements; pictures stand as
data, drawings (SVG) as pictures, where browsers run no script; links lose their target.
Formulas stay as TeX: what draws them would be a script in the page, and a large one
from elsewhere at that.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Mapping
from typing import Any

import mistune
import nh3
from markupsafe import Markup, escape
from mistune.plugins.math import math as math_plugin
from mistune.plugins.table import table as table_plugin

#: Characters of one text, one piece of HTML, one picture beyond which it is cut or left out.
MOST_TEXT = 20_000
MOST_HTML = 1_000_000
MOST_PICTURE = 2_000_000

#: Stands for the alt text that a learner's picture lacks.
NO_ALT = "A picture without a description"

CUT = "\n[... cut here: this goes on]"

#: What a picture begins with; a name in a notebook proves nothing.
_MAGIC = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
}

_KEPT = (
    "abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption "
    "figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strong "
    "sub summary sup table tbody td tfoot th thead tr u ul"
)
#: Left out with all that stands in them; of other elements the text is kept.
_LEFT_OUT_WHOLE = (
    "applet audio button canvas embed form frame frameset head iframe input link map math "
    "noembed noframes noscript object plaintext script select style svg template textarea "
    "title video xmp"
)
_ATTRIBUTES = {
    "img": {"alt", "height", "src", "width"},
    "li": {"value"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_NUMBERS = {"colspan", "height", "rowspan", "start", "value", "width"}
_PICTURE_URL = re.compile(r"data:(image/(?:png|jpeg|gif));base64,([A-Za-z0-9+/=\s]+)")

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
#: What would reorder the text around it, or hide in it.
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean_text(value: object, limit: int = MOST_TEXT) -> str:
    r"""Return text without terminal colours and control characters, cut to `limit`.

    Parameters
    ----------
    value : object
        What a notebook holds where text is due: a text, or a list of texts.
    limit : int
        Characters to keep.

    Examples
    --------
    >>> clean_text("\x1b[31mred\x1b[0m\r\nnext\x00")
    'red\nnext\ufffd'
    """
    text = "".join(map(str, value)) if isinstance(value, list) else str(value)
    text, whole = text[: 4 * limit], len(text)
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("\ufffd", _DIRECTIONS.sub("", text))
    return text[:limit] + CUT if len(text) > limit or whole > 4 * limit else text


def line_of_text(value: object, limit: int = 300) -> str:
    """Return text as one line, as names and messages are.

    >>> line_of_text("one  two", 5)
    'one …'
    """
    line = " ".join(clean_text(value, 10 * limit).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def picture_url(mime: str, data: object) -> str | None:
    """Return the data URL of a picture, or None if it is none, or too large.

    Parameters
    ----------
    mime : str
        ``image/png``, ``image/jpeg`` or ``image/gif``; what is inside must be that.
    data : object
        Its content in base64, as notebooks keep it.
    """
    text = "".join(map(str, data)) if isinstance(data, list) else str(data)
    if mime not in _MAGIC or len(text) > MOST_PICTURE:
        return None
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        return None
    if not content.startswith(_MAGIC[mime]):
        return None
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def drawing_url(svg: object) -> str | None:
    """Return the data URL of a drawing (SVG), or None if it is too large.

    In an ``<img>`` browsers neither run its scripts nor load what it refers to.
    """
    text = "".join(map(str, svg)) if isinstance(svg, list) else str(svg)
    content = _CONTROLS.sub("\ufffd", text).encode("utf-8")
    if len(content) > MOST_PICTURE:
        return None
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode('ascii')}"


def drawing_alt(svg: object) -> str:
    """Return what a drawing says of itself: its ``aria-label``, else its title.

    >>> drawing_alt('<svg role="img" aria-label="L &lt; 3"></svg>')
    'L < 3'
    """
    text = "".join(map(str, svg)) if isinstance(svg, list) else str(svg)
    head = text[:5000]
    found = re.search(r'aria-label="([^"]*)"', head) or re.search(r"<title[^>]*>([^<]*)<", head)
    return line_of_text(html.unescape(found[1])) if found else ""


def picture(url: str, alt: str) -> Markup:
    """Return an ``<img>`` with alt text."""
    return Markup('<img src="{}" alt="{}">').format(url, alt)


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name in _NUMBERS:
        return value if re.fullmatch(r"\d{1,4}", value) else None
    if (tag, name) == ("img", "src"):
        found = _PICTURE_URL.fullmatch(value.strip())
        return picture_url(found[1], found[2]) if found else None
    if (tag, name) == ("th", "scope"):
        return value if value in ("col", "row", "colgroup", "rowgroup") else None
    return value


def clean_html(value: object) -> Markup:
    """Return HTML with nothing in it that could run, load, lead away or restyle the page.

    Parameters
    ----------
    value : object
        HTML, or a list of its parts, as notebooks keep it.

    Examples
    --------
    >>> print(clean_html('<b onclick="x()">bold</b> <a href="javascript:x()">go</a>'))
    <b>bold</b> go
    """
    text = "".join(map(str, value)) if isinstance(value, list) else str(value)
    if len(text) > MOST_HTML:
        return Markup("<p>[left out: this output is too large]</p>")
    kept = nh3.clean(
        _CONTROLS.sub("\ufffd", _DIRECTIONS.sub("", text.replace("\r", ""))),
        tags=set(_KEPT.split()),
        clean_content_tags=set(_LEFT_OUT_WHOLE.split()),
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"data"},
        link_rel=None,
    )
    # What nh3 writes has no bare < or > in a text or an attribute: this finds elements alone.
    return Markup(re.sub(r"<img(?![^>]* alt=)", f'<img alt="{NO_ALT}"', kept))


def is_empty(markup: Markup) -> bool:
    """Tell whether nothing of it can be seen.

    >>> is_empty(Markup('<div> <img alt="x"></div>')), is_empty(Markup('<img src="data:">'))
    (True, False)
    """
    return not re.search(r"<img[^>]* src=", markup) and not markup.striptags().strip()


class _Renderer(mistune.HTMLRenderer):
    """Markdown as notebooks write it: pictures from the cell's attachments."""

    def __init__(self, attachments: Mapping[str, Any]) -> None:
        super().__init__(escape=True)
        self._attachments = attachments

    def image(self, text: str, url: str, title: str | None = None) -> str:
        alt = line_of_text(html.unescape(str(text)))
        bundle = self._attachments.get(html.unescape(str(url)).removeprefix("attachment:"))
        if isinstance(bundle, Mapping):
            for mime, data in bundle.items():
                found = picture_url(str(mime), data)
                if found:
                    return str(picture(found, alt or NO_ALT))
        return str(escape(f"[a picture: {alt or 'not shown here'}]"))


def clean_markdown(source: str, attachments: object = None) -> Markup:
    """Return a learner's markdown as harmless HTML; formulas stay TeX.

    Parameters
    ----------
    source : str
        The markdown.
    attachments : object
        The cell's attachments: file name to ``{type: base64}``.

    Examples
    --------
    >>> print(clean_markdown("*W* is $1/mu$<script>x()</script>").strip())
    <p><em>W</em> is <code>$1/mu$</code>&lt;script&gt;x()&lt;/script&gt;</p>
    """
    renderer = _Renderer(attachments if isinstance(attachments, Mapping) else {})
    markdown = mistune.Markdown(renderer=renderer)
    for plugin in (table_plugin, math_plugin):
        plugin(markdown)
    renderer.register("inline_math", lambda _, text: f"<code>${escape(text)}$</code>")
    renderer.register("block_math", lambda _, text: f"<pre>$$\n{escape(text)}\n$$</pre>")
    try:
        return clean_html(markdown(clean_text(source)))
    except RecursionError:  # quotes in quotes in quotes
        return Markup("<pre>{}</pre>").format(clean_text(source))
