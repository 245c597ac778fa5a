"""What the load test computes from what it saw: times, lines, faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maxrf_core import convert_crono, simulate_crono
from maxrf_core.smoothing import smooth_spectra
from tests.load.figures import growth, latencies
from tests.load.gestures import Gesture, line_width_of, path, window_of
from tests.load.truth import Truth
from tests.load.visitor import Shown


def _window(times: list[float], answers: list[tuple[float, int]]) -> Gesture:
    """Return a drag to 1, 2, ... keV at some times; answers tell their time and which they show."""
    sent = [[time, number, number + 0.5] for number, time in enumerate(times, 1)]
    return Gesture("window", sent, [[time, *sent[number - 1][1:]] for time, number in answers])


def test_an_event_is_answered_by_what_shows_it_or_a_later_one() -> None:
    """Of three events the second is overtaken: the answer to the third is its answer, too."""
    gesture = _window([10.0, 10.1, 10.2], [(10.05, 1), (10.5, 3)])
    assert gesture.latencies() == pytest.approx([0.05, 0.4, 0.3])
    assert gesture.is_answered


def test_what_shows_an_earlier_event_is_no_answer() -> None:
    """Stale data arrive after the last event, and are not what was asked for."""
    gesture = _window([10.0, 10.1], [(10.4, 1)])
    assert gesture.latencies() == pytest.approx([0.4])
    assert not gesture.is_answered


def test_sigma_is_timed_from_its_last_event() -> None:
    """The server answers when sigma stands still; those before it are drawn by the browser."""
    sent = [[1.0, 24.0], [1.1, 36.0]]
    gesture = Gesture("sigma", sent, [[1.3, 36.0]], local=[1.004, 1.106])
    assert gesture.latencies() == pytest.approx([0.2])
    assert gesture.local_latencies() == pytest.approx([0.004, 0.006])


def test_percentiles_are_of_all_events_of_a_kind() -> None:
    """A hundred events answered after 1 to 100 ms, in two drags."""
    ms = np.arange(1, 101) / 1000
    drags = [
        Gesture("window", [[t, t, t + 1] for t in at], [[t + wait, t, t + 1] for t, wait in pairs])
        for at, pairs in (
            (range(50), zip(range(50), ms[:50], strict=True)),
            (range(50, 100), zip(range(50, 100), ms[50:], strict=True)),
        )
    ]
    (row,) = latencies("client", drags)
    assert (row.gestures, row.events, row.answered, row.answers) == (2, 100, 100, 100)
    assert row.p50_ms == pytest.approx(50.5)
    assert row.p95_ms == pytest.approx(95.05)
    assert row.longest_ms == pytest.approx(100)


@pytest.mark.parametrize(("kind", "bounds"), [("window", (5.0, 7.0)), ("sigma", (1.0, 20.0))])
@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
def test_a_drag_passes_each_place_once(
    kind: str, bounds: tuple[float, float], place: float
) -> None:
    """Else the answer to one event could not be told from that to another."""
    start = bounds[0] + place * (bounds[1] - bounds[0])
    places = list(path(kind, start, bounds, 30))
    steps = np.diff([start, *places])
    assert len(places) == 30
    assert (np.sign(steps) == np.sign(steps[0])).all()
    assert bounds[0] - 0.001 <= min(places) <= max(places) <= bounds[1] + 0.001


def test_titles_tell_what_is_shown() -> None:
    assert window_of("7.795–8.297 keV · kriging · net of linear") == [7.795, 8.297]
    assert line_width_of("Spectrum 1,797 · 937 counts · smoothing 84 eV · FWHM 197 eV") == [84]
    assert line_width_of("Spectrum 2 · 9 counts · smoothing at 5.9 keV 12 eV · FWHM 28 eV") == [12]
    assert line_width_of("Spectrum 2 · 9 counts · smoothing off") == [0]
    assert window_of("Dead time · kriging") is None


def test_a_leak_is_told_from_noise() -> None:
    """0.8 MB a visit under noise of 5 MB, known by the formula of least squares."""
    visits = np.arange(400)
    noise = np.random.default_rng(4).normal(0, 5, 400)
    found = growth(visits, 600 + 0.8 * visits + noise)
    expected = 5 / np.sqrt(((visits - visits.mean()) ** 2).sum())
    assert found.error == pytest.approx(expected, rel=0.1)  # 400 values know their spread to 4%
    assert abs(found.slope - 0.8) < 3 * found.error


def test_a_page_that_shows_another_window_or_sigma_is_found(tmp_path: Path) -> None:
    """The last answer has to be that of the last value."""
    made = tmp_path / "made.HDF5"
    simulate_crono(made, shape=(12, 9), seed=2)
    truth = Truth.of([Path(convert_crono(made, cubes=False, progress=False))])
    (shared,) = truth.scans.values()
    window, sigma = (6.2, 6.6), 4.0
    values = shared.scan.energy_map(*window, method=shared.scan.method)
    low, high = np.nanpercentile(values, (0, 99.5))
    line = smooth_spectra(shared.scan.spectrum(3), sigma)
    shown = Shown("made", list(window), sigma, [float(low), float(high)], 3, line.tolist())
    told = truth.faults(shown)
    shown.window, shown.sigma = [6.3, 6.7], 4.2
    assert (told, len(truth.faults(shown))) == ([], 2)
