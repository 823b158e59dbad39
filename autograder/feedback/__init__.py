"""What learners read after grading: one page a submission, without a hidden test in it.

`nbgrader generate_feedback` comes here through ``nbgrader_config.py``. Reading order:
`exporter` (what nbgrader calls), `hidden` (what no page may show), `collect` (the facts
of one submission, from gradebook, notebook and transcript), `misconceptions` (which
known wrong solution answers as the learner's does), `work` (learners' cells and what
they showed), `safe` (text and HTML of learners, made harmless), `render` (the page).
"""
