"""Several visitors at once, in browsers and without: the short form of ``python -m tests.load``."""

from __future__ import annotations

import pytest

from maxrf_core import convert_crono, simulate_crono
from tests.load.gestures import Pace
from tests.load.run import Load, Report, measure

SHAPES = {"manuscript": (46, 30), "panel": (25, 52), "letter": (31, 38)}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Two in Chromium and six without a browser drag on three scans; then ten come and go."""
    folder = tmp_path_factory.mktemp("scans")
    for seed, (name, shape) in enumerate(SHAPES.items(), 1):
        simulate_crono(folder / f"{name}.HDF5", shape=shape, seed=seed)
        convert_crono(folder / f"{name}.HDF5", cubes=False, progress=False)
    scans = [folder / f"{name}.zipstore" for name in SHAPES]
    return measure(
        Load(
            scans,
            folder,
            browsers=2,
            clients=6,
            seconds=12,
            visits=10,
            pace=Pace(events_per_second=20, gesture_s=0.8, pause_s=1.5),
        )
    )


def test_nothing_goes_wrong_for_anybody(report: Report) -> None:
    """No console error, no lost socket, no line in the log; in the end all see what they asked."""
    assert report.errors == []


@pytest.mark.parametrize("who", ["browser", "client"])
def test_every_gesture_is_answered(report: Report, who: str) -> None:
    """A visitor whose last value is not shown would look at the map of another window."""
    (part,) = report.parts
    rows = {row.what: row for row in part.latencies if row.who == who}
    assert {"window to map", "sigma, still for 150 ms, to line"} <= set(rows)
    windows = rows["window to map"]
    assert windows.answered == windows.events > windows.gestures
    sigmas = rows["sigma, still for 150 ms, to line"]
    assert sigmas.answered == sigmas.gestures


def test_events_that_were_overtaken_cost_no_answer(report: Report) -> None:
    """A slow server would fall behind by seconds; it may skip what nobody waits for any more."""
    (part,) = report.parts
    assert part.latencies
    assert all(row.answers <= row.events for row in part.latencies)


def test_sessions_end_when_their_visitors_have_left(report: Report) -> None:
    """Else a server that is left on for months fills its memory."""
    assert len(report.visits.memory_mb) == 10
    assert report.visits.left == 0
