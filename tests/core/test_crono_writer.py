"""The simulated file: the instrument's layout and records, and room on the disk for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from maxrf_core.crono import read_crono
from maxrf_core.simulation import CRONO_ROIS, simulate_crono

REFERENCE = Path(__file__).parents[1] / "data" / "crono-12x9.HDF5"


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """Return the truth of a scan of 1000 short rows, in which 16-bit numbers wrap, and its file."""
    path = tmp_path_factory.mktemp("long") / "scan.HDF5"
    truth = simulate_crono(path, shape=(1000, 2), n_channels=64)
    with h5py.File(path) as file:
        yield truth, file


def layout(file):
    """Return path, type, rank and attributes of every dataset, in the order of a visit."""
    found = []

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            attributes = {
                key: (item.attrs.get_id(key).dtype, item.attrs.get_id(key).shape)
                for key in item.attrs
            }
            vlen = h5py.check_vlen_dtype(item.dtype)
            found.append((name, item.dtype, vlen, item.ndim, attributes))

    file.visititems(note)
    return found


def test_file_has_the_instruments_layout(tmp_path):
    """A reader of the instrument's files must not be able to tell, but for the root attribute."""
    regions = [("SiKa", 1.6, 1.9)] * 7
    path = tmp_path / "scan.HDF5"
    simulate_crono(path, shape=(12, 9), rois=regions, compression="gzip")
    with h5py.File(path) as file, h5py.File(REFERENCE) as reference:
        ours, theirs = layout(file), layout(reference)
        assert ours == theirs
        assert len(ours) == 32
        for name, *_ in theirs:
            assert file[name].id.get_type().equal(reference[name].id.get_type()), name
            assert file[name].chunks == reference[name].chunks, name
            assert file[name].shape[1:] == reference[name].shape[1:], name
        assert file["XRF/Spectra"].compression == "gzip"
        assert np.array_equal(file["XRF/CalibrationPoints"], reference["XRF/CalibrationPoints"])
        # The reference was stepped in float32, which adds up to a hundredth of a channel.
        assert np.allclose(
            file["XRF/EnergyVector"], reference["XRF/EnergyVector"], rtol=0, atol=1.2e-4
        )


def test_spectra_are_contiguous_and_regions_the_real_files_by_default(scan):
    """The instrument neither chunks nor compresses, and kept 27 regions, one of them empty."""
    _, file = scan
    spectra = file["XRF/Spectra"]
    assert spectra.chunks is None
    assert spectra.compression is None
    names = [bytes(name.tobytes()).decode() for name in file["XRF/ROIs/ROIsNames"]]
    assert names == [name for name, _, _ in CRONO_ROIS]
    energies = file["XRF/ROIs/ROIsEnergies"][()]
    assert energies.shape == (27, 2)
    assert energies[names.index("CuKa")].tolist() == [7.549, 7.549]
    assert file["XRF/Maps/ComputedMaps"].shape == (1000, 2, 27)
    for name in ("Maps/ComputedMaps", "XComputedMapsCoordinate", "YComputedMapsCoordinate"):
        assert np.isnan(file[f"XRF/{name}"]).all(), name


def test_file_holds_the_truths_axes(scan):
    """Energies and places are the two things that a map is laid out by."""
    truth, file = scan
    assert np.array_equal(file["XRF/EnergyVector"], truth.energies)
    assert file["XRF/CalibrationPoints"].attrs["CalibrationBins"].tolist() == [64]
    (low, low_kev), (high, high_kev) = file["XRF/CalibrationPoints"][()].astype(float)
    line = low_kev + (np.arange(64) - low) * (high_kev - low_kev) / (high - low)
    # float32 calibration points are good to 1e-6 of 22 keV
    assert np.allclose(line, truth.energies, rtol=0, atol=1e-4)
    assert np.array_equal(file["XRF/MotorsPositions"], truth.positions)
    assert np.array_equal(file["XRF/SpectraSelectedIndex"], truth.motion.selected(0, 1000))


def test_records_of_a_spectrum_agree_with_its_counts(scan):
    """Live time, rate and detected counts are what other programs normalise by."""
    _, file = scan
    totals = file["XRF/Spectra"][()].sum(axis=1)
    assert np.array_equal(file["XRF/Detected"], totals)
    assert np.array_equal(file["XRF/LiveTimes"], np.rint(60000 - 1.1 * totals))
    assert np.allclose(file["XRF/OutputCountRates"], totals / 60.0)
    assert set(file["XRF/RealTimes"]) == {60000}
    assert np.abs(file["XRF/ResetCounterValue"] - totals / 52.0).max() <= 1.0


def test_numbers_start_again_in_a_big_scan_and_times_run_on(scan):
    """The instrument's counter of spectra has 16 bits; its clock counts microseconds."""
    truth, file = scan
    ids = file["XRF/SpectraIDs"][()]
    times = file["XRF/Timestamps"][()].astype(np.int64)
    assert (ids[0], times[0]) == (20518, 14_880_000)
    periods = truth.motion.periods(np.arange(truth.n_spectra))
    assert np.array_equal(times - times[0], 60_000 * periods)
    assert (np.diff(ids.astype(np.int64)) < 0).any()
    assert np.array_equal(ids, (20518 + periods) % 65536)


def test_our_own_reader_takes_it(tmp_path):
    """The demo is read like any scan, with no regions as well."""
    truth = simulate_crono(tmp_path / "scan.HDF5", shape=(5, 3), n_channels=300, rois=None)
    read = read_crono(truth.filename)
    assert read.n_spectra == truth.n_spectra
    assert np.array_equal(read.positions[:, :2], truth.positions[:, :2])
    assert len(read.rois) == 0


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")
def test_room_on_the_disk_is_taken_before_the_first_spectrum(tmp_path):
    """HDF5 1.14 took the process down when the disk filled up while the file was open."""
    path = tmp_path / "scan.HDF5"
    taken = []

    def look(_done, _total):
        (unfinished,) = tmp_path.glob(".scan.HDF5.*.part")
        taken.append(unfinished.stat().st_blocks * 512)

    simulate_crono(path, shape=(70, 37), n_channels=1024, progress=look)
    assert taken[0] >= path.stat().st_size


@pytest.mark.skipif(sys.platform == "win32", reason="sets a limit that only POSIX has")
def test_disk_that_fills_up_gives_an_error_and_no_crash(tmp_path):
    """The sentence says what to do, and nothing is left to fill the disk further."""
    limit = 10_000_000
    script = (
        "import resource, sys\n"
        "from maxrf_core.simulation import simulate_crono\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
        "simulate_crono(sys.argv[1], shape=(60, 37), phantom='constant')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "scan.HDF5")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    assert "OutputError" in run.stderr
    assert "free space" in run.stderr
    assert list(tmp_path.iterdir()) == []
