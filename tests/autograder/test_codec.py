"""What crosses, what does not, and that nothing crosses with behaviour of its own."""

import array
import dataclasses
import datetime as dt
import itertools
import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograder.grading.engine import codec
from autograder.grading.engine.codec import NotPlainData, Opaque, decode, encode, mutate

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**4000, 2**5000)
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.decimals()
    | st.fractions()
)
keys = st.integers() | st.text() | st.tuples(st.integers(), st.text())
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.sets(keys)
        | st.frozensets(keys)
    ),
    max_leaves=20,
)
dtypes = (
    hnp.integer_dtypes()
    | hnp.floating_dtypes()
    | hnp.boolean_dtypes()
    | hnp.complex_number_dtypes()
)


def crossed(value):
    return decode(json.loads(json.dumps(encode(value))))


def same(left, right):
    """Tell whether two values are equal and of the same types all the way down."""
    return type(left) is type(right) and repr(left) == repr(right)


def ordered(form):
    """Return JSON text of a form, the items of sets in one order: sets have none."""
    if not isinstance(form, list):
        return json.dumps(form)
    parts = [ordered(part) for part in form[1:]]
    return json.dumps([form[0], *(sorted(parts) if form[0] in ("s", "f") else parts)])


@settings(max_examples=50)
@given(plain)
def test_plain_data_crosses_unchanged(value):
    assert ordered(encode(crossed(value))) == ordered(encode(value))
    if "{" not in repr(value) and "set" not in repr(value):
        assert same(crossed(value), value)


@given(hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_arrays_cross_unchanged(array):
    got = crossed(array)
    assert got.dtype == array.dtype and got.shape == array.shape
    assert got.tobytes() == array.tobytes()


@pytest.mark.parametrize("value", [np.float64(0.1), np.int32(7), np.bool_(True), np.str_("µs")])
def test_numpy_scalars_keep_their_type(value):
    assert same(crossed(value), value)


def test_arrays_of_objects_cross_item_by_item():
    array = np.array([[1, Fraction(1, 3)], [None, "a"]], dtype=object)
    assert np.array_equal(crossed(array), array)


class AlwaysEqual:
    def __eq__(self, other):
        return True

    __hash__ = None


class LyingFloat(float):
    def __eq__(self, other):
        return True

    def __float__(self):
        return 42.0

    __hash__ = float.__hash__


class LyingInt(int):
    def __add__(self, other):
        return 42

    def __int__(self):
        return 42

    __index__ = __int__


class LyingStr(str):
    def __str__(self):
        return "right"

    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


class LyingList(list):
    def __iter__(self):
        return iter([42])

    def __eq__(self, other):
        return True


class LyingDict(dict):
    def items(self):
        return [("right", 42)]


class LyingArray(np.ndarray):
    def __eq__(self, other):
        return True

    def tobytes(self):
        return np.array([42.0]).tobytes()

    __hash__ = None


@pytest.mark.parametrize(
    ("liar", "truth"),
    [
        (LyingFloat(1.5), 1.5),
        (LyingInt(3), 3),
        (LyingStr("wrong"), "wrong"),
        (LyingList([1, 2]), [1, 2]),
        (LyingDict(a=1), {"a": 1}),
        (IntEnum("Level", "LOW HIGH").HIGH, 2),
    ],
)
def test_a_subclass_crosses_as_the_value_of_its_base(liar, truth):
    assert same(crossed(liar), truth)


def test_a_subclass_of_an_array_crosses_as_an_array():
    got = crossed(np.array([1.0, 2.0]).view(LyingArray))
    assert type(got) is np.ndarray and got.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("value", [AlwaysEqual(), len, object(), np.void(b"ab")])
def test_what_is_no_plain_data_leaves_its_behaviour_behind(value):
    got = crossed(value)
    assert type(got) is Opaque
    assert got != 1 and got not in ([], 0, None, True)


def test_the_name_of_a_type_is_printable_and_short():
    hostile = type("\x1b[31m\nA" * 100, (), {})
    name = crossed(hostile()).type_name
    assert name.isprintable() and len(name) <= 80
    assert codec.printable("12345\n", 6) == "12345?" and codec.printable("1234567", 6) == "123..."


def recursive_list():
    loop = []
    loop.append(loop)
    return loop


def recursive_dict():
    loop = {}
    loop["me"] = loop
    return loop


@pytest.mark.parametrize(
    "value",
    [
        recursive_list(),
        recursive_dict(),
        [0] * (codec.MAX_ITEMS + 1),
        "x" * (codec.MAX_BYTES + 1),
        np.zeros(codec.MAX_BYTES),
        1 << codec.MAX_INT_BITS,
        range(10**30),
    ],
    ids=["recursive list", "recursive dict", "items", "text", "array", "int", "range"],
)
def test_what_is_too_large_or_contains_itself_is_refused(value):
    with pytest.raises(NotPlainData):
        encode(value)


forms = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(st.sampled_from("ltsfdicbDFranogvmqATCNBz?"), inner, inner).map(list)
        | st.tuples(
            st.sampled_from("an"), st.sampled_from(["<f8", "|O", "<U4", "O8"]), inner, inner
        ).map(list)
    ),
    max_leaves=15,
)


