"""One import sets up a notebook, and an exercise notebook never loads matplotlib."""

import subprocess
import sys
from unittest import mock

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

from servemath_helpers import checks, deep, notebook, plotting, questions

CHECKS = [
    "check_calls",
    "check_close",
    "check_equal",
    "check_forms",
    "check_raises",
    "check_refused",
    "check_true",
    "check_yourself",
    "deep_check",
    "header",
]


@pytest.fixture(autouse=True)
def _leave_matplotlib_as_it_was():
    with mpl.rc_context():
        yield


def run_fresh(code):
    """Run `code` in a new interpreter and return what it printed."""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return run.stdout.strip()


def test_importing_it_loads_no_plotting_library():
    code = (
        "import sys\n"
        f"from servemath_helpers.notebook import {', '.join(CHECKS)}, rng\n"
        "print([m for m in ('matplotlib', 'seaborn', 'pandas', 'IPython') if m in sys.modules])"
    )
    assert run_fresh(code) == "[]"


def test_asking_for_colours_loads_no_matplotlib_either():
    code = (
        "import sys\n"
        "from servemath_helpers.notebook import COLORS\n"
        "print(COLORS['primary'], 'matplotlib' in sys.modules)"
    )
    assert run_fresh(code) == f"{plotting.COLORS['primary']} False"


def test_importing_it_seeds_numpys_legacy_generator():
    code = (
        "import numpy as np\n"
        "import servemath_helpers.notebook\n"
        "print(np.random.random() == np.random.RandomState(42).random_sample())"
    )
    assert run_fresh(code) == "True"


def test_its_generator_starts_from_the_same_seed_in_every_notebook():
    code = "from servemath_helpers.notebook import rng\nprint(rng.random(2).tolist())"
    assert run_fresh(code) == str(np.random.default_rng(42).random(2).tolist())


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_are_those_of_their_modules(name):
    home = {"check_yourself": questions, "deep_check": deep}.get(name, checks)
    assert getattr(notebook, name) is getattr(home, name)


def test_plt_is_pyplot_in_the_course_style():
    mpl.rcParams["figure.figsize"] = (3, 3)
    assert notebook.plt is sys.modules["matplotlib.pyplot"]
    assert mpl.rcParams["figure.figsize"] == [10, 6]


def test_show_applies_the_course_style_too():
    mpl.rcParams["font.size"] = 5
    assert notebook.show is plotting.show
    assert mpl.rcParams["font.size"] == 13


def test_colours_leave_the_style_alone():
    mpl.rcParams["font.size"] = 5
    assert notebook.COLORS is plotting.COLORS
    assert mpl.rcParams["font.size"] == 5


def test_drawing_does_not_repeat_random_numbers():
    np.random.seed(5)
    with mock.patch("numpy.random.seed") as seed:
        assert notebook.plt
    seed.assert_not_called()


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match=r"servemath_helpers\.notebook.*'plot'"):
        notebook.plot  # noqa: B018


def test_completion_offers_every_public_name():
    assert set(notebook.__all__) <= set(dir(notebook))
