"""One request against servers that do what servers do."""

import asyncio
import json
import time

import pytest

from servemath_helpers.measure.endpoint import Endpoint, MeasureError

from .servers import DONE, GOOD, answer, error, event, server, stream

pytestmark = pytest.mark.timeout(60)

KEY = "sk-secret-0123"


def ask(url, **more):
    endpoint = Endpoint(url=url, model="m", **{"timeout_s": 20, **more})

    async def once():
        async with endpoint.client() as client:
            return await endpoint.ask(client, "to be", 4, time.monotonic)

    return asyncio.run(once())


#: name -> (what the server says, kind of the error, what the error says)
WRONG = {
    "wrong model": (error(404, "The model `m` does not exist."), "refused", "HTTP 404.*`m` does"),
    "wrong word": (error(400, "unknown field ignore_eos"), "refused", "HTTP 400.*ignore_eos"),
    "plain text": (answer(404, "nothing here", "text/plain"), "refused", "nothing here"),
    "FastAPI": (answer(422, '{"detail": [{"loc": ["x"]}]}'), "refused", '"detail": .*"loc"'),
    "no words": (answer(401, ""), "refused", "HTTP 401 from /v1/completions: nothing"),
    "moved": (answer(307, ""), "refused", "HTTP 307"),
    "too many": (error(429, "slow down"), "busy", "HTTP 429.*slow down"),
    "starting": (error(503, "loading"), "busy", "HTTP 503.*loading"),
    "failed": (answer(500, "x" * 100_000), "busy", "HTTP 500.*xxx…$"),
    "no stream": (answer(200, '{"choices": []}'), "not streamed", "application/json"),
    "no type": ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not streamed", "no type"),
    "breaks off": (stream(event(), event(), length=9999), "broken", "broke off after 2 pieces"),
    "stops": (stream(event(), event()), "broken", "broke off after 2 pieces"),
    "no answer": ("", "broken", "broke off after 0 pieces"),
    "empty": (stream(DONE), "broken", "not a single token"),
    "gives up": (
        stream(event(), 'data: {"error": {"message": "out of memory"}}\n\n'),
        "broken",
        "gave up: out of memory",
    ),
    "no JSON": (stream("data: <html>\n\n"), "broken", "no JSON: <html>"),
    "no object": (stream("data: [1]\n\n"), "broken", "no JSON"),
    "a long line": (stream("data: " + "x" * 2_000_000), "broken", "does not end"),
    "no HTTP": ("SSH-2.0-OpenSSH\r\n", "broken", "broke off"),
    "obeyed": (error(400, "\x1b[2J\r\nred\a"), "refused", "completions: \\[2J red$"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_is_one_line_of_a_kind(name):
    reply, kind, said = WRONG[name]
    with server(reply) as (url, _), pytest.raises(MeasureError, match=said) as caught:
        ask(url)
    assert caught.value.kind == kind
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("reply", ["", stream(event())], ids=["silent", "stuck"])
def test_a_server_that_holds_its_breath_is_left(reply):
    with server(reply, hold=True) as (url, _), pytest.raises(MeasureError) as caught:
        ask(url, timeout_s=2)
    assert caught.value.kind == "timeout" and "within 2 s" in str(caught.value)


def test_a_stream_that_drips_for_ever_is_left():
    """Each piece comes in time, the answer does not."""

    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(stream(event(), length=10**9).encode())
        try:
            while True:
                await asyncio.sleep(0.05)
                writer.write(b": still here\n")
                await writer.drain()
        except ConnectionError:
            writer.close()

    async def run():
        listening = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        endpoint = Endpoint(url=f"http://127.0.0.1:{port}", model="m", timeout_s=2)
        async with endpoint.client() as client:
            await endpoint.ask(client, "to be", 4, time.monotonic)

    with pytest.raises(MeasureError, match=r"within 2 s, \d pieces came"):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "said"),
    [("http://127.0.0.1:9", "cannot connect to"), ("http://a..b", "cannot connect to")],
)
def test_where_nobody_listens_it_says_so(url, said):
    with pytest.raises(MeasureError, match=said) as caught:
        ask(url)
    assert caught.value.kind == "connection"


