"""How labs write numbers: short, and the same on cards, axes, and in sentences."""

from __future__ import annotations

import math

__all__ = ["duration", "ms_text", "number_text", "share"]


def number_text(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, thousands apart, ∞ and – included."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -5 < size < 15:
        return f"{value:.{digits - 1}e}"
    text = f"{round(value, digits - 1 - size):,.{max(0, digits - 1 - size)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(",", "\u202f").replace("-", "−")


def duration(seconds: float | None) -> str:
    """Return a time: milliseconds below a second, minutes from two on, a dash for None."""
    if seconds is None:
        return "–"
    if math.isinf(seconds):
        return "∞"
    if seconds < 1:
        return f"{number_text(1000 * seconds)} ms"
    if seconds < 120:
        return f"{number_text(seconds)} s"
    return f"{number_text(seconds / 60)} min"


def ms_text(ms: float) -> str:
    """Return a time given in milliseconds, in seconds from one on."""
    return f"{number_text(ms / 1e3)} s" if 1e3 <= ms < math.inf else duration(ms / 1e3)


def share(value: float | None) -> str:
    """Return a share as percent, a dash for None."""
    if value is None:
        return "–"
    return f"{number_text(100 * value, 2 if abs(value) < 0.995 else 3)} %"
