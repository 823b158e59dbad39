import os

import pytest

from autograder.files import write_atomically


def test_an_unchanged_file_keeps_its_time_stamp(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    assert write_atomically(path, "one\n")
    os.utime(path, (1, 1))
    assert not write_atomically(path, "one\n")
    assert path.stat().st_mtime == 1
    assert write_atomically(path, "two\n")
    assert path.read_text() == "two\n"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomically(path, "old\n")

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, "new\n")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]
