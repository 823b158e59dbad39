"""Jails: what learner code sees, may do and leaves behind.

Each test forks, enters a jail and runs a function there: within namespaces, and by Landlock as
in a container that refuses them, each started as root and as an ordinary user (where the tests
themselves run as root; else only as who runs them).
"""

import contextlib
import ctypes
import errno
import fcntl
import functools
import json
import mmap
import os
import platform
import random
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from autograder.grading.engine import jail
from autograder.grading.engine.jail import (
    LANDLOCK,
    NAMESPACES,
    JailSpec,
    JailUnavailable,
    files,
    hints,
    landlock,
    limits,
    namespaces,
    seccomp,
    syscalls,
)

from .. import container

ROOT = Path(__file__).parents[2]
SPEC = JailSpec(readable=(sys.prefix, sys.base_prefix))
MIB = 2**20

linux = pytest.mark.skipif(sys.platform != "linux", reason="jails are made by Linux")


@dataclass(frozen=True)
class Account:
    """Who starts a jail, and which."""

    name: str
    wall: str

    def __str__(self):
        return f"{self.name}-{self.wall}"

    @property
    def shares(self):
        """Whether the jail has the machine's files and processes around it."""
        return self.wall == LANDLOCK

    @property
    def has_own_user(self):
        """Whether the kernel counts the jail's processes by themselves."""
        return not self.shares or self.name == "root"

    def begin(self, spec):
        """Be this account from now on, where this wall is the first that stands."""
        shown = [*spec.readable, *(outer for outer, _ in spec.overlays)]
        shown = [path for path in shown if Path(path).exists()]
        if self.shares:
            container.enter(root=self.name == "root", shown=shown)
        elif self.name == "ordinary" and os.geteuid() == 0:
            container.show(shown)
            container.become_ordinary()


EVERY = [Account(name, wall) for wall in (NAMESPACES, LANDLOCK) for name in ("root", "ordinary")]


@pytest.fixture(params=EVERY, ids=str)
def account(request):
    """Who starts which jail."""
    need(request.param)
    return request.param


@pytest.fixture(params=EVERY[:2], ids=str)
def apart(request):
    """Who starts a jail within namespaces."""
    need(request.param)
    return request.param


@pytest.fixture(params=EVERY[2:], ids=str)
def among(request):
    """Who starts a jail among the machine's own files and processes."""
    need(request.param)
    return request.param


@pytest.fixture(params=[1, 2, 3, 5, 7])
def abi(request, monkeypatch):
    """A version of Landlock: what later ones brought is not asked of the kernel."""
    need(EVERY[3])
    version = min(request.param, landlock_here())
    monkeypatch.setattr(syscalls, "landlock_abi", lambda: version)
    return version


@pytest.fixture(params=[NAMESPACES, LANDLOCK])
def jails(request):
    """The account that runs the tests starts the jail."""
    account = Account("root" if os.geteuid() == 0 else "ordinary", request.param)
    need(account)
    return account


@pytest.fixture
def shared():
    """A folder that every account may read."""
    with tempfile.TemporaryDirectory(prefix="test_jail_") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@functools.cache
def namespaces_can_be_had():
    """Ask another program, so that a broken jail is not taken for a machine without any."""
    namespaces = ["--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts"]
    command = ["unshare", *namespaces, "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@functools.cache
def standing():
    try:
        return jail.probe()
    except JailUnavailable as error:
        return str(error)


def need(account):
    if account.name == "root" and os.geteuid() != 0:
        pytest.skip("started by an ordinary user")
    if account.wall == LANDLOCK:
        if landlock_here() == 0 or not seccomp.is_known():
            pytest.skip("no Landlock, or no filter for this machine")
    elif (found := standing()) != NAMESPACES:
        assert not namespaces_can_be_had(), found
        pytest.skip("namespaces are refused here")


def landlock_here():
    """Ask the kernel, so that a broken jail is not taken for a machine without Landlock."""
    if platform.system() != "Linux":
        return 0
    return max(0, ctypes.CDLL(None).syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), 1))


@dataclass(frozen=True)
class Seen:
    """What came out of a jail."""

    learner: object  # what the learner's function returned
    init: object  # what the function in the keeper returned
    ended: int  # exit code of the learner's process, negative for a signal
    status: int  # exit code of the process that the jail was started from
    error: str  # traceback of what went wrong


