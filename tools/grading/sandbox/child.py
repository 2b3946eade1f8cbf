"""The locked-in child: executes cells and calls functions, one message at a time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
import time

from .channel import receive, send
from .values import decode, encode

CLOCK = time.thread_time


def answer(channel: socket.socket) -> None:
    """Serve one session until the caller hangs up."""
    import types

    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    names, handles = module.__dict__, []
    names.update(get_ipython=lambda: _Magics(), display=lambda *things, **_: print(*things))
    while True:
        try:
            message = receive(channel)
        except (EOFError, OSError, ValueError):
            return
        try:
            reply = _serve_one(message, names, handles)
        except BaseException as error:
            reply = _describe(error)
        try:
            send(channel, reply)
        except (ValueError, MemoryError, RecursionError) as error:
            send(channel, _describe(error))


def _serve_one(message: dict, names: dict, handles: list) -> dict:
    if message["op"] == "get":
        if message["name"] not in names:
            return {"handle": None}
        handles.append(names[message["name"]])
        return {"handle": len(handles) - 1}
    printed = _Capped()
    if message["op"] == "run":
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            _execute(message["source"], f"<{message['label']}>", names)
        return {"printed": printed.getvalue()}
    try:
        args, kwargs = decode(message["args"]), decode(message["kwargs"])
        before = _written([args, kwargs])
    except Exception as error:  # nothing of the student's has been called yet
        return {"fault": f"arguments cannot be decoded: {type(error).__name__}: {error}"}
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        return _call(handles[message["handle"]], args, kwargs, before)


def _call(function, args: list, kwargs: dict, before: str) -> dict:
    if not callable(function):
        raise TypeError(f"it is not a function but a {type(function).__name__}")
    started = CLOCK()
    result = function(*args, **kwargs)
    seconds = CLOCK() - started
    value = encode(result)
    if _written([args, kwargs]) != before:
        raise ValueError("the function writes into what it was given; work on a copy (clone) there")
    return {"value": value, "seconds": seconds}


def _written(arguments: list) -> str:
    """As text, where NaN equals NaN; a set's order is this process's own, so only it can compare."""
    return json.dumps(encode(arguments))


def _execute(source: str, filename: str, names: dict) -> None:
    import linecache

    from IPython.core.inputtransformer2 import TransformerManager

    source = TransformerManager().transform_cell(source)
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    exec(compile(source, filename, "exec"), names)


def _describe(error: BaseException) -> dict:
    from asrlib.teaching.check import describe_error

    if isinstance(error, SystemExit):
        return {"error": "SystemExit: it calls exit(), which ends the notebook"}
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return {"error": f"{type(error).__name__}: it asks for more memory than there is"}
    unfinished = isinstance(error, NotImplementedError)
    return {"error": describe_error(error, beside=__file__), "unfinished": unfinished}


class _Capped(io.StringIO):
    """Keeps the first 5,000 characters."""

    def write(self, text: str) -> int:
        return super().write(text[: max(0, 5000 - self.tell())]) and len(text)


class _Magics:
    """Stands in for IPython: magics and shell commands do nothing."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: None
