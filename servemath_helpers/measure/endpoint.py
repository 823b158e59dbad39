"""One request to a server that speaks as OpenAI does, with the time of each piece that comes.

What can go wrong is a `MeasureError` with a kind and one line of text. A key is sent to the
server and nowhere else: not into a message, a file or a representation.

An argument out of range raises `ValueError`, which names it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from servemath_helpers._validate import finite_positive

if TYPE_CHECKING:
    import httpx

__all__ = ["KINDS", "Endpoint", "Kind", "MeasureError", "Streamed"]

Kind = Literal["connection", "refused", "not streamed", "broken", "timeout", "busy"]

#: What can go wrong, and the exit code that says so.
KINDS: dict[Kind, int] = {
    "connection": 3,
    "refused": 4,
    "not streamed": 5,
    "broken": 6,
    "timeout": 7,
    "busy": 8,
}

#: Nothing that would be written in another way in a message, where it is looked for.
_KEY = re.compile(r"[!#-&(-\[\]-~]+")
_CONNECT_S = 10.0
#: For the end of the connection, after that of the answer.
_GRACE_S = 1.0
#: A server that means well sends less than this in a line, an answer, and an error.
_MOST_LINE, _MOST_ANSWER, _MOST_ERROR = 2**20, 2**26, 2**16
_MOST_TEXT = 200


class MeasureError(Exception):
    """What went wrong with a request, in one line."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Streamed:
    """An answer: when each of its pieces came, and how long the server says that it all is.

    `prompt_tokens` and `output_tokens` are None where the server does not say.
    """

    token_s: tuple[float, ...]
    prompt_tokens: int | None
    output_tokens: int | None


