"""What is written into a lab's picture stands beside curves, bars and what else is written."""

import re

import numpy as np
import pytest

from servemath_helpers.labs.frame import svg
from servemath_helpers.labs.frame.ledger import Ledger

from .test_all_labs import RUNS, name, unlock
from .test_missions import win

LABEL = re.compile(r'<text x="([\d.-]+)" y="([\d.-]+)" text-anchor="(\w+)".*?>(.*)</text>')


@pytest.mark.parametrize(("lab", "variant"), RUNS, ids=name)
def test_no_label_crosses_a_curve_a_bar_or_another_at_the_opening_and_where_the_mission_is_won(
    lab, variant, tmp_path, monkeypatch
):
    placed, seen = svg.Chart._placed, []

    def watched(chart):
        found = placed(chart)
        labels = LABEL.findall("\n".join(found))
        boxes = np.array([svg._box(text, float(x), float(y), at) for x, y, at, text in labels])
        lines = np.array(chart._segments).reshape(-1, 4)
        for number, (_, _, _, text) in enumerate(labels):
            one = boxes[[number]]
            crossed = svg._crossings(one, lines).sum() + svg._covered(one, boxes).sum() - 1
            crossed += svg._covered(one, chart._boxes).sum()
            seen.append((chart.title, text, crossed))
        return found

    monkeypatch.setattr(svg.Chart, "_placed", watched)
    lab = unlock(lab("ada", variant, Ledger(tmp_path / "ledger.json")))
    for part in lab.session.parts:
        for settings in ({}, win(type(lab), variant, part)):
            lab.adjust(part.key, **settings)
            lab.engine.panes(lab.session, part.key, False)
    assert len(seen) > 4
    assert [label for label in seen if label[2]] == []
