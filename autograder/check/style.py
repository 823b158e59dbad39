"""The rule that ruff finds nothing in a chapter's text and in its bank."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autograder.check.chapter import Chapter
from autograder.course import HOME

#: Seconds that ruff may take.
_TIMEOUT_S = 60.0

_LINES = "--output-format=concise"

#: Where ruff sums up what it has said before.
_SUMMARY = re.compile(r"Found \d|\[\*\]|\d+ files? ")


def _ruff(folder: Path, *arguments: str) -> Iterator[str]:
    """Yield what ruff finds in a folder, a line each."""
    config = next(path for path in (folder, HOME) if (path / "pyproject.toml").is_file())
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--config", str(config / "pyproject.toml")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        told = (done.stdout or done.stderr).splitlines()
        yield from (line for line in told if not _SUMMARY.match(line))


def style(chapter: Chapter) -> Iterator[str]:
    """A chapter's text is linted and formatted, the solutions of its bank are formatted."""
    root, text = chapter.course.root, f"source/{chapter.name}"
    yield from _ruff(root, "check", _LINES, text)
    yield from _ruff(root, "format", "--check", _LINES, text)
    with tempfile.TemporaryDirectory(prefix="servemath-") as name:
        for record in chapter.records:
            for kind in ("right", "wrong", "library"):
                for solution in getattr(record, kind):
                    path = Path(name) / f"{record.slug}: {kind} {solution.name}.py"
                    path.write_text(solution.code, encoding="utf-8")
        yield from _ruff(Path(name), "format", "--check", _LINES, ".")


RULES = (style,)
