"""What `servemath check` looks at, each look a finding.

Is every notebook what its text gives, is the release what the notebooks give, and do records,
exercises and theory of a chapter keep the rules of the house.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.authoring import command_page, outline
from autograder.authoring.build import build_text, from_text, serialise
from autograder.authoring.colab import readme, repository
from autograder.authoring.learner_lab import companions
from autograder.authoring.questions import questions_file, questions_text
from autograder.authoring.reference import glossary_page, symbols_page
from autograder.check import cells, labs, records, solutions, style, theory, told
from autograder.check.chapter import EXERCISES, THEORY, Chapter, Rule
from autograder.course import EXECUTED, Course
from autograder.findings import Finding
from autograder.wording import few, first_line

#: Pictures are compared as places: their bytes depend on fonts and platform.
_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


def _without_outputs(notebook: NotebookNode) -> str:
    """Return the notebook's text as if it had never run."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return serialise(notebook)


def _is_current(text: Path, execute: bool) -> bool:
    """Tell whether the notebook beside `text` is what the text gives."""
    built = text.with_suffix(".ipynb")
    asked = questions_file(text) if text.stem in EXECUTED else None
    if asked and not (
        asked.is_file() and asked.read_text(encoding="utf-8") == questions_text(text)
    ):
        return False
    if execute or text.stem not in EXECUTED:
        committed = _PICTURE.sub("PNG", built.read_text(encoding="utf-8"))
        return committed == _PICTURE.sub("PNG", build_text(text))
    return _without_outputs(nbformat.read(built, as_version=4)) == serialise(from_text(text))


def notebooks(course: Course, chapter: str, execute: bool = False) -> Finding:
    """Say whether a chapter's notebooks are what their text gives.

    Parameters
    ----------
    course : Course
        The course folder.
    chapter : str
        The chapter.
    execute : bool
        Run theory again and compare its outputs too; otherwise outputs are not looked at.
    """
    subject = f"notebooks of {chapter}"
    texts = course.texts(chapter)
    advice = f"servemath build {chapter} --only notebooks"
    missing = [text.name for text in texts if not text.with_suffix(".ipynb").is_file()]
    if missing:
        return Finding(subject, "fault", f"not built yet: {few(missing)}", advice)
    try:
        stale = [text.name for text in texts if not _is_current(text, execute)]
    except Exception as error:  # the author's text, numbers in prose, code of theory
        advice = "correct the text: the built notebook cannot be compared with it"
        return Finding(subject, "fault", first_line(error), advice)
    if stale:
        return Finding(subject, "fault", f"not what the text gives: {few(stale)}", advice)
    seen = "outputs included" if execute else "outputs not looked at"
    return Finding(subject, "ok", f"{len(texts)} as the text gives them, {seen}")


def pages(course: Course) -> Finding:
    """Say whether the pages that are made are what they are made from gives."""
    docs = course.root / "docs"
    wanted = {
        docs / "symbols.md": symbols_page(),
        docs / "glossary.md": glossary_page(),
        command_page.place(course): command_page.page(),
    }
    if outline.place(course).is_file():
        with suppress(OSError, ValueError):  # a record or a notebook: told with its chapter
            wanted[outline.place(course)] = outline.outline(course)
            wanted |= {course.release / name: text for name, text in companions(course).items()}
    if (front := course.root / "README.md").is_file():
        wanted[front] = readme(course, repository())
    stale = [str(path.relative_to(course.root)) for path in wanted if _text(path) != wanted[path]]
    for text in course.guides():
        built = text.with_suffix(".ipynb")
        if not built.is_file() or _without_outputs(nbformat.read(built, as_version=4)) != serialise(
            from_text(text)
        ):
            stale.append(built.name)
    if stale:
        found = f"not what they are made from gives: {few(stale)}"
        return Finding("pages", "fault", found, "servemath build --only notebooks")
    found = "symbols, glossary, command line, outline, badges and guides are up to date"
    return Finding("pages", "ok", found)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def release(chapter: Chapter) -> Finding:
    """Say whether ``release/<chapter>`` is what the built notebooks give."""
    subject = f"release of {chapter.name}"
    committed = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted((chapter.course.release / chapter.name).glob("*.ipynb"))
    }
    advice = f"servemath release {chapter.name}"
    if not committed:
        return Finding(subject, "fault", f"release/{chapter.name} holds no notebook", advice)
    try:
        fresh = chapter.released
    except ValueError as error:
        return Finding(subject, "fault", f"nbgrader refuses: {first_line(error)}", advice)
    names = sorted(committed.keys() | fresh.keys())
    different = [name for name in names if committed.get(name) != fresh.get(name)]
    if different:
        found = f"not what the notebooks give: {few(different)}"
        return Finding(subject, "fault", found, advice)
    return Finding(subject, "ok", f"{len(fresh)} as the notebooks give them")


