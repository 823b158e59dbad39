import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from autograder.grading.engine.parsing import parse

SOURCE = (
    "x = " + "(" * 20 + "1" + ")" * 20 + "\n" + "def f(x):\n    return [x, (x, {x: -x})]\n" * 40
)


@pytest.fixture
def other_threads_get_their_turn():
    """Give way to other threads wherever memory is cleared up: in the middle of a tree too."""

    def give_way(_phase, _info):
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(20)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(give_way)


def test_threads_may_parse_at_the_same_time(other_threads_get_their_turn):
    with ThreadPoolExecutor(4) as threads:
        trees = list(threads.map(parse, [SOURCE] * 40))
    assert {len(tree.body) for tree in trees} == {41}