def _plain(text: str) -> str:
    """Return one line without what a terminal would obey."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MOST_TEXT else line[: _MOST_TEXT - 1] + "…"


def _on_this_computer(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server, and how to ask it.

    Parameters
    ----------
    url : str
        Its address, such as ``http://127.0.0.1:8000``, with or without ``/v1``.
    model : str
        Which model.
    chat : bool, optional
        Whether to ask ``/v1/chat/completions`` instead of ``/v1/completions``.
    timeout_s : float, optional
        How long an answer may take, above 0.
    ignore_eos : bool, optional
        Whether to ask for answers of full length; vLLM, SGLang and llama.cpp know the word,
        others may refuse it.
    key : str, optional
        Sent as a bearer token.

    Examples
    --------
    >>> Endpoint(url="http://127.0.0.1:8000/v1/", model="m", key="secret")
    Endpoint(url='http://127.0.0.1:8000', model='m', chat=False, timeout_s=300.0, ignore_eos=True)
    """

    url: str
    model: str
    chat: bool = False
    timeout_s: float = 300.0
    ignore_eos: bool = True
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.username is not None or parts.password is not None:
            raise ValueError("url must hold no user name or password; a key has its own place")
        try:
            known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number
            known = False
        if not known:
            raise ValueError(
                f"url must begin with http:// or https:// and a host, got {self.url!r}"
            )
        path = parts.path.rstrip("/").removesuffix("/v1")
        base = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        object.__setattr__(self, "url", base)
        finite_positive("timeout_s", self.timeout_s)
        if self.key is not None and not _KEY.fullmatch(self.key):
            raise ValueError("key must be printable ASCII without blanks and quotes")

    def client(self) -> httpx.AsyncClient:
        """Return a client for many requests at once; use it in ``async with``."""
        import httpx

        headers = {"Accept-Encoding": "identity"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(self.timeout_s, connect=min(_CONNECT_S, self.timeout_s)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            # A proxy must not be asked for what stands on this computer.
            trust_env=not _on_this_computer(urlsplit(self.url).hostname or ""),
        )

    def body(self, prompt: str, output_tokens: int) -> dict[str, Any]:
        """Return what is sent."""
        asked: dict[str, Any] = {
            "model": self.model,
            "max_tokens": output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.ignore_eos:
            asked["ignore_eos"] = True
        if self.chat:
            return {**asked, "messages": [{"role": "user", "content": prompt}]}
        return {**asked, "prompt": prompt}

    async def ask(
        self,
        client: httpx.AsyncClient,
        prompt: str,
        output_tokens: int,
        now: Callable[[], float],
    ) -> Streamed:
        """Ask once, and return when what came; MeasureError if not all of it did."""
        import httpx

        path = "/v1/chat/completions" if self.chat else "/v1/completions"
        reader = _Reader(self._safe, now, chat=self.chat)
        try:
            async with (
                asyncio.timeout(self.timeout_s) as limit,
                client.stream(
                    "POST", self.url + path, json=self.body(prompt, output_tokens)
                ) as response,
            ):
                await self._expect_stream(response)
                async for part in response.aiter_bytes():
                    reader.feed(part)
                    if reader.done:
                        # Read on to the end: only then can the connection be used again.
                        limit.reschedule(asyncio.get_running_loop().time() + _GRACE_S)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            if not reader.done:
                raise self._meaning(error, len(reader.pieces)) from None
        return reader.answer()

    def _meaning(self, error: Exception, pieces: int) -> MeasureError:
        import httpx

        if isinstance(error, httpx.ConnectTimeout):
            return MeasureError("connection", f"no answer from {self.url}")
        said = self._safe(str(error)) or type(error).__name__
        if isinstance(error, (httpx.ConnectError, httpx.InvalidURL)):
            return MeasureError("connection", f"cannot connect to {self.url}: {said}")
        if isinstance(error, httpx.HTTPError) and not isinstance(error, httpx.TimeoutException):
            text = f"the connection broke off after {pieces} pieces: {said}"
            return MeasureError("broken", text)
        text = f"no whole answer within {self.timeout_s:g} s, {pieces} pieces came"
        return MeasureError("timeout", text)

    def _safe(self, text: str) -> str:
        """Return what another program said in one line, without the key."""
        return _plain(text.replace(self.key, "***") if self.key else text)

    async def _expect_stream(self, response: httpx.Response) -> None:
        """Raise what a status or a type of content means."""
        status = response.status_code
        if status != 200:
            said = self._safe(await _beginning(response))
            kind: Kind = "busy" if status == 429 or status >= 500 else "refused"
            raise MeasureError(kind, f"HTTP {status} from {response.request.url.path}: {said}")
        content = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if content != "text/event-stream":
            what = self._safe(content) or "no type"
            text = f"the server does not stream: it answered with {what}"
            raise MeasureError("not streamed", text)


class _Reader:
    """Reads events as they come, until the stream says that it is over."""

    def __init__(self, safe: Callable[[str], str], now: Callable[[], float], *, chat: bool) -> None:
        self._safe, self._now, self._chat = safe, now, chat
        self._rest, self._size = b"", 0
        self._prompt_tokens: int | None = None
        self._output_tokens: int | None = None
        self._last = False  # whether an event said that it is the last
        self.pieces: list[float] = []
        self.done = False

    def feed(self, part: bytes) -> None:
        """Take what came."""
        came = self._now()
        self._size += len(part)
        *lines, self._rest = (self._rest + part).split(b"\n")
        if len(self._rest) > _MOST_LINE or self._size > _MOST_ANSWER:
            raise MeasureError("broken", "the stream does not end: it is larger than any answer")
        for line in lines:
            name, _, value = line.rstrip(b"\r").partition(b":")
            if name == b"data" and not self.done:
                self._take(value.decode(errors="replace").strip(), came)

    def _take(self, data: str, came: float) -> None:
        if data == "[DONE]":
            self.done = True
            return
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise MeasureError("broken", f"the stream holds what is no JSON: {self._safe(data)}")
        if event.get("error"):
            raise MeasureError("broken", f"the server gave up: {self._safe(_reason(event))}")
        if isinstance(usage := event.get("usage"), dict):
            self._prompt_tokens = _count(usage.get("prompt_tokens"))
            self._output_tokens = _count(usage.get("completion_tokens"))
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            text, last = _choice(choice)
            self._last = self._last or last
            # The last event of some servers says only that it is the last.
            if text or (text is not None and not last and not self._chat):
                self.pieces.append(came)

    def answer(self) -> Streamed:
        """Return the answer, if all of it came."""
        if not self.done and not self._last:
            raise MeasureError("broken", f"the stream broke off after {len(self.pieces)} pieces")
        if not self.pieces:
            raise MeasureError("broken", "the stream was empty: not a single token came")
        return Streamed(tuple(self.pieces), self._prompt_tokens, self._output_tokens)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _choice(choice: Any) -> tuple[str | None, bool]:
    """Return the text of a choice, None if it has none, and whether it is the last."""
    if not isinstance(choice, dict):
        return None, False
    text = choice.get("text")
    if isinstance(delta := choice.get("delta"), dict):
        text = delta.get("content") or delta.get("reasoning_content")
    return text if isinstance(text, str) else None, bool(choice.get("finish_reason"))


def _reason(answer: Any) -> str:
    """Return the message of an error as OpenAI words it, or whatever there is."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else json.dumps(error)


async def _beginning(response: httpx.Response) -> str:
    """Return what an error says, as far as it is not endless."""
    body = b""
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _MOST_ERROR:
            break
    text = body[:_MOST_ERROR].decode(errors="replace")
    try:
        return _reason(json.loads(text))
    except (ValueError, RecursionError):
        return text or "nothing"
