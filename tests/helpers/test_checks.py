"""The checks accept every honest form of a right answer and nothing else."""

import copy
import functools
import itertools
import math
import pickle
from collections import OrderedDict, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from servemath_helpers import checks
from servemath_helpers.checks import (
    FIRST,
    STOPPED,
    answer_agrees,
    check_calls,
    check_close,
    check_equal,
    check_first,
    check_forms,
    check_raises,
    check_refused,
    check_true,
    header,
    shown,
)


class AlwaysEqual:
    """Claims to equal anything and to be a float."""

    __class__ = float  # type: ignore[assignment]
    __hash__ = object.__hash__

    def __eq__(self, other):
        return True

    def __float__(self):
        return 24.0

    def __repr__(self):
        raise RuntimeError("a repr must not run")


class EvilFloat(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__

    def __float__(self):
        return 24.0

    def __repr__(self):
        return "24.0"


class EvilDict(dict):
    def __getitem__(self, key):
        return 24

    def items(self):
        return [("W", 24)]


class EvilList(list):
    def __iter__(self):
        return iter([24])

    def __len__(self):
        return 1


class EvilText(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


class LyingMeta(type):
    @property
    def __name__(cls):
        return "float"

    def __subclasscheck__(cls, other):
        return True


class Liar(metaclass=LyingMeta):
    pass


class Colour(IntEnum):
    RED = 24


def kind(value):
    """Name a parameter by its type: pytest would ask a hostile object for its text."""
    return type.__repr__(type(value))


def message(check, *args, **kwargs):
    with pytest.raises(AssertionError) as caught:
        check(*args, **kwargs)
    return str(caught.value)


RIGHT_24 = [
    24,
    24.0,
    np.float64(24),
    np.float32(24),
    np.int64(24),
    np.uint8(24),
    np.longdouble(24),
    np.array(24),
    np.array(24.0, dtype=object),
    Fraction(24),
    Decimal("24.0"),
    Colour.RED,
]

WRONG_24 = [
    25,
    24.000001,
    -24,
    None,
    "24",
    True,
    np.True_,
    [24],
    np.array([24]),
    {"L": 24},
    24 + 0j,
    np.complex128(24),
    np.timedelta64(24),
    math.nan,
    math.inf,
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    Decimal("1e999999999"),
    Decimal("1e-999999999"),
    Fraction(10**400),
    10**5000,
    AlwaysEqual(),
    EvilFloat(7),
    Liar(),
    Liar,
    EvilList([1, 2]),
    object(),
    {24},
    range(24),
    b"24",
    Ellipsis,
]


@pytest.mark.parametrize("check", [check_close, check_equal])
@pytest.mark.parametrize("actual", RIGHT_24, ids=kind)
def test_every_honest_form_of_a_number_is_accepted(check, actual, capsys):
    assert check(actual, 24, "f()") is None
    assert capsys.readouterr().out == "✓ f()\n"


@pytest.mark.parametrize("check", [check_close, check_equal])
@pytest.mark.parametrize("actual", WRONG_24, ids=kind)
def test_nothing_else_passes_for_a_number_and_the_message_is_short(check, actual, capsys):
    text = message(check, actual, 24, "f()", "think")
    assert text.startswith("f() should return 24, but it returned ")
    assert text.endswith("\nHint: think")
    assert len(text) < 250
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        (14, "14."),
        (14.0, "14."),
        (0.1 + 0.2, "0.3."),
        (math.nan, "nan (not a number)."),
        (math.inf, "inf."),
        (Fraction(5, 3), "5/3."),
        (10**5000, "a number of very many digits."),
        (Fraction(1, 2**300), "a number of very many digits."),
        ("24", "the text '24'."),
        ("x" * 500, "the text '" + "x" * 59 + "…'."),
        (True, "True (a bool)."),
        ([1, "a", None], "the list [1, 'a', None]."),
        ((), "the list []."),
        (list(range(20)), "the list [0, 1, 2, 3, 4, 5, 6, 7, …]."),
        ([[[[[1]]]]], "the list [[[[…]]]]."),
        ([[[[]]]], "the list [[[[]]]]."),
        ({"W": 0.05, "x": {}}, "the dict {'W': 0.05, 'x': {}}."),
        (AlwaysEqual(), "an object of type AlwaysEqual."),
        (Liar(), "an object of type Liar."),
        ([AlwaysEqual()], "the list [<AlwaysEqual>]."),
    ],
    ids=kind,
)
def test_the_message_shows_what_came_back(actual, said):
    assert message(check_equal, actual, 24, "f()") == (
        f"f() should return 24, but it returned {said}"
    )


