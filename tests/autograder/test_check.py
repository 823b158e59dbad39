"""What `servemath check` looks at: each thing when it is right, and when it is not.

The course is the guides' practice chapter, so this holds that to the rules as well.
"""

import copy
import re
import shutil
from types import SimpleNamespace

import pytest

from autograder import bank
from autograder.authoring.build import build, build_text
from autograder.authoring.fresh import fresh_release
from autograder.authoring.release import release
from autograder.check import looks, records, theory
from autograder.check.chapter import Chapter
from autograder.course import HOME, Course
from autograder.findings import Finding
from servemath_helpers.labs.kv_wall.view import KVWallLab

NAME = "ch9_practice"
PRACTICE = HOME / "docs" / "how-to" / "practice_chapter"
SOURCE, RECORD = f"source/{NAME}", f"autograder/bank/{NAME}/idle_share.toml"
TEXT, THEORY, SHOWN = (f"{SOURCE}/{name}" for name in ("exercises.py", "theory.py", "theory.ipynb"))


def use_bank_of(root, patch):
    patch.setattr(bank, "_FOLDER", root / "autograder" / "bank")
    patch.setattr(bank, "load", bank.load.__wrapped__)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the course as the guide leaves it: built and released."""
    root = tmp_path_factory.mktemp("practice")
    (root / RECORD).parent.mkdir(parents=True)
    shutil.copytree(PRACTICE, root / SOURCE)
    (root / SOURCE / "idle_share.toml").rename(root / RECORD)
    for name in ("nbgrader_config.py", "pyproject.toml"):
        shutil.copy(HOME / name, root)
    course = Course.at(root)
    with pytest.MonkeyPatch.context() as patch:
        use_bank_of(root, patch)
        build(course, NAME)
    (course.release / NAME).mkdir(parents=True)
    for name, text in fresh_release(course, NAME).items():
        (course.release / NAME / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def course(finished, tmp_path, monkeypatch):
    root = shutil.copytree(finished, tmp_path / "course")
    use_bank_of(root, monkeypatch)
    return Course.at(root)


def change(course, file, old, new):
    """Put `new` in the place of every `old`, a pattern, and build what rules read."""
    path = course.root / file
    text, times = re.subn(old, lambda _: new, path.read_text(encoding="utf-8"))
    assert times, f"{old} does not stand in {file}"
    path.write_text(text, encoding="utf-8")
    if file == THEORY:
        (course.root / SHOWN).write_text(build_text(path, outputs=False), encoding="utf-8")
    elif file in (TEXT, RECORD):
        try:
            built = build_text(course.root / TEXT)
        except ValueError:
            return  # the author is left with the notebook of before
        (course.root / SOURCE / "exercises.ipynb").write_text(built, encoding="utf-8")


def is_told(told, course):
    """Look at one thing after another until one finds so; what is no chapter's own left out."""
    notebooks, release, *rules = looks.everything(course, [NAME])[2:]
    findings = (look() for _, look in (*rules, notebooks, release))  # what takes longest is last
    return any(told in f"{f.subject}: {f.found}" for f in findings if f.state != "ok")


def test_all_is_well_in_the_practice_chapter_of_the_guide(course):
    whole = looks.everything(course, [NAME])[1:]
    findings = [look() for _, look in whole]
    assert [finding.subject for finding in findings] == [name for name, _ in whole]
    assert {f.subject: f.found for f in findings if f.state == "ok"} == {
        "glossary and package": "sections are there, no wrong value is taught",
        f"notebooks of {NAME}": "2 as the text gives them, outputs not looked at",
        f"release of {NAME}": "2 as the notebooks give them",
        f"records of {NAME}": "3 right solutions of 1, 5 wrong ones",
        f"exercises of {NAME}": "2 points, earned by right solutions and by no wrong one",
        f"theory of {NAME}": "sections with all their parts: 1",
        f"style of {NAME}": "ruff finds nothing",
    }


def solution(kind, name, code):
    """Return an entry of the record."""
    told = "" if kind != "wrong" else 'section = "9.1"\nmisconception = "One that thinks so."\n'
    told += "" if kind != "wrong" else f'hint = "{"Words that a learner could follow. " * 2}"\n'
    return f"\n[[{kind}]]\nname = \"{name}\"\n{told}code = '''\n{code}'''\n"


def idle_share(answer):
    return f"def idle_share(busy_s, total_s):\n    return {answer}\n"


