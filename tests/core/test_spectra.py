"""Reading the counts of a scan: past HDF5 where that is safe, and the same as through it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import crono_files as files
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core import CronoFileError
from maxrf_core.spectra import SpectraReader

SHAPE = (211, 37)


def write_spectra(folder, counts, *, userblock=0, **storage):
    """Write a file of nothing but counts, in a layout of its own."""
    path = folder / "scan.HDF5"
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file.create_dataset("XRF/Spectra", data=counts, **storage)
    return path


@pytest.fixture(scope="module")
def counts():
    """Return counts of which one fills all sixteen bits."""
    drawn = np.random.default_rng(3).poisson(0.4, SHAPE).astype(np.uint16)
    drawn[0, 0] = drawn[-1, -1] = 65535
    return drawn


LAYOUTS = {
    "contiguous": ({}, "ranges"),
    "gzip": ({"chunks": (16, 37), "compression": "gzip"}, "chunks"),
    "gzip, chunks across channels": ({"chunks": (10, 8), "compression": "gzip"}, "chunks"),
    "shuffle and gzip": ({"chunks": (7, 20), "compression": "gzip", "shuffle": True}, "chunks"),
    "uncompressed chunks": ({"chunks": (16, 37)}, "hdf5"),
    "lzf": ({"chunks": (16, 37), "compression": "lzf"}, "hdf5"),
    "checksums": ({"chunks": (16, 37), "compression": "gzip", "fletcher32": True}, "hdf5"),
    "big-endian": ({"dtype": ">u2"}, "hdf5"),
    "32 bits": ({"dtype": "<i4"}, "hdf5"),
}


@pytest.fixture(scope="module", params=LAYOUTS, ids=str)
def reader(request, counts, tmp_path_factory):
    """Open the same counts in each layout."""
    storage, access = LAYOUTS[request.param]
    path = write_spectra(tmp_path_factory.mktemp("spectra"), counts, **storage)
    with SpectraReader(path) as opened:
        assert opened.access == access
        yield opened


@given(start=st.integers(0, SHAPE[0] - 1), length=st.integers(1, SHAPE[0] + 9))
def test_any_block_is_what_hdf5_says(reader, counts, start, length):
    """Blocks begin and end inside chunks, and the last one is cut."""
    block = reader.read(start, start + length)
    assert block.dtype == np.uint16
    np.testing.assert_array_equal(block, counts[start : start + length])


def test_several_threads_read_at_once(reader, counts):
    """Each has memory of its own, which its next block writes over."""
    starts = [*range(0, 200, 9)] * 5

    def read(start):
        return int(reader.read(start, start + 11).sum())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, starts))
    assert found == [int(counts[start : start + 11].sum()) for start in starts]


def test_a_file_that_begins_later_is_not_read_at_the_wrong_place(tmp_path, counts):
    """A user block shifts everything in the file, and only HDF5 knows of it."""
    path = write_spectra(tmp_path, counts, userblock=512)
    with SpectraReader(path) as reader:
        np.testing.assert_array_equal(reader.read(3, 90), counts[3:90])


def test_chunks_that_were_never_written_are_zeros(tmp_path, counts):
    """HDF5 stores nothing for them."""
    path = tmp_path / "scan.HDF5"
    with h5py.File(path, "w") as file:
        spectra = file.create_dataset(
            "XRF/Spectra", SHAPE, np.uint16, chunks=(16, 37), compression="gzip"
        )
        spectra[:20] = counts[:20]
    with SpectraReader(path) as reader:
        np.testing.assert_array_equal(reader.read(10, 60)[:10], counts[10:20])
        assert not reader.read(32, 60).any()


@pytest.mark.parametrize("name", files.BROKEN_COUNTS)
def test_what_is_damaged_is_named_as_hdf5_names_it(tmp_path, name):
    """The quick ways hand over to HDF5 when the bytes are not what was expected."""
    with SpectraReader(files.BROKEN_COUNTS[name](tmp_path)) as reader:
        with pytest.raises(CronoFileError) as caught:
            reader.read(10, 15)
        assert files.MESSAGES[name] in str(caught.value)
        assert str(reader.filename) in str(caught.value)


def test_counts_cut_off_while_they_are_read_are_an_error(tmp_path, counts):
    """A scan that is still copied, or a share that goes away, must not give zeros."""
    path = write_spectra(tmp_path, counts)
    with SpectraReader(path) as reader:
        assert reader.access == "ranges"
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 500)
        with pytest.raises(CronoFileError, match=r"XRF/Spectra, spectra 190..210 cannot be read"):
            reader.read(190, 211)


def test_a_closed_reader_leaves_the_file_alone(tmp_path, counts):
    """The scanner's program may want to write it again."""
    path = write_spectra(tmp_path, counts)
    with SpectraReader(path):
        pass
    with h5py.File(path, "a") as file:
        file["XRF/Spectra"][0, 0] = 1