def in_jail(
    account, learner, *, init=None, spec=SPEC, keep_fds=(), before=None, beside=None, settle=False
):
    """Run `learner()` in a jail that `account` starts, `init(pid)` in its keeper meanwhile.

    `before()` runs in the process that starts it, `beside()` once that is `account`.

    It returns when no process of the jail holds the pipe for answers any more.
    """
    hear, tell = os.pipe()

    def say(**what):
        os.write(tell, json.dumps(what).encode() + b"\n")

    def child():
        if before is not None:
            before()
        account.begin(spec)
        if beside is not None:
            beside()
        jail.enter_jail(spec, keep_fds=[tell, *keep_fds], wall=account.wall)
        if (pid := os.fork()) == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            jail.drop_privileges(spec)
            say(learner=learner())
            return
        if settle or account.shares:
            jail.settle_keeper()
        if init is not None:
            say(init=init(pid))
        say(ended=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    started = forked(child, say)
    os.close(tell)
    with os.fdopen(hear, "rb") as stream:
        heard = [json.loads(line) for line in stream]
    status = os.waitstatus_to_exitcode(os.waitpid(started, 0)[1])
    seen = {"learner": None, "init": None, "ended": None, "error": "", "status": status}
    for part in heard:
        seen.update(part)
    return Seen(**seen)


@contextlib.contextmanager
def standing_jail(account, learner, *, spec=SPEC):
    """Give a jail in which `learner()` has run: the process it was started from, a pipe that
    ends when every process inside has, and the learner's home.
    """
    lives, holds = os.pipe()

    def child():
        account.begin(spec)
        jail.enter_jail(spec, keep_fds=[holds], wall=account.wall)
        if os.fork() == 0:
            jail.drop_privileges(spec)
            learner()
            with contextlib.suppress(BrokenPipeError):
                os.write(holds, str(Path.home()).encode())
        else:
            jail.settle_keeper()
        while True:
            signal.pause()

    started = forked(child, lambda **what: os.write(holds, what["error"].encode()))
    os.close(holds)
    try:
        home = os.read(lives, 1000).decode()
        assert home.startswith("/"), home
        yield started, lives, home
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(started, signal.SIGTERM)
            os.waitpid(started, 0)
        os.close(lives)


def forked(child, say):
    if (pid := os.fork()) != 0:
        return pid
    status = 1
    try:
        child()
        status = 0
    except BaseException:
        say(error=traceback.format_exc())
    finally:
        os._exit(status)


def refused(call, *arguments, **named):
    """Return the name of the errno that `call` fails with, or an empty string."""
    try:
        call(*arguments, **named)
    except OSError as error:
        return errno.errorcode[error.errno]
    return ""


def names(folder="."):
    return sorted(entry.name for entry in Path(folder).iterdir())


def opened(place):
    """Tell whether a file can be read, or a folder listed."""
    return "" in (refused(names, place), refused(Path(place).read_bytes))


def learn(account, learner, **named):
    """Return what `learner()` returned in a jail where all went well."""
    seen = in_jail(account, learner, **named)
    assert seen.error == ""
    assert (seen.ended, seen.status) == (0, 0)
    return seen.learner


# ------------------------------------------------------------------ what is to be seen


@linux
def test_only_what_was_asked_for_is_to_be_seen(account, shared):
    secret = shared / "gradebook.db"
    secret.write_text("scores")
    places = [secret, ROOT / "source", ROOT / "autograder", ROOT / "gradebook.db", Path("/home")]
    places += [Path("~").expanduser() / ".bashrc", Path("/root", ".ssh")]
    places += [Path("/var"), Path("/sys")]
    places += [Path("/run"), Path("/etc/shadow"), Path("/etc/hosts"), Path("/.old")]

    def look():
        # Landlock does not hide that something is there.
        seen = opened if account.shares else os.path.lexists
        return {
            "found": [str(place) for place in places if seen(place)],
            "python": Path(sys.prefix, "bin", "python").exists(),
            "folder": str(Path.cwd()),
            "there": names(),
            "host": socket.gethostname(),
        }

    seen = learn(account, look)
    assert seen["found"] == []
    assert seen["python"]
    assert seen["there"] == []
    if not account.shares:
        assert (seen["folder"], seen["host"]) == ("/tmp/work", "jail")


@linux
def test_no_other_process_is_to_be_seen(apart):
    def look():
        numbers = sorted(int(name) for name in names("/proc") if name.isdigit())
        return numbers, os.getpid(), refused(os.kill, 3, 0)

    numbers, own, stranger = learn(apart, look)
    assert set(numbers) <= {own}
    assert own == 2
    assert stranger == "ESRCH"


@linux
def test_no_process_is_to_be_looked_into(among):
    def look():
        keeper = os.getppid()
        kinds = ("environ", "cmdline", "maps", "mem", "fd", "cwd/.", "root/.", "exe", "status")
        return [refused(names, "/proc")] + [
            kind for who in (keeper, 1) for kind in kinds if opened(f"/proc/{who}/{kind}")
        ]

    assert learn(among, look) == ["EACCES"]


@linux
def test_every_namespace_is_a_new_one(apart):
    kinds = ("mnt", "pid", "net", "ipc", "uts", "cgroup")

    def look(_=None):
        return [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds]

    inside = in_jail(apart, bool, init=look).init
    shared = [
        kind for kind, here, there in zip(kinds, inside, look(), strict=True) if here == there
    ]
    assert shared == []


@linux
def test_an_overlay_shows_the_other_folder(apart, shared):
    installed, withheld = installed_and_withheld(shared)

    def look():
        return names(installed), (installed / "name.txt").read_text()

    spec = replace(
        SPEC,
        readable=(*SPEC.readable, str(installed), str(installed)),
        overlays=((str(withheld), str(installed)),),
    )
    assert learn(apart, look, spec=spec) == [["name.txt"], "withheld"]


@linux
@pytest.mark.parametrize("within", [False, True])
def test_what_is_overlaid_is_shut_and_the_other_folder_open(among, shared, within):
    """Nothing can be mounted: whoever asks for an overlay lets Python look in the other one."""
    installed, withheld = installed_and_withheld(shared)

    def look():
        return [
            [str(path.relative_to(shared)) for path in folder.iterdir()]
            for folder in (installed, withheld)
            if opened(folder)
        ], opened(installed / "answers.txt")

    spec = replace(
        SPEC,
        readable=(*SPEC.readable, str(shared if within else installed)),
        overlays=((str(withheld), str(installed)),),
    )
    assert learn(among, look, spec=spec) == [[["withheld/name.txt"]], False]


def installed_and_withheld(shared):
    installed, withheld = shared / "installed", shared / "withheld"
    for folder in (installed, withheld):
        folder.mkdir()
        (folder / "name.txt").write_text(folder.name)
    (installed / "answers.txt").write_text("42")
    return installed, withheld


@linux
def test_the_more_specific_path_wins(account, shared):
    course = shared / "course"
    for name in ("package", "source/keys", "source/shared"):
        (course / name).mkdir(parents=True)
        (course / name / "file").write_text(name)
    link = shared / "link"
    link.symlink_to(course / "package")

    def look():
        return [
            *(opened(course / name) for name in ("package", "source/keys", "source/shared")),
            *(opened(course / name / "file") for name in ("package", "source/keys")),
            (link / "file").read_text(),
            refused((course / "source/new").mkdir) in {"EROFS", "EACCES"},
        ]

    spec = replace(
        SPEC,
        readable=(*SPEC.readable, str(course), str(course / "source/shared"), str(link)),
        hidden=(str(course / "source"), str(shared / "nowhere")),
    )
    seen = learn(account, look, spec=spec)
    assert seen == [True, False, True, True, False, "package", True]


@linux
def test_modules_beside_hidden_ones_can_be_imported(account, shared, monkeypatch):
    """As where everything is installed into one folder."""
    (shared / "staff").mkdir()
    (shared / "staff" / "bank.py").write_text("answer = 42")
    (shared / "beside.py").write_text("name = 'beside'")
    monkeypatch.syspath_prepend(shared)

    def look():
        import beside

        return beside.name, opened(shared / "staff" / "bank.py")

    spec = replace(SPEC, readable=(*SPEC.readable, str(shared)), hidden=(str(shared / "staff"),))
    assert learn(account, look, spec=spec) == ["beside", False]


@linux
def test_descriptors_that_are_not_kept_are_closed(account, tmp_path):
    (tmp_path / "secret").write_text("hidden tests")
    left_open = os.open(tmp_path / "secret", os.O_RDONLY)
    try:
        assert learn(account, lambda: refused(os.fstat, left_open)) == "EBADF"
    finally:
        os.close(left_open)


# ------------------------------------------------------------------- what can be reached


@linux
def test_a_server_outside_cannot_be_reached(account):
    kinds = {
        "tcp": (socket.AF_INET, socket.SOCK_STREAM),
        "udp": (socket.AF_INET, socket.SOCK_DGRAM),
        "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "tcp6": (socket.AF_INET6, socket.SOCK_STREAM),
        "packet": (socket.AF_PACKET, socket.SOCK_RAW),
        "netlink": (socket.AF_NETLINK, socket.SOCK_RAW),
    }
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            server.accept()[0].close()

        def knock():
            local = [s.close() for s in socket.socketpair()]
            return {name: refused(socket.socket, *kind) for name, kind in kinds.items()}, len(local)

        def knock_unfiltered(_):
            return refused(socket.create_connection, address)

        seen = in_jail(account, knock, init=knock_unfiltered)
    assert seen.learner == [dict.fromkeys(kinds, "EPERM"), 2]
    # The network namespace is a wall of its own, behind the filter.
    assert seen.init == ("" if account.shares else "ENETUNREACH")


@linux
def test_sockets_within_the_machine_are_those_of_the_jail(account, shared):
    """A server's path or name leads outside; no datagram can be pointed there either."""
    name = f"servemath-{os.getpid()}"
    path = str(shared / "socket")
    with socket.socket(socket.AF_UNIX) as named, socket.socket(socket.AF_UNIX) as placed:
        named.bind(f"\0{name}")
        placed.bind(path)
        Path(path).chmod(0o777)
        named.listen()
        placed.listen()

        def knock():
            if not account.shares:
                with socket.socket(socket.AF_UNIX) as line:
                    return [refused(line.connect, where) for where in (f"\0{name}", path)]
            left, _right = socket.socketpair()
            return [
                refused(socket.socket, socket.AF_UNIX),
                refused(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM),
                refused(left.connect, path),
                refused(left.bind, f"\0{name}-2"),
                refused(left.sendmsg, [b"x"], [], 0),
            ]

        answers = learn(account, knock)
    assert set(answers) <= ({"EPERM"} if account.shares else {"ECONNREFUSED", "ENOENT", "EPERM"})


@linux
def test_nothing_outside_of_tmp_can_be_written(account):
    places = ["/", "/etc", "/usr", "/dev", "/proc", "/usr/lib", sys.prefix, sys.base_prefix]

    def write():
        made = [place for place in places if not refused(Path(place, "mine").write_text, "x")]
        Path("mine").write_text("x")
        Path("/dev/null").write_text("x")
        shm = refused(Path("/dev/shm/mine").write_text, "x")
        return made, shm, refused(os.chmod, "/usr", 0o777)

    before = Path("/usr").stat().st_mode
    made, shm, chmod = learn(account, write)
    assert made == []
    assert shm == ("EACCES" if account.shares else "")
    assert chmod in {"EROFS", "EPERM"} or (account.shares and Path("/usr").stat().st_mode == before)
    assert not Path(sys.prefix, "mine").exists()


#: What can be done to a file or folder by its path.
DEEDS = {
    "read": lambda path: path.read_bytes(),
    "list": lambda path: names(path.parent),
    "write": lambda path: path.write_text("x"),
    "append": lambda path: path.open("a").close(),
    "create": lambda path: (path.parent / "new").write_text("x"),
    "truncate": lambda path: os.truncate(path, 0),
    "truncate by reading": lambda path: os.close(os.open(path, os.O_RDONLY | os.O_TRUNC)),
    "truncate by neither": lambda path: os.close(os.open(path, os.O_ACCMODE | os.O_TRUNC)),
    "open by neither": lambda path: os.close(os.open(path, os.O_ACCMODE)),
    "remove": lambda path: path.unlink(),
    "move here": lambda path: path.rename("mine"),
    "move over it": lambda path: Path("own").rename(path),
    "link here": lambda path: Path("linked").hardlink_to(path),
    "link there": lambda path: (path.parent / "linked").symlink_to("/etc"),
    "make a folder": lambda path: (path.parent / "folder").mkdir(),
    "make a pipe": lambda path: os.mkfifo(path.parent / "pipe"),
    "owner": lambda path: os.chown(path, os.getuid(), os.getgid()),
    "attribute": lambda path: os.setxattr(path, "user.x", b"x"),
    "run": lambda path: os.execv(path, [str(path)]),
}


@linux
def test_the_graders_files_are_as_they_were(abi, shared):
    """The learner has the grader's user: whatever an older Landlock lets through is refused."""
    secret, course = shared / "gradebook.db", shared / "readable"
    course.mkdir()
    files = (secret, course / "package.py")

    def beside():
        for path in (shared, course, *files):
            os.chown(path, os.getuid(), os.getgid())

    def state():
        kept = [(path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) for path in files]
        return kept, sorted(str(path) for path in shared.rglob("*"))

    def meddle():
        Path("own").write_text("x")
        done = [[what for what, deed in DEEDS.items() if not refused(deed, path)] for path in files]
        for path in files:
            path.chmod(0o777)
            os.utime(path, (0, 0))
        with files[1].open() as stream:
            os.fchmod(stream.fileno(), 0)
            os.utime(stream.fileno(), (0, 0))
            flags = refused(fcntl.ioctl, stream, 0x40086602, bytes(8))
        return done, flags

    for path in files:
        path.write_text("scores")
        path.chmod(0o755)
    if os.geteuid() == 0:
        for path in (shared, course, *files):
            os.chown(path, container.ORDINARY_UID, container.ORDINARY_UID)
    before = state()
    spec = replace(SPEC, readable=(*SPEC.readable, str(course)))
    assert learn(EVERY[3], meddle, spec=spec) == [[[], ["read", "list"]], "EPERM"]
    assert state() == before


@linux
def test_honest_work_with_files_goes_on_at_every_version(abi):
    def work():
        Path("a/b").mkdir(parents=True)
        Path("a/one").write_text("one")
        shutil.copy2("a/one", "a/two")
        shutil.move("a/two", "a/b/two")
        shutil.copytree("a", "c")
        shutil.make_archive("all", "zip", "c")
        os.truncate("a/one", 2) if abi >= 3 else Path("a/one").write_text("on")
        with tempfile.NamedTemporaryFile("w+") as stream:
            stream.write("x")
            Path(stream.name).touch()
        shutil.rmtree("c")
        return [str(path) for path in sorted(Path().rglob("*"))], Path("a/one").read_text()

    found, one = learn(EVERY[3], work)
    assert found == ["a", "a/b", "a/b/two", "a/one", "all.zip"]
    assert one == "on"


@linux
def test_what_is_written_does_not_survive(account):
    def write():
        home = Path.home()
        before = names(home), [] if account.shares else names("/dev/shm")
        for place in (home, ".", "/dev/shm", "/tmp"):
            with contextlib.suppress(PermissionError):
                Path(place, "left_behind").write_text("answers for the next one")
        return *before, str(home)

    # What is readable may itself lie below /tmp, as a checkout there does.
    visible = {Path(path).parts[2] for path in SPEC.readable if Path(path).parts[1] == "tmp"}
    for _ in range(2):
        found, shm, home = learn(account, write, before=at_home)
        assert (set(found) - visible, shm) == ({"work"}, [])
        assert home == "/tmp" or not Path(home).exists()
    assert not Path("/tmp/left_behind").exists()
    assert not Path("/dev/shm/left_behind").exists()


def at_home():
    os.environ["HOME"] = "/tmp"  # as the engine sets it


def spoil():
    """Make what is hard to remove."""
    for _ in range(1200):
        os.mkdir("deeper")  # noqa: PTH102
        os.chdir("deeper")
    Path("bottom").write_text("x")
    os.chdir(Path.home() / "work")
    os.mkfifo("pipe")
    Path("nowhere").symlink_to("/no/such/file")
    Path("outside").symlink_to("/usr")
    os.close(os.open(b"\xff\xfe", os.O_CREAT))
    Path("shut").mkdir()
    Path("shut/inner").mkdir()
    Path("shut/inner/file").write_text("x")
    for name in ("shut/inner/none", "none"):
        os.umask(0)
        Path(name).mkdir(0o000)
        Path(f"{name}2").mkdir(0o300)
    return str(Path.home())


@linux
def test_a_folder_is_removed_whatever_is_in_it(among):
    home = learn(among, spoil)
    assert not Path(home).exists()
    assert Path("/usr/bin").is_dir()


# -------------------------------------------------------------------------- how much


@linux
def test_files_are_limited_one_by_one_and_together(apart):
    def fill():
        with contextlib.suppress(OSError), Path("one").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(256 * 1024))
        why = [refused(Path(f"file{number}").write_bytes, bytes(MIB)) for number in range(3)]
        return Path("one").stat().st_size, why

    spec = replace(SPEC, file_bytes=MIB)
    assert learn(apart, fill, spec=spec) == [MIB, ["", "ENOSPC", "ENOSPC"]]


