"""The theory of each chapter as a page: the built notebook with its outputs, nothing executed.

Notebooks are copied into ``docs/course`` (which git ignores) with links that lead within the
site, code of pictures folded, and the kernel's dotted cells that only set things up folded too.
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
#: Notebooks that learners have and the site has not.
_TO_NOTEBOOKS = re.compile(r"\[([^\]]+)\]\((?:\.\./\w+/)?(?:exercises|lab|theory)\.ipynb[^)]*\)")
_SETUP = re.compile(r"^(import|from) ", re.MULTILINE)


def page_of(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a chapter's notebook as its page."""
    elsewhere = [cell for cell in notebook["cells"] if "colab" in cell["metadata"].get("tags", ())]
    notebook["cells"] = [cell for cell in notebook["cells"] if cell not in elsewhere]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = _TO_PAGES.sub("](../", "".join(cell["source"]))
            cell["source"] = _TO_NOTEBOOKS.sub(r"\1", text)
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
        page = page_of(json.loads(path.read_text(encoding="utf-8")))
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
