"""Answer gestures that come faster than they can be drawn: the newest one wins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

import panel as pn
from bokeh.document import Document
from bokeh.document.locking import without_document_lock

from .tuning import LIVE_DEBOUNCE_MS

__all__ = ["Latest", "Paced", "Settled", "shown_in"]

Result = TypeVar("Result")

_CLOSED_S = 1.0
"""How often is looked whether a page was closed meanwhile."""

_LONGEST_WAIT_MS = 250
"""How long `Paced` waits at most."""


async def shown_in(document: Document, draw: Callable[[], None]) -> bool:
    """Draw with a document's lock; return whether somebody still looks at it."""
    shown = asyncio.Event()

    def show() -> None:
        try:
            draw()
        finally:
            shown.set()

    if document.session_context is not None:
        document.add_next_tick_callback(show)
    while not shown.is_set():
        if document.session_context is None:
            return False  # the page was closed, and what it had in mind with it
        with suppress(TimeoutError):
            await asyncio.wait_for(shown.wait(), _CLOSED_S)
    return True


class Latest(Generic[Result]):
    """Compute and show for the newest request; drop the ones it overtook.

    Parameters
    ----------
    compute : callable
        Computes from the state as it is then. On a server it runs in a thread, so that
        nobody else's page waits for it.
    show : callable
        Draws the result; runs with the document's lock.
    fail : callable
        Is given the exception when `compute` raises.
    ready : callable, optional
        Returns what is awaited before a result is drawn: that the browser has drawn the last
        one. Else a slow line or a slow browser would pile them up.

    Notes
    -----
    Outside a server session (a notebook, a script, a test) everything runs at once.
    """

    def __init__(
        self,
        compute: Callable[[], Result],
        show: Callable[[Result], None],
        fail: Callable[[Exception], None],
        *,
        ready: Callable[[Document], Awaitable[None]] | None = None,
    ) -> None:
        self._compute, self._show, self._fail, self._ready = compute, show, fail, ready
        self._wanted = False
        self._running = False

    def request(self) -> None:
        """Ask for the result of the present state."""
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self._finish(*self._attempt())
            return
        self._wanted = True
        if not self._running:
            self._running = True
            document.add_timeout_callback(self._loop(document), LIVE_DEBOUNCE_MS)

    def _attempt(self) -> tuple[Result | None, Exception | None]:
        try:
            return self._compute(), None
        except Exception as error:  # noqa: BLE001 - handed to `fail`, which shows and logs it
            return None, error

    def _finish(self, result: Result | None, error: Exception | None) -> None:
        if error is not None:
            self._fail(error)
        else:
            self._show(result)

    def _loop(self, document: Document) -> Callable[[], object]:
        @without_document_lock
        async def run() -> None:
            try:
                while self._wanted:
                    self._wanted = False
                    outcome = await asyncio.to_thread(self._attempt)
                    if self._ready is not None:
                        await self._ready(document)
                    if not await shown_in(document, partial(self._finish, *outcome)):
                        return
            finally:
                self._running = False

        return run


class Settled:
    """Act when requests have ceased for a moment.

    Parameters
    ----------
    act : callable
        What to do; runs with the document's lock.
    milliseconds : int
        How long no request must have come.

    Notes
    -----
    Outside a server session (a notebook, a script, a test) it acts at once.
    """

    def __init__(self, act: Callable[[], None], milliseconds: int) -> None:
        self._act, self._milliseconds = act, milliseconds
        self._timer: object | None = None

    def request(self) -> None:
        """Act later, and not before."""
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self._act()
            return
        if self._timer is not None:
            document.remove_timeout_callback(self._timer)
        self._timer = document.add_timeout_callback(self._run, self._milliseconds)

    def _run(self) -> None:
        self._timer = None
        self._act()


class Paced:
    """Act once for requests that come together; the busier the server, the more of them.

    It acts when what is being handled is done. If that took a while, others waited for the
    server, too, and the next requests are collected for twice as long: else each visitor's
    queue of gestures would grow until they rest.

    Parameters
    ----------
    act : callable
        What to do; runs with the document's lock.

    Notes
    -----
    Outside a server session (a notebook, a script, a test) it acts at once.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._wanted = False
        self._wait_ms = 0

    def request(self) -> None:
        """Act soon, unless it is going to already."""
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self._act()
            return
        if self._wanted:
            return
        self._wanted = True
        due = time.perf_counter() + self._wait_ms / 1000

        def run() -> None:
            late_ms = 1000 * (time.perf_counter() - due)
            self._wait_ms = min(round(2 * late_ms), _LONGEST_WAIT_MS)
            self._wanted = False
            self._act()

        document.add_timeout_callback(run, self._wait_ms)