def many_small():
    for number in range(3):
        Path(f"file{number}").write_bytes(bytes(MIB))


def many_deleted():
    for _ in range(3):
        stream = Path("file").open("wb", buffering=0)  # noqa: SIM115
        stream.write(bytes(MIB))
        held.append(stream)
        Path("file").unlink()


def many_names():
    for number in range(limits.ENTRIES + 1):
        os.close(os.open(str(number), os.O_CREAT))


def one_out_of_sight():
    os.umask(0)
    Path("shut").mkdir(0o300)
    Path("shut/file").write_bytes(bytes(MIB))


def too_deep():
    for _ in range(600):
        os.mkdir("deeper01")  # noqa: PTH102
        os.chdir("deeper01")


held = []


@linux
@pytest.mark.parametrize(
    "fill",
    [many_small, many_deleted, many_names, one_out_of_sight, too_deep],
)
def test_files_together_are_watched(among, fill):
    spec = replace(SPEC, file_bytes=MIB)

    def use():
        Path("small").write_text("x")
        os.read(asked, 1)
        fill()
        os.write(tell, b"x")
        os.read(asked, 1)

    def measure(_):
        before = jail.outgrown(spec)
        os.write(ask, b"x")
        os.read(told, 1)
        after = jail.outgrown(spec)
        os.write(ask, b"x")
        return before, after

    with pipes(2) as ((asked, ask), (told, tell)):
        seen = in_jail(among, use, init=measure, keep_fds=(asked, ask, told, tell), spec=spec)
    assert seen.error == ""
    assert seen.init == [False, True]


@linux
def test_children_that_ended_and_that_nobody_asked_after_are_no_reason_to_end(account):
    """As left by subprocess.Popen: their descriptors can no longer be looked at."""

    def use():
        for _ in range(3):
            if (pid := os.fork()) == 0:
                os._exit(0)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.write(tell, b"x")
        os.read(asked, 1)

    def measure(_):
        os.read(told, 1)
        outgrown = jail.outgrown(SPEC)
        os.write(ask, b"x")
        return outgrown

    with pipes(2) as ((asked, ask), (told, tell)):
        seen = in_jail(account, use, init=measure, keep_fds=(asked, ask, told, tell))
    assert (seen.error, seen.init) == ("", False)


@contextlib.contextmanager
def pipes(number):
    made = [os.pipe() for _ in range(number)]
    try:
        yield made
    finally:
        for ends in made:
            for descriptor in ends:
                os.close(descriptor)


