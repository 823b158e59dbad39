"""Grading a class again after its tests changed, shown first and written at once.

`plan` builds and grades in a scratch copy, against a copy of the gradebook, and says
who would change. `apply` makes that the course's state and keeps the previous scores.
`show` prints a plan. `recover` finishes or takes back what a killed `apply` left.
"""

from autograder.regrade.changes import Changes
from autograder.regrade.plan_table import show
from autograder.regrade.promotion import apply, recover
from autograder.regrade.rehearsal import discard, plan
from autograder.regrade.workspace import RegradeError

__all__ = ["Changes", "RegradeError", "apply", "discard", "plan", "recover", "show"]
