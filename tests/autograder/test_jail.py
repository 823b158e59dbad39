"""Jails: what learner code sees, may do and leaves behind.

Each test forks, enters a jail and runs a function there, once started as root and once as an
ordinary user (where the tests themselves run as root; else only as who runs them).
"""

import contextlib
import ctypes
import errno
import functools
import json
import os
import platform
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from autograder.grading.engine import jail
from autograder.grading.engine.jail import (
    JailSpec,
    JailUnavailable,
    enter,
    hints,
    seccomp,
    syscalls,
)

ROOT = Path(__file__).parents[2]
ORDINARY_UID = 54321
SPEC = JailSpec(readable=(sys.prefix, sys.base_prefix))
MIB = 2**20

linux = pytest.mark.skipif(sys.platform != "linux", reason="jails are made of Linux namespaces")


@pytest.fixture(params=["root", "ordinary"])
def account(request):
    """Who starts the jail."""
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("started by an ordinary user")
    need_jails()
    return request.param


@pytest.fixture
def jails():
    """The account that runs the tests starts the jail."""
    need_jails()
    return "root" if os.geteuid() == 0 else "ordinary"


@pytest.fixture
def shared():
    """A folder that every account may read."""
    with tempfile.TemporaryDirectory(prefix="test_isolate_") as folder:
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


def need_jails():
    if (reason := jail.why_not()) is not None:
        assert not namespaces_can_be_had(), reason
        pytest.skip(reason)


@dataclass(frozen=True)
class Seen:
    """What came out of a jail."""

    learner: object  # what the learner's function returned
    init: object  # what the function in init returned
    ended: int  # exit code of the learner's process, negative for a signal
    status: int  # exit code of the process that the jail was started from
    error: str  # traceback of what went wrong


def in_jail(account, learner, *, init=None, spec=SPEC, keep_fds=(), before=None, settle=False):
    """Run `learner()` in a jail that `account` starts, `init(pid)` in its init meanwhile.

    It returns when no process of the jail holds the pipe for answers any more.
    """
    hear, tell = os.pipe()

    def say(**what):
        os.write(tell, json.dumps(what).encode() + b"\n")

    def child():
        if before is not None:
            before()
        if account == "ordinary" and os.geteuid() == 0:
            become_ordinary()
        jail.enter_jail(spec, keep_fds=[tell, *keep_fds])
        if (pid := os.fork()) == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            jail.drop_privileges(spec)
            say(learner=learner())
            return
        if settle:
            jail.settle_init()
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
    """Give a jail in which `learner()` has run: the process it was started from, and a pipe
    that ends when every process inside has.
    """
    lives, holds = os.pipe()

    def child():
        if account == "ordinary" and os.geteuid() == 0:
            become_ordinary()
        jail.enter_jail(spec, keep_fds=[holds])
        if os.fork() == 0:
            jail.drop_privileges(spec)
            learner()
            with contextlib.suppress(BrokenPipeError):
                os.write(holds, b".")
        while True:
            signal.pause()

    started = forked(child, lambda **what: os.write(holds, what["error"].encode()))
    os.close(holds)
    try:
        assert os.read(lives, 1) == b"."
        yield started, lives
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


def become_ordinary():
    """Become an ordinary user who may read the environment that the tests run in."""
    closed = [path for path in SPEC.readable if not readable_by_all(Path(path))]
    if closed:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    for path in map(Path, closed):
        held = os.open(path, os.O_PATH)
        syscalls.mount("tmpfs", str(Path("/", path.parts[1])), "tmpfs", data="mode=755")
        path.mkdir(parents=True)
        flags = syscalls.MS_BIND | syscalls.MS_REC
        syscalls.mount(f"/proc/self/fd/{held}", str(path), flags=flags)
        os.close(held)
    os.setgroups([])
    os.setresgid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)
    os.setresuid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID)


def readable_by_all(path):
    return all(folder.stat().st_mode & 0o5 == 0o5 for folder in (path, *path.parents))


def refused(call, *arguments, **named):
    """Return the name of the errno that `call` fails with, or an empty string."""
    try:
        call(*arguments, **named)
    except OSError as error:
        return errno.errorcode[error.errno]
    return ""