@linux
def test_memory_of_a_process_is_limited(account):
    def fill():
        with pytest.raises(MemoryError):
            bytearray(2**31)
        return resource.getrlimit(resource.RLIMIT_AS)[1], len(bytearray(16 * MIB))

    assert learn(account, fill) == [SPEC.memory_bytes, 16 * MIB]


@linux
def test_processes_and_threads_are_limited(account):
    def bomb():
        lives, holds = os.pipe()
        started = 0
        while True:
            try:
                pid = os.fork()
            except BlockingIOError:
                break
            if pid == 0:
                os.close(holds)
                os.read(lives, 1)
                os._exit(0)
            started += 1
        with pytest.raises(RuntimeError):
            threading.Thread(target=print).start()
        os.close(holds)
        return started

    spec = replace(SPEC, processes=20)
    if account.has_own_user:
        assert learn(account, bomb, spec=spec) == 19
        return
    # Of a user with other processes the kernel bounds the burst, and the keeper sees it.
    seen = in_jail(account, bomb, spec=spec, init=until_outgrown(spec))
    assert seen.init is True
    assert seen.learner is None or 19 <= seen.learner <= 40 * spec.processes


def until_outgrown(spec):
    """Return what a keeper does: look until the jail uses too much, then say so and end it."""

    def look(learner):
        deadline = time.monotonic() + 20
        while not (outgrown := jail.outgrown(spec)) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(learner, signal.SIGKILL)
        return outgrown

    return look


@linux
def test_a_full_jail_leaves_room_in_another(account):
    spec = replace(SPEC, processes=8)

    def fill():
        with contextlib.suppress(BlockingIOError):
            while os.fork() != 0:
                pass

    with standing_jail(account, fill, spec=spec):
        assert learn(account, lambda: subprocess.run(["true"]).returncode, spec=spec) == 0


@linux
@pytest.mark.parametrize("deed", ["threads", "processes"])
def test_more_than_its_share_is_seen(among, deed):
    spec = replace(SPEC, processes=8)

    def use():
        with contextlib.suppress(OSError, RuntimeError):
            for _ in range(8):
                if deed == "threads":
                    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
                elif os.fork() == 0:
                    time.sleep(60)
        os.write(tell, b"x")
        time.sleep(60)

    def look(learner):
        os.read(told, 1)
        return until_outgrown(replace(SPEC, processes=8 if not among.has_own_user else 7))(learner)

    with pipes(1) as ((told, tell),):
        assert in_jail(among, use, init=look, spec=spec, keep_fds=(told, tell)).init is True


@linux
def test_nobody_forks_faster_than_the_end_comes(among):
    """A bomb of which every part forks as fast as it can, and wakes those that were stopped."""

    def bomb():
        while True:
            with contextlib.suppress(OSError):
                os.fork()
                os.kill(0, signal.SIGCONT)

    lives, holds = os.pipe()
    watch = until_outgrown(replace(SPEC, processes=2))
    seen = in_jail(among, bomb, init=watch, keep_fds=[holds])
    os.close(holds)
    assert os.read(lives, 1) == b""
    os.close(lives)
    assert seen.init is True


@linux
def test_processor_time_is_limited(jails):
    def spin():
        while True:
            pass

    seen = in_jail(jails, spin, spec=replace(SPEC, cpu_s=1))
    assert -seen.ended in {signal.SIGXCPU, signal.SIGKILL}


@linux
def test_descriptors_are_limited(account):
    def open_many():
        held = []
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        return max(held)

    assert learn(account, open_many, spec=replace(SPEC, open_files=40)) == 39


@linux
def test_a_learner_has_no_better_priority_and_leaves_no_core(account):
    def look():
        kinds = ("RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_CORE")
        return [sum(resource.getrlimit(getattr(resource, name))) for name in kinds]

    assert learn(account, look) == [0, 0, 0]


@linux
def test_limits_cannot_be_raised_nor_put_on_others(account):
    def raise_them():
        kinds = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
        raised = []
        for name in (*kinds, "RLIMIT_NPROC"):
            which = getattr(resource, name)
            soft, hard = resource.getrlimit(which)
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(which, (soft, hard + 1))
                raised.append(name)
        keeper = os.getppid()
        on_others = [
            refused(resource.prlimit, keeper, resource.RLIMIT_NOFILE, (3, 3)),
            refused(os.setpriority, os.PRIO_PROCESS, keeper, 19),
            refused(os.setpriority, os.PRIO_USER, 0, 19),
            refused(os.sched_setaffinity, keeper, os.sched_getaffinity(0)),
            refused(os.sched_setscheduler, keeper, os.SCHED_IDLE, os.sched_param(0)),
        ]
        os.nice(1)
        os.sched_setaffinity(0, os.sched_getaffinity(0))
        return raised, on_others

    assert learn(account, raise_them) == [[], ["EPERM"] * 5]


@linux
@pytest.mark.parametrize("own_proc", [True, False])
def test_init_sees_how_much_memory_is_used(apart, own_proc):
    """Also where a container lets nobody mount /proc."""
    mount = syscalls.mount

    def no_proc():
        def refuse(source, target, kind="", flags=0, data=""):
            if kind == "proc":
                raise OSError(errno.EPERM, "refused")
            mount(source, target, kind, flags, data)

        if not own_proc:
            syscalls.mount = refuse

    seen = memory_seen(apart, before=no_proc)
    assert 80 * MIB < seen.init[1] < RESERVED
    assert seen.learner == ["", own_proc]


@linux
def test_the_keeper_sees_how_much_memory_is_used(among):
    seen = memory_seen(among)
    assert 64 * MIB < seen.init[1] < RESERVED
    assert seen.learner == ["EPERM", False]


#: Bytes of address space that are never touched: they are no memory.
RESERVED = 2048 * MIB


def memory_seen(account, before=None):
    """Measure a jail before and after a learner uses 64 MiB of memory and 16 of files."""

    def use():
        # It hides as well as it can: in a grandchild, closed to others.
        lost, keep = os.pipe()
        if os.fork() == 0:
            closed = refused(syscalls.prctl, syscalls.PR_SET_DUMPABLE, 0)
            os.write(keep, closed.encode() or b".")
            held, reserved = b"x" * (64 * MIB), mmap.mmap(-1, RESERVED)
            Path("file").write_bytes(held[: 16 * MIB])
            os.write(tell, b"x")
            os.read(asked, 1)
            reserved.close()
            os._exit(len(held) % 2)
        os.wait()
        return os.read(lost, 10).decode().strip("."), opened("/proc") and names("/proc") != []

    def measure(_):
        before = jail.resident_bytes_inside()
        os.read(told, 1)
        after = jail.resident_bytes_inside()
        os.write(ask, b"x")
        return before, after

    with pipes(2) as ((asked, ask), (told, tell)):
        seen = in_jail(
            account, use, init=measure, keep_fds=(asked, ask, told, tell), before=before,
            settle=True, spec=replace(SPEC, memory_bytes=4 * RESERVED),
        )  # fmt: skip
    assert seen.error == ""
    return seen


@linux
def test_of_a_learner_who_has_ended_only_files_are_counted(account):
    def measure(pid):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return jail.resident_bytes_inside()

    seen = in_jail(account, lambda: Path("file").write_bytes(bytes(3 * MIB)), init=measure)
    # Those of a shared machine lie on its disk, and are counted by themselves.
    assert seen.init == (0 if account.shares else 3 * MIB)


# ------------------------------------------------------------------- who, and what rights


@linux
def test_the_learner_has_no_privileges(account):
    wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")

    def look():
        os.write(tell, b"x")
        signal.pause()

    def look_at(learner):
        os.read(told, 1)
        lines = Path(f"/proc/{learner}/status").read_text().splitlines()
        state = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        os.kill(learner, signal.SIGKILL)
        ids = " ".join(state[name] for name in ("Uid", "Gid", "Groups")).split()
        return {name: int(state[name], 16) for name in wanted}, sorted(set(map(int, ids)))

    with pipes(1) as ((told, tell),):
        seen = in_jail(account, look, init=look_at, keep_fds=(told, tell))
    state, ids = seen.init
    ids = sorted({*ids} - {65534}) or ids  # unmapped, unless that is who runs the tests
    assert 0 not in ids
    assert len(ids) == 1
    filtered = 2 if platform.machine() in {"x86_64", "aarch64"} else 0
    if account.shares:
        # Who has no privilege may not give up what a program could gain; none gains anything now.
        del state["CapBnd"]
    assert state == dict.fromkeys(state, 0) | {"NoNewPrivs": 1, "Seccomp": filtered}