#: What the rules of a chapter are on, what to say where none is broken, what to do where one is.
GROUPS: dict[str, tuple[tuple[Rule, ...], str]] = {
    "records": (records.RULES, "correct autograder/bank/{chapter}/*.toml"),
    "exercises": (
        (*cells.RULES, *solutions.RULES, *told.RULES),
        "correct exercises.py or the record, then servemath build {chapter}",
    ),
    "theory": (theory.RULES, "correct the text, then servemath build {chapter}"),
    "style": (style.RULES, "make format; in the bank, by hand"),
    "lab": (labs.RULES, "correct lab.toml, or the code that asks for its texts"),
}


def _missing(chapter: Chapter) -> str:
    """Return what rules cannot do without: notebooks, and the same exercises everywhere."""
    unbuilt = [name for name in (EXERCISES, THEORY) if name not in chapter.notebooks]
    if unbuilt:
        return f"not built yet: {few(unbuilt)}"
    differ = sorted(chapter.points.keys() ^ {record.slug for record in chapter.records})
    return f"in the notebook or in the bank, and not in both: {few(differ)}" if differ else ""


def kept(chapter: Chapter, group: str) -> Finding:
    """Say whether a chapter keeps a group of rules."""
    subject = f"{group} of {chapter.name}"
    rules, advice = GROUPS[group]
    advice = advice.format(chapter=chapter.name)
    try:
        missing = _missing(chapter)
        if missing:
            return Finding(subject, "fault", missing, advice)
        broken = [line for rule in rules for line in rule(chapter)]
    except ValueError as error:
        return Finding(subject, "fault", first_line(error), "correct the file that it names")
    if broken:
        return Finding(subject, "fault", "; ".join(broken), advice)
    return Finding(subject, "ok", _counts(chapter)[group])


def _counts(chapter: Chapter) -> dict[str, str]:
    """Return what there is of each group's subject."""
    right = sum(len(record.right) for record in chapter.records)
    wrong = sum(len(record.wrong) for record in chapter.records)
    worth = sum(chapter.points.values())
    return {
        "records": f"{right} right solutions of {len(chapter.records)}, {wrong} wrong ones",
        "exercises": f"{worth:g} points, earned by right solutions and by no wrong one",
        "theory": f"sections with all their parts: {len(theory.sections_of_chapter(chapter))}",
        "style": "ruff finds nothing",
        "lab": "all its words are there",
    }


def everywhere(course: Course) -> Finding:
    """Say whether glossary and package keep the rules that are no chapter's own."""
    broken = [*theory.glossary(course), *theory.package_values(course)]
    if broken:
        advice = "correct docs/glossary.toml, or the package"
        return Finding("glossary and package", "fault", "; ".join(broken), advice)
    return Finding("glossary and package", "ok", "sections are there, no wrong value is taught")


def everything(
    course: Course, chapters: list[str], execute: bool = False
) -> list[tuple[str, Callable[[], Finding]]]:
    """Return what there is to look at, as pairs of a name and the look itself.

    Parameters
    ----------
    course : Course
        The course folder.
    chapters : list of str
        The chapters.
    execute : bool
        Run theory again and compare its outputs too.
    """
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("pages", partial(pages, course)),
        ("glossary and package", partial(everywhere, course)),
    ]
    for name in chapters:
        chapter = Chapter(course, name)
        looks += [
            (f"notebooks of {name}", partial(notebooks, course, name, execute)),
            (f"release of {name}", partial(release, chapter)),
            *(
                (f"{group} of {name}", partial(kept, chapter, group))
                for group in GROUPS
                if group != "lab" or chapter.has_lab
            ),
        ]
    return looks
