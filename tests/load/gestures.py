"""What visitors do, how fast, and when what they did was answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

__all__ = ["Gesture", "Kind", "Pace", "line_width_of", "path", "window_of"]

Kind = Literal["window", "sigma"]

_TOLERANCE: dict[Kind, float] = {"window": 0.0011, "sigma": 0.51}
"""By how much what a title says may differ: it has eV, and thousandths of a keV."""

_STEPS: dict[Kind, float] = {"window": 0.02, "sigma": 0.2}  # keV; channels


@dataclass(frozen=True)
class Pace:
    """How fast somebody drags.

    Parameters
    ----------
    events_per_second : float
        While the hand moves.
    gesture_s, pause_s : float
        How long it moves, and how long it rests on average; from half of that to half as much
        again, so that visitors do not keep step.
    """

    events_per_second: float = 20.0
    gesture_s: float = 1.5
    pause_s: float = 8.0

    @property
    def events(self) -> int:
        """Events of a gesture."""
        return max(2, round(self.events_per_second * self.gesture_s))

    def rest(self, chance: np.random.Generator) -> float:
        """Return a pause in seconds."""
        return self.pause_s * chance.uniform(0.5, 1.5)


@dataclass
class Gesture:
    """A drag and its answers.

    Parameters
    ----------
    kind : {"window", "sigma"}
        What was dragged.
    sent : list of list of float
        Time in seconds of each event, and what it asked for: the ends of the window in keV, or
        the smoothing in eV.
    answers : list of list of float
        Time of each answer, and what it says it shows.
    local : list of float
        Times at which the browser had drawn the smoothed line itself.
    """

    kind: Kind
    sent: list[list[float]] = field(default_factory=list)
    answers: list[list[float]] = field(default_factory=list)
    local: list[float] = field(default_factory=list)

    @property
    def is_answered(self) -> bool:
        """Whether the last value is shown."""
        return bool(self.answers) and self._shows(self.answers[-1], self.sent[-1])

    def _shows(self, answer: list[float], sent: list[float]) -> bool:
        apart = np.abs(np.subtract(answer[1:], sent[1:]))
        return answer[0] >= sent[0] and bool((apart <= _TOLERANCE[self.kind]).all())

    def latencies(self) -> list[float]:
        """Return the seconds from each event to the first answer that shows it or a later one.

        Of sigma, which the server answers when it has stood still, those of the last event alone.
        """
        shown = [(answer[0], self._number(answer)) for answer in self.answers]
        first = len(self.sent) - 1 if self.kind == "sigma" else 0
        found = []
        for number in range(first, len(self.sent)):
            times = [time for time, shows in shown if shows >= number]
            if times:
                found.append(min(times) - self.sent[number][0])
        return found

    def _number(self, answer: list[float]) -> int:
        """Return which event an answer shows, the last of them if several are alike."""
        shows = (n for n in reversed(range(len(self.sent))) if self._shows(answer, self.sent[n]))
        return next(shows, -1)

    def local_latencies(self) -> list[float]:
        """Return the seconds from each event to the line that the browser drew itself."""
        local = np.array(self.local)
        after = np.searchsorted(local, [sent[0] for sent in self.sent])
        return [
            float(local[n] - sent[0])
            for n, sent in zip(after, self.sent, strict=True)
            if n < len(local)
        ]


def path(kind: Kind, start: float, bounds: tuple[float, float], events: int) -> Iterator[float]:
    """Yield where a drag goes, each place once, towards the farther of two bounds."""
    low, high = bounds
    step = _STEPS[kind] * (1 if high - start > start - low else -1)
    step *= min(1.0, max(high - start, start - low) / (abs(step) * events))
    for number in range(1, events + 1):
        yield round(start + step * number, 3)


def window_of(title: str) -> list[float] | None:
    """Return the ends of the window that a map's title tells, in keV."""
    found = re.search(r"([\d.]+)–([\d.]+) keV", title)
    return [float(found[1]), float(found[2])] if found else None


def line_width_of(title: str) -> list[float] | None:
    """Return the smoothing that a spectrum's title tells, in eV."""
    found = re.search(r"smoothing(?: at [\d.]+ keV)? (?:(\d+) eV|off)", title)
    return [float(found[1] or 0)] if found else None
