"""Messages between the grader and a sandboxed process: a length, then JSON."""

from __future__ import annotations

import json
import socket
import struct
import time

LARGEST_MESSAGE = 256 << 20


def send(channel: socket.socket, message: dict) -> None:
    data = json.dumps(message).encode()
    before = channel.gettimeout()
    channel.settimeout(30)
    try:
        channel.sendall(struct.pack("!Q", len(data)) + data)
    finally:
        # the server then waits for the next session, and that may take as long as a notebook does
        channel.settimeout(before)


def receive(channel: socket.socket, deadline: float) -> dict:
    """Raises TimeoutError, EOFError, or ValueError for what is no message."""
    (length,) = struct.unpack("!Q", _read(channel, 8, deadline))
    if length > LARGEST_MESSAGE:
        raise ValueError("a message too long")
    message = json.loads(_read(channel, length, deadline))
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message


def _read(channel: socket.socket, length: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < length:
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        channel.settimeout(left)
        piece = channel.recv(min(length - len(data), 1 << 20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
