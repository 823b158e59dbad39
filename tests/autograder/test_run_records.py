"""What a run leaves: a transcript a submission, a line of timing an exercise."""

import csv
import json

from autograder.course import Course
from autograder.grading.run_records import save_run, seconds_by_exercise

JOB = {
    "cells": [
        {"id": "a", "slug": "mm1"},
        {"id": "b", "slug": "mm1"},
        {"id": "c", "slug": ""},
        {"id": "lost", "slug": "mmc"},
        {"id": "d", "slug": "mmc"},
    ]
}
RESULT = {
    "cells": {
        "a": {"seconds": 1.0},
        "b": {"seconds": 0.5},
        "c": {"seconds": 0.25},
        "d": {"seconds": 2.0},
    },
    "transcripts": {"mm1__hidden__x": {"seconds": 0.5, "calls": []}},
}


def test_seconds_are_added_up_by_exercise_and_in_all():
    assert seconds_by_exercise(JOB, RESULT) == {"mm1": 1.5, "mmc": 2.0, "": 3.75}


def test_a_run_leaves_a_transcript_and_timings(tmp_path):
    save_run(tmp_path, "ch1", "s1", JOB, RESULT)
    save_run(tmp_path, "ch1", "s,2", JOB, RESULT)
    with Course(tmp_path).timing("ch1").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["student"] for row in rows] == ["s1"] * 3 + ["s,2"] * 3
    assert {row["exercise"]: float(row["seconds"]) for row in rows} == {
        "": 3.75,
        "mm1": 1.5,
        "mmc": 2.0,
    }
    kept = json.loads(Course(tmp_path).transcript("ch1", "s,2").read_text())
    assert kept == RESULT["transcripts"]
