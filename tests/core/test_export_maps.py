"""Exported maps and spectra: opened by other programs, equal to what the scan computes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from maxrf_core import ParameterError, Roi, convert_crono, open_scan
from maxrf_core.exports import export_scan
from maxrf_core.kernels import gaussian_kernel
from maxrf_core.region_spectra import smoothed_region, smoothed_variance

WINDOWS = {"Fe K-alpha": (6.1, 6.8), "Pb, L": (10.2, 11.4), "Ca \u03b1": (3.4, 4.1)}


@pytest.fixture(scope="module")
def holed(make_scan, tmp_path_factory):
    """Yield a scan of more columns than rows, with cells that have no datum under linear."""
    made = make_scan((4, 20), turn=0, gap=8000)
    path = convert_crono(
        made.path, output=tmp_path_factory.mktemp("holed"), cubes=False, progress=False
    )
    with open_scan(path) as scan:
        yield scan


@pytest.fixture
def bare(make_scan, tmp_path):
    """Yield a scan without live times and regions of interest."""
    path = convert_crono(
        make_scan((3, 4), bare=True).path, output=tmp_path, cubes=False, progress=False
    )
    with open_scan(path) as scan:
        yield scan


def plain_maps(scan, *, errors=False, **options):
    """Return the maps of `WINDOWS` as the scan has them, each with its error behind it."""
    images = []
    for window in WINDOWS.values():
        images.append(scan.energy_map(*window, **options))
        if errors:
            images.append(scan.energy_map_error(*window, **options))
    assert any(np.isnan(image).any() for image in images)
    return np.stack(images)


OPTIONS = [
    {"method": "linear"},
    {"method": "linear", "sigma": 2.0, "background": "sides", "errors": True},
    {"method": "linear", "per_second": True},
]


# --- TIFF ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", OPTIONS)
def test_tifffile_opens_the_maps_as_a_stack_of_floats(holed, tmp_path, options):
    """One page a map, the largest y first as a picture is stored, NaN where nothing is known."""
    path = tmp_path / "maps.tif"
    export_scan(holed, path, windows=WINDOWS, **options)
    found = tifffile.imread(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, plain_maps(holed, **options)[:, ::-1])


def test_pillow_opens_each_page(holed, tmp_path):
    """A second reader, so that one's leniency does not hide a fault."""
    path = tmp_path / "maps.tiff"
    export_scan(holed, path, windows=WINDOWS, method="linear")
    expected = plain_maps(holed, method="linear")[:, ::-1]
    with Image.open(path) as file:
        assert file.n_frames == len(WINDOWS)
        for number in range(file.n_frames):
            file.seek(number)
            np.testing.assert_array_equal(np.asarray(file), expected[number])


def test_tiff_says_what_each_page_is(holed, tmp_path):
    """A map that has left the program still tells its window, unit and orientation."""
    path = tmp_path / "maps.tif"
    export_scan(holed, path, windows=WINDOWS, errors=True, per_second=True, sigma=1.5)
    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        names = [page.tags["PageName"].value for page in pages]
        texts = [page.description for page in pages]
    assert names[:3] == ["Fe K-alpha", "Fe K-alpha error", "Pb, L"]
    assert names[4] == "Ca ?"  # TIFF's text is ASCII
    for word in ("6.1 to 6.8 keV", "counts/s", "sigma 1.5", "kriging", "largest y", holed.name):
        assert word in texts[0]
    assert "standard error" in texts[1]
    assert "standard error" not in texts[2]


def test_tiff_has_the_size_of_a_cell_on_the_object(holed, tmp_path):
    """A scale bar of another program is then right, also where cells are no squares."""
    path = tmp_path / "maps.tif"
    export_scan(holed, path, windows=WINDOWS, mm_per_step=0.002)
    with tifffile.TiffFile(path) as file:
        tags = file.pages[2].tags
        x, y = (np.divide(*tags[name].value) for name in ("XResolution", "YResolution"))
        assert tags["ResolutionUnit"].value == 3  # centimetres
    assert x == pytest.approx(10 / (0.002 * holed.grid.dx), rel=1e-6)
    assert y == pytest.approx(10 / (0.002 * holed.grid.dy), rel=1e-6)


def test_tiff_without_the_length_of_a_step_keeps_the_shape_of_cells(holed, tmp_path):
    """A length that nobody knows is not made up."""
    path = tmp_path / "maps.tif"
    export_scan(holed, path, windows=WINDOWS)
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        x, y = (np.divide(*tags[name].value) for name in ("XResolution", "YResolution"))
        assert tags["ResolutionUnit"].value == 1  # none
    assert y / x == pytest.approx(holed.grid.dx / holed.grid.dy, rel=1e-5)


@pytest.mark.parametrize("length", [0, -1.0, float("nan"), float("inf"), 1e-30])
def test_length_of_a_step_that_is_none_is_refused(scan, tmp_path, length):
    """A division by it would make a file that opens with nonsense."""
    with pytest.raises(ParameterError, match=r"mm_per_step is|does not fit"):
        export_scan(scan, tmp_path / "maps.tif", windows=WINDOWS, mm_per_step=length)
    assert list(tmp_path.iterdir()) == []