def names(folder="."):
    return sorted(entry.name for entry in Path(folder).iterdir())


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
        return {
            "found": [str(place) for place in places if os.path.lexists(place)],
            "python": Path(sys.prefix).is_dir(),
            "folder": str(Path.cwd()),
            "there": names(),
            "host": socket.gethostname(),
        }

    seen = learn(account, look)
    assert seen["found"] == []
    assert seen["python"]
    assert (seen["folder"], seen["there"]) == ("/tmp/work", [])
    assert seen["host"] == "jail"


@linux
def test_no_other_process_is_to_be_seen(account):
    def look():
        numbers = sorted(int(name) for name in names("/proc") if name.isdigit())
        return numbers, os.getpid(), refused(os.kill, 3, 0)

    numbers, own, stranger = learn(account, look)
    assert set(numbers) <= {own}
    assert own == 2
    assert stranger == "ESRCH"


@linux
def test_every_namespace_is_a_new_one(account):
    kinds = ("mnt", "pid", "net", "ipc", "uts", "cgroup")

    def look(_=None):
        return [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds]

    inside = in_jail(account, bool, init=look).init
    shared = [
        kind for kind, here, there in zip(kinds, inside, look(), strict=True) if here == there
    ]
    assert shared == []


@linux
def test_an_overlay_shows_the_other_folder(account, shared):
    installed, withheld = shared / "installed", shared / "withheld"
    for folder in (installed, withheld):
        folder.mkdir()
        (folder / "name.txt").write_text(folder.name)
    (installed / "answers.txt").write_text("42")

    def look():
        return names(installed), (installed / "name.txt").read_text()

    spec = replace(
        SPEC,
        readable=(*SPEC.readable, str(installed), str(installed)),
        overlays=((str(withheld), str(installed)),),
    )
    assert learn(account, look, spec=spec) == [["name.txt"], "withheld"]


@linux
def test_the_more_specific_path_wins(account, shared):
    course = shared / "course"
    for name in ("package", "source/keys", "source/shared"):
        (course / name).mkdir(parents=True)
    link = shared / "link"
    link.symlink_to(course / "package")

    def look():
        return (
            names(course),
            names(course / "source"),
            link.is_dir(),
            refused((course / "source/new").mkdir),
        )

    spec = replace(
        SPEC,
        readable=(*SPEC.readable, str(course), str(course / "source/shared"), str(link)),
        hidden=(str(course / "source"), str(shared / "nowhere")),
    )
    assert learn(account, look, spec=spec) == [["package", "source"], ["shared"], True, "EROFS"]


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
            local = [s.close() for s in (*socket.socketpair(), socket.socket(socket.AF_UNIX))]
            return {name: refused(socket.socket, *kind) for name, kind in kinds.items()}, len(local)

        def knock_unfiltered(_):
            return refused(socket.create_connection, address)

        seen = in_jail(account, knock, init=knock_unfiltered)
    assert seen.learner == [dict.fromkeys(kinds, "EPERM"), 3]
    # The network namespace is a wall of its own, behind the seccomp.
    assert seen.init == "ENETUNREACH"


@linux
def test_nothing_outside_of_tmp_can_be_written(account):
    places = ["/", "/etc", "/usr", "/dev", "/proc", "/usr/lib", sys.prefix, sys.base_prefix]

    def write():
        made = [place for place in places if not refused(Path(place, "mine").write_text, "x")]
        Path("mine").write_text("x")
        Path("/dev/shm/mine").write_text("x")
        Path("/dev/null").write_text("x")
        return made, refused(os.chmod, "/usr", 0o777)

    made, chmod = learn(account, write)
    assert made == []
    assert chmod in {"EROFS", "EPERM"}
    assert not Path(sys.prefix, "mine").exists()


