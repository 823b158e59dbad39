"""Times as people's tools write them: right, or refused; on no account guessed."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.course import Course
from autograder.course.commands import run_nbgrader
from autograder.gradebook.reader import grades_of, opened
from autograder.gradebook.record import collect
from autograder.late.stamp import LATE_MARK, MOST_BYTES, NAME, read_stamp
from autograder.late.times import TimeNotUnderstood, shown, utc_of

from ..autograder.small_course import NAME as CHAPTER
from ..autograder.small_course import RIGHT, hand_in, released
from ..shared import copy_of

#: What a text means, in UTC.
UNDERSTOOD = {
    # ISO 8601 and what is near it
    "2027-03-04 09:30": "09:30",
    "2027-03-04T09:30:15Z": "09:30:15",
    "2027-03-04T09:30:15.123456+05:30": "04:00:15",
    "2027-03-04 09:30:00 +0100": "08:30",
    "2027-03-04 09:30:00+01": "08:30",
    "2027-03-04T01:30-0800": "09:30",
    "20270304T093000Z": "09:30",
    "20270304093000": "09:30",
    "2027-03-04-09-30-00": "09:30",
    "2027/03/04 09:30": "09:30",
    "2027-03-03 24:00": "00:00",
    '"2027-03-04T09:30:00Z"': "09:30",
    # seconds since 1970
    "1804152600": "09:30",
    "1804152600123": "09:30",
    "1804152600.5": "09:30",
    # RFC 2822, date, JavaScript, git, PowerShell
    "Thu, 04 Mar 2027 10:30:00 +0100": "09:30",
    "Thu Mar  4 10:30:00 CET 2027": "09:30",
    "Thu Mar  4 09:30:00 AM UTC 2027": "09:30",
    "Thu Mar 4 01:30:00 2027 -0800": "09:30",
    "Thu Mar 04 09:30:00 +0000 2027": "09:30",
    "Thu Mar 04 2027 10:30:00 GMT+0100 (Central European Standard Time)": "09:30",
    "Thursday, March 4, 2027 9:30:00 PM": "21:30",
    "Thursday, 4 March 2027, 12:30 AM": "00:30",
    # other languages
    "Do 4. Mär 10:30:00 CET 2027": "09:30",
    "Donnerstag, 4. März 2027 um 09:30 Uhr": "09:30",
    "jeu. 04 mars 2027 10:30:00 (UTC+0100)": "09:30",
    "jueves, 4 de marzo de 2027, 9:30": "09:30",
    "4 марта 2027 09:30": "09:30",
    "2027年3月4日 09:30": "09:30",
    # zones
    "2027-03-04 10:30 Europe/Berlin": "09:30",
    "2027-03-04 18:30 JST": "09:30",
    "2027-03-04 04:30 EST": "09:30",
    "2027-03-04 11:30 CEST": "09:30",
    "2027-03-04 10:30 UTC+1": "09:30",
    "2027-03-04 10:30 +0100 (CET)": "09:30",
    # a day that only one order of day and month makes one
    "03.03.2027 09:30": "3 09:30",
    "3/13/2027 9:30 AM": "13 09:30",
    "13.03.2027 09.30": "13 09:30",
    # words around it
    "Submitted: 2027-03-04 09:30 UTC": "09:30",
}

#: What a text leaves open, or gets wrong: the reason holds the word.
REFUSED = {
    "02/12/2026 18:00": "day or month first",
    "2.12.2026 18:00": "day or month first",
    "02.12.26 18:00": "no day of a year",
    "18:00": "no day of a year",
    "2026-12-02": "no time of day",
    "2026-12-02 PST": "no time of day",
    "tomorrow, 18:00": "no day of a year",
    "sorry": "no day of a year",
    "2026-12-02 18:00 IST": r"\+05:30 in Asia/\w+ and \+02:00 in Asia/Jerusalem",
    "2026-12-02 18:00 PST": r"\+08:00 in Asia/Manila",
    "2026-12-02 18:00 CST": r"\+08:00 in Asia/",
    "2026-12-02 18:00 BST": "Bangladesh",
    "2026-07-02 18:00 CET": "as a zone then",
    "2026-12-02 18:00 +0100 JST": "different zones",
    "2026-12-02 18:00 +100": "'100' says nothing",
    "2026-12-02 18:00 -0860": "no offset",
    "2026-12-02 18:00 +2500": "no offset",
    "2026-12-02 18:00 Europe/Berlni": "knows no Europe/Berlni",
    "2026-12-02 18:00 XYZ": "'XYZ' says nothing",
    "2026-03-29 02:30 Europe/Berlin": "showed that never",
    "2026-10-25 02:30 Europe/Berlin": "showed that twice",
    "2026-02-30 18:00": "day",
    "2026-12-02 25:00": "hour",
    "2026-12-02 13:00 PM": "no 13 o'clock",
    "Mon, 02 Dec 2026 18:00": "is no Mon",
    "2 listopad 2026 18:00": "which month",  # November in Polish, October in Croatian
    "2 Nov Dec 2026 18:00": "which month",
    "1026-12-02 18:00": "of the year 1026",
    "2026-12-02 18:00 7": "'7' says nothing",
}


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_a_time_is_understood(text):
    *day, clock = UNDERSTOOD[text].split()
    meant = datetime.fromisoformat(f"2027-03-{int(day[0]) if day else 4:02}T{clock}+00:00")
    assert utc_of(text) == meant


@pytest.mark.parametrize("text", REFUSED)
def test_a_time_that_is_none_or_could_be_two_is_refused(text):
    with pytest.raises(TimeNotUnderstood, match=REFUSED[text]) as refused:
        utc_of(text)
    assert "write it as" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "zone", "meant"),
    [
        ("2026-12-02 18:00 PST", "America/Los_Angeles", "2026-12-03 02:00"),
        ("2026-07-02 18:00 IST", "Asia/Kolkata", "2026-07-02 12:30"),
        ("2026-07-02 18:00 IST", "Europe/Dublin", "2026-07-02 17:00"),
        ("2026-12-02 18:00", "America/Los_Angeles", "2026-12-02 18:00"),
    ],
)
def test_the_course_s_zone_says_what_a_short_name_means_and_no_more(text, zone, meant):
    assert shown(utc_of(text, ZoneInfo(zone))) == f"{meant} UTC"


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%a, %d %b %Y %H:%M:%S"]),
)
def test_an_offset_is_an_offset(local, minutes, pattern):
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    for colon in ("", ":"):
        text = f"{local.strftime(pattern)} {sign}{hours:02}{colon}{rest:02}"
        meant = local.replace(microsecond=0, tzinfo=UTC) - timedelta(minutes=minutes)
        assert utc_of(text) == meant


# -- what stands in timestamp.txt ----------------------------------------------------------

DUE = "2026-12-01 23:59 -0800"
SHOWN = "2026-12-02 07:59 UTC (2026-12-01 23:59 America/Los_Angeles)"
LATE = "2026-12-02 18:00 UTC"  # ten hours
IN_TIME = "2026-12-02 06:00 UTC"  # two hours before

#: Bytes of a file, and whether they say that the work was late; None if they say nothing.
STAMPS = {
    "plain": (LATE.encode(), True),
    "in_time": (IN_TIME.encode(), False),
    "bom": (LATE.encode("utf-8-sig"), True),
    "utf16": (LATE.encode("utf-16"), True),
    "utf16_le": (f"\r\n{LATE}\r\n\r\n".encode("utf-16-le"), True),
    "utf16_be": (LATE.encode("utf-16-be"), True),
    "utf32": (LATE.encode("utf-32"), True),
    "latin1": ("2 déc 2026 18:00".encode("latin-1"), True),
    "epoch": (b"1796234400\n", True),
    "epoch_in_time": (b"1796191200000\n", False),
    "headed": (f"\nDateTime\n--------\n{LATE}\n".encode(), True),
    "two_lines": (b"2026-12-02\n18:00:00 UTC\n", True),
    "said_twice": (f"{LATE}\n2026-12-02 19:00 +0100\n".encode(), True),
    "two_times": (f"{LATE}\n{IN_TIME}\n".encode(), None),
    "ambiguous": (b"02/12/2026 18:00", None),
    "words": (b"late, sorry", None),
    "empty": (b" \n", None),
    "bytes": (bytes(range(256)), None),
    "long": (LATE.encode() + b" " * MOST_BYTES, None),
    "marked": (LATE_MARK.encode(), None),
    "without": (None, None),
}


@pytest.mark.parametrize("kind", STAMPS)
def test_a_timestamp_is_read_whatever_wrote_it_or_remarked_on(kind, tmp_path):
    data, late = STAMPS[kind]
    if data is not None:
        (tmp_path / NAME).write_bytes(data)
    stamp = read_stamp(tmp_path)
    if late is None:
        assert stamp.time is None and bool(stamp.remark) == (data is not None)
    else:
        assert (stamp.time == utc_of(LATE), stamp.time == utc_of(IN_TIME)) == (late, not late)
        assert stamp.remark == ""


def test_a_link_and_a_pipe_are_not_read(tmp_path):
    (tmp_path / "elsewhere").write_text(LATE)
    (tmp_path / NAME).symlink_to("elsewhere")
    assert "is a link" in read_stamp(tmp_path).remark
    (tmp_path / NAME).unlink()
    os.mkfifo(tmp_path / NAME)
    assert "no file" in read_stamp(tmp_path).remark


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A class in which everybody's time stands there in another way, graded by nbgrader."""
    course = copy_of(released(tmp_path_factory), tmp_path_factory.mktemp("late"))
    with (course.root / "nbgrader_config.py").open("a") as config:
        config.write('c.AssignLatePenalties.plugin_class = "autograder.exports.DailyPenalty"\n')
        config.write('c.Exchange.timezone = "America/Los_Angeles"\n')
    for kind, (data, _) in STAMPS.items():
        hand_in(course, kind, **RIGHT)
        if data is not None:
            (course.submitted / kind / CHAPTER / NAME).write_bytes(data)
    done = run_nbgrader(course.root, "db", "assignment", "add", CHAPTER, f"--duedate={DUE}")
    assert done.returncode == 0, done.stderr
    done = run_nbgrader(course.root, "autograde", CHAPTER)
    assert done.returncode == 0, done.stderr
    return course


