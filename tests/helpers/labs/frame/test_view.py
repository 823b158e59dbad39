import asyncio
import getpass
import json
from dataclasses import replace

import ipywidgets as widgets
import pytest

from servemath_helpers.labs.frame import view
from servemath_helpers.labs.frame.ledger import Ledger
from servemath_helpers.labs.frame.lock import LabError, Option, Question
from servemath_helpers.labs.frame.session import Control, Part
from servemath_helpers.labs.frame.view import Lab, LabView, whoami
from servemath_helpers.labs.frame.words import Words

OPTIONS = (Option("same", "80 <b>", 80, "No."), Option("twice", "160", 160, "Yes."))
DOUBLE = Question("double", "Twice the arrivals?", OPTIONS, "twice", why="L = λW.")
STAND = Question("stand", "Which first?", OPTIONS, None, why="Both cost.")
SIZING = Question("sizing", "Which number?", OPTIONS, "twice")
CONTROLS = (
    Control("lam_rps", "Arrivals", 40.0, low=0, high=200, step=0.25, unit="1/s"),
    Control("B", "Batch", 8, low=1, high=64),
    Control("policy", "Policy", "a", choices=(("a", "a"), ("b", "b"))),
    Control("model", "Model", 0, choices=tuple((str(n), n) for n in range(6))),
    Control("pipelined", "Pipelined", False),
)


WORDS = Words("""
title = "Small <lab>"
variant_label = "Track"
defence = "Why? (optional)"
badges = ["L = λW"]
""")


def parts(variant):
    first = Part("p1", "First", (DOUBLE,), {"lam_rps": 80}, CONTROLS, (SIZING, STAND))
    return [first, Part("p2", "Second", (DOUBLE,), {})]


def panes(session, part, tables):
    lam = session.settings(part).get("lam_rps")
    return {"cards": f"lam={lam}", "chart": f"tables={tables}"}


def verdict(session, part):
    lam = session.settings(part)["lam_rps"]
    return lam >= 80, {"λ": lam}


def hud(session):
    yield "LAM", str(session.settings("p1")["lam_rps"])
    yield "LEDGER", "SAVED" if session.saved_at else "–"


class Small(LabView):
    engine = Lab(
        key="lab0",
        record_version="1",
        words=WORDS,
        variants={"one": "One", "two": "Two"},
        parts=parts,
        story=lambda session: f"story {session.variant}",
        task=lambda session, part: f"task {part}",
        reality=lambda session, part: f"reality {part}",
        peek=lambda session, part: f"peek {part}",
        panes=panes,
        verdict=verdict,
        hud=hud,
        outcome=lambda session: {"lam_rps": session.as_attempted().settings("p1")["lam_rps"]},
    )


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.json", clock=lambda: "2030-01-01")


@pytest.fixture
def lab(ledger):
    return Small("ada", ledger=ledger)


@pytest.fixture
def shown(lab):
    lab.widget  # noqa: B018 - builds it
    return lab


