"""The command: what it prints, what it saves, and the code that it ends with."""

import io
import json
import subprocess
import sys

import pytest

from servemath_helpers.measure import __main__ as command
from servemath_helpers.measure.endpoint import KINDS
from servemath_helpers.sim import load_measurement_csv
from servemath_helpers.tinyllm.engine import Engine
from servemath_helpers.tinyllm.http import Server
from servemath_helpers.tinyllm.transformer import TINY, Transformer

from .servers import DONE, GOOD, answer, error, event, server, stream
from .test_endpoint import KEY, usage

pytestmark = pytest.mark.timeout(120)


def measure(tmp_path, url, *more):
    err = io.StringIO()
    asked = ["--url", url, "--model", "tinyllm", "--requests", "4", "--timeout", "20"]
    if not {"--rate", "--users"} & set(more):
        asked += ["--users", "2"]
    code = command.main([*asked, "--out", str(tmp_path / "run.csv"), *more], err=err)
    return code, err.getvalue(), tmp_path / "run.csv"


@pytest.fixture(scope="module")
def served():
    with Server(Engine(Transformer(TINY))) as server:
        yield server


@pytest.mark.parametrize(
    "loop", [["--rate", "40", "--tpot", "60"], ["--users", "2", "--ttft", "60", "--think", "0.01"]]
)
def test_the_labs_own_server(served, tmp_path, capsys, loop):
    lengths = ["--prompt-tokens", "5:9", "--output-tokens", "3", "--requests", "30"]
    code, err, path = measure(tmp_path, served.url, *loop, *lengths)
    assert code == 0 and "30 of 30 requests\n" in err
    said = capsys.readouterr().out
    assert "30 of 30 requests answered in full" in said and f"saved: {path}" in said
    assert "100.0% within" in said and "guidellm" in said
    run = load_measurement_csv(path)
    assert len(run.requests) == 30 and set(run.requests.output_tokens) == {3}
    assert set(run.requests.prompt_tokens) == {5, 6, 7, 8, 9}


def test_progress_is_one_line_where_somebody_looks(served, tmp_path):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    screen = Screen()
    asked = ["--url", served.url, "--model", "tinyllm", "--users", "1", "--requests", "3"]
    command.main([*asked, "--output-tokens", "2", "--out", str(tmp_path / "r.csv")], err=screen)
    assert screen.getvalue() == "1 of 3 requests\r2 of 3 requests\r3 of 3 requests\n"


ONE_PIECE = stream(event("a b c"), usage(3, 3), DONE)

