"""A server that others wrote: llama.cpp's, with random weights made here, so nothing is fetched.

Its packages are 100 MB that nobody else needs: ``uv pip install --group foreign`` brings them.
"""

import io
import subprocess
import sys

import numpy as np
import pytest

from servemath_helpers.measure.__main__ import main
from servemath_helpers.sim import load_measurement_csv

WHY = "needs llama.cpp's server, which the lock does not bring: uv pip install --group foreign"
gguf = pytest.importorskip("gguf", reason=WHY)
pytest.importorskip("xllamacpp", reason=WHY)
pytestmark = pytest.mark.timeout(180)

SERVE = """
import sys, xllamacpp
asked = xllamacpp.CommonParams()
asked.model.path, asked.port = sys.argv[1], 0
asked.n_ctx, asked.n_parallel, asked.cpuparams.n_threads, asked.warmup = 4096, 2, 1, False
server = xllamacpp.Server(asked)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def write_model(path, layers=2, width=64, heads=4, kv_heads=2, ffn=128):
    words = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁"]
    words += [f"{blank}{chr(c)}" for blank in ("", "▁") for c in range(97, 123)]
    out = gguf.GGUFWriter(path, "llama")
    for name, value in (
        *(("context_length", 4096), ("embedding_length", width), ("block_count", layers)),
        *(("feed_forward_length", ffn), ("head_count", heads), ("head_count_kv", kv_heads)),
        *(("layer_norm_rms_eps", 1e-5), ("rope_dimension_count", width // heads)),
        *(("vocab_size", len(words)), ("file_type", 0), ("tokenizer_model", "llama")),
        *(("token_list", [word.encode() for word in words]), ("token_scores", [0.0] * len(words))),
        ("token_types", [2, 3, 3] + [6] * 256 + [1] * (len(words) - 259)),
        *(("bos_token_id", 1), ("eos_token_id", 2), ("unk_token_id", 0)),
    ):
        getattr(out, f"add_{name}")(value)
    rng, kv_width = np.random.default_rng(0), width // heads * kv_heads
    shapes = {"token_embd": (len(words), width), "output": (len(words), width)}
    norms = ["output_norm"]
    for i in range(layers):
        shapes |= {
            f"blk.{i}.attn_q": (width, width),
            f"blk.{i}.attn_k": (kv_width, width),
            f"blk.{i}.attn_v": (kv_width, width),
            f"blk.{i}.attn_output": (width, width),
            f"blk.{i}.ffn_gate": (ffn, width),
            f"blk.{i}.ffn_up": (ffn, width),
            f"blk.{i}.ffn_down": (width, ffn),
        }
        norms += [f"blk.{i}.attn_norm", f"blk.{i}.ffn_norm"]
    for name, shape in shapes.items():
        drawn = rng.standard_normal(shape, np.float32) / np.float32(shape[1] ** 0.5)
        out.add_tensor(f"{name}.weight", drawn)
    for name in norms:
        out.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign") / "random.gguf"
    write_model(path)
    command = [sys.executable, "-c", SERVE, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


@pytest.mark.parametrize("more", [[], ["--chat"], ["--rate", "50"]], ids=" ".join)
def test_llama_cpp_is_measured_as_any_other(url, more, tmp_path, capsys):
    path, err = tmp_path / "run.csv", io.StringIO()
    loop = [] if "--rate" in more else ["--users", "2"]
    asked = ["--url", url, "--model", "random", "--requests", "6", "--prompt-tokens", "4:8"]
    code = main([*asked, *loop, "--output-tokens", "12", "--out", str(path), *more], err=err)
    assert code == 0, err.getvalue()
    run = load_measurement_csv(path)
    assert run.requests.output_tokens.tolist() == [12] * 6
    # One character a token, which the server counts and the client does not.
    assert (run.requests.prompt_tokens > 8).all()
    assert "6 of 6 requests answered in full" in capsys.readouterr().out
