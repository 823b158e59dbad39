import subprocess
import sys

import pytest

import servemath_helpers


def test_a_module_is_loaded_when_first_asked_for():
    code = (
        "import sys, servemath_helpers as sm\n"
        "assert 'servemath_helpers.cost' not in sys.modules\n"
        "sm.cost.cost_per_million\n"
        "assert 'servemath_helpers.cost' in sys.modules\n"
        "assert 'servemath_helpers.traces' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", ["nothing_of_the_kind", "_private", "__wrapped__"])
def test_what_is_not_a_module_is_no_attribute(name):
    with pytest.raises(AttributeError, match=name):
        getattr(servemath_helpers, name)


def test_a_module_that_lacks_something_of_its_own_says_so(monkeypatch, tmp_path):
    (tmp_path / "half_there.py").write_text("import a_package_that_is_not_installed\n")
    monkeypatch.setattr(servemath_helpers, "__path__", [*servemath_helpers.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_installed"):
        servemath_helpers.half_there  # noqa: B018 - asking for it is the test


def test_completion_lists_public_modules():
    assert {"queueing", "latency", "facts", "plotting"} <= set(dir(servemath_helpers))
