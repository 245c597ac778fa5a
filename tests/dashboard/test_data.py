"""Open scans, shared by all visitors of a process, and what is derived from them once."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from dashboard import data
from dashboard.data import SharedScan, shared_scan
from maxrf_core import ZipstoreError, open_scan
from maxrf_core.calibration import recalibrated
from maxrf_core.lines import emission_lines
from maxrf_core.sidecar import sidecar_path, write_sidecar

OpenChanged = Callable[[str, Callable[[h5py.File], None]], SharedScan]


@pytest.fixture
def zipstores(shared: SharedScan, tmp_path: Path) -> list[Path]:
    """Return six copies of a zipstore."""
    return [
        Path(shutil.copy(shared.scan.filename, tmp_path / f"copy-{number}.zipstore"))
        for number in range(6)
    ]


def test_a_scan_is_opened_once_for_all(zipstores: list[Path]) -> None:
    """Under any name of the file: its caches are what makes the second visitor fast."""
    link = zipstores[0].with_name("link.zipstore")
    link.symlink_to(zipstores[0])
    first = shared_scan(zipstores[0])
    assert shared_scan(zipstores[0]) is first
    assert shared_scan(link) is first
    assert shared_scan(zipstores[1]) is not first


def test_visitors_who_come_together_open_it_once(
    zipstores: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class opens the same address at the same time; sessions are opened in threads."""
    opened: list[Path] = []
    together = threading.Barrier(4)

    def count(path: Path) -> object:
        opened.append(path)
        return open_scan(path)

    def visit(_number: int) -> SharedScan:
        together.wait(20)
        return shared_scan(zipstores[0])

    monkeypatch.setattr(data, "open_scan", count)
    with ThreadPoolExecutor(4) as visitors:
        found = list(visitors.map(visit, range(4)))
    assert opened == [zipstores[0]]
    assert len(set(map(id, found))) == 1


def test_a_replaced_file_is_opened_anew(zipstores: list[Path], without_rois: SharedScan) -> None:
    """After a new conversion under the same name nobody gets the old scan."""
    before = shared_scan(zipstores[0])
    shutil.copy(without_rois.scan.filename, zipstores[0])
    after = shared_scan(zipstores[0])
    assert after is not before
    assert after.scan.grid.shape == (13, 8) != before.scan.grid.shape


def test_another_calibration_beside_a_scan_opens_it_anew(zipstores: list[Path]) -> None:
    """And its removal does: energies are made when a scan is opened."""
    before = shared_scan(zipstores[0])
    points = [[700.0, 7.5], [2000.0, 23.0]]
    write_sidecar(zipstores[0], calibration={"points": points, "degree": 1})
    calibrated = shared_scan(zipstores[0])
    assert calibrated is not before
    np.testing.assert_array_equal(calibrated.scan.energies, recalibrated(4096, points))
    assert calibrated.calibration_points == ((700.0, 7.5), (2000.0, 23.0))
    assert shared_scan(zipstores[0]) is calibrated
    write_sidecar(zipstores[0], views=[])
    assert shared_scan(zipstores[0]) is calibrated  # what else is kept is read when it is needed
    sidecar_path(zipstores[0]).unlink()
    after = shared_scan(zipstores[0])
    np.testing.assert_array_equal(after.scan.energies, before.scan.energies)


