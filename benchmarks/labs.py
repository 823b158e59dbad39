"""How long a learner waits for a lab in JupyterLab: for its first picture, and for each next one.

Slider: from a key press on the slider to the frame that shows the new picture. Baseline: a
slider of `ipywidgets.interact` that draws a new matplotlib figure, the usual way to write a lab.
First paint: from Run All, with the kernel ready, to the frame that shows the lab. Baseline: Run
All of a notebook that shows one bare slider.
The sides alternate in one browser. The JSON holds the slowest slider and the slower lab.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

#: Which slider moves in which part, the way to the part, and where the hand begins.
SLIDERS = (
    ("ch3_kv_cache_wall", "latency", "act1", "seq_tokens"),
    ("ch3_kv_cache_wall", "latency", "act2", "a_max_batch"),
    ("ch4_queueing_lab", "cloud", "part1", "lam_rps"),
    ("ch4_queueing_lab", "cloud", "part2", "lam_rps"),
    ("ch4_queueing_lab", "cloud", "part3", "rho"),
)
LABS = ("ch3_kv_cache_wall", "ch4_queueing_lab")

INTERACT = """
import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import IntSlider, interact

@interact(n=IntSlider(value=20, min=1, max=200))
def draw(n):
    x = np.linspace(1, 64, 200)
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    left.plot(x, n / x)
    right.bar(range(8), np.arange(8) + n)
    plt.show()
"""
BARE = "from ipywidgets import IntSlider\nIntSlider()"

#: Where a new picture appears, seen from a mark on the page.
WATCH = """
([slider, picture]) => {
  const handle = document.querySelector(slider);
  window.waits = [];
  let start;
  handle.addEventListener('keydown', () => { start = performance.now(); }, true);
  new MutationObserver(() => {
    if (start === undefined) { return; }
    const began = start;
    start = undefined;
    // A message posted in a frame is delivered when that frame has been painted.
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => { window.waits.push(performance.now() - began); };
      port2.postMessage('');
    });
  }).observe(document.querySelector(picture), {childList: true, subtree: true});
}
"""
PAINT = """
(what) => {
  window.painted = undefined;
  const start = performance.now();
  const look = () => {
    const found = document.querySelector(what);
    if (found && found.getBoundingClientRect().height > 0) {
      requestAnimationFrame(() => { window.painted = (performance.now() - start) / 1000; });
    } else { requestAnimationFrame(look); }
  };
  window.jupyterapp.commands.execute('notebook:run-all-cells');
  look();
}
"""


def notebook(path: Path, source: str) -> None:
    """Write a notebook of one code cell."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(made, path)


