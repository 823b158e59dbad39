"""Names of people, which may be written in several forms of Unicode."""

from __future__ import annotations

import unicodedata


def composed(name: str) -> str:
    """Return a name in the form in which equal names are equal (NFC).

    >>> composed("Jose\u0301") == "Jos\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)
