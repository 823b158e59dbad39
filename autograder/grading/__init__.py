"""What `nbgrader autograde` runs here: plug-ins named in ``nbgrader_config.py``.

Reading order: `exporter` (one submission in, one outcome out), `submission` (what was
handed in), `run` (what the submissions of a command share: `run_gradebook`,
`run_progress`), `ahead` (the next ones are sanitised and run meanwhile), `restore` (the
submission gets the course's own cells back, as `original` has them), `execute` (cells
run, with limits, in the `engine`; `run_records` keeps transcripts and timings), `own_work`
(no credit for calling the answer), `verdicts` (what a run means for a grade),
`save_grades` (into the gradebook), `outcomes` (what happened, kept; `table` shows it).
"""
