"""A converted scan: every map and spectrum equals the plain products of the design."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maxrf_core import (
    METHODS,
    ParameterError,
    Roi,
    ZipstoreError,
    build_operator,
    convert_crono,
    open_scan,
    smooth_spectra,
)

FLOAT32_ROUNDING = 2.0**-23

on_one_scan = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain_map(made, scan, window, *, method, sigma, per_second=False):
    """Return W S G b and the scale of its rounding, from the file's counts, all in float64."""
    weights = scan.operator(method).matrix.toarray().astype(np.float64)
    spectra = smooth_spectra(made.counts.astype(np.float64), sigma)
    energies = made.energies.astype(np.float64)
    values = spectra[:, (energies >= window[0]) & (energies < window[1])].sum(axis=1)
    if per_second:
        values = values / made.live_times
    image = (weights @ values).reshape(scan.grid.shape)
    return image, 40 * FLOAT32_ROUNDING * float(np.max(np.abs(weights) @ values, initial=0.0))


# --- maps --------------------------------------------------------------------------------------
@on_one_scan
@given(
    window=st.tuples(st.floats(-2, 32), st.floats(-2, 32)).map(sorted),
    method=st.sampled_from(list(METHODS)),
    sigma=st.one_of(st.just(0.0), st.floats(0.05, 30)),
    per_second=st.booleans(),
)
def test_a_map_is_the_plain_sum_over_the_windows_channels(
    made, scan, window, method, sigma, per_second
):
    """The cube is never made, and every number is as if it had been."""
    options = {"method": method, "sigma": sigma, "per_second": per_second}
    expected, rounding = plain_map(made, scan, window, **options)
    image = scan.energy_map(*window, **options)
    assert (image.dtype, image.shape) == (np.float32, scan.grid.shape)
    # up to 21 products and some float32 sums each
    np.testing.assert_allclose(image, expected, rtol=0, atol=rounding)


@pytest.mark.parametrize("channels", [4096, 2048, 1000, 17, 1])
@pytest.mark.parametrize("sigma", [0, 3.3])
def test_a_map_is_the_sum_of_the_cube_for_any_number_of_channels(
    make_scan, tmp_path, channels, sigma
):
    """The two ways to a map agree, whatever the detector's channels."""
    made = make_scan((5, 4), channels=channels)
    path = convert_crono(made.path, output=tmp_path, cubes=False, progress=False)
    with open_scan(path) as scan:
        cube = scan.cube(sigma=sigma).compute()
        for low, high in [(-1, 40), (2.0, 2.4), (3.01, 17.77), (29, 31), (-0.6, -0.59), (5, 5)]:
            part = cube[..., scan.channels_of(low, high)]
            scale = max(1.0, float(np.abs(part).sum(axis=-1).max()))
            np.testing.assert_allclose(
                scan.energy_map(low, high, sigma=sigma),
                part.sum(axis=-1, dtype=np.float64),
                rtol=0,
                atol=40 * FLOAT32_ROUNDING * scale,
            )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sigma", [0, 2.2])
@pytest.mark.parametrize("per_second", [False, True])
def test_the_error_map_is_the_plain_formula(made, scan, method, sigma, per_second):
    """Var = (W * W) S (b * b), with the smoothed window b, and divided by live time squared."""
    window = (4.0, 13.5)
    weights = scan.operator(method).matrix.toarray().astype(np.float64)
    b = np.zeros(scan.n_channels)
    b[scan.channels_of(*window)] = 1.0
    variances = made.counts @ smooth_spectra(b, sigma) ** 2
    if per_second:
        variances = variances / made.live_times**2
    expected = np.sqrt(weights**2 @ variances).reshape(scan.grid.shape)
    error = scan.energy_map_error(*window, method=method, sigma=sigma, per_second=per_second)
    assert error.dtype == np.float32
    np.testing.assert_allclose(error, expected, rtol=1e-5)


def test_the_error_map_is_the_scatter_of_repeated_scans(made, scan, rng):
    """What the formula promises: scanning again, maps differ by so much."""
    window = (2.0, 20.0)
    mean = made.counts[:, scan.channels_of(*window)].sum(axis=1)
    repeats = scan.operator().apply(rng.poisson(mean[:, None], (len(mean), 4000)))
    scatter = repeats.std(axis=-1)
    # 4000 repeats know a standard deviation to 1.1 %
    np.testing.assert_allclose(scatter, scan.energy_map_error(*window), rtol=0.06)


