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
    for name in ("requirements.lock", "pyproject.toml"):
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


def main():
    """Create `.venv` from the lock file unless it is already what is wanted."""
    check_python()
    target = wanted()
    if installed() == target:
        return
    import subprocess
    import venv

    print("servemath: setting up .venv (about a minute, once)")
    sys.stdout.flush()
    venv.EnvBuilder(with_pip=True, clear=os.path.exists(VENV), symlinks=os.name != "nt").create(
        VENV
    )
    python = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin", "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for arguments in (
        ["-r", "requirements.lock"],
        ["--no-deps", "--no-build-isolation", "-e", "."],
    ):
        if subprocess.call(pip + arguments, cwd=ROOT) != 0:
            fail(
                "could not install " + " ".join(arguments) + "; the lines above say why. "
                "The next make tries again."
            )
    # Labs work without it, only less smoothly.
    with open(os.devnull, "w") as nowhere:
        subprocess.call([python, "-m", "servemath_helpers.labs.server"], cwd=ROOT, stdout=nowhere)
    with open(STAMP + ".new", "w") as stream:
        stream.write(target)
    os.rename(STAMP + ".new", STAMP)


if __name__ == "__main__":
    main()
