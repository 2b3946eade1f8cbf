"""Messages between the grader and a sandboxed process: a length, then JSON."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable

LARGEST_MESSAGE = 256 << 20

# called before each wait: returns the seconds after which to ask again, or raises to give up
Clock = Callable[[], "float | None"]


def forever() -> None:
    """Wait without a limit."""


def send(channel: socket.socket, message: dict, clock: Clock = forever) -> None:
    """Raises OSError where nobody listens, ValueError for what is too long."""
    data = json.dumps(message).encode()
    if len(data) > LARGEST_MESSAGE:
        raise ValueError(f"{len(data) >> 20} MB; at most {LARGEST_MESSAGE >> 20} MB can be sent")
    rest = memoryview(struct.pack("!Q", len(data)) + data)
    before = channel.gettimeout()
    try:
        while rest:
            channel.settimeout(clock())
            try:
                rest = rest[channel.send(rest) :]
            except TimeoutError:
                continue
    finally:
        channel.settimeout(before)


def receive(channel: socket.socket, clock: Clock = forever) -> dict:
    """Raises EOFError where the other side is gone, or ValueError for what is no message."""
    (length,) = struct.unpack("!Q", _read(channel, 8, clock))
    if length > LARGEST_MESSAGE:
        raise ValueError("a message too long")
    message = json.loads(_read(channel, length, clock))
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message


def _read(channel: socket.socket, length: int, clock: Clock) -> bytes:
    data = bytearray()
    while len(data) < length:
        channel.settimeout(clock())
        try:
            piece = channel.recv(min(length - len(data), 1 << 20))
        except TimeoutError:
            continue
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
