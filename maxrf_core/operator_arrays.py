"""The operator W in a store: three arrays, written as its rows are made and read at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from .errors import ZipstoreError
from .interpolation import Operator, Recipe
from .layout import CUMULATIVE_CODEC, ArrayLayout, ChunkSink, ChunkSource
from .parallel import in_order, in_parallel, thread_count
from .scan_arrays import require_layout
from .schema import OPERATOR_GROUP
from .store import StoreReader
from .unfinished import told

__all__ = ["has_operator", "read_operator", "write_operator"]

_ENTRIES_PER_CHUNK = 2**22  # 16 MiB


def write_operator(
    sink: ChunkSink,
    method: str,
    recipe: Recipe,
    n_spectra: int,
    path: Path,
    report: Callable[[int], None],
) -> None:
    """Make W block by block and write it, without ever holding it whole.

    An array has to know its length before it is written, so the rows wait in a nameless
    file until the last of them is made.

    Parameters
    ----------
    sink : ChunkSink
        Where its arrays are written.
    method : str
        Name of the method.
    recipe : Recipe
        How its rows are made.
    n_spectra : int
        Columns of W.
    path : Path
        The zipstore; its folder needs room for 8 bytes an entry.
    report : callable
        Is given the number of rows made.

    Raises
    ------
    OutputError
        If the disk is full or the write fails.
    """
    name, threads = f"{OPERATOR_GROUP}/{method}", thread_count()
    index_type = np.dtype(np.int32 if n_spectra < 2**31 else np.int64)
    lengths: list[npt.NDArray[np.int64]] = []
    with (
        ThreadPoolExecutor(threads) as pool,
        told(path),
        TemporaryFile(dir=path.parent) as columns,
        TemporaryFile(dir=path.parent) as weights,
    ):
        blocks = recipe.blocks
        made = in_order(pool, lambda block: recipe.rows(*block), blocks, ahead=threads)
        for rows, (_, stop) in zip(made, blocks, strict=True):
            lengths.append(rows.lengths)
            columns.write(rows.columns.astype(index_type, copy=False))
            weights.write(rows.weights)
            report(stop)
        indptr = np.concatenate([[0], *lengths]).cumsum(dtype=np.int64)
        entries = int(indptr[-1])
        sink.write_array(
            f"{name}/indptr",
            indptr.astype(np.int32 if entries < 2**31 else np.int64),
            attributes={"parameters": recipe.parameters},
        )
        for part, file, dtype in (
            ("indices", columns, index_type),
            ("weights", weights, np.dtype(np.float32)),
        ):
            array = f"{name}/{part}"
            chunk = min(entries, _ENTRIES_PER_CHUNK)
            sink.create_array(
                array, shape=(entries,), dtype=dtype, chunks=(chunk,), codec=CUMULATIVE_CODEC
            )
            layout = sink.layout(array)
            starts = range(0, entries, chunk or 1)
            pieces = (_piece(file, start, chunk, dtype) for start in starts)
            encoded = in_order(pool, layout.encode, pieces, ahead=threads)
            for number, data in enumerate(encoded):
                sink.append_chunk(array, (number,), data)


def _piece(file: BinaryIO, start: int, length: int, dtype: np.dtype) -> npt.NDArray:
    file.seek(start * dtype.itemsize)
    return np.frombuffer(file.read(length * dtype.itemsize), dtype=dtype)


def has_operator(source: StoreReader, method: str) -> bool:
    """Return whether a store holds W of a method."""
    return f"{OPERATOR_GROUP}/{method}/indptr" in source


def read_operator(
    source: ChunkSource, method: str, shape: tuple[int, int], n_spectra: int
) -> Operator:
    """Return W of a method, which was written before.

    Parameters
    ----------
    source : ChunkSource
        The store.
    method : str
        Name of the method.
    shape : (int, int)
        Rows and columns of the grid.
    n_spectra : int
        Number of spectra.

    Raises
    ------
    ZipstoreError
        If its arrays make no matrix.
    """
    name = f"{OPERATOR_GROUP}/{method}"
    cells = shape[0] * shape[1]
    bounds = require_layout(source, f"{name}/indptr", (cells + 1,), "iu")
    entries = require_layout(source, f"{name}/indices", (None,), "iu").shape
    require_layout(source, f"{name}/weights", entries, "float32")
    indptr, indices, weights = (
        _read_whole(source, f"{name}/{part}") for part in ("indptr", "indices", "weights")
    )
    is_matrix = indptr[0] == 0 and indptr[-1] == entries[0] and (indptr[1:] >= indptr[:-1]).all()
    # compiled loops look neither right nor left of what they are told to read
    if not is_matrix or (entries[0] and (indices.min() < 0 or indices.max() >= n_spectra)):
        msg = (
            f"the operator {method!r} is damaged: its {entries[0]} weights are not those of "
            f"{cells} cells and {n_spectra} spectra. Convert the scan again."
        )
        raise ZipstoreError(msg)
    parameters = bounds.attributes.get("parameters")
    if not isinstance(parameters, dict):
        msg = f"the operator {method!r} is damaged: it has no parameters. Convert the scan again."
        raise ZipstoreError(msg)
    matrix = csr_array((weights, indices, indptr), (cells, n_spectra))
    return Operator(method, shape, matrix, parameters)


def _read_whole(source: ChunkSource, name: str) -> npt.NDArray:
    """Return an array of one dimension, its chunks read side by side."""
    layout = source.layout(name)
    count = math.prod(layout.chunk_counts)
    if count > 1:
        source.read_chunk(name, (count - 1,))  # what claims more than it holds takes no memory
    values = np.empty(layout.shape, dtype=layout.dtype)
    in_parallel(partial(_read_part, source, name, layout, values), range(count))
    return values


def _read_part(
    source: ChunkSource, name: str, layout: ArrayLayout, values: npt.NDArray, number: int
) -> None:
    start = number * layout.chunks[0]
    values[start : start + layout.chunks[0]] = source.read_chunk(name, (number,))
