"""maxrf4u's ``.datastack`` opens as a scan, and what is no counts or no stack is refused."""

from __future__ import annotations

import json
import threading
import zipfile

import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

from maxrf_core import (
    ConversionCancelled,
    CronoFileError,
    OutputError,
    ParameterError,
    imports,
    open_scan,
)
from maxrf_core.exports import export_scan
from maxrf_core.imports import import_scan
from maxrf_core.schema import CUBE_SUFFIXES

SHAPE = (5, 3, 40)
ENERGIES = (-0.9 + 0.02 * np.arange(40) + 1e-4 * np.arange(40) ** 2).astype(np.float32)


@pytest.fixture
def cube(rng):
    """Return counts (h, w, c), no two cells or channels alike."""
    return rng.poisson(3.0, SHAPE).astype(np.float32)


def write(folder, *, zarr_format=3, chunks=None, name="scan.datastack", **arrays):
    """Write arrays at the root of a zarr zip, and return its path."""
    path = folder / name
    with ZipStore(path, mode="w") as store:
        root = zarr.create_group(store, zarr_format=zarr_format)
        for array, values in arrays.items():
            regular = chunks if chunks is not None and values.ndim == 3 else values.shape
            root.create_array(array, data=values, chunks=regular)
    return path


def converted(path, **options):
    """Return the plain cube as the file has it, and the energies, of an import."""
    with open_scan(import_scan(path, progress=False, **options)) as scan:
        return scan.cube().compute()[::-1], scan.energies


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [SHAPE, (2, 2, 40), (3, 1, 7)])
@pytest.mark.parametrize("at_once", [2**24, 100])
def test_counts_and_energies_come_back_whatever_the_chunks(
    cube, tmp_path, monkeypatch, zarr_format, chunks, at_once
):
    """Also where a chunk is more than fits into memory; row 0 is the top of the picture."""
    monkeypatch.setattr("maxrf_core.import_datastack._VALUES_AT_ONCE", at_once)
    path = write(
        tmp_path, zarr_format=zarr_format, chunks=chunks, maxrf_cube=cube, maxrf_energies=ENERGIES
    )
    found, energies = converted(path)
    np.testing.assert_array_equal(found, cube)
    np.testing.assert_array_equal(energies, ENERGIES)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_counts_of_any_type_are_taken(cube, tmp_path, dtype):
    """Whoever writes counts need not write maxrf4u's floats."""
    path = write(tmp_path, maxrf_cube=cube.astype(dtype), maxrf_energies=ENERGIES)
    np.testing.assert_array_equal(converted(path)[0], cube)


def test_chunks_in_shards_are_read(cube, tmp_path):
    """Format 3 may pack chunks together."""
    path = tmp_path / "scan.datastack"
    with ZipStore(path, mode="w") as store:
        root = zarr.create_group(store, zarr_format=3)
        packed = root.create_array(
            "maxrf_cube", shape=SHAPE, chunks=(1, 1, 40), shards=(2, 3, 40), dtype=np.float32
        )
        packed[...] = cube
        root.create_array("maxrf_energies", data=ENERGIES)
    np.testing.assert_array_equal(converted(path)[0], cube)


def test_newest_version_of_an_array_is_taken(cube, tmp_path):
    """maxrf4u cannot replace an array in a zip; it adds an underscore to the name."""
    path = write(
        tmp_path,
        maxrf_cube=cube + 1,
        maxrf_cube__=cube,
        maxrf_cube_=cube + 2,
        maxrf_energies=ENERGIES + 1,
        maxrf_energies_=ENERGIES,
        maxrf_cubes=cube + 3,
    )
    found, energies = converted(path)
    np.testing.assert_array_equal(found, cube)
    np.testing.assert_array_equal(energies, ENERGIES)


def test_export_imported_again_has_the_same_cells_and_energies(scan, tmp_path):
    """A scan that went to a colleague with maxrf4u comes back, picture upright."""
    path = tmp_path / "again.datastack"
    export_scan(scan, path, method="selected")
    found, energies = converted(path)
    np.testing.assert_array_equal(found, scan.cube(method="selected").compute()[::-1])
    np.testing.assert_array_equal(energies, scan.energies)


@pytest.mark.parametrize("shape", [(1, 7), (6, 1), (2, 3)])
def test_a_single_row_or_column_is_a_scan_too(rng, tmp_path, shape):
    """A line scan over an edge is one row."""
    counts = rng.poisson(3.0, (*shape, 40)).astype(np.float32)
    path = write(tmp_path, maxrf_cube=counts, maxrf_energies=ENERGIES)
    np.testing.assert_array_equal(converted(path)[0], counts)


def test_options_are_handed_on(cube, tmp_path):
    """An option that is taken and forgotten is worse than none."""
    path = write(tmp_path, maxrf_cube=cube, maxrf_energies=ENERGIES)
    output = tmp_path / "other.zipstore"
    seen = []
    options = {"method": "linear", "sigma": 2.5, "cubes": False, "orientation": "image"}
    zipstore = import_scan(path, output=output, progress=seen.append, **options)
    assert zipstore == str(output)
    attributes = json.loads(zipfile.ZipFile(output).read(".zattrs"))
    assert attributes["source"]["name"] == "scan.datastack"
    assert attributes["source"]["modified_ns"] == path.stat().st_mtime_ns
    assert options.items() <= attributes["parameters"].items()
    first = [message for message in seen if message.stage == "import"]
    assert (first[0].fraction, first[-1].fraction) == (0, 1)
    assert seen[-1].fraction == 1


