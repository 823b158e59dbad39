"""An interactive lab in a page, worked by mouse and keyboard beside the same lab in code.

The lab in code is the oracle: it takes the same steps, and the page must then show what
its engine computes.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from playwright.sync_api import Locator, expect

from servemath_helpers.labs.frame.part_box import control_widget
from servemath_helpers.labs.frame.session import Control
from servemath_helpers.labs.frame.view import LabView

from .jupyter import PATIENCE_S, Lab

BANNER = re.compile(r'data-banner="(\w+)"[^>]*><b><span[^>]*>.</span> (.*?)</b>')
CARD = re.compile(r'<div class="sm-card[^"]*"><span>(.*?)</span><b>(.*?)</b>')


def _plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html)).strip()


class LabPage:
    """What one person does in a lab that a notebook shows."""

    def __init__(self, lab: Lab, oracle: LabView) -> None:
        self.lab, self.page, self.oracle = lab, lab.page, oracle
        self.root = lab.page.locator(".sm-lab")
        self.notices = self.root.locator(".sm-banner")
        self.cards = self.root.locator(".sm-card")
        self.hud = self.root.locator(".sm-hud")

    # --- what a person does ----------------------------------------------------------------

    def button(self, name: str) -> Locator:
        """Return a button by what stands on it, behind its icon."""
        return self.root.get_by_role("button", name=name)

    def toggle(self, label: str, choice: str) -> None:
        """Press one of the buttons in the row named `label`."""
        self.row(label).locator(
            "button", has_text=re.compile(f"^{re.escape(choice)}( ✓)?$")
        ).click()

    def row(self, label: str) -> Locator:
        """Return the widget whose description is `label`."""
        name = self.page.locator(".widget-label", has_text=re.compile(f"^{re.escape(label)}$"))
        return self.root.locator(".jupyter-widgets, .lm-Widget").filter(
            has=self.page.locator("> .widget-label").and_(name)
        )

    def choose(self, variant: str) -> None:
        """Go to a track or context."""
        engine = self.oracle.engine
        self.toggle(engine.words.say("variant_label"), engine.variants[variant])
        self.oracle.choose_variant(variant)

    def go_to(self, part: str) -> None:
        """Turn to a part."""
        self.toggle("Go to", self.oracle.session.part(part).title)

    def answer(self, part: str, pick: int = 0) -> None:
        """Choose option number `pick` of each question, fairly sure of it."""
        for number, asked in enumerate(self.oracle.session.part(part).questions):
            option = asked.options[pick]
            self.root.locator(".widget-radio").nth(number).get_by_label(
                option.label, exact=True
            ).check()
            self.row("How sure are you?").nth(number).get_by_text("4", exact=True).click()
            self.oracle.predict(part, asked.key, option.key, confidence=4)

    def lock(self, part: str) -> None:
        """Lock the predictions and wait for the simulator."""
        self.button("Lock my prediction").click()
        self.oracle.lock(part)
        expect(self.button("Lock my prediction")).to_be_hidden()
        self.shows(part)

    def control(self, part: str, key: str) -> Control:
        """Return what the lab says of a control."""
        controls = {control.key: control for control in self.oracle.session.part(part).controls}
        return controls[key]

    def slider(self, part: str, key: str) -> Locator:
        """Return the handle of a slider."""
        row = self.row(str(control_widget(self.control(part, key)).description))
        return row.locator(".noUi-handle")

    def set(self, part: str, **settings: Any) -> None:
        """Move controls, by the means each kind of widget has."""
        for key, value in settings.items():
            control = next(
                control for control in self.oracle.session.part(part).controls if control.key == key
            )
            row = self.row(str(control_widget(control).description))
            if control.choices:
                label = next(label for label, known in control.choices if known == value)
                if len(control.choices) <= 4:
                    row.get_by_text(label, exact=True).click()
                else:
                    row.locator("select").select_option(label=label)
            elif isinstance(value, bool):
                self.root.get_by_label(control.label).set_checked(value)
            else:
                row.locator(".widget-readout").fill(f"{value:g}")
                row.locator(".widget-readout").press("Enter")
        self.oracle.adjust(part, **settings)

    def press(self, part: str, key: str, name: str) -> None:
        """Press an arrow key on the slider of the control `key`."""
        control = self.control(part, key)
        self.slider(part, key).press(name)
        step = {"ArrowRight": 1, "ArrowLeft": -1}[name] * (control.step or 1)
        now = self.oracle.session.settings(part)[key]
        self.oracle.adjust(part, **{key: now + step})

    def reset(self, part: str) -> None:
        """Put the controls back."""
        self.button("Reset").click()
        self.oracle.reset(part)

    # --- what the page must then show --------------------------------------------------------

    def expected(self, part: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Return banners (kind, title) and cards (name, value) that the engine computes."""
        html = "".join(self.oracle.engine.panes(self.oracle.session, part, False).values())
        return (
            [(kind, _plain(title)) for kind, title in BANNER.findall(html)],
            [(_plain(name), _plain(value)) for name, value in CARD.findall(html)],
        )

    def shows(self, part: str, within_s: float = PATIENCE_S) -> list[str]:
        """Wait until the instruments show what the engine computes; return the failures."""
        banners, cards = self.expected(part)
        for kind, title in banners:
            shown = self.root.locator(f'.sm-banner[data-banner="{kind}"]', has_text=title)
            expect(shown.first).to_be_visible()
        # The instruments' cards are the last ones: reality's stand above them.
        self.page.wait_for_function(
            """(cards) => {
              const shown = [...document.querySelectorAll('.sm-lab .sm-card')]
                .filter((card) => card.offsetParent)
                .map((card) => [card.querySelector('span').innerText.trim(),
                                card.querySelector('b').innerText.trim()]);
              return JSON.stringify(shown.slice(-cards.length)) === JSON.stringify(cards);
            }""",
            arg=[list(card) for card in cards],
            timeout=within_s * 1000,
        )
        return [title for kind, title in banners if kind == "fail"]
