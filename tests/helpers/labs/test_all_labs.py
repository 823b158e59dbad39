"""What holds for every lab: its words, its questions, what it shows and what it keeps."""

import json
import random
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from servemath_helpers import labs
from servemath_helpers.labs.accelerator import model as machine
from servemath_helpers.labs.accelerator.view import AcceleratorLab
from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.frame.lock import LabError
from servemath_helpers.labs.kv_wall import model as node
from servemath_helpers.labs.kv_wall.view import KVWallLab
from servemath_helpers.labs.queueing_lab import mission
from servemath_helpers.labs.queueing_lab.view import QueueingLab

LABS = (KVWallLab, QueueingLab, AcceleratorLab)
RUNS = [(lab, variant) for lab in LABS for variant in lab.engine.variants]
PARTS = [(lab, variant, part) for lab, variant in RUNS for part in lab.engine.parts(variant)]
ASKED = [
    (variant, asked) for _, variant, part in PARTS for asked in (*part.questions, *part.reflections)
]
#: Written by the labs of each version of the course: a run of every variant. A new version adds its
#: own and leaves the others as they are.
LEDGERS = sorted(Path(__file__).with_name("ledgers").glob("*.json"))


def name(value):
    return getattr(value, "key", None) or getattr(value, "__name__", None) or str(value)


def unlock(lab, *keys, right=True):
    """Lock the predictions of all parts, or of those up to the ones named."""
    for part in lab.session.parts:
        if (not keys or lab.session.waits_for(keys[-1]) or part.key in keys) and (
            not lab.session.is_locked(part.key)
        ):
            for asked in part.questions:
                wrong = next(o.key for o in asked.options if o.key != asked.answer)
                lab.predict(part.key, asked.key, asked.answer if right else wrong, 3)
            lab.lock(part.key)
    return lab


@pytest.fixture
def new(tmp_path):
    return lambda kind, variant, who="ada": kind(who, variant, Ledger(tmp_path / "ledger.json"))


def test_labs_are_cut_alike():
    """A folder a lab: the same rooms, each importing only from the rooms before it."""
    order = ("model", "story", "mission", "questions", "record", "charts", "view")
    for folder in ("kv_wall", "queueing_lab", "accelerator"):
        home = Path(labs.__file__).parent / folder
        files = {path.stem for path in home.glob("*.*")} - {"lab.recorded"}
        assert files == {"__init__", "lab", *order}
        for place, module in enumerate(order):
            text = (home / f"{module}.py").read_text(encoding="utf-8")
            rooms = re.findall(rf"from servemath_helpers.labs.{folder}(?:\.| import )(\w+)", text)
            assert set(rooms) <= set(order[:place]), module


# --- words and questions -----------------------------------------------------------------------

#: Digits that belong to a formula or a name; every other number is rendered from the engine.
FORMULAS = re.compile(
    r"[Pp]art \d|float32|\(ρ − 1\) T / 2|of E2E|"
    r"\$\$[^$]*\$\$|\$[^$]*\$|<<[^<>]*>>|[Pp]99|H100s?|Llama-3-70B|Lab \d|^\d · |the 2 under|1/s"
    r"|2·L·(S·)?H_kv|2N|fp32|\(. − 1\)|[aSρ]/\(1 . [aρ]\)|1 − ρ|c_s²/2|c_a = 0|\(0 where|, 2023"
    r"|99th percentile"
)


def texts_in(value):
    if isinstance(value, dict):
        for key, item in value.items():
            # Numbers that a story gives, and formulas of a derivation, are no results.
            if key not in ("controls", "scenario", "before", "mission1", "mission2"):
                yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("lab", LABS, ids=name)
def test_no_number_is_typed_into_a_text(lab):
    texts = list(texts_in(lab.engine.words._found))
    assert len(texts) > 100
    typed = [text for text in texts if re.search(r"\d", FORMULAS.sub("", text))]
    assert typed == ["At the wall: 1 user."] * (lab is KVWallLab)


@pytest.mark.parametrize(("variant", "asked"), ASKED, ids=name)
def test_options_differ_and_whatever_is_wrong_is_explained(variant, asked):
    for field in ("key", "label", "value"):
        shown = [getattr(option, field) for option in asked.options]
        assert len(set(shown)) == len(shown)
    assert asked.why
    # Where the slow ones lose their time, one answer explains all options.
    silent = {option.key for option in asked.options if not option.feedback}
    assert silent <= {asked.answer} or asked.key == "cause"