#: Answers as the wrong solution busy_share, in other words.
ALIKE = "".join(
    solution("wrong", f"alike_{n}", idle_share(f"busy_s / total_s if total_s > {n} else {n}"))
    for n in (-1, -2, -3)
)
PACKAGE = 'withheld = ["servemath_helpers.queueing.mm1"]'
GONE = PACKAGE.replace("mm1", "gone")
BY_PACKAGE = "from servemath_helpers.queueing import mm1\n\n\n" + idle_share(
    '1 - mm1(busy_s, total_s)["rho"]'
)
#: Entries of the record by their first lines, to their end.
RIGHT_3 = r'\[\[right\]\]\nname = "chained_comparison"(.|\n)*?\n(?=\[\[)'
WRONG_HIDDEN = r'\[\[wrong\]\]\nname = "never_refuses"(.|\n)*?\n(?=\[\[)|\[\[wrong\]\]\nname = "refuses_the_ends"(.|\n)*'  # noqa: E501
AGAIN = '# %% idle_share__visible__again\n"""Visible: more of the same."""\n\n'
#: The hidden tests of the practice chapter; and some that take what they expect from the call.
HIDDEN = (
    r"(?<=BEGIN HIDDEN TESTS\nfrom servemath_helpers.notebook import )(.|\n)*?(?=### END HIDDEN)"
)
HINTS = ', "A server that.*"|\n.*neither.*'
ALIASED = (
    'check_close\n\nseconds = [0.25]\ncheck_close(idle_share(seconds, 5), seconds, "a list")\n'
)
#: What the package has is withheld in the place of nothing, with code that calls it.
NOTHING = r"withheld = .*\nlibrary = .*\n"
ODD_TABLE = "| symbol | in code | meaning | unit |\n# |:--|:--|:--|:--|\n# | $x$ | `x` | an x | – |"
PLAIN = idle_share("1 - busy_s / total_s")

