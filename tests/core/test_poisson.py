"""Drawn spectra: exactly Poisson, independent, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from maxrf_core.simulation import simulate_crono
from maxrf_core.simulation_parameters import BLOCK_SPECTRA

X0, Y0 = 132252, 111816
WINDOWS = {
    "zero": (-0.3, 0.3),
    "Fe": (6.169, 6.612),
    "Compton": (18.206, 19.49),
    "all": (-2.0, 60.0),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return the truth of a drawing of the real file's shape, and its counts."""
    truth = simulate_crono(tmp_path_factory.mktemp("drawn") / "scan.HDF5", seed=3, n_channels=512)
    with h5py.File(truth.filename) as file:
        return truth, file["XRF/Spectra"][()]


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """Return the truth of more blocks than two threads hold, all alike, and their counts."""
    truth = simulate_crono(
        tmp_path_factory.mktemp("flat") / "scan.HDF5",
        shape=(320, 14),
        phantom="constant",
        n_channels=128,
    )
    with h5py.File(truth.filename) as file:
        return truth, file["XRF/Spectra"][()]


@pytest.mark.parametrize("window", WINDOWS)
def test_drawn_counts_scatter_about_the_expectation_as_poisson_does(drawn, window):
    """Chi-square over all spectra: its mean is n, its variance n (2 + 1/mu); 5 sigma allowed."""
    truth, spectra = drawn
    inside = (truth.energies >= WINDOWS[window][0]) & (truth.energies < WINDOWS[window][1])
    counts = spectra[:, inside].sum(axis=1)
    expected = truth.expected_counts_per_spectrum(*WINDOWS[window])
    chi_square = ((counts - expected) ** 2 / expected).sum()
    spread = np.sqrt((2.0 + 1.0 / expected).sum())
    assert abs(chi_square - truth.n_spectra) < 5 * spread
    assert abs(counts.sum() - expected.sum()) < 5 * np.sqrt(expected.sum())


def test_channels_are_poisson_and_independent(flat):
    """Constant picture: each channel's sum, its dispersion, and neighbours that know nothing."""
    truth, spectra = flat
    counts, n = spectra.astype(np.float64), truth.n_spectra
    expected = truth.expected_spectrum(X0, Y0)
    assert counts[:, expected == 0.0].sum() == 0
    seen = expected > 0.05
    mu, found = expected[seen], counts[:, seen]
    assert (np.abs(found.mean(axis=0) - mu) < 5 * np.sqrt(mu / n)).all()
    dispersion = found.var(axis=0) / mu
    assert (np.abs(dispersion - 1.0) < 5 * np.sqrt((2.0 + 1.0 / mu) / n)).all()
    correlation = np.corrcoef(found.T)[np.triu_indices(seen.sum(), k=1)]
    assert np.abs(correlation).max() < 6 / np.sqrt(n)


def test_blocks_do_not_repeat_each_other(flat):
    """Where nothing changes, blocks with one seed would draw the same noise over and over."""
    _, spectra = flat
    blocks = spectra[: 4 * BLOCK_SPECTRA].reshape(4, BLOCK_SPECTRA, -1)
    residuals = [(block - block.mean(axis=0)).ravel() for block in blocks]
    correlation = np.corrcoef(residuals)[np.triu_indices(4, k=1)]
    assert np.abs(correlation).max() < 6 / np.sqrt(residuals[0].size)


def test_file_does_not_depend_on_threads(flat, tmp_path):
    """Blocks carry their own seeds, so who draws them and when is of no matter."""
    truth, _ = flat
    assert truth.n_spectra > 4 * BLOCK_SPECTRA
    path = tmp_path / "scan.HDF5"
    simulate_crono(path, shape=(320, 14), phantom="constant", n_channels=128, threads=5)
    assert path.read_bytes() == Path(truth.filename).read_bytes()


def test_same_seed_gives_the_same_file_and_another_seed_another(tmp_path):
    """A fault that is seen in a demo scan must be seen again."""
    options = {"shape": (9, 7), "n_channels": 128}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate_crono(tmp_path / name, seed=seed, **options)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with h5py.File(tmp_path / "a") as first, h5py.File(tmp_path / "c") as other:
        assert not np.array_equal(first["XRF/Spectra"][:50], other["XRF/Spectra"][:50])
        assert not np.array_equal(
            first["XRF/MotorsPositions"][:50], other["XRF/MotorsPositions"][:50]
        )


def test_counts_are_clipped_at_sixteen_bits(tmp_path):
    """The detector's word is full before it wraps around."""
    truth = simulate_crono(
        tmp_path / "scan.HDF5",
        shape=(1, 2),
        n_channels=64,
        phantom="constant",
        counts_per_spectrum=2e6,
    )
    with h5py.File(truth.filename) as file:
        counts = file["XRF/Spectra"][()]
        assert (file["XRF/LiveTimes"][()] == 1).all()
    full = truth.expected_spectrum(X0 + 1000.0, Y0) > 80_000
    assert full.any()
    assert (counts[:, full] == 65535).all()
