"""Sparse matrices by rows: put together block by block, and applied by compiled loops.

Sums are accumulated in float64, which costs a tenth more than float32, and rounded once.
Every row is one thread's business and summed in a fixed order: results do not depend on
the number of threads.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from .compiled import compiled
from .errors import ParameterError
from .parallel import in_parallel, thread_count

__all__ = ["Rows", "multiply", "stack_rows", "sum_of_rows"]

_ENTRIES_PER_TASK = 2**18  # about 0.2 ms: handing out a task costs a tenth of that
_TASKS_PER_THREAD = 4  # a thread that is held up leaves its tasks to the others


class Rows(NamedTuple):
    """Some rows of a sparse matrix.

    Attributes
    ----------
    lengths : (m,) int64
        Entries in each row.
    columns : (e,) integer
        Their columns, row by row, ascending in each.
    weights : (e,) float32
        Their values.
    """

    lengths: npt.NDArray[np.int64]
    columns: npt.NDArray[np.integer]
    weights: npt.NDArray[np.float32]


def stack_rows(blocks: list[Rows], n_columns: int) -> csr_array:
    """Put blocks of rows on top of each other.

    Parameters
    ----------
    blocks : list of Rows
        From the first row to the last.
    n_columns : int
        Columns of the matrix.

    Returns
    -------
    matrix : (rows, n_columns) csr_array, float32
        With 32-bit indices where they suffice.
    """
    indptr = np.concatenate([[0], *(block.lengths for block in blocks)]).cumsum(dtype=np.int64)
    index_type = np.int32 if max(indptr[-1], n_columns) < 2**31 else np.int64
    columns = np.concatenate([block.columns for block in blocks], dtype=index_type)
    weights = np.concatenate([block.weights for block in blocks])
    matrix = csr_array(
        (weights, columns, indptr.astype(index_type)), shape=(len(indptr) - 1, n_columns)
    )
    matrix.has_canonical_format = True  # sorted, without duplicates: no need to look
    return matrix


# Both loops below sum even and odd entries apart: an addition need not wait for the one before.
# Unsigned indices spare the test for negative ones, which costs half of the time.


@compiled()
def _multiply(indptr, columns, weights, squared, values, out, start, stop):  # noqa: ANN001, ANN202
    one, two = np.uint64(1), np.uint64(2)
    for row in range(start, stop):
        entry, last = np.uint64(indptr[row]), np.uint64(indptr[row + 1])
        even, odd = 0.0 if last > entry else np.nan, 0.0
        while entry + one < last:
            first, second = np.float64(weights[entry]), np.float64(weights[entry + one])
            if squared:
                first *= first
                second *= second
            even += first * np.float64(values[np.uint64(columns[entry])])
            odd += second * np.float64(values[np.uint64(columns[entry + one])])
            entry += two
        if entry < last:
            first = np.float64(weights[entry])
            if squared:
                first *= first
            even += first * np.float64(values[np.uint64(columns[entry])])
        out[row] = even + odd


@compiled()
def _multiply_many(indptr, columns, weights, squared, values, out, start, stop):  # noqa: ANN001, ANN202
    k = out.shape[1]
    sums = np.empty((2, k))
    for row in range(start, stop):
        first, last = np.uint64(indptr[row]), np.uint64(indptr[row + 1])
        for j in range(k):
            sums[0, j], sums[1, j] = 0.0 if last > first else np.nan, 0.0
        for entry in range(first, last):
            weight = np.float64(weights[entry])
            if squared:
                weight *= weight
            column = np.uint64(columns[entry])
            total = sums[(entry - first) % np.uint64(2)]
            for j in range(k):
                total[j] += weight * np.float64(values[column, j])
        for j in range(k):
            out[row, j] = sums[0, j] + sums[1, j]


def _frozen(array: npt.NDArray) -> npt.NDArray:
    """Return a read-only view: numba compiles anew for arrays that may be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def multiply(
    matrix: csr_array,
    values: npt.NDArray[np.number],
    *,
    squared: bool = False,
    threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """Return the product of a sparse matrix with values, NaN for rows without an entry.

    Parameters
    ----------
    matrix : (m, n) csr_array, float32
        The weights.
    values : (n,) or (n, k) number
        Used as they are if uint32, float32 or float64, else copied to float64.
    squared : bool
        Take the weights squared, element by element.
    threads : int, optional
        How many to work on; by default one for each core. Small products take one.

    Returns
    -------
    product : (m,) or (m, k) float32
        Accumulated in float64, rounded once.

    Raises
    ------
    ParameterError
        If there are not as many values as columns.
    """
    if values.ndim not in (1, 2) or len(values) != matrix.shape[1]:
        msg = (
            f"the values have shape {values.shape}; expected ({matrix.shape[1]},) or "
            f"({matrix.shape[1]}, k): one, or k of them, for each spectrum."
        )
        raise ParameterError(msg)
    if values.dtype not in (np.uint32, np.float32, np.float64):
        values = values.astype(np.float64)
    values = _frozen(np.ascontiguousarray(values))
    entries = (_frozen(matrix.indptr), _frozen(matrix.indices), _frozen(matrix.data))
    out = np.empty((matrix.shape[0], *values.shape[1:]), dtype=np.float32)
    loop = _multiply if values.ndim == 1 else _multiply_many

    def work(rows: tuple[int, int]) -> None:
        loop(*entries, squared, values, out, *rows)

    threads = thread_count() if threads is None else threads
    work_load = len(matrix.data) * max(1, out[:1].size)
    tasks = max(1, min(threads * _TASKS_PER_THREAD, work_load // _ENTRIES_PER_TASK))
    shares = np.linspace(0, len(matrix.data), tasks + 1, dtype=matrix.indptr.dtype)[1:-1]
    edges = [0, *np.searchsorted(matrix.indptr, shares).tolist(), matrix.shape[0]]
    in_parallel(work, list(pairwise(edges)), threads=threads)
    return out


@compiled()
def _sum_of_rows(indptr, columns, weights, rows, factor, out):  # noqa: ANN001, ANN202
    for row in rows:
        for entry in range(indptr[row], indptr[row + 1]):
            out[columns[entry]] += factor * weights[entry]


def sum_of_rows(
    matrix: csr_array, rows: npt.NDArray[np.int64], factor: float
) -> npt.NDArray[np.float64]:
    """Return the sum of some rows of a sparse matrix, times a factor.

    Costs as much as these rows have entries, whatever the size of the matrix.

    Parameters
    ----------
    matrix : (m, n) csr_array, float32
        The weights.
    rows : (r,) int64
        Which rows, each from 0 to m - 1.
    factor : float
        What to multiply with.

    Returns
    -------
    total : (n,) float64
    """
    total = np.zeros(matrix.shape[1])
    _sum_of_rows(
        _frozen(matrix.indptr),
        _frozen(matrix.indices),
        _frozen(matrix.data),
        _frozen(rows),
        float(factor),
        total,
    )
    return total