@given(forms)
def test_a_forged_form_gives_plain_data_or_one_error(form):
    try:
        value = decode(form)
    except NotPlainData:
        return
    # NaN and the like aside, what came in can go out again.
    encode(value)


@pytest.mark.parametrize(
    "form",
    [
        ["a", "|O", [1], "AAAAAAAAAAA="],
        ["a", "<f8", [2**40], ""],
        ["a", "<f8", [-1], ""],
        ["a", "<f8", [-1], "AAAAAAAAAAA="],
        ["a", "<f8", [-1, -1], "AAAAAAAAAAA="],
        ["a", "<f8", [-1, 0], ""],
        ["a", "<U0", [-1], ""],
        ["o", [-1, -1], 0],
        ["n", "<f8", "AA=="],
        ["i", "0x" + "f" * 10**6],
        ["d", [["l"], 1]],
        ["s", ["l"]],
        ["F", 1, 0],
        ["r", 1, 2, 0],
        {"__class__": "x"},
        [],
        ["__import__", "os"],
    ],
)
def test_forged_forms_are_refused(form):
    with pytest.raises(NotPlainData):
        decode(form)


@pytest.mark.parametrize("shape", [{}, "", ["x", 3], [2.0], [[1], 3]], ids=str)
def test_a_forged_shape_is_refused_before_it_is_reckoned_with(shape):
    with pytest.raises(NotPlainData, match="without a proper shape"):
        decode(["a", "<f8", shape, ""])


@pytest.mark.parametrize(
    ("form", "refused"),
    [
        (["l", *[0] * 19], False),
        (["l", *[0] * 20], True),
        (["l", *[["l", *[0] * 5] for _ in range(3)]], True),
    ],
    ids=["what encode lets pass", "a long list", "short lists together"],
)
def test_a_forged_form_is_no_larger_than_what_is_encoded(monkeypatch, form, refused):
    """An item takes at most four places in a form: a fraction in a dict."""
    monkeypatch.setattr(codec, "MAX_ITEMS", 5)
    if refused:
        with pytest.raises(NotPlainData, match="more than 5 items"):
            decode(form)
    else:
        assert decode(form) == form[1:]


def test_mutation_reaches_the_objects_that_others_hold():
    inner, table = [1], {"a": np.zeros(2)}
    held = table["a"]
    mutate([inner, table], [[1, 2], {"a": np.ones(2), "b": 3}])
    assert inner == [1, 2]
    assert held.tolist() == [1.0, 1.0]
    assert table["a"] is held and table["b"] == 3


