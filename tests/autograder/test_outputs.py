"""What is kept of what a learner's process says a cell put out."""

import math

import pytest

from autograder.grading.engine.outputs import MAX_DEPTH, OUTPUT_BYTES, Outputs, error_output

CUT = {"output_type": "stream", "name": "stdout", "text": "... output cut ...\n"}

#: Bytes of a text's output besides its characters: keys, `stream`, `stdout`.
AROUND = OUTPUT_BYTES + len("typenametextstreamstdout")


def say(text, name="stdout"):
    return {"type": "stream", "name": name, "text": text}


def show(data, kind="display_data", **more):
    return {"type": kind, "data": data, "metadata": {}, **more}


def text(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(data, kind="display_data", **more):
    return {"output_type": kind, "data": data, "metadata": {}, **more}


def kept(*said, keep=10_000, flood=1_000_000):
    outputs = Outputs(keep, flood)
    for one in said:
        outputs.take(one)
    return outputs


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


PLAIN = "text/plain"
JSON = "application/json"


@pytest.mark.parametrize(
    ("said", "items"),
    [
        (["text", {"type": "unheard of"}, say(""), say(7)], []),
        (
            [say("a"), say("b"), say("c", "stderr"), say("d")],
            [text("ab"), text("c", "stderr"), text("d")],
        ),
        ([say("a", "elsewhere"), say("\ud800")], [text("a?")]),
        ([show({PLAIN: "a", "": "b", "image/png": None, "text/html": 7})], [shown({PLAIN: "a"})]),
        ([show({PLAIN: ["a\n", "b"], "text/html": ["a", 7]})], [shown({PLAIN: "a\nb"})]),
        ([show({JSON: [7, math.nan, {"a": -math.inf}]})], [shown({JSON: [7, None, {"a": None}]})]),
        ([show({"x/y+json": 7, "json": 7})], [shown({"x/y+json": 7})]),
        ([show("no bundle")], [shown({})]),
        ([show(nested(MAX_DEPTH - 1))], [shown({})]),
        ([show(nested(MAX_DEPTH))], [CUT]),
        (
            [show({}, "execute_result", count=count) for count in (0, 3, -1, True, "3")],
            [shown({}, "execute_result", execution_count=n) for n in (0, 3, None, None, None)],
        ),
        ([say("a"), show({PLAIN: "b"}), say("c")], [text("a"), shown({PLAIN: "b"}), text("c")]),
    ],
    ids=[
        "nothing", "streams", "odd text", "parts that are no text", "lines", "no finite numbers",
        "kinds of JSON", "no bundle", "deep", "too deep", "counts", "in order",
    ],
)  # fmt: skip
def test_what_is_no_output_is_left_out_and_the_rest_has_the_types_it_must_have(said, items):
    assert kept(*said).items == items


def test_a_display_is_changed_under_each_of_its_names_and_no_other():
    first, other = ({PLAIN: "old"}, "display_data"), ({PLAIN: "old"}, "execute_result")
    change = show({PLAIN: "new"}, "update_display_data")
    items = kept(
        show(*first, display_id="a"),
        show(*other, display_id="a"),
        show(*first, display_id="b"),
        show(*first, display_id=7),
        {**change, "display_id": "a"},
        {**change, "display_id": "c"},
        {**change, "display_id": 7},
    ).items
    assert [item["data"][PLAIN] for item in items] == ["new", "new", "old", "old"]
    assert items[0]["metadata"] == {}


@pytest.mark.parametrize("wait", [False, True])
def test_a_clear_takes_away_what_was_before(wait):
    clear = {"type": "clear_output", "wait": wait}
    outputs = kept(say("a"), clear)
    assert outputs.items == ([text("a")] if wait else [])
    for one in (say("b"), say("c", "stderr")):
        outputs.take(one)
    assert outputs.items == [text("b"), text("c", "stderr")]


def test_output_beyond_the_limit_is_cut_once_and_an_error_is_told_all_the_same():
    whole = kept(say("0123456789"), keep=AROUND + 10)
    assert whole.items == [text("0123456789")] and whole.kept == AROUND + 10
    whole.take(say("more", "stderr"))
    whole.take(say("and more", "stderr"))
    assert whole.items == [text("0123456789"), CUT]
    assert whole.kept == AROUND + 10 and not whole.has_error
    whole.take({"type": "error", "ename": "E", "evalue": "", "traceback": []})
    assert whole.has_error and whole.items[-1]["ename"] == "E"
    assert kept(say("01234567890"), keep=AROUND + 10).items == [CUT]


def test_a_flood_is_more_than_the_limit():
    assert not kept(say("0123456789"), flood=AROUND + 10).flooded
    assert kept(say("01234567890"), flood=AROUND + 10).flooded
    # Numbers, and lists of texts, count as well.
    numbers = show({"a/json": [1, None, "ab"]})
    size = OUTPUT_BYTES + len("typedisplay_datadatametadataa/json") + 2 * 8 + 2
    assert kept(numbers).kept == size


def test_of_an_error_the_beginning_and_the_end_are_kept():
    said = {"type": "error", "ename": "N" * 300, "evalue": "v" * 300}
    (error,) = kept({**said, "traceback": ["a" * 60, "b" * 60]}, keep=100).items
    assert (error["ename"], error["evalue"]) == ("N" * 200, "v" * 100)
    assert error["traceback"] == ["a" * 50, CUT["text"], "b" * 50]
    (error,) = kept({**said, "traceback": ["a" * 50, 7, "b" * 50]}, keep=100).items
    assert error["traceback"] == ["a" * 50, "", "b" * 50]
    (error,) = kept({**said, "traceback": ["a"] * 300}).items
    assert len(error["traceback"]) == 200
    assert kept({**said, "traceback": "text"}).items[0]["traceback"] == []


def test_an_error_of_the_graders_own_reads_like_pythons():
    error = error_output("NotRun", "why")
    assert error["traceback"] == ["NotRun: why"]
    assert (error["output_type"], error["ename"], error["evalue"]) == ("error", "NotRun", "why")