def test_a_window_is_closed_below_and_open_above(made, scan):
    """Windows side by side share no channel and lose none."""
    energies = made.energies.astype(np.float64)
    assert scan.channels_of(energies[7], energies[12]) == slice(7, 12)
    above = np.nextafter(energies[7], np.inf), np.nextafter(energies[12], np.inf)
    assert scan.channels_of(*above) == slice(8, 13)
    assert scan.channels_of(-50, 50) == slice(0, 50)
    assert scan.channels_of(3, 3) == slice(*[scan.channels_of(3, 3).start] * 2)


def test_windows_side_by_side_add_up(scan):
    """A map of both is the sum of their maps."""
    together = scan.energy_map(1.0, 20.0)
    apart = scan.energy_map(1.0, 8.123) + scan.energy_map(8.123, 20.0)
    np.testing.assert_allclose(apart, together, rtol=1e-5)


def test_an_empty_window_is_dark_and_certain(scan):
    """No channel, no counts: zero, not an error; that is what an empty region of interest has."""
    np.testing.assert_array_equal(scan.energy_map(7.549, 7.549), np.zeros(scan.grid.shape))
    np.testing.assert_array_equal(scan.energy_map_error(90, 95), np.zeros(scan.grid.shape))


@pytest.mark.parametrize("low", [5, np.nan, np.inf, -np.inf, None, "Fe"])
def test_a_window_that_means_nothing_is_refused(scan, low):
    """Both energies and what was expected stand in the message."""
    with pytest.raises(ParameterError, match=r"to 4 keV; expected two finite energies"):
        scan.energy_map(low, 4)


def test_counts_of_all_spectra_are_whole_numbers_until_smoothed(made, scan):
    """The scatter plot of counts against position."""
    counts = scan.window_counts(3, 9)
    assert counts.dtype == np.uint32
    expected = made.counts[:, scan.channels_of(3, 9)].sum(axis=1, dtype=int)
    np.testing.assert_array_equal(counts, expected)
    assert scan.window_counts(3, 9, sigma=1.0).dtype == np.float32


# --- spectra ------------------------------------------------------------------------------------
@pytest.mark.parametrize("sigma", [0, 4.0])
def test_a_spectrum_is_the_files_spectrum(made, scan, sigma):
    """Counts as they were measured; smoothed when asked."""
    for index in (0, 41, len(made.counts) - 1, np.int64(3), np.uint64(3)):
        found = scan.spectrum(index, sigma=sigma)
        assert found.dtype == (np.float32 if sigma else np.uint16)
        np.testing.assert_array_equal(found, smooth_spectra(made.counts[int(index)], sigma))


@pytest.mark.parametrize("index", [-1, 77, 10**12, 1.5, "first", None])
def test_a_spectrum_that_is_not_there_is_refused(scan, index):
    """The page hands on whatever stands in an address."""
    with pytest.raises(ParameterError, match=r"spectrum .*0 to 76"):
        scan.spectrum(index)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sigma", [0, 4.0])
def test_a_cells_spectrum_is_the_cubes(scan, method, sigma):
    """A tap on the map shows what the cube holds there."""
    cube = scan.cube(method=method, sigma=sigma).compute()
    for row, column in ((0, 0), (6, 4), (2, 3)):
        found = scan.cell_spectrum(row, column, method=method, sigma=sigma)
        assert found.dtype == np.float32
        # both are sums of at most 21 float32 products
        scale = np.abs(cube[row, column]).max()
        np.testing.assert_allclose(found, cube[row, column], rtol=0, atol=5e-6 * scale)


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_spectrum_is_the_mean_of_the_cubes_cells(scan, rng, method):
    """A lasso on the map, without the cube."""
    mask = rng.uniform(size=scan.grid.shape) < 0.5
    expected = scan.cube(method=method, sigma=1.5).compute()[mask].mean(axis=0)
    found = scan.mean_spectrum(mask, method=method, sigma=1.5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6 * expected.max())


def test_a_region_without_a_cell_has_no_spectrum_and_reads_none(scan, monkeypatch):
    """An empty lasso on a scan of 22 GB must not read it all to find nothing."""
    reads = []
    monkeypatch.setattr(scan._table, "spectra", reads.append)
    spectrum = scan.mean_spectrum(np.zeros(scan.grid.shape, dtype=bool))
    assert (spectrum.shape, spectrum.dtype) == ((50,), np.float32)
    assert np.isnan(spectrum).all()
    assert reads == []


def test_a_mask_of_another_shape_is_refused(scan):
    """It would be broadcast, or belong to another scan."""
    with pytest.raises(ParameterError, match=r"shape \(5, 7\); expected the grid's, \(7, 5\)"):
        scan.mean_spectrum(np.ones((5, 7), dtype=bool))


