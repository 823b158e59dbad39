"""Lab 5 in code: its missions, its banners, the machine that is measured, and what is kept."""

import re

import pytest

from servemath_helpers.labs.accelerator import mission, view
from servemath_helpers.labs.accelerator.mission import banners, broken, goal
from servemath_helpers.labs.accelerator.model import recorded, virtual_record
from servemath_helpers.labs.accelerator.story import record_of
from servemath_helpers.labs.accelerator.view import AcceleratorLab
from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.frame.lock import LabError
from servemath_helpers.tinyllm.machine import Machine

from ..test_all_labs import unlock

OWN = Machine(name="my own", bw_runs=(2e10, 1e10), flops_runs=(2e11,))


def own():
    """Return what is measured on it, kept after the first call."""
    return virtual_record(OWN, 4)


@pytest.fixture
def new(tmp_path):
    return lambda variant=None, who="ada": AcceleratorLab(
        who, variant, Ledger(tmp_path / "home" / "ledger.json")
    )


FAILURES = {
    "part1": {"Noisy.": {"spread": 25}},
    "part2": {
        "Unstable queue.": {"share": 130},
        "KV full.": {"kv_tokens": 128},
        "Client late: run void.": {"client_ms": 500},
        "Noisy.": {"noise": 50},
    },
    "part3": {"Promise broken.": {"replicas": 1}, "Unstable queue.": {"replicas": 1}},
}


@pytest.mark.parametrize("variant", ["recorded", "reference"])
@pytest.mark.parametrize("part", FAILURES)
def test_every_banner_can_be_reached_and_left(variant, part, new):
    lab = unlock(new(variant), part)
    record = record_of(lab.session)
    for title, settings in FAILURES[part].items():
        lab.adjust(part, **settings)
        now = lab.session.settings(part)
        assert f"</span> {title}</b>" in banners(record, part, now)
        lab.attempt(part)
        assert not lab.session.attempts(part)[-1].passed
        lab.reset(part)
        assert broken(record, part, lab.session.settings(part)) == []


def test_every_banner_that_is_written_is_used():
    titles = {
        said["title"]
        for key, said in view.WORDS.get("banners").items()
        if key not in ("open", "met")
    }
    assert titles == {title for part in FAILURES.values() for title in part}


@pytest.mark.parametrize("variant", ["recorded", "reference"])
def test_a_mission_says_what_it_lacks_and_when_it_is_met(variant, new):
    lab = unlock(new(variant))
    now = mission.measured(record_of(lab.session))
    fast = {key: 2 * now[key] for key in ("bw_gbs", "gflops")}
    ways = {
        "part1": {"batch": 27, "context": 1024, **fast},
        "part2": {"loop": "closed", "users": 8, "client_ms": 100, "kv_tokens": 896},
        "part3": {"replicas": 4, "load": 2.5, "max_batch": 8},
    }
    for part, settings in ways.items():
        lab.attempt(part)  # the default is no answer
        first = lab.session.attempts(part)[-1]
        assert not first.passed and "; a" in first.figures["missing"]
        assert "Nothing is wrong." in banners(
            record_of(lab.session), part, lab.session.settings(part)
        )
        lab.adjust(part, **settings)
        lab.attempt(part)
        tried = lab.session.attempts(part)[-1]
        assert tried.passed and tried.figures["missing"] == "–" and len(tried.figures) == 5
        assert "Mission met." in banners(record_of(lab.session), part, lab.session.settings(part))
    assert tried.figures["kept"] and lab.session.attempts("part2")[-1].figures["loop"] == "closed 8"
    lab.adjust("part1", **{**now, "batch": 64})
    assert "bound by arithmetic" in lab.engine.panes(lab.session, "part1", False)["cards"]


@pytest.mark.parametrize("part", ["part1", "part2", "part3"])
def test_a_mission_is_told_with_its_numbers_only_after_the_lock(part, new):
    lab = new("reference")
    assert "Mission" not in lab.engine.task(lab.session, part)
    unlock(lab, part)
    said = lab.engine.task(lab.session, part)
    assert "Mission:" in said and goal(record_of(lab.session), part) in said
    capacity = "of the capacity of 4.58 requests a second"
    assert (capacity in said) == (part == "part2")