def test_a_forgotten_return_is_named():
    text = message(check_close, None, 24, "littles_law(lam=12, W=2)")
    assert text == (
        "littles_law(lam=12, W=2) should return 24, but it returned None: "
        "is a `return` missing at the end of the function?"
    )


def test_a_value_where_none_is_expected_fails_and_none_passes():
    check_equal(None, None, "choose_batch([], [], 1)")
    assert message(check_equal, 0, None, "f()") == (
        "f() should return None, but it returned 0 (a number)."
    )


def test_nan_equals_nothing_not_even_nan():
    assert "should return nan (not a number)" in message(check_close, math.nan, math.nan, "f()")


@pytest.mark.parametrize(("actual", "expected"), [(math.inf, math.inf), (-math.inf, -math.inf)])
def test_infinities_agree_with_themselves(actual, expected):
    check_close(actual, expected, "f()")
    check_equal(np.float64(actual), expected, "f()")


def test_closeness_is_relative_with_a_small_absolute_floor():
    check_close(1e12 * (1 + 5e-10), 1e12, "f()")
    check_close(5e-13, 0, "f()")
    check_close(0.5, 1, "f()", rel_tol=0.5)
    check_close(0.5, 0, "f()", abs_tol=0.5)
    message(check_close, 1 + 2e-9, 1, "f()")
    message(check_close, 2e-12, 0, "f()")
    message(check_close, 5e-13, 0, "f()", abs_tol=0)


def test_equality_tells_neighbours_apart_and_forgives_only_the_type():
    check_equal(0.1, Fraction(1, 10), "f()")
    check_equal(Decimal("0.1"), Fraction(1, 10), "f()")
    text = message(check_equal, 10**20 + 1, 10**20, "f()")
    assert "100000000000000000001" in text
    assert message(check_equal, 0.1 + 0.2, 0.3, "f()") == (
        "f() should return 0.3, but it returned 0.30000000000000004. It is off by 2e-16 of the "
        "right number; exactly that one is asked for: does a float round on the way?"
    )
    message(check_equal, Fraction(1, 10), Decimal("0.1000000000000000000000001"), "f()")


def test_bools_are_no_numbers_and_numbers_no_bools():
    check_equal(np.True_, True, "f()")
    check_equal(True, np.True_, "f()")
    assert message(check_equal, 1, True, "f()") == (
        "f() should return True, but it returned 1 (a number)."
    )
    assert message(check_equal, False, True, "f()") == (
        "f() should return True, but it returned False."
    )


def test_texts_are_compared_exactly():
    check_equal(np.str_("shed"), "shed", "f()")
    assert "'Shed'" in message(check_equal, "Shed", "shed", "f()")
    message(check_equal, EvilText("no"), "shed", "f()")


@pytest.mark.parametrize("check", [check_close, check_equal])
def test_lists_tuples_and_arrays_count_alike(check):
    pair = namedtuple("pair", "a b")
    for actual in ([1, 2], (1, 2), np.array([1, 2]), np.array([1.0, 2.0]), pair(1, 2)):
        check(actual, [1, 2], "f()")
        check([1, 2], actual, "f()")
    check(np.eye(2), [[1, 0], (0, 1)], "f()")


