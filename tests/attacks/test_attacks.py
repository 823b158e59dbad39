"""Each attack earns exactly what its honest part deserves, and harms nobody else."""

import functools
import html.parser
import json
import os
import re
import site
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import servemath_helpers
from autograder.cells import grade_id_of, is_test_cell, parse_grade_id, points_of
from autograder.course import HOME
from autograder.course.commands import run_nbgrader
from autograder.demo.sample_class import EXERCISES, solution_cell
from autograder.gradebook.table import as_csv
from autograder.grading.engine.jail import LANDLOCK, NAMESPACES, describe

from .attack import Hall, load
from .course import CHAPTER
from .graded import GradedAttacks

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(sys.platform != "linux", reason="the jail needs Linux"),
]

ATTACKS = {attack.name: attack for attack in load()}
#: A class that is graded together, by the wall and the attackers in it.
HALLS = {
    "namespaces": (NAMESPACES, list(ATTACKS)),
    "Landlock": (LANDLOCK, [name for name, attack in ATTACKS.items() if attack.walls]),
    "everybody-Landlock": (LANDLOCK, list(ATTACKS)),
}
#: What sees that a path exists, which Landlock does not hide (docs/background/threat-model.md).
GLIMPSES = {"reads_by_path", "guesses_relative_paths", "other_processes", "climbs_out"}
#: What disturbs its own later cells under Landlock with a shared user: it may earn less than its
#: honest part deserves, never more (the same page).
HURTS_ITSELF = {"fork_bomb_in_a_call"}
FOOLING = [name for name, attack in ATTACKS.items() if attack.fools]

#: What must not stand in a log: it would be obeyed by the terminal that shows it.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def within(name):
    return pytest.param(name, marks=pytest.mark.soak if name.startswith("everybody") else ())


@pytest.fixture(scope="module")
def halls(tmp_path_factory):
    """Grade each class once, whatever the order of tests."""

    @functools.cache
    def grade(name):
        wall, names = HALLS[name]
        attacks = [attack for attack in load() if attack.name in names]
        return GradedAttacks(tmp_path_factory.mktemp("attacks"), attacks, wall)

    return grade


@pytest.fixture(params=list(map(within, HALLS)))
def graded(request, halls):
    return halls(request.param)


def each(wanted=lambda attack: True):
    """Run a test for each attack of each class."""
    cases = [
        pytest.param(hall, name, id=f"{hall}-{name}", marks=within(hall).marks)
        for hall, (_, names) in HALLS.items()
        for name in names
        if wanted(ATTACKS[name])
    ]
    return pytest.mark.parametrize(("graded", "name"), cases, indirect=["graded"])


def test_the_corpus_is_large_and_says_what_each_attack_tries():
    assert len(load()) == len(ATTACKS) >= 40
    for attack in ATTACKS.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]+", attack.name)
        assert len(attack.tries.split()) >= 5 and not attack.tries.endswith(".")
        assert attack.arrives or attack.dies or attack.outcome != "graded"


@each()
def test_an_attack_earns_what_its_honest_part_deserves(graded, name):
    student = graded.students[name]
    row, deserved = graded.rows[student], graded.deserved[student]
    if graded.wall == LANDLOCK and name in HURTS_ITSELF:
        assert row.scores.keys() == deserved.keys()
        assert all(row.scores[exercise] <= points for exercise, points in deserved.items())
    else:
        assert (row.scores, row.notes) == (deserved, row.notes)


@each()
def test_an_attack_gets_where_it_wants_but_not_what_it_wants(graded, name):
    attack, student = ATTACKS[name], graded.students[name]
    shown = graded.outputs(student)
    assert graded.words.breach not in shown
    assert graded.words.tail not in shown
    assert (graded.words.glimpse in shown) == (graded.wall == LANDLOCK and name in GLIMPSES)
    arrived = graded.words.arrived in shown
    assert arrived or not attack.arrives or (attack.dies and graded.rows[student].notes)


def test_the_wall_that_was_asked_for_stood(graded):
    folder = graded.course.outcomes / CHAPTER
    walls = {json.loads(path.read_text())["wall"] for path in folder.glob("*.json")}
    assert {wall for wall in walls if wall} == {describe(graded.wall)}


def test_honest_learners_get_their_points(graded):
    honest = set(graded.deserved) - set(graded.students.values())
    assert len(honest) >= 8
    for student in sorted(honest):
        assert (student, graded.rows[student].scores) == (student, graded.deserved[student])
    totals = [sum(graded.deserved[student].values()) for student in honest]
    assert max(totals) == sum(graded.chapter.points.values()) and min(totals) == 0


def test_a_submission_that_is_not_graded_says_why(graded):
    refused = [name for name, attack in graded.attacks.items() if attack.outcome != "graded"]
    assert refused
    for name in refused:
        (reason,) = graded.rows[graded.students[name]].notes
        assert reason and "did not finish" not in reason
        assert not CONTROL.search(reason)


def test_the_command_ends_by_itself_and_says_that_some_were_not_graded(graded):
    assert graded.report["status"] == 1, graded.log[-3000:]


def test_no_process_outlives_the_command(graded):
    assert graded.report["left"] == []


