"""Messages between processes that need not trust each other."""

import json
import socket
import struct
import time

import pytest

from autograder.grading.engine.channel import (
    Channel,
    ChannelClosed,
    ChannelGarbage,
    ChannelTimeout,
)

MESSAGE = {"text": "é"}
BODY = json.dumps(MESSAGE, separators=(",", ":")).encode()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours, len(BODY)), Channel(theirs, len(BODY))


def framed(body):
    return struct.pack("!Q", len(body)) + body


def test_messages_come_one_by_one_and_whole(pair):
    ours, theirs = pair
    ours.send(MESSAGE)
    ours.send({})
    over = time.monotonic() - 1  # what has arrived is not too late
    assert (theirs.receive(over), theirs.receive()) == (MESSAGE, {})
    for byte in framed(BODY):
        assert theirs.poll() is None
        ours.sock.sendall(bytes([byte]))
        theirs.fill()
    assert theirs.poll() == MESSAGE and theirs.poll() is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (BODY + b" ", "bytes"),
        (b"{", "not JSON"),
        (b"[]", "no object"),
        (b"\xff", "not JSON"),
    ],
)
def test_what_is_no_message_or_too_long_is_refused(pair, body, told):
    ours, theirs = pair
    ours.sock.sendall(framed(body))
    theirs.fill()
    with pytest.raises(ChannelGarbage, match=told):
        theirs.poll()


def test_who_is_gone_and_who_is_late_can_be_told_apart(pair):
    ours, theirs = pair
    soon = time.monotonic() + 0.05
    with pytest.raises(ChannelTimeout):
        theirs.receive(soon)
    assert soon <= time.monotonic()
    ours.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with pytest.raises(ChannelTimeout):
        ours.send({"much": "x" * 2**22}, time.monotonic() + 0.05)
    theirs.send({})  # is never read
    ours.close()
    for _ in ("a reset", "the end"):
        with pytest.raises(ChannelClosed):
            while True:
                theirs.fill()
    with pytest.raises(ChannelClosed):
        theirs.send(MESSAGE)
