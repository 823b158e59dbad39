"""A learner's journey over all labs, as the ledger tells it.

>>> import tempfile
>>> from pathlib import Path
>>> from servemath_helpers.labs.frame.ledger import Ledger
>>> with tempfile.TemporaryDirectory() as folder:
...     show(Ledger(Path(folder) / "ledger.json"), "ada")
No run of ada is in the ledger yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.frame.svg import Axis, Chart

__all__ = ["Stage", "chart", "show", "stages", "summary"]


@dataclass(frozen=True)
class Stage:
    """One answer on the way: where, prediction or reflection, what it said, how sure.

    `correct` is None where no answer is wrong.
    """

    lab: str
    part: str
    kind: str
    question: str
    label: str
    correct: bool | None
    confidence: int | None


def stages(ledger: Ledger, learner: str) -> list[Stage]:
    """Return every answer that the ledger holds of a learner, lab by lab."""
    return [
        Stage(lab, **row)
        for lab, record in sorted(ledger.of_learner(learner).items())
        for row in record.get("journey", ())
    ]


def summary(journey: Iterable[Stage]) -> str:
    """Return how many predictions were right, and how sure the right and the wrong ones were.

    >>> summary([Stage("lab4", "1", "prediction", "q", "160", True, 5)])
    '1 of 1 predictions right (mean confidence 5.0), none wrong.'
    """
    made = [stage for stage in journey if stage.kind == "prediction"]
    right = [stage for stage in made if stage.correct]
    wrong = [stage for stage in made if stage.correct is False]

    def sure(group: Sequence[Stage]) -> str:
        said = [stage.confidence for stage in group if stage.confidence is not None]
        return f" (mean confidence {sum(said) / len(said):.1f})" if said else ""

    missed = f"{len(wrong)} wrong{sure(wrong)}" if wrong else "none wrong"
    return f"{len(right)} of {len(made)} predictions right{sure(right)}, {missed}."


def chart(journey: Sequence[Stage]) -> str:
    """Draw confidence at each prediction; right and wrong differ in marker and place too."""
    numbered = [
        (number, stage)
        for number, stage in enumerate(journey, start=1)
        if stage.kind == "prediction"
    ]
    made, n = [stage for _, stage in numbered], max(1, len(numbered))
    names = tuple(f"{number} {stage.lab}" for number, stage in numbered) or ("",)
    drawn = Chart(
        Axis(0, n, "row of the table", ticks=tuple(k + 0.5 for k in range(n)), names=names),
        Axis(0, 6, "confidence", ticks=(1, 3, 5), names=("a guess", "3", "certain")),
        title="Your predictions, and how sure you were",
        alt=summary(made),
        width=max(520, 90 + 56 * n),
        height=240,
    )
    for role, correct, marker, label in (
        ("tertiary", True, "o", "right"),
        ("error", False, "x", "wrong"),
    ):
        points = [
            (k + 0.5, float(stage.confidence or 1))
            for k, stage in enumerate(made)
            if stage.correct is correct
        ]
        if points:
            drawn.line(*zip(*points, strict=True), label=label, role=role, marker=marker, width=0)
            for x, y in points:
                drawn.dot(x, y, role=role, marker=marker)
    return drawn.render()


def show(ledger: Ledger, learner: str) -> None:
    """Display a learner's journey as a picture, a sentence and a table.

    Parameters
    ----------
    ledger : Ledger
        Where the runs are kept.
    learner : str
        Whose.

    Examples
    --------
    >>> show(Ledger("no-such-file.json"), "ada")
    No run of ada is in the ledger yet.
    """
    journey = stages(ledger, learner)
    if not journey:
        print(f"No run of {learner} is in the ledger yet.")
        return
    from IPython.display import HTML, display

    from servemath_helpers.labs.frame.chrome import CSS, table

    def verdict(stage: Stage) -> str:
        return {True: "✓ right", False: "✗ wrong", None: "a stand"}[stage.correct]

    columns: dict[str, list[Any]] = {
        "no.": list(range(1, len(journey) + 1)),
        "lab": [stage.lab for stage in journey],
        "part": [stage.part for stage in journey],
        "": [stage.kind for stage in journey],
        "you said": [stage.label for stage in journey],
        "verdict": [verdict(stage) for stage in journey],
        "confidence": [stage.confidence or "–" for stage in journey],
    }
    page = (
        f'{CSS}<div class="sm-lab">{chart(journey)}<p>{escape(summary(journey))}</p>'
        f"{table('Your journey', columns)}</div>"
    )
    display(HTML(page))  # type: ignore[no-untyped-call, unused-ignore]