#: What an author may get wrong: the file, a pattern in it, what stands there instead, and what
#: is said of it.
BREAKS = [
    # -- records
    (RECORD, "number = 1", "number = 2", "numbers are 2: they must run from 1 to 1"),
    (RECORD, "stars = 1", "stars = 2", "points must be 1 visible and 2 hidden"),
    (RECORD, "values = 0.75", "values = 1", "points must be 0.5 visible and 1.5 hidden"),
    (
        TEXT,
        r"(?=# %% idle_share__hidden__v)",
        AGAIN,
        "its cells are worth 2.5 points, its record 2",
    ),
    (RECORD, "0.75, edges = 0.5", "0.7, edges = 0.55", "hidden points must come in steps of 0.25"),
    (RECORD, "0.75, edges = 0.5", "0.5, edges = 0.75", "values must have half of the 1.5 hidden"),
    (RECORD, "edges = 0.5, refused = 0.25", "edges = 0.25, refused = 0.5", "refused must have a q"),
    (RECORD, "values = 0.75, edges = 0.5, refused = 0.25", "hidden = 1.5", "points must be split"),
    (RECORD, ", refused = 0.25", "", "a hidden cell of idle_share must be one of values, edges"),
    (RECORD, "values = 0.75", "volumes = 0.75", "points must be { visible = ..., values = ..., "),
    (RECORD, r'\["idle_share"\]', '["idle"]', "functions must begin with idle_share"),
    (RECORD, RIGHT_3, "", "2 right solutions, at least 3 needed"),
    (RECORD, WRONG_HIDDEN, "", "3 wrong solutions, at least 5 needed"),
    (RECORD, '"per_cent"', '"busy_share"', "wrong busy_share, busy_share have the same name"),
    (RECORD, r"\Z", ALIKE[: len(ALIKE) // 3] * 2, "wrong alike_-1, alike_-1 have the same code"),
    (RECORD, 'hint = "A share.*"', 'hint = "No."', "wrong per_cent: its hint says too little"),
    (RECORD, '"A share is given in.*"', '"Oh."', "per_cent: its misconception says too little"),
    (RECORD, 'hint = "A share.*"\n', "", "wrong per_cent: it lacks hint"),
    (RECORD, '"9.1"\nof', '"9.7"\nof', "wrong busy_share: no theory has a section 9.7"),
    (RECORD, '"9.1"\nfunc', '"9.7"\nfunc', "section must be one of theory.py, got '9.7'"),
    (RECORD, "withheld = .*", PACKAGE, "come together"),
    (RECORD, r'\["idle_share"\]', '["idle_share", "mm1"]', "has servemath_helpers.queueing.mm1"),
    # -- cells
    (TEXT, r"# %%\nprint.*\n", "", "statement, solution, visible, hidden, hidden, hidden; they"),
    (TEXT, "(?=# %% idle_share__hidden__v)", AGAIN, "visible, visible, hidden, hidden, hidden; th"),
    (TEXT, '"""Edges: ', '"""Hidden: ', 'it must begin with """Edges: and what they are'),
    (TEXT, "# << overview >>\n", "# | 1 | Idle share |\n", "lacks the table of all exercises"),
    (TEXT, "<< num.points.total. >>", "three", "does not say << num(points.total) >> points"),
    (TEXT, r"`idle_share\(.*`", "a function", "does not say how to write idle_share(...)"),
    (TEXT, r"# \*How much", "# ## 1 · Idleness\n#\n# *How much", "'## 1 · Idleness', below"),
    (TEXT, r"# \*How much", r"# *How \$ much", r"its statement shows \$ as it stands"),
    (TEXT, '"""Visible.*"""\n', "", "must begin with a docstring that says what it tests"),
    (TEXT, "(?=check_refused\\()", "idle_share = abs\n", "it binds idle_share"),
    (TEXT, " .optional, no points.", "", "a reflection__statement that says it is optional"),
    (TEXT, "reflection__answer", "reflection__answer points=1", "lacks a cell"),
    (TEXT, "reflection__answer", "thoughts__answer", "lacks a cell"),
    (TEXT, "# - a reason for waste.*\\n", "", "a list of two or more things that count"),
    (TEXT, "idle_share__solution", "idle_share__solve", "grade_id must look like"),
    (TEXT, "idle_share__visible", "idle__visible", "no record for 'idle__visible"),
    (TEXT, "(__visible__\\w+)", "__visible__a points=1", "which its record in the bank does"),
    # -- what tests make of solutions
    (TEXT, "0.25, ", "0.2, ", "the solution in the text earns 1.5 of 2"),
    (TEXT, "0.25, ", "0.2, ", "right idle_seconds_first earns 1.5 of 2"),
    (TEXT, "raise ValueError.*", "pass", "the solution in the text earns 1.75 of 2"),
    (RECORD, "library = .*", solution("library", "x", idle_share("0")), "library x earns 0 of 2"),
    (TEXT, r"check_refused\(\n(.|\n)*?\n\)", "", "wrong never_refuses earns all 2"),
    (RECORD, r"\Z", solution("wrong", "x", idle_share("idle")), "wrong x does not run"),
    (RECORD, WRONG_HIDDEN, "", "no wrong solution passes the visible tests"),
    (TEXT, "    ### BEGIN SOL", "    return 1\n    ### BEGIN SOL", "its starter earns"),
    (RECORD, r"\Z", solution("wrong", "x", "y = 1\n"), "wrong x: its answers are those of a right"),
    (RECORD, r"\Z", ALIKE, "a test that tells them apart is missing"),
    (
        *(RECORD, "library = .*"),
        '[[library]]\nname = "x"\nof = "idle_seconds_first"\nchange = [["idle_s /", "busy_s /"]]',
        "x is right, and feedback calls it busy_share",
    ),
    (TEXT, r"check_first\(.*", "", "it earns 0.25 where no value is right: begin with check_first"),
    (TEXT, r"check_first\(.*", "", "busy_share fails the visible tests and passes idle_share__h"),
    (TEXT, HINTS, "", "feedback says nothing specific of 2 of 5 wrong solutions"),
    (TEXT, HIDDEN, ALIASED, "empties its arguments and returns args[0] passes"),
    (RECORD, NOTHING, GONE + solution("library", "x", PLAIN), "no function named gone"),
    (RECORD, NOTHING, PACKAGE + solution("library", "x", PLAIN), "library x works without"),
    (
        *(RECORD, NOTHING),
        PACKAGE + solution("library", "x", BY_PACKAGE) + solution("right", "y", BY_PACKAGE),
        "right y asks for what withheld names",
    ),
    # -- theory
    (THEORY, "## 9.1", "## 9.3", "sections of theory.py are 9.3: number them 9.1"),
    (THEORY, "## 9.1 Idle", "## Idle", "sections of theory.py are none"),
    (THEORY, r"\*\*Question\.\*\* ", "", "theory 9.1 Idle time lacks a question"),
    (THEORY, "check_yourself\\(.*", "", "theory 9.1 Idle time lacks a cell to check yourself"),
    (THEORY, r"\Z", "\n", "theory.py shows no figure"),
    (SHOWN, r'img alt=\\"[^"\\]*', r"img alt=\"Idle", "a figure of theory is described by 'Idle'"),
    (SHOWN, "<table>", "<p>", "a figure of theory has no table of its numbers"),
    (TEXT, "docs/symbols", "symbols", "exercises.py has no link to ../../docs/symbols.md"),
    (THEORY, "<< symbols.*>>", "", "theory.py has no table of its symbols"),
    (THEORY, "<< symbols.*>>", ODD_TABLE, "theory.py is not that of docs/glossary.toml: | $x$"),
    (THEORY, "is paid for", "of 1979 TFLOP/s is paid for", "theory.py teaches '1979'"),
    # -- style
    (TEXT, r"busy_s / total_s\n", "busy_s/total_s\n", f"{TEXT}:37:22: unformatted"),
    (TEXT, r"# %%\nprint", "# %%\nimport os\n\nprint", "F401"),
    (RECORD, r"\(total_s - busy_s\)", "(total_s-busy_s)", "idle_share: right chained_comparison"),
]


@pytest.mark.parametrize(("file", "old", "new", "told"), BREAKS, ids=[told for *_, told in BREAKS])
def test_what_breaks_a_rule_is_refused_with_a_line_that_helps(course, file, old, new, told):
    change(course, file, old, new)
    assert is_told(told, course)


def test_exercises_stand_in_the_order_of_their_numbers():
    both = SimpleNamespace(
        records=[
            SimpleNamespace(number=number, slug=slug, scenarios=0)
            for number, slug in ((1, "a"), (2, "b"))
        ],
        points={"b": 2.0, "a": 2.0},
    )
    assert [*records.numbers(both)] == [
        "exercises.py has them in the order b, a, numbers say other"
    ]


def test_a_title_belongs_to_one_exercise():
    both = SimpleNamespace(records=[SimpleNamespace(title="Waits"), SimpleNamespace(title="Waits")])
    assert [*records.titles(both)] == [
        "2 exercises have the title 'Waits': each needs one of its own"
    ]


def test_a_linter_that_cannot_be_asked_is_not_silent(course, monkeypatch, tmp_path):
    stub = tmp_path / "python"
    stub.write_text("#!/bin/sh\necho No module named ruff >&2\nexit 1\n")
    stub.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(stub))
    assert is_told(f"style of {NAME}: No module named ruff", course)


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (lambda words: None, None),
        (lambda words: words.pop("variant_label"), "latency: the lab's words have no 'variant_"),
        (
            lambda words: words["peek"]["act2"].update(title="<<pages>> come"),
            "latency: <<pages>> has no value in '<<pages>> come'",
        ),
    ],
    ids=["whole", "missing", "without a value"],
)
def test_a_lab_whose_words_are_not_whole_is_named_with_the_variant(
    course, monkeypatch, breaks, told
):
    lab = "from servemath_helpers.labs.kv_wall.view import KVWallLab\n"
    (course.source / NAME / "lab.py").write_text(lab)
    words = copy.deepcopy(KVWallLab.engine.words._found)
    breaks(words)
    monkeypatch.setattr(KVWallLab.engine.words, "_found", words)
    finding = dict(looks.everything(course, [NAME]))[f"lab of {NAME}"]()
    if told is None:
        assert (finding.state, finding.found) == ("ok", "all its words are there")
    else:
        assert finding.state == "fault" and f"kv_wall/lab.toml, {told}" in finding.found


