"""The course's package without the answers to what exercises ask."""

from __future__ import annotations

import ast
import functools
import importlib.util
import marshal
import shutil
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from pathlib import Path

from autograder.grading.engine.parsing import parse

PACKAGE = "servemath_helpers"

#: What learners have while they work, and no copy that grading makes: its modules know answers.
UNGRADED = ("deep/[!_]*.py",)

#: Set in the package, within a jail, when code asked for a withheld answer.
MARK = "withheld_was_asked"

#: A module of this name, within a jail, passes questions for withheld answers on.
ASK = "servemath_withheld"

_STUB = f"""\
    _given = dict(locals())
    import sys
    import {PACKAGE}
    {PACKAGE}.{MARK} = True
    if "{ASK}" in sys.modules:
        return sys.modules["{ASK}"].ask("%s", _given)
    raise NotImplementedError("withheld: the exercise asks for it")\
"""


def withhold(source: str, functions: Iterable[str], module: str = "") -> str:
    r"""Return source of `module` in which the named functions have lost their bodies.

    What is left says that it was asked for, then passes the question on, or refuses.

    >>> print(withhold("def mm1(lam, mu):\n    return lam / mu", ["mm1"], "queueing"))
    def mm1(lam, mu):
        _given = dict(locals())
        import sys
        import servemath_helpers
        servemath_helpers.withheld_was_asked = True
        if "servemath_withheld" in sys.modules:
            return sys.modules["servemath_withheld"].ask("queueing.mm1", _given)
        raise NotImplementedError("withheld: the exercise asks for it")
    <BLANKLINE>
    """
    wanted = set(functions)
    lines = source.splitlines()
    definitions = [
        node
        for node in parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name in wanted
    ]
    missing = wanted - {node.name for node in definitions}
    if missing:
        raise ValueError(f"no function named {', '.join(sorted(missing))} to withhold")
    for node in sorted(definitions, key=lambda node: node.lineno, reverse=True):
        first, last = node.body[0].lineno - 1, node.end_lineno
        lines[first:last] = (_STUB % f"{module}.{node.name}").splitlines()
    return "\n".join(lines) + "\n"


def package_without(answers: Iterable[str], folder: Path) -> Path:
    """Copy the package into `folder` without answers; return `folder`.

    Modules for learners who are still at work are left out whole.

    Parameters
    ----------
    answers : iterable of str
        Dotted names of further answers, such as ``servemath_helpers.queueing.mm1``.
    folder : Path
        Where the copy goes.
    """
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    copied = folder / PACKAGE
    installed = Path(spec.origin).parent
    shutil.copytree(installed, copied, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [path for pattern in UNGRADED for path in copied.glob(pattern)]:
        path.unlink()
    by_module: dict[str, set[str]] = {}
    for answer in answers:
        module, _, function = answer.removeprefix(f"{PACKAGE}.").rpartition(".")
        by_module.setdefault(module, set()).add(function)
    for module, functions in by_module.items():
        path = copied.joinpath(*module.split(".")).with_suffix(".py")
        left = withhold(path.read_text("utf-8"), functions, f"{PACKAGE}.{module}")
        path.write_text(left, "utf-8")
    # A jail writes no bytecode, and would compile the package for each notebook.
    for path in copied.rglob("*.py"):
        place = Path(importlib.util.cache_from_source(str(path)))
        if not place.parent.is_dir():
            place.parent.mkdir(parents=True)  # elsewhere, if Python is told to keep it there
            shutil.copymode(path.parent, place.parent)
        place.write_bytes(_bytecode(path.read_bytes(), installed / path.relative_to(copied)))
        shutil.copymode(path, place)
    return folder


@functools.lru_cache(maxsize=1_000)
def _bytecode(source: bytes, installed: Path) -> bytes:
    """Return what Python keeps of a module, to be taken as it is: the copy does not change.

    A module that is as installed was compiled before.
    """
    kind = (0b01).to_bytes(4, "little")  # known by the hash of its source, which is not checked
    if installed.read_bytes() == source:
        code = SourceFileLoader(PACKAGE, str(installed)).get_code(PACKAGE)
    else:
        code = compile(source, "<package>", "exec", dont_inherit=True)
    return b"".join(
        (importlib.util.MAGIC_NUMBER, kind, importlib.util.source_hash(source), marshal.dumps(code))
    )
