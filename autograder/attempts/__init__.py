"""Attempts at an assignment: how many a learner has, what is kept of each, which one counts.

Reading order: `policy` (what `nbgrader_config.py` may say), `record` (one file an attempt:
the journal that `servemath watch` goes by after whatever stopped it), `rules` (may this one
be graded, which one counts, what is left).
"""