@pytest.mark.parametrize(
    ("actual", "expected", "said"),
    [
        ([1], [1, 2], "f() should return 2 items, but it returned 1: [1]."),
        ([1, 2], [1], "f() should return 1 item, but it returned 2: [1, 2]."),
        ([], [1], "f() should return 1 item, but it returned 0: []."),
        (7, [7], "f() should return [7], but it returned 7 (a number)."),
        ([1, 3], [1, 2], "f(): item 1 (items count from 0) should be 2, but it is 3."),
        ([None], [2], "f(): item 0 (items count from 0) should be 2, but it is None."),
        ({}, {"W": 1}, "f() should return a dict with 'W', but it returned one without 'W'."),
        (
            {"w": 1, "rho": 2},
            {"rho": 2, "W": 1, "Wq": 3},
            "f() should return a dict with 'rho', 'W', 'Wq', "
            "but it returned one without 'W', 'Wq'.",
        ),
        (
            {"W": 1, "name": 2, (1, 2): 3},
            {"W": 1},
            "f() should return a dict with only 'W', "
            "but it returned one that also has 'name', [1, 2].",
        ),
        ({"W": 1}, {}, "f() should return an empty dict, but it returned one that also has 'W'."),
        ({"W": 2}, {"W": 1}, "f(): key 'W' should be 1, but it is 2."),
        (
            {"Wq": [0, 1, 2, 9]},
            {"Wq": (0, 1, 2, 3)},
            "f(): key 'Wq', item 3 (items count from 0) should be 3, but it is 9.",
        ),
        ({1: "a"}, {1: "b"}, "f(): key 1 should be 'b', but it is 'a'."),
        (
            {AlwaysEqual(): 1},
            {"W": 1},
            "f() should return a dict with 'W', but it returned one without 'W'.",
        ),
        (EvilDict(W=5), {"W": 24}, "f(): key 'W' should be 24, but it is 5."),
        (EvilList([5]), [24], "f(): item 0 (items count from 0) should be 24, but it is 5."),
    ],
    ids=kind,
)
def test_a_nested_difference_names_its_place(actual, expected, said):
    assert message(check_close, actual, expected, "f()") == said


def test_equal_structures_pass_in_any_key_order():
    expected = {"ttft": None, "e2e": 295, "bound": "memory", "ok": True}
    check_close(dict(reversed(expected.items())), expected, "f()")
    check_close(OrderedDict(expected), expected, "f()")
    check_equal({np.int64(1): 2, None: 3, False: 4}, {1: 2, None: 3, False: 4}, "f()")
    check_equal({}, {}, "f()")
    check_equal([], (), "f()")


def test_long_lists_of_keys_are_cut():
    expected = {f"k{i}": i for i in range(20)}
    assert message(check_equal, {}, expected, "f()").endswith("'k6', 'k7'.")


def test_an_array_that_holds_itself_is_refused_without_recursion():
    loop = np.empty((), dtype=object)
    loop[()] = loop
    assert "an object of type ndarray" in message(check_equal, loop, 1, "f()")


@pytest.mark.no_cover
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_plain_value_agrees_with_itself(value):
    check_equal(value, value, "f()")
    check_close(value, value, "f()")


@given(st.integers(), st.integers())
def test_integers_are_equal_only_to_themselves(a, b):
    if a == b:
        check_equal(a, b, "f()")
    else:
        message(check_equal, a, b, "f()")


def test_an_expectation_that_is_no_plain_data_is_the_authors_error():
    with pytest.raises(TypeError, match="cannot expect an object of type set"):
        check_equal(1, {1}, "f()")


def test_check_true_accepts_only_a_true_bool(capsys):
    check_true(True, "at lam = 0 nobody waits")
    check_true(np.True_, "at lam = 0 nobody waits")
    assert capsys.readouterr().out == "✓ at lam = 0 nobody waits\n" * 2
    assert message(check_true, np.False_, "nobody waits", "lam is 0") == (
        "This does not hold yet: nobody waits.\nHint: lam is 0"
    )


