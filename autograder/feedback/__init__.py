"""What learners read after grading: one page a submission, without a hidden test in it.

`nbgrader generate_feedback` comes here through ``nbgrader_config.py``. Reading order:
`generate` (what nbgrader calls), `facts` (what a page says), `collect` (brings the facts
of one submission together), from the gradebook, `notebooks` and `theory`; `hidden` (what
no page may show), `said` (which property a hidden test may name), `results` (what became of a
test, in words), `misconceptions` (which
known wrong solution gives the learner's `answers`), `work` (learners' cells and what
they showed), `safe` (text and HTML of learners, made harmless), `render` (the page).
"""