def everything(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything(child)


def page(lab):
    return " ".join(
        w.value for w in everything(lab.widget) if isinstance(w, (widgets.HTML, widgets.HTMLMath))
    )


def unlock(lab):
    lab.predict("p1", "double", "twice", 4)
    lab.lock("p1")


def test_who_has_no_login_name_is_the_learner(monkeypatch):
    def refuse():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", refuse)
    assert whoami() == "learner"
    assert Small(ledger=Ledger("unused.json")).learner == "learner"


def test_a_learners_name_cannot_break_the_ledgers_key():
    assert Small(" a/b ", ledger=Ledger("unused.json")).learner == "a-b"


# --- driven from code --------------------------------------------------------------------------


def test_a_lab_works_without_its_widgets(lab, ledger):
    with pytest.raises(LabError, match='lock your prediction of "First" first'):
        lab.adjust("p1", lam_rps=80)
    with pytest.raises(LabError, match='lock your prediction of "First" first'):
        lab.attempt("p1")
    assert "lock your prediction" in lab.notice
    unlock(lab)
    lab.adjust("p1", lam_rps=80)
    lab.attempt("p1")
    lab.reset("p1")
    lab.attempt("p1")
    lab.reflect("p1", "sizing", "same")
    lab.write("because")
    assert [tried.passed for tried in lab.session.attempts("p1")] == [True, False]
    assert lab.save()
    kept = ledger.load("lab0", "ada")
    assert kept["lam_rps"] == 80 and kept["session"]["text"] == "because"
    with pytest.raises(LabError, match="lam_rps must be from 0 to 200"):
        lab.adjust("p1", lam_rps=999)


def test_each_variant_keeps_its_own_run(lab):
    unlock(lab)
    lab.choose_variant("two")
    assert not lab.session.is_locked("p1")
    lab.choose_variant("one")
    assert lab.session.is_locked("p1")
    with pytest.raises(LabError, match="track must be one of"):
        lab.choose_variant("three")


# --- on the page -----------------------------------------------------------------------------


def test_the_simulator_appears_when_the_prediction_is_locked(shown):
    box = shown.box("p1")
    assert box.after.layout.display == "none"
    choice = box.questions["double"]
    assert choice.options.value is None and choice.confidence.value is None
    box.lock.click()
    assert "answer the question first" in page(shown)
    choice.options.value = "twice"
    choice.confidence.value = 4
    box.lock.click()
    assert box.after.layout.display is None and box.lock.layout.display == "none"
    assert choice.options.disabled and "Right." in choice.feedback.value
    assert shown.session.prediction("p1", "double").confidence == 4
    assert "80 <b>" not in page(shown)


def test_a_slider_redraws_instruments_and_footer_only(shown):
    unlock(shown)
    box = shown.box("p1")
    reality = box.reality.value
    box.controls["lam_rps"].value = 120
    assert shown.session.settings("p1")["lam_rps"] == 120
    assert "lam=120" in box.panes.value and "LAM</span><b>120.0" in page(shown)
    assert box.reality.value == reality
    box.reset.click()
    assert box.controls["lam_rps"].value == 40 and "lam=40" in box.panes.value
    shown.adjust("p1", B=2)
    assert box.controls["B"].value == 2
    shown.adjust("p1", B=2)


def test_what_the_lab_refuses_is_said_on_the_page_and_taken_back_by_the_next_step(shown):
    shown.adjust("p1", lam_rps=80)
    assert "lock your prediction of &quot;First&quot; first" in page(shown)
    unlock(shown)
    assert "lock your prediction of" not in page(shown)


def test_a_browsers_echo_of_a_hidden_slider_is_not_the_learners_doing(shown):
    shown.box("p1").controls["lam_rps"].value = 80
    assert shown.notice == "" and "Not yet." not in page(shown)
    unlock(shown)
    first = shown.box("p1")
    shown.choose_variant("two")
    unlock(shown)
    first.controls["lam_rps"].value = 90
    assert shown.session.settings("p1")["lam_rps"] == 40


def test_tables_are_written_on_demand(shown):
    unlock(shown)
    box = shown.box("p1")
    assert "tables=False" in box.panes.value
    box.tables.value = True
    assert "tables=True" in box.panes.value
    box.reset.click()
    box.test.click()
    assert box.tables.value and "tables=True" in box.panes.value


def test_tests_are_listed_newest_first(shown):
    unlock(shown)
    box = shown.box("p1")
    box.test.click()
    box.controls["lam_rps"].value = 90
    box.test.click()
    assert box.attempts.value.index("✓ passed") < box.attempts.value.index("✗ missed")


def test_reflections_get_feedback_and_a_stand_gets_none_wrong(shown):
    unlock(shown)
    box = shown.box("p1")
    box.reflections["sizing"].options.value = "same"
    assert "Not so." in box.reflections["sizing"].feedback.value
    box.reflections["sizing"].options.value = "twice"
    assert "Right." in box.reflections["sizing"].feedback.value
    box.reflections["stand"].options.value = "same"
    assert "Noted." in box.reflections["stand"].feedback.value
    assert shown._where.options[0] == ("First ✓", "p1")


def test_parts_and_variants_are_a_click_away(shown):
    shown._where.value = "p2"
    assert shown._stage.children == (shown.box("p2").widget,)
    shown._variants.value = "two"
    assert shown.session.variant == "two"
    assert shown._stage.children == (shown.box("p2").widget,)
    shown.choose_variant("one")
    assert shown._variants.value == "one"


# --- kept as it goes -----------------------------------------------------------------------


def test_each_step_is_kept_and_a_lab_made_anew_takes_it_up(shown, ledger):
    assert not ledger.path.exists()
    unlock(shown)
    shown._text.value = "because"
    shown.box("p1").controls["B"].value = 3
    shown.box("p1").test.click()
    assert "SAVED" in page(shown)
    again = Small("ada", ledger=ledger)
    assert again.session == shown.session and "Taken up" in page(again)
    assert again._text.value == "because" and "SAVED" in page(again)
    with pytest.raises(LabError, match="is locked"):
        again.session.predict("p1", "double", "same")
    assert "have changed since" not in again.notice
    assert Small("bob", ledger=ledger).notice == ""


def test_saving_by_hand_says_where(shown, ledger):
    shown._save.click()
    assert "Saved" in page(shown) and str(ledger.path) in page(shown)


def test_controls_are_kept_when_they_rest(shown, ledger, monkeypatch):
    monkeypatch.setattr(view, "_REST_S", 0.02)
    unlock(shown)

    async def drag():
        for value in (9, 10, 11):
            shown.adjust("p1", B=value)
            assert "SAVED" not in page(shown)
        await asyncio.sleep(0.1)
        shown.adjust("p1", B=12)
        shown.attempt("p1")  # a step does not wait, and leaves no timer

    asyncio.run(drag())
    assert "SAVED" in page(shown) and shown._timer is None
    assert ledger.load("lab0", "ada")["session"]["settings"]["p1"]["B"] == 12


def test_every_variant_is_kept_and_the_last_one_shown(shown, ledger):
    unlock(shown)
    shown.choose_variant("two")
    assert Small("ada", ledger=ledger).session.variant == "one"  # nothing was done in two
    shown.predict("p1", "double", "same", 2)
    again = Small("ada", ledger=ledger)
    assert again.session == shown.session
    again.choose_variant("one")
    assert again.session.is_locked("p1")
    assert Small("ada", ledger=ledger).session.variant == "one"
    assert Small("ada", "two", ledger).session == shown.session
    # On top stands the fuller run, as earlier versions wrote it.
    assert ledger.load("lab0", "ada")["session"]["variant"] == "one"


def test_a_record_of_an_earlier_version_is_taken_up_and_kept(lab, ledger):
    unlock(lab)
    old = lab.session.record({"lam_rps": 40})
    other = Ledger(ledger.path.with_name("other.json"))
    other.save("lab0", "ada", old, version="0")
    again = Small("ada", ledger=other)
    assert again.session == replace(lab.session, saved_at=again.session.saved_at)
    assert "have changed since" in again.notice
    again.choose_variant("two")
    again.predict("p1", "double", 1)
    assert other.load("lab0", "ada")["by_variant"]["one"] == old


@pytest.fixture
def shorter(lab, ledger):
    """A lab that another notebook overtook: it was made before the other did anything."""
    late = Small("ada", ledger=ledger)
    unlock(lab)
    lab.attempt("p1")
    late.widget  # noqa: B018 - builds it
    return late


def test_a_fuller_record_is_not_replaced_by_a_shorter_one_without_asking(shorter, lab, ledger):
    before = ledger.path.read_text()
    assert shorter._replace.layout.display == "none"
    unlock(shorter)
    assert ledger.path.read_text() == before
    assert "Not saved" in page(shorter) and shorter._replace.layout.display is None
    assert not shorter.save() and ledger.path.read_text() == before
    shorter._replace.click()
    assert "Saved" in page(shorter) and shorter._replace.layout.display == "none"
    assert ledger.load("lab0", "ada")["session"]["attempts"] == {}


def test_the_fuller_record_can_be_taken_up_instead(shorter, lab):
    unlock(shorter)
    shorter._resume.click()
    assert shorter.session == lab.session and shorter._replace.layout.display == "none"


def test_a_damaged_record_is_reported_and_replaced_on_request_only(lab, ledger):
    ledger.save("lab0", "ada", {"session": 3})
    again = Small("ada", ledger=ledger)
    assert "is damaged" in page(again)
    unlock(again)
    assert "Not saved" in page(again) and ledger.load("lab0", "ada")["session"] == 3
    assert again.save(replace=True) and Small("ada", ledger=ledger).session.is_locked("p1")


def test_a_lab_that_was_never_shown_can_be_taken_up_too(lab, ledger):
    unlock(lab)
    again = Small("ada", ledger=ledger)
    assert again.resume() and again.session == lab.session


def test_nothing_to_take_up_is_no_failure(shown):
    shown._resume.click()
    assert "holds no run of yours" in page(shown)


def test_a_run_that_does_not_fit_is_refused_and_the_present_one_kept(shown, ledger):
    unlock(shown)
    content = json.loads(ledger.path.read_text())
    (record,) = content["records"].values()
    record["by_variant"]["one"]["session"]["chosen"] = {"p1/double": ["gone", None]}
    ledger.path.write_text(json.dumps(content))
    before = shown.session
    assert not shown.resume()
    assert shown.session is before and "cannot be taken up" in page(shown)


def test_a_ledger_that_cannot_be_read_or_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    lab = Small("ada", ledger=Ledger(tmp_path / "file" / "ledger.json"))
    assert "cannot be taken up" in page(lab)
    unlock(lab)
    assert lab.session.is_locked("p1") and "Not saved." in page(lab) and "SAVED" not in page(lab)
    assert not lab.save()


def test_a_part_is_closed_until_the_one_before_it_is_locked(shown):
    shown._where.value = "p2"
    box = shown.box("p2")
    assert "Not open yet." in box.task.value and box.predict.layout.display == "none"
    unlock(shown)
    shown._where.value = "p1"
    shown._where.value = "p2"
    assert box.task.value == "task p2" and box.predict.layout.display is None


def test_what_is_asked_can_be_read_without_going_there(shown, capsys):
    shown.list_questions()
    shown.list_questions("two")
    told = capsys.readouterr().out
    assert told.count("p1 double: Twice the arrivals?") == 2 and "    2: " in told
    assert told.count('p2 opens when the prediction of "First" is locked') == 2
    assert "twice" not in told and shown.session.variant == "one"


def test_a_damaged_ledger_is_reported_when_saving(shown, ledger):
    ledger.path.write_text("{")
    assert shown.save()
    assert "ledger.damaged-1.json" in page(shown)


def test_show_displays_the_widget(lab, monkeypatch):
    seen = []
    monkeypatch.setattr("IPython.display.display", lambda *what: seen.extend(what))
    lab.show()
    widget, script = seen
    assert widget is lab.widget and "aria-label" in script.data


def test_a_part_that_was_never_shown_can_be_moved_too(shown, ledger):
    unlock(shown)
    again = Small("ada", "two", ledger)
    again.widget  # noqa: B018 - builds it
    again._where.value = "p2"
    again.choose_variant("one")
    assert again.session.is_locked("p1") and again._where.value == "p2"
    again.adjust("p1", B=3)
    again._where.value = "p1"
    assert again.box("p1").controls["B"].value == 3


@pytest.fixture
def drawn(monkeypatch):
    """What was computed for the page: the texts that the engine was asked for."""
    asked = []

    def counted(name, text):
        return lambda *about: asked.append(name) or text(*about)

    texts = {name: counted(name, getattr(Small.engine, name)) for name in ("story", "panes")}
    monkeypatch.setattr(Small, "engine", replace(Small.engine, **texts))
    return asked


def test_what_code_has_chosen_the_buttons_do_not_choose_again(shown, drawn):
    shown.choose_variant("two")
    assert drawn == ["story"] and shown._variants.value == "two"


def test_a_control_that_stays_where_it_was_draws_nothing(shown, drawn):
    unlock(shown)
    drawn.clear()
    shown.adjust("p1", B=8)
    assert drawn == []
    shown.adjust("p1", B=9)
    assert drawn == ["panes"]


def test_a_part_that_is_done_is_marked_and_stays_on_the_page(shown):
    unlock(shown)
    shown._where.value = "p2"
    seen = []
    shown._stage.observe(seen.append, names="children")
    shown.predict("p2", "double", "twice")
    shown.lock("p2")
    assert shown._where.options[1] == ("Second ✓", "p2") and shown._where.value == "p2"
    assert seen == []