@pytest.mark.parametrize(
    "condition",
    [1, "yes", None, [True], np.array([True]), np.array([True, False]), AlwaysEqual()],
    ids=kind,
)
def test_check_true_refuses_what_is_only_truthy(condition):
    assert "should be True or False" in message(check_true, condition, "nobody waits")


def test_check_true_reads_a_bool_in_an_array_without_dimensions():
    check_true(np.array(True), "nobody waits")


def raising(error):
    def call():
        raise error

    return call


def test_check_raises_accepts_the_error_and_its_subclasses(capsys):
    check_raises(raising(ValueError("lam")), ValueError, "f()")
    check_raises(raising(UnicodeError("lam")), ValueError, "f()")
    check_raises(raising(NotImplementedError()), NotImplementedError, "f()")
    assert capsys.readouterr().out.startswith("✓ f() raises ValueError\n")


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (3, "3."),
        (None, "None."),
        ("error", "the text 'error'."),
        (math.nan, "nan (not a number)."),
        (AlwaysEqual(), "an object of type AlwaysEqual."),
    ],
    ids=kind,
)
def test_check_raises_shows_what_was_returned_instead(returned, said):
    text = message(check_raises, lambda: returned, ValueError, "f(-1)", "rates are not negative")
    assert text == (
        f"f(-1) should raise ValueError, but it returned {said}\nHint: rates are not negative"
    )


class HostileError(Exception):
    args = property(lambda self: ["shown"])  # type: ignore[assignment]

    def __str__(self):
        raise SystemExit


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("rho"), "KeyError: rho."),
        (TypeError("bad operand."), "TypeError: bad operand."),
        (ZeroDivisionError(), "ZeroDivisionError."),
        (LookupError(2, "gone"), "LookupError: 2."),
        (Exception("x" * 500), "Exception: " + "x" * 199 + "…."),
        (HostileError("true words"), "HostileError: true words."),
        (HostileError(AlwaysEqual()), "HostileError: <AlwaysEqual>."),
    ],
    ids=kind,
)
def test_check_raises_names_the_wrong_error(error, said):
    text = message(check_raises, raising(error), ValueError, "f()")
    assert text == f"f() should raise ValueError, but it raised {said}"


@pytest.mark.parametrize("error", [ValueError, RuntimeError, Exception])
def test_a_starter_cell_never_passes_for_a_refusal(error):
    with pytest.raises(NotImplementedError):
        check_raises(raising(NotImplementedError()), error, "f()")


def test_check_raises_lets_an_interrupt_through():
    with pytest.raises(KeyboardInterrupt):
        check_raises(raising(KeyboardInterrupt()), ValueError, "f()")


def test_a_table_says_each_call_or_all_in_one_line(capsys):
    check_calls(divmod, ((7, 2), (3, 1)), ((7, -2), [-4, -1], "Towards minus infinity."))
    check_calls(math.sqrt, *(((n * n,), n) for n in range(9)), what="squares")
    assert capsys.readouterr().out == "✓ divmod(7, 2)\n✓ divmod(7, -2)\n✓ sqrt: squares\n"


@pytest.mark.parametrize(
    ("row", "given", "said"),
    [
        (((7, 2), (3, 2)), {}, r"divmod\(7, 2\): item 1 .* should be 2, but it is 1.$"),
        (((7, 2), (3, 2)), {"hint": "Read."}, r"\nHint: Read.$"),
        (((7, 2), (3, 2), "Own."), {"hint": "Read."}, r"\nHint: Own.$"),
        (((7, 2), (3, 2)), {"what": "many"}, r"^divmod\(7, 2\): item 1"),
        (((7.0, 2), (3, 1 + 1e-11)), {"exact": True}, "should be 1.00000000001"),
        (((7, 2), 3), {}, "should return 3, but it returned the list"),
        (((7, 2), None), {}, "should return None, but it returned the list"),
    ],
)
def test_a_row_that_fails_says_the_call_and_its_hint(row, given, said):
    with pytest.raises(AssertionError, match=said):
        check_calls(divmod, row, **given)