def test_special_floats_cross():
    assert math.isnan(crossed(math.nan))
    assert crossed([math.inf, -math.inf]) == [math.inf, -math.inf]
    assert math.copysign(1, crossed(-0.0)) == -1
    assert same(crossed(Decimal("NaN")), Decimal("NaN"))


@dataclasses.dataclass(frozen=True, order=True)
class Wait:
    mean: float
    p99: float = 0.0


Pair = namedtuple("Pair", "x y")

#: Plain values of other types than the built-in ones; each comes back equal and of its kind.
KINDS = [
    OrderedDict(b=1, a=2),
    Counter("aab"),
    defaultdict(list, a=[1]),
    defaultdict(None, a=1),
    deque([1, 2], maxlen=2),
    array.array("d", [0.1, 2]),
    bytearray(b"ab"),
    {"b": 1, "a": 2}.keys(),
    {"b": [1], "a": 2}.items(),
    Pair(1, [2]),
    dt.datetime(2026, 12, 2, 18, tzinfo=dt.UTC),
    dt.date(2026, 12, 2),
    dt.time(18, 0, 0, 1),
    dt.timedelta(days=-1, microseconds=3),
]


@pytest.mark.parametrize("value", KINDS, ids=repr)
def test_plain_values_of_other_types_are_what_they_are(value):
    got = crossed(value)
    assert got == value and list(map(str, _parts(got))) == list(map(str, _parts(value)))
    assert type(got).__name__ == type(value).__name__
    assert len(got) == len(value) if hasattr(value, "__len__") else True


def _parts(value):
    return value if hasattr(value, "__iter__") else [value]


