"""From a Crono HDF5 file to a zipstore, in one pass over its spectra.

Here is what the user asks for and how it is checked; `pipeline` does the work.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.utils import parse_bytes

from .cluster import ClusterRunner
from .crono import CronoScan, read_crono
from .errors import OutputError, ParameterError, ZipstoreError
from .grid import Grid, Orientation, Spacing, VendorGrid, cube_flips, make_grid, vendor_grid
from .interpolation import DEFAULT_METHOD, check_method
from .lag import AUTOMATIC, check_lag
from .location import file_stamp
from .pipeline import Pipeline
from .progress import Progress, progress_bar
from .runners import ThreadRunner
from .schema import (
    SCHEMA_NAME,
    SCHEMA_VERSION,
    ZIPSTORE_SUFFIX,
)
from .smoothing import check_sigma
from .store import StoreReader
from .unfinished import left_behind, leftovers, remove_stale
from .writer import output_error

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DEFAULT_SIGMA", "convert_crono"]

DEFAULT_SIGMA = 7.0
"""Smoothing of the interchange arrays in channels: what `cronomaxrf` 0.0.12 does."""

logger = logging.getLogger(__name__)


def convert_crono(
    crono_filename: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    method: str = DEFAULT_METHOD,
    sigma: float = DEFAULT_SIGMA,
    spacing: Spacing = "vendor",
    orientation: Orientation = "motor",
    lag: str | float = AUTOMATIC,
    cubes: bool = True,
    overwrite: bool = False,
    progress: bool | Callable[[Progress], None] = True,
    cancel: threading.Event | None = None,
    memory_limit: str | int = "1 GiB",
    client: Client | None = None,
) -> str:
    """Convert a Crono HDF5 scan to a zipstore.

    Parameters
    ----------
    crono_filename : path
        The scan.
    output : path, optional
        The zipstore, or a folder for it. By default it lies beside the scan under its
        name, ending in ``.zipstore``.
    method : {"kriging", "linear", "nearest", "selected"}
        Interpolation of ``maxrf_cube``, and the method that maps start with.
        ``selected`` takes the vendor's one spectrum a cell, as `cronomaxrf` does.
    sigma : float
        Gaussian smoothing of the interchange arrays, in channels; 0 leaves counts as
        they are. Maps and spectra are smoothed by any sigma later, from the raw counts.
    spacing : "vendor", "square", float or (float, float)
        Cells of the regular grid: the vendor's, square ones, or a pitch in motor steps.
    orientation : {"motor", "vendor", "image"}
        Rows and columns of ``maxrf_cube``: growing with y and x; as in the file's own
        selection; or with the largest y first, as a picture is stored. Only this array
        is turned: `Scan` always has the smallest y in row 0.
    lag : "auto" or float
        Exposures are later than the positions recorded with them by so many spectra, which
        shifts even and odd rows against each other; the interpolation corrects it. ``auto``
        takes what the scan itself shows, where that is significant; 0 corrects nothing.
    cubes : bool
        Write ``maxrf_all_spectra`` and ``maxrf_cube``, which nothing here needs and
        which take 4 bytes a channel. Without them `get_array` computes them when asked.
    overwrite : bool
        Replace an existing zipstore. Without it, one made from the same file with the
        same parameters is left as it is and returned, and any other is an error.
    progress : bool or callable
        A bar on the terminal, or a function that is given `Progress`.
    cancel : threading.Event, optional
        Set it from another thread to stop.
    memory_limit : str or int
        Memory for a block, such as ``"512 MiB"``. It decides how long the chunks are.
    client : distributed.Client, optional
        Work on a dask cluster instead of in threads here. The scan and its output have to
        lie on a file system that all workers share.

    Returns
    -------
    zipstore_filename : str
        Path of the zipstore.

    Raises
    ------
    CronoFileError
        If the scan cannot be read or makes no sense.
    ParameterError
        If an option has no meaning.
    OutputError
        If the zipstore cannot be written, or another one is in its place.
    ClusterError
        If the workers of `client` cannot do it.
    ConversionCancelled
        If `cancel` was set. Then, and after any error, what stood in place still does.

    Notes
    -----
    If the program is killed, its unfinished file stays, hidden beside the zipstore. The
    same conversion of the same file then goes on where it was, to the same result.
    """
    check_method(method)
    if not isinstance(check_sigma(sigma), float):
        msg = "sigma is an array; the interchange arrays have one sigma for all channels."
        raise ParameterError(msg)
    if lag != AUTOMATIC:
        lag = check_lag(lag)
    limit = _check_memory_limit(memory_limit)
    stamp = file_stamp(Path(crono_filename))
    scan = read_crono(crono_filename)
    vendor = vendor_grid(scan.positions, scan.selected_index)
    grid = make_grid(vendor.grid, spacing)
    flips = cube_flips(
        orientation, rows_flipped=vendor.rows_flipped, columns_flipped=vendor.columns_flipped
    )
    path, exists = _output_path(scan.filename, output)
    attributes = _root_attributes(
        scan,
        stamp,
        vendor,
        grid,
        parameters={
            "method": method,
            "sigma": float(sigma),
            "spacing": spacing if isinstance(spacing, str) else np.asarray(spacing, float).tolist(),
            "orientation": orientation,
            "lag": lag,
            "cubes": cubes,
        },
    )
    if exists and not overwrite:
        return _existing(path, attributes)
    with progress_bar(progress, scan.filename.name) as report:
        runner = ThreadRunner() if client is None else ClusterRunner(client)
        job = Pipeline(scan, vendor, grid, flips, attributes, limit, runner, report, cancel)
        job.run(path)
    logger.info("converted %s to %s", scan.filename, path)
    return str(path)


def _check_memory_limit(memory_limit: str | int) -> int:
    try:
        limit = parse_bytes(memory_limit)
    except (ValueError, AttributeError, TypeError) as error:
        msg = f"memory_limit is {memory_limit!r}; expected a size such as '1 GiB'."
        raise ParameterError(msg) from error
    if limit < 2**26:
        msg = f"memory_limit is {memory_limit!r}; at least 64 MiB are needed."
        raise ParameterError(msg)
    return limit


def _output_path(scan: Path, output: str | os.PathLike[str] | None) -> tuple[Path, bool]:
    """Return where the zipstore goes, and whether there is a file already."""
    name = scan.stem + ZIPSTORE_SUFFIX
    path = scan.with_name(name) if output is None else Path(output)
    try:
        if path.is_dir():
            path /= name
        exists = path.exists()
    except OSError as error:  # such as a name that is too long
        raise output_error(path, error) from error
    if path.suffix != ZIPSTORE_SUFFIX:
        msg = f"output is {str(path)!r}; expected an existing folder or a name ending in .zipstore."
        raise ParameterError(msg)
    if exists and path.samefile(scan):
        msg = f"{path} is the scan itself; name another output."
        raise ParameterError(msg)
    return path, exists


def _root_attributes(
    scan: CronoScan,
    stamp: tuple[str, int, int],
    vendor: VendorGrid,
    grid: Grid,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    _, modified_ns, size = stamp
    return {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "program": f"maxrf-dashboard {version('maxrf-dashboard')}",
        "source": {
            "name": scan.filename.name,
            "size": size,
            "modified_ns": modified_ns,
        },
        "parameters": parameters,
        "grid": grid.to_dict(),
        "vendor_grid": {
            **vendor.grid.to_dict(),
            "rows_flipped": vendor.rows_flipped,
            "columns_flipped": vendor.columns_flipped,
        },
        "metadata": scan.metadata,
    }


def _existing(path: Path, attributes: dict[str, Any]) -> str:
    """Return the name of a zipstore that is what was asked for, or raise."""
    advice = "Pass overwrite=True (command line: --overwrite) to replace it, or another output."
    try:
        with StoreReader(path) as reader:
            found = reader.attributes
    except ZipstoreError as error:
        msg = f"{path} exists already and cannot be used: {error} {advice}"
        raise OutputError(msg) from error
    for key, what in (("source", "another scan"), ("parameters", "other parameters")):
        if found.get(key) != attributes[key]:
            msg = f"{path} exists already and was made from {what}. {advice}"
            raise OutputError(msg)
    logger.info("%s is up to date", path)
    remove_stale(path)
    for left in leftovers(path):
        logger.warning("%s", left_behind(left, path))
    return str(path)
