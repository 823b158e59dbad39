"""The options of a plug-in, listed below its docstring as one would set them."""

from __future__ import annotations

import inspect
from typing import Any

from sphinx.application import Sphinx
from traitlets.config import Configurable


def add_options(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Append the configurable traits that the class itself defines."""
    if what != "class" or not issubclass(obj, Configurable):
        return
    traits = obj.class_own_traits(config=True)
    if not traits:
        return
    lines += ["", ".. rubric:: Options", ""]
    for trait_name, trait in sorted(traits.items()):
        lines += [f"``c.{obj.__name__}.{trait_name}`` = ``{trait.default_value_repr()}``"]
        lines += [f"    {line}" for line in inspect.cleandoc(trait.help or "").splitlines()]
        lines += [""]


def shorten(app: Sphinx, what: str, name: str, obj: Any, *rest: Any) -> tuple[str, str] | None:
    """Leave out the parameters of a plug-in: nbgrader makes it, options are its only input."""
    return ("", "") if what == "class" and issubclass(obj, Configurable) else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Listen to autodoc."""
    app.connect("autodoc-process-docstring", add_options)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
