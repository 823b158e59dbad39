
import json, pytest
from .test_exercises import exercises, CHAPTER  # noqa
pytestmark = pytest.mark.browser

def test_try(exercises):
    page = exercises.page
    nb = json.load(open(f"release/{CHAPTER}/theory.ipynb"))
    ids = [(c["id"], c["source"][0] if isinstance(c["source"], list) else c["source"][:40]) for c in nb["cells"] if c["cell_type"]=="markdown" and "".join(c["source"]).startswith("## 1.5")]
    print(ids)
    for how in ("#heading=1.5-Concurrency-from-KV-memory", "#1.5-Concurrency-from-KV-memory", "#heading=1.5-Concurrency-from-KV-memory"):
        page.evaluate("([p, h]) => window.jupyterapp.commands.execute('rendermime:handle-local-link', {path: p, id: h})", [f"release/{CHAPTER}/theory.ipynb", how])
        for wait in (1500, 2500, 3000):
            page.wait_for_timeout(wait)
            heading = page.locator('.jp-NotebookPanel:visible h2[data-jupyter-id^="1.5"]')
            n = heading.count()
            box = heading.bounding_box() if n else None
            top = page.evaluate("() => document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer').scrollTop")
            act = page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")
            print(how, wait, n, box, top, act)
        page.screenshot(path=f"/tmp/link-{how[1:5]}.png")
        page.evaluate("() => window.jupyterapp.shell.currentWidget.close()")
        page.wait_for_timeout(1000)
