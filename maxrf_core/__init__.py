"""Every spectrum of a macro X-ray fluorescence scan, in a regular cube, at any size."""

from .conversion import convert_crono
from .crono import Roi, read_crono, read_datasets
from .errors import (
    ConversionCancelled,
    CronoFileError,
    MaxrfError,
    OutputError,
    ParameterError,
    ZipstoreError,
)
from .grid import Grid
from .interchange import get_array, tree
from .interpolation import METHODS, Operator, build_operator
from .scan import Scan, open_scan
from .simulation import SimulatedScan, load_truth, simulate_crono
from .smoothing import gaussian_kernel, smooth_spectra

__all__ = [
    "METHODS",
    "ConversionCancelled",
    "CronoFileError",
    "Grid",
    "MaxrfError",
    "Operator",
    "OutputError",
    "ParameterError",
    "Roi",
    "Scan",
    "SimulatedScan",
    "ZipstoreError",
    "build_operator",
    "convert_crono",
    "gaussian_kernel",
    "get_array",
    "load_truth",
    "open_scan",
    "read_crono",
    "read_datasets",
    "simulate_crono",
    "smooth_spectra",
    "tree",
]
