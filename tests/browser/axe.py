"""axe-core on what the course itself puts into a notebook."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

#: What is ours: rendered prose, and what cells show, widgets among it.
OURS = [".jp-Notebook .jp-RenderedMarkdown", ".jp-Notebook .jp-OutputArea-output"]


#: What is not ours inside that: the handle of a slider, to which ipywidgets gives a role and
#: a value but no name, and no way to set one. The label that names it stands right before it.
NOT_OURS = [".noUi-handle"]


def violations(page: Page, *impacts: str) -> list[str]:
    """Return what axe-core finds wrong with our content, one line an element.

    Everything around it is left out, because no notebook can change it: JupyterLab's
    menus, toolbars, side bars and cell editors, and the prompts beside cells.
    """
    found = Axe().run(
        page,
        context={"include": OURS, "exclude": NOT_OURS},
        options={"resultTypes": ["violations"]},
    )
    return [
        _line(violation, node)
        for violation in found.response["violations"]
        if violation["impact"] in impacts
        for node in violation["nodes"]
    ]


def _line(violation: dict[str, Any], node: dict[str, Any]) -> str:
    return f"{violation['impact']} {violation['id']}: {node['html'][:300]}"