def test_fields_of_named_tuples_and_dataclasses_have_their_names():
    pair, wait = crossed([Pair(1, 2), Wait(0.5, 2.0)])
    assert (pair.x, pair.y, pair._asdict(), isinstance(pair, tuple)) == (
        1,
        2,
        Pair(1, 2)._asdict(),
        True,
    )
    assert (wait.mean, dataclasses.asdict(wait)) == (0.5, {"mean": 0.5, "p99": 2.0})
    assert repr(wait) == repr(Wait(0.5, 2.0))
    assert wait == crossed(Wait(0.5, 2.0)) != crossed(Wait(0.5, 3.0)) > wait
    assert hash(wait) == hash(crossed(Wait(0.5, 2.0)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        wait.mean = 1.0


def test_iterators_give_what_they_gave_once():
    for iterator in ((i * i for i in range(3)), map(abs, [0, 1, -4]), iter([0, 1, 4])):
        got = crossed(iterator)
        assert (next(got), list(got), list(got)) == (0, [1, 4], [])
    assert list(crossed({"a": 1, "b": 2}.values())) == [1, 2]
    endless = crossed(itertools.count())
    assert next(endless) == 0
    with pytest.raises(RuntimeError, match="more than 100,000 items"):
        list(endless)
    assert type(decode(encode(iter([1]), take=False))) is Opaque


def test_lists_that_hold_the_same_nan_are_equal_as_in_one_process():
    assert crossed([math.nan]) == [math.nan] and crossed([np.nan]) == [np.nan]


@pytest.mark.parametrize(
    "form",
    [
        ["N", "P", ["x", "x"], 1, 2],
        ["N", "P", ["x; import os"], 1],
        ["N", "P(tuple): pass", ["x"], 1],
        ["N", "P", ["x"]],
        ["C", "P", [True, True, True], ["__class__"], 1],
        ["C", "P", [True, True, True], ["def"], 1],
        ["C", "P", [True], ["x"], 1],
        ["m", "default", "eval"],
        ["A", "u", "x"],
        ["q", "x", 1],
        ["v", "items", 1],
        ["T", "datetime", "soon"],
        ["T", "tzinfo", "x"],
    ],
)
def test_forged_types_are_refused(form):
    with pytest.raises(NotPlainData):
        decode(form)


def read_only():
    array = np.array([1, 2])
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("original", "after", "expected"),
    [
        ([1, 2], [2, 1], [2, 1]),
        ([1], [2, 3], [2, 3]),
        ([1], (2,), [1]),
        ((1,), [2], (1,)),
        ([[1]], [(1,)], [(1,)]),
        ({"a": 1, "b": 2}, {"c": 3, "a": 4}, {"c": 3, "a": 4}),
        ({"a": 1}, ["a"], {"a": 1}),
        ([1], {"a": 1}, [1]),
        ({1}, {2}, {2}),
        ({1}, [2], {1}),
        (deque([1]), deque([2, 3]), deque([2, 3])),
        (deque([1]), [2], deque([1])),
        (5, deque([2]), 5),
        (bytearray(b"a"), bytearray(b"bc"), bytearray(b"bc")),
        (bytearray(b"a"), b"bc", bytearray(b"a")),
        (array.array("i", [1]), array.array("i", [2]), array.array("i", [2])),
        (([1], 5), ([2], 6), ([2], 5)),
        (([1], [2]), ([3],), ([3], [2])),
        (5, ([3],), 5),
        (np.array([1, 2]), np.array([3, 4]), np.array([3, 4])),
        (np.array([1, 2]), np.array([5]), np.array([1, 2])),
        (np.array([1, 2]), [3, 4], np.array([1, 2])),
        (read_only(), np.array([3, 4]), np.array([1, 2])),
    ],
    ids=repr,
)
def test_arguments_become_what_was_made_of_their_copies_if_of_the_same_kind(
    original, after, expected
):
    mutate(original, after)
    np.testing.assert_equal(original, expected)
    if isinstance(expected, dict):
        assert [*original] == [*expected]


@pytest.mark.parametrize("whole", [lambda inner: [inner, 1], lambda inner: {"a": inner}])
@pytest.mark.parametrize(
    ("inner", "after"), [([1], [2]), ({"a": 1}, {}), ({1}, {2}), (np.zeros(1), np.ones(1))]
)
def test_what_is_inside_stays_the_same_object(whole, inner, after):
    mine = whole(inner)
    mutate(mine, whole(after))
    assert (mine[0] if isinstance(mine, list) else mine["a"]) is inner
    np.testing.assert_equal(inner, after)


@pytest.mark.parametrize(
    ("limit", "fits", "over"),
    [
        ("MAX_ITEMS", [0] * 5, [0] * 6),
        ("MAX_ITEMS", {"a": 1, "b": [2]}, {"a": 1, "b": [2, 3]}),
        ("MAX_BYTES", "x" * 5, "x" * 6),
        ("MAX_BYTES", [b"xx", "xxx"], [b"xxx", "xxx"]),
        ("MAX_DECIMAL_EXPONENT", Decimal("1E+5"), Decimal("1E+6")),
        ("MAX_DEPTH", [[[[[[]]]]]], [[[[[[[]]]]]]]),
        ("MAX_DEPTH", {"a": [{"a": [{"a": []}]}]}, {"a": [{"a": [{"a": [[]]}]}]}),
    ],
)
def test_what_is_at_a_limit_crosses_and_what_is_beyond_does_not(monkeypatch, limit, fits, over):
    monkeypatch.setattr(codec, limit, 5)
    assert crossed(fits) == fits
    with pytest.raises(NotPlainData):
        encode(over)


def test_an_integer_is_written_out_where_reading_it_back_is_quick():
    for number in (2**4096 - 1, 1 - 2**4096):
        assert encode(number) == number
    assert encode(2**4096) == ["i", hex(2**4096)]


def test_the_largest_integer_crosses_and_no_larger_one():
    largest = -((1 << codec.MAX_INT_BITS) - 1)
    assert crossed(largest) == largest
    with pytest.raises(NotPlainData):
        decode(["i", "-0x" + "f" * (codec.MAX_INT_BITS // 4 + 1)])
