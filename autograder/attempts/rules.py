"""May an attempt be graded, which one counts, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from autograder.attempts.policy import BEST, NONE, Attempts
from autograder.attempts.record import Attempt


@dataclass(frozen=True)
class Verdict:
    """Why an attempt is refused, empty if it is not; when the next is possible, if ever."""

    refused: str = ""
    next_at: datetime | None = None


def verdict(
    policy: Attempts,
    earlier: Sequence[Attempt],
    came: datetime,
    due: datetime | None = None,
    zone: tzinfo = UTC,
) -> Verdict:
    """Tell whether an attempt that came at a time may be graded.

    Attempts that lie in the future, because a clock was set back, cost nobody a pause or a
    day; they do count among all.

    Parameters
    ----------
    policy : Attempts
        The course's rules.
    earlier : sequence of Attempt
        The learner's earlier attempts.
    came : datetime
        When it came, in UTC.
    due : datetime, optional
        Until when it can be handed in, extension included.
    zone : tzinfo
        The course's own: days begin by it.

    Examples
    --------
    >>> first = Attempt("u1", "ch1", 1, "a", "2026-12-01T10:00:00+00:00")
    >>> now = datetime(2026, 12, 1, 10, 4, tzinfo=UTC)
    >>> found = verdict(Attempts(), [first], now)
    >>> print(found.refused, found.next_at)
    10 minutes must lie between two attempts 2026-12-01 10:10:00+00:00
    """
    if policy.after_deadline == NONE and due is not None and came > due:
        return Verdict("it came after the due date")
    taken = [one for one in earlier if one.takes_one]
    if policy.most and len(taken) >= policy.most:
        return Verdict(f"all {policy.most} attempts at this assignment were made")
    free, why = came, ""
    past = [one.time for one in taken if one.time <= came]
    today = [moment for moment in past if _day(moment, zone) == _day(came, zone)]
    if policy.per_day and len(today) >= policy.per_day:
        free = datetime.combine(_day(came, zone) + timedelta(days=1), time(), zone).astimezone(UTC)
        why = f"{policy.per_day} attempts a day can be made"
    elif past and policy.pause_minutes:
        free = max(past) + timedelta(minutes=policy.pause_minutes)
        why = f"{policy.pause_minutes:g} minutes must lie between two attempts"
    if free <= came:
        return Verdict()
    if policy.after_deadline == NONE and due is not None and free > due:
        return Verdict(f"{why}, and the next would be after the due date")
    return Verdict(why, free)


def passed_over(
    policy: Attempts, waiting: Sequence[datetime], due: datetime | None = None
) -> list[bool]:
    """Tell which of several submissions that wait at once another one stands for.

    Where the last counts, that is all but the last; where the best counts, those that the
    next followed sooner than attempts may. A late one never stands for one in time.

    Parameters
    ----------
    policy : Attempts
        The course's rules.
    waiting : sequence of datetime
        When they came, in order.
    due : datetime, optional
        Until when they could come in time.

    Examples
    --------
    >>> came = [datetime(2026, 12, 1, 10, minute, tzinfo=UTC) for minute in (0, 5, 30)]
    >>> passed_over(Attempts(), came), passed_over(Attempts(counts="best"), came)
    ([True, True, False], [True, False, False])
    >>> passed_over(Attempts(), came, due=came[1])
    [True, False, False]
    """
    pause = timedelta(minutes=policy.pause_minutes)

    def stands_for(later: datetime, one: datetime) -> bool:
        if due is not None and one <= due < later:
            return False
        return policy.counts != BEST or later - one < pause

    following = [*waiting[1:], None][: len(waiting)]
    return [
        later is not None and stands_for(later, one)
        for one, later in zip(waiting, following, strict=True)
    ]


def _day(moment: datetime, zone: tzinfo) -> date:
    return moment.astimezone(zone).date()


def counting(policy: Attempts, attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt that counts; of equally good ones the last, None if there is none.

    Examples
    --------
    >>> made = [
    ...     Attempt("u1", "ch1", n, str(n), "2026-12-01T10:00:00+00:00", graded=True, points=p)
    ...     for n, p in enumerate([3, 5, 4], start=1)
    ... ]
    >>> counting(Attempts(), made).number, counting(Attempts(counts="best"), made).number
    (3, 2)
    """
    scored = [one for one in attempts if one.is_scored]
    if not scored:
        return None
    if policy.counts == BEST:
        return max(scored, key=lambda one: (one.final, one.number))
    return scored[-1]


def standing(
    policy: Attempts,
    attempts: Sequence[Attempt],
    about: Attempt,
    zone: tzinfo = UTC,
    due: datetime | None = None,
) -> list[str]:
    """Say to a learner where they stand after an attempt: sentences.

    Examples
    --------
    >>> first = Attempt(
    ...     "u1", "ch1", 1, "a", "2026-12-01T10:00:00+00:00", graded=True, points=3, of=5
    ... )
    >>> for sentence in standing(Attempts(), [first], first):
    ...     print(sentence)
    This is attempt 1 of at most 12; the last one counts.
    On 2026-12-01 2 more can be made; the next from 2026-12-01 10:10 UTC.
    """
    until = [one for one in attempts if one.number <= about.number]
    taken = [one for one in until if one.takes_one]
    most = f" of at most {policy.most}" if policy.most else ""
    which = f"the {policy.counts} one counts"
    if about.takes_one:
        said = [f"This is attempt {len(taken)}{most}; {which}."]
    else:
        said = [f"It takes none of your attempts: {len(taken)}{most} were made; {which}."]
    best = counting(policy, until)
    if policy.counts == BEST and best is not None and best.number != about.number:
        nth = taken.index(best) + 1
        said.append(
            f"So far that is attempt {nth}, with {best.final:g} of {best.of or 0:g} points."
        )
    return [*said, *_what_is_left(policy, taken, about, zone, due)]


def _what_is_left(
    policy: Attempts,
    taken: Sequence[Attempt],
    about: Attempt,
    zone: tzinfo,
    due: datetime | None,
) -> list[str]:
    now = about.time
    found = verdict(policy, taken, now, due, zone)
    if found.refused and found.next_at is None:
        return [f"No more can be made: {found.refused}."]
    start = found.next_at or now
    said = f"The next can be made from {_told(start, zone)}." if start > now else ""
    if not policy.per_day:
        return [said or "The next can be made at once."]
    day = _day(start, zone)
    made = sum(_day(one.time, zone) == day for one in taken)
    left = policy.per_day - made
    if policy.most:
        left = min(left, policy.most - len(taken))
    ending = f"; the next from {_told(start, zone)}" if start > now else ""
    return [f"On {day} {left} more can be made{ending}."]


def _told(moment: datetime, zone: tzinfo) -> str:
    """Return a moment by the course's clock, up to the next whole minute."""
    local = (moment + timedelta(seconds=59, microseconds=999999)).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M} {zone}"
