import pytest

from servemath_helpers.measure.answers import Answer, csv_text, measurement, save_csv
from servemath_helpers.sim import load_measurement_csv


def answer(request, sent_s, *token_s, **more):
    given = {"scheduled_s": sent_s, "prompt_tokens": 8, "output_tokens": len(token_s)}
    return Answer(**{"request": request, "sent_s": sent_s, "token_s": token_s, **given, **more})


LATER = answer(1, 2.0, 2.5, 2.75, 3.5, scheduled_s=1.5)
EARLIER = answer(0, 1.0, 1.25)
FAILED = answer(2, 0.5, error="timeout: no answer, at all")


def test_times_count_from_when_it_was_sent():
    assert (LATER.lag_s, LATER.ttft_s, LATER.e2e_s, LATER.tpot_s) == (0.5, 0.5, 1.5, 0.5)
    assert EARLIER.tpot_s is None and EARLIER.gaps_s == []
    assert LATER.gaps_s == [0.25, 0.75]


@pytest.mark.parametrize(
    ("tokens", "expected"), [(3, (2.5, 2.75, 3.5)), (5, (2.5, 2.75, 3.0, 3.25, 3.5))]
)
def test_a_piece_of_several_tokens_is_spread(tokens, expected):
    assert answer(0, 2.0, 2.5, 2.75, 3.5, output_tokens=tokens).instants_s == expected


def test_what_is_saved_is_a_measurement_without_those_that_failed(tmp_path):
    save_csv([LATER, EARLIER, FAILED], tmp_path / "run.csv")
    rows = (tmp_path / "run.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["request", "2", "0", "1"]
    assert rows[1].endswith(',,,"timeout: no answer, at all"')
    read, kept = load_measurement_csv(tmp_path / "run.csv"), measurement([LATER, EARLIER, FAILED])
    for name in ("ttft_s", "e2e_s"):
        assert getattr(read, name).tolist() == getattr(kept, name).tolist()
    assert read.requests.arrival_s.tolist() == kept.requests.arrival_s.tolist() == [0, 1]


def test_a_run_in_which_all_failed_measures_nothing():
    with pytest.raises(ValueError, match="one request that succeeded"):
        load_measurement_csv(csv_text([FAILED]).splitlines())
    with pytest.raises(ValueError, match="at least one row"):
        load_measurement_csv(csv_text([]).splitlines())
