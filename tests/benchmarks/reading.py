"""How long reads of a converted scan take, in process, with the file in the page cache.

    python -m tests.benchmarks.reading SCAN.zipstore [--count N]

Energy windows are random, none is asked for twice: their widths are spread evenly on a log scale
from 0.1 to 20 keV, and they lie anywhere from 0.5 to 40 keV. The scan's own cache of counts is
as large as in the page. The yardstick is the sum over the same windows of a float cube with
dask, the way of programs that have no tables.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .apart import apart

__all__ = ["cold_start", "dask_windows", "measure_reads", "read_all", "write_part"]

Window = tuple[float, float]

LOWEST_KEV, HIGHEST_KEV = 0.5, 40.0
NARROW_KEV, WIDE_KEV = 0.2, 20.0
FIRST_WINDOW = (6.169, 6.612)  # iron, in the instrument's own ROIs
SIGMA = 7.0  # channels: what the page starts with
MODULE = "tests.benchmarks.reading"
REGION_CELLS = 100_000
REGIONS = 5
THREADS = 4
STARTS = 5


def random_windows(
    count: int, rng: np.random.Generator, widths: tuple[float, float] = (0.1, WIDE_KEV)
) -> list[Window]:
    """Return energy windows in keV, their widths spread evenly on a log scale."""
    sizes = np.exp(rng.uniform(*np.log(widths), count))
    lows = rng.uniform(LOWEST_KEV, HIGHEST_KEV - sizes)
    return [(float(low), float(low + size)) for low, size in zip(lows, sizes, strict=True)]


def cold_start(zipstore: str) -> dict[str, float]:
    """Open a scan and make its first map; return both times in ms."""
    from maxrf_core import open_scan

    start = time.perf_counter()
    with open_scan(zipstore) as scan:
        opened = time.perf_counter()
        scan.energy_map(*FIRST_WINDOW)
        mapped = time.perf_counter()
    return {"open_ms": (opened - start) * 1e3, "first_map_ms": (mapped - opened) * 1e3}


def measure_reads(zipstore: str, count: int) -> dict[str, float]:
    """Return what reads of a scan cost, by name: `count` of each, times in ms."""
    from maxrf_core import open_scan

    rng = np.random.default_rng(20261123)
    with open_scan(zipstore) as scan:
        height, width = scan.grid.shape
        scan.energy_map(*FIRST_WINDOW, sigma=SIGMA)
        scan.energy_map_error(*FIRST_WINDOW)
        scan.cell_spectrum(height // 2, width // 2, sigma=SIGMA)

        def windows(widths: tuple[float, float] = (0.1, WIDE_KEV)) -> list[Window]:
            return random_windows(count, rng, widths)

        def smoothed(window: Window) -> npt.NDArray:
            return scan.energy_map(*window, sigma=SIGMA)

        def smoothed_cell(cell: npt.NDArray) -> npt.NDArray:
            return scan.cell_spectrum(int(cell[0]), int(cell[1]), sigma=SIGMA)

        def mapped(window: Window) -> npt.NDArray:
            return scan.energy_map(*window)

        spectra = rng.integers(0, scan.n_spectra, count)
        cells = rng.integers(0, scan.grid.shape, (count, 2))
        region = min(REGION_CELLS, scan.grid.size // 2)
        times = _in_turn(
            {
                "window": (mapped, windows()),
                "smoothed": (smoothed, windows()),
                "error": (lambda window: scan.energy_map_error(*window), windows()),
                "narrow": (mapped, windows((NARROW_KEV, NARROW_KEV))),
                "wide": (mapped, windows((WIDE_KEV, WIDE_KEV))),
            }
        )
        times |= _in_turn(
            {
                "spectrum": (lambda index: scan.spectrum(int(index), sigma=SIGMA), spectra),
                "cell": (smoothed_cell, cells),
            }
        )
        masks = [_region(scan.grid.shape, region, rng) for _ in range(REGIONS)]
        times |= _in_turn({"region": (lambda mask: scan.mean_spectrum(mask, sigma=SIGMA), masks)})
        one, several = 0.0, 0.0
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in range(2):  # in turn, so that a busy minute strikes both
                one += _seconds(lambda: [mapped(window) for window in windows()])
                several += _seconds(lambda: list(pool.map(mapped, windows())))
        held = scan.cache_info["bytes"]
    found = {f"{name}_ms": float(np.median(values)) for name, values in times.items()}
    found |= {f"{name}_p95_ms": float(np.percentile(values, 95)) for name, values in times.items()}
    found |= {
        "windows_per_s": 2 * count / one,
        "windows_per_s_4": 2 * count / several,
        "region_cells": float(region),
        "cache_mb": held / 1e6,
    }
    return found


def read_all(zipstore: Path, count: int) -> dict[str, float]:
    """Measure all reads of a zipstore, in processes of their own.

    Parameters
    ----------
    zipstore : Path
        What `convert_crono` wrote; in the page cache.
    count : int
        Windows and places of each kind.

    Returns
    -------
    dict of str to float
        Times in ms; `read_peak_mb`, the reading process's highest resident memory.
    """
    starts = [apart(f"{MODULE}:cold_start", str(zipstore)).value for _ in range(STARTS)]
    found = {name: float(np.median([start[name] for start in starts])) for name in starts[0]}
    run = apart(f"{MODULE}:measure_reads", str(zipstore), count)
    return found | run.value | {"read_peak_mb": run.peak / 1e6}


def write_part(zipstore: str, output: str, cells: int) -> int:
    """Write the first rows of a scan's cube, about `cells` cells, as a conversion would.

    Returns
    -------
    int
        Cells written: all of them if they are few enough.
    """
    from maxrf_core import open_scan
    from maxrf_core.combine import CUBE_TILE
    from maxrf_core.layout import FLOAT_CODEC
    from maxrf_core.schema import CUBE
    from maxrf_core.writer import ZipstoreWriter

    with open_scan(zipstore) as scan, ZipstoreWriter(Path(output), {}) as writer:
        height, width = scan.grid.shape
        rows = min(height, -(-cells // width // CUBE_TILE) * CUBE_TILE)
        tile = (min(CUBE_TILE, height), min(CUBE_TILE, width))
        cube = scan.cube(sigma=scan.conversion_sigma)
        writer.create_array(
            CUBE,
            shape=(rows, width, scan.n_channels),
            dtype=np.float32,
            chunks=(*tile, scan.n_channels),
            codec=FLOAT_CODEC,
        )
        for band, top in enumerate(range(0, rows, tile[0])):
            block = cube[top : min(top + tile[0], rows)].compute()
            for number, left in enumerate(range(0, width, tile[1])):
                writer.write_chunk(CUBE, (band, number, 0), block[:, left : left + tile[1]])
        writer.commit()
    return rows * width


def dask_windows(cube: str, zipstore: str, count: int) -> list[float]:
    """Return the seconds of summing windows from a float cube with dask.

    Parameters
    ----------
    cube : str
        A zipstore with ``maxrf_cube``.
    zipstore : str
        The scan it came from, for its energies.
    count : int
        Windows, after one that is not counted.
    """
    from maxrf_core import get_array, open_scan
    from maxrf_core.schema import CUBE

    windows = random_windows(count + 1, np.random.default_rng(20261124))
    lazy = get_array(cube, CUBE, compute=False)
    with open_scan(zipstore) as scan:
        channels = [scan.channels_of(*window) for window in windows]
    return [_seconds(lazy[..., each].sum(axis=-1).compute) for each in channels][1:]


def _region(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return a rectangle of about so many cells somewhere in a map, (h, w) bool."""
    height, width = shape
    rows = max(1, round(height * np.sqrt(cells / (height * width))))
    columns = min(width, max(1, round(cells / rows)))
    top, left = rng.integers(0, (height - rows + 1, width - columns + 1))
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + rows, left : left + columns] = True
    return mask


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _in_turn(
    calls: Mapping[str, tuple[Callable[[Any], object], Sequence[Any]]],
) -> dict[str, list[float]]:
    """Return the times of calls in ms, by name: the first of each, then the second, and so on.

    So all find the scan's cache of counts in the same state.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in zip(*(values for _, values in calls.values()), strict=True):
        for (name, (call, _)), value in zip(calls.items(), turn, strict=True):
            times[name].append(1e3 * _seconds(partial(call, value)))
    return times


def main() -> None:
    """Measure the reads of one zipstore and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("zipstore", type=Path, help="what maxrf convert wrote")
    parser.add_argument("--count", type=int, default=200, help="windows and places (200)")
    options = parser.parse_args()
    print(json.dumps(read_all(options.zipstore.resolve(), options.count), indent=2))


if __name__ == "__main__":
    main()
