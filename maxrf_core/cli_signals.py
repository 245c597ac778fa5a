"""How a command ends politely: Ctrl-C, SIGTERM and SIGHUP become a request to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["on_signals", "stop_on_signals"]

# Signals that end a program politely; Windows has no SIGHUP.
_STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def on_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call a function on Ctrl-C, SIGTERM and SIGHUP instead of ending."""
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other is given signals
        before = {number: signal.getsignal(number) for number in _STOPPING}
    for number, found in before.items():
        if found is not signal.SIG_IGN:  # nohup, or a job in the shell's background
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once."""
    stop = threading.Event()

    def request(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    with on_signals(request):
        yield stop
