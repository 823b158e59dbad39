"""From *Submit* to feedback without a person: what `servemath watch` does.

Reading order: `arrivals` (what came, and when), `exchange` (from nbgrader's exchange),
`copying` (files of strangers, taken without following them), `steps` (what becomes of one
attempt, each step safe to repeat), `grader` (the steps that are nbgrader's own), `worker`
(a process for each batch, with everything loaded), `watcher` (the loop), `status` (what
`--status` and the log say).
"""