def test_a_scan_that_does_not_answer_holds_up_no_other(
    zipstores: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that hangs is one scan's trouble; who asks for the same scan waits, too."""
    gate, began = threading.Event(), threading.Event()

    def slow(path: Path) -> object:
        if path == zipstores[0]:
            began.set()
            assert gate.wait(20)
        return open_scan(path)

    monkeypatch.setattr(data, "open_scan", slow)
    with ThreadPoolExecutor(3) as visitors:
        waiting = [visitors.submit(shared_scan, zipstores[0]) for _ in range(2)]
        assert began.wait(20)
        other = visitors.submit(shared_scan, zipstores[1]).result(20)
        assert str(other.scan.filename) == str(zipstores[1])
        assert not any(visit.done() for visit in waiting)
        gate.set()
        assert len({id(visit.result(20)) for visit in waiting}) == 1


def test_only_some_scans_are_kept_open_and_those_in_use(zipstores: list[Path]) -> None:
    """A server of a large folder does not run out of files; a visitor's scan is never closed."""
    in_use = shared_scan(zipstores[0])
    forgotten = weakref.ref(shared_scan(zipstores[1]))
    for path in zipstores[2:]:
        shared_scan(path)
    gc.collect()
    assert forgotten() is None
    assert shared_scan(zipstores[0]) is in_use
    assert in_use.scan.spectrum(3).sum() > 0


def test_a_scan_is_kept_open_between_two_visitors(zipstores: list[Path]) -> None:
    """One leaves, another comes: the caches are still warm."""
    alive = weakref.ref(shared_scan(zipstores[0]))
    gc.collect()
    assert alive() is not None


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut short"], ids=["gone", "", "cut"])
def test_a_file_that_cannot_be_used_is_an_error_each_time(
    tmp_path: Path, content: bytes | None
) -> None:
    """The failure is not kept: the file may be repaired under the same name."""
    path = tmp_path / "bad.zipstore"
    if content is not None:
        path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(ZipstoreError, match=r"bad\.zipstore"):
            shared_scan(path)


def test_the_strongest_line_of_the_simulated_scan_is_irons(shared: SharedScan) -> None:
    """The manuscript is written in iron-gall ink; the file's own ROI is taken for it."""
    line = shared.strongest_line
    assert (line.name, line.low_kev, line.high_kev) == ("FeKa", 6.169, 6.612)


def test_without_rois_the_window_holds_one_real_line(without_rois: SharedScan) -> None:
    """Fe, Cu or Pb: the alpha line of just one of the manuscript's elements, without a name."""
    line = without_rois.strongest_line
    alphas = {}
    for element in ("K", "Ca", "Mn", "Fe", "Cu", "Zn", "Hg", "Pb"):
        highest = max(emission_lines(element), key=lambda found: found.intensity)
        alphas[element] = highest.energy_kev
    inside = [name for name, kev in alphas.items() if line.low_kev < kev < line.high_kev]
    assert len(inside) == 1
    assert inside[0] in ("Fe", "Cu", "Pb")
    assert line.name == ""
    assert 0.2 < line.high_kev - line.low_kev < 0.7


def test_the_measured_scans_strongest_line_is_a_peak(measured: SharedScan) -> None:
    """2048 channels of another width: the middle of the window is higher than its edges."""
    line = measured.strongest_line
    total = gaussian_filter1d(measured.scan.total_spectrum.astype(float), 2)
    inside = measured.scan.channels_of(line.low_kev, line.high_kev)
    edges = total[inside.start], total[inside.stop - 1]
    assert total[inside].max() > 2 * max(edges)
    assert line.low_kev >= 1


def test_the_brightest_spectrum_has_the_most_counts_in_the_line(shared: SharedScan) -> None:
    """The first look is at a spectrum in which the line is there to see."""
    line = shared.strongest_line
    inside = shared.scan.channels_of(line.low_kev, line.high_kev)
    counts = [shared.scan.spectrum(i)[inside].sum() for i in range(shared.scan.n_spectra)]
    assert counts[shared.brightest_spectrum] == max(counts)


def test_the_nearest_spectrum_is_the_one_by_brute_force(shared: SharedScan) -> None:
    """In pitches: a column is twice as wide as a row is high, and both are one step."""
    positions, pitch = shared.scan.positions, shared.scan.pitch
    assert pitch[0] > 1.5 * pitch[1]
    low, high = positions.min(axis=0) - 3000, positions.max(axis=0) + 3000
    places = np.random.default_rng(9).uniform(low, high, (200, 2))
    for x, y in [*places, *positions[::20]]:
        distances = np.hypot(*((positions - (x, y)) / pitch).T)
        found = shared.nearest_spectrum(x, y)
        assert distances[found] == distances.min()


def test_is_selected_marks_the_vendors_choice(shared: SharedScan) -> None:
    """As many as there are cells, and a mask of all spectra."""
    assert shared.is_selected.shape == (shared.scan.n_spectra,)
    assert set(np.flatnonzero(shared.is_selected)) == set(shared.scan.selected_index.ravel())
    assert 0 < shared.is_selected.sum() <= 12 * 9  # where the head dawdles, one serves two cells


def test_energy_limits_hold_nearly_all_counts(shared: SharedScan) -> None:
    """The spectrum's first view leaves out the empty end, not the peaks."""
    low, high = shared.energy_limits
    energies, total = shared.scan.energies, shared.scan.total_spectrum
    positive = energies > 0
    inside = positive & (energies <= high)
    assert low == 0
    assert high < energies[-1]
    assert 0.998 <= total[inside].sum() / total[positive].sum() < 1


def test_empty_rois_and_those_outside_the_energies_are_not_offered(
    open_changed: OpenChanged,
) -> None:
    """The file's CuKa is 7.549 to 7.549 keV; choosing it would show an empty map."""

    def change(file: h5py.File) -> None:
        energies = file["XRF/ROIs/ROIsEnergies"][:]
        energies[0] = [60, 70]
        energies[1] = [-9, -8]
        energies[2] = [-9, 3]
        energies[3] = [7.549, 7.549]
        file["XRF/ROIs/ROIsEnergies"][...] = energies

    changed = open_changed("rois", change)
    assert len(changed.scan.rois) == 7
    assert [roi.name for roi in changed.rois] == ["FeKa", "ZnKa", "PbLa", "PbLb"]


def test_a_scan_without_counts_can_be_looked_at(open_changed: OpenChanged) -> None:
    """The tube was off: no line, but a window inside the energies and limits all the same."""

    def change(file: h5py.File) -> None:
        file["XRF/Spectra"][...] = 0

    dark = open_changed("dark", change)
    line, energies = dark.strongest_line, dark.scan.energies
    assert energies[0] <= line.low_kev < line.high_kev <= energies[-1]
    assert 0 <= dark.brightest_spectrum < dark.scan.n_spectra
    low, high = dark.energy_limits
    assert low < high


def test_a_scan_with_counts_below_1_kev_only_can_be_looked_at(open_changed: OpenChanged) -> None:
    """Nothing but the zero peak: no line is named after it."""

    def change(file: h5py.File) -> None:
        zero_peak = file["XRF/EnergyVector"][:] < 0.9
        file["XRF/Spectra"][...] = file["XRF/Spectra"][:] * zero_peak

    line = open_changed("closed", change).strongest_line
    assert line.low_kev < line.high_kev
    assert line.low_kev > 1


def test_the_points_of_a_scan_that_has_none_are_none(open_changed: OpenChanged) -> None:
    """No calibration, and nothing to object to: the dialog begins with empty fields."""

    def change(file: h5py.File) -> None:
        del file["XRF/CalibrationPoints"]

    assert open_changed("pointless", change).calibration_points == ()


def test_a_sigma_of_0_is_0_in_all_channels(shared: SharedScan) -> None:
    """Raw counts stay whole numbers; a sigma for each channel would make them floats."""
    assert shared.smoothing(0.0, follow_resolution=True) == 0.0
    assert shared.smoothing(4.0, follow_resolution=False) == 4.0
    widths = shared.smoothing(4.0, follow_resolution=True)
    assert widths.shape == (4096,)
    at_manganese = int(np.searchsorted(shared.scan.energies, 5.895))
    assert widths[at_manganese] == pytest.approx(4.0, rel=1e-3)


def test_summary_names_the_sizes(shared: SharedScan) -> None:
    """What the header of the page says about the scan."""
    assert shared.name == "crono-12x9"
    assert shared.summary == "259 spectra × 4,096 channels · 12 × 9 cells"
