"""`tree` and `get_array`: what old notebooks and other programs see."""

from __future__ import annotations

import gc
import zipfile

import dask.array as da
import numpy as np
import pytest

from maxrf_core import METHODS, ZipstoreError, convert_crono, get_array, open_scan, tree
from maxrf_core.interchange import format_tree
from maxrf_core.schema import (
    ALL_SPECTRA,
    COUNTS_BY_SPECTRUM,
    CUBE,
    ENERGIES,
    INTERCHANGE_ARRAYS,
    SUM_SPECTRUM,
)

FLOAT32_ROUNDING = 2.0**-23

CRONOMAXRF_TREE = """\
crono-12x9.cronomaxrf-0.0.12.zipstore:

/
 ├── maxrf_all_spectra (259, 4096) float32
 ├── maxrf_cube (12, 9, 4096) float32
 ├── maxrf_energies (4096,) float32
 ├── maxrf_max_spectrum (4096,) float32
 └── maxrf_sum_spectrum (4096,) float32
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("orientation", ["motor", "vendor", "image"])
@pytest.mark.parametrize("compute", [True, False])
def test_a_lean_zipstore_gives_the_same_arrays(make_scan, tmp_path, method, orientation, compute):
    """Left out of the file, computed under the same name: a notebook notes no difference."""
    made = make_scan((7, 5), flip=(True, True))
    options = {"method": method, "orientation": orientation, "progress": False, "sigma": 3}
    full = convert_crono(made.path, output=tmp_path / "full.zipstore", **options)
    lean = convert_crono(made.path, output=tmp_path / "lean.zipstore", cubes=False, **options)
    for name in INTERCHANGE_ARRAYS:
        expected, found = get_array(full, name), get_array(lean, name, compute=compute)
        assert isinstance(found, np.ndarray if compute else da.Array)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        if name == SUM_SPECTRUM:  # summed in another order, in float64
            np.testing.assert_allclose(found, expected, rtol=FLOAT32_ROUNDING)
        else:
            np.testing.assert_array_equal(found, expected)


def test_a_lean_zipstore_is_small_and_has_no_float_cube(full_zipstore, lean_zipstore):
    """That is what it is for."""
    with zipfile.ZipFile(lean_zipstore) as archive:
        assert not [name for name in archive.namelist() if name.startswith((ALL_SPECTRA, CUBE))]
    assert lean_zipstore.stat().st_size < 0.8 * full_zipstore.stat().st_size


@pytest.mark.parametrize("name", [*INTERCHANGE_ARRAYS, COUNTS_BY_SPECTRUM])
def test_a_lazy_array_is_read_when_computed(full_zipstore, name):
    """A part is read without the rest, long after `get_array` returned."""
    lazy = get_array(full_zipstore, name, compute=False)
    assert isinstance(lazy, da.Array)
    whole = get_array(full_zipstore, name)
    assert isinstance(whole, np.ndarray)
    gc.collect()
    np.testing.assert_array_equal(lazy[-1].compute(), whole[-1])
    np.testing.assert_array_equal(lazy.compute(), whole)


def test_compute_may_be_given_by_position(full_zipstore):
    """As in cronomaxrf: get_array(filename, name, False)."""
    assert isinstance(get_array(full_zipstore, CUBE, False), da.Array)
    assert isinstance(get_array(str(full_zipstore), f"/{CUBE}"), np.ndarray)


@pytest.mark.parametrize("fixture", ["full_zipstore", "lean_zipstore"])
@pytest.mark.parametrize("name", ["maxrf_cub", "counts", "", "/", "../x", "a/./b"])
def test_a_name_that_is_not_there_is_told_with_those_that_are(request, fixture, name):
    """A typing error costs a glance, not a search."""
    path = request.getfixturevalue(fixture)
    with pytest.raises(ZipstoreError, match=r"has no array .*maxrf_cube, .*counts/by_spectrum"):
        get_array(path, name)


def test_cronomaxrfs_own_file_opens(data_folder, capsys):
    """Maps need our tables, but arrays and tree do not."""
    path = data_folder / "crono-12x9.cronomaxrf-0.0.12.zipstore"
    tree(path)
    assert capsys.readouterr().out == CRONOMAXRF_TREE
    cube = get_array(path, CUBE)
    assert (cube.shape, cube.dtype) == ((12, 9, 4096), np.float32)
    np.testing.assert_array_equal(get_array(path, CUBE, compute=False)[3, 5], cube[3, 5])
    with pytest.raises(ZipstoreError, match=r"was written by cronomaxrf.*maxrf convert"):
        open_scan(path)
    with pytest.raises(ZipstoreError, match="has no array 'counts/by_spectrum'; it has maxrf_all"):
        get_array(path, COUNTS_BY_SPECTRUM)


@pytest.mark.parametrize("fixture", ["full_zipstore", "lean_zipstore"])
def test_the_tree_begins_with_the_five_arrays(request, fixture, capsys):
    """Names, shapes and dtypes at the root as before, whether stored or computed."""
    path = request.getfixturevalue(fixture)
    tree(path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:8] == [
        "scan.zipstore:",
        "",
        "/",
        " ├── maxrf_all_spectra (77, 50) float32",
        " ├── maxrf_cube (7, 5, 50) float32",
        " ├── maxrf_energies (50,) float32",
        " ├── maxrf_max_spectrum (50,) float32",
        " ├── maxrf_sum_spectrum (50,) float32",
    ]
    assert " │   ├── by_spectrum (77, 50) uint16" in lines
    assert lines[-1].startswith("     └── ")


def test_the_tree_shows_chunks_and_attributes_when_asked(full_zipstore, lean_zipstore):
    """Also that the sum is a mean, in spite of its name."""
    details = format_tree(full_zipstore, details=True)
    assert "maxrf_energies (50,) float32, chunks (50,), {'units': 'keV'}" in details
    assert "mean over the cells of the cube, in spite of its name" in details
    assert "maxrf_cube (7, 5, 50) float32, computed when read" in format_tree(
        lean_zipstore, details=True
    )


@pytest.mark.parametrize("function", [tree, lambda path: get_array(path, ENERGIES)])
def test_what_is_no_zarr_zip_is_refused(tmp_path, function):
    """Missing, a text, or a zip of something else: three faults, three sentences."""
    with pytest.raises(ZipstoreError, match=r"there is no zarr zip .*nowhere"):
        function(tmp_path / "nowhere.zipstore")
    text = tmp_path / "text.zipstore"
    text.write_text("x,y,counts")
    with pytest.raises(ZipstoreError, match="is not a whole zarr zip"):
        function(text)
    other = tmp_path / "other.zipstore"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "nothing of zarr")
    with pytest.raises(ZipstoreError, match="is not a whole zarr zip"):
        function(other)


def test_energies_are_in_kev_and_say_so(full_zipstore, made):
    """The unit stands in the file."""
    np.testing.assert_array_equal(get_array(full_zipstore, ENERGIES), made.energies)
    assert "{'units': 'keV'}" in format_tree(full_zipstore, details=True)
