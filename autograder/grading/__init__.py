"""What `nbgrader autograde` runs here: plug-ins named in ``nbgrader_config.py``.

Reading order: `exporter` (one submission in, one outcome out), `run_gradebook` and
`original` (what the gradebook says of the course), `restore` (the submission gets the
course's own cells back), `ahead` (the next submissions run meanwhile), `execute` (cells
run, with limits, in the `engine`), `own_work` (no credit for calling the answer),
`verdicts` (what a run means for a grade), `save_grades` (into the gradebook), `outcomes`
(what happened, kept and tabulated), `records` (transcripts, timings), `progress`.
"""