@pytest.mark.parametrize("method", ["nearest", "linear", "kriging"])
def test_cells_without_a_datum_are_nan_everywhere(make_scan, tmp_path, method):
    """In the cube, in a cell, in a map and in its error alike."""
    made = make_scan((4, 20), turn=0, gap=8000)
    path = convert_crono(made.path, output=tmp_path, cubes=False, progress=False)
    with open_scan(path) as scan:
        image = scan.energy_map(1, 9, method=method)
        empty = np.isnan(image)
        assert 0 < empty.sum() < image.size
        cube = scan.cube(method=method, sigma=2).compute()
        np.testing.assert_array_equal(np.isnan(cube), np.repeat(empty[..., None], 50, axis=-1))
        error = scan.energy_map_error(1, 9, method=method)
        np.testing.assert_array_equal(np.isnan(error), empty)
        row, column = np.argwhere(empty)[0]
        assert np.isnan(scan.cell_spectrum(row, column, method=method, sigma=2)).all()


# --- lazy arrays --------------------------------------------------------------------------------
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cells", [1, 7, 1024])
def test_the_lazy_cube_is_the_product_whatever_its_blocks(made, scan, monkeypatch, method, cells):
    """Blocks of rows bound its memory, and a part of it costs a part."""
    monkeypatch.setattr("maxrf_core.lazy._SPECTRA_PER_BLOCK", cells)
    cube = scan.cube(method=method, sigma=2.0)
    assert isinstance(cube, da.Array)
    assert (cube.shape, cube.dtype) == ((7, 5, 50), np.float32)
    weights = scan.operator(method).matrix.toarray().astype(np.float64)
    smoothed = smooth_spectra(made.counts.astype(np.float64), 2.0)
    expected = (weights @ smoothed).reshape(7, 5, 50)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(cube.compute(), expected, rtol=0, atol=5e-6 * scale)
    part = cube[2:4, ::2, 10].compute()
    np.testing.assert_allclose(part, expected[2:4, ::2, 10], rtol=0, atol=5e-6 * scale)


@pytest.mark.parametrize("channels", [slice(17, 21), slice(0, 6), slice(44, 50), slice(3, 49)])
@pytest.mark.parametrize("sigma", [0, 0.6, np.linspace(0.4, 1.4, 50)], ids=["raw", "one", "each"])
@pytest.mark.parametrize("few", [1, 8])
def test_some_channels_of_the_lazy_cube_are_those_of_the_whole(
    scan, monkeypatch, channels, sigma, few
):
    """Few are read across the spectra, with what is smoothed into them from beside."""
    monkeypatch.setattr("maxrf_core.table._FEW", few)
    monkeypatch.setattr("maxrf_core.lazy._SPECTRA_PER_BLOCK", 3)
    whole = scan.cube(sigma=sigma).compute(scheduler="synchronous")
    part = scan.cube(sigma=sigma, channels=channels)
    assert part.shape == whole[..., channels].shape
    np.testing.assert_array_equal(part.compute(scheduler="synchronous"), whole[..., channels])


def test_few_channels_are_read_without_the_others(scan, monkeypatch):
    """A narrow part of a large cube is the work of a moment."""
    read = []
    chunk = scan._table._chunk

    def remember(name, index):
        read.append(name)
        return chunk(name, index)

    monkeypatch.setattr(scan._table, "_chunk", remember)
    scan.cube(channels=slice(20, 24)).compute(scheduler="synchronous")
    assert set(read) == {"counts/by_channel"}


def test_a_sigma_for_other_channels_is_refused_at_once(scan):
    """Not when the cube is read."""
    with pytest.raises(ParameterError, match="one for each of the 50 channels"):
        scan.cube(sigma=np.ones(49))


def test_the_lazy_table_of_all_spectra_is_the_smoothed_counts(made, scan, monkeypatch):
    """In blocks that do not divide it."""
    monkeypatch.setattr("maxrf_core.lazy._SPECTRA_PER_BLOCK", 13)
    table = scan.all_spectra(sigma=2.0)
    assert (table.shape, table.dtype) == ((77, 50), np.float32)
    np.testing.assert_array_equal(table.compute(), smooth_spectra(made.counts, 2.0))


def test_a_lazy_array_can_be_read_when_its_scan_is_forgotten(lean_zipstore):
    """A function returns the cube and its local scan is gone; the file must stay open."""
    with open_scan(lean_zipstore) as scan:
        expected = scan.cube().compute()
    cube = open_scan(lean_zipstore).cube()
    gc.collect()
    np.testing.assert_array_equal(cube.compute(), expected)


