"""The Markdown pages of the project: their code blocks, links and headings."""

import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from autograder.course import HOME

#: ``<!-- not run: why -->`` directly above a block: readers of the text see it, tests count it.
NOT_RUN = re.compile(r"^<!-- not run: (.+?) -->$", re.M)
#: A line of a console block that a person types, and one that goes on from it.
PROMPT, MORE = "$ ", "> "


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text, why it is not run."""

    page: str
    line: int
    language: str
    text: str
    not_run: str = ""

    @property
    def where(self):
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Step:
    """What a person types at once, and what should come back (empty: anything)."""

    block: Block
    command: str
    expected: str = ""


def pages():
    """Return every page: of the site, and those that a visitor of the repository sees first."""
    found = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted((HOME / "docs").rglob("*.md"))]
    return [path.relative_to(HOME).as_posix() for path in found]


@cache
def tokens(page):
    parser = MarkdownIt("commonmark").enable("table")
    return parser.parse((HOME / page).read_text(encoding="utf-8"))


def blocks(page):
    """Return the fenced blocks of a page in order, without the site's own directives."""
    found, reason = [], ""
    for token in tokens(page):
        if token.type == "fence" and not token.info.startswith("{"):
            first = token.map[0] + 1
            found.append(Block(page, first, token.info.strip(), token.content, reason))
        told = NOT_RUN.fullmatch(token.content.strip()) if token.type == "html_block" else None
        reason = told.group(1) if told else ""
    return found


def steps(page):
    """Return what a reader of the page types into a terminal, in order."""
    return [
        step
        for block in blocks(page)
        if not block.not_run
        for step in ([*_console(block)] if block.language == "console" else [*_script(block)])
    ]


def _script(block):
    if block.language == "bash":
        yield Step(block, block.text)


def _console(block):
    command, expected = [], []
    for line in block.text.splitlines():
        if line.startswith(PROMPT):
            if command:
                yield Step(block, "\n".join(command), "\n".join(expected))
            command, expected = [line.removeprefix(PROMPT)], []
        elif line.startswith(MORE) and not expected:
            command.append(line.removeprefix(MORE))
        else:
            expected.append(line)
    yield Step(block, "\n".join(command), "\n".join(expected))


def slug(title):
    """Return the anchor that GitHub, and our site, give a heading."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def anchors(page):
    """Return the anchors of a page's headings; the second of a name gets a number."""
    found, seen = set(), {}
    for opening, inline in itertools.pairwise(tokens(page)):
        if opening.type == "heading_open":
            title = "".join(
                part.content for part in inline.children if part.type in ("text", "code_inline")
            )
            name = slug(title)
            number = seen[name] = seen.get(name, -1) + 1
            found.add(f"{name}-{number}" if number else name)
    return found


def links(page):
    """Return the targets of a page's links and pictures with the line of their paragraph."""
    return [
        (token.map[0] + 1, str(part.attrs.get("href") or part.attrs.get("src")))
        for token in tokens(page)
        if token.type == "inline"
        for part in token.children
        if part.type in ("link_open", "image")
    ]


def target(page, link):
    """Return the file and the anchor that a relative link means."""
    path, _, anchor = link.partition("#")
    file = (HOME / page).parent / path if path else HOME / page
    return Path(file).resolve(), anchor
