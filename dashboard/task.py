"""Long work beside the event loop: one at a time of its kind, with progress and a cancel."""

from __future__ import annotations

import logging
import threading
from typing import Literal

from maxrf_core.progress import Progress

from .faults import reported

__all__ = ["Task", "TaskStatus"]

TaskStatus = Literal["waiting", "running", "done", "failed", "cancelled"]

_LOOK_S = 0.1

logger = logging.getLogger(__name__)


class Task:
    """Work in a thread of its own, begun when it is made.

    Parameters
    ----------
    turn : semaphore
        Held while it works; others of its kind wait.

    Attributes
    ----------
    status : {"waiting", "running", "done", "failed", "cancelled"}
    progress : Progress or None
        How far it is.
    message : str
        A sentence for people, if it failed.
    """

    def __init__(self, turn: threading.Semaphore) -> None:
        self._turn = turn
        self._cancelled = threading.Event()
        self.status: TaskStatus = "waiting"
        self.progress: Progress | None = None
        self.message = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether it ended, one way or another."""
        return self.status in ("done", "failed", "cancelled")

    def cancel(self) -> None:
        """Stop it; nothing of it stays."""
        self._cancelled.set()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is over."""
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._turn.acquire(timeout=_LOOK_S):
            if self._cancelled.is_set():
                self.status = "cancelled"
                return
        try:
            if self._cancelled.is_set():
                self.status = "cancelled"
                return
            self.status = "running"
            self.status = self._work()
        except Exception as error:  # noqa: BLE001 - logged and told
            self.message = reported(logger, f"{type(self).__name__} ended unexpectedly", error)
            self.status = "failed"
        finally:
            self._turn.release()

    def _work(self) -> TaskStatus:
        """Do it; return how it ended."""
        raise NotImplementedError