@linux
@pytest.mark.parametrize("wall", [NAMESPACES, LANDLOCK])
def test_jails_of_root_have_a_uid_each(wall):
    root = Account("root", wall)
    need(root)
    assert learn(root, os.getuid) != learn(root, os.getuid)


@linux
def test_an_ordinary_users_jail_has_that_user():
    ordinary = EVERY[3]
    need(ordinary)
    uid = container.ORDINARY_UID if os.geteuid() == 0 else os.geteuid()
    assert learn(ordinary, os.getuid) == uid


@linux
def test_root_that_may_not_mount_starts_a_jail_like_an_ordinary_user():
    need(EVERY[0])

    def lose_rights():
        lines = Path("/proc/self/status").read_text().splitlines()
        rights = next(int(line.split()[1], 16) for line in lines if line.startswith("CapPrm"))
        syscalls.set_capabilities(rights & ~(1 << syscalls.CAP_SYS_ADMIN))

    spec = JailSpec(readable=())
    assert learn(EVERY[0], os.getuid, before=lose_rights, spec=spec) == 1000


@linux
def test_the_keeper_is_closed_to_the_learner(account):
    libc = ctypes.CDLL(None, use_errno=True)

    def attack():
        keeper = os.getppid()

        def attach():
            if libc.ptrace(16, keeper, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "ptrace")

        tries = {
            "ptrace": refused(attach),
            "memory": refused(Path(f"/proc/{keeper}/mem").read_bytes),
            "descriptors": refused(names, f"/proc/{keeper}/fd"),
            "environment": refused(Path(f"/proc/{keeper}/environ").read_bytes),
        }
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP):
            with contextlib.suppress(PermissionError):
                os.kill(keeper, number)
        return tries

    def dumpable(_):
        return libc.prctl(3, 0, 0, 0, 0)

    seen = in_jail(account, attack, init=dumpable)
    assert seen.init == 0
    assert set(seen.learner.values()) <= {"EPERM", "EACCES", "ENOENT"}
    # Init went on and told how the learner ended.
    assert (seen.ended, seen.status) == (0, 0)


@linux
def test_a_settled_keeper_can_only_kill(account):
    def wait():
        signal.pause()

    def end(pid):
        lines = Path("/proc/self/status").read_text().splitlines()
        rights = [int(line.split()[1], 16) for line in lines if line.startswith("CapEff")]
        os.kill(pid, signal.SIGKILL)
        return rights

    seen = in_jail(account, wait, init=end, settle=True)
    assert seen.init == [0 if account.shares else 1 << syscalls.CAP_KILL]
    assert seen.ended == -signal.SIGKILL


@linux
def test_signals_stay_inside(abi):
    """The grader's processes have the same user; an older Landlock does not guard them."""
    libc = ctypes.CDLL(None, use_errno=True)
    others = []

    def beside():
        os.setpgid(0, 0)
        if (pid := os.fork()) == 0:
            os.setpgid(0, 0)
            signal.pause()
        others.extend([pid, os.getpid()])

    def tries(pid):
        """Return the ways to stop a process."""
        stop = signal.SIGSTOP
        info = (ctypes.c_int * 32)(stop, 0, -1)  # as sigqueue(3) fills it in
        pidfd = os.pidfd_open(pid)
        return {
            "kill": lambda: os.kill(pid, stop),
            "pidfd": lambda: signal.pidfd_send_signal(pidfd, stop),
            "tgkill": lambda: called(libc, CALLS["tgkill"], pid, pid, stop),
            "tkill": lambda: called(libc, CALLS["tkill"], pid, stop),
            "queue": lambda: called(libc, CALLS["rt_sigqueueinfo"], pid, stop, info),
            "by a pipe": lambda: fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, pid),
        }

    def attack():
        ways = [(what, way) for pid in (*others, os.getppid()) for what, way in tries(pid).items()]
        done = [what for what, way in ways if refused(way) != "EPERM"]
        done += [pid for pid in others if refused(os.killpg, pid, signal.SIGSTOP) != "EPERM"]
        everybody = refused(os.kill, -1, signal.SIGSTOP) if abi < 6 else "EPERM"
        signal.raise_signal(signal.SIGCHLD)
        child = subprocess.Popen(["sleep", "60"])
        return done, everybody, refused(child.kill)

    def look(_):
        time.sleep(0.05)
        return [Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] for pid in others]

    seen = in_jail(EVERY[3], attack, init=look, beside=beside)
    assert seen.error == ""
    assert seen.learner == [[], "EPERM", "" if abi >= 6 else "EPERM"]
    assert seen.init == ["S", "S"]


#: Numbers of system calls on this machine.
CALLS = {
    name: numbers[1 if platform.machine() == "aarch64" else 0]
    for name, numbers in seccomp.SIGNALS.items()
}


def called(libc, number, *arguments):
    """Make a system call; raise what it fails with."""
    ctypes.set_errno(0)
    passed = [ctypes.c_long(a) if isinstance(a, int) else ctypes.byref(a) for a in arguments]
    if libc.syscall(ctypes.c_long(number), *passed) == -1:
        raise OSError(ctypes.get_errno(), "refused")


@pytest.mark.parametrize("version", [1, 5])
def test_in_its_own_folder_a_learner_makes_no_program_device_or_socket(
    version, monkeypatch, tmp_path
):
    granted = {}
    monkeypatch.setattr(landlock, "abi", lambda: version)
    monkeypatch.setattr(
        landlock, "_restrict", lambda _version, _all, grants: granted.update(grants)
    )
    landlock.shut_in(JailSpec(readable=()), tmp_path)
    # linux/landlock.h: execute, make a device by character or by block, a socket, ioctl
    refused = {0, 6, 9, 11, *([15] if version == 5 else [])}
    rights = {bit for bit in range(20) if granted[tmp_path] >> bit & 1}
    assert rights == set(range(13 if version == 1 else 16)) - refused


@linux
def test_landlock_is_added_within_namespaces(apart):
    """There the learner has init's user, whom signals would reach without it."""
    if landlock_here() < 6:
        pytest.skip("this kernel's Landlock does not guard signals")

    def look():
        Path("/tmp/one").write_text("x")
        Path("/dev/shm/one").write_text("x")
        Path("/tmp/folder").mkdir()
        Path("/tmp/one").rename("/tmp/folder/one")
        return refused(os.kill, 1, 0)

    assert learn(apart, look) == "EPERM"


@linux
def test_system_calls_that_no_exercise_needs_are_refused(account):
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if column is None:
        pytest.skip("there is no filter for this machine")
    libc = ctypes.CDLL(None, use_errno=True)
    denied, absent = seccomp.DENIED, seccomp.ABSENT
    if account.shares:
        denied, absent = denied | seccomp.SHARED_DENIED, absent | seccomp.SHARED_ABSENT

    def call_all():
        answers = {}
        for name, numbers in (denied | absent).items():
            if numbers[column] is not None:
                ctypes.set_errno(0)
                result = libc.syscall(ctypes.c_long(numbers[column]), *[ctypes.c_long(-1)] * 5)
                answers[name] = errno.errorcode.get(ctypes.get_errno()) if result == -1 else ""
        return answers

    answers = learn(account, call_all)
    for name in absent:
        assert answers.pop(name) == "ENOSYS"
    assert set(answers.values()) == {"EPERM"}


HEADERS = Path("/usr/include")


