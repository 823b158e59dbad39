"""Every command that a page tells people is typed, in a course of its own."""

import shutil
from collections import Counter

import pytest

from autograder.course import HOME

from . import markdown_pages as markdown
from . import shell_session as shell

pytestmark = pytest.mark.timeout(1200)

PAGES = markdown.pages()
BLOCKS = [block for page in PAGES for block in markdown.blocks(page)]
TUTORIAL = "docs/tutorials/run-a-course.md"
#: Typed in a course without a class by test_guides, which goes on from there.
IN_GUIDES = {"docs/how-to/add-an-exercise.md", "docs/how-to/add-a-chapter.md"}
#: Typed on a machine of its own by tests/hub.
ON_A_HUB = {"docs/how-to/jupyterhub.md"}
#: Half a minute; what it tells is tested step by step in tests/autograder/test_regrade.py.
LONG = {"docs/how-to/regrade.md"}

#: Languages of blocks: what is typed, what is run as an example, what is only shown.
LANGUAGES = {"bash", "console", "python", "text", "toml", "json"}

#: The only reasons for which a command on a page may be left out of this test.
REASONS = {
    "clones the public repository",
    "installs an environment",
    "needs accounts of other people",
    "needs another machine",
    "needs conda",
    "opens a browser",
    "takes minutes",
}
#: More than these, and the pages are no longer tested.
MOST_NOT_RUN = 17


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page):
    unknown = [b.where for b in markdown.blocks(page) if b.language not in LANGUAGES]
    assert unknown == []


def test_what_is_not_run_has_one_of_the_known_reasons_and_is_little():
    left_out = [block for block in BLOCKS if block.not_run]
    assert [b.where for b in left_out if b.not_run not in REASONS] == []
    runnable = [block for block in BLOCKS if block.language in ("bash", "console")]
    assert len(left_out) <= MOST_NOT_RUN, Counter(block.not_run for block in left_out)
    assert len(runnable) > 2 * len(left_out)


def test_a_remark_that_leaves_something_out_stands_directly_above_a_block():
    for page in PAGES:
        remarks = markdown.NOT_RUN.findall((HOME / page).read_text(encoding="utf-8"))
        assert len(remarks) == sum(bool(block.not_run) for block in markdown.blocks(page)), page


@pytest.fixture(scope="module")
def course_of_the_tutorial(tmp_path_factory):
    """Return the course as it stands after the tutorial, and how each of its steps went."""
    folder = tmp_path_factory.mktemp("docs")
    course = shell.copy_course(folder / "course")
    return course, shell.run(markdown.steps(TUTORIAL), course, folder / "home")


def test_the_tutorial_works_from_the_first_command_to_the_last(course_of_the_tutorial):
    _, results = course_of_the_tutorial
    shell.assert_all_went_well(markdown.steps(TUTORIAL), results)


def typed():
    """Yield the pages with commands; those that grade a class twice wait until asked for."""
    for page in PAGES:
        if page != TUTORIAL and page not in IN_GUIDES | ON_A_HUB and markdown.steps(page):
            yield pytest.param(page, marks=[pytest.mark.soak] if page in LONG else [])


@pytest.mark.parametrize("page", [*typed()])
def test_every_command_of_a_page_works_after_the_tutorial(page, course_of_the_tutorial, tmp_path):
    finished, _ = course_of_the_tutorial
    course = shutil.copytree(finished, tmp_path / "course", symlinks=True)
    steps = markdown.steps(page)
    shell.assert_all_went_well(steps, shell.run(steps, course, tmp_path / "home"))


def test_a_command_that_fails_or_says_something_else_is_noticed(tmp_path):
    block = markdown.Block("page.md", 1, "console", "$ echo one\n$ echo two\nthree\n$ false\n$ :\n")
    steps = [*markdown._console(block)]
    (tmp_path / "course").mkdir()
    results = shell.run(steps, tmp_path / "course", tmp_path / "home")
    assert [(done.output, done.code) for done in results] == [
        ("one\n", None),
        ("two\n", None),
        ("", 1),
    ]
    with pytest.raises(AssertionError, match="-- expected:"):
        shell.assert_all_went_well(steps[:2], results[:2])
    with pytest.raises(AssertionError, match="false"):
        shell.assert_all_went_well(steps[2:], results[2:])
