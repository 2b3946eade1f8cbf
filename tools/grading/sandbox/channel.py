"""Messages between the grader and a sandboxed process: a length followed by JSON."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable

LARGEST_MESSAGE = 256 << 20
ANOTHER_SERVER = b"s"  # asks the server for another one, with a socket; any other byte for a session
MOST_PARTS = 1_000_000

# called before each wait: returns the seconds until the next call, or raises to give up
Clock = Callable[[], "float | None"]


def forever() -> None:
    """Wait without a limit."""


def send(channel: socket.socket, message: dict, clock: Clock = forever) -> int:
    """Send a message; return its bytes. Raises OSError if nobody listens, ValueError if it is too long."""
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
    return len(data)


def receive(channel: socket.socket, clock: Clock = forever) -> dict:
    """Return a message; raise ``EOFError`` if the other side is gone, ``ValueError`` if it is not valid."""
    return receive_counted(channel, LARGEST_MESSAGE, clock)[0]


def receive_counted(channel: socket.socket, largest: int, clock: Clock = forever) -> tuple[dict, int]:
    """Return a message and its bytes; raise ``ValueError`` if it exceeds ``largest`` or is too complex."""
    (length,) = struct.unpack("!Q", _read(channel, 8, clock))
    if length > largest:
        raise ValueError(f"a message of {length >> 20} MB; at most {largest >> 20} MB are read")
    data = _read(channel, length, clock)
    return parse(data), length


def parse(data: bytes) -> dict:
    """Parse JSON of bounded size in memory, where each of its parts takes some 100 bytes."""
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > MOST_PARTS:
        raise ValueError(f"more than {MOST_PARTS:,} numbers, texts and lists")
    message = json.loads(data)
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
