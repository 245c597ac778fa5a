"""The benchmark of accuracy runs whole, on tiny scans, and its measures are what they say."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from maxrf_core.interpolation import METHODS, build_operator

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark_of(monkeypatch: pytest.MonkeyPatch):
    """Return what imports the benchmark's modules, which lie in no installed package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: import_module(f"tests.benchmarks.{name}")


def test_the_table_has_a_line_for_every_scan_and_method(
    benchmark_of, monkeypatch, tmp_path, capsys
):
    """It is run by hand and rarely: a name that changed in the core must show here."""
    accuracy, cases = benchmark_of("accuracy"), benchmark_of("accuracy_cases")
    monkeypatch.setattr(accuracy, "QUICK_SHAPES", ((9, 14),))
    monkeypatch.setattr(accuracy, "PICTURED", cases.Case("hotspots", (9, 14), 600))
    picture = tmp_path / "accuracy.png"
    accuracy.main(["--quick", "--plot", str(picture)])
    printed = capsys.readouterr().out
    for phantom in cases.PHANTOMS:
        assert f"{phantom} 600 9 x 14" in printed
    for method in (*METHODS, "griddata"):
        # a line for each phantom and one for the mean
        lines = [line for line in printed.splitlines() if line[33:46].strip() == method]
        assert len(lines) == len(cases.PHANTOMS) + 1
    assert "(0.55 or less)" in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_windows_and_bands_share_their_counts(benchmark_of):
    """A spectrum's iron is part of the band that kriging is fitted to, as in a file."""
    case = benchmark_of("accuracy_cases").Case("gradient", (31, 23), 600)
    windows, bands = case.draw()
    assert windows.shape[1] == 5
    np.testing.assert_allclose(windows.mean(axis=0), case.expected.mean(axis=0), rtol=0.1)
    every = case.truth.energies >= 0.5
    signal = (case.rates @ case.truth.templates[:, every]).sum(axis=1)
    np.testing.assert_allclose(bands.sum(axis=1).mean(), signal.mean(), rtol=0.02)
    # an overlapping band has the window's fluctuations; independent draws would have none
    noise = windows[:, 1] - case.expected[:, 1]
    correlations = [
        np.corrcoef(noise, band - np.poly1d(np.polyfit(signal, band, 1))(signal))[0, 1]
        for band in bands.T
    ]
    assert max(correlations) > 0.2  # a draw apart gives 0.03 or so


def test_structural_similarity_is_one_for_the_truth_alone(benchmark_of, rng):
    """Wang et al. 2004: symmetric, 1 for equal images, near 0 for unrelated ones."""
    similarity = benchmark_of("accuracy_measures").structural_similarity
    truth = np.add.outer(np.arange(40.0), 3 * np.arange(30.0))
    assert similarity(truth, truth) == pytest.approx(1.0)
    assert similarity(truth + rng.normal(size=truth.shape), truth) > 0.9
    assert abs(similarity(rng.normal(size=truth.shape), rng.normal(size=truth.shape))) < 0.1


def test_an_edge_is_as_wide_as_linear_interpolation_and_motion_make_it(benchmark_of):
    """One spectrum a cell shows the motion's blur and its jitter; averaging adds to it."""
    case = benchmark_of("accuracy_cases").Case("washes", (40, 31), 50)
    width = benchmark_of("accuracy_measures").edge_width
    widths = {
        method: width(case, build_operator(method, case.raster))
        for method in ("selected", "linear", "kriging")
    }
    # a box of one pitch, the motion's, is 0.6 from 20 to 80 %
    assert 0.6 < widths["selected"] < 1.0
    assert widths["selected"] < widths["linear"] < widths["kriging"]
