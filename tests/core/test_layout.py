"""Chunks of arrays: equal ones make equal bytes, and what is no chunk is not decoded."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import blosc

from maxrf_core.layout import (
    COUNTS_CODEC,
    CUMULATIVE_CODEC,
    FLOAT_CODEC,
    ArrayLayout,
    chunk_key,
    describe_array,
    read_layout,
)

CODECS = [COUNTS_CODEC, CUMULATIVE_CODEC, FLOAT_CODEC, None]


def layout_of(values, chunks, codec=COUNTS_CODEC, **attributes):
    return ArrayLayout(values.shape, values.dtype, chunks, codec, attributes)


@pytest.fixture
def several_blosc_threads(monkeypatch):
    """Let Blosc use four threads, as it does by itself; zarr, once imported, forbids it."""
    monkeypatch.setattr(blosc, "use_threads", None)
    before = blosc.set_nthreads(4)
    yield
    blosc.set_nthreads(before)


@pytest.mark.usefixtures("several_blosc_threads")
@pytest.mark.parametrize("codec", CODECS)
def test_equal_chunks_make_equal_bytes_in_whatever_thread(codec, rng):
    """Equal input makes an equal file. By itself, Blosc joins blocks as its threads get ready."""
    values = rng.poisson(3, (3, 400_001)).astype(np.uint32)
    layout = layout_of(values, values.shape, codec)
    found = {layout.encode(values) for _ in range(8)}
    thread = threading.Thread(target=lambda: found.add(layout.encode(values)))
    thread.start()
    thread.join()
    assert len(found) == 1
    assert blosc.use_threads is None  # the setting is as it was


@given(data=st.data())
def test_bytes_that_are_no_whole_chunk_are_refused(data):
    """A power cut leaves a file cut short, or one of zeros; Blosc alone reads on behind its end."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = rng.poisson(0.3, (5, data.draw(st.integers(1, 300)))).astype(np.uint16)
    layout = layout_of(values, values.shape, data.draw(st.sampled_from(CODECS)))
    whole = layout.encode(values)
    assert layout.may_be_chunk(whole[:16], len(whole))
    np.testing.assert_array_equal(layout.decode(whole, (0, 0)), values)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    for wrong in (cut, whole + b"\0") + ((bytes(len(whole)),) if layout.codec else ()):
        assert not layout.may_be_chunk(wrong[:16], len(wrong))
        with pytest.raises(ValueError, match="not a whole chunk"):
            layout.decode(wrong, (0, 0))


def test_the_last_chunk_of_an_axis_is_as_long_as_the_rest_of_it():
    """13 rows in chunks of 5 leave 3."""
    layout = layout_of(np.zeros((13, 7)), (5, 3))
    assert layout.chunk_counts == (3, 3)
    assert layout.chunk_size((0, 0)) == (5, 3)
    assert layout.chunk_size((2, 2)) == (3, 1)
    assert layout.decode(layout.encode(np.ones((3, 1))), (2, 2)).tolist() == [[1.0]] * 3


def test_keys_are_those_of_zarr():
    """Other programs look for them."""
    assert chunk_key("counts/by_channel", (3, 12)) == "counts/by_channel/3.12"
    assert chunk_key("number", ()) == "number/0"


@pytest.mark.parametrize("codec", CODECS)
def test_a_description_describes_its_layout(codec):
    """What is written by zarr is read by us."""
    layout = layout_of(np.zeros((13, 7), "<u2"), (5, 3), codec, units="keV")
    entries = describe_array("group/values", layout)
    assert [*entries] == [
        "group/.zattrs",
        "group/.zgroup",
        "group/values/.zarray",
        "group/values/.zattrs",
    ]
    assert read_layout(entries["group/values/.zarray"], entries["group/values/.zattrs"]) == layout


@pytest.mark.parametrize(
    "wrong",
    [
        {"compressor": {"id": "pickle"}},
        {"compressor": {"id": "json2"}},
        {"compressor": "blosc"},
        {"filters": [{"id": "delta", "dtype": "<u2"}]},
        {"order": "F"},
        {"dimension_separator": "/"},
        {"chunks": [5, 0]},
        {"chunks": [5]},
        {"shape": [-1, 3]},
        {"dtype": "|O"},
        {"dtype": "nothing"},
        {"shape": None},
    ],
    ids=str,
)
def test_what_this_program_does_not_read_is_refused(wrong):
    """Wrong numbers are worst of all; and unpickling what a URL sends would run its program."""
    layout = layout_of(np.zeros((13, 7), "<u2"), (5, 3))
    meta = json.loads(describe_array("values", layout)["values/.zarray"])
    with pytest.raises((ValueError, TypeError, KeyError)):
        read_layout(json.dumps(meta | wrong).encode(), b"{}")