#: What a server says -> the kind of error, and words of the one line that tells it.
WRONG = {
    "wrong model": (error(404, "The model `x` does not exist."), "refused", "HTTP 404"),
    "bad request": (error(400, "no such option"), "refused", "no such option"),
    "busy": (error(429, "slow down"), "busy", "HTTP 429"),
    "failing": (error(503, "loading"), "busy", "HTTP 503"),
    "no stream": (answer(200, "{}"), "not streamed", "does not stream"),
    "one piece": (ONE_PIECE, "not streamed", "3 tokens came in one piece"),
    "broken": (stream(event()), "broken", "broke off after 1 pieces"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_server_that_cannot_be_measured_is_told_in_a_line(name, tmp_path):
    reply, kind, said = WRONG[name]
    with server(reply) as (url, _):
        code, err, path = measure(tmp_path, url)
    assert code == KINDS[kind] and not path.exists()
    assert err.startswith("error: ") and said in err and err.count("\n") == 1


def test_a_silent_server_and_a_closed_port(tmp_path):
    with server("", hold=True) as (url, _):
        code, err, _ = measure(tmp_path, url, "--timeout", "2")
    assert code == KINDS["timeout"] and "within 2 s" in err
    code, err, _ = measure(tmp_path, url)
    assert code == KINDS["connection"] and "cannot connect" in err


def interrupt():
    raise KeyboardInterrupt


def missing():
    raise ModuleNotFoundError(name="httpx")


NEEDED = "error: needs httpx: pip install httpx\n"


@pytest.mark.parametrize(
    ("run", "code", "said"),
    [(int, 0, ""), (interrupt, 130, "cut short\n"), (missing, 2, NEEDED)],
)
def test_what_a_run_ends_with(run, code, said):
    """Again without an event loop, after which Python 3.11 traces nothing in that frame."""
    err = io.StringIO()
    assert command._code(run, err) == code and err.getvalue() == said


def test_codes_of_what_goes_wrong_are_all_different():
    assert len({*KINDS.values(), 0, 1, 2, 130}) == len(KINDS) + 4


def test_a_server_that_is_starting_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_PAUSE_S", 0.01)
    with server(error(503, "loading"), error(503, "loading"), GOOD) as (url, asked):
        code, _, _ = measure(tmp_path, url, "--wait", "30")
    assert code == 0 and len(asked) == 2 + 1 + 4


def test_requests_that_fail_in_the_run_are_counted_and_kept(tmp_path, capsys):
    with server(GOOD, GOOD, error(429, "slow down"), GOOD) as (url, _):
        code, err, path = measure(tmp_path, url, "--users", "1")
    assert code == 1 and "4 of 4 requests, 1 failed" in err
    said = capsys.readouterr().out
    assert "1 x busy: HTTP 429 from /v1/completions: slow down" in said and "CAUTION" in said
    assert len(load_measurement_csv(path).requests) == 3
    assert "slow down" in path.read_text()


@pytest.mark.parametrize(("after", "saved"), [(0, False), (2, True)])
def test_a_run_that_is_cut_short_keeps_what_it_has(after, saved, tmp_path, monkeypatch, served):
    class Impatient(command._Progress):
        def __call__(self, one):
            super().__call__(one)
            if self.done == after:
                raise KeyboardInterrupt

    monkeypatch.setattr(command, "_Progress", Impatient)
    if not after:
        monkeypatch.setattr(command, "_first", lambda *asked: interrupt())
    code, err, path = measure(tmp_path, served.url, "--users", "1")
    assert code == 130 and err.endswith("cut short\n")
    assert path.exists() is saved
    if saved:
        assert len(load_measurement_csv(path).requests) == after


def test_a_key_comes_from_the_environment_and_stays_there(tmp_path, monkeypatch, capsys):
    def echo(asked):
        return error(401, f"Incorrect API key: {asked.lower().split('bearer ')[1].split()[0]}")

    with server(echo) as (url, asked):
        monkeypatch.setenv(command.KEY_VARIABLE, KEY)
        code, err, _ = measure(tmp_path, url)
        assert code == KINDS["refused"] and "Incorrect API key: ***" in err
        monkeypatch.setenv("OTHER", KEY[::-1])
        measure(tmp_path, url, "--key-env", "OTHER")
    assert f"Bearer {KEY}" in asked[0] and f"Bearer {KEY[::-1]}" in asked[1]

    with server(GOOD, GOOD, echo) as (url, _):
        code, err, path = measure(tmp_path, url, "--requests", "2", "--users", "1")
    seen = capsys.readouterr()
    assert code == 1 and "***" in seen.out
    for text in (path.read_text(), err, seen.out, seen.err):
        assert KEY not in text and KEY.lower() not in text

    monkeypatch.setenv(command.KEY_VARIABLE, f"{KEY}\n")
    code, err, _ = measure(tmp_path, "http://127.0.0.1:9")
    assert code == 2 and "key must be" in err and KEY not in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rate", "0"], "rate_rps must be"),
        (["--users", "0"], "users must be"),
        (["--requests", "0"], "requests must be"),
        (["--ttft", "0"], "ttft must be"),
        (["--think", "-1"], "think must be"),
        (["--wait", "nan"], "wait must be"),
        (["--timeout", "0"], "timeout_s must be"),
        (["--url", "nowhere"], "url must begin with"),
        (["--key-env", "NO_SUCH"], "key-env must name a variable that is set"),
        (["--out", "no/such/folder/run.csv"], "out must lie in a folder that exists"),
    ],
)
def test_a_wrong_option_is_told_before_anybody_is_asked(more, said, tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH", raising=False)
    code, err, _ = measure(tmp_path, "http://127.0.0.1:9", *more)
    assert code == 2 and said in err


@pytest.mark.parametrize("lengths", ["9:5", "0", "x"])
def test_lengths_are_a_number_or_a_range(lengths, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        measure(tmp_path, "http://127.0.0.1:9", "--prompt-tokens", lengths)
    assert ended.value.code == 2 and "--prompt-tokens" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told(served, tmp_path):
    (tmp_path / "run.csv").mkdir()
    code, err, _ = measure(tmp_path, served.url)
    assert code == 2 and "cannot write" in err


def test_without_the_client_library_it_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "from servemath_helpers.measure.__main__ import main\n"
        "sys.exit(main('--url http://127.0.0.1:9 --model m --rate 1'.split()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == NEEDED


def test_the_package_loads_neither_server_nor_client():
    code = (
        "import sys, servemath_helpers, servemath_helpers.measure.driving as d\n"
        "import servemath_helpers.measure.summary, servemath_helpers.tinyllm.engine\n"
        "print(json.dumps([m for m in ('httpx', 'tornado') if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import json\n{code}"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
