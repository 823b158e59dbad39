"""Little servers that answer wrongly, each in its own way."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager


def event(text="w ", **more):
    choice = {"text": text, "finish_reason": None, **more}
    return f"data: {json.dumps({'choices': [choice]})}\n\n"


def stream(*parts, length=None):
    """Return a response of events; with a length that is too large it breaks off."""
    body = "".join(parts)
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    head += "Connection: close\r\n" if length is None else f"Content-Length: {length}\r\n"
    return head + "\r\n" + body


def answer(status, body, kind="application/json"):
    return (
        f"HTTP/1.1 {status} Reason\r\nContent-Type: {kind}\r\nConnection: close\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
    )


def error(status, message):
    return answer(status, json.dumps({"error": {"message": message}}))


DONE = "data: [DONE]\n\n"
GOOD = stream(event(), event("", finish_reason="length"), DONE)


@contextmanager
def server(*replies, hold=False):
    """Yield the address of a server that gives these replies in turn, the last one for good.

    A reply is text, or a function from the request's text to it. With `hold` it keeps the
    connection open and says no more.
    """
    ready, asked = threading.Event(), []
    loop, stop, url = asyncio.new_event_loop(), asyncio.Event(), []

    async def handle(reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = int(head.lower().partition("content-length:")[2].split()[0])
            asked.append(head + (await reader.readexactly(size)).decode())
            reply = replies[min(len(asked), len(replies)) - 1]
            text = reply(asked[-1]) if callable(reply) else reply
            writer.write(text if isinstance(text, bytes) else text.encode())
            await writer.drain()
            if hold:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def run():
        listening = await asyncio.start_server(handle, "127.0.0.1", 0)
        url.append(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        ready.set()
        await stop.wait()
        listening.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield url[0], asked
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
