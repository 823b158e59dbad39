"""The second wall, where namespaces are refused: Landlock in a world shared with others.

Learner code has the machine's processes, files and network around it, and most often the
grader's own user. Landlock keeps it from files and other processes, the filter on system
calls from the rest; the keeper watches processes, memory and files. What loses its parent
becomes a child of the keeper, or of the process that waits for it: nothing is left when they
end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from autograder.grading.engine.jail import keeper, landlock, limits, seccomp, syscalls
from autograder.grading.engine.jail.identity import Identity, choose_here, give_up
from autograder.grading.engine.jail.spec import JailSpec, JailUnavailable, step

#: A keeper has the user of a jail that has one of its own.
_KEEPERS = 1
#: Between two looks whether killed processes are gone.
_REAP_S = 0.001


class Shared:
    """A jail whose keeper and whose waiting process are both sub-reapers."""

    def __init__(self, spec: JailSpec, kept: set[int]) -> None:
        self._abi = landlock.abi()
        if not seccomp.is_known():
            raise JailUnavailable("no filter on system calls is known for this processor.")
        self._watch = limits.Watch(os.open("/proc", os.O_RDONLY | os.O_CLOEXEC), fresh=False)
        if not self._watch.sees_children():
            raise JailUnavailable("this kernel does not list the children of a process.")
        keeper.offer_to_oom_killer()
        self._identity = choose_here()
        with step("make a folder of its own"):
            self._folder = Path(tempfile.mkdtemp(prefix="servemath-jail-")).resolve()
            # The way to it may be closed to the learner's user, which is to empty it.
            self._inside = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            work = self._folder / Path(spec.work).name
        self.work = str(work)
        try:
            with step("make it the learner's"):
                work.mkdir(mode=0o700)
                for folder in (self._folder, work):
                    os.chown(folder, self._identity.uid, self._identity.gid)
            with step("adopt what loses its parents"):
                syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
            with step("start a process of its own"):
                keeper.fork_keeper(kept, clean=self._clean, alone=self._end_alone)
        except BaseException:
            self._remove()
            raise
        self._parent = os.getppid()
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        if self._identity.uid == os.geteuid():
            self._most = limits.of_a_shared_user(spec.processes)
        else:
            self._most = spec.processes + _KEEPERS
        self._settled, self._tell = os.pipe()
        os.chdir(work)

    def drop_privileges(self, spec: JailSpec) -> None:
        """Become the learner: the private folder is home, everything else is shut."""
        for descriptor in (self._watch.proc, self._inside, self._settled):
            os.close(descriptor)
        here = str(self._folder)
        os.environ.update(HOME=here, TMPDIR=here, MPLCONFIGDIR=here, LOGNAME="learner")
        tempfile.tempdir = None
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with step("drop privileges"):
            give_up(self._identity)
            # The keeper, which has the same user, looks into it.
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)
            limits.apply(spec, self._most)
        with step("shut it in by Landlock"):
            landlock.shut_in(spec, self._folder)
        with step("filter system calls"):
            seccomp.install(abi=self._abi)
        os.close(self._tell)

    def settle(self) -> None:
        """Become the learner's user, and wait until it is that as well: then look into it."""
        with step("drop the keeper's privileges"):
            give_up(self._identity)
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
            keeper.follow_parent(self._end_alone)
        if os.getppid() != self._parent:  # it ended while nobody would have said so
            keeper.end_alone(self._end_alone)
        os.close(self._tell)
        os.read(self._settled, 1)
        os.close(self._settled)

    def resident_bytes(self) -> int:
        """Return the memory of all processes but the keeper."""
        return self._watch.resident_bytes()

    def outgrown(self, spec: JailSpec) -> bool:
        """Tell whether memory, files or processes together are more than allowed."""
        if self.resident_bytes() > spec.memory_bytes or self._watch.tasks() > spec.processes:
            return True
        try:
            return self._watch.file_bytes(self._folder) > 2 * spec.file_bytes
        except limits.Uncounted:
            return True

    def _end_alone(self) -> None:
        """In the keeper, whose parent was killed: do what that one would have done."""
        _end_all(self._watch)
        self._remove()

    def _clean(self) -> None:
        """In the process that waits: end all that is left, and remove the private folder."""
        with _as_user(self._identity):
            _end_all(self._watch)
            self._remove()
        with contextlib.suppress(OSError):  # done, where the user owns more than the folder
            self._folder.rmdir()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            _empty(self._inside)
            self._folder.rmdir()


@contextlib.contextmanager
def _as_user(identity: Identity) -> Iterator[None]:
    """Do as the learner could, with no right that it has not: links may lie in its folder."""
    uid, gid = os.geteuid(), os.getegid()
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)


def _end_all(watch: limits.Watch) -> None:
    """Kill and reap every process below this one.

    They might fork faster than they are killed. So all are stopped first: a process that was
    told to stop makes no child after that, and its children are read then.
    """
    found: set[str] = set()
    before = -1
    while before < len(found):
        before = len(found)
        for process in watch.processes():
            _signal(process, signal.SIGSTOP)
            found.add(process)
    while True:
        for process in found:
            _signal(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_REAP_S)
        found = set(watch.processes())


def _signal(process: str, number: int) -> None:
    # Refused as long as it has not become the learner's user yet: it will be tried again.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(int(process), number)


def _empty(root: int) -> None:
    """Empty a folder however deep, with folders that are closed to their owner.

    What lies in a folder moves up next to it, so that no path grows long.
    """
    moved, unheard_of = 0, os.urandom(8).hex()
    while filled := [name for name in os.listdir(root) if not _remove_one(name, root)]:
        for name in filled:
            os.chmod(name, 0o700, dir_fd=root)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
            try:
                for below in os.listdir(inner):  # noqa: PTH208
                    if not _remove_one(below, inner):
                        os.chmod(below, 0o700, dir_fd=inner)
                        moved += 1
                        new = f"{unheard_of}.{moved}"
                        os.rename(below, new, src_dir_fd=inner, dst_dir_fd=root)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=root)


def _remove_one(name: str, folder: int) -> bool:
    """Remove a file, a link or an empty folder; tell whether it was one."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError:
            return False
    return True
