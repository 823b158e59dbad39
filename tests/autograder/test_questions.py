"""Questions are computed from the theory's text, and learners receive none of what answers them."""

import ast

import jupytext
import nbformat
import pytest

from autograder.authoring.build import from_text
from autograder.authoring.questions import (
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
