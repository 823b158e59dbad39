"""Predictions beside measured engines: the script, its rows, its aims, and the fit behind it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from benchmarks import measured
from benchmarks.common import measured_rows
from servemath_helpers import achieved, facts
from servemath_helpers.closedloop import loop_times
from servemath_helpers.sim import AchievedStep, RooflineStep

ROOT = Path(__file__).parents[1]
LOOPS = measured.DATA / "closed_loop.csv"
KEYS = (
    "vllm_tpot_mean_err",
    "vllm_e2e_mean_err",
    "vllm_ttft_mean_err",
    "dense_tpot_median_abs_err",
    "moe_tpot_median_abs_err",
    "dense_ttft_median_abs_err",
    "band_coverage",
    "rows",
    "seconds",
)


def run(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "measured.py"), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def figures():
    return run()[1]


def test_the_script_says_all_that_it_promises(figures):
    assert set(KEYS) <= set(figures)
    assert figures["rows"] == 982 + 420


@pytest.mark.parametrize(
    ("key", "aim"),
    [
        ("dense_tpot_median_abs_err", 0.15),
        ("moe_tpot_median_abs_err", 0.25),
        ("dense_ttft_median_abs_err", 0.25),
        ("vllm_tpot_mean_err", 0.02),
        ("vllm_e2e_mean_err", 0.03),
        ("vllm_ttft_mean_err", 0.05),
        ("single_step_median_abs_err", 0.15),
        ("single_prefill_median_abs_err", 0.25),
    ],
)
def test_errors_on_what_was_fitted_are_well_within_the_aims(figures, key, aim):
    assert figures[key] < aim


PRINTED = {
    "calibrated simulator, mean TPOT of the worse run": "vllm_tpot_mean_err",
    "mean E2E": "vllm_e2e_mean_err",
    "mean TTFT": "vllm_ttft_mean_err",
    "achieved roofline, TPOT, dense models": "dense_tpot_median_abs_err",
    "TPOT, mixtures of experts": "moe_tpot_median_abs_err",
    "TTFT, dense": "dense_ttft_median_abs_err",
    "TTFT, mixtures of experts": "moe_ttft_median_abs_err",
    "rows inside the printed 80 % band": "band_coverage",
}


LEFT_OUT = {
    "new combination, TPOT, dense models": ("tpot", "dense"),
    "new combination, TPOT, mixtures of experts": ("tpot", "experts"),
    "new combination, TTFT, dense": ("ttft", "dense"),
    "new combination, TTFT, mixtures of experts": ("ttft", "experts"),
}


@pytest.fixture(scope="module")
def page():
    text = (ROOT / "docs" / "background" / "how-far-off.md").read_text(encoding="utf-8")
    return " ".join(text.split()), text


def test_the_page_prints_what_the_script_finds(figures, page):
    printed = dict(re.findall(r"^\| ([^|]+) \| ([0-9.]+)&nbsp;% \|", page[1], re.MULTILINE))
    assert set(printed) == set(PRINTED) | set(LEFT_OUT)
    stored = achieved._stored()["left_out"]
    expected = {what: figures[key] for what, key in PRINTED.items()}
    expected |= {what: stored[q][kind]["median_abs_err"] for what, (q, kind) in LEFT_OUT.items()}
    for what, share in expected.items():
        digits = 1 if "." in printed[what] else 0
        assert printed[what] == f"{100 * share:.{digits}f}", what


@pytest.fixture(scope="module")
def rows():
    return list(measured_rows.read_loops(LOOPS))


def number(page, pattern):
    """Return the one number that a sentence of the page gives."""
    (found,) = re.findall(pattern, page[0])
    return float(found.replace(",", ""))


def test_the_prose_of_the_page_says_what_the_figures_say(page, figures, rows):
    counts = [int(n) for n in re.findall(r"\| (\d+) \|$", page[1], re.MULTILINE)]
    runs = [len(run.read_text().splitlines()) - 1 for run in measured.DATA.glob("vllm_*.csv")]
    assert counts == [len(rows), 420, sum(runs)]
    assert len([row for row in rows if row.concurrency == 512]) == 9
    assert "**Nine rows far above the line**" in page[0]
    worst = number(page, r"90th percentile of the TPOT error (\d+) %")
    assert worst == round(100 * figures["vllm_tpot_p90_err"])
    burst = number(page, r"waits for ([0-9.]+) % of the others' prompts")
    assert burst == round(100 * achieved.spreads()["burst"].value, 1)


def test_the_page_says_how_far_the_ideal_roofline_is(page, rows):
    (row,) = (
        row
        for row in rows
        if row.measured_as == ("Llama-3.1-70B", "H200-SXM", "vllm")
        and (row.prompt, row.output, row.concurrency) == (1024, 1024, 4)
        and row.deployment.tensor_parallel == 8
    )
    ideal = RooflineStep.ideal(
        row.deployment.model, row.deployment.accelerator, 8, bits=8, kv_bytes_per_elem=1
    )
    times = number(page, r"eight H200 takes ([0-9.]+) times as long")
    assert times == round(row.tpot_s / ideal.iteration_s(4, 4 * 1536, 0, 0), 1)


def test_the_page_says_where_first_tokens_are_held_back(page, rows):
    series = [
        row for row in rows if (row.engine, row.release, row.experts) == ("trtllm", "", False)
    ]
    series = [row for row in series if row.prompt == 1024 and row.concurrency <= 32]
    long = {(r.deployment, r.concurrency): r.ttft_s for r in series if r.output == 8192}
    short = [r for r in series if r.output == 1024 and r.deployment.tensor_parallel < 8]
    late = [(r.ttft_s - long[r.deployment, r.concurrency]) / r.tpot_s for r in short]
    assert number(page, r"first tokens (\d+) token times later") == round(median(late))
    errors = [1 + measured.compare_loop(row).ttft_error for row in short]
    assert median(errors) < 0.5


def test_the_page_says_where_the_front_end_is_full(page, rows):
    full = [
        row
        for row in rows
        if row.deployment.model.name == "Llama-3.1-8B"
        and (row.prompt, row.output, row.concurrency) == (1024, 512, 128)
        and row.deployment.tensor_parallel > 1
    ]
    rates = [512 * 128 / (row.ttft_s + 511 * row.tpot_s) for row in full]
    assert len(rates) == 3
    assert number(page, r"gives out ([0-9,]+) tokens a second") == round(median(rates), -2)
    assert max(rates) < 1.02 * min(rates)
    worst = max(1 / (1 + measured.compare_loop(row).ttft_error) for row in full)
    assert round(worst) == 11
    assert "TTFT is up to eleven times what is predicted" in page[0]


def test_of_what_was_left_out_as_much_falls_into_the_band_as_it_says():
    for quantity, kinds in achieved._stored()["left_out"].items():
        for kind, found in kinds.items():
            assert 0.75 < found["inside"] < 0.85, (quantity, kind)


@pytest.mark.parametrize("key", ["band_coverage", "ttft_band_coverage"])
def test_bands_cover_about_what_they_say(figures, key):
    assert 0.75 < figures[key] < 0.92


def test_a_folder_may_hold_some_of_the_files_and_others(tmp_path):
    lines = LOOPS.read_text(encoding="utf-8").splitlines()
    (tmp_path / "closed_loop_b.csv").write_text("\n".join(lines[:11]) + "\n", encoding="utf-8-sig")
    (tmp_path / "notes.txt").write_text("closed_loop.csv")
    (tmp_path / "vllm_without_settings.csv").write_text("arrival_s\n")
    printed, found = run("--data", str(tmp_path))
    assert found["rows"] == 10
    assert found["moe_tpot_median_abs_err"] is None
    assert "skipped vllm_without_settings.csv: " in printed
    assert "skipped notes.txt: " in printed


def test_what_is_no_folder_is_refused(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "measured.py"), "--data", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2
    assert "--data must be a folder, got nowhere" in done.stderr


def test_an_empty_folder_has_no_figures(tmp_path):
    _, found = run("--data", str(tmp_path))
    assert found["rows"] == 0
    assert found["band_coverage"] is None


def test_rows_of_models_and_chips_that_nobody_knows_are_named_and_left_out(tmp_path):
    header, first, *_ = LOOPS.read_text(encoding="utf-8").splitlines()
    strange = first.replace("meta-llama/Llama-3.1-8B-Instruct", "who/Knows-1T")
    exotic = first.replace("h100_sxm", "abacus")
    cut = first.replace("meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b")
    fields = cut.split(",")
    fields[header.split(",").index("attention_dp")] = "3"
    text = "\n".join((header, first, strange, exotic, ",".join(fields))) + "\n"
    (tmp_path / "closed_loop.csv").write_text(text, encoding="utf-8")
    printed, found = run("--data", str(tmp_path))
    assert found["rows"] == 1
    assert found["rows_left_out"] == 3
    assert "n_gpus must be a divisor of n_experts = 32" in printed
    assert "who/Knows-1T" in printed
    assert "abacus" in printed


BROKEN = {
    "ttft_ms": "",
    "tpot_ms": "nan",
    "tp": "x",
    "concurrency": "0",
    "prompt_tokens": "-5",
    "output_tokens": "2.5",
}


def test_a_mixed_folder_is_read_as_far_as_it_goes(tmp_path):
    header, *rows = (line.split(",") for line in LOOPS.read_text(encoding="utf-8").splitlines())
    changed = [rows[i] for i in range(len(BROKEN))]
    for row, (name, cell) in zip(changed, BROKEN.items(), strict=True):
        row[header.index(name)] = cell
    foreign, as_float, short = rows[10], rows[11], rows[12][:6]
    foreign[header.index("engine")] = "lmdeploy"
    as_float[header.index("tp")] = "1.0"
    lines = [";".join(row) for row in (header, *changed, foreign, as_float, short)]
    (tmp_path / "closed_loop_saved.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    # Columns in another order, one more, gzipped.
    turned = [[*reversed(row), "more"] for row in (header, *rows[20:25])]
    with gzip.open(tmp_path / "closed_loop_turned.csv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(map(",".join, turned)))
    batches = (measured.DATA / "splitwise_a100.csv").read_text(encoding="utf-8").splitlines()[:3]
    batches[2] = batches[2].replace("a100-80gb", "abacus")
    (tmp_path / "splitwise_b.csv").write_text("\n".join(batches), encoding="utf-8")
    for name in ("closed_loop_empty.csv", "splitwise_empty.csv", "vllm_empty.csv"):
        (tmp_path / name).touch()
    (tmp_path / "closed_loop_bytes.csv").write_bytes(bytes(range(256)))
    (tmp_path / "closed_loop_other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "vllm_empty.json").write_text("{}", encoding="utf-8")
    (tmp_path / "vllm_cut.csv").write_text("a\n1\n", encoding="utf-8")
    (tmp_path / "vllm_cut.json").write_text("[1,", encoding="utf-8")
    (tmp_path / "closed_loop_folder.csv").mkdir()

    printed, found = run("--data", str(tmp_path))
    assert found["rows"] == 2 + 5 + 1
    assert found["rows_left_out"] == len(BROKEN) + 1 + 1
    for row, name in enumerate(BROKEN, start=2):
        assert f"(closed_loop_saved.csv row {row}): {name} must be a " in printed
    assert "1 rows of engine 'lmdeploy', which nobody measured" in printed
    assert "splitwise_b.csv row 3" in printed
    for name in ("closed_loop_empty", "splitwise_empty", "vllm_empty", "closed_loop_bytes",
                 "closed_loop_other", "vllm_cut"):  # fmt: skip
        assert f"skipped {name}.csv: " in printed


def test_a_broken_row_is_named_where_all_are_needed(tmp_path):
    broken = LOOPS.read_text(encoding="utf-8").replace("190.955", "", 1)
    (tmp_path / "loops.csv").write_text(broken, encoding="utf-8")
    with pytest.raises(ValueError, match=r"^loops.csv, row \d+: ttft_ms must be a number above 0"):
        list(measured_rows.read_loops(tmp_path / "loops.csv"))


def test_predictions_do_not_look_at_what_they_are_compared_with(tmp_path):
    shutil.copy(LOOPS, tmp_path / "closed_loop.csv")
    rows = list(measured_rows.read_loops(LOOPS))[:20]
    slower = [dataclasses.replace(row, tpot_s=2 * row.tpot_s) for row in rows]
    for row, other in zip(rows, slower, strict=True):
        once, twice = measured.compare_loop(row), measured.compare_loop(other)
        assert 2 * (1 + twice.tpot_error) == pytest.approx(1 + once.tpot_error)


ROW = {"tp": "8", "attention_dp": "", "moe_tp": "1", "moe_ep": "1", "concurrency": "4"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (8, 1, 4)),
        ({"attention_dp": "1", "moe_tp": "8"}, (8, 1, 4)),
        # Copies of the attention: the column counts the requests of one.
        ({"tp": "1", "attention_dp": "8", "moe_ep": "8"}, (1, 8, 32)),
        ({"tp": "1", "moe_tp": "4"}, (1, 4, 16)),
        ({"tp": "2", "moe_tp": "4"}, (2, 2, 8)),
        # n^2 in place of n, and the same figures as with n.
        ({"tp": "64", "attention_dp": "1", "moe_tp": "8", "moe_ep": "8"}, (8, 1, 4)),
        ({"tp": "1", "attention_dp": "64", "moe_tp": "8", "moe_ep": "8"}, (1, 8, 256)),
        ({"tp": "4", "attention_dp": "1", "moe_tp": "2", "moe_ep": "2"}, (2, 1, 4)),
        # Without the column, four GPUs are four.
        ({"tp": "4", "moe_tp": "2", "moe_ep": "2"}, (4, 1, 4)),
    ],
)
def test_layouts_are_read_as_the_figures_show(changes, expected):
    assert measured_rows.layout(ROW | changes) == expected


def test_the_two_spellings_of_a_layout_have_the_same_figures():
    """What the readings above rest on: rows that repeat each other, once read alike."""
    seen: dict[object, list[float]] = {}
    for row in measured_rows.read_loops(LOOPS):
        if row.engine == "trtllm" and row.deployment.model.name == "DeepSeek-R1":
            key = (row.deployment, row.release, row.prompt, row.output, row.concurrency)
            seen.setdefault(key, []).append(row.tpot_s)
    repeated = [times for times in seen.values() if len(times) > 1]
    assert len(repeated) > 10
    assert sum(max(times) < 1.02 * min(times) for times in repeated) >= len(repeated) - 2


@pytest.mark.parametrize(
    ("model", "gemm", "moe", "formats"),
    [
        ("meta-llama/Llama-3.1-70B", "", "", ("bf16", "bf16")),
        ("meta-llama/Llama-3.1-70B", "nvfp4", "nvfp4", ("nvfp4", "nvfp4")),
        ("meta-llama/Llama-3.1-70B", "bfloat16", "bfloat16", ("bf16", "bf16")),
        ("deepseek-ai/DeepSeek-R1", "fp8", "fp8_block", ("fp8", "fp8_block")),
        ("deepseek-ai/DeepSeek-R1", "", "", ("fp8_block", "fp8_block")),
        ("openai/gpt-oss-120b", "nvfp4", "nvfp4", ("bf16", "mxfp4")),
        ("openai/gpt-oss-120b", "fp8", "w4a8_mxfp4_mxfp8", ("bf16", "mxfp4")),
    ],
)
def test_formats_are_those_that_ran(model, gemm, moe, formats):
    node = measured_rows._deployment(model, "h200_sxm", gemm, moe, "fp8", 8, 1)
    assert node.model.formats(node.weight_format, node.expert_format) == formats
    assert node.cache_format == "fp8"


def test_an_unknown_format_is_named():
    with pytest.raises(ValueError, match=r"gemm and moe must be among .*'fp3'"):
        measured_rows._deployment("openai/gpt-oss-20b", "h200_sxm", "fp3", "", "", 1, 1)


def test_the_fit_finds_what_made_the_times():
    pytest.importorskip("scipy")
    from benchmarks import fit_roofline

    node = measured_rows._deployment("meta-llama/Llama-3.1-8B", "h100_sxm", "", "", "", 1, 1)
    wide = measured_rows._deployment("meta-llama/Llama-3.1-8B", "h100_sxm", "", "", "", 4, 1)
    truth = dataclasses.replace(
        achieved.coefficients("H100-SXM", "vllm"), weight_bandwidth=0.7, layer_s=8e-5, mfu_bf16=0.5
    )
    rows = []
    for deployment in (node, wide):
        for prompt, output in ((512, 512), (4096, 256), (1024, 2048)):
            for concurrency in (1, 16, 64):
                first, token, _ = loop_times(
                    deployment,
                    AchievedStep.on(deployment, truth),
                    truth,
                    prompt,
                    output,
                    concurrency,
                    "vllm",
                )
                rows.append(
                    measured_rows.LoopRow(
                        deployment, "vllm", "", prompt, output, concurrency, first, token
                    )
                )
    fit = fit_roofline.Fit(rows)
    found = achieved.Coefficients.resolve(fit.table(), fit_roofline.keys_of(rows[0]))
    tokens, firsts = abs(fit.errors(rows)).max(axis=0)
    assert tokens < 0.02
    assert firsts < 0.06
    assert found.weight_bandwidth == pytest.approx(0.7, rel=0.05)
    assert found.mfu_bf16 == pytest.approx(0.5, rel=0.05)
    # One number of layers cannot tell what a step costs from what its layers do.
    assert found.step_s + 32 * found.layer_s == pytest.approx(truth.step_s + 32 * 8e-5, rel=0.1)


def test_bands_are_the_tenth_and_ninetieth_share_of_measured_over_predicted():
    pytest.importorskip("scipy")
    import numpy as np

    from benchmarks import fit_roofline

    errors = np.log(np.linspace(0.5, 1.5, 1001))  # predicted over measured
    low, high = fit_roofline.band(errors, np.ones(1001))
    assert low == pytest.approx(1 / 1.4, rel=1e-2)
    assert high == pytest.approx(1 / 0.6, rel=1e-2)


def test_what_is_stored_is_what_the_script_writes():
    pytest.importorskip("scipy")
    from benchmarks import fit_roofline

    stored = json.loads(fit_roofline.STORED.read_text(encoding="utf-8"))
    rows, batches = fit_roofline.load()
    assert stored["rows"] == len(rows) + len(batches)
    assert stored["sources"] == fit_roofline.SOURCES
    assert set(stored["coefficients"]) == set(fit_roofline.PRIORS)
    assert [list(r) for r in sorted({row.measured_as for row in rows})] == stored["fitted"]
    assert set(stored["architectures"]) <= set(facts.accelerators())
    measured_chips = stored["coefficients"]["weight_bandwidth"]["by"]["accelerator"]
    assert set(measured_chips) == {"A100-80GB-SXM", "H100-SXM", "H200-SXM", "B200-SXM"}
