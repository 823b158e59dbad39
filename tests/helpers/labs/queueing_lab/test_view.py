import pytest
from ipywidgets import HTML, HTMLMath

from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.queueing_lab.questions import parts
from servemath_helpers.labs.queueing_lab.story import PARTS, TRACKS
from servemath_helpers.labs.queueing_lab.view import QueueingLab

from ..frame.test_view import everything
from .test_mission import BREAK, MEET


@pytest.fixture
def lab(tmp_path):
    lab = QueueingLab("ada", ledger=Ledger(tmp_path / "ledger.json"))
    lab.widget  # noqa: B018 - builds it
    return lab


def page(lab):
    return " ".join(w.value for w in everything(lab.widget) if isinstance(w, (HTML, HTMLMath)))


def unlock(lab, track, *keys, right=True):
    lab.choose_variant(track)
    for key in keys or PARTS:
        for asked in lab.session.part(key).questions:
            wrong = next(o.key for o in asked.options if o.key != asked.answer)
            lab.predict(key, asked.key, asked.answer if right else wrong, 3)
        lab.lock(key)


@pytest.mark.parametrize("track", TRACKS)
def test_each_track_tells_its_story_and_hides_what_is_to_be_predicted(lab, track):
    lab.choose_variant(track)
    shown = page(lab)
    story = TRACKS[track]
    assert story.role in shown and story.stakeholder in shown and "Mission:" in shown
    hud = dict(lab.hud(lab.session))
    assert [hud[name] for name in ("L", "MEM", "P99", "ρ", "SLO")] == ["–"] * 5
    assert list(hud) == ["TRACK", "L", "MEM", "P99", "ρ", "SLO", "ITER", "PARTS ✓", "LEDGER"]
    assert "<svg" not in shown


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("part", PARTS)
def test_after_the_lock_everything_of_a_part_is_there(lab, track, part):
    unlock(lab, track, part)
    lab._where.value = part
    box = lab.box(part)
    assert "Reality" in box.reality.value and "Frozen scenario" in box.reality.value
    assert box.panes.value.count("<svg") == (2 if part == "part1" else 4)
    assert "Right." in box.questions[lab.session.part(part).questions[0].key].feedback.value
    assert "MathPeek" in box.peek.value
    box.tables.value = True
    assert box.panes.value.count("<table") == box.panes.value.count("<svg")


def test_a_wrong_prediction_is_met_with_the_idea_behind_it(lab):
    unlock(lab, "edge", "part2", right=False)
    feedback = lab.box("part2").questions["miss"].feedback.value
    assert "Not so." in feedback and "Right is: B = 6" in feedback


@pytest.mark.parametrize(("track", "part", "key", "changes"), BREAK)
def test_every_banner_appears_and_goes_with_the_slider(lab, track, part, key, changes):
    unlock(lab, track, part)
    lab._where.value = part
    box = lab.box(part)
    assert 'data-banner="fail"' not in box.panes.value
    for name, value in changes.items():
        box.controls[name].value = value
    assert 'data-banner="fail"' in box.panes.value
    if part != "part1":
        assert dict(lab.hud(lab.session))["SLO"] == "BROKEN"
    box.reset.click()
    assert 'data-banner="fail"' not in box.panes.value


@pytest.mark.parametrize(("track", "part", "changes"), MEET)
def test_every_mission_can_be_met_with_the_widgets(lab, track, part, changes):
    unlock(lab, track, part)
    lab._where.value = part
    box = lab.box(part)
    assert 'data-banner="info"' in box.panes.value
    for name, value in changes.items():
        box.controls[name].value = value
    assert 'data-banner="ok"' in box.panes.value and "Mission met." in box.panes.value
    box.test.click()
    assert "✓ passed" in box.attempts.value
    assert dict(lab.hud(lab.session))["ITER"] == "1/10"


def test_a_full_run_is_counted_saved_and_taken_up_again(lab, tmp_path):
    unlock(lab, "tiny")
    for part in parts("tiny"):
        for asked in part.reflections:
            lab.reflect(part.key, asked.key, asked.options[0].key)
    hud = dict(lab.hud(lab.session))
    assert (hud["PARTS ✓"], hud["LEDGER"], hud["SLO"]) == ("3/3", "NOT SAVED", "KEPT")
    assert lab.save()
    assert dict(lab.hud(lab.session))["LEDGER"] == "SAVED"
    again = QueueingLab("ada", ledger=Ledger(tmp_path / "ledger.json"))
    assert again.resume() and again.session.variant == "tiny"
    assert dict(again.hud(again.session))["LEDGER"] == "SAVED"


def test_reality_does_not_follow_the_sliders(lab):
    unlock(lab, "cloud", "part2")
    before = lab.box("part2").reality.value
    lab.adjust("part2", lam_rps=300, B=64)
    lab.box("part2").draw()
    assert lab.box("part2").reality.value == before
