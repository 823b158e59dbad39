"""The engine behind an endpoint as OpenAI describes it: ``/v1/completions``, streamed.

The engine computes in a thread of its own, one iteration after the other; the event loop of
the server hands out what came of each. A word of a prompt is a token, and ``w17`` is token 17.

>>> from servemath_helpers.tinyllm.transformer import TINY, Transformer
>>> with Server(Engine(Transformer(TINY))) as server:
...     server.url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

import asyncio
import atexit
import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import Any

import tornado.httpserver
import tornado.iostream
import tornado.netutil
import tornado.web

from servemath_helpers.tinyllm.engine import Engine, Job
from servemath_helpers.tinyllm.transformer import tokens_of, word_of

__all__ = ["MODEL_NAME", "Server"]

MODEL_NAME = "tinyllm"
_CLOSING = "the server is closing"
_LOOPBACK = "127.0.0.1"


class _Refused(Exception):
    """A request that is answered with a status and a reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Worker:
    """Runs the engine for as long as anybody waits, and tells each request of its tokens."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._news: dict[Job, asyncio.Queue[int | None]] = {}
        self._wanted = asyncio.Event()
        self._closed = False

    def submit(self, prompt: list[int], max_tokens: int) -> tuple[Job, asyncio.Queue[int | None]]:
        """Return a job, and where its tokens come; None there means that no more will."""
        if self._closed:
            raise _Refused(503, _CLOSING)
        job = self.engine.submit(prompt, max_tokens)
        self._news[job] = asyncio.Queue()
        self._wanted.set()
        return job, self._news[job]

    def leave(self, job: Job) -> None:
        """Forget a job, done or not."""
        self.engine.cancel(job)
        if job in self._news:
            self._news.pop(job).put_nowait(None)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, thread_name_prefix="tinyllm-engine")
        try:
            while True:
                if not self.engine.busy:
                    self._wanted.clear()
                    await self._wanted.wait()
                for job in await loop.run_in_executor(thread, self.engine.step):
                    if job in self._news:
                        self._news[job].put_nowait(job.tokens[-1])
        finally:
            self._closed = True
            for job in list(self._news):
                self.leave(job)
            thread.shutdown(wait=False)


class _Handler(tornado.web.RequestHandler):
    """What all addresses share: JSON in, JSON out, errors as OpenAI words them."""

    worker: _Worker

    def initialize(self, worker: _Worker) -> None:
        self.worker = worker

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        reason = str(error) if isinstance(error, _Refused) else self._reason
        if isinstance(error, _Refused):
            self.set_status(error.status)
        self.finish({"error": {"message": reason, "type": "invalid_request_error"}})

    def log_exception(self, *what: Any) -> None:
        if not isinstance(what[1], _Refused):
            super().log_exception(*what)


class _Models(_Handler):
    def get(self) -> None:
        self.finish({"object": "list", "data": [{"id": MODEL_NAME, "object": "model"}]})


class _Completions(_Handler):
    job: Job

    async def post(self) -> None:
        asked = self._asked()
        shape = self.worker.engine.model.shape
        prompt = asked.get("prompt", "")
        ids = tokens_of(prompt, shape.vocabulary) if isinstance(prompt, str) else prompt
        try:
            self.job, news = self.worker.submit(ids, asked.get("max_tokens", 16))
        except ValueError as error:
            raise _Refused(400, str(error)) from None
        try:
            with suppress(tornado.iostream.StreamClosedError):  # nobody listens any more
                await self._answer(self.job, news, asked)
        finally:
            self.worker.leave(self.job)

    async def _answer(
        self, job: Job, news: asyncio.Queue[int | None], asked: dict[str, Any]
    ) -> None:
        streamed = asked.get("stream", False) is True
        base = {"id": f"cmpl-{next(_NUMBERS)}", "object": "text_completion", "model": MODEL_NAME}
        words = []
        if streamed:
            self.set_header("Content-Type", "text/event-stream")
        for number in range(1, job.max_tokens + 1):
            token = await news.get()
            if token is None:
                raise _Refused(503, _CLOSING)
            words.append(word_of(token))
            if streamed:
                last = "length" if number == job.max_tokens else None
                await self._event({**base, "choices": [_choice(words[-1], last)]})
        usage = {
            "prompt_tokens": len(job.prompt),
            "completion_tokens": job.max_tokens,
            "total_tokens": job.room,
        }
        if not streamed:
            self.finish({**base, "choices": [_choice("".join(words), "length")], "usage": usage})
            return
        options = asked.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage") is True:
            await self._event({**base, "choices": [], "usage": usage})
        self.write("data: [DONE]\n\n")
        await self.finish()

    def _asked(self) -> dict[str, Any]:
        """Return what was asked, if it is for this model and can be done."""
        try:
            asked = json.loads(self.request.body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            raise _Refused(400, "the body must be a JSON object")
        if asked.get("model", MODEL_NAME) != MODEL_NAME:
            raise _Refused(404, f"the model {asked['model']!r} does not exist; {MODEL_NAME!r} does")
        return asked

    async def _event(self, what: dict[str, Any]) -> None:
        self.write(f"data: {json.dumps(what)}\n\n")
        await self.flush()

    def on_connection_close(self) -> None:
        self.worker.leave(self.job)


_NUMBERS = count(1)


def _choice(text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": finish_reason, "logprobs": None}


class Server:
    """An engine behind a port of this computer that no other computer reaches.

    Parameters
    ----------
    engine : Engine
        What answers, on its wall clock.
    port : int, optional
        0 for any that is free.

    Raises
    ------
    OSError
        If the port cannot be had.
    """

    def __init__(self, engine: Engine, port: int = 0) -> None:
        self.engine = engine
        sockets = tornado.netutil.bind_sockets(port, _LOOPBACK)
        self.url = f"http://{_LOOPBACK}:{sockets[0].getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete,
            args=(self._serve(sockets, started),),
            name="tinyllm-server",
            daemon=True,
        )
        self._thread.start()
        started.result()
        atexit.register(self.close)

    async def _serve(self, sockets: list[Any], started: Future[None]) -> None:
        worker = _Worker(self.engine)
        given = {"worker": worker}
        server = tornado.httpserver.HTTPServer(
            tornado.web.Application(
                [(r"/v1/completions", _Completions, given), (r"/v1/models", _Models, given)],
                log_function=lambda handler: None,
            )
        )
        server.add_sockets(sockets)
        running = asyncio.ensure_future(worker.run())
        started.set_result(None)
        await self._stop.wait()
        running.cancel()
        server.stop()
        await server.close_all_connections()

    def close(self) -> None:
        """Stop answering and give the port back; closing twice does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop.close()
        atexit.unregister(self.close)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