def test_nobody_heard_from_a_submission(graded):
    assert graded.received == []


def test_no_file_outlives_the_command(graded):
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", Path.home(), graded.home]
    places += [graded.course.root, graded.course.root.parent, HOME, *site.getsitepackages()]
    places += [Path(servemath_helpers.__file__).parent, sys.prefix, "/", "/run", "/etc"]
    assert [graded.left_in(Path(place)) for place in places] == [[]] * len(places)
    assert list(graded.scratch.iterdir()) == []
    inside = [
        path.relative_to(graded.course.root)
        for path in graded.course.root.rglob(f"*{graded.words.mark}*")
    ]
    assert inside == []


def test_sources_releases_submissions_and_home_are_as_they_were(graded):
    assert graded.after() == graded.before


def test_the_gradebook_holds_the_class_and_the_points_of_the_course(graded):
    students, points = graded.gradebook_facts()
    assert set(students) <= set(graded.deserved)
    tests = [cell for cell in graded.chapter.built.cells if is_test_cell(cell)]
    assert {grade_id_of(cell): points_of(cell) for cell in tests}.items() <= points.items()
    assert len(points) == len(tests) + 1  # and the reflection, which carries no points


def test_secrets_of_the_grader_stand_nowhere(graded):
    for name, data in graded.everything_written():
        assert graded.words.secret.encode() not in data, name


def test_the_log_and_the_table_are_plain_lines(graded):
    assert CONTROL.findall(graded.log) == []
    assert CONTROL.findall(as_csv(graded.table)) == []
    forged = [line for line in graded.log.splitlines() if line.startswith("[AutogradeApp | INFO] ")]
    assert not [line for line in forged if graded.words.forged in line]


class Live(html.parser.HTMLParser):
    """Collects what would run on a page: scripts, handlers, addresses."""

    def __init__(self):
        super().__init__()
        self.found, self._script = [], False

    def handle_starttag(self, tag, attrs):
        self._script = tag == "script"
        for name, value in attrs:
            if name.startswith("on") or name in ("src", "href", "action", "srcdoc", "data"):
                self.found.append(value or "")

    def handle_data(self, data):
        if self._script:
            self.found.append(data)

    def handle_endtag(self, tag):
        self._script = False


@each(lambda attack: attack.harmless_page)
def test_nothing_of_a_submission_runs_on_its_feedback_page(graded, name):
    student = graded.students[name]
    done = run_nbgrader(graded.course.root, "generate_feedback", CHAPTER, "--student", student)
    assert done.returncode == 0, done.stderr
    page = graded.course.feedback / student / CHAPTER / "exercises.html"
    text = page.read_text(encoding="utf-8")
    assert all(slug in text for slug in graded.chapter.points)
    live = Live()
    live.feed(text)
    assert [found for found in live.found if graded.words.mark in found] == []


@pytest.fixture(scope="module")
def shared(halls, tmp_path_factory):
    """Return which tests each fooling attack passes in a kernel shared with the tests."""
    chapter = halls("namespaces").chapter
    hall = Hall(chapter, {"arrived": "'arrived'", "breach": "'breach'", "needle": "'needle'"})
    notebooks, tests = {}, {}
    for name in FOOLING:
        notebook = hall.notebook(ATTACKS[name], chapter.built.copy())
        kept = [cell for cell in notebook.cells if wanted(cell, ATTACKS[name])]
        notebooks[name] = [[is_test_cell(cell), cell.source] for cell in kept]
        tests[name] = [cell for cell in kept if is_test_cell(cell)]
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.shared_kernel"],
        input=json.dumps(notebooks),
        cwd=HOME,
        env={**os.environ, "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return hall, tests, json.loads(done.stdout)


def wanted(cell, attack):
    """Tell whether a cell is the attack's own, or of an exercise that it attacks."""
    if cell.cell_type != "code":
        return False
    grade_id = grade_id_of(cell)
    if grade_id is None:
        return cell.source in ("", attack.first, attack.last) or "arrived" in cell.source
    return grade_id == "setup__statement" or grade_id.partition("__")[0] in attack.cells


@pytest.mark.parametrize("name", FOOLING)
def test_the_attack_is_a_real_one_where_tests_share_the_kernel(shared, name):
    hall, tests, verdicts = shared
    passed = verdicts[name]
    earned = sum(
        points_of(cell) for cell, verdict in zip(tests[name], passed, strict=False) if verdict
    )
    deserved = hall.deserved(hall.honest_codes(ATTACKS[name]))
    slugs = {parse_grade_id(grade_id_of(cell)).slug for cell in tests[name]}
    assert earned > sum(deserved[slug] for slug in slugs)


def test_attacks_leave_the_released_notebook_recognisable(graded):
    """An attack is a submission of this chapter: each solution cell is still there."""
    for name, attack in graded.attacks.items():
        if attack.outcome != "graded" or not attack.notebook:
            continue
        path = graded.course.submitted / graded.students[name] / CHAPTER / EXERCISES
        text = path.read_text(encoding="utf-8")
        assert all(f"{slug}__solution" in text for slug in graded.chapter.points)
    assert solution_cell(graded.chapter.blank(), "littles_law")