@linux
def test_what_is_written_does_not_survive(account):
    def write():
        before = names("/tmp"), names("/dev/shm")
        for name in ("/tmp/left_behind", "left_behind", "/dev/shm/left_behind"):
            Path(name).write_text("answers for the next one")
        return before

    # What is readable may itself lie below /tmp, as a checkout there does.
    visible = {Path(path).parts[2] for path in SPEC.readable if Path(path).parts[1] == "tmp"}
    for _ in range(2):
        found, shared = learn(account, write)
        assert (set(found) - visible, shared) == ({"work"}, [])
    assert not Path("/tmp/left_behind").exists()
    assert not Path("/dev/shm/left_behind").exists()


# -------------------------------------------------------------------------- how much


@linux
def test_files_are_limited_one_by_one_and_together(account):
    def fill():
        with contextlib.suppress(OSError), Path("one").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(256 * 1024))
        why = [refused(Path(f"file{number}").write_bytes, bytes(MIB)) for number in range(3)]
        return Path("one").stat().st_size, why

    spec = replace(SPEC, file_bytes=MIB)
    assert learn(account, fill, spec=spec) == [MIB, ["", "ENOSPC", "ENOSPC"]]


@linux
def test_memory_of_a_process_is_limited(account):
    def fill():
        own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        with pytest.raises(MemoryError):
            bytearray(2**31)
        return own + len(bytearray(16 * MIB))

    assert learn(account, fill) < SPEC.memory_bytes


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

    assert learn(account, bomb, spec=replace(SPEC, processes=20)) == 19


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
def test_limits_cannot_be_raised_nor_put_on_init(account):
    def raise_them():
        kinds = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
        raised = []
        for name in kinds:
            which = getattr(resource, name)
            soft, hard = resource.getrlimit(which)
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(which, (soft, hard + 1))
                raised.append(name)
        on_init = [
            refused(resource.prlimit, 1, resource.RLIMIT_NOFILE, (3, 3)),
            refused(os.setpriority, os.PRIO_PROCESS, 1, 19),
            refused(os.sched_setaffinity, 1, os.sched_getaffinity(0)),
            refused(os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0)),
        ]
        os.nice(1)
        os.sched_setaffinity(0, os.sched_getaffinity(0))
        return raised, on_init

    assert learn(account, raise_them) == [[], ["EPERM"] * 4]


@linux
@pytest.mark.parametrize("own_proc", [True, False])
def test_init_sees_how_much_memory_is_used(account, own_proc):
    """Also where a container lets nobody mount /proc."""
    asked, ask = os.pipe()
    told, tell = os.pipe()
    mount = syscalls.mount

    def no_proc():
        def refuse(source, target, kind="", flags=0, data=""):
            if kind == "proc":
                raise OSError(errno.EPERM, "refused")
            mount(source, target, kind, flags, data)

        if not own_proc:
            syscalls.mount = refuse

    def use():
        # A learner hides as well as it can: in a grandchild, closed to others.
        if os.fork() == 0:
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
            held = b"x" * (64 * MIB)
            Path("file").write_bytes(held[: 16 * MIB])
            os.write(tell, b"x")
            os.read(asked, 1)
            os._exit(len(held) % 2)
        os.wait()
        return names("/proc")

    def measure(_):
        before = jail.resident_bytes_inside()
        os.read(told, 1)
        after = jail.resident_bytes_inside()
        os.write(ask, b"x")
        return before, after

    seen = in_jail(
        account, use, init=measure, keep_fds=(asked, ask, told, tell), before=no_proc, settle=True
    )
    for descriptor in (asked, ask, told, tell):
        os.close(descriptor)
    assert seen.error == ""
    assert seen.init[1] > 80 * MIB
    assert bool(seen.learner) == own_proc


@linux
def test_of_a_learner_who_has_ended_only_files_are_counted(account):
    def measure(pid):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return jail.resident_bytes_inside()

    seen = in_jail(account, lambda: Path("file").write_bytes(bytes(3 * MIB)), init=measure)
    assert seen.init == 3 * MIB


# ------------------------------------------------------------------- who, and what rights


