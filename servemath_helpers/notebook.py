"""The one import of a notebook's setup cell.

Importing it seeds NumPy's legacy generator with 42, makes `rng`, and offers the
checks. `plt`, `show` and `COLORS` come from matplotlib and
`servemath_helpers.plotting` when first asked for, in the course's style, so a
notebook that draws nothing never loads matplotlib.

Examples
--------
>>> from servemath_helpers.notebook import check_true, plt, rng, show
>>> check_true(rng.random() < 1, "a draw from [0, 1) is below 1")
✓ a draw from [0, 1) is below 1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from servemath_helpers.checks import (
    check_calls,
    check_close,
    check_equal,
    check_first,
    check_forms,
    check_raises,
    check_refused,
    check_true,
    header,
)
from servemath_helpers.deep import deep_check
from servemath_helpers.progress import follow, progress
from servemath_helpers.questions import check_yourself

if TYPE_CHECKING:
    from matplotlib import pyplot as plt

    from servemath_helpers.plotting import COLORS, show

__all__ = [
    "COLORS",
    "check_calls",
    "check_close",
    "check_equal",
    "check_first",
    "check_forms",
    "check_raises",
    "check_refused",
    "check_true",
    "check_yourself",
    "deep_check",
    "header",
    "plt",
    "progress",
    "rng",
    "show",
]

_SEED: Final = 42
_DRAWING: Final = ("COLORS", "plt", "show")

np.random.seed(_SEED)
follow()

#: The notebook's random generator: same seed, same numbers, on every run.
rng: Final = np.random.default_rng(_SEED)


def __getattr__(name: str) -> Any:
    """Load what draws pictures when a notebook first asks for it."""
    if name not in _DRAWING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from servemath_helpers import plotting

    if name == "COLORS":
        return plotting.COLORS
    # The seed was set at import; setting it again here would repeat the numbers
    # that a notebook may have drawn since.
    plotting.use_course_style(seed=None)
    if name == "show":
        return plotting.show
    from matplotlib import pyplot as plt

    return plt


def __dir__() -> list[str]:
    """List the drawing names too, so that completion finds them."""
    return sorted({*globals(), *_DRAWING})
