"""Labs under Run All: every cell works, and no prediction is answered before it is locked."""

import importlib
import pkgutil
import pydoc
import re
from functools import cache
from html import unescape

import nbformat
import pytest
from nbclient import NotebookClient

from servemath_helpers import labs
from servemath_helpers.labs.accelerator.view import AcceleratorLab
from servemath_helpers.labs.kv_wall.view import KVWallLab
from servemath_helpers.labs.queueing_lab.view import QueueingLab

from .conftest import COURSE

LABS = {
    "ch3_kv_cache_wall": KVWallLab,
    "ch4_queueing_lab": QueueingLab,
    "ch5_fleets_and_measurement": AcceleratorLab,
}


@cache
def executed(chapter):
    """Return the text of a lab's notebook after Run All, with all that its widgets hold."""
    path = COURSE.source / chapter / "lab.ipynb"
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=60, kernel_name="python3")
    client.execute(cwd=str(path.parent))
    texts = [shown(cell) + "\n" + cell.source for cell in notebook.cells]
    (state,) = notebook.metadata["widgets"].values()
    return plain("\n".join([*texts, *held(list(state["state"].values()))]))


def held(value):
    """Yield every text that a widget holds, ids of other widgets apart."""
    if isinstance(value, str):
        if not value.startswith("IPY_MODEL_"):
            yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from held(item)


def shown(cell):
    """Return what a reader sees of a cell: its prose, or its outputs."""
    if cell.cell_type == "markdown":
        return cell.source
    found = []
    for output in cell.get("outputs", ()):
        found.append(output.get("text", ""))
        kinds = output.get("data", {})
        found += [text for kind, text in kinds.items() if kind.startswith("text/")]
    return "\n".join(found)


@cache
def written(chapter, name):
    """Return what a reader sees of a notebook as it is committed."""
    notebook = nbformat.read(COURSE.source / chapter / f"{name}.ipynb", as_version=4)
    return plain("\n".join(map(shown, notebook.cells)))


def plain(text):
    """Return text without tags and pictures, on one line, numbers without thin spaces."""
    text = re.sub(r"data:image/[^\"')]*", "", text)
    text = re.sub(r"<[^>]*>", " ", unescape(text)).replace("\u202f", "")
    return re.sub(r"[\s$]+", " ", text)


def tells(asked):
    """Return patterns of what would give the answer of a question away.

    The whole label of the right option, and each of its numbers that no other option has: alone
    if it has three digits, with the word behind it if it looks like the number of a section.
    """
    labels = {option.key: plain(option.label) for option in asked.options}
    right = labels.pop(asked.answer)
    found = [re.escape(right)] if len(right) > 2 else []
    for number, word in re.findall(r"(\d+(?:\.\d+)?)(\s?[^\s\d,;:()]*)", right):
        others = [re.findall(r"\d+(?:\.\d+)?", label) for label in labels.values()]
        if any(number in other for other in others) or len(number.replace(".", "")) < 3:
            continue
        unit = "" if not 1 <= float(number) < 10 else re.escape(word)
        found.append(rf"(?<![\w.]){re.escape(number)}(?!\d|\.\d){unit}")
    return found


ASKED = [
    pytest.param(chapter, variant, part, asked, id=f"{lab.engine.key}-{variant}-{asked.key}")
    for chapter, lab in LABS.items()
    for variant in lab.engine.variants
    for part in lab.engine.parts(variant)
    for asked in part.questions
]


@pytest.mark.parametrize("chapter", LABS)
def test_a_lab_runs_from_first_to_last_cell(chapter):
    text = executed(chapter)
    assert "Lock my prediction" in text and "How sure are you?" in text


@pytest.mark.parametrize("chapter", LABS)
def test_running_all_cells_leaves_the_lab_where_it_is(chapter):
    """A cell that went to another variant would move the lab that the learner sees."""
    source = (COURSE.source / chapter / "lab.py").read_text(encoding="utf-8")
    assert "choose_variant" not in source and "option.key" not in source


@pytest.mark.parametrize(("chapter", "variant", "part", "asked"), ASKED)
def test_no_prediction_is_answered_before_it_is_locked(chapter, variant, part, asked):
    parts = LABS[chapter].engine.parts(variant)
    before = parts[: 1 + [one.key for one in parts].index(part.key)]
    # The options themselves stand on the page: all of them, in the learner's own order.
    prompts = plain(" ".join(q.prompt for one in before for q in one.questions))
    lab = executed(chapter)
    for option in (o for one in parts for q in one.questions for o in q.options):
        lab = lab.replace(plain(option.label), "")
    texts = {
        "theory": written(chapter, "theory"),
        "exercises": written(chapter, "exercises"),
        "lab under Run All": lab,
        "questions of the lab": prompts,
        "help()": helped(chapter),
    }
    told = {
        (where, found.group())
        for where, text in texts.items()
        for pattern in tells(asked)
        if (found := re.search(pattern, text))
    }
    assert told == set()


@cache
def helped(chapter):
    """Return what help() says of a lab's package, module by module, and of all that they share."""
    home = LABS[chapter].__module__.rpartition(".")[0]
    texts = []
    for name in (home, f"{labs.__name__}.frame"):
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__):
            found = importlib.import_module(f"{name}.{module.name}")
            texts.append(pydoc.plain(pydoc.render_doc(found)))
    return plain("\n".join(texts))


@pytest.mark.parametrize(("chapter", "variant", "part", "asked"), ASKED)
def test_no_example_that_help_shows_names_the_key_of_a_right_answer(chapter, variant, part, asked):
    named = re.findall(rf"[\"']{asked.key}[\"'], [\"'](\w+)[\"']", helped(chapter))
    assert asked.answer not in named


def test_a_leak_would_be_found():
    """What the test above looks for, it finds."""
    (users,) = KVWallLab.engine.parts("latency")[0].questions
    label = users.right.label
    for text in (f"**{label}** fit", f"that makes {users.right.value}.", f"<td>{label}</td>"):
        assert any(re.search(pattern, plain(text)) for pattern in tells(users))
    near = f"1{users.right.value} and {users.right.value}.5"
    assert not any(re.search(pattern, plain(near)) for pattern in tells(users))
