"""The names and layouts of the two files: Crono HDF5 (read) and zipstore (written).

The Crono layout was read off one real file; see `read_crono` for what is validated.
The zipstore is a zarr format 2 zip. Its five interchange arrays keep the names that
`cronomaxrf` gave them; everything else lives in groups of its own, so that old notebooks
find at the root what they expect.
"""

from __future__ import annotations

# --- Crono HDF5 ---------------------------------------------------------------------------
SPECTRA = "XRF/Spectra"
ENERGY_VECTOR = "XRF/EnergyVector"
MOTORS_POSITIONS = "XRF/MotorsPositions"
SELECTED_INDEX = "XRF/SpectraSelectedIndex"
LIVE_TIMES = "XRF/LiveTimes"
REAL_TIMES = "XRF/RealTimes"
TIMESTAMPS = "XRF/Timestamps"
ROIS_ENERGIES = "XRF/ROIs/ROIsEnergies"
ROIS_NAMES = "XRF/ROIs/ROIsNames"
SETTINGS = "Configuration/Settings"
CREATED_DATETIME = "CreatedDateTime"
CREATED_WITH = "CreatedWithSoftwareVersion"
FILE_STRUCTURE_VERSION = "FileStructureVersion"
CALIBRATION_POINTS = "XRF/CalibrationPoints"

CRONO_SUFFIXES = (".hdf5", ".h5", ".hdf")

CUBE_SUFFIXES = (".rpl", ".raw", ".datastack")
"""How cubes of other programs and scanners end that `import_scan` takes, in lower case."""

ZIPSTORE_SUFFIX = ".zipstore"

SCAN_SUFFIXES = (ZIPSTORE_SUFFIX, *CRONO_SUFFIXES, *CUBE_SUFFIXES)
"""How files end that hold a scan, in lower case."""

# --- zipstore -----------------------------------------------------------------------------
SCHEMA_NAME = "maxrf-zipstore"
SCHEMA_VERSION = 1
"""Of what is written; every earlier one, from 1 on, is read (``tests/data/schema-*``)."""

UPGRADE = "pip install --upgrade maxrf-dashboard"
"""What to do with a file that a newer version of this program wrote."""

ALL_SPECTRA = "maxrf_all_spectra"
CUBE = "maxrf_cube"
MAX_SPECTRUM = "maxrf_max_spectrum"
SUM_SPECTRUM = "maxrf_sum_spectrum"
ENERGIES = "maxrf_energies"
INTERCHANGE_ARRAYS = (ALL_SPECTRA, CUBE, MAX_SPECTRUM, SUM_SPECTRUM, ENERGIES)

COUNTS_BY_SPECTRUM = "counts/by_spectrum"
COUNTS_BY_CHANNEL = "counts/by_channel"
COUNTS_CUMULATIVE = "counts/cumulative"
TOTAL_COUNTS = "counts/total_spectrum"
MAX_COUNTS = "counts/max_spectrum"
MAX_SMOOTHED = "counts/max_smoothed_spectrum"
BLOCK_TOTALS = "blocks/total_spectrum"
BLOCK_MAX = "blocks/max_spectrum"
BLOCK_MAX_SMOOTHED = "blocks/max_smoothed_spectrum"

POSITIONS = "spectra/positions"
SPECTRA_LIVE_TIMES = "spectra/live_times"
SPECTRA_REAL_TIMES = "spectra/real_times"
SPECTRA_TIMESTAMPS = "spectra/timestamps"
SPECTRA_TOTALS = "spectra/total_counts"

SELECTED = "grid/selected_index"
ROI_ENERGIES = "rois/energies"
OPERATOR_GROUP = "operator"

CHANNELS_PER_GROUP = 16
"""Channels in a chunk of the by-channel counts, and between two cumulative rows."""

MAX_STEPS = 1e12
"""Motor steps: no stage goes so far, and squares of distances stay finite."""
