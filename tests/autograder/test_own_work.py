import pytest

from autograder.grading.engine.judge import TEST
from autograder.grading.engine.trials import grade
from autograder.grading.engine.withheld import withhold


def test_a_withheld_function_keeps_its_name_and_loses_its_body():
    source = 'def f(x):\n    """Doc."""\n    return x\n\n\ndef g(x):\n    return f(x)\n'
    stripped = withhold(source, ["f"])
    assert "return x\n" not in stripped.partition("def g")[0]
    namespace = {}
    exec(stripped, namespace)
    with pytest.raises(NotImplementedError, match="withheld"):
        namespace["f"](1)
    with pytest.raises(NotImplementedError):
        namespace["g"](1)


def test_a_function_that_is_not_there_cannot_be_withheld():
    with pytest.raises(ValueError, match="no function named h"):
        withhold("def f():\n    pass\n", ["h"])


class Runs:
    """Stands for the engine: says which tests pass with which answers withheld."""

    def __init__(self, needs, asks=True):
        self.needs, self.asks, self.withheld = needs, asks, []

    def __call__(self, job):
        self.withheld.append(job["withheld"])
        gone = set(job["withheld"])
        error = [{"output_type": "error"}]
        cells = {
            cell["id"]: {
                "outputs": error if gone & set(self.needs[cell["slug"]]) else [],
                "stopped": False,
                "seconds": 0.01,
            }
            for cell in job["cells"]
        }
        return {"cells": cells, "asked_withheld": bool(self.asks and gone)}


def job_of(answers):
    cells = [
        {"id": slug, "slug": slug, "kind": TEST, "grade_id": f"{slug}__hidden__x", "source": "x"}
        for slug in answers
    ]
    limits = {"notebook_s": 60, "cell_s": 10}
    return {"cells": cells, "own_work": answers, "withheld": [], "limits": limits}


ANSWERS = {"a": ["p.a"], "b": ["p.b"], "c": ["p.c"]}


def test_a_submission_that_asks_for_no_answer_is_run_once_and_without_them():
    runs = Runs({"a": [], "b": [], "c": []}, asks=False)
    assert grade(job_of(ANSWERS), runs)["own_work"] == {"relying": [], "unclear": []}
    assert runs.withheld == [["p.a", "p.b", "p.c"]]


def test_an_answer_that_only_gives_a_better_score_is_an_answer_too():
    def run(job):
        score = 0.6 if job["withheld"] else 1.0
        cell = {"outputs": [], "stopped": False, "seconds": 0.01, "score": score}
        return {"cells": {"a": cell}, "asked_withheld": bool(job["withheld"])}

    assert grade(job_of({"a": ["p.a"]}), run)["own_work"] == {"relying": ["a"], "unclear": []}


def test_an_own_answer_is_told_from_another_exercises():
    runs = Runs({"a": ["p.a"], "b": ["p.a"], "c": []})
    result = grade(job_of(ANSWERS), runs)
    assert result["own_work"] == {"relying": ["a"], "unclear": []}
    assert all(not cell["outputs"] for cell in result["cells"].values())  # of the run with all
    assert runs.withheld == [["p.a", "p.b", "p.c"], [], ["p.a"], ["p.b"]]