def test_what_is_measured_is_a_machine_of_its_own_and_stays(new, capsys, tmp_path):
    lab = new("recorded")
    assert "yours" not in lab.engine.variants

    def measured(say):
        say("closed loop, users: 2")
        return own()

    lab.measure(measured)
    assert capsys.readouterr().out == "Measuring: closed loop, users: 2\n"
    assert lab.session.variant == "yours" and record_of(lab.session) is own()
    assert lab.notice.startswith("Measured.")
    assert "my own" in lab.engine.story(lab.session)
    unlock(lab)
    lab.attempt("part3")
    kept = lab.ledger.load("lab5", "ada")
    wanted = ("machine", "bw_Bps", "flops", "predictions", "fit", "errors", "runs", "plan", "seed")
    assert {name for name in wanted if kept[name] is None} == set()
    assert kept["saved_at"] and kept["library_version"] and kept["seed"] == 4
    assert (kept["machine"], kept["bw_Bps"], kept["flops"]) == ("my own", 2e10, 2e11)
    assert len(kept["runs"]) == 7 and kept["plan"]["feasible"] is True
    assert kept["predictions"]["part1"]["step"] == ["right", True, 3]

    again = new()
    assert again.resume() and again.session.variant == "yours"
    assert again.session.settings("part1") == lab.session.settings("part1")
    # Measured anew: answers about another measurement are not taken up.
    other = virtual_record(Machine(name="other", bw_runs=(3e10,), flops_runs=(2e11,)), 4)
    again.measure(lambda say: other)
    assert not again.session.is_locked("part1")
    assert not again.resume()
    assert "another measurement" in again.notice
    again.predict("part1", "step", 1)
    assert "Not saved" in again.notice  # the other run is not lost for it
    assert "yours" not in AcceleratorLab.engine.variants


def test_before_a_part_is_locked_the_ledger_holds_nothing_of_it(new):
    lab = new("reference")
    kept = lab.engine.outcome(lab.session)
    assert [kept[name] for name in ("fit", "errors", "runs", "plan")] == [None] * 4
    assert kept["predictions"] == dict.fromkeys(("part1", "part2", "part3"))


def test_the_page_has_a_button_that_measures(new, monkeypatch):
    monkeypatch.setattr(view, "measure_record", lambda say: say("loads") or own())
    lab = new()
    page = lab.widget
    button = next(w for w in page.children if getattr(w, "description", "").startswith("Measure"))
    button.click()
    assert lab.session.variant == "yours"
    assert lab._variants.value == "yours"
    assert [key for _, key in lab._variants.options] == ["recorded", "reference", "yours"]
    assert "my own" in lab._story.value
    lab.choose_variant("recorded")
    button.click()
    assert lab._variants.value == "yours" and "Measured." in lab._notes.value


def test_a_measurement_that_fails_is_said_on_the_page_and_raised_in_code(new):
    def fail(say):
        raise RuntimeError("the server died")

    lab = new()
    with pytest.raises(LabError, match="the server died"):
        lab.measure(fail)
    page = lab.widget
    lab.measure(fail)
    assert page is lab.widget and "the server died" in lab._notes.value
    assert lab.session.variant == "recorded"


@pytest.mark.parametrize("text", ["{}", "half of", "\udcff"])
def test_a_damaged_measurement_is_measured_again(text, new, tmp_path):
    (tmp_path / "home").mkdir()
    path = tmp_path / "home" / "accelerator.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    lab = new()
    assert "yours" not in lab.engine.variants
    with pytest.raises(LabError, match="machine must be one of"):
        lab.choose_variant("yours")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (own, ["No port.", "Noisy."]),
        (recorded, ["Noisy."] * (recorded().machine.spread > mission.NOISY)),
    ],
    ids=["yours", "recorded"],
)
def test_the_story_says_what_to_think_of_a_measurement(record, said, new):
    lab = new()
    lab.measure(lambda say: record())
    titles = re.findall(r"</span> (.*?)</b>", lab.engine.story(lab.session))
    assert titles == said