def defined_in(*names):
    """Return the numbers that the kernel's headers give to names, where they are installed."""
    text = "".join(path.read_text() for name in names if (path := HEADERS / name).exists())
    if not text:
        pytest.skip("the kernel's headers are not installed")
    define = re.compile(
        r"^#define[ \t]+(\w+)[ \t]+\(?(0x[0-9a-fA-F]+|\d+)(?:U?L*[ \t]*<<[ \t]*(\d+))?", re.M
    )
    return {name: int(number, 0) << int(by or 0) for name, number, by in define.findall(text)}


@pytest.mark.parametrize(
    ("header", "column"), [("x86_64-linux-gnu/asm/unistd_64.h", 0), ("asm-generic/unistd.h", 1)]
)
def test_system_calls_have_the_numbers_of_the_kernels_headers(header, column):
    numbers = defined_in(header)
    tables = [table for name, table in vars(seccomp).items() if name.isupper()]
    ours = {name: of for table in tables if isinstance(table, dict) for name, of in table.items()}
    known = {}
    for name in ours:  # one that is newer than the headers is in none
        for prefix in ("__NR_", "__NR3264_"):
            if prefix + name in numbers:
                known[name] = numbers[prefix + name]
    assert {name: ours[name][column] for name in known} == known
    assert len(known) > 80


@pytest.mark.parametrize(
    ("module", "prefix", "headers", "least"),
    [
        (syscalls, "", ("sched.h", "mount.h", "prctl.h", "capability.h"), 25),
        (landlock, "LANDLOCK_ACCESS_FS", ("landlock.h",), 5),
        (landlock, "LANDLOCK", ("landlock.h",), 0),  # scopes are newer
    ],
)
def test_flags_have_the_values_of_the_kernels_headers(module, prefix, headers, least):
    numbers = defined_in(*(f"linux/{name}" for name in headers))
    ours = {prefix + name: value for name, value in vars(module).items() if name.isupper()}
    known = ours.keys() & numbers.keys()
    assert {name: ours[name] for name in known} == {name: numbers[name] for name in known}
    assert len(known) >= least


@linux
def test_new_namespaces_cannot_be_had(account):
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 56, "aarch64": 220}.get(platform.machine())

    def clone():
        flags = signal.SIGCHLD | syscalls.CLONE_NEWUSER
        result = libc.syscall(ctypes.c_long(number), ctypes.c_long(flags), *[ctypes.c_long(0)] * 4)
        if result == 0:
            os._exit(0)
        return errno.errorcode.get(ctypes.get_errno()), result

    assert learn(account, clone) == ["EPERM", -1]


#: Answered as if done.
PRETENDED = "pretended"


def evaluate(lines, call, *, machine, arguments=(0, 0, 0)):
    """Run a filter as the kernel would; return the errno it answers, 0 for allowed."""
    words = {0: call, 4: machine, **dict(zip((16, 24, 32), arguments, strict=False))}
    at, word = 0, 0
    while True:
        code, true, false, operand = lines[at]
        at += 1
        if code == 0x20:
            word = words[operand]
        elif code == 0x54:
            word &= operand
        elif code == 0x06:
            allowed = operand == 0x7FFF0000
            return 0 if allowed else operand & 0xFFFF or PRETENDED
        else:
            holds = {
                0x15: word == operand,
                0x35: word >= operand,
                0x45: bool(word & operand),
            }[code]
            at += true if holds else false


@pytest.mark.parametrize(
    ("machine", "architecture", "column"), [("x86_64", 0xC000003E, 0), ("aarch64", 0xC00000B7, 1)]
)
def test_the_filter_decides_as_its_tables_say(machine, architecture, column):
    lines = seccomp.program(machine)

    def answer(number, *arguments):
        return evaluate(lines, number, machine=architecture, arguments=arguments or (0, 0, 0))

    for name, numbers in seccomp.DENIED.items():
        if numbers[column] is not None:
            assert answer(numbers[column]) == errno.EPERM, name
    for name, numbers in seccomp.ABSENT.items():
        assert answer(numbers[column]) == errno.ENOSYS, name
    calls = {name: numbers[column] for name, numbers in seccomp.CONDITIONAL.items()}
    assert answer(calls["socket"], socket.AF_UNIX, 0) == 0
    assert answer(calls["socket"], socket.AF_INET, 0) == errno.EPERM
    assert answer(calls["clone"], signal.SIGCHLD, 0) == 0
    assert answer(calls["clone"], signal.SIGCHLD | syscalls.CLONE_NEWNET, 0) == errno.EPERM
    assert answer(calls["ioctl"], 0, 0x5401) == 0
    assert answer(calls["ioctl"], 0, 0x5412) == errno.EPERM
    assert answer(calls["ioctl"], 0, 0x541C) == errno.EPERM
    assert answer(calls["prlimit64"], 0, 7) == 0
    assert answer(calls["prlimit64"], 1, 7) == errno.EPERM
    # read, write, mmap and their neighbours
    harmless = {0: range(16), 1: range(63, 69)}[column]
    assert [answer(number) for number in harmless] == [0] * len(harmless)
    assert evaluate(lines, 0, machine=0x40000003) == errno.EPERM


@pytest.mark.parametrize("abi", range(1, 8))
@pytest.mark.parametrize(
    ("machine", "architecture", "column"), [("x86_64", 0xC000003E, 0), ("aarch64", 0xC00000B7, 1)]
)
def test_the_filter_guards_what_an_older_landlock_does_not(machine, architecture, column, abi):
    lines = seccomp.program(machine, abi=abi, pid=77)

    def answer(calls, name, *arguments):
        number = calls[name][column]
        if number is None:
            return None
        asked = arguments or (0, 0, 0)
        return evaluate(lines, number, machine=architecture, arguments=asked)

    refusing = {
        errno.EPERM: seccomp.DENIED | seccomp.SHARED_DENIED,
        errno.ENOSYS: seccomp.ABSENT | seccomp.SHARED_ABSENT,
        PRETENDED: seccomp.SHARED_PRETENDED,
    }
    for expected, calls in refusing.items():
        for name in calls:
            assert answer(calls, name) in {expected, None}, name
    some = seccomp.CONDITIONAL | seccomp.SHARED_CONDITIONAL
    cloexec = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    assert answer(some, "socketpair", socket.AF_UNIX, socket.SOCK_STREAM | cloexec) == 0
    assert answer(some, "socketpair", socket.AF_UNIX, socket.SOCK_DGRAM) == errno.EPERM
    assert answer(some, "socketpair", socket.AF_INET, socket.SOCK_STREAM) == errno.EPERM
    assert answer(some, "prctl", 15, 0) == 0
    assert answer(some, "prctl", syscalls.PR_SET_DUMPABLE, 0) == errno.EPERM
    assert answer(some, "ioctl", 0, 0x5401) == 0
    assert answer(some, "ioctl", 0, 0x8901) == errno.EPERM
    assert answer(some, "fcntl", 0, fcntl.F_SETFD) == 0
    assert answer(some, "fcntl", 0, fcntl.F_SETOWN) == errno.EPERM
    for name, process, user in (
        ("setpriority", os.PRIO_PROCESS, os.PRIO_USER),
        ("ioprio_set", 1, 3),
    ):
        assert answer(some, name, process, 0) == 0
        assert answer(some, name, process, 78) == answer(some, name, user, 0) == errno.EPERM
    before_3, before_6 = errno.EPERM if abi < 3 else 0, errno.EPERM if abi < 6 else 0
    for flags, expected in (
        (os.O_RDONLY, 0),
        (os.O_WRONLY | os.O_TRUNC, 0),
        (os.O_RDWR | os.O_TRUNC | os.O_CREAT, 0),
        (os.O_ACCMODE, errno.EPERM),
        (os.O_RDONLY | os.O_TRUNC, before_3),
    ):
        assert answer(some, "openat", 0, 0, flags) == expected, flags
        assert answer(some, "open", 0, flags) in {expected, None}, flags
    assert answer(seccomp.TRUNCATE, "truncate") == before_3
    for name in seccomp.SIGNALS:
        assert answer(seccomp.SIGNALS, name, 78, 0) == before_6, name
    assert answer(seccomp.SIGNALS, "kill", 77, 0) == 0


def test_the_filter_refuses_the_second_numbering_of_x86_64():
    lines = seccomp.program("x86_64")
    assert evaluate(lines, 0x40000000, machine=0xC000003E) == errno.EPERM


