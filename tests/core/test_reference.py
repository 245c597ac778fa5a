"""What `cronomaxrf` 0.0.12 gives, this package gives; its notebook runs with one import changed.

`data/crono-12x9.cronomaxrf-0.0.12.zipstore` is what it really wrote from `data/crono-12x9.HDF5`.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from maxrf_core import convert_crono, get_array, open_scan, read_datasets, smooth_spectra, tree
from maxrf_core.schema import (
    ALL_SPECTRA,
    CUBE,
    ENERGIES,
    INTERCHANGE_ARRAYS,
    MAX_SPECTRUM,
    SUM_SPECTRUM,
)

FLOAT32_ROUNDING = 2.0**-23

CELLS = 12 * 9

# Every value is a float64 sum rounded once to float32, here as there: at most one unit in the
# last place apart. The reference then adds up the cells in float32, a rounding for each.
TOLERANCES = {
    ALL_SPECTRA: FLOAT32_ROUNDING,
    CUBE: FLOAT32_ROUNDING,
    MAX_SPECTRUM: FLOAT32_ROUNDING,
    SUM_SPECTRUM: CELLS * FLOAT32_ROUNDING / 2,
    ENERGIES: 0.0,
}

SHAPES = {
    ALL_SPECTRA: (259, 4096),
    CUBE: (12, 9, 4096),
    MAX_SPECTRUM: (4096,),
    SUM_SPECTRUM: (4096,),
    ENERGIES: (4096,),
}

# reference-notebook.txt, as far as it is code, with its plots drawn; the import, the file's name
# and the number of a spectrum (this scan has 259) are the only changes.
NOTEBOOK = """
from maxrf_core import read_datasets, get_array
crono_filename = 'crono-12x9.HDF5'
datasets = read_datasets(crono_filename)

for i, d in enumerate(datasets): 
    
    star = ' '
    if i in [14, 17, 26, 28]: 
        star = '*'
    print(f' {star}[{i}] {d.name}')

spectra = datasets[26][...]
energies = datasets[14][...]

import matplotlib.pyplot as plt
my_spectrum = spectra[123] # arbitrary 

fig, ax = plt.subplots(figsize=[15, 5])
ax.plot(energies, my_spectrum)
ax.set_xlabel('energy [keV]')
ax.set_ylabel('intensity [# counts]')
ax.set_title('XRF spectrum #1234');

x, y, _ = datasets[17][...].T # we do not use the z values

from maxrf_core import convert_crono, tree, get_array
zipstore_filename = convert_crono(crono_filename)

tree(zipstore_filename)

my_spectrum_smoothed = get_array(zipstore_filename, 'maxrf_all_spectra')[123]
my_spectrum = spectra[123] # arbitrary 

fig, ax = plt.subplots(figsize=[15, 5])
ax.plot(energies, my_spectrum_smoothed)
ax.set_xlabel('energy [keV]')
ax.set_ylabel('intensity [# counts]')
ax.set_title('XRF spectrum #1234 (smoothed)');
"""  # noqa: W291, W293 - as it stands on the page

LISTING = """\
  [0] /Configuration/FinalSystemStatus
  [1] /Configuration/InitialSystemStatus
  [2] /Configuration/Settings
  [3] /CreatedDateTime
  [4] /CreatedWithSoftwareVersion
  [5] /FileStructureVersion
  [6] /Images/Documentation
  [7] /Images/ImageAdjusting/ImagePixelSizeRatio
  [8] /Images/Static
  [9] /Images/StitchedImage
  [10] /Images/VideoStreams
  [11] /XRF/CalibrationPoints
  [12] /XRF/DPPStartTimestamp
  [13] /XRF/Detected
 *[14] /XRF/EnergyVector
  [15] /XRF/LiveTimes
  [16] /XRF/Maps/ComputedMaps
 *[17] /XRF/MotorsPositions
  [18] /XRF/MotorsPositionsStats
  [19] /XRF/MotorsTimestamps
  [20] /XRF/OutputCountRates
  [21] /XRF/ROIs/ROIsEnergies
  [22] /XRF/ROIs/ROIsNames
  [23] /XRF/ROIs/ROIsObjects
  [24] /XRF/RealTimes
  [25] /XRF/ResetCounterValue
 *[26] /XRF/Spectra
  [27] /XRF/SpectraIDs
 *[28] /XRF/SpectraSelectedIndex
  [29] /XRF/Timestamps
  [30] /XRF/XComputedMapsCoordinate
  [31] /XRF/YComputedMapsCoordinate
crono-12x9.zipstore:

/
 ├── maxrf_all_spectra (259, 4096) float32
 ├── maxrf_cube (12, 9, 4096) float32
 ├── maxrf_energies (4096,) float32
 ├── maxrf_max_spectrum (4096,) float32
 ├── maxrf_sum_spectrum (4096,) float32
"""


@pytest.fixture(scope="module")
def scan_file(data_folder) -> Path:
    """Return the simulated scan that both programs converted."""
    return data_folder / "crono-12x9.HDF5"


@pytest.fixture(scope="module")
def reference(data_folder) -> Path:
    """Return what cronomaxrf 0.0.12 wrote."""
    return data_folder / "crono-12x9.cronomaxrf-0.0.12.zipstore"


@pytest.fixture(scope="module")
def selected(scan_file, tmp_path_factory) -> str:
    """Return what this package writes with the vendor's selection."""
    folder = tmp_path_factory.mktemp("selected")
    return convert_crono(scan_file, output=folder, method="selected", progress=False)