def test_a_table_is_close_or_exact():
    check_calls(divmod, ((7.0, 2), (3, 1 + 1e-11)))
    for check in (check_calls, check_first):
        check(divmod, ((7.0, 2), (3, 1.04)), abs_tol=0.05)
        with pytest.raises(AssertionError):
            check(divmod, ((7.0, 2), (3, 1.04)), abs_tol=0.03)


def test_a_table_calls_by_name_too(capsys):
    def f(lam, mu=2):
        return lam / mu

    check_calls(f, ({"lam": 3}, 1.5), ({"mu": 4, "lam": 3}, 0.75))
    assert capsys.readouterr().out == "✓ f(lam=3)\n✓ f(mu=4, lam=3)\n"


def spoil(how):
    """Return a function of one argument that spoils it in one way, and gives 1."""

    def spoils(value):
        how(value)
        return 1

    return spoils


@pytest.mark.parametrize(
    ("value", "how"),
    [
        ([3, 1], lambda v: v.sort()),
        ([3, 1], lambda v: v.pop()),
        ([3, 1], lambda v: v.__setitem__(0, 3.0)),
        ([3, 1], lambda v: v.__setitem__(0, True)),
        ([[3], 1], lambda v: v[0].append(1)),
        (([3], 1), lambda v: v[0].append(1)),
        ({"a": 1}, lambda v: v.update(b=2)),
        ({"a": [1]}, lambda v: v["a"].clear()),
        ([{"a": 1}], lambda v: v[0].pop("a")),
        ({"a": 1}, lambda v: v.update(a=2)),
        (np.array([3, 1]), lambda v: v.sort()),
        (np.array([[3.0, math.nan]]), lambda v: v.fill(3)),
        (np.array([3, 1]), lambda v: v.resize(3, refcheck=False)),
    ],
)
def test_a_changed_argument_fails_every_table(value, how):
    said = r"spoils\(.*\) should leave its arguments as they are, but it changed argument "
    for call, name in ((value,), "1"), ({"value": value}, "'value'"):
        with pytest.raises(AssertionError, match=f"{said}{name}"):
            check_calls(spoil(how), (copy.deepcopy(call), 1))
    with pytest.raises(AssertionError, match=said):
        check_forms(spoil(how), (copy.deepcopy(value),), 1)

    def refuses(value, n):
        if n < 1:
            how(value)
            raise ValueError

    with pytest.raises(AssertionError, match="it changed argument 'value'"):
        check_refused(refuses, {"value": copy.deepcopy(value), "n": 1}, {"n": [0]})


def test_an_argument_that_is_left_alone_passes_even_with_nan_in_it():
    whole = [1, math.nan, [np.array([math.nan, 2])], {"a": (None, "x")}, np.float64("nan")]
    check_calls(lambda value: 1, ((whole,), 1))


def test_an_argument_that_a_later_call_changes_fails():
    kept = []

    def remembers(values):
        for earlier in kept:
            earlier.clear()
        kept.append(values)
        return len(values)

    with pytest.raises(AssertionError, match="it changed argument 1 in a later call"):
        check_calls(remembers, (([1, 2],), 2), (([1, 2, 3],), 3))


def test_a_function_without_a_name_is_called_the_function(capsys):
    check_calls(functools.partial(divmod, 7), ((2,), (3, 1)))
    assert capsys.readouterr().out == "✓ the function(2)\n"


def test_long_arguments_are_cut(capsys):
    check_calls(len, ((list(range(1000)),), 1000))
    assert len(capsys.readouterr().out) < 150


