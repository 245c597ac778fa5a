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
    "ZipstoreError",
    "build_operator",
    "convert_crono",
    "gaussian_kernel",
    "get_array",
    "open_scan",
    "read_crono",
    "read_datasets",
    "smooth_spectra",
    "tree",
]
