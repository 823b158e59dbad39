"""What a platform lets graders download, in a folder that `servemath watch` looks into."""

import io
import shutil
import subprocess
import zipfile

import pytest

from autograder.attempts.record import Records
from autograder.course import Course
from autograder.late.stamp import LATE_MARK
from autograder.late.stamp import NAME as STAMP

from .. import warm
from . import small_course
from .small_course import NAME, RIGHT, WRONG, hand_in
from .test_watch_steps import BEST, UploadsHouse


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def put(house, name, files):
    """Put a zip of some files, or bytes, into the folder that is watched."""
    data = files if isinstance(files, bytes) else zipped(files)
    (house.inbound / name).parent.mkdir(parents=True, exist_ok=True)
    (house.inbound / name).write_bytes(data)


def settled(house):
    """Deal with all that has not changed for long enough."""
    house.all()
    house.clock.pass_(seconds=11)
    house.all()


def test_an_upload_is_one_attempt_in_however_many_downloads_it_comes(tmp_path):
    house = UploadsHouse(tmp_path, **BEST)
    first = {"doe_1_50_work.txt": "5", "roe_2_51_work.txt": "6"}
    put(house, "submissions.zip", first)
    house.all()
    assert house.grader.calls == [("1", "5"), ("2", "6")]
    later = {**first, "lee_3_52_work.txt": "7", "doe_1_60_work-1.txt": "8"}
    del later["doe_1_50_work.txt"]  # Canvas gives the last one
    put(house, "submissions (1).zip", later)
    house.clock.pass_(minutes=1)
    house.all()
    house.begin()  # and is forgotten by no restart, nor where the zip is unpacked
    for name, text in first.items():
        put(house, f"unpacked/{name}", text.encode())
    settled(house)
    assert house.grader.calls == [("1", "5"), ("2", "6"), ("1", "8"), ("3", "7")]
    assert house.grader.released == {
        "doe_1_50_": "5", "roe_2_51_": "6", "doe_1_60_": "8", "lee_3_52_": "7"
    }  # fmt: skip
    assert house.watcher._waiting() == []


def test_of_several_downloads_that_wait_the_one_made_last_is_graded(tmp_path):
    import os

    house = UploadsHouse(tmp_path)
    for name, order, at in (("b", 1, 100), ("a", 3, 300), ("c", 2, 200)):
        put(house, f"{name}.zip", {f"doe_1_{order}_work.txt": str(order)})
        os.utime(house.inbound / f"{name}.zip", (at, at))
    house.all()
    assert house.grader.calls == [("1", "3")]
    assert [bool(one.refused) for one in house.attempts()] == [True, True, False]


def test_moodle_s_names_groups_numbers_and_worksheet(tmp_path):
    house = UploadsHouse(tmp_path)
    (house.course.root / "students.csv").write_text(
        "student,name,email\ns1,Ann Lee,a@x\ns2,Same Name,b@x\ns3,Same Name,c@x\n"
    )
    put(house, "Grades.csv", b"Identifier,Name,Email\nParticipant 8,Same Name,c@x\n")
    put(house, "ch9.zip", {
        "Team 1-Ann Lee_7_assignsubmission_file_/hw/work (2).txt": "2",
        "Team 1-Ann Lee_7_assignsubmission_file_/hw/work.txt": "1",
        "Same Name_8_assignsubmission_file/work.txt": "3",
        "Same Name_8_assignsubmission_onlinetext/onlinetext.html": "see there",
    })  # fmt: skip
    house.all()
    assert house.grader.calls == [("s1", "2"), ("s3", "3")]
    assert house.grader.released.keys() == {
        "Team 1-Ann Lee_7_assignsubmission_file_", "Same Name_8_assignsubmission_file_"
    }  # fmt: skip
    assert house.attempts("s1")[0].remarks == ("of several uploads of work.txt the last is taken",)
    (why,) = house.watcher._not_taken().values()
    assert why == "Same Name answered with onlinetext, not a file"


