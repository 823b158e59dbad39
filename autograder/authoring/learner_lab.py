"""JupyterLab as a learner meets it: it opens the start page, and what only staff need is not there.

Validate stays. A hub's learners keep the assignment list, which is how they hand in: this is for
somebody's own computer.
"""

from __future__ import annotations

import json
from pathlib import Path

from autograder.authoring.build import from_text, serialise
from autograder.authoring.outline import about, place
from autograder.course import Course
from autograder.files import write_atomically

#: The notebook that is opened first, beside the folders of the chapters.
START = "start.ipynb"

#: What a folder in which Jupyter looks for configuration holds for a learner. `page_config.json`
#: leaves out what only staff need. `default_setting_overrides.json` asks another host for no news,
#: and lets links land: only in the mode "defer" does JupyterLab 4.6 know how tall what stands above
#: a section is when a link opens the notebook; in its other modes it ends a screen beside the
#: section, or at the top. The bundle, `servemath lab` and `binder/postBuild` take both files,
#: `hub/install.py` the second: a hub's learners hand in with the assignment list.
_LABCONFIG = Path(__file__).with_name("labconfig")

#: What ``jupyter lab --config`` reads; Jupyter looks for none in the folder where it is started.
CONFIG = "jupyter_lab_config.py"


def settings(folder: str) -> dict[str, str]:
    """Return the files that leave out what only staff need and let links land, by their path.

    Parameters
    ----------
    folder : str
        The folder that they are to stand in; Jupyter has to look for configuration there.
    """
    return {
        f"{folder}/{_LABCONFIG.name}/{file.name}": file.read_text(encoding="utf-8")
        for file in sorted(_LABCONFIG.glob("*.json"))
    }


def companions(course: Course) -> dict[str, str]:
    """Return the notebooks that learners have beside the folders of the chapters, by file name.

    Parameters
    ----------
    course : Course
        A course whose notebooks are built.
    """
    guides = [text.with_suffix(".ipynb") for text in course.guides()]
    found = {guide.name: guide.read_text(encoding="utf-8") for guide in guides}
    if course.start.is_file():
        found[START] = start_notebook(course)
    return found


def write_companions(course: Course) -> list[tuple[Path, bool]]:
    """Put the companions into ``release/``; return each, and whether its content changed."""
    return [
        (course.release / name, write_atomically(course.release / name, text))
        for name, text in companions(course).items()
    ]


def start_notebook(course: Course) -> str:
    """Return the notebook that a learner meets first, beside the folders of the chapters.

    Parameters
    ----------
    course : Course
        A course whose notebooks are built.
    """
    rows = ["| chapter | read | solve | play |", "|:--|:--|:--|:--|"]
    for number, chapter in enumerate(json.loads(place(course).read_text("utf-8")), start=1):
        name = chapter["name"]
        plays = (course.source / name / "lab.py").is_file()
        solving = sum(exercise["minutes"] for exercise in chapter["exercises"])
        rows.append(
            f"| {number} · {chapter['title']} "
            f"| [theory]({name}/theory.ipynb), {about(chapter['minutes']['theory'])} "
            f"| [exercises]({name}/exercises.ipynb), {about(solving)} "
            f"| {f'[lab]({name}/lab.ipynb)' if plays else '–'} |"
        )
    return serialise(from_text(course.start, chapters="\n".join(rows)))


def lab_config(folder: str, start: str) -> str:
    """Return a file for ``jupyter lab --config``, which works in the file's folder.

    Parameters
    ----------
    folder : str
        The folder with `settings` in it, relative to the file.
    start : str
        The notebook to open, relative to the file.
    """
    return f"""\
# jupyter lab --config=jupyter_lab_config.py: it opens the start page, has no menus for staff, and
# a link to a section lands on it.
import os
from pathlib import Path

c = get_config()  # noqa: F821
c.LabApp.default_url = "/lab/tree/{start}"
folders = [str(Path(__file__).resolve().parent / "{folder}"), os.environ.get("JUPYTER_CONFIG_PATH")]
os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, folders))
"""