def test_other_energies_are_no_scan_that_is_there_already(cube, tmp_path):
    """Names of elements hang on them; the old ones must not be given for the new."""
    path = write(tmp_path, maxrf_cube=cube, maxrf_energies=ENERGIES)
    zipstore = import_scan(path, progress=False)
    assert import_scan(path, progress=False) == zipstore
    with pytest.raises(OutputError, match=r"made with other energies\. Pass overwrite=True"):
        import_scan(path, calibration=(0, 0.01), progress=False)
    _, energies = converted(path, calibration=(0, 0.01), overwrite=True)
    np.testing.assert_allclose(energies, 0.01 * np.arange(40), atol=1e-6)


def test_cancelled_import_leaves_nothing(cube, tmp_path):
    """Neither half a zipstore nor what stood for the cube on the way."""
    path = write(tmp_path, chunks=(1, 3, 40), maxrf_cube=cube, maxrf_energies=ENERGIES)
    cancel = threading.Event()
    with pytest.raises(ConversionCancelled, match=r"import of .*scan\.datastack was cancelled"):
        import_scan(path, progress=lambda _: cancel.set(), cancel=cancel)
    assert [entry.name for entry in tmp_path.iterdir()] == ["scan.datastack"]


# --- refused ------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [0.5, -1.0, 65536.0, float("nan")])
def test_values_that_are_no_counts_are_refused_where_they_are(cube, tmp_path, value):
    """maxrf4u's own stacks are smoothed: the sentence says what to convert instead."""
    cube[2, 1, 7] = value
    path = write(tmp_path, chunks=(2, 1, 40), maxrf_cube=cube, maxrf_energies=ENERGIES)
    with pytest.raises(CronoFileError, match=r"in row 2, column 1, channel 7; .* the \.rpl and"):
        import_scan(path, progress=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["scan.datastack"]


def test_stack_without_energies_asks_for_them(cube, tmp_path):
    """Nothing in the counts says what a channel is."""
    path = write(tmp_path, maxrf_cube=cube)
    with pytest.raises(ParameterError, match="does not say which energies its 40 channels have"):
        import_scan(path, progress=False)
    _, energies = converted(path, calibration=(-0.2, 0.02))
    np.testing.assert_allclose(energies, -0.2 + 0.02 * np.arange(40), atol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"maxrf_energies": ENERGIES}, "holds no 'maxrf_cube', but maxrf_energies; expected"),
        ({}, "holds no 'maxrf_cube', but no array"),
        ({"maxrf_cube": np.ones((4, 5))}, r"has shape \(4, 5\) and dtype float64"),
        ({"maxrf_cube": np.ones((2, 3, 4), bool)}, "dtype bool; expected numbers by row"),
        (
            {"maxrf_cube": np.ones(SHAPE), "maxrf_energies": ENERGIES[1:]},
            r"shape \(39,\) and dtype float32; the cube has 40",
        ),
        (
            {"maxrf_cube": np.ones(SHAPE), "maxrf_energies": ENERGIES[::-1]},
            "do not grow with the channels",
        ),
        (
            {"maxrf_cube": np.ones(SHAPE), "maxrf_energies": np.full(40, np.nan)},
            "or are not finite",
        ),
        (
            {"maxrf_cube": np.ones((1, 1, 40)), "maxrf_energies": ENERGIES},
            "has a single cell; expected a map",
        ),
    ],
)
def test_stack_that_is_none_is_told(tmp_path, arrays, message):
    """What is wrong, before anything is written."""
    path = write(tmp_path, **arrays)
    with pytest.raises(CronoFileError, match=message):
        import_scan(path, progress=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["scan.datastack"]


def test_damaged_stacks_are_told(cube, tmp_path):
    """No zip, a zip of something else, one cut short, and a changed byte in a chunk."""
    path = tmp_path / "a.datastack"
    with pytest.raises(CronoFileError, match="does not exist; check the folder"):
        import_scan(path, progress=False)
    path.write_bytes(b"no zip at all" * 100)
    with pytest.raises(CronoFileError, match="is no zip, or cut short"):
        import_scan(path, progress=False)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "Dear colleague")
    with pytest.raises(CronoFileError, match=r"cannot be read as a \.datastack"):
        import_scan(path, progress=False)
    whole = write(tmp_path, chunks=(2, 3, 40), maxrf_cube=cube, maxrf_energies=ENERGIES)
    with zipfile.ZipFile(whole) as archive:
        start = archive.getinfo("maxrf_cube/c/1/0/0").header_offset
    data = bytearray(whole.read_bytes())
    data[start + 60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CronoFileError, match=r"cannot be read .*Bad CRC"):
        import_scan(path, progress=False)
    path.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(CronoFileError, match="is no zip, or cut short"):
        import_scan(path, progress=False)
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.datastack", "scan.datastack"}


@pytest.mark.parametrize("name", ["scan.HDF5", "scan.zip", "scan"])
def test_other_files_are_refused_with_what_is_taken(tmp_path, name):
    """Crono files have a door of their own."""
    with pytest.raises(ParameterError, match=r"expected \.rpl, \.raw, \.datastack\. Crono HDF5"):
        import_scan(tmp_path / name, progress=False)
    assert tuple(imports._OPENERS) == CUBE_SUFFIXES == (".rpl", ".raw", ".datastack")
