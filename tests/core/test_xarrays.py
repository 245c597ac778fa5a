"""Results as xarray objects: the same numbers as the scan's, with coordinates and units."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr

from maxrf_core import ParameterError, Scan, convert_crono, open_scan, simulate_crono
from maxrf_core.xarrays import (
    cube_array,
    energy_window,
    map_array,
    map_dataset,
    positions_dataset,
    spectrum_dataset,
)

WINDOW = (9.0, 15.0)
PLAIN = (str, int, float, list)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Yield a scan with lines of elements: 18 x 13 cells."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate_crono(folder / "scan.HDF5", shape=(18, 13), seed=4)
    zipstore = convert_crono(folder / "scan.HDF5", cubes=False, progress=False)
    with open_scan(zipstore) as scan:
        yield scan


@pytest.mark.parametrize("options", [{}, {"per_second": True, "sigma": 1.5, "method": "linear"}])
def test_map_is_the_scans_with_its_error_at_motor_positions(scan: Scan, options: dict) -> None:
    """Nothing is computed anew, and rows are named by y as the grid has it."""
    maps = map_dataset(scan, WINDOW, background="sides", **options)
    expected = scan.energy_map(*WINDOW, background="sides", **options)
    error = scan.energy_map_error(*WINDOW, background="sides", **options)
    assert maps.counts.dims == ("y", "x")
    assert maps.counts.dtype == np.float32
    np.testing.assert_array_equal(maps.counts, expected)
    np.testing.assert_array_equal(maps.standard_error, error)
    y, x = scan.grid.y[5], scan.grid.x[2]
    assert maps.counts.sel(y=y, x=x).item() == expected[5, 2]
    assert np.all(np.diff(maps.y) > 0)
    assert maps.y.attrs["units"] == maps.x.attrs["units"] == "motor steps"


def test_map_says_what_it_is(scan: Scan) -> None:
    """Units and everything that the numbers depend on go with them."""
    said = map_array(scan, WINDOW, per_second=True, background="snip", method="nearest").attrs
    assert said["units"] == "counts/s"
    assert said["window_kev"] == [9.0, 15.0]
    assert (said["method"], said["background"], said["sigma_channels"]) == ("nearest", "snip", 0.0)
    assert said["long_name"] == "9 to 15 keV"
    assert said["scan"] == scan.name
    assert map_array(scan, WINDOW).attrs["method"] == scan.method


def test_a_cell_without_a_datum_is_nan(make_scan, tmp_path) -> None:
    """A hole in the raster is no count of zero."""
    made = make_scan((4, 20), turn=0, gap=8000)
    with open_scan(
        convert_crono(made.path, output=tmp_path, method="linear", progress=False)
    ) as scan:
        empty = scan.operator("linear").empty
        assert empty.any()
        maps = map_dataset(scan, WINDOW, method="linear")
        np.testing.assert_array_equal(np.isnan(maps.counts), empty)
        row, column = map(int, np.argwhere(empty)[0])
        assert np.isnan(spectrum_dataset(scan, cell=(row, column), method="linear").counts).all()


def test_elements_lines_and_rois_name_windows(simulated: Scan) -> None:
    """An element is its best line's window, a ROI its own, numbers are themselves."""
    iron, line = energy_window(simulated, "iron"), energy_window(simulated, "Fe Ka")
    assert iron == line
    assert iron.name == "Fe Ka"
    assert iron.low_kev < 6.391 < 6.405 < iron.high_kev  # K-alpha 2 and 1
    roi = next(roi for roi in simulated.rois if roi.name == "FeKa")
    assert energy_window(simulated, roi) is roi
    np.testing.assert_array_equal(
        map_array(simulated, roi), simulated.energy_map(roi.low_kev, roi.high_kev)
    )
    np.testing.assert_array_equal(
        map_array(simulated, "Fe"), simulated.energy_map(iron.low_kev, iron.high_kev)
    )


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("Xy", "Xy"),
        ((6.6, 6.2), "the lower first"),
        ((6.2,), "expected an element such as 'Fe'"),
        (None, "expected an element such as 'Fe'"),
    ],
)
def test_windows_without_a_meaning_are_refused(scan: Scan, window, expected: str) -> None:
    """Nobody gets a map of something else than they meant."""
    with pytest.raises(ParameterError, match=expected):
        map_array(scan, window)


