"""Sparse matrices by rows: fast products held equal to scipy's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from maxrf_core import ParameterError
from maxrf_core import sparse as sparse_module
from maxrf_core.sparse import Rows, multiply, stack_rows, sum_of_rows

FLOAT32_ROUNDING = 2.0**-24
"""Relative error of rounding once to float32."""

FLOAT64_ROUNDING = 2.0**-53

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(["uint32", "float32", "float64", "int64", "uint16", ">f4", "bool"])


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch):
    """Let several threads work on small matrices."""
    monkeypatch.setattr(sparse_module, "_ENTRIES_PER_TASK", 5)


def random_matrix(seed, shape=None) -> csr_array:
    """Return a matrix with empty rows, negative weights, and rows of up to all columns."""
    rng = np.random.default_rng(seed)
    m, n = shape or rng.integers(1, 40, 2)
    lengths = rng.integers(0, n + 1, m) * (rng.uniform(size=m) < rng.uniform())
    columns = [np.sort(rng.choice(n, length, replace=False)) for length in lengths]
    indices = np.concatenate([*columns, np.empty(0, int)]).astype(np.int32)
    weights = rng.normal(size=len(indices)).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return csr_array((weights, indices, indptr), shape=(m, n))


def random_values(seed, dtype, *shape):
    return (np.random.default_rng(seed).uniform(0, 1e6, shape) * 0.9).astype(dtype)


@given(
    seed=seeds,
    dtype=dtypes,
    k=st.none() | st.integers(0, 5),
    squared=st.booleans(),
    threads=st.integers(1, 3),
)
def test_the_product_is_scipys_and_nan_for_empty_rows(seed, dtype, k, squared, threads):
    """In float64, but for one rounding to float32 at the end."""
    matrix = random_matrix(seed)
    values = random_values(seed, dtype, matrix.shape[1], *([] if k is None else [k]))
    weights = matrix.data.astype(np.float64) ** (2 if squared else 1)
    plain = csr_array((weights, matrix.indices, matrix.indptr), shape=matrix.shape)
    expected = plain @ values
    # each of up to 40 sums rounds by no more than this share of what is added up
    slack = 40 * FLOAT64_ROUNDING * (np.abs(plain) @ np.abs(values.astype(np.float64)))
    product = multiply(matrix, values, squared=squared, threads=threads)
    assert product.dtype == np.float32
    assert product.shape == expected.shape
    empty = np.diff(matrix.indptr) == 0
    assert np.isnan(product[empty]).all()
    error = np.abs(product[~empty] - expected[~empty])
    assert (error <= FLOAT32_ROUNDING * np.abs(expected[~empty]) + slack[~empty]).all()


@given(seed=seeds, dtype=dtypes, squared=st.booleans())
def test_the_number_of_threads_does_not_show(seed, dtype, squared):
    """The same map, to the last bit, on every machine."""
    matrix = random_matrix(seed, shape=(61, 17))
    values = random_values(seed, dtype, 17)
    products = [multiply(matrix, values, squared=squared, threads=n) for n in (1, 2, 3)]
    np.testing.assert_array_equal(products[1], products[0])
    np.testing.assert_array_equal(products[2], products[0])


@given(seed=seeds, dtype=dtypes, squared=st.booleans())
def test_many_values_a_column_are_each_as_on_their_own(seed, dtype, squared):
    """Also to the last bit, and whatever the strides of the table they come from."""
    matrix = random_matrix(seed)
    values = random_values(seed, dtype, matrix.shape[1], 3)
    together = multiply(matrix, values, squared=squared)
    for k in range(3):
        np.testing.assert_array_equal(
            together[:, k], multiply(matrix, values[:, k], squared=squared)
        )
    np.testing.assert_array_equal(
        multiply(matrix, np.asfortranarray(values), squared=squared), together
    )


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_indices_of_either_size_are_taken(dtype):
    """Beyond 2^31 entries scipy's indices are 64 bits wide."""
    matrix = random_matrix(3, shape=(31, 13))
    values = random_values(3, np.uint32, 13)
    expected = multiply(matrix, values)
    matrix.indices, matrix.indptr = matrix.indices.astype(dtype), matrix.indptr.astype(dtype)
    np.testing.assert_array_equal(multiply(matrix, values), expected)


@pytest.mark.parametrize("shape", [(12,), (14,), (1,), (0,), (12, 2), (), (13, 2, 2)])
def test_values_that_do_not_fit_the_columns_are_refused(shape):
    """A compiled loop would read beyond the end of them."""
    matrix = random_matrix(4, shape=(31, 13))
    with pytest.raises(
        ParameterError, match=r"values have shape .*; expected \(13,\) or \(13, k\)"
    ):
        multiply(matrix, np.ones(shape))


def test_callers_on_several_threads_do_not_disturb_each_other():
    """A server draws the maps of several visitors at once."""
    matrix = random_matrix(5, shape=(997, 61))
    values = [random_values(seed, np.uint32, 61) for seed in range(40)]
    expected = [multiply(matrix, v, threads=1) for v in values]
    with ThreadPoolExecutor(4) as visitors:
        for product, wanted in zip(
            visitors.map(lambda v: multiply(matrix, v, threads=3), values), expected, strict=True
        ):
            np.testing.assert_array_equal(product, wanted)


def test_nothing_is_written_to_read_only_arrays_nor_to_others():
    """The operator's arrays come from a file and are shared."""
    matrix = random_matrix(6, shape=(31, 13))
    values = random_values(6, np.float32, 13)
    expected = multiply(matrix, values), sum_of_rows(matrix, np.arange(4), 1.0)
    arrays = (matrix.data, matrix.indices, matrix.indptr, values)
    copies = [array.copy() for array in arrays]
    for array in arrays:
        assert array.flags.writeable
        array.flags.writeable = False
    np.testing.assert_array_equal(multiply(matrix, values), expected[0])
    np.testing.assert_array_equal(sum_of_rows(matrix, np.arange(4), 1.0), expected[1])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@given(seed=seeds, factor=st.floats(1e-6, 1e6))
def test_the_sum_of_some_rows_is_that_of_the_transposed_product(seed, factor):
    """W^T times a mask, without W^T."""
    matrix = random_matrix(seed)
    inside = np.random.default_rng(seed).uniform(size=matrix.shape[0]) < 0.5
    total = sum_of_rows(matrix, np.flatnonzero(inside), factor)
    dense = matrix.toarray().astype(np.float64)
    slack = 40 * FLOAT64_ROUNDING * factor * (np.abs(dense).T @ inside)
    assert total.dtype == np.float64
    assert (np.abs(total - factor * (dense.T @ inside)) <= slack).all()


@given(seed=seeds, cuts=st.lists(st.integers(0, 30), max_size=6))
def test_stacked_blocks_are_the_matrix_they_were_cut_from(seed, cuts):
    """Blocks of any height, also of none."""
    matrix = random_matrix(seed, shape=(30, 7))
    edges = [0, *sorted(cuts), 30]
    blocks = []
    for start, stop in pairwise(edges):
        part = slice(matrix.indptr[start], matrix.indptr[stop])
        lengths = np.diff(matrix.indptr[start : stop + 1]).astype(np.int64)
        blocks.append(Rows(lengths, matrix.indices[part], matrix.data[part]))
    stacked = stack_rows(blocks, 7)
    assert stacked.shape == matrix.shape
    for name in ("indptr", "indices", "data"):
        found, wanted = getattr(stacked, name), getattr(matrix, name)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    stacked.check_format(full_check=True)