def penalties(course):
    with opened(course) as gradebook:
        return {who: grades.penalty for who, grades in grades_of(gradebook, CHAPTER).items()}


def test_everybody_is_graded_and_who_was_late_pays(course):
    record = collect(course, CHAPTER)
    assert {one.student: one.total for one in record.submissions} == dict.fromkeys(STAMPS, 5.0)
    expected = {kind: 0.5 if late else 0.0 for kind, (_, late) in STAMPS.items()}
    assert penalties(course) == pytest.approx(expected)
    remarked = {one.student for one in record.submissions if one.remarks}
    unknown = {kind for kind, (_, late) in STAMPS.items() if late is None}
    assert remarked == unknown - {"without"}


def test_the_due_date_is_shown_in_utc_and_in_the_course_s_zone(course):
    assert collect(course, CHAPTER).due == SHOWN


@pytest.fixture
def again(course, tmp_path):
    """Return a copy of the graded class, and a function that runs nbgrader in it."""
    copy = Course.at(shutil.copytree(course.root, tmp_path / "again"))

    def run(*arguments, code=0):
        done = run_nbgrader(copy.root, *arguments)
        assert done.returncode == code, done.stderr
        return done.stderr

    return copy, run


def test_a_due_date_that_is_refused_changes_nothing_and_is_told_in_a_sentence(again):
    course, nbgrader = again
    told = nbgrader("db", "assignment", "add", CHAPTER, "--duedate=02/12/2026 18:00", code=1)
    assert told.splitlines()[-1].startswith("'02/12/2026 18:00': day or month first?; write it as")
    assert "Traceback" not in told
    assert collect(course, CHAPTER).due == SHOWN


def test_a_time_that_is_taken_away_takes_its_penalty_along(again):
    course, nbgrader = again
    (course.submitted / "utf16" / CHAPTER / NAME).unlink()
    (course.submitted / "utf16_le" / CHAPTER / NAME).write_bytes(b"never mind")
    nbgrader("autograde", CHAPTER, "--force", "--student=utf16*")
    found = penalties(course)
    assert [found[who] for who in ("utf16", "utf16_le", "utf16_be")] == [0, 0, 0.5]
    with opened(course) as gradebook:
        assert gradebook.find_submission(CHAPTER, "utf16").timestamp is None


def test_a_moved_due_date_moves_penalties(again):
    course, nbgrader = again
    nbgrader("db", "assignment", "add", CHAPTER, "--duedate=2026-12-01 01:00 CET")
    nbgrader("autograde", CHAPTER, "--force", "--student=epoch*")
    found = penalties(course)
    assert [found[who] for who in ("epoch", "epoch_in_time")] == pytest.approx([1.0, 1.0])
