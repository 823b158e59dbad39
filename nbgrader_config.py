"""How this course plugs into nbgrader. Plain `nbgrader` commands in this folder read it."""

import sys
from pathlib import Path

try:
    from autograder.course.mends import mend
except ImportError as error:
    # nbgrader would go on without this file, and grade as if the course had no engine.
    if any("nbgrader" in part for part in Path(sys.argv[0]).parts[-2:]):
        sys.exit(f"nbgrader_config.py: {error}. First: source .venv/bin/activate")
    raise

c = get_config()  # noqa: F821 - nbgrader provides it

# Times with offsets and zones, and folders whose names hold brackets, per cent or question
# marks: nbgrader gets them wrong, and has no place for a plug-in.
mend(c, __file__)

c.CourseDirectory.course_id = "servemath"

# Text is what people author; learners receive the notebooks built from it.
c.CourseDirectory.ignore = [
    ".ipynb_checkpoints",
    "*.pyc",
    "__pycache__",
    ".pytest_cache",
    "*.py",
    "*.md",
]

# What Canvas and Moodle let graders download, for nbgrader zip_collect.
c.ZipCollectApp.extractor_plugin = "autograder.downloads.extract.PlatformExtractor"
c.ZipCollectApp.collector_plugin = "autograder.downloads.collect.PlatformCollector"

# One submission in, one outcome out: a reason for whatever cannot be graded.
c.Autograde.exporter_class = "autograder.grading.exporter.SubmissionExporter"

# What was submitted in somebody else's name is not collected: nbgrader only warns.
c.ExchangeFactory.collect = "autograder.watch.collect.CollectTheirOwn"

# Formgrader's pages of submissions: nothing of them runs with a grader's log-in.
c.HTMLExporter.sanitize_html = True
# What learners wrote goes through these last in its templates.
c.HTMLExporter.filters = dict.fromkeys(
    ("clean_html", "strip_files_prefix"), "autograder.feedback.safe.clean_html"
)
c.HTMLExporter.preprocessors = ["autograder.feedback.formgrader.Harmless"]

# Instead of DeduplicateIds and OverwriteCells, which one duplicated or deleted
# cell can stop: the course's own cells, metadata and kernel are put back, whatever
# became of them.
c.Autograde.sanitize_preprocessors = [
    "nbgrader.preprocessors.ClearOutput",
    "autograder.grading.restore.RestoreCourseCells",
]

c.Autograde.autograde_preprocessors = [
    # Limits, and no more lost than the cell at fault.
    "autograder.grading.execute.ExecuteGraded",
    # No credit for calling the package's own implementation of what is asked.
    "autograder.grading.own_work.CreditOwnWork",
    # A warning costs nothing, a test that did not run earns nothing.
    "autograder.grading.verdicts.SettleVerdicts",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    # As nbgrader saves them, in one transaction a notebook.
    "autograder.grading.save_grades.SaveGrades",
    "autograder.grading.save_grades.AssignPenalties",
]

# Pages without a hidden test in them; nothing of the submission runs in a reader's browser.
c.GenerateFeedback.exporter_class = "autograder.feedback.generate.FeedbackExporter"
# The page is made of facts, so there is no notebook left to prepare.
c.GenerateFeedback.preprocessors = []

# Seconds a cell may run; the whole notebook has a limit of its own.
c.ExecuteGraded.timeout = 10
c.ExecuteGraded.notebook_timeout_s = 120

# Attempts under servemath watch: what could be found out of hidden tests is bounded by `most`
# (docs/background/threat-model.md), how fast by the others. All options: docs/how-to/watch.md.
c.Attempts.per_day = 3
c.Attempts.pause_minutes = 10
c.Attempts.most = 12
