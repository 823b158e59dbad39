"""Linters and the type checker, as tests: one command tells all."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib

import pytest

from autograder.course import HOME


def tool(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_finds_nothing_in_code_and_in_notebooks_text(arguments):
    done = tool("ruff", *arguments, ".")
    assert done.returncode == 0, done.stdout


def test_mypy_finds_nothing():
    done = tool("mypy")
    assert done.returncode == 0, done.stdout


def test_the_package_ships_its_types():
    project = tomllib.loads((HOME / "pyproject.toml").read_text())
    assert (HOME / "servemath_helpers" / "py.typed").is_file()
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["servemath_helpers"]


def of_labs_is_taught(name):
    """Whether a notebook or a page imports it; the rest of the labs is for those who write one."""
    pages = [*HOME.glob("source/*/*.py"), *HOME.glob("docs/**/*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    found = re.findall(r"from (servemath_helpers\.labs\S*) import (.+)", text)
    return name in {f"{module}.{each}" for module, names in found for each in names.split(", ")}


def test_every_public_function_has_an_example_that_runs():
    """Doctests run with the suite; here, that there is one in each."""
    import importlib
    import inspect
    import pkgutil

    import servemath_helpers

    without = []
    for info in pkgutil.walk_packages(servemath_helpers.__path__, "servemath_helpers."):
        module = importlib.import_module(info.name)
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        if info.name.startswith("servemath_helpers.deep."):  # for whoever writes a deep check
            continue
        for name in getattr(module, "__all__", ()):
            thing = inspect.getattr_static(module, name, None)
            if ".labs." in info.name and not of_labs_is_taught(f"{info.name}.{name}"):
                continue
            if inspect.isfunction(thing) and thing.__module__ == info.name:
                docstring = inspect.getdoc(thing) or ""
                if ">>>" not in docstring:
                    without.append(f"{info.name}.{name}: no example")
                takes = inspect.signature(thing).parameters
                if takes and "Parameters\n-----" not in docstring:
                    without.append(f"{info.name}.{name}: no Parameters section")
                # Formulas say what they refuse: what is out of range once a module, the rest
                # with the function. What draws takes whatever can be drawn.
                draws = ".labs." in info.name or info.name.endswith(".plotting")
                if takes and not draws and "Error" not in docstring + (module.__doc__ or ""):
                    without.append(f"{info.name}.{name}: says nothing of errors")
    assert without == []


def test_every_public_module_declares_what_is_public():
    for path in (HOME / "servemath_helpers").rglob("*.py"):
        if path.name.startswith("_"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in ([node.target] if isinstance(node, ast.AnnAssign) else node.targets)
            if isinstance(target, ast.Name)
        }
        assert "__all__" in names, path


def imported(path, modules):
    """Return which of `modules` a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from {name if name in modules else node.module} & modules.keys()


def imports_by_module():
    files = [path for name in PACKAGES for path in (HOME / name).rglob("*.py")]
    modules = {
        ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }
    return {name: {*imported(path, modules)} - {name} for name, path in modules.items()}


PACKAGES = ("autograder", "servemath_helpers")


def test_modules_and_packages_import_one_way():
    """No circle among the modules, nor among the parts of any package taken as wholes."""
    graph = imports_by_module()
    rooms = {"": 1} | {name: name.count(".") + 2 for name in graph}
    for room, depth in rooms.items():
        inside = {name for name in graph if f".{name}".startswith(f".{room}." if room else "")}
        parts = {}
        for name in inside:
            part = ".".join(name.split(".")[:depth])
            used = {".".join(one.split(".")[:depth]) for one in graph[name] & inside}
            parts.setdefault(part, set()).update(used - {part})
        graphlib.TopologicalSorter(parts).prepare()  # a CycleError names the circle
    graphlib.TopologicalSorter(graph).prepare()
