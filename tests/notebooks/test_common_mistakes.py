"""Wrong values in circulation appear only where a "common mistake" passage corrects them."""

import re

import nbformat
import pytest

from .conftest import CHAPTERS, COURSE

#: What is wrong, as it would be written, with what is right.
WRONG = {
    r"\b39\b[^.\n]{0,60}(0\.8 GB|32 GB)|(0\.8 GB|32 GB)[^.\n]{0,60}\b39\b": "40 requests",
    r"\b79\b[^.\n]{0,30}(requests|users)": "80 requests in 44 GB at 0.55 GB",
    r"\b59\b[^.\n]{0,30}(requests|users)": "60 requests in 33 GB at 0.55 GB",
    r"\b725 ?ms\b": "710 ms: prefill emits the first token",
    r"\b2[ ,]?295 ?ms\b": "2270 ms: n - 1 decode steps",
    r"0\.0278656107": "0.0278656135: no epsilon is needed",
    r"\b1[ ,]?979\b": "989.4 TFLOP/s dense",
    r"H100[^.\n]{0,40}HBM3e": "the H100 has HBM3",
    r"900 GB/s[^.\n]{0,30}(pair|bisection)": "per GPU, both directions summed",
    r"\b43 GFLOP": "141 GFLOP a token: 2 N",
    r"\b47 tok/s": "23.7 tok/s on one GPU's bandwidth",
    r"\b9[ ,]?189\b": "6259 tok/s at B = 48, S = 4096",
    r"(?i)llama[- ]?3(\.1)?[- ](7|13)B": "8B, 70B, 405B",
    r"(page|block)[^.\n]{0,30}\b512 K(i)?B\b": "5 MiB: 64 KiB a layer, 80 layers",
    r"\b5\.92\b": "4.33 expected tokens at alpha 0.8, gamma 8",
    r"(?i)grows? exponentially (with|in) (load|utili[sz]ation)": "hyperbolically",
    r"(?i)poisson (traffic|arrivals?) (is|are) bursty": "index of dispersion 1",
    r"(?i)compute saturates at (batch )?(32|48)": "the ridge is at 295",
    r"0\.17 s[^.\n]{0,40}M/M/4|M/M/4[^.\n]{0,60}\b0\.17 s": "0.3289 s",
    r"\b6 replicas[^.\n]{0,60}(lam(bda)? ?= ?36|36 requests)": "5 replicas of 12 at 0.6",
    r"(?i)fingerprint[^.\n]{0,60}\b130\b": "SHA-256 of canonical bytes",
    r"\b(5\.0|21(\.\d+)?) GB per (user|sequence)": "1.342 GB",
    r"405B[^.\n]{0,60}fits[^.\n]{0,40}(8|eight)": "811.7 GB in bf16: 11 GPUs",
    r"c = ceil\(lam(bda)? ?/ ?mu\)": "floor + 1: stability is strict",
    r"(?i)TPOT (is|=) (the )?step (time )?/ ?B": "TPOT is the step",
}

MISTAKE = re.compile(r"^> \*\*Common mistake", re.M)
BLOCK_QUOTE = re.compile(r"(^>.*\n?)+", re.M)


def without_mistake_passages(text):
    """Drop block quotes that begin with "Common mistake"."""
    return BLOCK_QUOTE.sub(lambda found: "" if MISTAKE.match(found[0]) else found[0], text)


def passages(notebook):
    """Yield what a learner reads: prose, code, printed text."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield without_mistake_passages(cell.source)
        elif "mistake" not in cell.source.lower():
            yield cell.source
            for output in cell.outputs:
                yield output.get("text", "") or output.get("data", {}).get("text/plain", "")


def found_in(text):
    return [
        f"{hit[0]!r}: right is {right}"
        for wrong, right in WRONG.items()
        for hit in re.finditer(wrong, text)
    ]


NOTEBOOKS = [
    path for chapter in CHAPTERS for path in sorted((COURSE.source / chapter).glob("*.ipynb"))
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_wrong_value_is_taught(path):
    found = [hit for text in passages(nbformat.read(path, as_version=4)) for hit in found_in(text)]
    assert found == []


@pytest.mark.parametrize("path", sorted(COURSE.root.glob("servemath_helpers/**/*.py")), ids=str)
def test_no_wrong_value_is_documented(path):
    assert found_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "A 32 GB budget holds 39 requests.",
        "End to end: 725 ms.",
        "The H100 peaks at 1979 TFLOP/s.",
        "LLaMA-3 7B needs 14 GB.",
        "Latency grows exponentially with load.",
        "Each block of 16 tokens is 512 KB.",
    ],
)
def test_the_guard_sees_a_planted_mistake_and_spares_its_correction(sentence):
    assert found_in(without_mistake_passages(f"Text.\n\n{sentence}\n"))
    quoted = f"Text.\n\n> **Common mistake.** Some write:\n> {sentence}\n> It is not so.\n\nMore."
    assert not found_in(without_mistake_passages(quoted))
    ordinary_quote = f"> {sentence}\n"
    assert found_in(without_mistake_passages(ordinary_quote))
