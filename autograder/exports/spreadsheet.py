"""Cells of a CSV file that no spreadsheet takes for a formula."""

from __future__ import annotations

#: What begins a formula in some spreadsheet, white space before it included.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def looks_like_formula(text: str) -> bool:
    """Tell whether a spreadsheet could take `text` for a formula.

    Examples
    --------
    >>> looks_like_formula("=1+1"), looks_like_formula("  @SUM(A1)"), looks_like_formula("a=1")
    (True, True, False)
    """
    return text.startswith(FORMULA_STARTS) or text.lstrip(" ").startswith(FORMULA_STARTS)


def plain_text(text: str) -> str:
    """Return `text`, with an apostrophe before it if it could be taken for a formula.

    Examples
    --------
    >>> plain_text("=HYPERLINK(1)"), plain_text("sample")
    ("'=HYPERLINK(1)", 'sample')
    """
    return f"'{text}" if looks_like_formula(text) else text
