"""What may cross between learner code and tests: plain data, never pickle.

A value is encoded to what JSON can hold and decoded to exactly the built-in or
NumPy type that its tag names. A subclass crosses as the value of its base, so an
object cannot bring behaviour of its own; what is no plain data arrives as `Opaque`.
Named tuples and dataclasses arrive as new ones of the same names and fields, without
methods; an iterator as one over what it gave.
"""

from __future__ import annotations

import array
import base64
import binascii
import dataclasses
import datetime as dt
import functools
import itertools
import keyword
import math
import re
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import numpy as np

#: Containers deeper than this, recursive ones among them, do not cross.
MAX_DEPTH = 60

#: Items of all containers of a value together.
MAX_ITEMS = 1_000_000

#: Bytes of text and arrays of a value together.
MAX_BYTES = 8_000_000

#: Integers up to this many bits go as decimal digits; up to `MAX_INT_BITS` as hexadecimal ones.
_DECIMAL_BITS = 4096
MAX_INT_BITS = 1_000_000

#: Decimals beyond this power of ten do not cross: as whole numbers they would fill the memory.
MAX_DECIMAL_EXPONENT = 10_000

#: Items of an iterator that cross; whoever takes more of it is told so.
MAX_TAKEN = 100_000

#: Fields of a named tuple or a dataclass.
MAX_FIELDS = 100

_DTYPE = re.compile(r"[<>|=]?(?:[biufcSU]\d{1,8}|[mM]8(?:\[[0-9A-Za-z]{1,8}\])?)")


class NotPlainData(ValueError):
    """A value is too large, too deep, or not of a form that may cross."""


class Opaque:
    """Stands for a value that is no plain data: only its type's name crossed."""

    __slots__ = ("type_name",)

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __repr__(self) -> str:
        return f"<a value of type {self.type_name}>"


def printable(text: object, limit: int) -> str:
    r"""Return text without control characters, cut to `limit` characters.

    >>> printable("a\x1b[31mb", 80)
    'a?[31mb'
    """
    kept = "".join(char if char.isprintable() else "?" for char in str(text)[: limit + 1])
    return kept if len(kept) <= limit else kept[: limit - 3] + "..."


