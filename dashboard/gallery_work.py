"""Many results, computed in threads and shown one by one: the newest request wins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar

import panel as pn
from bokeh.document import Document
from bokeh.document.locking import without_document_lock

from .latest import shown_in

__all__ = ["Batch"]

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

_AT_ONCE = 2
"""Threads that a visitor's results are computed in: while one reads, the other multiplies."""


class Batch(Generic[Key, Result]):
    """Compute a result for each of some keys, and show each as soon as it is there.

    Parameters
    ----------
    compute : callable
        Returns the result of a key. On a server it runs in threads.
    show : callable
        Draws a key's result; runs with the document's lock.
    fail : callable
        Is given a key and the exception that `compute` raised for it; the others go on.

    Notes
    -----
    Outside a server session (a notebook, a script, a test) everything runs at once.
    """

    def __init__(
        self,
        compute: Callable[[Key], Result],
        show: Callable[[Key, Result], None],
        fail: Callable[[Key, Exception], None],
    ) -> None:
        self._compute, self._show, self._fail = compute, show, fail
        self._waiting: list[Key] = []
        self._request = object()
        self._workers = 0

    def request(self, keys: Sequence[Key]) -> None:
        """Ask for the results of some keys, in this order; what was asked before is dropped."""
        self._request, self._waiting = object(), list(keys)
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            while self._waiting:
                key = self._waiting.pop(0)
                self._finish(key, *self._attempt(key))
            return
        while self._workers < min(_AT_ONCE, len(self._waiting)):
            self._workers += 1
            document.add_next_tick_callback(self._work(document))

    def prefer(self, keys: Collection[Key]) -> None:
        """Let some of the keys that still wait come first."""
        self._waiting.sort(key=lambda key: key not in keys)

    def drop(self) -> None:
        """Show nothing more of what was asked for."""
        self._request, self._waiting = object(), []

    def _attempt(self, key: Key) -> tuple[Result | None, Exception | None]:
        try:
            return self._compute(key), None
        except Exception as error:  # noqa: BLE001 - handed to `fail`, which shows and logs it
            return None, error

    def _finish(self, key: Key, result: Result | None, error: Exception | None) -> None:
        if error is not None:
            self._fail(key, error)
        else:
            self._show(key, result)

    def _finish_newest(self, request: object, key: Key, outcome: tuple) -> None:
        if request is self._request:  # else it was overtaken
            self._finish(key, *outcome)

    def _work(self, document: Document) -> Callable[[], object]:
        @without_document_lock
        async def work() -> None:
            try:
                while self._waiting:
                    request, key = self._request, self._waiting.pop(0)
                    outcome = await asyncio.to_thread(self._attempt, key)
                    draw = partial(self._finish_newest, request, key, outcome)
                    if not await shown_in(document, draw):
                        return
            finally:
                self._workers -= 1

        return work
