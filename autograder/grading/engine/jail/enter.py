"""Going into a jail, and giving up everything that is not needed there, whichever wall stands."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Protocol

from autograder.grading.engine.jail import keeper
from autograder.grading.engine.jail.namespaces import Namespaces
from autograder.grading.engine.jail.shared import Shared
from autograder.grading.engine.jail.spec import LANDLOCK, NAMESPACES, JailSpec, JailUnavailable


class Jail(Protocol):
    """What stands around the process that called `enter_jail`, or a parent of it."""

    @property
    def work(self) -> str:
        """The folder in which learner code begins, in a folder that is its own."""

    def drop_privileges(self, spec: JailSpec) -> None:
        """See the function of this name."""

    def settle(self) -> None:
        """See `settle_keeper`."""

    def resident_bytes(self) -> int:
        """See `resident_bytes_inside`."""

    def outgrown(self, spec: JailSpec) -> bool:
        """See the function of this name."""


_WALLS: dict[str, type[Namespaces] | type[Shared]] = {NAMESPACES: Namespaces, LANDLOCK: Shared}

#: Set in the keeper when the jail stands, inherited by the learner's process.
_inside: Jail | None = None


def enter_jail(spec: JailSpec, *, keep_fds: Iterable[int], wall: str = NAMESPACES) -> None:
    """Move this process into a new jail, as its keeper.

    To be called in a freshly forked process with one thread. It returns in a child, which is
    the keeper: still able to set things up, and trusted. The caller's own process only waits
    for the keeper and then ends with its status (128 + signal number if a signal ended it), so
    that whoever waits for it knows that everything inside is gone. Should it be killed, the
    keeper ends as well, and the keeper's end is the end of every process inside. To end a jail
    from outside, send SIGTERM to the caller's process. After SIGKILL the same happens, but a
    moment later than its own end.

    Whatever signals learner code sends, they have no effect on the keeper. Within namespaces
    it is process 1, and must not install handlers.

    Parameters
    ----------
    spec
        What is visible and allowed.
    keep_fds
        Descriptors that stay open in the keeper besides 0, 1 and 2.
    wall
        Which wall to build, as `probe` answers.

    Raises
    ------
    ValueError
        A path in `spec` does not exist on this machine.
    JailUnavailable
        This machine refuses a step. Raised in the keeper if it had been forked already, else in
        the calling process.
    """
    global _inside
    if sys.platform != "linux":
        raise JailUnavailable("jails are made by Linux, and this is another system.")
    kept = {0, 1, 2, *keep_fds}
    keeper.prepare(kept)
    _inside = _WALLS[wall](spec, kept)


def drop_privileges(spec: JailSpec) -> None:
    """Make this process a learner's: shut in, without privileges, under all limits.

    To be called in a child of the keeper before any learner code runs. Started as root, the
    process gets a uid that no other jail has at the same time; started by an ordinary user, it
    keeps that user's uid.

    Raises
    ------
    JailUnavailable
        The kernel refuses one of the steps.
    RuntimeError
        This process is not inside a jail.
    """
    _where().drop_privileges(spec)


def settle_keeper() -> None:
    """Let the keeper give up what it needs no more, once the learner's process is forked.

    Raises
    ------
    RuntimeError
        This process is not inside a jail.
    """
    _where().settle()


def work_folder() -> str:
    """Return the folder in which learner code begins; what it lies in is removed at the end.

    Raises
    ------
    RuntimeError
        This process is not inside a jail.
    """
    return _where().work


def resident_bytes_inside() -> int:
    """Return the memory, in bytes, of every process inside but the keeper.

    Memory that several processes share counts once for each; private files count where they
    are held in memory. Called in the keeper.

    Raises
    ------
    RuntimeError
        This process is not inside a jail.
    """
    return _where().resident_bytes()


def outgrown(spec: JailSpec) -> bool:
    """Tell whether a jail uses more than it may of what no limit of the kernel's holds.

    Called in the keeper.

    Raises
    ------
    RuntimeError
        This process is not inside a jail.
    """
    return _where().outgrown(spec)


def _where() -> Jail:
    if _inside is None:
        raise RuntimeError("enter_jail has not been called in this process or a parent of it")
    return _inside
