"""Compiled loops side by side: in a small pool that all callers share, or in one's own.

Loops made by `compiled` release the GIL, so plain threads run them at once. Numba's own
`prange` is left alone: its default threading layer aborts the process when two threads of
a server call it at the same time.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

__all__ = ["in_order", "in_parallel", "thread_count"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def thread_count() -> int:
    """Return how many cores this process may use: a batch system can give it fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _pool(process: int, helpers: int) -> ThreadPoolExecutor:  # noqa: ARG001 - only a key
    """Return the helpers of a process: a fork does not inherit its parent's threads."""
    return ThreadPoolExecutor(helpers, thread_name_prefix="in-parallel")


def in_parallel(
    function: Callable[[_Item], _Result], items: Sequence[_Item], *, threads: int | None = None
) -> list[_Result]:
    """Return the results of a function for some items, worked out on several threads.

    The caller works as well: it takes what no helper has begun, from the end. So nobody
    waits for a helper that is busy with somebody else's items, and a function may itself
    call `in_parallel`.

    Parameters
    ----------
    function : callable
        Gains from threads as far as it releases the GIL.
    items : sequence
        What to call it with, one at a time.
    threads : int, optional
        How many to work on, the caller's among them; by default one for each core.

    Returns
    -------
    results : list
        In the order of the items.

    Raises
    ------
    Exception
        Whatever the function raises, after the items already begun have ended.
    """
    threads = thread_count() if threads is None else threads
    if threads == 1 or len(items) < 2:
        return [function(item) for item in items]
    pool = _pool(os.getpid(), threads - 1)
    futures = [pool.submit(function, item) for item in items[1:]]
    try:
        results = [function(items[0])]
        last = []
        for future, item in zip(reversed(futures), reversed(items), strict=False):
            last.append(function(item) if future.cancel() else future.result())
    finally:
        wait([future for future in futures if not future.cancel()])
    return results + last[::-1]


def in_order(
    pool: ThreadPoolExecutor,
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    ahead: int,
) -> Iterator[_Result]:
    """Yield the results of a function in the order of its items, some computed ahead.

    Parameters
    ----------
    pool : ThreadPoolExecutor
        Where it is computed.
    function : callable
        Is given one item.
    items : iterable
        The items.
    ahead : int
        Results that may be ready before the first is taken: bounds what they hold.
    """
    waiting: deque[Future[_Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
