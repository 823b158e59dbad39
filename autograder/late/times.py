"""Moments as people and their tools write them: understood, or refused with the reason.

Nothing is guessed. A day needs its year and an order that can only mean one day; a time
of day is needed; an offset or a zone is taken for what it says, and a zone's short name
only where the zone database, or the course's own zone, leaves one meaning. A text
without a zone is UTC, as nbgrader has it.
"""

from __future__ import annotations

import functools
import re
import unicodedata
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo


class TimeNotUnderstood(ValueError):
    """A text does not name one moment; the message says why, and how to write it."""


#: How to write a moment so that there is no doubt.
HOW = "write it as '2026-12-01 23:59 +0100', with Z for UTC, or with a zone as Europe/Berlin"

#: Short names of zones that are used for other places too than those of the zone database.
ALSO_ELSEWHERE = {"AST": "Arabia", "BST": "Bangladesh", "SST": "Singapore"}

_UTC_NAMES = ("Z", "UTC", "UT", "GMT")

#: Digits of seconds, milli-, micro- and nanoseconds since 1970, from 2001 to 2286.
_EPOCH_DIGITS = (10, 13, 16, 19)

#: Languages, besides English, in which the names of months and weekdays are known.
_LANGUAGES = "ar cs da de el es fi fr hr hu id it nb nl pl pt ro ru sv tr uk"

_ENGLISH = {
    "months": "january february march april may june july august september october november "
    "december",
    "weekdays": "monday tuesday wednesday thursday friday saturday sunday",
}

#: Words that stand around a time and say nothing about it.
_FILLERS = (
    "at on of the am um uhr den der le la de del à a il em às kl submitted due date time "
    "datetime timestamp received"
)

_LETTER_BEFORE = r"(?<![^\W\d_])"
_YEAR_FIRST = re.compile(r"(?<![\d.])(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?=\D|$)")
_YEAR_LAST = re.compile(r"(?<![\d.])(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?=\D|$)")
_EAST_ASIAN = re.compile(r"(\d{4})\s?[年년]\s?(\d{1,2})\s?[月월]\s?(\d{1,2})\s?[日일]")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})[T_ ]?(\d{2})(\d{2})(?:(\d{2})(?:[.,]\d+)?)?(?=\D|$)")
_DASHED = re.compile(r"(\d{4})([-_])(\d{2})\2(\d{2})[-_](\d{2})\2(\d{2})(?:\2(\d{2}))?")
_CLOCK = re.compile(
    r"(?<![\d:])[T_]?(\d{1,2})\s?[:.h]\s?(\d{2})(?:[:.](\d{2})(?:[.,]\d+)?)?(?=[^\d:.]|\.?$)"
    r"(?:\s?([ap])\.?\s?m\b\.?)?",
    re.IGNORECASE,
)
_HOUR = re.compile(r"(?<![\d:])(\d{1,2})()()\s?([ap])\.?m\b\.?", re.IGNORECASE)
_YEAR = re.compile(r"(?<![\d+])(?:19|20|21)\d\d(?!\d)")
_DAY = re.compile(r"(?<!\d)(\d{1,2})(?:st|nd|rd|th|er|º|\.)?(?!\d)")
_OFFSET = re.compile(
    rf"(?:{_LETTER_BEFORE}(?:UTC|GMT)\s?|{_LETTER_BEFORE})([+-])(\d{{2}}):?(\d{{2}})?(?![\d:])"
    rf"|{_LETTER_BEFORE}(?:UTC|GMT)\s?([+-])(\d)(?![\d:])",
    re.IGNORECASE,
)
_ZONE = re.compile(rf"{_LETTER_BEFORE}[A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+")
_WORD = re.compile(r"[^\W\d_]+")


