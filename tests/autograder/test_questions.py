"""Questions are computed from the theory's text, and learners receive none of what answers them."""

import ast
import json
import re

import jupytext
import nbformat
import pytest

from autograder.authoring.build import from_text
from autograder.authoring.prose import num
from autograder.authoring.questions import (
    SECTION,
    QuestionError,
    named,
    questions_file,
    questions_of,
)
from autograder.course import Course

COURSE = Course.at()
CHAPTERS = COURSE.chapters()
SETUP = "# %%\nimport math\nfrom servemath_helpers.notebook import check_yourself\n"


def theory(folder, *cells):
    path = folder / "source" / "ch7_x" / "theory.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join([SETUP, *cells]) + "\n", encoding="utf-8")
    return path


def asked(arguments, section="7.1"):
    return (
        f"# %% [markdown]\n# ## {section} A section\n#\n# **Check yourself.** How much?\n\n"
        f"# %%\nanswer = None\ncheck_yourself(answer, {arguments})"
    )


def test_a_question_is_computed_after_the_cells_that_it_needs_and_no_others(tmp_path):
    path = theory(
        tmp_path,
        "# %%\nbase = math.e\nprint(base)",
        "# %%\nraise SystemExit",
        "# %%\ndef double(x):\n    return 2 * x * math.log(base)",
        "# %%\nclass base_of:\n    pass",
        asked(
            'lambda: double(4), "a half", "Halve.", mistakes={"twice": lambda: [1, {"a": 2.0}]}, '
            'worked="4 doubled: {right}."'
        ),
        asked('"Host", "which", "The quickest.", worked=lambda: "{right}."', "7.2"),
        "# %%\ncheck_yourself('7.1', None)",
    )
    assert questions_of(path) == {
        "7.1": {
            "asks": "a half",
            "right": 8.0,
            "mistakes": [["twice", [1, {"a": 2.0}]]],
            "hint": "Halve.",
            "worked": "4 doubled: 8.",
        },
        "7.2": {
            "asks": "which",
            "right": "Host",
            "mistakes": [],
            "hint": "The quickest.",
            "worked": "Host.",
        },
    }
    shown = [cell.source for cell in from_text(path).cells if "answer" in cell.source]
    assert shown == [
        'answer = None\ncheck_yourself("7.1", answer)',
        'answer = None\ncheck_yourself("7.2", answer)',
    ]
    assert questions_file(path) is None


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([asked('lambda: 1 / 0, "x", "h", worked="{right}"')], "question 7.1: ZeroDivisionError"),
        ([asked('4.0, "x", "h"')], "worked must lead to {right}"),
        (
            [asked('4.0, "x", "h", mistakes={"half": 4.01}, worked="{right}"')],
            "the mistake 'half' gives the right answer",
        ),
        (
            [asked('4.0, "x", "h", worked="{right}"').replace("= None", "= 4")],
            "answer must be None",
        ),
        ([asked('4.0, "x", "h", worked="{right}"')] * 2, "section 7.1 puts two questions"),
    ],
)
def test_a_question_that_cannot_be_put_is_refused(tmp_path, cells, what):
    with pytest.raises(QuestionError) as caught:
        questions_of(theory(tmp_path, *cells))
    assert what in str(caught.value)


def give_aways(chapter):
    """Return what in a theory's text answers its questions: expressions and hints."""
    cells = jupytext.read(COURSE.source / chapter / "theory.py", fmt="py:percent").cells
    for name, place in named(cells):
        source = cells[place].source
        call = ast.parse(source).body[-1].value
        for node in [*call.args[1:], *(keyword.value for keyword in call.keywords)]:
            if isinstance(node, ast.Lambda):
                yield name, ast.get_source_segment(source, node.body)
            elif isinstance(node, ast.Constant) and node.value != call.args[2].value:
                yield name, str(node.value)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_notebook_that_learners_receive_answers_its_questions(chapter):
    found = {}
    for path in sorted((COURSE.release / chapter).glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        found[path.name] = "\n".join(f"{cell.source}\n{cell.get('outputs', '')}" for cell in cells)
    questions = dict(give_aways(chapter))
    assert questions
    told = [
        (name, file, text)
        for name, text in give_aways(chapter)
        for file, shown in found.items()
        if len(text) > 12 and text in shown
    ]
    assert told == []


def seen_before(cells):
    """Yield the name of each question, and what its section has said and shown until then."""
    name, seen = "", []
    for cell in cells:
        if cell.cell_type == "markdown":
            parts = cell.source.split("\n\n")
            if sections := SECTION.findall(cell.source):
                name, seen = sections[-1], []
            aside = ("## ", "*Source", "To solve:", "**Check yourself.**")
            seen += [part for part in parts if not part.startswith(aside)]
        elif "check_yourself(" in cell.source:
            yield name, "\n".join(seen)
        else:
            for output in cell.outputs:
                shown = output.get("data", {}).get("text/html", output.get("text", ""))
                seen.append(re.sub(r"base64,[A-Za-z0-9+/=]+|<[^>]*>", " ", shown))


def ways_to_write(right):
    """Return what gives an answer away: to its digits, or a share in percent."""
    if isinstance(right, str):
        return {right}
    ways = {num(float(right)), f"{right:.3g}", f"{right:.4g}", f"{float(right):.2f}"}
    if 0 < right < 1:
        ways |= {f"{100 * right:.3g} %", f"{100 * right:.3g}%"}
    # A digit alone stands everywhere, and says nothing.
    return {way for way in ways if len(re.sub(r"\D", "", way).strip("0")) > 1}


def stands_in(text, way):
    return bool(re.search(rf"(?<![\d.,\w]){re.escape(way)}(?![\d\w]|[.,]\d)", text))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_answer_stands_above_its_question(chapter):
    path = COURSE.source / chapter / "theory.py"
    questions = json.loads(questions_file(path).read_text("utf-8"))
    seen = dict(seen_before(nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells))
    assert seen.keys() == questions.keys()
    assert min(len(text) for text in seen.values()) > 500
    told = [
        (name, way)
        for name, question in questions.items()
        for way in ways_to_write(question["right"])
        if stands_in(seen[name], way)
    ]
    assert told == []


def test_an_answer_is_found_as_it_may_be_written():
    text = "a table: 2.515 | 25 % | small model"
    assert [any(stands_in(text, way) for way in ways_to_write(right)) for right in ANSWERS] == [
        *(True,) * 3,
        *(False,) * 3,
    ]


ANSWERS = (2.515, 0.25, "small model", 2.51, 51, 0.025)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_hint_is_no_computation(chapter):
    """It names the idea or the formula: no number but the small ones of formulas, nor a result."""
    path = questions_file(COURSE.source / chapter / "theory.py")
    for name, question in json.loads(path.read_text("utf-8")).items():
        numbers = re.findall(r"(?<![a-zA-Z\d])\d+(?:\.\d+)?", question["hint"])
        assert {*numbers} <= {"0", "1", "2", "100"}, (name, question["hint"])
        if isinstance(question["right"], str):
            assert "quotes" in question["asks"], name