# ---------------------------------------------------------------- honest work, and its end


@linux
def test_honest_work_works(account):
    # Imported before the fork, as the engine does: each jail would look through all fonts anew.
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    def work():
        import multiprocessing

        import numpy as np

        mpl.use("agg")
        figure, axes = plt.subplots()
        axes.plot(np.linspace(0, 1, 50) ** 2)
        axes.set_title("$\\rho$")
        figure.savefig("figure.png")
        said = subprocess.run(
            [sys.executable, "-c", "import numpy; print(numpy.arange(4).sum())"],
            capture_output=True,
            text=True,
        )
        shell = subprocess.run("echo $((6 * 7)) | cat", shell=True, capture_output=True, text=True)
        heard = []
        threads = [threading.Thread(target=heard.append, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        squares = []
        if not account.shares:  # semaphores between processes lie in /dev/shm
            with multiprocessing.get_context("fork").Pool(4) as pool:
                squares = pool.map(abs, range(-3, 0))
        return {
            "solve": np.linalg.solve(np.eye(3) * 2, np.ones(3)).tolist(),
            "figure": Path("figure.png").read_bytes()[:4].hex(),
            "python": said.stdout + said.stderr,
            "shell": shell.stdout,
            "threads": sorted(heard),
            "pool": squares,
            "user": __import__("getpass").getuser(),
            "terminal": refused(os.openpty),
        }

    def plain_environment():
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            os.environ.pop(name, None)
        os.environ["MPLCONFIGDIR"] = "/tmp"

    assert learn(account, work, before=plain_environment) == {
        "solve": [0.5, 0.5, 0.5],
        "figure": "89504e47",
        "python": "6\n",
        "shell": "42\n",
        "threads": list(range(8)),
        "pool": [] if account.shares else [3, 2, 1],
        "user": "learner",
        "terminal": "EACCES" if account.shares else "",
    }


@linux
def test_orphans_die_with_the_keeper(account):
    lives, holds = os.pipe()

    def start_orphan():
        if os.fork() == 0:
            os.setsid()
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
            for _ in range(4):
                if os.fork() == 0:
                    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                        signal.signal(number, signal.SIG_IGN)
                    os.kill(os.getpid(), signal.SIGSTOP)
                    while True:
                        with contextlib.suppress(OSError):
                            os.fork()
            os._exit(0)
        os.wait()
        return True

    assert learn(account, start_orphan, keep_fds=[holds])
    os.close(holds)
    # Only the orphan could still hold the other end.
    assert os.read(lives, 1) == b""
    os.close(lives)


@linux
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_jail_ends_with_the_process_it_was_started_from(account, how):
    with standing_jail(account, leave_one_behind) as (started, lives, home):
        os.kill(started, how)
        os.waitpid(started, 0)
        if how == signal.SIGTERM:
            # Waiting for it is waiting for all: nobody holds the other end any more.
            assert select.select([lives], [], [], 0)[0] == [lives]
        assert os.read(lives, 1) == b""
    assert not account.shares or not Path(home).exists()


@linux
def test_a_jail_ends_with_its_keeper(account):
    def end(_):
        os.kill(os.getpid(), signal.SIGKILL)

    def home():
        leave_one_behind()
        os.write(tell, str(Path.home()).encode() + b"\n")
        signal.pause()

    with pipes(1) as ((told, tell),):
        # Within namespaces nobody can kill init from within.
        lives, holds = os.pipe()

        def wait_and_end(_):
            where = os.read(told, 1000)
            os.write(tell, where)
            os._exit(0) if not account.shares else end(None)

        seen = in_jail(account, home, init=wait_and_end, keep_fds=(told, tell, holds))
        os.close(holds)
        assert os.read(lives, 1) == b""
        os.close(lives)
        where = os.read(told, 1000).decode().strip()
    assert seen.status == (128 + signal.SIGKILL if account.shares else 0)
    assert not account.shares or not Path(where).exists()


@linux
def test_who_is_not_the_learner_yet_ends_with_its_keeper_all_the_same():
    """The keeper of a container's root is the learner's user before the learner is."""
    need(EVERY[2])

    def child():
        EVERY[2].begin(SPEC)
        jail.enter_jail(SPEC, keep_fds=[holds, wait], wall=LANDLOCK)
        if os.fork() == 0:
            os.read(wait, 1)
            jail.drop_privileges(SPEC)
            signal.pause()
        jail.settle_keeper()

    def user_of_keeper():
        children = Path(f"/proc/{started}/task/{started}/children").read_text().split()
        return Path(f"/proc/{children[0]}").stat().st_uid if children else 0

    with pipes(1) as ((wait, go),):
        lives, holds = os.pipe()
        started = forked(child, lambda **what: None)
        os.close(holds)
        while user_of_keeper() == 0:
            time.sleep(0.01)
        os.kill(started, signal.SIGKILL)
        os.waitpid(started, 0)
        time.sleep(0.2)  # the keeper is told, and may not kill yet
        os.write(go, b"x")
        assert select.select([lives], [], [], 60)[0] == [lives] and os.read(lives, 1) == b""
        os.close(lives)


@linux
@pytest.mark.soak
def test_nothing_is_left_of_two_hundred_jails_on_a_busy_machine(jails, shared, monkeypatch):
    if not jails.shares:
        pytest.skip("the kernel ends what is within namespaces")
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
    lives, holds = os.pipe()

    def child(draw):
        jail.enter_jail(SPEC, keep_fds=[holds], wall=LANDLOCK)
        if os.fork() == 0:
            jail.drop_privileges(SPEC)
            for _ in range(3):
                leave_one_behind()
            spoil()
            signal.pause()
        jail.settle_keeper()
        time.sleep(draw.choice([0, 0.1, 60]))

    def one(seed):
        draw = random.Random(seed)
        started = forked(lambda: child(draw), lambda **what: None)
        time.sleep(draw.uniform(0, 0.5))
        os.kill(started, signal.SIGTERM)
        os.waitpid(started, 0)

    try:
        for seed in range(200):
            one(seed)
        os.close(holds)
        assert select.select([lives], [], [], 0)[0] == [lives] and os.read(lives, 1) == b""
        assert names(shared) == []
    finally:
        os.close(lives)
        for process in busy:
            process.kill()
            process.wait()


def leave_one_behind():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        os._exit(0)
    os.wait()


@linux
def test_the_end_of_the_keeper_can_be_told_from_outside(jails):
    def end(pid):
        os._exit(7)

    assert in_jail(jails, signal.pause, init=end).status == 7


# ---------------------------------------------------------------------- where it cannot be


def forbid_namespaces():
    """Be where a filter forbids them, as a container's."""
    if not seccomp.is_known():
        pytest.skip("there is no filter for this machine")
    container.forbid_namespaces()


@linux
def test_namespaces_are_the_first_choice_and_landlock_the_second():
    need(EVERY[3])
    if standing() == NAMESPACES:
        assert outcome_of(jail.probe) == NAMESPACES
    assert outcome_of(jail.probe, lambda: EVERY[3].begin(SPEC)) == LANDLOCK
    assert jail.describe(LANDLOCK) == f"Landlock (ABI {landlock_here()})"


@linux
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSYS, "this kernel has no Landlock; Linux has it from 5.13 on"),
        (errno.EOPNOTSUPP, "Landlock is off: add landlock to the kernel's lsm= setting"),
        (errno.EPERM, "a filter around this process refuses Landlock"),
    ],
)
def test_a_machine_that_refuses_both_says_so(code, reason):
    """The filter of a jail itself refuses new namespaces, as a container's would."""

    def forbid_both():
        forbid_namespaces()

        def refuse():
            raise OSError(code, os.strerror(code))

        syscalls.landlock_abi = refuse

    told = outcome_of(jail.why_not, forbid_both)
    assert "cannot make namespaces of its own: Operation not permitted (EPERM)." in told
    assert f"Nor does Landlock do instead: {reason}" in told
    assert "c.ExecuteGraded.allow_unsandboxed = True" in told


