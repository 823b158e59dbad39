"""The side bar's captions say their level: a heading without one is announced wrongly."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def add_levels(app: Sphinx, page: str, template: str, context: dict[str, Any], *rest: Any) -> None:
    """Complete the headings in the navigation that the theme has prepared."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace(
        'role="heading">', 'role="heading" aria-level="2">'
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Listen after the theme."""
    app.connect("html-page-context", add_levels, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
