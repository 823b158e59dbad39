"""Settings for the whole suite."""

import pytest
from hypothesis import settings

# Both cores are busy: how long one example took says nothing.
settings.register_profile("servemath", deadline=None, derandomize=True)
settings.load_profile("servemath")

#: Marks of tests that wait until they are asked for, and how to ask.
ON_REQUEST = {"soak": "a long run: pytest -m soak", "browser": "make test-browser"}


#: Files that take minutes: first, so that both cores are busy to the end.
SLOW = (
    "test_docs_commands.py",
    "test_golden_class.py",
    "test_golden_chapters.py",
    "test_attacks.py",
    "test_killed.py",
    "test_same_scores.py",
)


def pytest_collection_modifyitems(config, items):
    order = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    for item in items:
        for mark, how in ON_REQUEST.items():
            if item.get_closest_marker(mark) and mark not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason=how))