class _Encoder:
    def __init__(self, *, take: bool) -> None:
        self.take = take
        self.items = 0
        self.bytes = 0

    def _count(self, *, items: int = 0, data: int = 0) -> None:
        self.items += items
        self.bytes += data
        if self.items > MAX_ITEMS:
            raise NotPlainData(f"more than {MAX_ITEMS:,} items")
        if self.bytes > MAX_BYTES:
            raise NotPlainData(f"more than {MAX_BYTES:,} bytes")

    def encode(self, value: Any, depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise NotPlainData(f"nested deeper than {MAX_DEPTH} levels, or containing itself")
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is float:
            # NumPy's NaN is an object of its own, and lists that hold it are equal by that.
            return ["z"] if value is np.nan else value
        if kind is int:
            return self._int(value)
        if kind is str:
            self._count(data=len(value))
            return value
        # What most values are, without asking for all that they might be.
        if kind is dict:
            return ["d", *self._pairs(value, depth)]
        if kind is list or kind is tuple:
            return ["l" if kind is list else "t", *self._items(value, depth)]
        if kind is Fraction:
            return ["F", self._int(value.numerator), self._int(value.denominator)]
        if kind is Decimal:
            return ["D", str(_bounded(value))]
        if isinstance(value, np.generic):
            return self._numpy_scalar(value)
        if isinstance(value, np.ndarray):
            return self._array(value, depth)
        return self._other(value, kind, depth)

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        # The base classes' own methods, whatever a subclass has put in their place.
        if issubclass(kind, int):
            return self._int(int.__add__(value, 0))
        if issubclass(kind, float):
            return float.__pos__(value)
        if issubclass(kind, str):
            return self.encode(str.__getitem__(value, slice(None)), depth)
        if issubclass(kind, complex):
            return ["c", complex.__pos__(value).real, complex.__pos__(value).imag]
        if issubclass(kind, (bytes, bytearray)):
            data = bytes(memoryview(value))
            self._count(data=len(data))
            tag = "b" if issubclass(kind, bytes) else "B"
            return [tag, base64.b64encode(data).decode("ascii")]
        fields = _fields_of(kind)
        if fields and tuple.__len__(value) == len(fields):
            return ["N", kind.__name__, fields, *self._items(tuple.__iter__(value), depth)]
        for base, tag, iterate in _SEQUENCES:
            if issubclass(kind, base):
                return [tag, *self._items(iterate(value), depth)]
        if issubclass(kind, dict):
            forms = self._pairs(value, depth)
            if kind in _DICTS:
                factory = _FACTORY_NAMES.get(getattr(value, "default_factory", None), "")
                return ["m", _DICTS[kind], factory, *forms]
            return ["d", *forms]
        if kind is range:
            self._count(items=_length(value))
            return ["r", *map(self._int, (value.start, value.stop, value.step))]
        return self._rarer(value, kind, depth)

    def _rarer(self, value: Any, kind: type, depth: int) -> Any:
        if kind in _VIEWS:
            return ["v", _VIEWS[kind], *self._items(value, depth)]
        if kind is deque:
            return ["q", value.maxlen, *self._items(value, depth)]
        if kind is array.array and value.typecode in _ARRAY_CODES:
            return ["A", value.typecode, *self._items(value, depth)]
        if kind in _TIMES:
            return ["T", kind.__name__, *_time_parts(value)]
        if _is_dataclass(kind):
            return self._record(value, kind, depth)
        if self.take and hasattr(kind, "__next__") and hasattr(kind, "__iter__"):
            taken = list(itertools.islice(value, MAX_TAKEN + 1))
            more = len(taken) > MAX_TAKEN
            return ["g", more, *self._items(taken[:MAX_TAKEN], depth)]
        return ["?", printable(getattr(kind, "__name__", "?"), 80)]

    def _record(self, value: Any, kind: type, depth: int) -> Any:
        names = [field.name for field in dataclasses.fields(value)]
        settings = kind.__dataclass_params__  # type: ignore[attr-defined]
        flags = [bool(settings.eq), bool(settings.order), bool(settings.frozen)]
        if not _are_names([kind.__name__, *names]):
            return ["?", printable(kind.__name__, 80)]
        parts = [getattr(value, name, None) for name in names]
        return ["C", kind.__name__, flags, names, *self._items(parts, depth)]

    def _pairs(self, value: Any, depth: int) -> list[Any]:
        pairs = list(dict.items(value))
        self._count(items=2 * len(pairs))
        return [[self.encode(key, depth + 1), self.encode(part, depth + 1)] for key, part in pairs]

    def _items(self, values: Any, depth: int) -> list[Any]:
        found = list(values)
        self._count(items=len(found))
        return [self.encode(item, depth + 1) for item in found]

    def _int(self, value: int) -> Any:
        bits = value.bit_length()
        if bits <= _DECIMAL_BITS:
            return value
        if bits > MAX_INT_BITS:
            raise NotPlainData(f"an integer of more than {MAX_INT_BITS:,} bits")
        return ["i", hex(value)]

    def _numpy_scalar(self, value: np.generic) -> Any:
        if not _DTYPE.fullmatch(value.dtype.str):
            return ["?", printable(type(value).__name__, 80)]
        data = np.array(value).tobytes()
        self._count(data=len(data))
        return ["n", value.dtype.str, base64.b64encode(data).decode("ascii")]

    def _array(self, value: np.ndarray, depth: int) -> Any:
        array = np.ndarray.view(value, np.ndarray)
        if array.dtype == object:
            return ["o", list(array.shape), *self._items(array.reshape(-1).tolist(), depth)]
        if not _DTYPE.fullmatch(array.dtype.str):
            return ["?", "ndarray"]
        self._count(data=array.nbytes)
        data = base64.b64encode(array.tobytes()).decode("ascii")
        return ["a", array.dtype.str, list(array.shape), data]


_SEQUENCES: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (list, "l", list.__iter__),
    (tuple, "t", tuple.__iter__),
    (set, "s", set.__iter__),
    (frozenset, "f", frozenset.__iter__),
)