@pytest.mark.parametrize("after_deadline", ["late", "none"])
def test_late_is_what_the_platform_marks_late(tmp_path, after_deadline):
    house = UploadsHouse(tmp_path, after_deadline=after_deadline)
    house.grader.deadline = house.clock.day  # long ago, by the time that it is downloaded
    house.clock.pass_(days=2)
    house.submit("u1", 5)
    house.submit("u2", 6, late="LATE_")
    house.all()
    (first,), (second,) = house.attempts("u1"), house.attempts("u2")
    assert first.points == 5 and not (house.records.files(first) / STAMP).exists()
    if after_deadline == "none":
        assert second.refused == "it came after the due date"
        assert house.grader.released["doe_LATE_2_2_"] == second.refused
    else:
        assert (house.records.files(second) / STAMP).read_text().strip() == LATE_MARK


def test_what_is_still_being_copied_is_left_until_it_is_whole(tmp_path):
    house = UploadsHouse(tmp_path)
    whole = zipped({f"doe_{number}_5{number}_work.txt": str(number) for number in range(1, 4)})
    for size in range(0, len(whole), 40):
        put(house, "submissions.zip", whole[:size])
        house.all()
        assert house.watcher._not_taken() == {}
        house.clock.pass_(seconds=9)
    assert house.grader.calls == []
    put(house, "more.zip.crdownload", whole)
    put(house, ".more.zip.Xy12", whole)
    house.all()
    assert house.grader.calls == []
    put(house, "submissions.zip", whole)
    house.all()
    assert len(house.grader.calls) == 3
    for text in ("1", "12"):
        put(house, "doe_4_54_work.txt", text.encode())
        house.all()
        house.clock.pass_(seconds=9)
    assert len(house.grader.calls) == 3
    house.clock.pass_(seconds=2)
    house.all()
    assert house.grader.calls[3:] == [("4", "12")]


def damaged(name):
    """Return a zip of two people's uploads, that of the first with a byte that flipped."""
    data = bytearray(zipped({name: "5" * 100, "roe_2_51_work.txt": "6"}))
    data[30 + len(name) + 3] ^= 0xFF
    return bytes(data)


