"""Every spectrum of a macro X-ray fluorescence scan, in a regular cube, at any size.

Names are imported when first used (PEP 562): ``maxrf --help`` answers at once, and a
conversion can be cancelled before numba and dask are loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .check import CheckReport, check_zipstore
    from .conversion import convert_crono
    from .crono import Roi, read_crono, read_datasets
    from .errors import (
        ClusterError,
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

_NAMES = {
    "check": ("CheckReport", "check_zipstore"),
    "conversion": ("convert_crono",),
    "crono": ("Roi", "read_crono", "read_datasets"),
    "errors": (
        "ClusterError",
        "ConversionCancelled",
        "CronoFileError",
        "MaxrfError",
        "OutputError",
        "ParameterError",
        "ZipstoreError",
    ),
    "grid": ("Grid",),
    "interchange": ("get_array", "tree"),
    "interpolation": ("METHODS", "Operator", "build_operator"),
    "scan": ("Scan", "open_scan"),
    "simulation": ("SimulatedScan", "load_truth", "simulate_crono"),
    "smoothing": ("gaussian_kernel", "smooth_spectra"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "METHODS",
    "CheckReport",
    "ClusterError",
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
    "check_zipstore",
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


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