@linux
def test_the_learner_has_no_privileges(account):
    def look():
        lines = Path("/proc/self/status").read_text().splitlines()
        state = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
        ids = os.getresuid() + os.getresgid() + tuple(os.getgroups())
        return {name: int(state[name], 16) for name in wanted}, sorted(set(ids) - {65534})

    state, ids = learn(account, look)
    assert 0 not in ids
    assert len(ids) == 1
    filtered = 2 if platform.machine() in {"x86_64", "aarch64"} else 0
    nothing = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
    assert state == nothing | {"NoNewPrivs": 1, "Seccomp": filtered}


@linux
def test_jails_of_root_have_a_uid_each():
    need_jails()
    if os.geteuid() != 0:
        pytest.skip("started by an ordinary user")
    assert learn("root", os.getuid) != learn("root", os.getuid)


@linux
def test_root_that_may_not_mount_starts_a_jail_like_an_ordinary_user():
    need_jails()
    if os.geteuid() != 0:
        pytest.skip("started by an ordinary user")

    def lose_rights():
        lines = Path("/proc/self/status").read_text().splitlines()
        rights = next(int(line.split()[1], 16) for line in lines if line.startswith("CapPrm"))
        syscalls.set_capabilities(rights & ~(1 << syscalls.CAP_SYS_ADMIN))

    spec = JailSpec(readable=())
    assert learn("root", os.getuid, before=lose_rights, spec=spec) == 1000


@linux
def test_init_is_closed_to_the_learner(account):
    libc = ctypes.CDLL(None, use_errno=True)

    def attack():
        def attach():
            if libc.ptrace(16, 1, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "ptrace")

        tries = {
            "ptrace": refused(attach),
            "memory": refused(Path("/proc/1/mem").read_bytes),
            "descriptors": refused(names, "/proc/1/fd"),
            "environment": refused(Path("/proc/1/environ").read_bytes),
        }
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP):
            with contextlib.suppress(PermissionError):
                os.kill(1, number)
        return tries

    def dumpable(_):
        return libc.prctl(3, 0, 0, 0, 0)

    seen = in_jail(account, attack, init=dumpable)
    assert seen.init == 0
    assert set(seen.learner.values()) <= {"EPERM", "EACCES", "ENOENT"}
    # Init went on and told how the learner ended.
    assert (seen.ended, seen.status) == (0, 0)


@linux
def test_a_settled_init_can_only_kill(account):
    def wait():
        signal.pause()

    def end(pid):
        lines = Path("/proc/self/status").read_text().splitlines()
        rights = [int(line.split()[1], 16) for line in lines if line.startswith("CapEff")]
        os.kill(pid, signal.SIGKILL)
        return rights

    seen = in_jail(account, wait, init=end, settle=True)
    assert seen.init == [1 << syscalls.CAP_KILL]
    assert seen.ended == -signal.SIGKILL


@linux
def test_system_calls_that_no_exercise_needs_are_refused(account):
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if column is None:
        pytest.skip("there is no filter for this machine")
    libc = ctypes.CDLL(None, use_errno=True)

    def call_all():
        answers = {}
        for name, numbers in (seccomp.DENIED | seccomp.ABSENT).items():
            if numbers[column] is not None:
                ctypes.set_errno(0)
                result = libc.syscall(ctypes.c_long(numbers[column]), *[ctypes.c_long(-1)] * 5)
                answers[name] = errno.errorcode.get(ctypes.get_errno()) if result == -1 else ""
        return answers

    answers = learn(account, call_all)
    for name in seccomp.ABSENT:
        assert answers.pop(name) == "ENOSYS"
    assert set(answers.values()) == {"EPERM"}


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


def evaluate(lines, call, *, machine, arguments=(0, 0)):
    """Run a filter as the kernel would; return the errno it answers, 0 for allowed."""
    words = {0: call, 4: machine, 16: arguments[0], 24: arguments[1]}
    at, word = 0, 0
    while True:
        code, true, false, operand = lines[at]
        at += 1
        if code == 0x20:
            word = words[operand]
        elif code == 0x06:
            return operand & 0xFFFF if operand != 0x7FFF0000 else 0
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
        return evaluate(lines, number, machine=architecture, arguments=arguments or (0, 0))

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


def test_the_filter_refuses_the_second_numbering_of_x86_64():
    lines = seccomp.program("x86_64")
    assert evaluate(lines, 0x40000000, machine=0xC000003E) == errno.EPERM