@linux
@pytest.mark.parametrize("step", ["mount a new root", "change to the new root", "show /usr"])
def test_the_step_that_fails_is_named(step):
    need(EVERY[1])
    real_mount = syscalls.mount

    def refuse(*_, **__):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def mount(source, target, kind="", flags=0, data=""):
        if {"tmpfs": "mount a new root"}.get(kind) == step or (target, step[5:]) == ("/usr",) * 2:
            refuse()
        real_mount(source, target, kind, flags, data)

    def break_step():
        syscalls.mount = mount
        syscalls.landlock_abi = refuse
        if step == "change to the new root":
            syscalls.pivot_root = refuse

    assert f"cannot {step}: Permission denied (EACCES)." in outcome_of(jail.why_not, break_step)


def open_network():
    seccomp.install = lambda **_: False
    namespaces._NAMESPACES &= ~syscalls.CLONE_NEWNET


def open_files():
    landlock.shut_in = lambda *_: None


def allow_signals():
    landlock.scopes = lambda _: 0


@pytest.mark.parametrize(
    ("hard", "tried"), [(250, 3), (200, 2), (150, 2), (resource.RLIM_INFINITY, 3)]
)
def test_a_limit_for_who_has_other_processes_is_found_by_trying(monkeypatch, hard, tried):
    given = []

    def start(*_):
        if given[-1][0] < 200:
            raise RuntimeError("can't start new thread")

    asked = SimpleNamespace(**vars(resource))
    asked.getrlimit = lambda _: (40, hard)
    asked.setrlimit = lambda _, limits: given.append(limits)
    monkeypatch.setattr(limits, "resource", asked)
    monkeypatch.setattr(limits, "_thread", SimpleNamespace(start_new_thread=start))
    assert limits.of_a_shared_user(50) == 200 + limits._BURST * 50
    assert given == [*[(50, hard), (100, hard), (200, hard)][:tried], (40, hard)]


def refuse_forks():
    limits.of_a_shared_user = lambda _: 1


@linux
@pytest.mark.parametrize(
    ("first", "break_wall", "noticed"),
    [
        (NAMESPACES, open_network, "it can reach the network"),
        (LANDLOCK, open_network, "it can reach the network"),
        (LANDLOCK, open_files, "it sees processes outside and it can signal"),
        (LANDLOCK, open_files, "it can read files outside and it can change files outside"),
        (LANDLOCK, allow_signals, "it can signal processes outside"),
        (LANDLOCK, refuse_forks, "it cannot start a process"),
    ],
)
def test_a_wall_that_does_not_stand_is_noticed(first, break_wall, noticed):
    account = Account("ordinary", first)
    need(account)

    def begin():
        account.begin(SPEC)
        break_wall()

    assert noticed in outcome_of(jail.why_not, begin)


@linux
def test_a_folder_for_temporary_files_that_is_closed_to_the_learner_is_refused(tmp_path):
    """Nothing is left in it all the same."""
    need(EVERY[2])
    tmp_path.chmod(0o700)

    def begin():
        EVERY[2].begin(SPEC)
        tempfile.tempdir = str(tmp_path)

    assert f"its user may not read {tmp_path}" in outcome_of(jail.why_not, begin)
    assert names(tmp_path) == []


@linux
def test_root_that_cannot_give_another_user_is_refused():
    need(EVERY[2])

    def begin():
        EVERY[2].begin(SPEC)
        syscalls.set_capabilities(0)

    assert "it runs as root" in outcome_of(jail.why_not, begin)


@linux
def test_a_processor_without_a_filter_is_refused(monkeypatch):
    need(EVERY[3])
    monkeypatch.setattr(seccomp, "is_known", lambda: False)
    told = outcome_of(jail.why_not, container.forbid_namespaces)
    assert "Nor does Landlock do instead: no filter on system calls is known" in told


def outcome_of(question, before=lambda: None):
    """Return what `question()` answers in a forked process, where `before()` was called."""
    hear, tell = os.pipe()

    def child():
        before()
        os.write(tell, str(question()).encode())

    started = forked(child, lambda **what: os.write(tell, what["error"].encode()))
    os.close(tell)
    with os.fdopen(hear) as stream:
        answer = stream.read()
    os.waitpid(started, 0)
    return answer


@linux
def test_an_older_kernel_makes_mounts_read_only_one_by_one(apart):
    def forget_mount_setattr():
        def absent(*_):
            raise OSError(errno.ENOSYS, "not there")

        syscalls.restrict_mounts = absent

    def look():
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        options = {line.split()[4]: line.split()[5].split(",") for line in lines}
        return options["/usr"], refused(Path("/usr/mine").mkdir)

    options, why = learn(apart, look, before=forget_mount_setattr)
    assert {"ro", "nosuid", "nodev"} <= set(options)
    assert why == "EROFS"


@linux
@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ("rw", 0),
        ("rw,size=7k", 0),
        ("ro,nosuid,nodev,noexec", os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC),
        ("rw,noatime,nodiratime", os.ST_NOATIME | os.ST_NODIRATIME),
        ("rw,relatime", 1 << 21),
    ],
)
def test_a_mount_keeps_the_options_that_it_has(monkeypatch, tmp_path, options, flags):
    """What shields a mount from those inside may not be taken off it, or the kernel refuses."""
    points = ["/a", "/a/b\\040c", "/ab", "/"]
    lines = [f"25 1 8:1 / {point} {options} shared:1 - ext4 /dev/sda rw\n" for point in points]
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "mountinfo").write_text("".join(lines))
    monkeypatch.setattr(files, "_OLD", str(tmp_path))
    assert [*files._mounts_at("/a")] == [("/a", flags), ("/a/b c", flags)]


def test_another_system_is_told_what_jails_need(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "this is another system" in jail.why_not()
    with pytest.raises(JailUnavailable, match="allow_unsandboxed"):
        jail.enter_jail(SPEC, keep_fds=[])


@linux
def test_a_path_that_does_not_exist_is_named(jails):
    seen = in_jail(jails, bool, spec=replace(SPEC, readable=("/no/such/venv",)))
    assert seen.ended != 0
    assert "ValueError: readable: '/no/such/venv' cannot be read: No such file" in seen.error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"readable": ("/",)}, "readable: expected absolute paths below /, got '/'"),
        ({"readable": ("/a/../b",)}, "readable: expected absolute paths"),
        ({"overlays": (("here", "/there"),)}, "overlays: expected absolute paths"),
        ({"work": "/var/work"}, "work: expected a folder below /tmp"),
        ({"memory_bytes": 2.0}, "memory_bytes: expected a positive whole number, got 2.0"),
        ({"processes": 0}, "processes: expected a positive whole number, got 0"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        JailSpec(**{"readable": ("/opt",)} | settings)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (jail.drop_privileges, [SPEC]),
        (jail.outgrown, [SPEC]),
        (jail.settle_keeper, []),
        (jail.resident_bytes_inside, []),
        (jail.work_folder, []),
    ],
)
def test_outside_of_a_jail_there_is_nothing_to_settle_or_measure(function, arguments):
    with pytest.raises(RuntimeError, match="enter_jail has not been called"):
        function(*arguments)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor profile"),
        ("user/max_user_namespaces", "0", "15000"),
    ],
)
def test_a_kernel_setting_that_forbids_namespaces_is_named(
    monkeypatch, tmp_path, name, value, remedy
):
    setting = tmp_path / name
    setting.parent.mkdir()
    setting.write_text(f"{value}\n")
    monkeypatch.setattr(hints, "_SYSTEM_SETTINGS", tmp_path)
    said = hints.explain()
    assert f"{name.replace('/', '.')} is {value}" in said
    assert remedy in said


def test_a_container_is_told_how_to_be_started(monkeypatch, tmp_path):
    (tmp_path / "mark").touch()
    monkeypatch.setattr(hints, "_SYSTEM_SETTINGS", tmp_path)
    monkeypatch.setattr(hints, "_CONTAINER_MARKS", (str(tmp_path / "mark"),))
    assert "seccomp=unconfined" in hints.explain()
    monkeypatch.setattr(hints, "_CONTAINER_MARKS", ())
    assert "forbids namespaces" in hints.explain()
