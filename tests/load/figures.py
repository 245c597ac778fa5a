"""Percentiles, lines through what grows, and the table of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .gestures import Gesture

__all__ = ["Growth", "Latency", "growth", "latencies", "latency_table"]


@dataclass(frozen=True)
class Latency:
    """From gesture to answer, in milliseconds.

    Parameters
    ----------
    who, what : str
        Whose gestures, and which.
    gestures, events, answered, answers : int
        Drags, their events, those of them whose time is known, and answers that came.
    p50_ms, p95_ms, p99_ms, longest_ms : float
        Of the events that were answered; NaN without any.
    """

    who: str
    what: str
    gestures: int
    events: int
    answered: int
    answers: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    longest_ms: float


def _latency(who: str, what: str, of: Sequence[Gesture], seconds: Iterable[float]) -> Latency:
    ms = 1000 * np.array(list(seconds))
    found = np.percentile(ms, [50, 95, 99, 100]) if len(ms) else np.full(4, np.nan)
    events, answers = (sum(len(getattr(g, part)) for g in of) for part in ("sent", "answers"))
    return Latency(who, what, len(of), events, len(ms), answers, *map(float, found))


def latencies(who: str, gestures: Iterable[Gesture]) -> list[Latency]:
    """Return how long a kind of visitor waited, for each kind of gesture.

    Parameters
    ----------
    who : str
        The kind of visitor.
    gestures : iterable of Gesture
        All of theirs.
    """
    kinds = defaultdict(list)
    for gesture in gestures:
        kinds[gesture.kind].append(gesture)
    found = []
    if windows := kinds["window"]:
        found.append(
            _latency(who, "window to map", windows, (s for g in windows for s in g.latencies()))
        )
    if sigmas := kinds["sigma"]:
        # The browser draws this itself; the server answers when sigma has stood still.
        local = [s for g in sigmas for s in g.local_latencies()]
        if local:
            found.append(_latency(who, "sigma to the browser's line", sigmas, local))
        settled = (s for g in sigmas for s in g.latencies())
        found.append(_latency(who, "sigma, still for 150 ms, to line", sigmas, settled))
    return found


def latency_table(rows: Sequence[Latency]) -> str:
    """Return the table of what was waited for."""
    heads = ("drags", "events", "answers", "p50 ms", "p95 ms", "p99 ms", "longest")
    lines = [f"{'':12}{'':34}" + "".join(f"{head:>9}" for head in heads)]
    for row in rows:
        counted = (row.gestures, row.events, row.answers)
        timed = (row.p50_ms, row.p95_ms, row.p99_ms, row.longest_ms)
        numbers = [f"{n:>9,}" for n in counted] + [f"{ms:>9.0f}" for ms in timed]
        lines.append(f"{row.who:12}{row.what:34}" + "".join(numbers))
    return "\n".join(lines)


@dataclass(frozen=True)
class Growth:
    """A line through something that may grow.

    Parameters
    ----------
    slope : float
        By how much for each step.
    error : float
        Its standard error.
    """

    slope: float
    error: float


def growth(steps: npt.ArrayLike, values: npt.ArrayLike) -> Growth:
    """Fit a line by least squares.

    Parameters
    ----------
    steps, values : (n,) float
        Three or more.
    """
    (slope, _), covariance = np.polyfit(steps, values, 1, cov="unscaled")
    rest = np.asarray(values) - np.polyval(np.polyfit(steps, values, 1), steps)
    variance = float(rest @ rest) / (len(rest) - 2)
    return Growth(float(slope), float(np.sqrt(covariance[0, 0] * variance)))
