"""Checks of how a zipstore describes its arrays: shapes, dtypes, chunks, attributes.

Nothing but descriptions is read. What passes can be read chunk by chunk, side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from .contents import BLOCK_ARRAYS, CUBE_ARRAYS, NUMBERS, Contents, metadata_keys
from .counts import MAX_SIFTED
from .errors import ZipstoreError
from .layout import ArrayLayout
from .schema import (
    ALL_SPECTRA,
    BLOCK_MAX_SMOOTHED,
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    CUBE,
    ENERGIES,
    MAX_SMOOTHED,
    ROI_ENERGIES,
)
from .store import StoreReader

__all__ = ["layout_faults"]


def layout_faults(reader: StoreReader, contents: Contents, keys: set[str] | None) -> Iterator[str]:
    """Yield what is wrong with the arrays as they are described, chunks unread.

    Parameters
    ----------
    reader : StoreReader
        The store.
    contents : Contents
        What it says that it holds.
    keys : set of str or None
        Its entries, where they are known.
    """
    if contents.n_spectra == 0 or contents.n_channels == 0:
        yield f"{COUNTS_BY_SPECTRUM} has no counts; expected a scan."
        return
    some_blocks = any(name in reader for name in BLOCK_ARRAYS)
    some_cubes = any(name in reader for name in CUBE_ARRAYS)
    for name, (shape, dtype) in contents.rules.items():
        wanted = not contents.optional(name)
        wanted |= some_blocks and name in BLOCK_ARRAYS
        if name not in reader:
            if wanted or any(key.startswith(f"{name}/") for key in keys or ()):
                yield f"there is no array {name}, or its entry {name}/.zarray is missing."
            continue
        if keys is not None:
            yield from (
                f"there is no entry {key}." for key in metadata_keys(name) if key not in keys
            )
        try:
            layout = reader.layout(name)
        except ZipstoreError as error:
            yield str(error)
            continue
        yield from _misfits(name, layout, shape, dtype)
        if keys is not None and prod(layout.chunk_counts) > len(keys):
            yield f"{name} should have {prod(layout.chunk_counts)} chunks; entries are {len(keys)}."
    if some_cubes and not contents.cubes:
        yield "there are float arrays, but the attributes say that the conversion was lean."
    yield from _chunk_faults(reader, contents)
    yield from _attribute_faults(reader, contents)


def _misfits(
    name: str, layout: ArrayLayout, shape: tuple[int | None, ...], dtype: str
) -> Iterator[str]:
    fits = len(layout.shape) == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, layout.shape, strict=True)
    )
    if not fits:
        wanted = tuple("any" if size is None else size for size in shape)
        yield f"{name} has shape {layout.shape}; expected ({', '.join(map(str, wanted))})."
    if dtype not in (layout.dtype.name, NUMBERS, "i") or (
        len(dtype) <= len(NUMBERS) and layout.dtype.kind not in dtype
    ):
        kinds = {NUMBERS: "numbers", "i": "whole numbers"}
        yield f"{name} has dtype {layout.dtype}; expected {kinds.get(dtype, dtype)}."


def _chunk_faults(reader: StoreReader, contents: Contents) -> Iterator[str]:
    """Yield which chunks do not lie side by side with the others."""
    n, c = contents.n_spectra, contents.n_channels
    expected: dict[str, tuple[int, ...]] = {
        COUNTS_BY_SPECTRUM: (contents.chunk, c),
        COUNTS_BY_CHANNEL: (min(CHANNELS_PER_GROUP, c), contents.block),
        COUNTS_CUMULATIVE: (1, contents.block),
        **dict.fromkeys(BLOCK_ARRAYS, (1, c)),
    }
    if contents.cubes:
        expected[ALL_SPECTRA] = (contents.portion, c)
    for name, chunks in expected.items():
        found = reader.layout(name).chunks if name in reader else chunks
        if found != chunks:
            yield f"{name} has chunks of {found}; expected {chunks}."
    for what, size, of_what, part in (
        ("a block", contents.block, "a portion", contents.portion),
        ("a portion", contents.portion, "a chunk", contents.chunk),
    ):
        if size % part and size < n:
            yield f"{what} has {size} spectra, no multiple of {of_what}'s {part}."
    if contents.portion > MAX_SIFTED:
        yield f"chunks have {contents.portion} spectra; at most {MAX_SIFTED} can be checked."


def _attribute_faults(reader: StoreReader, contents: Contents) -> Iterator[str]:
    """Yield which attributes of arrays are at odds with those of the root."""
    expected: dict[str, dict[str, Any]] = {
        COUNTS_CUMULATIVE: {"channels_per_row": CHANNELS_PER_GROUP},
        MAX_SMOOTHED: {"sigma_channels": contents.sigma},
        BLOCK_MAX_SMOOTHED: {"sigma_channels": contents.sigma},
        ENERGIES: {"units": "keV"},
    }
    if contents.cubes:
        of_cube = {"method": contents.method, "orientation": contents.orientation}
        expected |= {name: {"sigma_channels": contents.sigma} for name in CUBE_ARRAYS}
        expected[CUBE] = expected[CUBE] | of_cube
    for name, attributes in expected.items():
        found = reader.layout(name).attributes if name in reader else attributes
        for key, value in attributes.items():
            if found.get(key) != value:
                yield f"{name} has the attribute {key} = {found.get(key)!r}; expected {value!r}."
    names = reader.layout(ROI_ENERGIES).attributes.get("names") if ROI_ENERGIES in reader else None
    if ROI_ENERGIES in reader and (
        not isinstance(names, list) or len(names) != reader.layout(ROI_ENERGIES).shape[0]
    ):
        yield f"{ROI_ENERGIES} has the names {names!r}; expected one for each of its rows."
