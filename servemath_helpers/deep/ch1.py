"""Chapter 1: requests that come and go one by one, and counts instead of formulas."""

from __future__ import annotations

import math

from servemath_helpers.deep.engine import Arguments, Deep, Dice, close, exercise

__all__: list[str] = []


@exercise("littles_law")
def _littles_law(deep: Deep) -> None:
    def both(dice: Dice) -> Arguments:
        return {"lam": dice.number(0, 40), "W": dice.number(0, 40)}

    def busy(dice: Dice) -> Arguments:
        return {"lam": dice.number(0.1, 40), "W": dice.number(0.1, 40)}

    def present(lam: float, W: float) -> float:
        """Let one request come every 1 / lam seconds, and add up who is there meanwhile."""
        if lam == 0 or W == 0:
            return 0
        gap, there = 1 / lam, 0.0
        for came_before in range(math.ceil(W / gap) + 1):
            left = W - came_before * gap
            there += min(max(left, 0), gap)
        return there / gap

    deep.agrees(
        both,
        present,
        "L is the mean number there when lam requests come each second and stay for W seconds",
        edges=[{"lam": 0, "W": 3}, {"lam": 2, "W": 0}, {"lam": 0, "W": 0}],
    )
    deep.holds(
        busy,
        lambda law, lam, W: close(law(lam=lam, L=law(lam=lam, W=W)), W),
        "from lam and L comes the W that gave this L",
    )
    deep.holds(
        busy,
        lambda law, lam, W: close(law(W=W, L=law(lam=lam, W=W)), lam),
        "from W and L comes the lam that gave this L",
    )
    deep.holds(
        lambda dice: {"given": dice.number(0.1, 40)},
        lambda law, given: law(lam=given, L=0) == 0 and law(W=given, L=0) == 0,
        "L = 0 is a value: nobody is there, so nobody stays and nobody comes",
        cases=3,
    )
    words = "exactly one is missing, none is negative, and nothing is divided by 0"
    deep.refuses({"lam": 7, "W": 4}, {"lam": [None, -7], "W": [None, -0.5], "L": [28, 0]}, words)
    deep.refuses({"lam": 7, "L": 4}, {"lam": [0, -7], "L": [None, -4], "W": [0]}, words)
    deep.refuses({"W": 7, "L": 4}, {"W": [0, -7], "L": [None, -4], "lam": [0]}, words)
    deep.refuses({"W": 7, "L": 0}, {"W": [0]}, words)
    deep.refuses({"lam": 0, "W": 7}, {"W": [-7, None]}, words)