def test_refused_values_are_tried_alone_and_the_last_negative_ones_in_pairs(capsys):
    calls = []

    def f(x, y, z=1):
        calls.append((x, y, z))
        if (x, y, z) != (1, 2, 1):
            raise ValueError

    check_refused(f, {"x": 1, "y": 2}, {"x": [0, -9, -1], "y": (-2,), "z": ["-3", None, [-1]]})
    said = "✓ f refuses x = 0, -9, -1; y = -2; z = '-3', None, [-1]\n"
    assert capsys.readouterr().out == said
    numbers = [(0, 2, 1), (-9, 2, 1), (-1, 2, 1), (1, -2, 1)]
    texts = [(1, 2, z) for z in ("-3", -3.0, Decimal(-3), Fraction(-3), -3)]
    pairs = [(-1, -2, 1), (-1, 2, "-3"), (1, -2, "-3")]
    alone = [(1, 2, 1), *numbers, *texts, (1, 2, None), (1, 2, [-1])]
    assert calls == [*alone, *pairs]
    assert [type(z) for _, _, z in calls[5:10]] == [str, float, Decimal, Fraction, int]
    check_refused(f, {"x": 1, "y": 2}, {"x": [-1], "y": [-2]}, pairs=False)
    assert calls == [*alone, *pairs, (1, 2, 1), (-1, 2, 1), (1, -2, 1)]


def test_a_value_that_is_not_refused_says_the_call():
    def product(x, y):
        if x * y < 0:
            raise ValueError
        return x * y

    with pytest.raises(
        AssertionError, match=r"product\(x=-1, y=-2\) should raise ValueError, .* 2.\nHint: Signs."
    ):
        check_refused(product, {"x": 1, "y": 2}, {"x": [-1], "y": [-2]}, "Signs.")


def test_the_call_that_is_fine_must_be():
    def never(x):
        raise ValueError("never")

    said = r"never\(x=1\) should return an answer, but it stopped with ValueError: never.\nHint: S."
    with pytest.raises(AssertionError, match=said):
        check_refused(never, {"x": 1}, {"x": [0]}, "S.")


@pytest.mark.parametrize(
    "error", [TypeError("no"), KeyError("lam"), AssertionError("\nHint: mine.")]
)
def test_a_call_that_stops_says_so_with_the_hint_of_its_row(error):
    with pytest.raises(AssertionError) as caught:
        check_calls(raising(error), ((), 24, "0 is a value."))
    first, _, hint = str(caught.value).rpartition("\n")
    assert first.startswith(f"call() should return 24, but it {STOPPED} {type(error).__name__}: ")
    assert hint == "Hint: 0 is a value."
    assert caught.value.__cause__ is error


def test_a_table_lets_through_that_nothing_is_written_yet():
    for check in (check_calls, check_first):
        with pytest.raises(NotImplementedError):
            check(raising(NotImplementedError()), ((), 24))


def test_plain_values_come_first(capsys):
    check_first(divmod, ((7, 2), (3, 1), "A hint of its own plays no part."))
    assert capsys.readouterr().out == "✓ divmod: plain values\n"
    with pytest.raises(AssertionError, match=f"\nHint: {FIRST}$"):
        check_first(divmod, ((7, 2), (3, 1)), ((7, 2), (3, 2), "Its own."))


@pytest.mark.parametrize(
    ("value", "forms"),
    [
        ("0.5", ["'0.5'", "0.5", "Decimal('0.5')", "Fraction(1, 2)"]),
        ("12", ["'12'", "12.0", "Decimal('12')", "Fraction(12, 1)", "12"]),
        ([1, 2.5], ["[1, 2.5]", "(1, 2.5)", "array([1. , 2.5])"]),
        ([], ["[]", "()", "array([], dtype=float64)"]),
        ([True, "a"], ["[True, 'a']"]),
        (7, ["7"]),
        ("nan", ["'nan'"]),
        (str(2**60), [f"'{2**60}'", f"Decimal('{2**60}')", f"Fraction({2**60}, 1)", str(2**60)]),
        ("1/2", ["'1/2'"]),
        (
            [("a", "4")],
            [f"[('a', {x})]" for x in ("'4'", "4.0", "Decimal('4')", "Fraction(4, 1)", 4)],
        ),
        ({"b": [1]}, ["{'b': [1]}", "{'b': (1,)}", "{'b': array([1])}"]),
    ],
)
def test_an_argument_takes_each_of_its_forms(value, forms):
    seen = []
    check_forms(lambda x: seen.append(repr(x)), (value,), None)
    assert seen == forms


