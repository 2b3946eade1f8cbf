"""The next batch is made in a thread while the one before it is trained on. Lesson 09."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield ``items`` in their order, with the next one being made meanwhile in a thread of its own.

    An error in making an item is raised when its turn has come. Whoever stops early closes the thread.
    """
    # a thread has its own switch for numbers too small to be normal
    switch = dict(initializer=torch.set_flush_denormal, initargs=(True,))
    with ThreadPoolExecutor(1, "one-ahead", **switch) as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item
