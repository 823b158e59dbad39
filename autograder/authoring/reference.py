"""Symbols and terms, from one data file: tables for notebooks, pages for docs/."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

from autograder.course import HOME, Course
from autograder.files import write_atomically

DATA = HOME / "docs" / "glossary.toml"

_NOTE = "<!-- Made from docs/glossary.toml by `make notebooks`; edit that file. -->\n\n"


@functools.cache
def data() -> dict[str, Any]:
    """Return the data file's tables."""
    return tomllib.loads(DATA.read_text(encoding="utf-8"))


def symbol_table(*names: str) -> str:
    """Return a markdown table of symbols, of all of them if none is named.

    Raises
    ------
    ValueError
        If a name is not in the data file.
    """
    symbols = data()["symbols"]
    unknown = [name for name in names if name not in symbols]
    if unknown:
        raise ValueError(f"names must be symbols of {DATA.name}, got {', '.join(unknown)}")
    rows = ["| symbol | in code | meaning | unit |", "|:--|:--|:--|:--|"]
    for name in names or symbols:
        entry = symbols[name]
        code = ", ".join(part if part == "–" else f"`{part}`" for part in entry["code"].split(", "))
        rows.append(f"| ${entry['symbol']}$ | {code} | {entry['meaning']} | {entry['unit']} |")
    return "\n".join(rows)


def symbols_page() -> str:
    """Return docs/symbols.md."""
    return f"# Symbols\n\n{_NOTE}One symbol, one meaning, in every chapter.\n\n{symbol_table()}\n"


def glossary_page() -> str:
    """Return docs/glossary.md."""
    terms = sorted(data()["terms"].items(), key=lambda item: item[0].lower())
    entries = "\n".join(f"- **{term}**: {meaning}" for term, meaning in terms)
    return f"# Glossary\n\n{_NOTE}Numbers in brackets are theory sections.\n\n{entries}\n"


def write_pages(course: Course) -> list[tuple[Path, bool]]:
    """Write both pages into docs/; return each path and whether it changed."""
    pages = {"symbols.md": symbols_page(), "glossary.md": glossary_page()}
    folder = course.root / "docs"
    return [(folder / name, write_atomically(folder / name, text)) for name, text in pages.items()]
