"""nbgrader plug-ins: grades for learning platforms, and a penalty for late work.

`CanvasExporter` and `MoodleExporter` go with plain ``nbgrader export``;
`DailyPenalty` goes with ``c.AssignLatePenalties.plugin_class``.
"""

from autograder.exports.canvas import CanvasExporter
from autograder.exports.mapping import ExportError
from autograder.exports.moodle import MoodleExporter
from autograder.late.penalty import DailyPenalty

__all__ = ["CanvasExporter", "DailyPenalty", "ExportError", "MoodleExporter"]