def test_two_arguments_meet_in_every_pair_of_forms(capsys):
    def kinds(x, y, z):
        seen.append((type(x), type(y), type(z)))
        return 1

    seen = []
    check_forms(kinds, {"x": "3", "y": "4", "z": "5"}, 1, pairs=True)
    every = set(itertools.product((str, float, Decimal, Fraction, int), repeat=2))
    for one, other in itertools.combinations(range(3), 2):
        assert {(kind[one], kind[other]) for kind in seen} == every
    assert len(seen) == 25
    seen.clear()
    check_forms(kinds, ("3", "4", "5"), 1)
    assert [len({kind[slot] for kind in seen}) for slot in range(3)] == [5, 5, 5] == [len(seen)] * 3
    assert capsys.readouterr().out == "✓ kinds: '3', '4', '5' in every form\n" * 2


def test_a_form_that_is_read_wrongly_is_shown():
    with pytest.raises(
        AssertionError, match=r"^f\(0.1, Decimal\('3'\)\) should return 3/10, .*\nHint: Read"
    ):

        def f(x, y):
            return Fraction(x) * Fraction(str(y))

        check_forms(f, ("0.1", "3"), Fraction(3, 10), "Read it as text.", exact=True)


@pytest.mark.parametrize(
    ("answer", "right", "agrees"),
    [
        (24, 24, True),
        (0.83, Fraction(5, 6), True),
        (230, 230.26, True),
        ("B", "b", True),
        (" Memory ", "memory", True),
        (True, True, True),
        ([0.6, 50], [0.6, 50.0], True),
        (0, 0.0, True),
        (371, 372, False),
        (371, np.int64(372), False),
        (0.8, 0.8333, False),
        ("a", "b", False),
        ("42", 24, False),
        (1, True, False),
    ],
)
def test_a_paper_answer_agrees_within_its_digits(answer, right, agrees):
    assert answer_agrees(answer, right) is agrees


def test_an_answer_does_not_say_itself_that_it_agrees():
    assert not answer_agrees(AlwaysEqual(), 3.5)
    assert shown(AlwaysEqual()) == "<AlwaysEqual>"


def test_a_title_needs_no_subtitle(capsys):
    header("Waits")
    assert capsys.readouterr().out == "Waits\n=====\n"


def test_a_notebook_shows_the_sentence_and_the_line_where_a_function_stopped(capsys):
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        shell.run_cell("from servemath_helpers.notebook import check_calls, check_close")
        wrong = shell.run_cell("check_close(3, 4, 'f(1)', 'Add one.')")
        stops = shell.run_cell("def f(x):\n    return 1 / x\n\ncheck_calls(f, ((0,), 4))")
    finally:
        InteractiveShell.clear_instance()
    assert isinstance(wrong.error_in_exec, AssertionError)
    assert isinstance(stops.error_in_exec, AssertionError)
    assert capsys.readouterr().out == (
        "✗ f(1) should return 4, but it returned 3.\nHint: Add one.\n"
        "✗ f(0) should return 4, but it stopped with ZeroDivisionError: division by zero.\n"
        "It stopped in line 2 of its cell: return 1 / x\n"
    )
    assert "Hint" in str(pickle.loads(pickle.dumps(wrong.error_in_exec)))


def test_whoever_runs_a_check_may_make_the_calls_of_a_table_together(monkeypatch):
    tables = []

    def together(function, calls, refused):
        tables.append((calls, refused))
        return [functools.partial(function, *given, **named) for given, named in calls]

    def refuses(n):
        if n < 1:
            raise ValueError("n must be at least 1")

    monkeypatch.setattr(checks, "together", together)
    check_calls(max, ((1, 2), 2), (([3],), 3))
    check_refused(refuses, {"n": 1}, {"n": [0, -1]})
    assert tables == [
        ([((1, 2), {}), (([3],), {})], False),
        ([((), {"n": 0}), ((), {"n": -1})], True),
    ]