def utc_of(text: str, zone: tzinfo = UTC) -> datetime:
    """Return the moment that `text` names, in UTC.

    Parameters
    ----------
    text : str
        ISO 8601, RFC 2822, what ``date`` and other tools print, seconds since 1970.
    zone : tzinfo
        The course's own; a zone's short name that it uses means it. A text without a zone
        is UTC all the same.

    Raises
    ------
    TimeNotUnderstood
        If it names none, or could name more than one.

    Examples
    --------
    >>> print(utc_of("2026-12-01 23:59 -0800"))
    2026-12-02 07:59:00+00:00
    >>> print(utc_of("Wed, 02 Dec 2026 18:00:00 +0100"), utc_of("1796234400"), sep=", ")
    2026-12-02 17:00:00+00:00, 2026-12-02 18:00:00+00:00
    >>> utc_of("02/12/2026 18:00")
    Traceback (most recent call last):
    autograder.late.times.TimeNotUnderstood: '02/12/2026 18:00': day or month first?; write it as \
'2026-12-01 23:59 +0100', with Z for UTC, or with a zone as Europe/Berlin
    """
    plain = unicodedata.normalize("NFKC", text).replace("\u2212", "-").strip().strip("\"'").strip()
    plain = _EAST_ASIAN.sub(r"\1-\2-\3 ", plain)
    try:
        return _since_1970(plain) or _Reading(plain).moment(zone)
    except TimeNotUnderstood as error:
        shown = repr(plain if len(plain) <= 60 else plain[:57] + "...")
        raise TimeNotUnderstood(f"{shown}: {error}; {HOW}") from None


