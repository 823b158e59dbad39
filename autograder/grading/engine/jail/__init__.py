"""The walls around learner code: namespaces, Landlock, limits, another uid, a filter on calls.

    process forked by the zygote          enter_jail(spec): waits for the keeper, ends as it ends
      └─ the keeper, trusted              enter_jail returns here
           └─ learner's process           drop_privileges(spec), then the learner's code

There are two walls. Within namespaces the keeper is process 1, and its end, however it comes
about, is the end of everything inside. Where namespaces are refused, Landlock shuts learner
code in, and the keeper, or the process that waits for it, ends what is left. Reading order:
`spec` (what a jail is asked for), `enter` (going in), `keeper` (what every wall needs);
`namespaces` and `files` (what is to be seen), or `shared` and `landlock`; `identity` (who the
learner is), `limits` (how much), `seccomp` (which system calls), `probe` (which wall stands
here).
"""

from autograder.grading.engine.jail.enter import (
    drop_privileges,
    enter_jail,
    outgrown,
    resident_bytes_inside,
    settle_keeper,
    work_folder,
)
from autograder.grading.engine.jail.probe import describe, probe, why_not
from autograder.grading.engine.jail.spec import (
    LANDLOCK,
    NAMESPACES,
    NO_WALL,
    JailSpec,
    JailUnavailable,
)

__all__ = [
    "LANDLOCK",
    "NAMESPACES",
    "NO_WALL",
    "JailSpec",
    "JailUnavailable",
    "describe",
    "drop_privileges",
    "enter_jail",
    "outgrown",
    "probe",
    "resident_bytes_inside",
    "settle_keeper",
    "why_not",
    "work_folder",
]
