"""Many visitors without browsers, in a process of their own: ``python -m tests.load.clients``.

The standard input has one line of JSON, the keywords of `Crowd`, and another when all may begin;
the standard output gets a line when all pages are open, and one with what was measured.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from .gestures import Pace
from .visitor import Visitor
from .wire import LostError

__all__ = ["Clients", "Crowd"]

_AT_ONCE = 2  # pages that are opened side by side


@dataclass(frozen=True)
class Crowd:
    """What a process of visitors is told.

    Parameters
    ----------
    port : int
        Where the server listens.
    scans : dict of str to float
        Names of the scans and their eV a channel; visitors take them in turn.
    clients, first : int
        How many visitors, and the number of the first one among all.
    seed : int
        Of what they do.
    pace : dict
        Fields of `Pace`.
    """

    port: int
    scans: dict[str, float]
    clients: int
    first: int
    seed: int
    pace: dict[str, float]


def _visitors(crowd: Crowd) -> list[Visitor]:
    scans = list(crowd.scans.items())
    chances = np.random.default_rng(crowd.seed).spawn(crowd.clients)
    return [
        Visitor(crowd.port, *scans[number % len(scans)], chance)
        for number, chance in enumerate(chances, crowd.first)
    ]


async def _open_all(visitors: list[Visitor]) -> list[float]:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def open_one(visitor: Visitor) -> float:
        async with turn:
            return await visitor.open()

    return list(await asyncio.gather(*map(open_one, visitors)))


async def _told() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _run() -> None:
    crowd = Crowd(**json.loads(await _told()))
    visitors = _visitors(crowd)
    _say({"opened_s": await _open_all(visitors)})
    pace = Pace(**crowd.pace)
    while told := await _told():
        for visitor in visitors:
            visitor.gestures.clear()
        begin = time.process_time()
        await asyncio.gather(*(v.explore(pace, float(told)) for v in visitors))
        _say(
            {
                "gestures": [asdict(g) | {"scan": v.scan} for v in visitors for g in v.gestures],
                "complaints": [each for v in visitors for each in v.complaints],
                "shown": [asdict(v.shown()) for v in visitors],
                "cpu_s": time.process_time() - begin,
            }
        )
    for visitor in visitors:
        await visitor.page.leave()


class Clients:
    """A process of visitors, from outside.

    Parameters
    ----------
    crowd : Crowd
        What it is told.
    """

    def __init__(self, crowd: Crowd) -> None:
        self._reader = ThreadPoolExecutor(1)
        self._answer: Future[str] | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.load.clients"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._tell(json.dumps(asdict(crowd)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes its pipes, too
            self._process.kill()
        self._reader.shutdown()

    def _tell(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._answer = self._reader.submit(self._process.stdout.readline)

    def begin(self, seconds: float) -> None:
        """Have all of them explore for a time."""
        self._tell(str(seconds))

    def answer(self, patience_s: float) -> dict[str, Any]:
        """Return what the process says next, within some time."""
        line = self._answer.result(patience_s)
        if not line:
            raise LostError("the visitors' process ended; its complaint is above")
        return json.loads(line)


if __name__ == "__main__":
    asyncio.run(_run())
