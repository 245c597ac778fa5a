"""Answer gestures that come faster than they can be drawn: the newest one wins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic, TypeVar

import panel as pn
from bokeh.document import Document
from bokeh.document.locking import without_document_lock

from .tuning import LIVE_DEBOUNCE_MS

__all__ = ["Latest"]

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


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

    Notes
    -----
    Outside a server session (a notebook, a script, a test) everything runs at once.
    """

    def __init__(
        self,
        compute: Callable[[], Result],
        show: Callable[[Result], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._compute, self._show, self._fail = compute, show, fail
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
            while self._wanted:
                self._wanted = False
                outcome = await asyncio.to_thread(self._attempt)
                if document.session_context is None:
                    return  # the page was closed meanwhile
                shown = asyncio.Event()

                def show(outcome: tuple = outcome, shown: asyncio.Event = shown) -> None:
                    try:
                        self._finish(*outcome)
                    finally:
                        shown.set()

                document.add_next_tick_callback(show)
                await shown.wait()
            self._running = False

        return run