def test_a_forgotten_scan_closes_its_file(lean_zipstore):
    """No file stays open and no warning is raised when nobody closes it."""
    scan = open_scan(lean_zipstore)
    scan.energy_map(1, 9)
    file = scan._reader._entries._source._file
    del scan
    gc.collect()
    assert file.closed


# --- operators and description ------------------------------------------------------------------
@pytest.mark.parametrize("method", METHODS)
def test_the_stored_operator_is_the_one_that_would_be_built(made, tmp_path, method):
    """A reader of tomorrow sees the map of the day of conversion."""
    path = convert_crono(made.path, output=tmp_path, method=method, cubes=False, progress=False)
    with open_scan(path) as scan:
        stored = scan.operator()
        built = build_operator(method, scan._raster(0.0))
        assert stored.method == scan.method == method
        assert stored.parameters == built.parameters
        assert (stored.matrix != built.matrix).nnz == 0


def test_an_operator_is_built_once_by_any_number_of_threads(scan, monkeypatch):
    """It takes a second for a large scan, and visitors arrive together."""
    built = []
    original = build_operator

    def counted(method, raster):
        built.append(method)
        return original(method, raster)

    monkeypatch.setattr("maxrf_core.stored.build_operator", counted)
    start = threading.Barrier(6)

    def ask(_):
        start.wait()
        return scan.operator("linear")

    with ThreadPoolExecutor(6) as pool:
        operators = list(pool.map(ask, range(6)))
    assert built == ["linear"]
    assert all(operator is operators[0] for operator in operators)


def test_an_unknown_method_is_refused(scan):
    """As everywhere."""
    with pytest.raises(ParameterError, match="is 'cubic'; expected one of"):
        scan.energy_map(1, 2, method="cubic")


def test_visitors_in_threads_see_what_one_sees(lean_zipstore, scan):
    """One open scan, a small cache, many windows at once."""
    windows = [(i / 3, i / 3 + 4) for i in range(40)]
    expected = [scan.energy_map(*window, sigma=1.0) for window in windows]
    with open_scan(lean_zipstore, cache_bytes=2000) as small, ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda window: small.energy_map(*window, sigma=1.0), windows)
        for image, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(image, other)
        assert small.cache_info["bytes"] <= 2000


def test_a_scan_describes_the_file_it_was_made_from(made, scan):
    """Energies, positions, selection, times, regions and settings arrive unchanged."""
    np.testing.assert_array_equal(scan.energies, made.energies)
    assert scan.energies.dtype == np.float32
    np.testing.assert_array_equal(scan.positions, made.positions[:, :2])
    assert scan.positions.dtype == np.float64
    np.testing.assert_array_equal(scan.selected_index, made.selected)
    np.testing.assert_array_equal(scan.live_times, made.live_times)
    assert scan.rois == (
        Roi("CaKa", 3.516, 3.85),
        Roi("FeKa", 6.169, 6.612),
        Roi("CuKa", 7.549, 7.549),
    )
    assert scan.metadata["software"] == "CRONO 1.2.4.54"
    assert scan.metadata["created"] == "2021-10-15T14:20:02"
    assert scan.source["name"] == "scan.HDF5"
    assert (scan.n_spectra, scan.n_channels) == made.counts.shape
    assert (scan.grid.height, scan.grid.width) == (7, 5)
    assert scan.kev_per_channel == pytest.approx(30.6 / 49, rel=1e-6)
    assert repr(scan) == ("<Scan 'scan.zipstore': 77 spectra of 50 channels, grid of 7 x 5 cells>")


@pytest.mark.parametrize(
    "name",
    [
        "energies",
        "positions",
        "selected_index",
        "live_times",
        "total_spectrum",
        "max_counts",
        "max_smoothed",
    ],
)
def test_what_visitors_share_is_read_only(scan, name):
    """One visitor's notebook must not change another's map."""
    with pytest.raises(ValueError, match="read-only"):
        getattr(scan, name)[0] = 0


def test_maps_and_spectra_belong_to_the_caller(scan):
    """They may be changed, and come out fresh the next time."""
    image, spectrum = scan.energy_map(1, 9), scan.spectrum(3)
    copies = image.copy(), spectrum.copy()
    image[:], spectrum[:] = 0, 0
    np.testing.assert_array_equal(scan.energy_map(1, 9), copies[0])
    np.testing.assert_array_equal(scan.spectrum(3), copies[1])


def test_a_scan_is_closed_twice_without_harm(lean_zipstore):
    """By its block, and by somebody careful."""
    with open_scan(lean_zipstore) as scan:
        scan.energy_map(1, 9)
        scan.close()
    with pytest.raises(ZipstoreError):
        scan.spectrum(0)
