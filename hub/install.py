"""Install what a hub runs: ``python3 hub/install.py /opt/servemath``, in the course folder.

What everybody runs goes to that folder: JupyterHub, its proxy, the learner bundle. The course's own
environment, which `make setup` made, gets JupyterHub besides, for formgrader.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

COURSE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(COURSE))

from autograder.machine.setup_venv import like_pip  # noqa: E402

HUB = ("-r", "hub/requirements.lock")


def run(*command: object) -> None:
    """Run a command in the course folder; what it says matters only if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=COURSE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"servemath: {command[0]} failed:\n{done.stdout}{done.stderr}")


def add(environment: Path, *packages: object) -> None:
    """Install packages into an environment: with uv where it is, else with its own pip."""
    python = environment / "bin/python"
    uv = shutil.which("uv")
    if uv:
        arguments, variables = like_pip(str(python))
        command = [uv, "pip", "install", "--quiet", "--python", python, *arguments, *packages]
        if not subprocess.call(command, cwd=COURSE, env=variables):
            return
    run(python, "-m", "pip", "install", "--disable-pip-version-check", *packages)


def main(target: Path) -> None:
    """Install everything below `target`, and what staff need into the course's environment."""
    venv.create(target, with_pip=True)
    run("make", "bundle")
    add(target, "-r", "requirements-learn.lock", *HUB, "dist/servemath-learner.zip")
    add(COURSE / ".venv", *HUB)

    # Learners grade nothing and make no assignments.
    jupyter = target / "bin/jupyter"
    for part in ("formgrader", "create-assignment", "course-list"):
        run(jupyter, "labextension", "disable", "--level=sys_prefix", f"@jupyter/nbgrader:{part}")
    for part in ("formgrader", "course_list"):
        name = f"nbgrader.server_extensions.{part}"
        run(jupyter, "server", "extension", "disable", "--sys-prefix", name)

    # A link to a section lands on it, as in the bundle.
    labconfig = target / "etc/jupyter/labconfig"
    labconfig.mkdir(parents=True, exist_ok=True)
    overrides = "default_setting_overrides.json"
    shutil.copy(COURSE / "autograder/authoring/labconfig" / overrides, labconfig)

    (target / "proxy").mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(COURSE / "hub" / name, target / "proxy")
    run("npm", "ci", "--no-audit", "--no-fund", "--prefix", target / "proxy")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("servemath: where to? for example: python3 hub/install.py /opt/servemath")
    main(Path(sys.argv[1]).absolute())