def p90(values: list[float]) -> float:
    """Return the 90th percentile by nearest rank."""
    return sorted(values)[-(-9 * len(values) // 10) - 1]


class Stopwatch:
    """One browser on one JupyterLab, and what it measures."""

    def __init__(self, browser, server) -> None:
        from tests.browser.jupyter import Lab

        self._browser, self._server, self._kind = browser, server, Lab

    @contextlib.contextmanager
    def page(self, path: str) -> Iterator:
        """Open a notebook with a fresh kernel."""
        context = self._browser.new_context(viewport={"width": 1280, "height": 1400})
        lab = self._kind(context.new_page(), self._server)
        try:
            lab.open(path)
            yield lab
        finally:
            context.close()
            self._server.end_sessions()

    def first_paint_s(self, path: str, what: str) -> float:
        """Return the seconds from Run All to the first frame that shows `what`."""
        with self.page(path) as lab:
            lab.page.evaluate(PAINT, what)
            lab.page.wait_for_function("() => window.painted !== undefined")
            return float(lab.page.evaluate("() => window.painted"))

    @staticmethod
    def watch(lab, handle: str, picture: str) -> None:
        """Begin to measure the slider that `handle` selects."""
        lab.page.evaluate(WATCH, [handle, picture])

    @staticmethod
    def press(lab, handle: str, count: int) -> list[float]:
        """Press the arrow key, one picture after another; return what each took in ms."""
        slider = lab.page.locator(handle)
        before = lab.page.evaluate("() => window.waits.length")
        for number in range(before + 1, before + count + 1):
            slider.press("ArrowRight")
            lab.page.wait_for_function("(n) => window.waits.length >= n", arg=number)
        return [float(wait) for wait in lab.page.evaluate("() => window.waits")[before:]]


def slider_ms(watch: Stopwatch, which: tuple[str, str, str, str], presses: int, rounds: int):
    """Return waits in ms of a lab's slider and of the baseline's, taken in turns."""
    from servemath_helpers.labs.kv_wall_view import KVWallLab
    from servemath_helpers.labs.queueing_view import QueueingLab
    from tests.browser.labs import LabPage

    chapter, variant, part, key = which
    waits: dict[str, list[float]] = {"lab": [], "interact": []}
    with watch.page(f"{chapter}.ipynb") as lab, watch.page("interact.ipynb") as base:
        lab.run_all()
        base.run_all()
        oracle = (KVWallLab if chapter == LABS[0] else QueueingLab)()
        person = LabPage(lab, oracle)
        if oracle.session.variant != variant:
            person.choose(variant)
        person.go_to(part)
        person.answer(part)
        person.lock(part)
        person.slider(part, key).evaluate("(handle) => { handle.id = 'the-slider'; }")
        # The instruments stand where the banner stands that is not a reader's feedback.
        person.root.locator(".sm-panes:visible").first.evaluate(
            "(pane) => { pane.closest('.widget-html-content').id = 'the-picture'; }"
        )
        sides = {
            "lab": (lab, "#the-slider", "#the-picture"),
            "interact": (base, ".noUi-handle", ".jp-OutputArea-output .jp-OutputArea"),
        }
        for page, handle, picture in sides.values():
            watch.watch(page, handle, picture)
            watch.press(page, handle, 2)  # what is loaded once
        for _ in range(rounds):
            for side, (page, handle, _) in sides.items():
                page.page.bring_to_front()
                waits[side] += watch.press(page, handle, presses)
    return waits


def measure(quick: bool) -> dict[str, float]:
    """Measure, print the tables, and return what the JSON holds."""
    from autograder.authoring.build import build_text
    from autograder.course import Course
    from tests.browser.jupyter import jupyter_lab, open_browser

    course = Course.at(ROOT)
    with tempfile.TemporaryDirectory(prefix="servemath-") as folder:
        root, home = Path(folder) / "root", Path(folder) / "home"
        root.mkdir()
        for chapter in LABS:
            text = course.source / chapter / "lab.py"
            (root / f"{chapter}.ipynb").write_text(build_text(text), encoding="utf-8")
        notebook(root / "interact.ipynb", INTERACT)
        notebook(root / "bare.ipynb", BARE)
        with jupyter_lab(root, home) as server, open_browser() as browser:
            watch = Stopwatch(browser, server)
            paints: dict[str, list[float]] = {name: [] for name in (*LABS, "bare")}
            for _ in range(1 if quick else 5):
                for name, taken in paints.items():
                    what = ".widget-slider" if name == "bare" else ".sm-lab .sm-hud"
                    taken.append(watch.first_paint_s(f"{name}.ipynb", what))
            first = {name: statistics.median(taken) for name, taken in paints.items()}
            print(f"{'first paint':<34}{'lab s':>9}{'bare s':>9}{'ratio':>8}")
            for name in LABS:
                ratio = first[name] / first["bare"]
                print(f"{name:<34}{first[name]:>9.2f}{first['bare']:>9.2f}{ratio:>8.2f}")

            print(
                f"\n{'key press to picture, ms':<34}{'median':>9}{'p90':>9}{'interact':>10}", end=""
            )
            print(f"{'p90':>9}{'ratio':>8}")
            medians, nineties = [], []
            for which in SLIDERS:
                taken = slider_ms(watch, which, 5, 2 if quick else 6)
                here = statistics.median(taken["lab"])
                usual = statistics.median(taken["interact"])
                medians.append(here)
                nineties.append(p90(taken["lab"]))
                print(f"{' '.join((which[0][:3], *which[1:])):<34}{here:>9.0f}", end="")
                print(f"{nineties[-1]:>9.0f}{usual:>10.0f}{p90(taken['interact']):>9.0f}", end="")
                print(f"{here / usual:>8.2f}")
    return {
        "slider_ms_median": round(max(medians), 1),
        "slider_ms_p90": round(max(nineties), 1),
        "first_paint_s": round(max(first[name] for name in LABS), 2),
    }


def main() -> None:
    """Measure and print, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    if importlib.util.find_spec("playwright") is None:
        print("skipped: it drives a browser, and Playwright is not installed: make test-browser")
        return
    found = measure(options.quick)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
