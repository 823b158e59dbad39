"""The rule that a lab can say all that it has to say: its lab.toml is whole, in each variant."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

from autograder.check.chapter import Chapter
from autograder.wording import first_line
from servemath_helpers.labs.frame.session import Session
from servemath_helpers.labs.frame.view import Lab, LabView

#: How a chapter's lab.py names its lab.
_LAB = re.compile(r"^from (servemath_helpers\.labs\.\w+)\.view import (\w+)$", re.MULTILINE)


def words(chapter: Chapter) -> Iterator[str]:
    """Each lab says what it asks, shows and keeps: before its predictions and after them."""
    text = (chapter.course.source / chapter.name / "lab.py").read_text(encoding="utf-8")
    named = _LAB.findall(text)
    if not named:
        yield "lab.py imports no lab of servemath_helpers.labs"
    for package, name in named:
        variant = ""
        try:
            view: type[LabView] = getattr(importlib.import_module(f"{package}.view"), name)
            for variant in view.engine.variants:
                _go_through(view.engine, variant)
        except Exception as error:  # whatever the words, or the code that asks for them, break
            where = f"{package.rpartition('.')[2]}/lab.toml"
            yield f"{where}, {variant or 'read'}: {first_line(error)}"


def _go_through(lab: Lab, variant: str) -> None:
    """Make every text of a lab, as a learner would meet it who is right."""
    lab.words.say("title"), lab.words.say("variant_label"), lab.words.get("badges")
    session = Session.start(lab.key, "check", variant, lab.parts(variant))
    lab.story(session)
    for part in session.parts:
        lab.task(session, part.key)
        for asked in part.questions:
            option = asked.answer or asked.options[0].key
            session = session.predict(part.key, asked.key, option, 3)
        session = session.lock(part.key)
        lab.reality(session, part.key), lab.peek(session, part.key)
        lab.panes(session, part.key, True)
        session = session.attempt(part.key, *lab.verdict(session, part.key))
    list(lab.hud(session)), lab.outcome(session)


RULES = (words,)
