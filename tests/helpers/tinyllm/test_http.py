"""The lab's server through a socket of its own: order, counts, ends; no times."""

import json
import runpy
import socket
import sys
import threading

import httpx
import pytest

from servemath_helpers.tinyllm.__main__ import main
from servemath_helpers.tinyllm.engine import Engine
from servemath_helpers.tinyllm.http import Server
from servemath_helpers.tinyllm.transformer import TINY, Transformer, tokens_of, word_of

pytestmark = pytest.mark.timeout(60)

MODEL = Transformer(TINY)


@pytest.fixture(scope="module")
def served():
    with Server(Engine(MODEL, max_batch=2, kv_tokens=64)) as server:
        yield server


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, trust_env=False, timeout=30) as client:
        yield client


def alone(prompt, n):
    engine = Engine(MODEL)
    job = engine.submit(tokens_of(prompt, TINY.vocabulary), n)
    while engine.busy:
        engine.step()
    return [word_of(token) for token in job.tokens]


def events(text):
    lines = [line for line in text.split("\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line.removeprefix("data: ") for line in lines]


def test_four_at_once_each_get_their_answer_in_order_and_an_end(client):
    prompts = ["to be", "or not", "w17 w3 to be", "question"]
    texts = {}

    def ask(prompt):
        asked = {"model": "tinyllm", "prompt": prompt, "max_tokens": 5, "stream": True}
        asked["stream_options"] = {"include_usage": True}
        texts[prompt] = client.post("/v1/completions", json=asked)

    threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for prompt in prompts:
        response = texts[prompt]
        assert response.headers["content-type"] == "text/event-stream"
        *parts, usage, end = events(response.text)
        assert end == "[DONE]"
        choices = [json.loads(part)["choices"][0] for part in parts]
        assert [choice["text"] for choice in choices] == alone(prompt, 5)
        reasons = [choice["finish_reason"] for choice in choices]
        assert reasons == [None] * 4 + ["length"]
        counted = json.loads(usage)["usage"]
        assert counted["prompt_tokens"] == len(prompt.split())
        assert counted["completion_tokens"] == 5


def test_without_a_stream_all_comes_at_once_and_tokens_are_words(client):
    asked = {"prompt": [17, 3], "max_tokens": 4}
    found = client.post("/v1/completions", json=asked).json()
    assert found["choices"][0]["text"] == "".join(alone("w17 w3", 4))
    assert found["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    bare = client.post("/v1/completions", json={**asked, "stream": True})
    assert "usage" not in bare.text


def test_it_says_which_model_it_has(client):
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["tinyllm"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ('{"model": "other"}', 404, "the model 'other' does not exist"),
        ("not json", 400, "a JSON object"),
        ("[1]", 400, "a JSON object"),
        ('{"prompt": ""}', 400, "at least one token"),
        ('{"prompt": {"a": 1}}', 400, "prompt"),
        ('{"prompt": "a", "max_tokens": "many"}', 400, "max_tokens"),
        ('{"prompt": "a", "max_tokens": 1000}', 400, "at most 64 tokens"),
    ],
)
def test_what_it_cannot_do_it_says(client, body, status, said):
    response = client.post("/v1/completions", content=body)
    assert response.status_code == status
    assert said in response.json()["error"]["message"]


def test_other_methods_are_answered_as_json(client):
    response = client.get("/v1/completions")
    assert response.status_code == 405 and response.json()["error"]["message"]


class Slow:
    """A model that computes when it is told to."""

    def __init__(self):
        self.shape, self.cache = TINY, MODEL.cache
        self.go, self.asked = threading.Semaphore(0), threading.Semaphore(0)
        self.sizes = []

    def forward(self, batch):
        self.sizes.append(len(batch))
        self.asked.release()
        self.go.acquire()
        return MODEL.forward(batch)


def test_who_hangs_up_is_no_longer_computed():
    model = Slow()
    engine = Engine(model)
    with Server(engine) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        model.go.release()
        asked = {"prompt": "a", "max_tokens": 50, "stream": True}
        with client.stream("POST", "/v1/completions", json=asked) as response:
            pieces = response.iter_bytes()  # its end would hang up
            next(pieces)
            model.asked.acquire()
            model.asked.acquire()  # the second iteration waits
            (job,) = engine.decoding
        while not job.cancelled:
            threading.Event().wait(0.01)
        model.go.release()
        while engine.busy:
            threading.Event().wait(0.01)
    assert model.sizes == [1, 1]


def test_closing_ends_what_is_asked_and_gives_the_port_back():
    model = Slow()
    server = Server(Engine(model))
    found = []

    def ask(streamed):
        asked = {"prompt": "a", "max_tokens": 3, "stream": streamed}
        try:
            found.append(httpx.post(server.url + "/v1/completions", json=asked, trust_env=False))
        except httpx.HTTPError as error:
            found.append(error)

    threads = [threading.Thread(target=ask, args=(streamed,)) for streamed in (False, True)]
    for thread in threads:
        thread.start()
    model.asked.acquire()
    server.close()
    server.close()
    model.go.release(10)
    for thread in threads:
        thread.join()
    for answer in found:
        broken = isinstance(answer, httpx.HTTPError) or answer.status_code == 503
        assert broken or "[DONE]" not in answer.text
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", int(server.url.rpartition(":")[2])))


def test_an_engine_that_fails_says_so_instead_of_hanging(caplog):
    class Broken(Slow):
        def forward(self, batch):
            raise MemoryError("no room")

    with Server(Engine(Broken())) as server:
        asked = {"prompt": "a", "max_tokens": 3}
        for _ in range(2):
            answer = httpx.post(server.url + "/v1/completions", json=asked, trust_env=False)
            assert answer.status_code == 503


def test_it_can_be_started_from_a_shell(capsys):
    seen = []

    def wait():
        line = capsys.readouterr().out
        url = line.split()[3]
        seen.append(httpx.get(url + "/v1/models", trust_env=False).status_code)
        port = url.rpartition(":")[2]
        assert main(["--tiny", "--port", port]) == 1
        assert f"port {port} cannot be had" in capsys.readouterr().err
        raise KeyboardInterrupt

    assert main(["--tiny"], wait=wait) == 0
    assert seen == [200]


@pytest.mark.parametrize("module", ["tinyllm", "measure"])
def test_both_commands_explain_themselves(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"servemath_helpers.{module}", run_name="__main__", alter_sys=False)
    assert ended.value.code == 0 and f"-m servemath_helpers.{module}" in capsys.readouterr().out
