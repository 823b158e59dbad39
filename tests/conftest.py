"""Settings for the whole suite."""

import gc
import os
import sys
import tempfile
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings

from autograder.course import commands

from . import warm

# Both cores are busy: how long one example took says nothing.
settings.register_profile("servemath", deadline=None, derandomize=True)
settings.load_profile("servemath")

TESTS = Path(__file__).parent

# A lab keeps each step: never in the ledger of whoever runs the tests.
LEDGERS = tempfile.TemporaryDirectory(prefix="ledger-")
os.environ["SERVEMATH_LEDGER"] = str(Path(LEDGERS.name) / "ledger.json")

# What takes long to start is started once.
commands.nbgrader = warm.nbgrader

#: Whose tests cover every line of `servemath_helpers`. What a loop does a million times is not
#: counted a million times: counting makes it four times as slow, so those tests, and all others,
#: are `no_cover`.
COVERING = (TESTS / "helpers", TESTS.parent / "servemath_helpers")

#: What runs on request, with tools of its own.
collect_ignore = ["mutants"]

#: Marks of tests that wait until they are asked for, and how to ask.
ON_REQUEST = {
    "soak": "a long run: pytest -m soak",
    "browser": "make test-browser",
    "hub": "make test-hub",
}

#: Files that take longest: first, so that all workers are busy to the end.
SLOW = (
    "test_attacks.py",
    "test_rules.py",
    "test_guides.py",
    "test_same_scores.py",
    "test_deep.py",
    "test_killed.py",
    "test_golden_class.py",
    "test_golden_chapters.py",
    "test_docs_commands.py",
    "test_own_work.py",
    "test_docs.py",
    "test_dask.py",
    "test_postgres.py",
    "test_cli.py",
    "test_check.py",
    "test_jail.py",
    "test_engine.py",
    "test_plans.py",
    "test_validate.py",
    "test_labs.py",
    "theory.ipynb",
)

# Thousands of tests are collected and stay: looking for garbage among them, again and again,
# takes a sixth of that time.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """End the count that pytest-cov begins in a worker as if it were the one that hands out tests.

    It reads ``--numprocesses`` there as well. The worker's own count begins beside that one, and
    `no_cover` would pause it alone: each test would be as slow as if it were counted.
    """
    cov = session.config.pluginmanager.getplugin("_cov")
    if hasattr(session.config, "workerinput") and cov and cov.cov_controller:
        cov.cov_controller.cov.stop()
        assert Coverage.current() is None


class Counting:
    """Has functions forget what they were asked where nothing was counted, when counting begins."""

    going = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """Come before all fixtures."""
        before, self.going = self.going, item.get_closest_marker("no_cover") is None
        if self.going and not before:
            for name, module in list(sys.modules.items()):
                if name.startswith("servemath_helpers"):
                    for value in list(vars(module).values()):
                        if hasattr(value, "cache_clear"):
                            value.cache_clear()


def pytest_configure(config):
    config.pluginmanager.register(Counting())


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config, items):
    order = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    # pytest-cov has begun by now; nbval would count in its kernels, too, what nobody asks for.
    config.option.cov_source = None
    for item in items:
        if not any(item.path.is_relative_to(folder) for folder in COVERING):
            item.add_marker("no_cover")
        for mark, how in ON_REQUEST.items():
            if item.get_closest_marker(mark) and mark not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason=how))
