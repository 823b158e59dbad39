"""The files that describe the environment agree, and name no host."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from autograder.course import HOME

PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
LOCK = (HOME / "requirements.lock").read_text()
PINNED = {}
for line in LOCK.splitlines():
    if line and not line.startswith((" ", "#")):
        requirement = Requirement(line)
        PINNED.setdefault(canonicalize_name(requirement.name), []).append(requirement)


def declared():
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    requirements = [Requirement(text) for group in groups for text in group]
    return [requirement for requirement in requirements if requirement.name != "servemath"]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_the_lock_pins_a_version_of_every_dependency_within_its_bounds(requirement):
    pins = PINNED[canonicalize_name(requirement.name)]
    for pin in pins:
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert requirement.specifier.contains(specifier.version)


def test_every_line_of_the_lock_is_an_exact_pin():
    for pins in PINNED.values():
        for pin in pins:
            assert [specifier.operator for specifier in pin.specifier] == ["=="]
            assert pin.url is None


def test_the_lock_serves_every_supported_python_and_platform():
    for version in ("3.11", "3.12", "3.13"):
        for system in ("Linux", "Darwin"):
            environment = {
                "python_version": version,
                "python_full_version": f"{version}.0",
                "platform_system": system,
                "sys_platform": system.lower(),
            }
            pins = [
                pin
                for pin in PINNED["numpy"]
                if pin.marker is None or pin.marker.evaluate(environment)
            ]
            assert len(pins) == 1, (version, system)


def test_conda_and_pyproject_ask_for_the_same_python():
    environment = yaml.safe_load((HOME / "environment.yml").read_text())
    (python,) = [
        entry
        for entry in environment["dependencies"]
        if isinstance(entry, str) and entry.startswith("python")
    ]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])


def test_conda_installs_the_lock_and_this_package_and_no_version_of_its_own():
    environment = yaml.safe_load((HOME / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock", "-e ."]
    names = {entry for entry in environment["dependencies"] if isinstance(entry, str)}
    assert {name.partition(">")[0] for name in names} == {"python", "pip"}


def test_set_up_supports_the_same_pythons_as_the_package():
    from autograder.machine import setup_venv

    supported = SpecifierSet(PROJECT["requires-python"])
    (first, low), (second, high) = setup_venv.OLDEST, setup_venv.NEWEST
    assert supported.contains(f"{first}.{low}") and not supported.contains(f"{first}.{low - 1}")
    assert supported.contains(f"{second}.{high}") and not supported.contains(f"{second}.{high + 1}")


def test_the_installed_environment_is_the_locked_one():
    from importlib.metadata import PackageNotFoundError, version

    different = {}
    for name, pins in PINNED.items():
        for pin in pins:
            if pin.marker is not None and not pin.marker.evaluate():
                continue
            try:
                have = Version(version(name))
            except PackageNotFoundError:
                have = None
            if have is None or not pin.specifier.contains(have):
                different[name] = (str(pin), str(have))
    assert different == {}


HOST = re.compile(r"https?://[^\s)\"'>]+")


@pytest.mark.parametrize(
    "name", ["requirements.lock", "environment.yml", "pyproject.toml", "Makefile", ".ci/run"]
)
def test_no_environment_file_names_a_host(name):
    assert HOST.findall((HOME / name).read_text()) == []


def make(*arguments, **environment):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=HOME,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_coverage_names_its_package():
    """A bare --cov reaches nbval's kernels as ``source=[True]`` and kills them."""
    assert "--cov=servemath_helpers" in (HOME / "Makefile").read_text()


def test_a_missing_python_is_one_clear_line():
    done = make("setup", "PYTHON=python-that-is-not-here")
    assert done.returncode != 0
    first, *rest = done.stderr.splitlines()
    assert first.startswith("servemath: no python-that-is-not-here on PATH")
    assert all(line.startswith("make") for line in rest)


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ("sys.version_info = (3, 10, 1)", "Python 3.11 to 3.13 is needed"),
        ("sys.version_info = (3, 14, 0)", "Python 3.11 to 3.13 is needed"),
        ("sys.version_info = (2, 7, 18)", "Python 3.11 to 3.13 is needed"),
        ("sys.modules['ensurepip'] = None", "ensurepip is missing"),
    ],
)
def test_a_python_that_cannot_serve_is_one_clear_line(patch, expected):
    script = HOME / "autograder" / "machine" / "setup_venv.py"
    code = f"import runpy, sys; {patch}; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("servemath: ") and expected in line


def test_set_up_is_written_for_any_python_there_is():
    source = (HOME / "autograder" / "machine" / "setup_venv.py").read_text()
    assert not re.search(r"(?<![A-Za-z])f[\"']", source), "an f-string is a syntax error before 3.6"
    assert ":=" not in source and "->" not in source


def test_importing_the_package_loads_neither_plots_nor_widgets_nor_scipy():
    import pkgutil

    import servemath_helpers

    names = [
        f"servemath_helpers.{info.name}"
        for info in pkgutil.iter_modules(servemath_helpers.__path__)
    ]
    code = (
        f"import sys, {', '.join(names)}\n"
        "heavy = set('matplotlib seaborn scipy pandas ipywidgets IPython autograder'.split())\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_learners_code_never_imports_what_only_staff_have():
    for path in [*HOME.glob("servemath_helpers/**/*.py"), *HOME.glob("source/**/*.py")]:
        assert not re.search(r"^\s*(import|from) autograder", path.read_text(), re.M), path


def tracked_text():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=HOME, capture_output=True, text=True, timeout=60, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = HOME / name
        if path.suffix not in {".png"} and path.is_file():
            yield Path(name), path.read_text(encoding="utf-8")


def test_no_tracked_file_names_a_package_host_or_a_path_of_one_machine():
    # Spelled in parts, so that this file does not name them either.
    forbidden = re.compile(
        "|".join(
            [
                "files\\.python" + "hosted",
                "pypi" + "\\.org",
                "/ro" + "ot/",
                "/wo" + "rk/",
                "/ho" + "me/[a-z]",
            ]
        )
    )
    found = [f"{name}: {hit}" for name, text in tracked_text() for hit in forbidden.findall(text)]
    assert found == []