@pytest.mark.parametrize("lab", LABS, ids=name)
def test_the_order_of_options_is_the_learners_own_and_the_key_is_not(lab, new):
    orders, answers = set(), set()
    for number in range(40):
        asked = new(lab, None, f"learner {number}").session.parts[0].questions[0]
        orders.add(tuple(option.key for option in asked.options))
        answers.add(asked.answer)
    assert len(orders) > 10 and len(answers) == 1


@pytest.mark.parametrize(("lab", "variant"), RUNS, ids=name)
def test_what_is_frozen_stays_whatever_the_controls_say(lab, variant, new):
    lab = unlock(new(lab, variant))
    engine = lab.engine
    for part in lab.session.parts:
        scenario = lab.session.predictions(part.key)[0].scenario
        with pytest.raises(TypeError):
            scenario["lam_rps"] = 0
        told = engine.reality(lab.session, part.key), engine.peek(lab.session, part.key)
        slider = next(control for control in part.controls if control.low is not None)
        lab.adjust(part.key, **{slider.key: slider.low})
        assert told == (engine.reality(lab.session, part.key), engine.peek(lab.session, part.key))
        assert all("<" in text for text in told) and "<details" in told[1]


# --- what is shown -----------------------------------------------------------------------------


@pytest.mark.parametrize(("lab", "variant"), RUNS, ids=name)
def test_nothing_is_told_before_the_lock(lab, variant, new):
    lab = new(lab, variant)
    engine, session = lab.engine, lab.session
    known = {"LAB", "CONTEXT", "TRACK", "REFLECT", "ITERATIONS", "ITER", "PARTS ✓", "MISSIONS"}
    known |= {"LEDGER", "MACHINE", "BW", "ARITHMETIC"}  # what lab 5 tells before it asks
    hud = dict(engine.hud(session))
    assert {key for key, value in hud.items() if value != "–"} <= known
    assert hud["LEDGER"] == "NOT SAVED"
    first = session.parts[0]
    for part in session.parts:
        box = lab.box(part.key)
        lab._where.value = part.key
        assert box.task.value and (box.predict.layout.display == "none") == (part != first)
        assert not box.panes.value and not box.reality.value
        with pytest.raises(LabError, match=f'lock your prediction of "{part.title}" first'):
            session.adjust(part.key, **{part.controls[0].key: part.controls[0].default})
    json.dumps(engine.outcome(session), default=str)


@pytest.mark.parametrize(("lab", "variant", "part"), PARTS, ids=name)
def test_no_default_starts_in_failure(lab, variant, part, new):
    lab = unlock(new(lab, variant), part.key)
    assert 'data-banner="fail"' not in "".join(
        lab.engine.panes(lab.session, part.key, False).values()
    )


def anything(control, rng):
    """A random value that the control accepts, often one of its ends."""
    if control.choices:
        return rng.choice([value for _, value in control.choices])
    if isinstance(control.default, bool):
        return rng.choice([True, False])
    step = control.step or 1
    steps = round((control.high - control.low) / step)
    return control.low + step * rng.choice([0, steps, rng.randrange(steps + 1)])


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.no_cover) for seed in range(1, 6))]
)
@pytest.mark.parametrize(("lab", "variant"), RUNS, ids=name)
def test_every_setting_can_be_shown_put_to_the_test_and_saved(lab, variant, seed, new):
    """Pictures are well-formed, told in words, inside their frame, and each has a table."""
    lab = unlock(new(lab, variant))
    rng = random.Random(f"{variant} {seed}")
    for part in lab.session.parts:
        lab.adjust(part.key, **{control.key: anything(control, rng) for control in part.controls})
        plain, full = ("".join(lab.engine.panes(lab.session, part.key, t).values()) for t in (0, 1))
        pictures = re.findall(r"<svg.*?</svg>", full, re.DOTALL)
        assert len(pictures) == {"act1": 3, "part1": 2}.get(part.key, 4)
        assert "<table" not in plain and "<table" in full
        for svg in pictures:
            looked_at(svg)
        lab.attempt(part.key)
    assert lab.save() and dict(lab.engine.hud(lab.session))["LEDGER"] == "SAVED"
    again = new(type(lab), None)
    assert again.resume() and again.session == lab.session