_DICTS: dict[type, str] = {Counter: "Counter", OrderedDict: "OrderedDict", defaultdict: "default"}
_FACTORIES: dict[str, Any] = {
    "": None,
    **{kind.__name__: kind for kind in (int, float, str, bool, list, dict, set, tuple)},
}
_FACTORY_NAMES = {kind: name for name, kind in _FACTORIES.items()}
_VIEWS: dict[type, str] = {
    type({}.keys()): "keys",
    type({}.values()): "values",
    type({}.items()): "items",
}
_ARRAY_CODES = "bBhHiIlLqQfd"
_TIMES = (dt.datetime, dt.date, dt.time, dt.timedelta)


def _are_names(names: list[Any]) -> bool:
    """Tell whether texts may name a type and its fields: no more than plain words."""
    return (
        len(names) <= MAX_FIELDS
        and len({*names[1:]}) == len(names) - 1
        and all(
            type(name) is str
            and name.isidentifier()
            and not keyword.iskeyword(name)
            and not name.startswith("__")
            and len(name) <= 80
            for name in names
        )
    )


def _fields_of(kind: type) -> list[str] | None:
    """Return the fields of a named tuple's type, None if it is none."""
    fields = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
    if type(fields) is not tuple or any(str(name).startswith("_") for name in fields):
        return None
    return list(fields) if _are_names([kind.__name__, *fields]) else None


def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) and hasattr(kind, "__dataclass_params__")


def _time_parts(value: Any) -> list[Any]:
    if isinstance(value, dt.timedelta):
        return [value.days, value.seconds, value.microseconds]
    return [value.isoformat()]


def encode(value: Any, *, take: bool = True) -> Any:
    """Return `value` in a form that JSON can hold and `decode` turns back.

    An iterator is used up for it, or with ``take=False`` is no plain data.

    Raises
    ------
    NotPlainData
        If the value is too large, nested too deeply, or contains itself.

    Examples
    --------
    >>> encode({"rho": 0.5, "sizes": (1, 2)})
    ['d', ['rho', 0.5], ['sizes', ['t', 1, 2]]]
    >>> decode(encode(np.arange(3)))
    array([0, 1, 2])
    """
    return _Encoder(take=take).encode(value)


def _array_of(dtype: Any, shape: Any, data: Any) -> np.ndarray:
    if not (isinstance(dtype, str) and _DTYPE.fullmatch(dtype)):
        raise NotPlainData("an array of a type that may not cross")
    sizes = _shape(shape)
    content = base64.b64decode(data, validate=True)
    kind = np.dtype(dtype)
    if kind.itemsize * math.prod(sizes) != len(content):
        raise NotPlainData("an array whose data does not fit its shape")
    if kind.itemsize == 0:
        return np.zeros(sizes, kind)
    return np.frombuffer(content, kind).reshape(sizes).copy()


def _shape(shape: Any) -> tuple[int, ...]:
    if not (isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)):
        raise NotPlainData("an array without a proper shape")
    if len(shape) > 32 or math.prod(shape) > MAX_BYTES:
        raise NotPlainData("an array that is too large")
    return tuple(shape)


def _object_array(shape: Any, *items: Any) -> np.ndarray:
    array = np.empty(_shape(shape), dtype=object)
    if array.size != len(items):
        raise NotPlainData("an array whose data does not fit its shape")
    array.reshape(-1)[:] = [*map(_decode, items)]
    return array


def _bounded(value: Decimal) -> Decimal:
    if value.is_finite() and abs(value.adjusted()) > MAX_DECIMAL_EXPONENT:
        raise NotPlainData("a Decimal of too many digits")
    return value