def test_tiff_longer_than_tiff_can_be_is_refused_before_it_is_begun(scan, tmp_path, monkeypatch):
    """Its offsets have 32 bits; past them pages would point anywhere."""
    monkeypatch.setattr("maxrf_core.export_tiff._LONG_MAX", 12_000)
    with pytest.raises(ParameterError, match="more than the 4 GB"):
        export_scan(scan, tmp_path / "maps.tif", windows=WINDOWS)
    assert list(tmp_path.iterdir()) == []


# --- NPY, DMS, CSV ------------------------------------------------------------------------------
@pytest.mark.parametrize("options", OPTIONS)
def test_npy_has_the_maps_as_the_scan_has_them(holed, tmp_path, options):
    """In Python they go on with `Scan`, whose row 0 has the smallest y."""
    path = tmp_path / "maps.npy"
    export_scan(holed, path, windows=WINDOWS, **options)
    np.testing.assert_array_equal(np.load(path), plain_maps(holed, **options))


def test_npy_of_one_map_has_two_axes(holed, tmp_path):
    """Nobody wants to write [0]."""
    path = tmp_path / "map.npy"
    export_scan(holed, path, windows={"Fe": (6.1, 6.8)}, orientation="image")
    found = np.load(path)
    assert (found.shape, found.dtype) == (holed.grid.shape, np.float32)
    np.testing.assert_array_equal(found, holed.energy_map(6.1, 6.8)[::-1])


def test_dms_is_two_lines_the_maps_and_their_names(holed, tmp_path):
    """The layout is all that is known of it: DataMuncher could not be tried."""
    path = tmp_path / "maps.dms"
    export_scan(holed, path, windows=WINDOWS, method="linear")
    version, size, rest = path.read_bytes().split(b"\n", 2)
    height, width = holed.grid.shape
    assert (version, size) == (b"2", b"%d %d 3" % (width, height))
    values = np.frombuffer(rest[: 3 * height * width * 4], dtype="<f4").reshape(3, height, width)
    np.testing.assert_array_equal(values, plain_maps(holed, method="linear")[:, ::-1])
    assert rest[3 * height * width * 4 :].decode().splitlines() == list(WINDOWS)


@pytest.mark.parametrize("orientation", ["image", "motor"])
def test_csv_has_a_line_for_each_cell_with_its_place(holed, tmp_path, monkeypatch, orientation):
    """Every float32 comes back, an empty field is no 0, and commas in names split nothing."""
    monkeypatch.setattr("maxrf_core.export_maps._ROWS_AT_ONCE", 7)
    path = tmp_path / "maps.csv"
    export_scan(holed, path, windows=WINDOWS, method="linear", errors=True, orientation=orientation)
    table = pd.read_csv(path)
    assert len(table) == holed.grid.size
    assert list(table.columns[:4]) == ["row", "column", "x [motor steps]", "y [motor steps]"]
    assert table.columns[4] == "Fe K-alpha, 6.1 to 6.8 keV [counts]"
    assert table.columns[7] == "Pb, L error, 10.2 to 11.4 keV [counts]"
    expected = plain_maps(holed, method="linear", errors=True)
    rows = np.arange(len(holed.grid.y))[:: -1 if orientation == "image" else 1]
    for number in range(6):
        found = table.iloc[:, 4 + number].to_numpy(np.float32).reshape(holed.grid.shape)
        np.testing.assert_array_equal(found, expected[number][rows])
    shape = holed.grid.shape
    y = table["y [motor steps]"].to_numpy().reshape(shape)
    np.testing.assert_allclose(y, np.repeat(holed.grid.y[rows][:, None], shape[1], axis=1))
    x = table["x [motor steps]"].to_numpy().reshape(shape)
    np.testing.assert_allclose(x, np.repeat(holed.grid.x[None], shape[0], axis=0))
    np.testing.assert_array_equal(table["row"], np.repeat(np.arange(shape[0]), shape[1]))
    np.testing.assert_array_equal(table["column"], np.tile(np.arange(shape[1]), shape[0]))


# --- windows ------------------------------------------------------------------------------------
def test_the_files_own_regions_are_exported_without_the_empty_ones(scan, tmp_path):
    """A map of a window without a channel is nothing but zeros."""
    path = tmp_path / "maps.npy"
    export_scan(scan, path)
    filled = [
        roi
        for roi in scan.rois
        if np.any((scan.energies >= roi.low_kev) & (scan.energies < roi.high_kev))
    ]
    assert 1 < len(filled) < len(scan.rois)
    expected = [scan.energy_map(roi.low_kev, roi.high_kev) for roi in filled]
    np.testing.assert_array_equal(np.load(path), expected)


