"""Formulas as MathML, made when the site is built.

Browsers set MathML by themselves, so a page needs no script, and none from another
host: it reads the same on a laptop without a network. docutils brings the converter.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)

#: Commands that the converter does not know, by ones that say the same.
_KNOWN = {
    r"\\dots": r"\\ldots",
    r"\\iff": r"\\;\\Longleftrightarrow\\;",
    r"\\[bB]ig": "",  # brackets in their own size
    r"\\tfrac *(\d) *(\d)": r"\\frac{\1}{\2}",
    r"\\tfrac": r"\\frac",
}


def _mathml(node: nodes.Element, block: bool) -> str:
    """Return the formula of a node as MathML; one that cannot be read is a warning."""
    tex = known = node.astext()
    for unknown, same in _KNOWN.items():
        known = re.sub(unknown + r"(?![a-zA-Z])", same, known)
    try:
        return tex2mathml(known, as_block=block)
    except MathError as error:
        LOGGER.warning("cannot set the formula %r: %s", tex, error, location=node)
        return f"<code>{nodes.unescape(tex)}</code>"


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(_mathml(node, block=False))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    translator.body.append(f'<div class="math">{_mathml(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