def test_a_host_that_does_not_even_refuse_counts_as_no_connection(monkeypatch):
    import httpx

    class Nobody(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            raise httpx.ConnectTimeout("")

    client = httpx.AsyncClient(transport=Nobody())
    monkeypatch.setattr(Endpoint, "client", lambda self: client)
    with pytest.raises(MeasureError, match=r"no answer from http://10\.255\.255\.1") as caught:
        ask("http://10.255.255.1")
    assert caught.value.kind == "connection"


def usage(prompt, output):
    counted = {"prompt_tokens": prompt, "completion_tokens": output}
    return f"data: {json.dumps({'choices': [], 'usage': counted})}\n\n"


CHAT = [
    '{"choices": [{"delta": {"role": "assistant", "content": ""}}]}',
    '{"choices": [{"delta": {"reasoning_content": "hm"}}]}',
    '{"choices": [{"delta": {"content": "yes"}}]}',
    '{"choices": [{"delta": {}, "finish_reason": "stop"}]}',
    '{"choices": ["what"], "usage": {"prompt_tokens": "many"}}',
    '{"choices": 5}',
]

#: What comes -> pieces, prompt and output tokens.
RIGHT = {
    "plain": (GOOD, {}, (1, None, None)),
    "counted": (stream(event(), event(), usage(7, 5), DONE), {}, (2, 7, 5)),
    "an empty piece is one": (stream(event(""), event(), DONE), {}, (2, None, None)),
    "no [DONE]": (stream(event(), event(finish_reason="stop")), {}, (2, None, None)),
    "remarks, CRLF": (
        stream(": hello\r\n\r\nevent: x\r\n", event().replace("\n", "\r\n"), DONE),
        {},
        (1, None, None),
    ),
    "chat": (
        stream(*[f"data: {line}\n\n" for line in CHAT], DONE),
        {"chat": True},
        (2, None, None),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_pieces_and_counts_of_all_dialects(name):
    reply, more, expected = RIGHT[name]
    with server(reply) as (url, _):
        got = ask(url, **more)
    assert (len(got.token_s), got.prompt_tokens, got.output_tokens) == expected
    assert list(got.token_s) == sorted(got.token_s)


def test_an_answer_is_over_when_it_says_so_though_the_connection_is_not(monkeypatch):
    monkeypatch.setattr("servemath_helpers.measure.endpoint._GRACE_S", 0.1)
    with server(GOOD, hold=True) as (url, _):
        assert len(ask(url).token_s) == 1
    with server(stream(event(), DONE, event(), length=9999)) as (url, _):
        assert len(ask(url).token_s) == 1


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_what_is_sent(chat, suffix):
    with server(GOOD) as (url, asked):
        try:
            ask(url + suffix, chat=chat, key=KEY, ignore_eos=not chat)
        except MeasureError:
            assert chat  # that answer is none to a chat
    head, _, body = asked[0].partition("\r\n\r\n")
    assert head.split()[1] == "/v1/chat/completions" if chat else "/v1/completions"
    assert f"authorization: bearer {KEY}" in head.lower()
    sent = json.loads(body)
    assert sent["stream"] is True and sent["max_tokens"] == 4 and sent["model"] == "m"
    assert ("ignore_eos" in sent) is not chat
    assert sent["messages"][0]["content"] == "to be" if chat else sent["prompt"] == "to be"


def test_a_key_is_told_to_nobody():
    endpoint = Endpoint(url="http://127.0.0.1:9", model="m", key=KEY)
    assert KEY not in repr(endpoint)
    told = pytest.raises(MeasureError, match=r"Incorrect API key: \*\*\*$")
    with server(error(401, f"Incorrect API key: {KEY}")) as (url, _), told:
        ask(url, key=KEY)
    for bad in ("two words", "line\n", "quo'te", "back\\slash", "ключ", ""):
        with pytest.raises(ValueError, match="key must be printable ASCII") as caught:
            Endpoint(url="http://127.0.0.1:9", model="m", key=bad)
        assert not bad or bad not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8000", "must begin with http"),
        ("ftp://host", "must begin with http"),
        ("http://", "must begin with http"),
        ("http://host:port", "must begin with http"),
        ("http://host:0", "must begin with http"),
        (f"http://me:{KEY}@host", "no user name or password"),
    ],
)
def test_an_address_that_is_none_is_refused(url, said):
    with pytest.raises(ValueError, match=said) as caught:
        Endpoint(url=url, model="m")
    assert KEY not in str(caught.value)


def test_a_proxy_is_not_asked_for_this_computer(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with server(GOOD) as (url, _):
        assert ask(url).token_s
        assert ask(url.replace("127.0.0.1", "localhost")).token_s
    with pytest.raises(MeasureError) as caught:
        ask("http://example.invalid")
    assert caught.value.kind == "connection"  # the proxy's, which is none