@pytest.mark.parametrize("sigma", [0, 1.7])
def test_spectra_are_the_scans_over_the_energy(scan: Scan, made, sigma: float) -> None:
    """A measured one, a cell's, a region's, and the mean of all."""
    mask = np.zeros(scan.grid.shape, dtype=bool)
    mask[2:4, 1:4] = True
    expected = {
        "spectrum 13": (
            spectrum_dataset(scan, index=13, sigma=sigma),
            scan.spectrum(13, sigma=sigma),
        ),
        "cell row 6, column 4": (
            spectrum_dataset(scan, cell=(6, 4), sigma=sigma),
            scan.cell_spectrum(6, 4, sigma=sigma),
        ),
        "mean of 6 cells": (
            spectrum_dataset(scan, mask=mask, sigma=sigma),
            scan.mean_spectrum(mask, sigma=sigma),
        ),
    }
    for name, (found, counts) in expected.items():
        assert found.counts.attrs["long_name"] == name
        assert found.counts.dims == ("energy",)
        assert found.energy.attrs["units"] == "keV"
        np.testing.assert_array_equal(found.energy, scan.energies)
        np.testing.assert_allclose(found.counts, counts, rtol=1e-6)
    if sigma == 0:
        mean = spectrum_dataset(scan)
        np.testing.assert_allclose(mean.counts, made.counts.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(
            mean.standard_error, np.sqrt(made.counts.sum(axis=0)) / len(made.counts), rtol=1e-6
        )
        one = spectrum_dataset(scan, index=13)
        np.testing.assert_allclose(one.standard_error, np.sqrt(made.counts[13]), rtol=1e-6)


def test_error_of_a_cells_spectrum_is_that_of_its_weights(scan: Scan, made) -> None:
    """The root of (w * w) S: kriging's weights, not the number of spectra."""
    index, weights = scan.operator().cell_weights(6, 4)
    variance = weights.astype(np.float64) ** 2 @ made.counts[index]
    found = spectrum_dataset(scan, cell=(6, 4)).standard_error
    np.testing.assert_allclose(found, np.sqrt(variance), rtol=1e-5)


def test_a_compared_map_is_a_region(scan: Scan) -> None:
    """Xarray's own masks are taken as they are."""
    counts = map_array(scan, WINDOW)
    mask = counts > counts.median()
    np.testing.assert_allclose(
        spectrum_dataset(scan, mask=mask).counts, scan.mean_spectrum(mask.values), rtol=1e-6
    )


def test_a_place_is_given_once_and_exists(scan: Scan) -> None:
    """A row below the first is not the last one's."""
    with pytest.raises(ParameterError, match="index and cell are given"):
        spectrum_dataset(scan, index=3, cell=(0, 0))
    with pytest.raises(ParameterError, match="outside the grid"):
        spectrum_dataset(scan, cell=(-1, 0))
    with pytest.raises(ParameterError, match="the mask has shape"):
        spectrum_dataset(scan, mask=np.ones((5, 7), dtype=bool))


def test_cube_is_lazy_and_sums_to_the_map(scan: Scan) -> None:
    """It is read when computed, within its window only."""
    cube = cube_array(scan, WINDOW)
    assert dask.is_dask_collection(cube)
    assert cube.dims == ("y", "x", "energy")
    assert cube.attrs["units"] == "counts"
    channels = scan.channels_of(*WINDOW)
    np.testing.assert_array_equal(cube.energy, scan.energies[channels])
    np.testing.assert_allclose(cube.sum("energy"), map_array(scan, WINDOW), rtol=2e-5)
    assert cube_array(scan).sizes["energy"] == scan.n_channels


def test_positions_are_where_and_what_was_measured(scan: Scan, made) -> None:
    """Every spectrum, those left out of the vendor's map with the others."""
    found = positions_dataset(scan, WINDOW)
    np.testing.assert_array_equal(found.x, made.positions[:, 0])
    np.testing.assert_array_equal(found.y, made.positions[:, 1])
    np.testing.assert_allclose(found.live_time, made.live_times)
    assert sorted(np.flatnonzero(found.selected)) == sorted(scan.selected_index.ravel())
    np.testing.assert_array_equal(found.counts, scan.window_counts(*WINDOW))
    assert (found.x.attrs["units"], found.live_time.attrs["units"]) == ("motor steps", "s")


def test_a_file_without_live_times_has_none(make_scan, tmp_path) -> None:
    """Nothing stands in for what was not recorded."""
    path = convert_crono(make_scan(bare=True).path, output=tmp_path, cubes=False, progress=False)
    with open_scan(path) as scan:
        assert "live_time" not in positions_dataset(scan)


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_results_survive_a_file(scan: Scan, tmp_path, kind: str) -> None:
    """Numbers, coordinates and attributes come back: netCDF 3 by scipy, and zarr."""
    sigma = np.full(scan.n_channels, 1.5)
    everything = {
        "maps": map_dataset(scan, WINDOW, background="sides", sigma=sigma),
        "spectrum": spectrum_dataset(scan, cell=(1, 2)),
        "cube": cube_array(scan, WINDOW).to_dataset(promote_attrs=True),
        "positions": positions_dataset(scan, WINDOW),
    }
    for name, written in everything.items():
        path = tmp_path / f"{name}.{kind}"
        if kind == "netcdf":
            written.to_netcdf(path, engine="scipy")
            with xr.open_dataset(path, engine="scipy") as file:
                read = file.load()
        else:
            written.to_zarr(path, zarr_format=2, consolidated=True)
            with xr.open_zarr(path, consolidated=True) as file:
                read = file.load()
        xr.testing.assert_allclose(read, written.compute())
        for variable in written.variables:
            said, kept = written[variable].attrs, read[variable].attrs
            assert all(isinstance(value, PLAIN) for value in said.values())
            assert set(said) <= set(kept)
        assert read.attrs["scan"] == scan.name
