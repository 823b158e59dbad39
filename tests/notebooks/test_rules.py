"""The course keeps the rules that `servemath check` looks at: the same, one by one."""

import pytest

from autograder.bank import runner
from autograder.check import looks, theory
from autograder.check.chapter import Chapter
from autograder.feedback import answers

from ..shared import deep_once, run_once
from .conftest import CHAPTERS, COURSE

MATERIAL = {name: Chapter(COURSE, name) for name in CHAPTERS}
RULES = [
    pytest.param(rule, id=f"{group}-{rule.__name__}")
    for group, (rules, _) in looks.GROUPS.items()
    for rule in rules
    if group != "lab"  # tests/helpers/labs/test_both_labs.py asks more of them
]


@pytest.fixture(autouse=True)
def patient(monkeypatch, tmp_path_factory):
    """Let no busy machine decide what feedback recognises; nor run what was run before."""
    monkeypatch.setattr(answers, "CALL_LIMIT_S", 300.0)
    monkeypatch.setattr(runner, "run", run_once(tmp_path_factory))
    monkeypatch.setattr(runner, "deep", deep_once(tmp_path_factory))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_keeps_each_rule(name, rule):
    assert [*rule(MATERIAL[name])] == []


def test_a_chapter_is_built_and_released(chapter):
    """Outputs of theory are compared by nbval, which runs it again."""
    findings = looks.notebooks(COURSE, chapter), looks.release(MATERIAL[chapter])
    assert [finding.found for finding in findings if finding.state != "ok"] == []


def test_what_is_no_chapters_own_keeps_the_rules():
    assert looks.pages(COURSE).state == "ok"
    assert [*theory.glossary(COURSE), *theory.package_values(COURSE)] == []


def test_the_release_holds_notebooks_only():
    others = [path for path in COURSE.release.rglob("*.*") if path.suffix != ".ipynb"]
    assert [path for path in others if ".ipynb_checkpoints" not in path.parts] == []
