"""The files that describe the environment agree, and name no host."""

import json
import os
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

from autograder.authoring import learner_lab
from autograder.course import HOME

PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
LEARNERS = "requirements-learn.lock"
LOCKS = (
    "requirements.lock",
    LEARNERS,
    "tests/browser/requirements.lock",
    "tests/mutants/requirements.lock",
)


def pins_of(name):
    pinned = {}
    for line in (HOME / name).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line)
            pinned.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pinned


PINNED = pins_of("requirements.lock")


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


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_is_an_exact_pin(name):
    for pins in pins_of(name).values():
        for pin in pins:
            assert [specifier.operator for specifier in pin.specifier] == ["=="]
            assert pin.url is None


MACHINES = [
    {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "platform_system": system,
        "sys_platform": platform,
        "os_name": "nt" if system == "Windows" else "posix",
    }
    for version in ("3.11", "3.12", "3.13")
    for system, platform in (("Linux", "linux"), ("Darwin", "darwin"), ("Windows", "win32"))
]


def installed_on(machine, name):
    return {
        (pinned, str(pin.specifier))
        for pinned, pins in pins_of(name).items()
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(machine)
    }


@pytest.mark.parametrize("machine", MACHINES, ids=lambda one: " ".join(list(one.values())[::2][:2]))
def test_learners_have_a_part_of_what_staff_have_in_the_same_versions(machine):
    learners, staff = (installed_on(machine, name) for name in (LEARNERS, "requirements.lock"))
    assert learners < staff
    assert len([pin for pin in learners if pin[0] == "numpy"]) == 1


def test_learners_have_what_learning_needs_and_no_developers_tool():
    from importlib.metadata import PackageNotFoundError, requires

    needed, todo = set(), [Requirement("servemath[learn]")]
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        key = (name, *sorted(wanted.extras))
        if key in needed:
            continue
        needed.add(key)
        try:
            needs = [Requirement(text) for text in requires(wanted.name) or ()]
        except PackageNotFoundError:  # for another kind of machine
            continue
        extras = wanted.extras or {""}
        todo += [
            need
            for need in needs
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras)
        ]
    here = {name for name, _ in installed_on(None, LEARNERS)}
    assert here == {key[0] for key in needed} - {"servemath"}


def test_learners_code_imports_nothing_that_their_lock_does_not_pin():
    import ast
    from importlib.metadata import packages_distributions

    texts = [path.read_text() for path in HOME.glob("servemath_helpers/**/*.py")]
    for notebook in HOME.glob("release/*/*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    imported = set()
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                imported.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    others = imported - set(sys.stdlib_module_names) - {"servemath_helpers"}
    others.remove("seaborn")  # sets the grid where it is; the style is the same without
    made_by = packages_distributions()
    pinned = pins_of(LEARNERS)
    assert "numpy" in others
    assert [
        name
        for name in others
        if not any(canonicalize_name(one) in pinned for one in made_by.get(name, ()))
    ] == []


def test_binder_installs_what_learners_have_and_the_package():
    folder = HOME / "binder"
    lines = (folder / "requirements.txt").read_text().splitlines()
    (line,) = (one for one in lines if not one.startswith("#"))
    assert (folder / line.removeprefix("-r ")).resolve() == HOME / LEARNERS
    python = (folder / "runtime.txt").read_text().strip().removeprefix("python-")
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert os.access(folder / "postBuild", os.X_OK)


def test_bundle_binder_and_hub_take_learners_settings_from_one_place():
    place = "autograder/authoring/labconfig"
    files = {path.name: path.read_text() for path in (HOME / place).iterdir()}
    assert learner_lab.settings("x") == {f"x/labconfig/{name}": files[name] for name in files}
    for script in ("binder/postBuild", "hub/install.py"):
        assert place in (HOME / script).read_text(), script
    (defaults,) = (json.loads(text) for name, text in files.items() if "overrides" in name)
    assert defaults["@jupyterlab/notebook-extension:tracker"] == {"windowingMode": "defer"}


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
    assert pip == [f"-r {LEARNERS}", "-e ."]
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
    "name", [*LOCKS, "environment.yml", "pyproject.toml", "Makefile", ".ci/run"]
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


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A `uv` on PATH and a Python that note what they are told; a file makes one fail."""
    said = tmp_path / "said"
    for name in ("uv", "python"):
        (tmp_path / name).write_text(
            "#!/bin/sh\n"
            f'[ "$3" = config ] && {{ cat {tmp_path}/pip.conf; exit; }}\n'
            f'echo "{name} $*" "cert=$SSL_CERT_FILE" >>{said}\n'
            f"[ ! -e {tmp_path}/{name}-fails ]\n"
        )
        (tmp_path / name).chmod(0o755)
    (tmp_path / "pip.conf").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for variable in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "SSL_CERT_FILE"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def told(tools):
    from autograder.machine import setup_venv

    setup_venv.install(str(tools / "python"))
    return (tools / "said").read_text().splitlines()


def test_uv_installs_where_it_is(tools):
    learners, staff, course = told(tools)
    assert all(line.startswith("uv pip install") for line in (learners, staff, course))
    assert f"--compile-bytecode -r {LEARNERS}" in learners
    assert "-r requirements.lock" in staff and "-e ." in course


def test_uv_is_told_what_pip_is_told(tools, monkeypatch):
    (tools / "pip.conf").write_text(
        "global.cert='/some/ca.pem'\n"
        "global.index-url='https://one.example/simple'\n"
        ":env:.index-url='https://two.example/simple'\n"
        "global.extra-index-url='\\nhttps://three.example/simple\\nfile:///four'\n"
        "global.no-index='true'\n"
    )
    line = told(tools)[0]
    for expected in (
        " --index-url https://two.example/simple ",
        " --extra-index-url https://three.example/simple --extra-index-url file:///four ",
        " --no-index ",
        "cert=/some/ca.pem",
    ):
        assert expected in line
    assert "one.example" not in line

    (tools / "said").unlink()
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://its.own.example/simple")
    assert "example" not in told(tools)[0]


def test_pip_installs_where_uv_cannot(tools):
    (tools / "uv-fails").touch()
    first, *rest = told(tools)
    assert first.startswith("uv ") and len(rest) == 2
    assert all(line.startswith("python -m pip install") for line in rest)
    (tools / "uv").unlink()
    (tools / "said").unlink()
    assert [line.partition(" ")[0] for line in told(tools)] == ["python", "python"]


def test_an_installation_that_fails_is_one_clear_line(tools, capsys):
    for name in ("uv", "python"):
        (tools / f"{name}-fails").touch()
    with pytest.raises(SystemExit):
        told(tools)
    assert "could not install the packages" in capsys.readouterr().err


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