def looked_at(svg):
    root = ET.fromstring(svg)
    assert root.get("role") == "img" and len(root.get("aria-label")) > 30
    assert not re.search(r"[\"\s,](nan|inf)\b", svg)
    _, _, width, height = map(float, root.get("viewBox").split())
    for box in root.findall("rect"):
        assert 0 <= float(box.get("x")) <= width
        assert float(box.get("y")) + float(box.get("height")) <= height + 0.1
    for text in root.findall("text"):
        assert 0 <= float(text.get("x") or 0) <= width and 0 < float(text.get("y") or 1) <= height


@pytest.mark.parametrize(
    ("lab", "variant", "part", "cached"),
    [
        (KVWallLab, "latency", "act1", node.plan),
        (KVWallLab, "latency", "act2", node._run),
        (QueueingLab, "cloud", "part3", mission._judge),
        (AcceleratorLab, "recorded", "part2", machine.played),
    ],
    ids=name,
)
def test_a_move_is_computed_once_for_instruments_and_footer(lab, variant, part, cached, new):
    lab = unlock(new(lab, variant))
    box, lab._where.value = lab.box(part), part
    key = {"act1": "seq_tokens", "act2": "a_max_batch", "part2": "share", "part3": "rho"}[part]
    control, before = box.controls[key], cached.cache_info().misses
    control.value += 7 * control.step
    assert cached.cache_info().misses == before + 1
    assert box.picture.settings[key] == control.value


# --- what is kept ------------------------------------------------------------------------------


@cache
def saved(file):
    return json.loads(file.read_text(encoding="utf-8"))["records"]


@pytest.mark.parametrize(
    ("file", "key"),
    [pytest.param(file, key, id=f"{file.stem}-{key}") for file in LEDGERS for key in saved(file)],
)
def test_a_run_that_any_version_saved_is_taken_up_and_kept(file, key, tmp_path):
    """What was answered, tried and written stays; controls that came since stand as they begin."""
    record = saved(file)[key]
    kind = {lab.engine.key: lab for lab in LABS}[record["lab"]]
    ledger = Ledger(shutil.copy(file, tmp_path))
    lab = kind(record["learner"], ledger=ledger)
    assert "Taken up:" in lab.notice
    assert "have changed since" in lab.notice or file == LEDGERS[-1]
    lab.write("Added.")
    now, then = lab.session.to_dict(), record["session"]
    assert now == ledger.load(record["lab"], record["learner"])["session"]
    for name in ("variant", "chosen", "locked", "reflected"):
        assert now[name] == then[name]
    for part, tried in then["attempts"].items():
        for mine, theirs in zip(now["attempts"][part], tried, strict=True):
            assert mine["settings"].items() >= theirs["settings"].items()
            assert (mine["passed"], mine["figures"]) == (theirs["passed"], theirs["figures"])
        assert now["settings"][part].items() >= then["settings"][part].items()


def test_each_version_has_such_a_run_of_every_variant_and_the_newest_is_this_one():
    for file in LEDGERS:
        kept = [record["session"]["variant"] for record in saved(file).values()]
        assert sorted(kept) == sorted(variant for _, variant in RUNS)
    assert LEDGERS[-1].stem == version("servemath")
    assert {(one["lab"], one["record_version"]) for one in saved(LEDGERS[-1]).values()} == {
        (lab.engine.key, lab.engine.record_version) for lab in LABS
    }


@pytest.mark.parametrize("lab", ["kv_wall", "queueing_lab", "accelerator"])
def test_an_engine_loads_no_widgets_and_no_plotting_library(lab):
    code = (
        f"import sys, servemath_helpers.labs.{lab}.record, servemath_helpers.labs.{lab}.charts\n"
        "heavy = ('ipywidgets', 'matplotlib', 'IPython', 'tornado', 'httpx')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("lab", "variant", "part"), PARTS, ids=name)
def test_a_slider_can_stand_where_it_begins(lab, variant, part):
    """A browser moves a handle to the nearest step: of a run taken up, that would be a move."""
    for control in part.controls:
        if control.low is not None:
            steps = (control.default - control.low) / (control.step or 1)
            assert steps == pytest.approx(round(steps)), control.key
