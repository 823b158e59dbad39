"""Which course, chapter and student a command is about; what a shell completes."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from autograder.cli.frame.exits import Mistake
from autograder.cli.frame.program import Session
from autograder.course import Course
from autograder.course.names import composed
from autograder.wording import few

#: What makes a folder a course folder.
MARKS = ("source", "nbgrader_config.py")


def find_course(start: Path) -> Course | None:
    """Return the course whose folder is `start` or holds it, None if there is none."""
    for folder in (start, *start.parents):
        if all((folder / mark).exists() for mark in MARKS):
            return Course.at(folder)
    return None


def course_of(context: typer.Context) -> Course:
    """Return the course that the command is about.

    Raises
    ------
    Mistake
        If the folder named by ``--course`` is none, or no folder from here upwards is.
    """
    named = _session(context).course
    course = find_course((named or Path.cwd()).resolve())
    if named is not None and (course is None or course.root != named.resolve()):
        raise Mistake(f"{named} is not a course folder: it needs {' and '.join(MARKS)} in it")
    if course is None:
        raise Mistake(
            f"not in a course folder: neither here nor above is one with {' and '.join(MARKS)}. "
            "Go to one, or name it: servemath --course <folder> ..."
        )
    if not course.chapters():
        raise Mistake(f"{course.source} holds no chapter: a folder with text files (*.py) in it")
    return course


def _session(context: typer.Context) -> Session:
    session = context.find_root().obj
    return session if isinstance(session, Session) else Session()


def meant(word: str, known: Iterable[str], what: str, begun: bool = True) -> str:
    """Return the one of the known names that `word` is, or begins.

    Parameters
    ----------
    word : str
        What was typed: a whole name, or as much of it as tells it from the others.
    known : iterable of str
        The names there are.
    what : str
        What they are names of, for the message.
    begun : bool
        Whether the beginning of a name will do.

    Raises
    ------
    Mistake
        If it is none of them, or begins several.

    Examples
    --------
    >>> meant("ch2", ["ch1_serving", "ch2_inference"], "chapter")
    'ch2_inference'
    >>> meant("ch", ["ch1_serving", "ch2_inference"], "chapter")
    Traceback (most recent call last):
    autograder.cli.frame.exits.Mistake: 'ch' begins several: ch1_serving, ch2_inference
    """
    names, word = sorted(known), composed(word)
    candidates = [name for name in names if composed(name) == word] or [
        name for name in names if begun and word and name.startswith(word)
    ]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise Mistake(f"{word!r} begins several: {', '.join(candidates)}")
    close = difflib.get_close_matches(word, names, n=1)
    ending = f" Did you mean {close[0]}?" if close else ""
    raise Mistake(f"no {what} is called {word!r}; there is {few(names)}.{ending}")


def chapters_of(course: Course, chapter: str | None) -> list[str]:
    """Return the chapter that was named, or all of them."""
    return [meant(chapter, course.chapters(), "chapter")] if chapter else course.chapters()


def students_of(course: Course, assignment: str) -> list[str]:
    """Return who handed in the assignment."""
    folders = course.submitted.glob(f"*/{assignment}")
    return sorted(folder.parent.name for folder in folders if folder.is_dir())


def _named_course(context: typer.Context) -> Course | None:
    named = context.find_root().params.get("course")
    return find_course(Path(named or Path.cwd()).resolve())


def complete_chapter(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the chapters that begin with what was typed."""
    course = _named_course(ctx)
    names = course.chapters() if course else []
    return [name for name in names if name.startswith(incomplete)]


def complete_student(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the students, of the named assignment if there is one, that begin so."""
    course = _named_course(ctx)
    if course is None:
        return []
    assignment = ctx.params.get("assignment") or "*"
    names = sorted(set(students_of(course, assignment)))
    return [name for name in names if name.startswith(incomplete)]


def shown(path: Path) -> str:
    """Return a path as one would type it here."""
    return os.path.relpath(path)


#: A chapter that may be left out: then all of them.
ChapterOrAll = Annotated[
    str | None,
    typer.Argument(
        metavar="CHAPTER",
        help="A chapter, or as much of its name as tells it from the others. Default: all.",
        autocompletion=complete_chapter,
        show_default=False,
    ),
]

#: The assignment that a command is about: nbgrader's word for a chapter that was handed in.
Assignment = Annotated[
    str,
    typer.Argument(
        metavar="ASSIGNMENT",
        help="A chapter, or as much of its name as tells it from the others.",
        autocompletion=complete_chapter,
        show_default=False,
    ),
]

AssignmentOrAll = Annotated[
    str | None,
    typer.Argument(
        metavar="ASSIGNMENT",
        help="A chapter, or as much of its name as tells it from the others. Default: all.",
        autocompletion=complete_chapter,
        show_default=False,
    ),
]
