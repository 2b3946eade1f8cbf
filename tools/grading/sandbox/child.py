"""The locked-in child: executes cells and calls functions, one message at a time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys

from .channel import receive, send
from .values import decode, encode


def answer(channel: socket.socket) -> None:
    """Serve one session until the caller hangs up."""
    import types

    import asrlib.teaching.check

    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    # the checkers are not here; a student's own cell that calls one is executed all the same
    asrlib.teaching.check.check = _check_elsewhere
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    names = module.__dict__
    names.update(get_ipython=lambda: _Magics(), display=lambda *things, **_: print(*things))
    served = _Served(names)
    while True:
        try:
            message = receive(channel)
        except (EOFError, OSError, ValueError):
            return
        try:
            reply = served.one(message)
        except BaseException as error:
            reply = _describe(error)
        try:
            send(channel, reply)
        except (ValueError, MemoryError, RecursionError) as error:
            send(channel, _describe(error))


class _Served:
    """What a session knows: its names, the functions asked for, and the call in progress."""

    def __init__(self, names: dict):
        from asrlib.teaching.check import conditions

        self.conditions = conditions
        self.names, self.handles = names, []
        self.given: tuple[list, dict] = [], {}
        self.before = ""
        self.result = None

    def one(self, message: dict) -> dict:
        """The reply to a message."""
        return getattr(self, f"_{message['op']}")(message)

    def _get(self, message: dict) -> dict:
        if message["name"] not in self.names:
            return {"handle": None}
        self.handles.append(self.names[message["name"]])
        return {"handle": len(self.handles) - 1}

    def _run(self, message: dict) -> dict:
        printed = _Capped()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            _execute(message["source"], f"<{message['label']}>", self.names)
        return {"printed": printed.getvalue()}

    def _arguments(self, message: dict) -> dict:
        try:
            self.given = decode(message["args"]), decode(message["kwargs"])
            self.before = _written(self.given)
        except Exception as error:  # nothing of the student's has been called yet
            return {"fault": f"arguments cannot be decoded: {type(error).__name__}: {error}"}
        return {}

    def _call(self, message: dict) -> dict:
        import torch

        function = self.handles[message["handle"]]
        if not callable(function):
            raise TypeError(f"it is not a function but a {type(function).__name__}")
        args, kwargs = self.given
        with contextlib.redirect_stdout(_Capped()), contextlib.redirect_stderr(_Capped()):
            with torch.enable_grad() if message["autograd"] else self.conditions.no_autograd():
                if message["count"]:
                    self.result, work = self.conditions.count_work(function, args, kwargs)
                    return {"work": [work.lines, work.operations, work.elements]}
                self.result = function(*args, **kwargs)
        return {}

    def _value(self, message: dict) -> dict:
        result, self.result = self.result, None
        value = encode(result)
        if _written(self.given) != self.before:
            raise ValueError("the function writes into what it was given; work on a copy (clone) there")
        return {"value": value}


def _check_elsewhere(name: str, *_, **__) -> None:
    print(f"{name}: checked when it is graded.")


def _written(arguments: tuple) -> str:
    """As text, where NaN equals NaN; a set's order is this process's own, so only it can compare."""
    return json.dumps(encode(list(arguments)))


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