def _since_1970(text: str) -> datetime | None:
    """Return the moment of a count of seconds, or of a thousandth part of them and so on."""
    found = re.fullmatch(r"@?(\d+)(?:\.\d+)?", text)
    if not found or len(found[1]) not in _EPOCH_DIGITS:
        return None
    return datetime.fromtimestamp(int(found[1]) // 10 ** (len(found[1]) - 10), UTC)


class _Reading:
    """What is left of a text while its parts are found and taken out."""

    def __init__(self, text: str) -> None:
        self._rest = text

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.search(self._rest)
        if found:
            self._rest = f"{self._rest[: found.start()]} {self._rest[found.end() :]}"
        return found

    def moment(self, zone: tzinfo) -> datetime:
        """Return the moment that the text names."""
        whole = _DASHED.fullmatch(self._rest) or _COMPACT.match(self._rest)
        if whole:
            self._rest = self._rest[whole.end() :]
            local = _local(*[int(part) for part in whole.groups() if part and part.isdigit()])
            said = self._offsets()
        else:
            day, clock = self._day_in_numbers(), self._clock()
            year = None if day else self._take(_YEAR)
            said = self._offsets()
            day = day or self._day_in_words(year)
            if clock is None:
                raise TimeNotUnderstood("it names no time of day")
            local = _local(*day, *clock)
        said |= self._zones(local, zone)
        if len(said) > 1:
            raise TimeNotUnderstood(f"{' and '.join(said.values())} are different zones")
        self._refuse_rest(local)
        return (local - next(iter(said), timedelta())).replace(tzinfo=UTC)

    def _day_in_numbers(self) -> tuple[int, int, int] | None:
        if found := self._take(_YEAR_FIRST):
            return int(found[1]), int(found[3]), int(found[4])
        if found := self._take(_YEAR_LAST):
            first, second = int(found[1]), int(found[3])
            if first <= 12 and second <= 12 and first != second:
                raise TimeNotUnderstood("day or month first?")
            return int(found[4]), min(first, second), max(first, second)
        return None

    def _clock(self) -> tuple[int, int, int] | None:
        found = self._take(_CLOCK) or self._take(_HOUR)
        if found is None:
            return None
        hour, half = int(found[1]), (found[4] or "").lower()
        if half:
            if not 1 <= hour <= 12:
                raise TimeNotUnderstood(f"there is no {hour} o'clock {half}m")
            hour = hour % 12 + (12 if half == "p" else 0)
        return hour, int(found[2] or 0), int(found[3] or 0)

    def _day_in_words(self, year: re.Match[str] | None) -> tuple[int, int, int]:
        months = {word: found for word in self._words() if (found := _meanings("months", word))}
        # In some languages a weekday is short for what is a month in others.
        certain = {word for word in months if not _meanings("weekdays", word)}
        months = {word: months[word] for word in certain or months}
        day = self._take(_DAY)
        if not (year and day and months):
            raise TimeNotUnderstood("it names no day of a year")
        if len(months) > 1 or len(next(iter(months.values()))) > 1:
            raise TimeNotUnderstood("which month?")
        ((word, (month,)),) = months.items()
        self._drop(word)
        return int(year[0]), month, int(day[1])

    def _words(self) -> list[str]:
        return [
            word for word in _WORD.findall(self._rest) if word.casefold() not in _FILLERS.split()
        ]

    def _drop(self, word: str) -> None:
        self._take(re.compile(rf"{_LETTER_BEFORE}{re.escape(word)}(?![^\W\d_])\.?"))

    def _offsets(self) -> dict[timedelta, str]:
        """Return the offsets from UTC that the text writes in numbers."""
        said = {}
        while found := self._take(_OFFSET):
            sign, hours, minutes = found[1] or found[4], found[2] or found[5], found[3] or "0"
            if int(minutes) > 59 or int(hours) > 14:
                raise TimeNotUnderstood(f"there is no offset {found[0]}")
            ahead = timedelta(hours=int(hours), minutes=int(minutes))
            said[ahead if sign == "+" else -ahead] = found[0]
        if said:  # then what stands in brackets explains it
            self._rest = re.sub(r"\([^()]*\)", " ", self._rest)
        return said

    def _zones(self, local: datetime, zone: tzinfo) -> dict[timedelta, str]:
        """Return the offsets of the zones that the text names."""
        said = {}
        while found := self._take(_ZONE):
            said[_offset_in(found[0], local)] = found[0]
        for word in self._words():
            if (ahead := _offset_of_short(word, local, zone)) is not None:
                said[ahead] = word
                self._drop(word)
        return said

    def _refuse_rest(self, local: datetime) -> None:
        """Refuse what was not understood, and a weekday that is not the day's."""
        for word in self._words():
            weekdays = _meanings("weekdays", word)
            if not weekdays:
                raise TimeNotUnderstood(f"{word!r} says nothing that is understood")
            if local.weekday() not in weekdays:
                raise TimeNotUnderstood(f"{local:%Y-%m-%d} is no {word}")
        numbers = re.findall(r"\d+", self._rest)
        if numbers:
            raise TimeNotUnderstood(f"{numbers[0]!r} says nothing that is understood")


def _local(year: int, month: int, day: int, hour: int, minute: int, second: int = 0) -> datetime:
    if not 1970 <= year < 2200:
        raise TimeNotUnderstood(f"it is of the year {year}")
    at_midnight = (hour, minute, second) == (24, 0, 0)  # the end of a day, in ISO 8601
    try:
        found = datetime(year, month, day, 0 if at_midnight else hour, minute, second)
    except ValueError as error:
        raise TimeNotUnderstood(str(error)) from None
    return found + timedelta(days=at_midnight)


def shown(time: datetime, zone: tzinfo = UTC) -> str:
    """Return a moment in UTC and, where that is another, in the course's zone.

    Parameters
    ----------
    time : datetime
        In UTC, whether it says so or not.
    zone : tzinfo
        The course's own.

    Examples
    --------
    >>> shown(datetime(2026, 12, 2, 7, 59), ZoneInfo("America/Los_Angeles"))
    '2026-12-02 07:59 UTC (2026-12-01 23:59 America/Los_Angeles)'
    """
    universal = time.replace(tzinfo=UTC)
    pattern = "%Y-%m-%d %H:%M" + (":%S" if time.second else "")
    local = "" if zone is UTC else f" ({universal.astimezone(zone).strftime(pattern)} {zone})"
    return f"{universal.strftime(pattern)} UTC{local}"


def zone_named(name: str) -> tzinfo:
    """Return a zone of the zone database.

    Raises
    ------
    TimeNotUnderstood
        If there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise TimeNotUnderstood(f"the zone database knows no {name}") from None


def _offset_in(name: str, local: datetime) -> timedelta:
    """Return how far a zone was ahead of UTC when its clocks showed `local`."""
    zone = zone_named(name)
    once, again = local.replace(tzinfo=zone), local.replace(tzinfo=zone, fold=1)
    if once.utcoffset() != again.utcoffset():
        skipped = once.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local
        how_often = "never" if skipped else "twice"
        raise TimeNotUnderstood(f"clocks in {name} showed that {how_often}: say the offset")
    return once.utcoffset() or timedelta()


@functools.cache
def _short_names(year: int) -> dict[str, dict[timedelta, str]]:
    """Return each short name that zones have in a year, its offsets, and a zone that has it so."""
    found: dict[str, dict[timedelta, str]] = {}
    for key in sorted(zoneinfo.available_timezones()):
        for month in (1, 7):
            moment = datetime(year, month, 1, tzinfo=ZoneInfo(key))
            offsets = found.setdefault((moment.tzname() or "").upper(), {})
            # A place tells more than a name for a group of places.
            if "/" in key or moment.utcoffset() not in offsets:
                offsets.setdefault(moment.utcoffset() or timedelta(), key)
    return found


def _offset_of_short(word: str, local: datetime, zone: tzinfo) -> timedelta | None:
    """Return what a short name of a zone says, None if the word is none."""
    name = word.upper()
    if name in _UTC_NAMES:
        return timedelta()
    offsets = _short_names(local.year).get(name) if word == name else None
    if not offsets:
        return None
    for month in (1, 7):
        own = datetime(local.year, month, 1, tzinfo=zone)
        if own.tzname() == name:
            return own.utcoffset()
    meanings = [f"{_as_offset(offset)} in {key}" for offset, key in offsets.items()]
    meanings += [f"something else in {ALSO_ELSEWHERE[name]}"] if name in ALSO_ELSEWHERE else []
    if name in zoneinfo.available_timezones():
        # The database has a zone of that name too, which may change its clocks in summer.
        changing = _offset_in(name, local)
        meanings += [] if changing in offsets else [f"{_as_offset(changing)} as a zone then"]
    if len(meanings) > 1:
        raise TimeNotUnderstood(f"{word} is {' and '.join(meanings)}: say the offset")
    return next(iter(offsets))


def _as_offset(offset: timedelta) -> str:
    """Return an offset as people write it.

    >>> _as_offset(timedelta(hours=-8)), _as_offset(timedelta(hours=5, minutes=30))
    ('-08:00', '+05:30')
    """
    return str(timezone(offset)).removeprefix("UTC") or "+00:00"


@functools.cache
def _names(kind: str) -> dict[str, frozenset[int]]:
    """Return the names of months or weekdays in many languages, with what each can mean."""
    from babel.dates import get_day_names, get_month_names

    names_in = get_month_names if kind == "months" else get_day_names
    found: dict[str, set[int]] = {}
    for language in _LANGUAGES.split():
        for width in ("wide", "abbreviated"):
            for context in ("format", "stand-alone"):
                for number, name in names_in(width, context, language).items():
                    name = unicodedata.normalize("NFKC", name).rstrip(".").casefold()
                    found.setdefault(name, set()).add(number)
    return {name: frozenset(numbers) for name, numbers in found.items()}


def _meanings(kind: str, word: str) -> frozenset[int]:
    """Return which months (1 to 12) or weekdays (Monday 0) a word can mean, in any language."""
    plain, first = word.casefold(), 1 if kind == "months" else 0
    for number, name in enumerate(_ENGLISH[kind].split(), start=first):
        if plain in (name, name[:3], name[:4]):
            return frozenset({number})
    # Short names of zones are written in capitals.
    return frozenset() if word.isupper() else _names(kind).get(plain, frozenset())
