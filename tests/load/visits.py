"""Visits that come and go, and what each leaves behind."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np

from .figures import Growth, growth
from .gestures import Kind, Pace
from .serving import MaxrfServer
from .visitor import Visitor

__all__ = ["LIFETIME_MS", "Visits", "make_visits"]

LIFETIME_MS = 1000
"""How long a page's state outlives its connection here: 500 visits of 5 minutes take days."""

_WARM_UP = 0.2
"""Part of the visits that come before what is measured: caches fill meanwhile."""

_QUICK = Pace(events_per_second=20, gesture_s=0.25, pause_s=0)
_SETTLED_S = 30.0


@dataclass
class Visits:
    """What was seen after each visit.

    Parameters
    ----------
    opened_s : list of float
        How long each page took to open.
    memory_mb : list of float
        Of the server, when each had left.
    handles : list of int
        Open files and sockets likewise.
    settled_mb, left : float, int
        Memory, and sessions, when all had left and their time was over.
    complaints : list of str
        What went wrong.
    """

    opened_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    settled_mb: float = float("nan")
    left: int = 0
    complaints: list[str] = field(default_factory=list)

    def _grown(self, values: list[float] | list[int]) -> Growth:
        first = int(_WARM_UP * len(values))
        return growth(np.arange(first, len(values)), values[first:])

    @property
    def memory_growth(self) -> Growth:
        """MB a visit, once warm."""
        return self._grown(self.memory_mb)

    @property
    def handle_growth(self) -> Growth:
        """Open files and sockets a visit, once warm."""
        return self._grown(self.handles)

    def __str__(self) -> str:
        memory, handles = self.memory_growth, self.handle_growth
        first = int(_WARM_UP * len(self.memory_mb))
        middle, late = np.percentile(self.opened_s, [50, 95])
        return (
            f"{len(self.memory_mb)} visits: opened in {middle:.2f} s, 95% in {late:.2f} s; "
            f"after the first {first}, {memory.slope:+.3f} ± {memory.error:.3f} MB and "
            f"{handles.slope:+.4f} ± {handles.error:.4f} open files a visit; memory "
            f"{self.memory_mb[first]:.0f} MB then, {self.settled_mb:.0f} when all had left; "
            f"{self.left} sessions left"
        )


async def _visit(server: MaxrfServer, scan: str, ev: float, number: int, seen: Visits) -> None:
    """Open a page, drag once, leave."""
    visitor = Visitor(server.port, scan, ev, np.random.default_rng(number))
    try:
        seen.opened_s.append(await visitor.open())
        kind: Kind = "window" if number % 2 else "sigma"
        await visitor.drag(kind, _QUICK)
    finally:
        await visitor.page.leave()
        seen.complaints += visitor.complaints
    use = await asyncio.to_thread(server.use)
    seen.memory_mb.append(use.memory_mb)
    seen.handles.append(use.handles)


async def make_visits(
    server: MaxrfServer, scans: dict[str, float], count: int, *, at_once: int = 2
) -> Visits:
    """Have visitors come one after the other, and leave again.

    Parameters
    ----------
    server : MaxrfServer
        With a short lifetime of pages.
    scans : dict of str to float
        Names of the scans and their eV a channel, visited in turn.
    count : int
        How many visits.
    at_once : int
        How many are there side by side.
    """
    seen, before = Visits(), server.sessions()
    turn, names = asyncio.Semaphore(at_once), list(scans.items())

    async def visit(number: int) -> None:
        async with turn:
            await _visit(server, *names[number % len(names)], number, seen)

    await asyncio.gather(*map(visit, range(count)))
    deadline = time.monotonic() + _SETTLED_S
    while server.sessions() > before and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    seen.left = server.sessions() - before
    seen.settled_mb = server.use().memory_mb
    return seen
