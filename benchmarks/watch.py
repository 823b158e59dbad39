"""How long learners wait from *Submit* to feedback, with `servemath watch` and by hand.

Baseline: the four commands `nbgrader collect`, `autograde`, `generate_feedback`,
`release_feedback`, typed for one learner the moment that something was submitted, by
somebody who never looks away. They run in the same kind of course folder, with this
course's plug-ins, before and after the class hands in.

The class: 40 honest submissions of chapter 1 within five minutes, spread evenly and then
moved a little by a fixed draw, while `servemath watch` is at work. Time runs from the
moment that the submission is whole in the exchange to the moment that its page can be
fetched.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from common.class_run import CHAPTER, released_class
from nbgrader.utils import notebook_hash

from autograder.course import Course
from autograder.course.commands import environment, run_nbgrader

#: Seconds in which the class hands in, and after which feedback is late.
SPREAD_S, PROMISED_S = 300.0, 60.0

CONFIG = """
c.Exchange.root = {exchange!r}
c.ExchangeCollect.check_owner = False
"""

BY_HAND = ("collect", "autograde", "generate_feedback", "release_feedback")


class Class:
    """A course with an exchange, and learners whose work waits to be submitted."""

    def __init__(self, folder: Path, laid_out: Course) -> None:
        self.work = {path.parent.name: path for path in laid_out.submitted.glob(f"*/{CHAPTER}")}
        root = folder / "course"
        shutil.copytree(laid_out.root, root, ignore=shutil.ignore_patterns("submitted"))
        self.course = Course(root)
        self.exchange = folder / "exchange"
        self.inbound = self.exchange / "servemath" / "inbound"
        self.inbound.mkdir(parents=True)
        self.exchange.chmod(0o777)
        with (root / "nbgrader_config.py").open("a") as config:
            config.write(CONFIG.format(exchange=str(self.exchange)))

    def submit(self, student: str) -> Path:
        """Leave a learner's work as ``nbgrader submit`` does; return where its page will be."""
        stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
        folder = self.inbound / f"{student}+{CHAPTER}+{stamp}+{secrets.token_hex(6)}"
        shutil.copytree(self.work[student], folder)
        secret = secrets.token_hex(64)
        (folder / "timestamp.txt").write_text(stamp)
        (folder / "submission_secret.txt").write_text(secret)
        folder.chmod(0o777)
        page = notebook_hash(secret=secret, notebook_id="exercises")
        return self.exchange / "servemath" / "feedback" / f"{page}.html"

    def by_hand(self, student: str) -> float:
        """Return the seconds that the four commands take after a submission."""
        page = self.submit(student)
        start = time.perf_counter()
        for command in BY_HAND:
            run_nbgrader(self.course.root, command, CHAPTER, "--student", student)
        seconds = time.perf_counter() - start
        if not page.is_file():
            raise RuntimeError(f"no feedback for {student} by hand")
        return seconds


@contextlib.contextmanager
def watching(course: Course) -> Iterator[None]:
    """Have a watcher at work."""
    command = subprocess.Popen(
        [sys.executable, "-m", "autograder", "watch", CHAPTER],
        cwd=course.root,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        while not (course.state / "watch" / "status.json").is_file():
            if command.poll() is not None:
                raise RuntimeError("the watcher ended before it began")
            time.sleep(0.1)
        yield
    finally:
        command.terminate()
        command.wait(60)


def watched(group: Class, students: list[str], spread_s: float) -> list[float]:
    """Return the seconds that each learner waits while the class hands in."""
    draw = random.Random(1)
    gap = spread_s / len(students)
    moments = sorted(gap * (place + draw.uniform(-0.5, 0.5)) for place in range(len(students)))
    waiting: dict[Path, float] = {}
    waited: list[float] = []
    left = list(zip(moments, students, strict=True))
    with watching(group.course):
        start = time.perf_counter()
        while (left or waiting) and time.perf_counter() - start < spread_s + 600:
            now = time.perf_counter()
            while left and now - start >= left[0][0]:
                page = group.submit(left.pop(0)[1])
                waiting[page] = time.perf_counter()
            for page in [page for page in waiting if page.is_file()]:
                waited.append(time.perf_counter() - waiting.pop(page))
            time.sleep(0.05)
    if waiting or left:
        raise RuntimeError(f"{len(waiting) + len(left)} learners never got feedback")
    return waited


def main() -> None:
    """Have both sides at work in one run and print what learners wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer learners, at the same rate")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    size, hands = (8, 1) if options.quick else (40, 3)
    hand: list[float] = []
    with (
        released_class(size) as laid_out,
        tempfile.TemporaryDirectory(prefix="servemath-bench-") as first,
        tempfile.TemporaryDirectory(prefix="servemath-bench-") as second,
    ):
        group, other = Class(Path(first), laid_out), Class(Path(second), laid_out)
        students = sorted(group.work)
        hand += [other.by_hand(student) for student in students[:hands]]
        waited = watched(group, students, SPREAD_S * size / 40)
        hand += [other.by_hand(student) for student in students[-hands:]]
    median, typed = statistics.median(waited), statistics.median(hand)
    longest = max(waited)
    print(f"{size} learners in {SPREAD_S * size / 40:.0f} s, {os.cpu_count()} cores")
    print(f"{'from Submit to feedback':<28}{'median s':>10}{'longest s':>11}")
    print(f"{'servemath watch':<28}{median:>10.1f}{longest:>11.1f}")
    print(f"{'four commands, typed at once':<28}{typed:>10.1f}{max(hand):>11.1f}")
    print(f"by hand takes {typed / median:.1f} times as long, for one learner at a time")
    if options.json:
        keys = {
            "median_s": round(median, 2),
            "longest_s": round(longest, 2),
            "within_60_s": longest <= PROMISED_S,
            "by_hand_s": round(typed, 2),
            "by_hand_ratio": round(typed / median, 2),
            "n": size,
        }
        print(json.dumps(keys))


if __name__ == "__main__":
    main()
