"""Create or bring up to date the virtual environment `.venv`; needs only a Python.

Run as a script, by any Python there is, so that a wrong one gets a clear line:
this file stays within the syntax of Python 2 and imports lazily.
"""

from __future__ import print_function

import os
import sys

OLDEST, NEWEST = (3, 11), (3, 13)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, ".installed")
LOCK = "requirements.lock"  # for staff: what learners have, and more
LEARNERS = "requirements-learn.lock"


def fail(message):
    """End with one line for a person."""
    sys.stderr.write("servemath: " + message + "\n")
    sys.exit(1)


def check_python():
    """Refuse a Python that the pinned packages do not support."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        fail(
            "Python %d.%d to %d.%d is needed, but %s is %d.%d. "
            "Name another one: make PYTHON=python3.12 ..."
            % (OLDEST + NEWEST + (sys.executable,) + tuple(sys.version_info[:2]))
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        fail(
            "this Python cannot create virtual environments (ensurepip is missing). "
            "On Debian or Ubuntu: apt install python%d.%d-venv" % tuple(sys.version_info[:2])
        )


def wanted():
    """Return what the environment must match: the lock, the project, the Python."""
    import hashlib

    digest = hashlib.sha256(("%d.%d " % tuple(sys.version_info[:2]) + ROOT).encode())
    for name in (LOCK, "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as stream:
            digest.update(stream.read())
    return digest.hexdigest()


def installed():
    """Return what the environment was last brought up to, or an empty string."""
    try:
        with open(STAMP) as stream:
            return stream.read()
    except (IOError, OSError):
        return ""


def like_pip(python):
    """Return how to tell uv what pip is told here: which index, which folders, which proof."""
    import subprocess

    done = subprocess.Popen([python, "-m", "pip", "config", "list"], stdout=subprocess.PIPE)
    told = done.communicate()[0].decode("utf-8", "replace").splitlines()
    said = {}
    # What the environment says comes before what a file says.
    for line in sorted(told, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        said[name.rpartition(".")[2]] = value.strip("'\"").replace("\\n", " ").split()
    arguments, environment = [], dict(os.environ)
    if any(name.startswith("UV_") and "INDEX" in name for name in environment):
        return [], environment  # it has settings of its own
    for name in ("index-url", "extra-index-url", "find-links", "constraint"):
        for value in said.get(name, ()):
            arguments += ["--" + name, value]
    if said.get("no-index") in (["1"], ["true"], ["yes"], ["on"]):
        arguments.append("--no-index")
    # To pip all indexes are one; uv would ask the first that has the name and no other.
    arguments += ["--index-strategy", "unsafe-best-match"]
    for name, variable in (("cert", "SSL_CERT_FILE"), ("proxy", "ALL_PROXY")):
        if name in said:
            environment.setdefault(variable, " ".join(said[name]))
    return arguments, environment


def installers(python):
    """Return commands that install, with their environment: by uv where it is, then by pip."""
    import shutil

    everything = ["-r", LOCK]
    course = ["--no-deps", "--no-build-isolation", "-e", "."]
    ways = []
    uv = shutil.which("uv")
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", python]
        arguments, environment = like_pip(python)
        # What learners have is compiled at once, because what they hand in runs as somebody
        # who may not write here; the rest when it is first imported.
        learners = ["--compile-bytecode", "-r", LEARNERS]
        ways.append(
            ([command + arguments + what for what in (learners, everything, course)], environment)
        )
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    ways.append(([command + what for what in (everything, course)], None))
    return ways


def install(python):
    """Install what the lock pins, then the course itself."""
    import subprocess

    for commands, environment in installers(python):
        if not any(subprocess.call(command, cwd=ROOT, env=environment) for command in commands):
            return
    fail("could not install the packages; the lines above say why. The next make tries again.")


def main():
    """Create `.venv` from the lock file unless it is already what is wanted."""
    check_python()
    target = wanted()
    if installed() == target:
        return
    import subprocess
    import venv

    print("servemath: setting up .venv (seconds with uv, about a minute without, once)")
    sys.stdout.flush()
    venv.EnvBuilder(with_pip=True, clear=os.path.exists(VENV), symlinks=os.name != "nt").create(
        VENV
    )
    python = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin", "python")
    install(python)
    # Labs work without it, only less smoothly.
    with open(os.devnull, "w") as nowhere:
        subprocess.call([python, "-m", "servemath_helpers.labs.server"], cwd=ROOT, stdout=nowhere)
    with open(STAMP + ".new", "w") as stream:
        stream.write(target)
    os.rename(STAMP + ".new", STAMP)


if __name__ == "__main__":
    main()