def test_scan_without_regions_asks_for_windows(bare, tmp_path):
    """What to export cannot be guessed."""
    with pytest.raises(ParameterError, match="no energy window to export; name some"):
        export_scan(bare, tmp_path / "maps.npy")


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ({}, "no energy window"),
        ({"Fe": 6.4}, "window 'Fe' is 6.4; expected its lowest"),
        ({"Fe": (7.0, 6.0)}, "the lower first"),
        ({"Fe": (float("nan"), 6.0)}, "two finite energies"),
        ({"": (6.0, 7.0)}, "the window's name is ''"),
        ({"Fe\nPb": (6.0, 7.0)}, "expected one line of text"),
        ([Roi("a\tb", 6.0, 7.0)], "expected one line of text"),
    ],
)
def test_window_without_meaning_is_refused(scan, tmp_path, windows, message):
    """A name of two lines would shift the names of a ``.dms`` against its maps."""
    with pytest.raises(ParameterError, match=message):
        export_scan(scan, tmp_path / "maps.dms", windows=windows)
    assert list(tmp_path.iterdir()) == []


# --- spectra ------------------------------------------------------------------------------------
def test_spectra_of_the_whole_scan_have_poisson_errors(scan, made, tmp_path):
    """The sum is of the measured spectra: no interpolation counts one twice."""
    path = tmp_path / "spectra.csv"
    export_scan(scan, path, kind="spectra")
    table = pd.read_csv(path)
    total = made.counts.sum(axis=0, dtype=np.float64)
    n = len(made.counts)
    np.testing.assert_array_equal(table["channel"], np.arange(50))
    np.testing.assert_array_equal(table["energy [keV]"].astype(np.float32), made.energies)
    np.testing.assert_array_equal(table[f"sum of {n} spectra [counts]"], total)
    np.testing.assert_allclose(table["error of sum [counts]"], np.sqrt(total), rtol=1e-8)
    np.testing.assert_allclose(table["mean [counts]"], total / n, rtol=1e-8)
    np.testing.assert_allclose(table["error of mean [counts]"], np.sqrt(total) / n, rtol=1e-8)
    np.testing.assert_array_equal(table["maximum [counts]"], made.counts.max(axis=0))


def test_spectra_of_regions_have_the_plain_propagation_of_errors(holed, tmp_path):
    """Mean of cells that share spectra: their errors do not add as if they did not."""
    masks = np.zeros((2, *holed.grid.shape), dtype=bool)
    masks[0, 1:3, 2:6] = True
    masks[1, 0, :1] = True
    path = tmp_path / "spectra.csv"
    regions = {"ink": masks[0], "paper, bare": masks[1]}
    export_scan(holed, path, kind="spectra", regions=regions, method="kriging", sigma=1.5)
    table = pd.read_csv(path)
    weights = holed.operator("kriging").matrix.toarray().astype(np.float64)
    counts = holed.spectra(np.arange(holed.n_spectra)).astype(np.float64)
    for (name, mask), columns in zip(regions.items(), ([2, 3], [4, 5]), strict=True):
        assert table.columns[columns[0]] == f"{name}, mean of {mask.sum()} cells [counts]"
        w = weights[mask.ravel()].mean(axis=0)
        mean = holed.mean_spectrum(mask, method="kriging", sigma=1.5)
        np.testing.assert_allclose(table.iloc[:, columns[0]], mean, rtol=1e-6)
        variance = np.zeros(50)
        kernel = gaussian_kernel(1.5)
        radius = len(kernel) // 2
        for channel, value in enumerate(w**2 @ counts):
            spread = np.zeros(50)
            for offset, share in zip(range(-radius, radius + 1), kernel, strict=True):
                j = channel + offset
                spread[-1 - j if j < 0 else 99 - j if j > 49 else j] += share
            variance += value * spread**2
        np.testing.assert_allclose(table.iloc[:, columns[1]], np.sqrt(variance), rtol=1e-5)


def test_region_without_a_datum_has_no_spectrum(holed):
    """NaN, not 0: nothing was measured there."""
    mask = holed.operator("linear").empty
    mean, error = smoothed_region(holed.region_spectrum(mask, method="linear"), 0)
    assert np.isnan(mean).all()
    assert np.isnan(error).all()


def test_variance_of_a_smoothed_spectrum_is_what_many_noisy_ones_show(rng):
    """Against chance itself: 20,000 Poisson spectra, whose variance is right to 1 in 100."""
    expected = np.linspace(3, 40, 30)
    sigma = np.linspace(0.5, 2.0, 30)
    from maxrf_core import smooth_spectra

    noisy = smooth_spectra(rng.poisson(expected, (20_000, 30)).astype(np.float64), sigma)
    np.testing.assert_allclose(noisy.var(axis=0), smoothed_variance(expected, sigma), rtol=0.05)


@pytest.mark.parametrize(
    ("regions", "message"), [({}, "regions names none"), ({"a": np.ones((5, 4))}, "mask has shape")]
)
def test_regions_without_meaning_are_refused(scan, tmp_path, regions, message):
    """A mask of another grid would pick other cells."""
    with pytest.raises(ParameterError, match=message):
        export_scan(scan, tmp_path / "spectra.csv", kind="spectra", regions=regions)
    assert list(tmp_path.iterdir()) == []
