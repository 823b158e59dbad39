import pytest
from ipywidgets import HTML, HTMLMath

from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.queueing_lab.questions import parts
from servemath_helpers.labs.queueing_lab.story import TRACKS
from servemath_helpers.labs.queueing_lab.view import QueueingLab

from ..frame.test_view import everything
from ..test_all_labs import unlock as unlock_parts

ENGINE = QueueingLab.engine


@pytest.fixture
def lab(tmp_path):
    lab = QueueingLab("ada", ledger=Ledger(tmp_path / "ledger.json"))
    lab.widget  # noqa: B018 - builds it
    return lab


def page(lab):
    return " ".join(w.value for w in everything(lab.widget) if isinstance(w, (HTML, HTMLMath)))


def unlock(lab, track, *keys, right=True):
    lab.choose_variant(track)
    unlock_parts(lab, *keys, right=right)


@pytest.mark.parametrize("track", TRACKS)
def test_each_track_tells_its_story_and_hides_what_is_to_be_predicted(lab, track):
    lab.choose_variant(track)
    shown = page(lab)
    story = TRACKS[track]
    assert story.role in shown and story.stakeholder in shown and "Mission:" in shown
    hud = dict(ENGINE.hud(lab.session))
    assert [hud[name] for name in ("L", "MEM", "P99", "ρ", "SLO")] == ["–"] * 5
    assert list(hud) == [
        "TRACK",
        "L",
        "MEM",
        "P99",
        "ρ",
        "SLO",
        "ITER",
        "MISSIONS",
        "PARTS ✓",
        "LEDGER",
    ]
    assert "<svg" not in shown


def test_a_wrong_prediction_is_met_with_the_idea_behind_it(lab):
    unlock(lab, "edge", "part2", right=False)
    feedback = lab.box("part2").questions["miss"].feedback.value
    assert "Not so." in feedback and "Right is: B = 8" in feedback


def test_a_full_run_is_counted_saved_and_taken_up_again(lab, tmp_path):
    unlock(lab, "tiny")
    for part in parts("tiny"):
        for asked in part.reflections:
            lab.reflect(part.key, asked.key, asked.options[0].key)
    hud = dict(ENGINE.hud(lab.session))
    assert (hud["PARTS ✓"], hud["LEDGER"], hud["SLO"]) == ("3/3", "SAVED", "KEPT")
    again = QueueingLab("ada", ledger=Ledger(tmp_path / "ledger.json"))
    assert again.resume() and again.session.variant == "tiny"
    assert dict(ENGINE.hud(again.session))["LEDGER"] == "SAVED"


def test_a_broken_promise_and_a_met_mission_are_said_and_taken_back(lab):
    unlock(lab, "edge", "part2")
    lab._where.value = "part2"
    box = lab.box("part2")
    assert 'data-banner="info"' in box.panes.value
    box.controls["sensors"].value = 8
    assert "Deadline missed." in box.panes.value
    assert dict(ENGINE.hud(lab.session))["SLO"] == "BROKEN"
    box.controls["B"].value = 4
    box.controls["accelerators"].value = 2
    box.test.click()
    assert "Mission met." in box.panes.value and "✓ passed" in box.attempts.value
    assert dict(ENGINE.hud(lab.session))["ITER"] == "1/10"
    box.reset.click()
    assert 'data-banner="info"' in box.panes.value
