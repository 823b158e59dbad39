"""The engine that runs submissions: learner code in a jail, tests outside it.

Reading order: `service` (a pool, in the command or on a Dask worker), `zygote`
(the preloaded parent that all processes are forked from), `judge` (runs one
notebook: the test cells itself, the learner's in a jail), `learner` (what runs
inside the jail), `jail` (the walls), `channel` and `codec` (what may cross them).
"""
