"""Links from a page to sections of the theory."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from urllib.parse import quote

from autograder.feedback.facts import Link
from autograder.feedback.notebooks import read_notebook, stamp


def theory_link(source: Path, url: str, assignment: str, section: str) -> Link:
    """Return the link to a section of the theory.

    Parameters
    ----------
    source : Path
        The folder of the chapters.
    url : str
        Where links lead; ``{anchor}``, ``{assignment}`` and ``{section}`` are filled in.
    assignment, section : str
        The chapter to look in first, and the section, such as ``1.1``.
    """
    others = sorted(path.parent.name for path in source.glob("*/theory.ipynb"))
    for chapter in dict.fromkeys([assignment, *others]):  # a hint may point to an earlier chapter
        theory = source / chapter / "theory.ipynb"
        heading = _sections(theory, stamp(theory)).get(section)
        if heading is not None:
            anchor = quote(heading.replace(" ", "-"))
            where = url.format(anchor=anchor, assignment=chapter, section=section)
            return Link(f"Theory {heading}", where)
    return Link(f"Theory {section}")


@functools.lru_cache(maxsize=100)
def _sections(theory: Path, _stamp: int) -> dict[str, str]:
    """Return the headings of a theory notebook, as of a time, by their number."""
    notebook = read_notebook(theory)
    texts = [cell.source for cell in notebook.cells] if notebook else []
    headings = re.findall(r"^## (\d+\.\d+ .+)$", "\n".join(texts), re.MULTILINE)
    return {heading.split()[0]: heading.strip() for heading in headings}
