"""Simulating a scan: its arguments, its progress, its memory, and what an interruption leaves."""

from __future__ import annotations

import tracemalloc

import pytest

from maxrf_core.errors import OutputError, ParameterError
from maxrf_core.simulation import load_truth, simulate_crono
from maxrf_core.simulation_parameters import BLOCK_SPECTRA


def test_progress_counts_up_to_all_spectra(tmp_path):
    """The bar ends where it says it will."""
    seen = []
    truth = simulate_crono(
        tmp_path / "scan.HDF5",
        shape=(400, 2),
        n_channels=64,
        progress=lambda done, total: seen.append((done, total)),
    )
    n = truth.n_spectra
    assert 2 * BLOCK_SPECTRA < n < 3 * BLOCK_SPECTRA
    assert seen == [(BLOCK_SPECTRA, n), (2 * BLOCK_SPECTRA, n), (n, n)]


def test_memory_does_not_grow_with_the_scan(tmp_path):
    """A scan of 22 GB is simulated in the memory of a few blocks."""
    options = {
        "n_channels": 512,
        "counts_per_spectrum": 10.0,
        "phantom": "constant",
        "threads": 1,
        "rois": None,
    }
    simulate_crono(tmp_path / "warm.HDF5", shape=(2, 3), **options)  # compiles, fills caches
    block = BLOCK_SPECTRA * 512 * 2
    tracemalloc.start()
    truth = simulate_crono(tmp_path / "scan.HDF5", shape=(1400, 3), **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert truth.n_spectra > 9 * BLOCK_SPECTRA
    # Two blocks wait, one is written, one is being summed up.
    assert peak < 5 * block


def test_interrupted_write_leaves_no_file(tmp_path):
    """Half a scan that looks whole is the worst that can be left behind."""

    def interrupt(done, total):
        if done > total // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_crono(
            tmp_path / "scan.HDF5", shape=(600, 2), n_channels=64, progress=interrupt, threads=3
        )
    assert list(tmp_path.iterdir()) == []


def test_interrupted_overwrite_keeps_the_old_file(tmp_path):
    """The old scan goes when the new one is whole, not before."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(b"old")

    def interrupt(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_crono(path, shape=(3, 2), n_channels=64, overwrite=True, progress=interrupt)
    assert [item.name for item in tmp_path.iterdir()] == ["scan.HDF5"]
    assert path.read_bytes() == b"old"


def test_existing_file_is_kept_unless_overwriting(tmp_path):
    """A measured scan of that name must survive a demo."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(b"measured")
    with pytest.raises(OutputError, match="overwrite=True"):
        simulate_crono(path, shape=(3, 2), n_channels=64)
    assert path.read_bytes() == b"measured"
    simulate_crono(path, shape=(3, 2), n_channels=64, overwrite=True)
    assert load_truth(path).parameters.shape == (3, 2)


def test_file_that_comes_in_the_meantime_is_kept(tmp_path):
    """A long simulation must not replace what was saved while it ran."""
    path = tmp_path / "scan.HDF5"
    with pytest.raises(OutputError, match="overwrite=True"):
        simulate_crono(
            path,
            shape=(3, 2),
            n_channels=64,
            progress=lambda _done, _total: path.write_bytes(b"measured"),
        )
    assert [item.name for item in tmp_path.iterdir()] == ["scan.HDF5"]
    assert path.read_bytes() == b"measured"


def test_missing_folder_and_folder_for_a_file_are_refused(tmp_path):
    """The sentence names the folder; HDF5's own does not."""
    with pytest.raises(OutputError, match="no folder"):
        simulate_crono(tmp_path / "missing" / "scan.HDF5")
    with pytest.raises(OutputError, match="is a folder"):
        simulate_crono(tmp_path)


def test_scan_that_the_disk_cannot_hold_is_refused_before_it_is_begun(tmp_path):
    """HDF5 crashes the process on a full disk, so room is asked for first."""
    with pytest.raises(OutputError, match="GB free"):
        simulate_crono(tmp_path / "scan.HDF5", shape=(1_000_000, 1_000_000))
    assert list(tmp_path.iterdir()) == []


def test_all_faulty_arguments_are_named_at_once(tmp_path):
    """Nobody should have to start a long simulation eight times to learn eight faults."""
    with pytest.raises(ParameterError) as caught:
        simulate_crono(
            tmp_path / "scan.HDF5",
            shape=(0, 4),
            seed=-1,
            phantom="mona lisa",
            n_channels=128.5,
            counts_per_spectrum=float("nan"),
            lag=True,
            motion_blur=1,
            wobble_steps=900,
            rois=[("Fe", 7.0, 6.0), ("", 1, 2), 4, ("Fé", 6.0, 7.0)],
            compression="zip",
            threads=0,
        )
    message = str(caught.value)
    for name in (
        "shape", "seed", "phantom", "n_channels", "counts_per_spectrum", "lag", "motion_blur",
        "wobble_steps", "rois[0]", "rois[1]", "rois[2]", "rois[3]", "compression", "threads",
    ):  # fmt: skip
        assert f"{name} is " in message, name
    assert list(tmp_path.iterdir()) == []
