"""How long a learner waits for a lab in JupyterLab: for its first picture, and for each next one.

Slider: from a key press on the slider to the frame that shows the new picture. Baseline: a
slider of `ipywidgets.interact` that draws a new matplotlib figure, the usual way to write a lab.
First paint: from Run All, with the kernel ready, to the frame that shows the lab. Baseline: Run
All of a notebook that shows one bare slider.
With ``--calls`` no browser is needed: how many calls of our own functions one move of a slider
makes to a setting that was simulated before, over how many files, and how often the next call is
in another file.
The sides alternate in one browser. In the JSON, `slider_ms_*` are taken over every picture of
every slider, `first_paint_s` is that of the slower lab; `sliders` holds them one by one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

#: Chapter, variant, part, settings made first, and the sliders that then move.
SLIDERS = (
    ("ch3_kv_cache_wall", "latency", "act1", {}, ("seq_tokens",)),
    (
        "ch3_kv_cache_wall",
        "latency",
        "act2",
        {},
        ("lam_rps", "prompt_tokens", "mean_output", "a_max_batch", "b_max_batch"),
    ),
    ("ch3_kv_cache_wall", "throughput", "act2", {}, ("lam_rps",)),
    ("ch4_queueing_lab", "cloud", "part1", {}, ("lam_rps", "W_ms")),
    ("ch4_queueing_lab", "cloud", "part2", {}, ("lam_rps", "B")),
    ("ch4_queueing_lab", "cloud", "part3", {}, ("rho", "replicas")),
    ("ch4_queueing_lab", "edge", "part3", {}, ("sensors", "jitter_ms")),
    ("ch4_queueing_lab", "mobile", "part3", {}, ("compute_ms",)),
    ("ch4_queueing_lab", "tiny", "part2", {}, ("lam_rps", "S_ms")),
)
#: The dearest setting there is: both servers draft, so that both must be simulated anew.
PAIR = (
    "ch3_kv_cache_wall",
    "latency",
    "act2",
    {"a_mode": "speculative", "b_mode": "speculative"},
    ("lam_rps",),
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
  window.eye?.disconnect();
  window.eye = new MutationObserver(() => {
    if (start === undefined) { return; }
    const began = start;
    start = undefined;
    // A message posted in a frame is delivered when that frame has been painted.
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => { window.waits.push(performance.now() - began); };
      port2.postMessage('');
    });
  });
  window.eye.observe(document.querySelector(picture), {childList: true, subtree: true});
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

    def __init__(self, browser, server, home) -> None:
        self.ledger = home / "ledger.json"
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
    def press(lab, handle: str, keys: list[str]) -> list[float]:
        """Press arrow keys, one picture after another; return what each took in ms."""
        slider = lab.page.locator(handle)
        before = lab.page.evaluate("() => window.waits.length")
        for number, key in enumerate(keys, start=before + 1):
            slider.press(key)
            lab.page.wait_for_function("(n) => window.waits.length >= n", arg=number)
        return [float(wait) for wait in lab.page.evaluate("() => window.waits")[before:]]


def there_and_back(person, part: str, key: str) -> Iterator[str]:
    """Yield arrow keys that keep moving a slider: to an end of its range, then to the other."""
    control = person.control(part, key)
    value, step, arrow = control.default, control.step or 1, "ArrowRight"
    while True:
        if arrow == "ArrowRight" and value + step > control.high:
            arrow = "ArrowLeft"
        elif arrow == "ArrowLeft" and value - step < control.low:
            arrow = "ArrowRight"
        value += step if arrow == "ArrowRight" else -step
        yield arrow


def slider_ms(watch: Stopwatch, where, presses: int, rounds: int) -> dict[str, dict[str, list]]:
    """Return, by slider of one part, waits in ms of the lab and of the baseline, in turns."""
    from servemath_helpers.labs.frame.ledger import Ledger
    from servemath_helpers.labs.kv_wall.view import KVWallLab
    from servemath_helpers.labs.queueing_lab.view import QueueingLab
    from tests.browser.labs import LabPage

    chapter, variant, part, settings, keys = where
    found: dict[str, dict[str, list[float]]] = {}
    with watch.page(f"{chapter}.ipynb") as lab, watch.page("interact.ipynb") as base:
        watch.ledger.unlink(missing_ok=True)  # no round takes up what the last one did
        lab.run_all()
        base.run_all()
        ledger = Ledger(watch.ledger.with_name("oracle.json"))
        ledger.path.unlink(missing_ok=True)
        oracle = (KVWallLab if chapter == LABS[0] else QueueingLab)(ledger=ledger)
        person = LabPage(lab, oracle)
        if oracle.session.variant != variant:
            person.choose(variant)
        for before in oracle.session.parts:
            person.go_to(before.key)
            person.answer(before.key)
            person.lock(before.key)
            if before.key == part:
                break
        person.set(part, **settings)
        # The instruments stand where the banner stands that is not a reader's feedback.
        person.root.locator(".sm-panes:visible").first.evaluate(
            "(pane) => { pane.closest('.widget-html-content').id = 'the-picture'; }"
        )
        watch.watch(base, ".noUi-handle", ".jp-OutputArea-output .jp-OutputArea")
        watch.press(base, ".noUi-handle", ["ArrowRight"] * 2)  # what is loaded once
        for key in keys:
            handle = f"the-slider-{key}"
            person.slider(part, key).evaluate("(handle, id) => { handle.id = id; }", handle)
            watch.watch(lab, f"#{handle}", "#the-picture")
            arrows = there_and_back(person, part, key)
            waits: dict[str, list[float]] = {"lab": [], "interact": []}
            lab.page.bring_to_front()
            watch.press(lab, f"#{handle}", [next(arrows) for _ in range(2)])
            for _ in range(rounds):
                lab.page.bring_to_front()
                waits["lab"] += watch.press(
                    lab, f"#{handle}", [next(arrows) for _ in range(presses)]
                )
                base.page.bring_to_front()
                waits["interact"] += watch.press(base, ".noUi-handle", ["ArrowRight"] * presses)
            found[key] = waits
    return found


def calls_of_a_move(where, key: str) -> tuple[int, int, int]:
    """Return calls, files and changes of file that one move of a slider makes."""
    import servemath_helpers
    from servemath_helpers.labs.frame.ledger import Ledger
    from servemath_helpers.labs.kv_wall.view import KVWallLab
    from servemath_helpers.labs.queueing_lab.view import QueueingLab

    chapter, variant, part, settings, _ = where
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.json")
        lab = (KVWallLab if chapter == LABS[0] else QueueingLab)("learner", variant, ledger)
        for before in lab.session.parts:
            for asked in before.questions:
                lab.predict(before.key, asked.key, 1)
            lab.lock(before.key)
    lab.adjust(part, **settings)
    slider = lab.box(part).controls[key]
    lab._where.value = part
    for step in (slider.step, -slider.step):  # to what is drawn from memory
        slider.value += step
    ours, seen = str(Path(servemath_helpers.__file__).parent), []

    def note(frame, event: str, _) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ours):
            seen.append(frame.f_code.co_filename)

    sys.setprofile(note)
    slider.value += slider.step
    sys.setprofile(None)
    return len(seen), len(set(seen)), sum(a != b for a, b in itertools.pairwise(seen))


def count_calls() -> dict[str, dict[str, int]]:
    """Count the calls of every slider, print the table, and return what the JSON holds."""
    print(f"{'one move of a slider':<46}{'calls':>9}{'files':>9}{'changes':>10}")
    rows = {}
    for where in SLIDERS:
        for key in where[4]:
            name = f"{where[0][:3]} {where[1]} {where[2]} {key}"
            calls, files, changes = calls_of_a_move(where, key)
            rows[name] = {"calls": calls, "files": files, "changes_of_file": changes}
            print(f"{name:<46}{calls:>9}{files:>9}{changes:>10}")
    return rows


def measure(quick: bool) -> dict[str, Any]:
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
            watch = Stopwatch(browser, server, home)
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
                f"\n{'key press to picture, ms':<46}{'median':>9}{'p90':>9}{'interact':>10}", end=""
            )
            print(f"{'p90':>9}{'ratio':>8}")
            rows: dict[str, dict[str, float]] = {}
            every: list[float] = []
            for where in (*SLIDERS, PAIR):
                for key, taken in slider_ms(watch, where, 5, 2 if quick else 5).items():
                    pair = " (both speculative)" if where is PAIR else ""
                    name = f"{where[0][:3]} {where[1]} {where[2]} {key}{pair}"
                    usual = statistics.median(taken["interact"])
                    every += taken["lab"]
                    rows[name] = row = {
                        "median": round(statistics.median(taken["lab"]), 1),
                        "p90": round(p90(taken["lab"]), 1),
                    }
                    print(f"{name:<46}{row['median']:>9.0f}{row['p90']:>9.0f}", end="")
                    print(f"{usual:>10.0f}{p90(taken['interact']):>9.0f}", end="")
                    print(f"{row['median'] / usual:>8.2f}", flush=True)
    slowest = max(rows, key=lambda name: rows[name]["median"])
    return {
        "slider_ms_median": round(statistics.median(every), 1),
        "slider_ms_p90": round(p90(every), 1),
        "first_paint_s": round(max(first[name] for name in LABS), 2),
        "slowest_slider": slowest,
        "slowest_slider_ms_median": rows[slowest]["median"],
        "slowest_slider_ms_p90": max(row["p90"] for row in rows.values()),
        "sliders": rows,
    }


def main() -> None:
    """Measure and print, or say why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--calls", action="store_true", help="count calls; needs no browser")
    options = parser.parse_args()
    if options.calls:
        rows = count_calls()
        if options.json:
            print(json.dumps(rows))
        return
    if importlib.util.find_spec("playwright") is None:
        print("skipped: it drives a browser, and Playwright is not installed: make test-browser")
        return
    found = measure(options.quick)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
