"""How many attempts a learner has, as `nbgrader_config.py` says it."""

from __future__ import annotations

from traitlets import Enum, Float, Integer
from traitlets.config import Configurable

LAST, BEST = "last", "best"
LATE, NONE = "late", "none"


class Attempts(Configurable):
    """What `servemath watch` lets learners do; 0 stands for no limit.

    An attempt that could not be graded (no notebook, a damaged one) takes none of them.
    What somebody could find out of hidden tests is bounded by their number: see the
    threat model before you raise `most`.
    """

    per_day = Integer(3, min=0, help="Attempts a day, by the course's own zone.").tag(config=True)
    pause_minutes = Float(
        10.0, min=0.0, help="Minutes that must lie between one attempt and the next."
    ).tag(config=True)
    most = Integer(12, min=0, help="Attempts at an assignment in all.").tag(config=True)
    counts = Enum(
        (LAST, BEST),
        LAST,
        help="Which attempt the gradebook holds: the last one that could be graded, as in "
        "nbgrader, or the best one by its automatic points after a late penalty.",
    ).tag(config=True)
    after_deadline = Enum(
        (LATE, NONE),
        LATE,
        help="After the due date: graded as late work, or not at all. An extension in the "
        "gradebook moves the date for its learner.",
    ).tag(config=True)
