import json
import subprocess
import sys
import threading

import pytest
from IPython.core.interactiveshell import InteractiveShell

from servemath_helpers import progress as module
from servemath_helpers import questions, reliability
from servemath_helpers.deep import deep_check
from servemath_helpers.progress import DONE, MISSED, follow, note, own_file, progress
from servemath_helpers.questions import check_yourself

CHECKS = "littles_law__visible__finds_the_missing_quantity"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Somebody learns here."""
    path = tmp_path / "home" / "progress.json"
    monkeypatch.setenv(module.VARIABLE, str(path))
    monkeypatch.setattr(questions, "_missed", {})
    return path


@pytest.fixture
def shell(kept):
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("variables", "is_kept"),
    [
        ({}, False),
        ({"JPY_SESSION_NAME": "ch1/theory.ipynb"}, True),
        ({"COLAB_RELEASE_TAG": "1"}, True),
        ({"JPY_SESSION_NAME": "ch1/theory.ipynb", module.VARIABLE: ""}, False),
    ],
)
def test_progress_is_kept_where_somebody_sits_in_front(variables, is_kept, monkeypatch, tmp_path):
    for name in (*module._SESSIONS, module.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    note("questions", "1.1", DONE)
    follow()
    assert (tmp_path / ".servemath" / "progress.json").is_file() == is_kept
    assert progress().chapters[0].answered == is_kept
    note("questions", "1.1", DONE)


def test_questions_checks_and_deep_checks_are_counted(shell, kept, capsys):
    before = progress()
    check_yourself("1.1", 2500)
    check_yourself("1.2", "?")
    assert "question 1.1, mean stay in seconds: that is off by a power" in progress().next[0]
    check_yourself("1.1", 2.5)
    check_yourself("1.1", 2500)  # it stays answered
    follow()
    follow()
    shell.run_cell("assert False, 'W is L / lam.\\nand more'", cell_id=CHECKS)
    one = progress()
    assert "chapter 1, exercise 1, Little's law: W is L / lam. Theory 1.1 helps." in one.next
    assert (one.chapters[0].answered, one.chapters[0].passing) == (1, 0)
    shell.run_cell("assert True", cell_id=CHECKS)
    shell.run_cell("assert True", cell_id="an-example")
    shell.run_cell("raise NotImplementedError", cell_id=CHECKS.replace("littles_law", "mm1"))
    shell.run_cell("oops(", cell_id=CHECKS.replace("littles_law", "mm1"))

    def littles_law(lam=None, W=None, L=None):
        return lam * W

    deep_check(littles_law)
    assert any("a counter-example. What should hold: L = 0 is" in step for step in progress().next)
    now = progress().chapters[0]
    assert (now.answered, now.passing, now.deep, now.done) == (1, 1, 0, False)
    assert now.minutes < before.chapters[0].minutes
    checks = json.loads(kept.read_text())["checks"]
    assert checks.pop(CHECKS) == DONE
    assert [state.partition(":")[0] for state in checks.values()] == [MISSED]


SOLVED = "def littles_law(lam=None, W=None, L=None):\n    return lam * W"
EMPTIED = "def littles_law(lam=None, W=None, L=None):\n    raise NotImplementedError"
BOTH = "def batch_latency(): ...\ndef best_batch(): ..."


@pytest.mark.parametrize(
    ("runs", "stays"),
    [
        ([SOLVED], True),
        ([SOLVED, f"# once more\n\n{SOLVED}  # as it was"], True),
        ([SOLVED, "print(1)", "%time", "oops(", "def helper(x): return x"], True),
        ([SOLVED, SOLVED.replace("lam * W", "lam + W")], False),
        ([SOLVED, EMPTIED], False),
        ([SOLVED, EMPTIED, SOLVED], False),
    ],
)
def test_a_mark_belongs_to_the_code_that_it_was_given(shell, kept, runs, stays):
    follow()
    shell.run_cell(runs[0])
    note("deep", "littles_law", DONE)
    note("deep", "mm1", DONE)
    note("checks", CHECKS, DONE)
    for code in runs[1:]:
        shell.run_cell(code)
    now = progress().chapters[0]
    assert (now.passing, now.deep) == (1 + stays, 1 + stays)


def test_what_is_missed_stays_until_it_is_checked_again(kept):
    module.note_code(SOLVED)
    note("deep", "littles_law", f"{MISSED}: how")
    module.note_code(EMPTIED)
    assert any("how" in step for step in progress().next)


def test_a_name_that_two_chapters_ask_for_is_told_apart(kept):
    alone = "def best_batch(): ..."
    for code in (alone, BOTH):
        module.note_code(code)
    note("deep", "best_batch", DONE)
    note("deep", "batch_latency", DONE)
    for code in (alone, BOTH):
        module.note_code(code)

    def marks():
        return [chapter.deep for chapter in progress().chapters[2:4]]

    assert marks() == [1, 1]
    module.note_code(BOTH.replace("...", "return 1"))
    assert marks() == [1, 0]
    module.note_code(alone.replace("...", "return 1"))
    assert marks() == [0, 0]


def test_a_deep_mark_is_of_all_functions_and_goes_when_they_are_emptied(kept, capsys):
    def error_budget(n, slo):
        return reliability.error_budget(n, slo)

    def burn_rate(bad, n, slo):
        return reliability.burn_rate(bad, n, slo)

    deep_check(burn_rate)
    assert progress().chapters[0].deep == 0
    deep_check(error_budget, burn_rate)
    assert progress().chapters[0].deep == 1

    def error_budget(n, slo):
        raise NotImplementedError

    deep_check(error_budget, burn_rate)
    assert progress().chapters[0].deep == 0
    assert "not solved yet" in capsys.readouterr().out
    assert not any("deep" in step for step in progress().next)


def test_where_no_cell_is_named_a_deep_check_counts_for_the_visible_ones(kept):
    note("deep", "littles_law", DONE)
    assert (progress().chapters[0].passing, progress().chapters[0].deep) == (1, 1)
    note("checks", CHECKS, MISSED)
    assert progress().chapters[0].passing == 0


def test_an_exercise_is_named_once_of_what_comes_next(kept):
    note("checks", CHECKS, f"{MISSED}: W is L / lam.")
    note("deep", "littles_law", f"{MISSED}: a counter-example")
    steps = progress().next
    assert [step.count("exercise 1, Little's law") for step in steps] == [1, 0, 0]
    assert "W is L / lam." in steps[0]


def test_a_table_can_be_read_and_a_course_can_be_done(kept, capsys):
    assert progress(kept).chapters[0].answered == 0
    everything = {"questions": {}, "checks": {}, "deep": {}}
    for chapter in module._outline():
        everything["questions"] |= dict.fromkeys(chapter["questions"], DONE)
        for exercise in chapter["exercises"]:
            everything["checks"] |= dict.fromkeys(exercise["checks"], DONE)
            everything["deep"][exercise["functions"][0]] = DONE
    kept.parent.mkdir()
    kept.write_text(json.dumps(everything))
    done = progress()
    assert all(one.done and one.deep == one.exercises and not one.minutes for one in done.chapters)
    lines = repr(done).splitlines()
    assert len({len(line) for line in lines[: len(done.chapters) + 1]}) == 1
    assert lines[-1] == "Next: nothing: all of it is done."
    assert "<caption>" in done._repr_html_() and done._repr_html_().count("<tr>") == 6


@pytest.mark.parametrize("damage", ["{", "[]", '{"questions": 3}', '{"checks": {"a": 1}}', "\xff"])
def test_a_damaged_file_is_put_aside(kept, damage, capsys):
    kept.parent.mkdir()
    for number in (1, 2):
        kept.write_bytes(damage.encode("latin-1"))
        note("questions", "1.1", DONE)
        aside = kept.with_name(f"progress-damaged-{number}.json")
        assert aside.read_bytes() == damage.encode("latin-1")
        assert str(aside) in capsys.readouterr().out
        assert progress().chapters[0].answered == 1


def test_kernels_that_note_at_once_lose_nothing(kept):
    names = [[f"{one}.{two}" for two in range(15)] for one in range(3)]
    threads = [
        threading.Thread(target=lambda mine=mine: [note("questions", name, DONE) for name in mine])
        for mine in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads(kept.read_text())["questions"].keys() == {
        name for mine in names for name in mine
    }


def test_a_disk_that_takes_nothing_stops_nobody(kept, capsys):
    kept.parent.write_text("a file where the folder should be")
    check_yourself("1.1", 2.5)
    assert "right" in capsys.readouterr().out


def test_a_shell_is_told_the_same(kept):
    note("questions", "1.1", DONE)
    command = [sys.executable, "-m", "servemath_helpers.progress"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == f"{progress(own_file())}\n"
