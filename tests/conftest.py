"""Settings for the whole suite."""

import pytest
from hypothesis import settings

# Both cores are busy: how long one example took says nothing.
settings.register_profile("servemath", deadline=None, derandomize=True)
settings.load_profile("servemath")

#: Marks of tests that wait until they are asked for, and how to ask.
ON_REQUEST = {"soak": "a long run: pytest -m soak", "browser": "make test-browser"}


#: Files that take minutes: first, so that both cores are busy to the end.
SLOW = ("test_golden_chapters.py", "test_golden_class.py")


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.path.name not in SLOW)
    for item in items:
        for mark, how in ON_REQUEST.items():
            if item.get_closest_marker(mark) and mark not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason=how))
