"""The walls around learner code: Linux namespaces, limits, another uid, a filter on calls.

    process forked by the zygote          enter_jail(spec): waits for init, ends as it ends
      └─ init, process 1 of the jail      enter_jail returns here; trusted
           └─ learner's process           drop_privileges(spec), then the learner's code

Init's end, however it comes about, is the end of everything inside. Reading order:
`spec` (what a jail is asked for), `enter` (going in), `files` (what
is to be seen), `identity` (who the learner is), `limits` (how much), `seccomp`
(which system calls), `probe` (does it work here).
"""

from autograder.grading.engine.jail.enter import (
    drop_privileges,
    enter_jail,
    resident_bytes_inside,
    settle_init,
)
from autograder.grading.engine.jail.probe import probe, why_not
from autograder.grading.engine.jail.spec import JailSpec, JailUnavailable

__all__ = [
    "JailSpec",
    "JailUnavailable",
    "drop_privileges",
    "enter_jail",
    "probe",
    "resident_bytes_inside",
    "settle_init",
    "why_not",
]
