"""The theory of each chapter as a page: the built notebook with its outputs, nothing executed.

Notebooks are copied into ``docs/course`` (which git ignores) with links that lead within the site,
words in the place of links to what only learners' folders hold, code of pictures folded, and the
kernel's dotted cells that only set things up folded too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

HERE = Path(__file__).resolve().parent
SOURCE, TARGET = HERE.parents[1] / "source", HERE.parent / "course"

_TO_PAGES = re.compile(r"\]\(\.\./\.\./docs/")
#: Links to notebooks that learners have and the site has not: all exercises of a section, or one.
_TO_NOTEBOOK = re.compile(r"\[([^\]]+)\]\((exercises|lab)\.ipynb\)")
_TO_EXERCISE = re.compile(r"\[([^\]]+)\]\(exercises\.ipynb#[^)]*\)")
_SETUP = re.compile(r"^(import|from) ", re.MULTILINE)


def _in_words(text: str, folder: str) -> str:
    """Return text that says where to find what it links to, if the site has not got it."""
    text = _TO_EXERCISE.sub(r"\1", text).replace("To solve: ", "To solve, in `exercises.ipynb`: ")
    text, told = _TO_NOTEBOOK.subn(r"\1 (`\2.ipynb`)", text)
    where = f" In the [learners' bundle](../learner-guide.md) they lie in `release/{folder}/`."
    first, *rest = text.split("\n\n", 2)
    if told:  # below the title
        rest[0] += where
    return "\n\n".join([first, *rest])


def page_of(notebook: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return a chapter's notebook as its page; learners have it in that folder."""
    elsewhere = [cell for cell in notebook["cells"] if "colab" in cell["metadata"].get("tags", ())]
    notebook["cells"] = [cell for cell in notebook["cells"] if cell not in elsewhere]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = _TO_PAGES.sub("](../", "".join(cell["source"]))
            cell["source"] = _in_words(text, folder)
        elif cell["metadata"].get("jupyter", {}).get("source_hidden") or _SETUP.match(
            "".join(cell["source"])
        ):
            cell["metadata"]["tags"] = ["hide-input"]
    return notebook


def lay_out(app: Sphinx, config: Config) -> None:
    """Write the pages before Sphinx looks for its sources."""
    TARGET.mkdir(exist_ok=True)
    wanted = {}
    theory = {path.parent.name: path for path in sorted(SOURCE.glob("ch*/theory.ipynb"))}
    guides = {path.stem: path for path in sorted(SOURCE.glob("*.ipynb"))}
    for name, path in (theory | guides).items():
        page = page_of(json.loads(path.read_text(encoding="utf-8")), name)
        wanted[f"{name}.ipynb"] = json.dumps(page, indent=1)
    for old in TARGET.iterdir():
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        path = TARGET / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Lay the pages out as soon as the configuration is read."""
    app.connect("config-inited", lay_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