def test_a_lab_that_is_none_is_named(course):
    (course.source / NAME / "lab.py").write_text("print('no lab')\n")
    assert is_told("lab.py imports no lab of servemath_helpers.labs", course)


def test_exercises_without_a_record_and_records_without_an_exercise_are_named(course):
    shutil.copy(course.root / RECORD, (course.root / RECORD).with_name("other.toml"))
    assert is_told("in the notebook or in the bank, and not in both: other", course)


@pytest.mark.parametrize(
    "sentence",
    [
        "A 32 GB budget holds 39 requests.",
        "End to end: 725 ms.",
        "The H100 peaks at 1979 TFLOP/s.",
        "LLaMA-3 7B needs 14 GB.",
        "Latency grows exponentially with load.",
        "Each block of 16 tokens is 512 KB.",
        "A 70B model in 4 bit takes 35.3 GB.",
        "The cache of gpt-oss-120b takes 9.66 GB.",
        "DeepSeek-V3 caches 4 997 120 bytes a token.",
        "LRU hits 0.693 of the requests.",
        "Prefill and decode apart lower TTFT.",
        "Of a mixture a step reads only the active weights.",
    ],
)
def test_a_wrong_value_is_seen_except_where_a_common_mistake_is_corrected(sentence):
    assert theory.wrong_values_in(f"Text.\n\n{sentence}\n")
    quoted = f"Text.\n\n> **Common mistake.** Some write:\n> {sentence}\n> It is not so.\n\nMore."
    assert not theory.wrong_values_in(quoted)
    assert theory.wrong_values_in(f"> {sentence}\n")