def _length(value: range) -> int:
    try:
        return len(value)
    except OverflowError:
        return MAX_ITEMS + 1


def _decimal(text: Any) -> Decimal:
    if not (isinstance(text, str) and len(text) <= MAX_DECIMAL_EXPONENT):
        raise NotPlainData("a Decimal of too many digits")
    return _bounded(Decimal(text))


def _whole(form: Any) -> int:
    value = _decode(form)
    if type(value) is not int:
        raise NotPlainData("a number where a whole one is due")
    return value


def _fraction(top: Any, bottom: Any) -> Fraction:
    return Fraction(_whole(top), _whole(bottom))


def _range(*ends: Any) -> range:
    value = range(*map(_whole, ends))
    if _length(value) > MAX_ITEMS:
        raise NotPlainData(f"more than {MAX_ITEMS:,} items")
    return value


def _count_forms(form: Any) -> None:
    """Refuse a form of more items than `encode` lets pass; found without recursion."""
    items = 0
    left = [form] if isinstance(form, list) else []
    while left:
        part = left.pop()
        items += len(part)
        left += [inner for inner in part if isinstance(inner, list)]
        if items > 4 * MAX_ITEMS:
            raise NotPlainData(f"more than {MAX_ITEMS:,} items")


def _integer(text: Any) -> int:
    if not (isinstance(text, str) and len(text) <= MAX_INT_BITS // 4 + 3):
        raise NotPlainData("an integer that is too large")
    return int(text, 16)


def _dict(*pairs: Any) -> dict[Any, Any]:
    return {key if type(key) is str else _decode(key): _decode(value) for key, value in pairs}


@functools.lru_cache(maxsize=256)
def _tuple_type(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields)


def _named(name: Any, fields: Any, *items: Any) -> Any:
    if not (isinstance(fields, list) and _are_names([name, *fields])):
        raise NotPlainData("a named tuple of odd names")
    return _tuple_type(name, tuple(fields))(*map(_decode, items))


@functools.lru_cache(maxsize=256)
def _record_type(name: str, fields: tuple[str, ...], eq: bool, order: bool, frozen: bool) -> Any:
    named = [(field, object) for field in fields]
    return dataclasses.make_dataclass(name, named, eq=eq, order=order, frozen=frozen)


def _record(name: Any, flags: Any, fields: Any, *items: Any) -> Any:
    if not (isinstance(fields, list) and _are_names([name, *fields])):
        raise NotPlainData("a dataclass of odd names")
    eq, order, frozen = map(bool, flags)
    return _record_type(name, tuple(fields), eq, order and eq, frozen)(*map(_decode, items))


def _taken(more: Any, *items: Any) -> Iterator[Any]:
    return _iterator([_decode(item) for item in items], more is True)


def _iterator(items: list[Any], more: bool) -> Iterator[Any]:
    yield from items
    if more:
        raise RuntimeError(f"more than {MAX_TAKEN:,} items were taken")


def _view(which: Any, *items: Any) -> Any:
    values = [_decode(item) for item in items]
    if which == "keys":
        return dict.fromkeys(values).keys()
    if which == "values":
        return dict(enumerate(values)).values()
    return dict(values).items()


def _special_dict(kind: Any, factory: Any, *pairs: Any) -> Any:
    values = _dict(*pairs)
    if kind == "Counter":
        return Counter(values)
    return (
        OrderedDict(values) if kind == "OrderedDict" else defaultdict(_FACTORIES[factory], values)
    )


def _deque(maxlen: Any, *items: Any) -> Any:
    return deque([_decode(item) for item in items], None if maxlen is None else _whole(maxlen))


def _typed_array(code: Any, *items: Any) -> Any:
    if code not in tuple(_ARRAY_CODES):
        raise NotPlainData("an array of a type that may not cross")
    return array.array(code, [_decode(item) for item in items])


def _time(kind: Any, *parts: Any) -> Any:
    if kind == "timedelta":
        return dt.timedelta(*map(_whole, parts))
    for known in (dt.datetime, dt.date, dt.time):
        if known.__name__ == kind:
            return known.fromisoformat(*parts)
    raise NotPlainData("a time of no known kind")


_DECODERS: dict[str, Callable[..., Any]] = {
    "l": lambda *items: [_decode(item) for item in items],
    "t": lambda *items: tuple(_decode(item) for item in items),
    "s": lambda *items: {_decode(item) for item in items},
    "f": lambda *items: frozenset(_decode(item) for item in items),
    "d": _dict,
    "i": _integer,
    "c": lambda real, imag: complex(float(real), float(imag)),
    "b": lambda data: base64.b64decode(data, validate=True),
    "D": _decimal,
    "F": _fraction,
    "r": _range,
    "a": _array_of,
    "n": lambda dtype, data: _array_of(dtype, [], data)[()],
    "o": _object_array,
    "B": lambda data: bytearray(base64.b64decode(data, validate=True)),
    "N": _named,
    "C": _record,
    "g": _taken,
    "v": _view,
    "m": _special_dict,
    "q": _deque,
    "A": _typed_array,
    "T": _time,
    "z": lambda: np.nan,
    "?": lambda name: Opaque(printable(name, 80)),
}


def _decode(value: Any) -> Any:
    if not isinstance(value, list):
        if isinstance(value, dict):
            raise NotPlainData("an encoded value holds no JSON object")
        return math.nan if value != value else value
    tag, *rest = value or [None]
    decoder = _DECODERS.get(tag) if isinstance(tag, str) else None
    if decoder is None:
        raise NotPlainData(f"unknown form {printable(tag, 20)!r}")
    return decoder(*rest)


def decode(value: Any) -> Any:
    """Return the value that `encode` was given, of exact built-in or NumPy types.

    Raises
    ------
    NotPlainData
        If the form is not one that `encode` makes; nothing else is raised,
        whatever the form holds.

    Examples
    --------
    >>> decode(["t", 1, ["l", 2.5]])
    (1, [2.5])
    """
    try:
        _count_forms(value)
        return _decode(value)
    except NotPlainData:
        raise
    except (
        *(TypeError, ValueError, ArithmeticError, InvalidOperation, RecursionError),
        *(AttributeError, LookupError, RuntimeError),
    ) as error:
        raise NotPlainData(f"a damaged form ({type(error).__name__})") from None
    except (binascii.Error, MemoryError) as error:
        raise NotPlainData(f"damaged data ({type(error).__name__})") from None


def mutate(original: Any, after: Any) -> None:
    """Change `original` in place to what `after` says became of its copy elsewhere.

    >>> batch = [3, 1, 2]
    >>> mutate(batch, [1, 2, 3])
    >>> batch
    [1, 2, 3]
    """
    if isinstance(original, list) and isinstance(after, list):
        if len(original) == len(after):
            original[:] = [*map(_mutated, original, after)]
        else:
            original[:] = after
    elif isinstance(original, dict) and isinstance(after, dict):
        kept = {key: _mutated(original[key], after[key]) for key in after if key in original}
        original.clear()
        original.update({key: kept.get(key, value) for key, value in after.items()})
    elif isinstance(original, set) and isinstance(after, set):
        original.clear()
        original.update(after)
    elif isinstance(original, deque) and isinstance(after, deque):
        original.clear()
        original.extend(after)
    elif isinstance(original, (bytearray, array.array)) and type(original) is type(after):
        original[:] = after  # type: ignore[assignment]
    elif isinstance(original, np.ndarray) and isinstance(after, np.ndarray):
        if original.shape == after.shape and original.flags.writeable:
            original[...] = after
    elif isinstance(original, tuple) and isinstance(after, tuple):
        for mine, theirs in zip(original, after, strict=False):
            mutate(mine, theirs)


def _mutated(mine: Any, theirs: Any) -> Any:
    if type(mine) is type(theirs) and isinstance(mine, (list, dict, set, np.ndarray, tuple)):
        mutate(mine, theirs)
        return mine
    return theirs
