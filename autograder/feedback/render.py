"""The feedback page: one file that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from autograder.feedback.facts import Submission

_FOLDER = Path(__file__).resolve().parent

#: Prefix of highlighted code's classes, so that the page's own never meet them.
_CODE_PREFIX = "c-"


def points(value: float) -> str:
    """Return points as people write them.

    >>> points(2.0), points(0.1 + 0.2)
    ('2', '0.3')
    """
    return f"{round(value, 2):g}"


def words(text: str) -> Markup:
    """Return a sentence with its `names` set as code.

    >>> print(words("Compare with `is None`, not with <."))
    Compare with <code>is None</code>, not with &lt;.
    """
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(text))))


def code(source: str) -> Markup:
    """Return Python code as HTML, its parts marked for colour.

    >>> print(code("x < 2"))
    <span class="c-n">x</span> <span class="c-o">&lt;</span> <span class="c-mi">2</span>
    """
    formatter: HtmlFormatter[str] = HtmlFormatter(nowrap=True, classprefix=_CODE_PREFIX)
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    return Markup(highlight(source, lexer, formatter).rstrip("\n"))


def assignment_in_words(name: str) -> str:
    """Return an assignment's name as a title.

    >>> assignment_in_words("ch1_serving_tradeoffs"), assignment_in_words("ps1")
    ('Chapter 1: serving tradeoffs', 'ps1')
    """
    found = re.fullmatch(r"ch(\d+)_(\w+)", name)
    return f"Chapter {found[1]}: {found[2].replace('_', ' ')}" if found else name


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(points=points, words=words, code=code, in_words=assignment_in_words)
    return environment


def content_security_policy(style: str) -> str:
    """Return the policy of a page with this style sheet: no script, no load, no form.

    Parameters
    ----------
    style : str
        The text of the page's one ``<style>`` element; no other style applies.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def page(submission: Submission) -> str:
    """Return the feedback page of a notebook of a submission.

    Parameters
    ----------
    submission : Submission
        What there is to say.
    """
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    template = _environment().get_template("page.html.j2")
    return template.render(
        it=submission, style=Markup(style), policy=content_security_policy(style)
    )