@pytest.mark.parametrize("file", ["exercises", "theory"])
@pytest.mark.parametrize("execute", [False, True])
def test_text_that_changed_since_the_build_is_noticed(course, file, execute):
    text = course.source / NAME / f"{file}.py"
    text.write_text(text.read_text() + "\n# %% [markdown]\n# One more cell.\n")
    finding = looks.notebooks(course, NAME, execute)
    assert finding == Finding(
        f"notebooks of {NAME}",
        "fault",
        f"not what the text gives: {file}.py",
        f"servemath build {NAME} --only notebooks",
    )


def test_a_record_that_changed_since_the_build_is_noticed(course):
    record = course.root / RECORD
    record.write_text(record.read_text().replace('title = "', 'title = "No ', 1))
    found = looks.notebooks(course, NAME).found
    assert found == "not what the text gives: exercises.py, theory.py"


def test_outputs_are_looked_at_only_when_they_are_made_again(course):
    """A number that the code no longer gives is seen by running it, and by nothing else."""
    change(course, SHOWN, "'90%'", "'91%'")
    assert looks.notebooks(course, NAME).state == "ok"
    assert looks.notebooks(course, NAME, execute=True).state == "fault"


def test_outputs_that_somebody_left_in_the_exercises_are_noticed(course):
    change(course, f"{SOURCE}/exercises.ipynb", '"execution_count": null', '"execution_count": 1')
    assert looks.notebooks(course, NAME).found == "not what the text gives: exercises.py"


def test_a_notebook_that_was_never_built_is_noticed(course):
    (course.source / NAME / "exercises.ipynb").unlink()
    assert looks.notebooks(course, NAME).found == "not built yet: exercises.py"
    assert is_told(f"exercises of {NAME}: not built yet: exercises", course)


def test_text_that_cannot_be_built_is_a_finding_that_says_where(course):
    text = course.root / TEXT
    text.write_text(text.read_text() + "\n# %% [markdown]\n# << nonsense.x >>\n")
    finding = looks.notebooks(course, NAME)
    assert finding.state == "fault"
    assert "exercises.py, cell" in finding.found and "'nonsense' is undefined" in finding.found


@pytest.mark.parametrize("change", ["edited", "one too many", "missing"])
def test_a_release_that_is_not_what_the_notebooks_give_is_noticed(course, change):
    released = course.release / NAME / "exercises.ipynb"
    if change == "edited":
        released.write_text(released.read_text().replace("raise NotImplementedError()", "pass"))
        found = "not what the notebooks give: exercises.ipynb"
    elif change == "one too many":
        shutil.copy(released, released.with_name("notes.ipynb"))
        found = "not what the notebooks give: notes.ipynb"
    else:
        shutil.rmtree(released.parent)
        found = f"release/{NAME} holds no notebook"
    assert looks.release(Chapter(course, NAME)) == Finding(
        f"release of {NAME}", "fault", found, f"servemath release {NAME}"
    )


def test_a_notebook_that_nbgrader_refuses_is_noticed_with_its_reason(course):
    built = course.source / NAME / "exercises.ipynb"
    built.write_text(built.read_text().replace("### END SOLUTION", ""))
    finding = looks.release(Chapter(course, NAME))
    assert finding.state == "fault"
    assert finding.found == "nbgrader refuses: RuntimeError: no end solution statement found"


def test_a_fresh_release_is_what_nbgraders_own_command_gives_and_touches_nothing(course, tmp_path):
    def files():
        return {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}

    before = files()
    fresh = fresh_release(course, NAME)
    assert files() == before
    assert fresh == {path.name: path.read_text("utf-8") for path in release(course, NAME)}
    assert "### BEGIN HIDDEN TESTS" not in fresh["exercises.ipynb"]


def test_a_page_that_is_out_of_date_is_noticed(tmp_path):
    root = tmp_path / "course"
    shutil.copytree(HOME / "docs", root / "docs", ignore=shutil.ignore_patterns("_*", "images"))
    (root / "source").mkdir()
    course = Course.at(root)
    assert looks.pages(course).state == "ok"
    (root / "docs" / "symbols.md").write_text("# Symbols\n")
    (root / "docs" / "reference" / "command-line.md").unlink()
    finding = looks.pages(course)
    assert finding.state == "fault"
    assert "docs/symbols.md, docs/reference/command-line.md" in finding.found
    assert "glossary" not in finding.found
