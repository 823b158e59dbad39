"""Numbers in prose are rendered from the library, never typed.

In a markdown cell ``<< expression >>`` is a Jinja2 expression over the modules
of `servemath_helpers`; it is evaluated when the notebook is built. An expression
that names nothing stops the build.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import jinja2

import servemath_helpers

#: Modules that exist for notebooks to import, not for prose to compute with.
NOT_FOR_PROSE = {"checks", "notebook", "plotting"}


def num(value: float, digits: int = 4) -> str:
    """Return `value` with `digits` significant digits and spaces between thousands.

    >>> num(1234567, 7), num(0.0123456), num(30.0), num(79.999)
    ('1 234 567', '0.01235', '30', '80')
    """
    number = float(value)
    if number == 0:
        return "0"
    rounded = float(f"{number:.{digits - 1}e}")
    exponent = int(f"{rounded:e}".partition("e")[2])
    text = f"{rounded:,.{max(0, digits - 1 - exponent)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(",", " ")


def fixed(value: float, decimals: int = 2) -> str:
    """Return `value` with exactly `decimals` decimals and spaces between thousands.

    >>> fixed(10000, 0), fixed(0.88214)
    ('10 000', '0.88')
    """
    return f"{float(value):,.{decimals}f}".replace(",", " ")


@functools.cache
def library() -> dict[str, Any]:
    """Return the public modules of the package by name."""
    names = (info.name for info in pkgutil.iter_modules(servemath_helpers.__path__))
    return {
        name: importlib.import_module(f"servemath_helpers.{name}")
        for name in names
        if not name.startswith("_") and name not in NOT_FOR_PROSE
    }


class ProseError(ValueError):
    """An expression in prose could not be evaluated."""


def render(text: str, context: Mapping[str, Any], where: str) -> str:
    """Return `text` with each ``<< expression >>`` replaced by its value.

    Parameters
    ----------
    text : str
        A markdown cell's source.
    context : mapping
        Names in scope beside the modules of the package.
    where : str
        What to call the cell in an error.

    Raises
    ------
    ProseError
        If an expression does not parse, or names what does not exist.
    """
    environment = jinja2.Environment(
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<<%",
        block_end_string="%>>",
        comment_start_string="<<#",
        comment_end_string="#>>",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # the result is markdown of our own, not a page
    )
    scope = {**library(), "num": num, "fixed": fixed, **context}
    try:
        return environment.from_string(text).render(scope)
    except Exception as error:
        raise ProseError(f"{where}: {type(error).__name__}: {error}") from error