@pytest.fixture(scope="module")
def default(scan_file, tmp_path_factory) -> str:
    """Return what this package writes when nothing is said."""
    return convert_crono(scan_file, output=tmp_path_factory.mktemp("default"), progress=False)


@pytest.fixture
def bruker() -> Path:
    """Return counts of a real detector on a regular raster; the file stays where it lies."""
    path = Path(__file__).parents[3] / "shared" / "real" / "bruker-eds-50x50.HDF5"
    if not path.exists():
        pytest.skip("the folder of real measurements is not beside this project")
    return path


@pytest.mark.parametrize("name", INTERCHANGE_ARRAYS)
def test_the_vendors_selection_gives_the_references_arrays(selected, reference, name):
    """Every figure ever made with cronomaxrf can be made again."""
    ours, theirs = get_array(selected, name), get_array(reference, name)
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.shape == theirs.shape == SHAPES[name]
    assert float(theirs.max()) > 1.0  # not empty against empty
    # values below the smallest normal float32, far out in a Gaussian's tail, have fewer digits
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCES[name], atol=1e-37)


def test_the_default_differs_from_the_reference_in_the_cube_alone(default, reference):
    """A better interpolation has the same names and shapes, and the same spectra."""
    for name in INTERCHANGE_ARRAYS:
        ours, theirs = get_array(default, name), get_array(reference, name)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    for name in (ALL_SPECTRA, ENERGIES):
        np.testing.assert_allclose(
            get_array(default, name), get_array(reference, name), rtol=FLOAT32_ROUNDING, atol=1e-37
        )
    assert not np.allclose(get_array(default, CUBE), get_array(reference, CUBE), rtol=0.01)


def test_row_zero_of_the_reference_is_the_smallest_y(scan_file, reference, selected):
    """Motor orientation is the vendor's in this file: a cube is not turned in passing."""
    with h5py.File(scan_file) as file:
        index = file["XRF/SpectraSelectedIndex"][..., 0]
        y = file["XRF/MotorsPositions"][:, 1][index]
        spectra = file["XRF/Spectra"][:]
    assert (np.diff(np.median(y, axis=1)) > 0).all()
    with open_scan(selected) as scan:
        np.testing.assert_array_equal(scan.selected_index, index)
    expected = smooth_spectra(spectra[index[2, 7]], 7)
    np.testing.assert_allclose(
        get_array(reference, CUBE)[2, 7], expected, rtol=FLOAT32_ROUNDING, atol=1e-37
    )


def test_the_notebook_runs_with_only_the_import_changed(scan_file, tmp_path):
    """Step by step, in a Python of its own, with the folder it expects."""
    shutil.copy(scan_file, tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOTEBOOK],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(LISTING)
    assert "Reading and smoothing spectra" in done.stderr
    assert (tmp_path / "crono-12x9.zipstore").exists()


def test_the_notebook_is_the_references(scan_file):
    """What runs above is the page, line by line, where the page is at hand."""
    page = scan_file.parents[3] / "shared" / "reference" / "reference-notebook.txt"
    if not page.exists():
        pytest.skip("the reference's notebook is not beside this project")
    changed = r"import|crono_filename = |\[1?23\]|\[1234\]"
    lines = [line for line in NOTEBOOK.splitlines() if line and not re.search(changed, line)]
    assert len(lines) > 20
    on_the_page = page.read_text().splitlines()
    assert [line for line in lines if line not in on_the_page] == []
    listing = [line for line in LISTING.splitlines() if "] /" in line]
    assert [line for line in listing if line not in on_the_page] == []


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (read_datasets, 1),
        (convert_crono, 1),
        (tree, 2),
        (get_array, 3),
    ],
)
def test_calls_by_position_mean_what_they_meant(function, names):
    """Arguments of the reference, in the reference's order; anything else has a default."""
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(positional) == names
    assert all(p.default is not p.empty for p in parameters if p not in positional)


@pytest.mark.parametrize(
    ("function", "name", "default"), [(get_array, "compute", True), (tree, "show_arrays", False)]
)
def test_keywords_of_the_reference_are_kept(function, name, default):
    """And their defaults."""
    assert inspect.signature(function).parameters[name].default is default


@pytest.mark.parametrize("method", ["selected", "nearest", "linear"])
def test_real_counts_on_a_regular_raster_come_back_as_they_are(bruker, tmp_path, method):
    """50 x 50 spectra of 2048 channels, no regions of interest: an exact map of exact counts."""
    path = convert_crono(
        bruker, output=tmp_path, method=method, sigma=0, cubes=False, progress=False
    )
    with h5py.File(bruker) as file:
        index = file["XRF/SpectraSelectedIndex"][..., 0]
        spectra, energies = file["XRF/Spectra"][:], file["XRF/EnergyVector"][:]
    with open_scan(path) as scan:
        assert scan.rois == ()
        assert scan.grid.shape == (50, 50)
        image = scan.energy_map(0.5, 12.0)
        window = (energies >= 0.5) & (energies < 12.0)
        np.testing.assert_array_equal(image, spectra[index][..., window].sum(axis=-1))
        np.testing.assert_array_equal(scan.cell_spectrum(3, 7), spectra[index[3, 7]])
