import os

import pytest

from servemath_helpers._files import replace_text


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.csv"
    replace_text(path, "old\n")
    replace_text(path, "new\n")

    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        replace_text(path, "half of it")
    assert path.read_bytes() == b"new\n"
    assert list(tmp_path.iterdir()) == [path]
