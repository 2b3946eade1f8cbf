"""Prefetching: a thread makes the next batch while the current one trains. Lesson 09."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
_END = object()


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield ``items`` in order while a thread makes the next one.

    An error raised while making an item is raised when that item is due. To stop early, close the generator;
    this ends the thread.
    """
    # the setting to flush denormal numbers to zero is per thread
    switch = dict(initializer=torch.set_flush_denormal, initargs=(True,))
    with ThreadPoolExecutor(1, "one-ahead", **switch) as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item