BROKEN = {
    "cut off": (
        zipped({"doe_1_50_work.txt": "5"})[:-30], "submissions.zip", "it cannot be unpacked"
    ),
    "one file damaged": (
        damaged("doe_1_50_work.txt"), "submissions.zip: doe_1_50_work.txt", "it cannot be read"
    ),
    "of another name": (
        zipped({"homework.txt": "5"}), "submissions.zip: homework.txt", "not named as Canvas"
    ),
    "many of other names": (
        zipped({f"homework-{number}.txt": "5" for number in range(9)}),
        "submissions.zip: homework-0.txt, homework-1.txt, homework-2.txt, homework-3.txt, "
        "homework-4.txt and 4 more",
        "not named as Canvas",
    ),
    "signs for a terminal": (
        zipped({"doe_1_50_\x1b[31m.txt": "5"}),
        "submissions.zip: doe_1_50_?[31m.txt",
        "for its name or its size",
    ),
    "out of its folder": (
        zipped({"doe_1_50_w.zip": zipped({"../work.txt": "5"})}),
        "submissions.zip: doe_1_50_w.zip/../work.txt",
        "for its name or its size",
    ),
    "a name with commas": (
        zipped({"Doe, J_7_assignsubmission_file_/work.txt": "5"}),
        "submissions.zip: Doe, J",
        "its name can be no folder's",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_taken_is_named_with_the_reason_and_stops_nobody(tmp_path, case, caplog):
    data, name, why = BROKEN[case]
    house = UploadsHouse(tmp_path)
    put(house, "submissions.zip", data)
    put(house, "submissions (1).zip", {"lee_3_52_work.txt": "7"})
    settled(house)
    told = house.watcher._not_taken()
    assert list(told) == [name] and told[name].startswith(why)
    assert ("3", "7") in house.grader.calls and "1" not in dict(house.grader.calls)
    assert (("2", "6") in house.grader.calls) == (case == "one file damaged")
    assert caplog.text.count("NOT TAKEN") == 1
    assert house.watcher.run(once=True) is False
    (house.inbound / "submissions.zip").unlink()
    house.watcher.look()
    assert house.watcher._not_taken() == {}


def test_a_folder_that_is_gone_is_an_error_and_comes_back(tmp_path):
    house = UploadsHouse(tmp_path)
    house.inbound.rename(tmp_path / "away")
    house.watcher.look()
    assert "there is no folder" in house.watcher.status.errors[-1]["said"]
    (tmp_path / "away").rename(house.inbound)
    house.submit("u1", 5)
    house.clock.pass_(seconds=70)
    house.all()
    assert house.grader.calls == [("1", "5")]


def test_too_much_is_refused_and_a_secret_of_one_s_own_is_not_believed(tmp_path):
    house = UploadsHouse(tmp_path)
    put(house, "submissions.zip", {
        "doe_1_50_work.txt": "5",
        "doe_1_51_large.bin": b"0" * house.grader.most_bytes,
        "roe_2_52_work.txt": "6",
        "roe_2_53_submission_secret.txt": "u9's",
        "roe_2_54_w.zip": zipped({"a": "file", "a/b": "below a file"}),
    })  # fmt: skip
    house.all()
    assert house.attempts("1")[0].refused == "more bytes were handed in than the course takes"
    assert house.grader.calls == [("2", "6")]
    files = house.records.files(house.attempts("2")[0])
    assert sorted(path.name for path in files.iterdir()) == ["a", "work.txt"]
    assert "a/b (a file and a folder have its name)" in house.attempts("2")[0].remarks[0]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return small_course.released(tmp_path_factory)


def test_a_download_comes_back_as_pages_that_the_platform_takes(released, tmp_path):
    course = Course(shutil.copytree(released.root, tmp_path / "course"))
    folder = tmp_path / "downloads"
    folder.mkdir()

    def notebook(solutions):
        hand_in(course, "x", **solutions)
        data = (course.submitted / "x" / NAME / "exercises.ipynb").read_bytes()
        shutil.rmtree(course.submitted / "x")
        return data

    (folder / "submissions.zip").write_bytes(zipped({
        "doejane_LATE_1_50_exercises.ipynb": notebook(RIGHT),
        "Ann Lee_7_assignsubmission_file_/exercises.ipynb": notebook(WRONG),
        "roe_2_51_exercises.ipynb": "{",
    }))  # fmt: skip

    def watch(*arguments):
        return subprocess.run(
            [warm.programs() / "servemath", "watch", *arguments],
            cwd=course.root, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    done = watch(NAME, "--uploads", str(folder), "--once")
    assert done.returncode == 0, done.stderr
    assert "Pages to upload: returned/<chapter>/" in done.stdout
    told = {path.name: path.read_text() for path in (course.returned / NAME).iterdir()}
    assert "<strong>5</strong> of 5 points" in told["doejane_LATE_1_50_exercises.html"]
    assert "<strong>2</strong> of 5" in told["Ann Lee_7_assignsubmission_file_exercises.html"]
    assert "is not valid JSON" in told["roe_2_51_exercises.html"]
    assert len(told) == 3
    assert (course.feedback / "Ann Lee" / NAME / "exercises.html").is_file()
    assert not (course.root / "exchange").exists()

    (folder / "cut.zip").write_bytes(zipped({"doe_3_52_exercises.ipynb": "{}"})[:-9])
    done = watch(NAME, "--uploads", str(folder), "--once")
    assert done.returncode == 1
    assert "Answered: 0;" in done.stdout  # nothing of it a second time
    assert "Not taken: cut.zip: it cannot be unpacked" in done.stdout
    assert len(Records(course).of(NAME, "1")) == 1
    log = (course.outcomes / "watch.log").read_text()
    assert "NOT TAKEN cut.zip: it cannot be unpacked" in log