# ---------------------------------------------------------------- honest work, and its end


@linux
def test_honest_work_works(account):
    def work():
        import multiprocessing

        import matplotlib as mpl
        import numpy as np

        mpl.use("agg")
        from matplotlib import pyplot as plt

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
            "terminal": os.isatty(os.openpty()[1]),
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
        "pool": [3, 2, 1],
        "user": "learner",
        "terminal": True,
    }


@linux
def test_orphans_die_with_init(account):
    lives, holds = os.pipe()

    def start_orphan():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                while True:
                    signal.pause()
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
    with standing_jail(account, bool) as (started, lives):
        os.kill(started, how)
        os.waitpid(started, 0)
        if how == signal.SIGTERM:
            # Waiting for it is waiting for all: nobody holds the other end any more.
            assert select.select([lives], [], [], 0)[0] == [lives]
        assert os.read(lives, 1) == b""


@linux
def test_the_end_of_init_can_be_told_from_outside(jails):
    def end(pid):
        os._exit(7)

    assert in_jail(jails, signal.pause, init=end).status == 7


# ---------------------------------------------------------------------- where it cannot be


@linux
def test_a_machine_that_refuses_namespaces_says_so(jails):
    """The filter of a jail itself refuses new namespaces, as a container's would."""

    def forbid_namespaces():
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        if not seccomp.install():
            pytest.skip("there is no filter for this machine")

    reason = outcome_of(jail.why_not, forbid_namespaces)
    assert "cannot make namespaces of its own: Operation not permitted (EPERM)." in reason
    assert "c.ExecuteGraded.allow_unsandboxed = True" in reason


@linux
@pytest.mark.parametrize("step", ["mount a new root", "change to the new root", "show /usr"])
def test_the_step_that_fails_is_named(jails, step):
    real_mount = syscalls.mount

    def refuse(*_, **__):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def mount(source, target, kind="", flags=0, data=""):
        if {"tmpfs": "mount a new root"}.get(kind) == step or (target, step[5:]) == ("/usr",) * 2:
            refuse()
        real_mount(source, target, kind, flags, data)

    def break_step():
        syscalls.mount = mount
        if step == "change to the new root":
            syscalls.pivot_root = refuse

    assert f"cannot {step}: Permission denied (EACCES)." in outcome_of(jail.why_not, break_step)


@linux
def test_a_wall_that_does_not_stand_is_noticed(jails):
    def break_wall():
        seccomp.install = lambda: False
        enter._NAMESPACES &= ~syscalls.CLONE_NEWNET

    assert "it can reach the network" in outcome_of(jail.why_not, break_wall)


def outcome_of(question, before):
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
def test_an_older_kernel_makes_mounts_read_only_one_by_one(account):
    def forget_mount_setattr():
        def absent(*_):
            raise OSError(errno.ENOSYS, "not there")

        syscalls.restrict_mounts = absent

    def look():
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        options = {line.split()[4]: line.split()[5].split(",") for line in lines}
        return options["/usr"], refused(Path("/usr/mine").mkdir)

    options, why = learn(account, look, before=forget_mount_setattr)
    assert {"ro", "nosuid", "nodev"} <= set(options)
    assert why == "EROFS"


def test_another_system_is_told_what_jails_need(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "this is not Linux" in jail.why_not()
    with pytest.raises(JailUnavailable, match="allow_unsandboxed"):
        jail.enter_jail(SPEC, keep_fds=[])


@linux
def test_a_path_that_does_not_exist_is_named(jails):
    seen = in_jail(jails, bool, spec=replace(SPEC, readable=("/no/such/venv",)))
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


@pytest.mark.parametrize("function", [jail.settle_init, jail.resident_bytes_inside])
def test_outside_of_a_jail_there_is_nothing_to_settle_or_measure(function):
    with pytest.raises(RuntimeError, match="enter_jail has not been called"):
        function()


def test_learners_privileges_are_not_dropped_outside_of_a_jail():
    with pytest.raises(RuntimeError, match="enter_jail has not been called"):
        jail.drop_privileges(SPEC)


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
