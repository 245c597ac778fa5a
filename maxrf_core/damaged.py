"""What can still be read of a damaged zipstore: chunks, also where their description is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .blocks import BlockPlan
from .check_arrays import operator_faults
from .contents import TIMES, operator_arrays
from .crono import CronoScan, Roi
from .errors import ZipstoreError
from .grid import Grid, VendorGrid, cube_flips
from .interpolation import check_method
from .layout import CUMULATIVE_CODEC, ArrayLayout, chunk_key, read_layout
from .salvage import SalvagedZip
from .schema import (
    ALL_SPECTRA,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    ENERGIES,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
    SPECTRA_REAL_TIMES,
    SPECTRA_TIMESTAMPS,
    SPECTRA_TOTALS,
)
from .smoothing import check_sigma
from .store import StoreReader

__all__ = ["DamagedStore"]

_BLOSC_LENGTH = slice(4, 8)  # of what a frame decompresses to (c-blosc README_CHUNK_FORMAT)
_MEMORY = 2**30  # that a conversion is given by default, for a plan nothing else is known of


class DamagedStore:
    """A zipstore of which parts may be missing or damaged.

    Parameters
    ----------
    path : Path
        The zipstore.

    Attributes
    ----------
    attributes : dict
        Of the root.
    left_out : list of str
        A sentence for each array that is lost and that a scan can do without.
    times_are_lost : bool
        Whether the live times, which weigh the spectra of an interpolation, are among them.

    Raises
    ------
    ZipstoreError
        If what nothing else tells is lost: the root's attributes, energies, positions, or the
        vendor's selection.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries = SalvagedZip(path)
        self.directory_is_whole = self._entries.directory_is_whole
        self.left_out: list[str] = []
        self.times_are_lost = False
        try:
            self._reader = StoreReader(path, entries=self._entries)
            self.attributes = self._reader.attributes
            self._read_root()
            self.n_spectra, self.n_channels = self._sizes()
            self.scan = self._read_scan()
        except BaseException:
            self._entries.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._entries.close()

    def entry(self, key: str) -> bytes | None:
        """Return an entry, or None if it is missing or damaged."""
        try:
            return self._entries.read(key)
        except (KeyError, ZipstoreError):
            return None

    def keys(self) -> set[str]:
        """Return the keys of all entries, whole or not."""
        return set(self._entries.keys())

    def layout(self, name: str) -> ArrayLayout | None:
        """Return how an array is described, without its attributes if those are lost."""
        try:
            return self._reader.layout(name)
        except ZipstoreError:
            pass
        array = self.entry(f"{name}/.zarray")
        try:
            return None if array is None else read_layout(array, None)
        except (ValueError, KeyError, TypeError):
            return None

    def read_chunk(self, name: str, index: tuple[int, ...], layout: ArrayLayout) -> npt.NDArray:
        """Return a chunk; `layout` stands for a description that is lost.

        Raises
        ------
        ZipstoreError
            If it is missing or damaged.
        """
        data = self.entry(chunk_key(name, index))
        if data is None:
            raise ZipstoreError(f"{self.path.name} has no whole chunk {index} of {name!r}.")
        try:
            return (self.layout(name) or layout).decode(data, index)
        except (ValueError, RuntimeError) as error:
            msg = f"{self.path.name}: chunk {index} of {name!r} is damaged ({error})."
            raise ZipstoreError(msg) from error

    def plan(self) -> BlockPlan:
        """Return how its counts are cut into blocks, chunk by chunk as they lie there."""
        usual = BlockPlan.within(
            self.n_spectra, self.n_channels, _MEMORY, sigma=self.sigma, smoothed=self.cubes
        )

        def length(axis: int, usual: int, *names: str) -> int:
            known = (layout for name in names if (layout := self.layout(name)) is not None)
            return next((min(one.chunks[axis], self.n_spectra) for one in known), usual)

        block = length(1, usual.block, COUNTS_CUMULATIVE, COUNTS_BY_CHANNEL)
        return replace(
            usual,
            block=length(0, block, SPECTRA_TOTALS),
            portion=length(0, usual.portion, ALL_SPECTRA),
            chunk=length(0, usual.chunk, COUNTS_BY_SPECTRUM),
        )

    def operator_layouts(self) -> dict[str, ArrayLayout] | None:
        """Return the layouts of the interpolation's arrays by name, if it is whole."""
        method, found = self.attributes["parameters"]["method"], {}
        for name in operator_arrays(method):
            try:
                found[name] = self._reader.layout(name)
            except ZipstoreError:
                return None
        bounds = next(iter(found.values()))
        faults = operator_faults(self._reader, method, self.n_spectra, self.grid.width)
        return None if bounds.shape != (self.grid.size + 1,) or any(faults) else found

    def array_attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of an array; none if they are lost."""
        try:
            return dict(json.loads(self.entry(f"{name}/.zattrs") or b"{}"))
        except (ValueError, TypeError):
            return {}

    # --- what a scan is made of ------------------------------------------------------------

    def _read_root(self) -> None:
        attributes = self.attributes
        try:
            parameters, vendor = attributes["parameters"], attributes["vendor_grid"]
            self.grid, self.vendor_grid = Grid.from_dict(attributes["grid"]), Grid.from_dict(vendor)
            self.vendor_flips = bool(vendor["rows_flipped"]), bool(vendor["columns_flipped"])
            self.flips = cube_flips(
                parameters["orientation"],
                rows_flipped=self.vendor_flips[0],
                columns_flipped=self.vendor_flips[1],
            )
            check_method(parameters["method"])
            self.sigma, self.cubes = check_sigma(parameters["sigma"]), bool(parameters["cubes"])
            _ = attributes["metadata"], attributes["source"]["name"]
        except (KeyError, TypeError, ValueError) as error:
            raise ZipstoreError(
                f"{self.path.name}: the description of the scan is damaged ({error!r}), and "
                "nothing else tells it. Convert the scan again."
            ) from error

    def _sizes(self) -> tuple[int, int]:
        """Return the numbers of spectra and channels, from whatever array still says them."""
        spectra, channels = [], []
        for name, axes in (
            (COUNTS_BY_SPECTRUM, (0, 1)),
            (COUNTS_BY_CHANNEL, (1, 0)),
            (COUNTS_CUMULATIVE, (1, None)),
            (POSITIONS, (0, None)),
            (SPECTRA_TOTALS, (0, None)),
            (ENERGIES, (None, 0)),
        ):
            layout = self.layout(name)
            if layout is not None and len(layout.shape) == 2 - (name in (ENERGIES, SPECTRA_TOTALS)):
                spectra += [layout.shape[axes[0]]] if axes[0] is not None else []
                channels += [layout.shape[axes[1]]] if axes[1] is not None else []
        if not (spectra and channels and min(spectra[0], channels[0]) > 0):
            raise ZipstoreError(
                f"{self.path.name}: no array tells how many spectra and channels there are. "
                "Convert the scan again."
            )
        return spectra[0], channels[0]

    def _read_scan(self) -> CronoScan:
        n, c = self.n_spectra, self.n_channels
        times = {
            name: self._optional(name, (n,), np.float64) for name in TIMES if self._is_there(name)
        }
        self.times_are_lost = times.get(SPECTRA_LIVE_TIMES, times) is None
        positions = self._required(POSITIONS, (n, 3), np.uint32)
        self.vendor = VendorGrid(
            self.vendor_grid,
            self._required(SELECTED, self.vendor_grid.shape, np.int64),
            *self.vendor_flips,
        )
        return CronoScan(
            filename=self.path,
            n_spectra=n,
            n_channels=c,
            energies=self._required(ENERGIES, (c,), np.float32),
            positions=positions,
            selected_index=self.vendor.selected_index,
            live_times=times.get(SPECTRA_LIVE_TIMES),
            real_times=times.get(SPECTRA_REAL_TIMES),
            timestamps=times.get(SPECTRA_TIMESTAMPS),
            rois=self._rois(),
            metadata=self.attributes["metadata"],
            spectra_chunks=None,
            spectra_compression=None,
        )

    def _is_there(self, name: str) -> bool:
        return any(key.startswith(f"{name}/") for key in self.keys())

    def _array(self, name: str, shape: tuple[int, ...], dtype: type) -> npt.NDArray:
        """Return a small array; shape and dtype stand for a description that is lost."""
        usual = ArrayLayout(shape, np.dtype(dtype), tuple(map(int, shape)), CUMULATIVE_CODEC, {})
        layout = self.layout(name) or usual
        values = np.zeros(layout.shape, layout.dtype)
        for index in np.ndindex(*(layout.chunk_counts if values.size else (0,))):
            place = tuple(
                slice(i * step, (i + 1) * step)
                for i, step in zip(index, layout.chunks, strict=True)
            )
            values[place] = self.read_chunk(name, index, layout)
        return values

    def _required(self, name: str, shape: tuple[int, ...], dtype: type) -> npt.NDArray:
        try:
            return self._array(name, shape, dtype)
        except ZipstoreError as error:
            raise ZipstoreError(
                f"{self.path.name}: {name} is lost, and no other array tells it. Convert the scan "
                "again."
            ) from error

    def _optional(self, name: str, shape: tuple[int, ...], dtype: type) -> npt.NDArray | None:
        try:
            return self._array(name, shape, dtype)
        except ZipstoreError:
            self.left_out.append(f"{name} is lost, and no other array tells it: it was left out.")
            return None

    def _rois(self) -> tuple[Roi, ...]:
        names = self.array_attributes(ROI_ENERGIES).get("names")
        first = self.entry(chunk_key(ROI_ENERGIES, (0, 0))) or b""
        pairs = int.from_bytes(first[_BLOSC_LENGTH], "little") // 16
        energies = self._optional(ROI_ENERGIES, (pairs, 2), np.float64)
        if energies is None:
            return ()
        if not isinstance(names, list) or len(names) != len(energies):
            self.left_out.append(f"the names in {ROI_ENERGIES} are lost: its regions are numbered.")
            names = [f"region {number}" for number in range(1, len(energies) + 1)]
        return tuple(
            Roi(str(name), float(low), float(high))
            for name, (low, high) in zip(names, energies, strict=True)
        )
