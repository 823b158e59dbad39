"""What `nbgrader autograde` runs here: plug-ins named in ``nbgrader_config.py``.

Reading order: `exporter` (one submission in, one outcome out), `restore` (the
submission gets the course's own cells back), `execute` (cells run, with limits),
`verdicts` (what a run means for a grade), `own_work` (no credit for calling the
answer), `outcomes` (what happened, kept and tabulated).
"""
