"""Exported cubes: each opened by the program it is for, and equal to the plain cube."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from types import ModuleType

import h5py
import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

from maxrf_core import ParameterError, convert_crono, open_scan
from maxrf_core.export_cube import channel_bins, cube_part, energy_polynomial
from maxrf_core.exports import export_scan
from maxrf_core.sidecar import write_sidecar

DETECTOR = "entry/instrument/detector"


def program(name: str) -> ModuleType:
    """Import a program that is not in the test extra, being large, or skip the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


@pytest.fixture(scope="module")
def holed(make_scan, tmp_path_factory):
    """Yield a scan of more columns than rows, with cells that have no datum under linear."""
    made = make_scan((4, 20), turn=0, gap=8000)
    path = convert_crono(
        made.path, output=tmp_path_factory.mktemp("holed"), cubes=False, progress=False
    )
    with open_scan(path) as scan:
        yield scan


@pytest.fixture(scope="module")
def curved(make_scan, tmp_path_factory):
    """Yield a scan whose energies, calibrated anew, do not lie on a straight line."""
    made = make_scan((3, 4))
    path = convert_crono(
        made.path, output=tmp_path_factory.mktemp("curved"), cubes=False, progress=False
    )
    points = [[0, -0.6], [20, 12.0], [49, 31.0]]
    write_sidecar(path, calibration={"points": points, "degree": 2})
    with open_scan(path) as scan:
        yield scan


def picture(scan, **options):
    """Return the plain cube with the largest y first."""
    return scan.cube(**options).compute()[::-1]


def pymca_stack(path):
    """Return what PyMca makes of the spectra in a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from PyMca5.PyMcaIO.HDF5Stack1D import HDF5Stack1D

        selection = {"y": "/instrument/detector/data"}
        return HDF5Stack1D([str(path)], selection, scanlist=["/entry"])


# --- what is exported ---------------------------------------------------------------------------
def test_holes_are_there_to_be_tested(holed):
    """A cube without NaN would let every test of them pass."""
    assert holed.operator("linear").empty.any()
    assert not holed.operator("linear").empty.all()


@pytest.mark.parametrize("image", [True, False])
@pytest.mark.parametrize("sigma", [0, 2.5])
def test_blocks_are_the_cube_from_row_0_on(holed, monkeypatch, image, sigma):
    """A file is written in blocks of rows, and must not show it; nor must a picture's order."""
    monkeypatch.setattr("maxrf_core.lazy._SPECTRA_PER_BLOCK", 60)  # blocks of 2 rows
    part = cube_part(holed, method="linear", sigma=sigma, image=image)
    blocks = list(part.blocks(lambda *_: None))
    assert len(blocks) > 1
    assert [rows.start for rows, _ in blocks] == [0, *(rows.stop for rows, _ in blocks[:-1])]
    found = np.concatenate([counts for _, counts in blocks])
    expected = holed.cube(method="linear", sigma=sigma).compute()
    np.testing.assert_array_equal(found, expected[::-1] if image else expected)


def test_binned_channels_hold_the_sum_and_the_mean_energy(scan):
    """Counts are neither lost nor invented, but for the channels left over at the upper end."""
    part = cube_part(scan, energies=(2.0, 11.0), binning=4)
    channels = scan.channels_of(2.0, 11.0)
    bins = (channels.stop - channels.start) // 4
    assert (channels.stop - channels.start) % 4 != 0
    assert part.channels == slice(channels.start, channels.start + 4 * bins)
    (_, counts), *_ = part.blocks(lambda *_: None)
    plain = picture(scan)[..., part.channels].astype(np.float64)
    for number in range(bins):
        inside = slice(4 * number, 4 * number + 4)
        np.testing.assert_allclose(
            counts[..., number], plain[..., inside].sum(axis=-1), rtol=1e-6, atol=1e-6
        )
        energy = scan.energies[part.channels][inside].mean(dtype=np.float64)
        assert part.energies[number] == np.float32(energy)


@pytest.mark.parametrize("binning", [0, -1, 1.5, True, "2"])
def test_binning_that_is_no_count_is_refused(scan, binning):
    """Half a channel is no channel."""
    with pytest.raises(ParameterError, match="binning is"):
        channel_bins(scan, None, binning)


@pytest.mark.parametrize(("energies", "binning"), [((100, 200), 1), ((2.0, 2.1), 2), (None, 51)])
def test_export_without_a_channel_is_refused(scan, energies, binning):
    """An empty file would open nowhere."""
    with pytest.raises(ParameterError, match="leave no channel; the scan has 50"):
        channel_bins(scan, energies, binning)


def test_energy_polynomial_is_a_line_unless_the_energies_are_curved():
    """A tiny third number would make other programs take a line for a curve."""
    channels = np.arange(4096)
    line = (-1.17 + 0.0119534 * channels).astype(np.float32)
    a, b, c = energy_polynomial(line)
    assert c == 0.0
    np.testing.assert_allclose([a, b], [-1.17, 0.0119534], rtol=1e-6)
    curve = -1.17 + 0.0119 * channels + 2e-8 * channels**2
    np.testing.assert_allclose(energy_polynomial(curve), [-1.17, 0.0119, 2e-8], rtol=1e-6)
    assert energy_polynomial(np.array([3.5])) == (3.5, 0.0, 0.0)


# --- NeXus --------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["kriging", "linear"])
def test_nexus_cube_has_the_layout_that_pymca_goes_by(holed, tmp_path, method):
    """Names and sizes are exactly those; PyMca says nothing when it finds others."""
    export_scan(holed, tmp_path / "cube.h5", method=method, sigma=1.5)
    height, width = holed.grid.shape
    expected = picture(holed, method=method, sigma=1.5)
    with h5py.File(tmp_path / "cube.h5") as file:
        assert file.attrs["default"] == "entry"
        classes = {
            "entry": "NXentry",
            "entry/instrument": "NXinstrument",
            DETECTOR: "NXdetector",
            f"{DETECTOR}/map": "NXdata",
            "entry/instrument/positioners": "NXcollection",
            "entry/measurement": "NXdata",
        }
        assert {name: file[name].attrs["NX_class"] for name in classes} == classes
        data = file[f"{DETECTOR}/data"]
        assert (data.dtype, data.attrs["interpretation"]) == (np.float32, "spectrum")
        np.testing.assert_array_equal(data, expected)
        zero, gain, curvature = file[f"{DETECTOR}/calibration"][:]
        channels = file[f"{DETECTOR}/channels"][:]
        np.testing.assert_array_equal(channels, np.arange(holed.n_channels))
        np.testing.assert_allclose(zero + gain * channels, holed.energies, atol=1e-5)
        assert curvature == 0.0
        times = file[f"{DETECTOR}/live_time"][:]
        plain = holed.operator(method).apply(holed.live_times)[::-1]
        np.testing.assert_array_equal(times, np.nan_to_num(plain).ravel())
        y, x = np.meshgrid(holed.grid.y[::-1], holed.grid.x, indexing="ij")
        np.testing.assert_array_equal(file["entry/instrument/positioners/x"], x.ravel())
        np.testing.assert_array_equal(file["entry/instrument/positioners/y"], y.ravel())
        plot = file[f"{DETECTOR}/map"]
        assert list(plot.attrs["axes"]) == ["dim0", "dim1", "dim2"]
        assert [len(plot[name]) for name in plot.attrs["axes"]] == [height, width, len(channels)]
        for group in (plot, file["entry/measurement"]):
            assert isinstance(group.get("data", getlink=True), h5py.SoftLink)
            assert group[group.attrs["signal"]] == data
        assert json.loads(file["entry/scan/metadata"][()]) == holed.metadata


def test_pymca_opens_the_nexus_cube_calibrated(holed, tmp_path):
    """The file is for PyMca: it finds the spectra, their energies and times."""
    export_scan(holed, tmp_path / "cube.h5", method="linear")
    stack = pymca_stack(tmp_path / "cube.h5")
    np.testing.assert_array_equal(stack.data, picture(holed, method="linear"))
    zero, gain, _ = stack.info["McaCalib"]
    energies = zero + gain * np.arange(holed.n_channels)
    np.testing.assert_allclose(energies, holed.energies, atol=1e-5)
    times = holed.operator("linear").apply(holed.live_times)[::-1]
    np.testing.assert_array_equal(stack.info["McaLiveTime"], np.nan_to_num(times).ravel())
    y, x = np.meshgrid(holed.grid.y[::-1], holed.grid.x, indexing="ij")
    np.testing.assert_array_equal(stack.info["positioners"]["x"], x.ravel())
    np.testing.assert_array_equal(stack.info["positioners"]["y"], y.ravel())


@pytest.mark.parametrize("kind", ["nexus", "nexus-spectra"])
def test_pymca_with_silx_finds_spectra_and_positions_by_itself(scan, tmp_path, kind):
    """Its dialog then offers them; who opens the file need not know our names."""
    program("silx.io")
    tools = program("PyMca5.PyMcaCore.NexusTools")
    export_scan(scan, tmp_path / "scan.h5", kind=kind)
    with h5py.File(tmp_path / "scan.h5") as file:
        assert tools.getMcaList(file, "/entry") == [f"/{DETECTOR}/data"]
        motors = tools.getScannedPositioners(file, "/entry")
    assert [name.rsplit("/", 1)[-1] for name in motors] == ["x", "y"]


def test_silx_finds_the_plot_and_its_axes(holed, tmp_path):
    """What silx view shows first is the cube, and it says so when a group is not valid."""
    io = program("silx.io")
    nxdata = program("silx.io.nxdata")
    export_scan(holed, tmp_path / "cube.h5")
    with io.open(str(tmp_path / "cube.h5")) as file:
        for name in ("/", f"/{DETECTOR}/map"):
            found = nxdata.get_default(file[name])
            assert found.is_valid
            assert found.signal.shape == (*holed.grid.shape, holed.n_channels)
        assert found.axes_names == ["y", "x", "dim2"]


def test_nexus_spectra_are_the_counts_as_measured(scan, made, tmp_path):
    """Nothing is interpolated or rounded: PyMca's own maps start from the measurement."""
    export_scan(scan, tmp_path / "all.nxs", kind="nexus-spectra")
    with h5py.File(tmp_path / "all.nxs") as file:
        data = file[f"{DETECTOR}/data"]
        assert data.dtype == np.uint16
        np.testing.assert_array_equal(data, made.counts)
        np.testing.assert_array_equal(file[f"{DETECTOR}/live_time"], made.live_times)
        for axis, name in enumerate("xy"):
            found = file[f"entry/instrument/positioners/{name}"]
            np.testing.assert_array_equal(found, scan.positions[:, axis])
    stack = pymca_stack(tmp_path / "all.nxs")
    np.testing.assert_array_equal(np.squeeze(stack.data), made.counts)


def test_nexus_spectra_are_binned_without_overflow(scan, made, tmp_path):
    """Sums of 16-bit counts may be larger than 16 bits."""
    export_scan(scan, tmp_path / "all.h5", kind="nexus-spectra", energies=(1.0, 25.0), binning=3)
    channels, energies = channel_bins(scan, (1.0, 25.0), 3)
    expected = made.counts[:, channels].reshape(len(made.counts), -1, 3).sum(axis=2)
    with h5py.File(tmp_path / "all.h5") as file:
        assert file[f"{DETECTOR}/data"].dtype == np.uint32
        np.testing.assert_array_equal(file[f"{DETECTOR}/data"], expected)
        np.testing.assert_array_equal(file[f"{DETECTOR}/energy"], energies)


@pytest.fixture
def beside_its_crono(made, lean_zipstore, tmp_path):
    """Yield a scan whose Crono file lies beside it, in a folder that may be moved."""
    folder = tmp_path / "lab"
    folder.mkdir()
    shutil.copy2(made.path, folder)
    with open_scan(shutil.copy2(lean_zipstore, folder)) as scan:
        yield scan


def test_nexus_links_show_the_crono_files_counts_also_when_both_are_moved(
    beside_its_crono, made, tmp_path
):
    """Nothing is copied, and the folder may go to another disk or be sent."""
    scan = beside_its_crono
    path = scan.filename.with_name("links.h5")
    export_scan(scan, path, kind="nexus-links")
    with h5py.File(path) as file:
        (source,) = file[f"{DETECTOR}/data"].virtual_sources()
    assert (source.file_name, source.dset_name) == (made.path.name, "XRF/Spectra")
    moved = path.parent.rename(tmp_path / "elsewhere") / path.name
    with h5py.File(moved) as file:
        np.testing.assert_array_equal(file[f"{DETECTOR}/data"], made.counts)
    stack = pymca_stack(moved)
    np.testing.assert_array_equal(np.squeeze(stack.data), made.counts)
    np.testing.assert_allclose(stack.info["McaLiveTime"], made.live_times)


def test_nexus_links_refuse_another_crono_file_and_a_missing_one(
    beside_its_crono, make_scan, tmp_path
):
    """Spectra of another scan under this one's positions would look right."""
    scan = beside_its_crono
    other = make_scan((3, 4)).path
    with pytest.raises(ParameterError, match=r"is not the file that .* was converted from"):
        export_scan(scan, tmp_path / "a.h5", kind="nexus-links", crono=other)
    scan.filename.with_name(scan.source["name"]).unlink()
    with pytest.raises(ParameterError, match=r"no Crono file 'scan\.HDF5'.*name it with crono"):
        export_scan(scan, tmp_path / "a.h5", kind="nexus-links")
    assert not (tmp_path / "a.h5").exists()


# --- HyperSpy -----------------------------------------------------------------------------------
def hspy_of(path):
    """Return what RosettaSciIO, HyperSpy's reader, makes of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rsciio.hspy import file_reader

        (found,) = file_reader(str(path))
    return found


def test_rosettasciio_opens_hspy_with_its_axes(holed, tmp_path):
    """Positions and energies arrive in HyperSpy, not only the counts."""
    export_scan(holed, tmp_path / "cube.hspy", method="linear", beam_kev=50.0)
    found = hspy_of(tmp_path / "cube.hspy")
    np.testing.assert_array_equal(found["data"], picture(holed, method="linear"))
    expected = [holed.grid.y[::-1], holed.grid.x, holed.energies]
    for axis, values in zip(found["axes"], expected, strict=True):
        steps = axis["offset"] + axis["scale"] * np.arange(axis["size"])
        np.testing.assert_allclose(steps, values, rtol=1e-6, atol=1e-5)
    assert [axis["name"] for axis in found["axes"]] == ["y", "x", "Energy"]
    assert [axis["navigate"] for axis in found["axes"]] == [True, True, False]
    assert found["axes"][2]["units"] == "keV"
    tube = found["metadata"]["Acquisition_instrument"]["SEM"]
    assert tube["beam_energy"] == 50.0
    assert tube["Detector"]["EDS"]["live_time"] == pytest.approx(holed.live_times.mean())


def test_hspy_names_energies_that_lie_on_no_line(curved, tmp_path):
    """A straight axis would put every line of a curved calibration elsewhere."""
    export_scan(curved, tmp_path / "cube.hspy")
    axis = hspy_of(tmp_path / "cube.hspy")["axes"][2]
    assert axis["_type"] == "DataAxis"
    np.testing.assert_array_equal(axis["axis"], curved.energies)


def test_hyperspy_opens_hspy_as_a_spectrum_image_of_exspy(holed, tmp_path):
    """Element lines need the class of its own, and energies in keV."""
    hyperspy = program("hyperspy.api")
    program("exspy")
    export_scan(holed, tmp_path / "cube.hspy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = hyperspy.load(str(tmp_path / "cube.hspy"))
        found.set_elements(["Fe"])
    assert type(found).__name__ == "EDSSEMSpectrum"
    np.testing.assert_array_equal(found.data, picture(holed))


# --- LISPIX -------------------------------------------------------------------------------------
def rpl_data(path, program_name):
    """Return what a program makes of an ``.rpl``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if program_name == "PyMca":
            from PyMca5.PyMcaIO.LispixMap import LispixMap

            return LispixMap(str(path)).data
        from rsciio.ripple import file_reader

        return file_reader(str(path))[0]["data"]


@pytest.mark.parametrize("program_name", ["PyMca", "RosettaSciIO"])
def test_programs_open_rpl_of_averages_as_float(holed, tmp_path, program_name):
    """Rounded to whole counts, the average of sparse spectra would be 0 in most channels."""
    export_scan(holed, tmp_path / "cube.rpl", method="linear")
    found = rpl_data(tmp_path / "cube.rpl", program_name)
    np.testing.assert_array_equal(found, picture(holed, method="linear"))


@pytest.mark.parametrize("program_name", ["PyMca", "RosettaSciIO"])
@pytest.mark.parametrize("method", ["selected", "nearest"])
def test_programs_open_rpl_of_single_spectra_as_whole_counts(holed, tmp_path, method, program_name):
    """Then the file is the one of the scanners' own programs, and half as long."""
    path = tmp_path / "cube.rpl"
    export_scan(holed, path, method=method)
    assert "data-Length\t2\ndata-type\tunsigned\n" in path.read_text()
    expected = np.nan_to_num(picture(holed, method=method))  # no datum, no counts
    found = np.fromfile(tmp_path / "cube.raw", dtype="<u2").reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(rpl_data(path, program_name), expected)


def test_rpl_of_smoothed_spectra_is_float_too(holed, tmp_path):
    """Smoothed counts are no whole ones, even where each cell has one spectrum's."""
    export_scan(holed, tmp_path / "cube.rpl", method="selected", sigma=2.0)
    found = np.fromfile(tmp_path / "cube.raw", dtype="<f4")
    np.testing.assert_array_equal(found, picture(holed, method="selected", sigma=2.0).ravel())


def test_rpl_header_suits_the_pickiest_reader_of_each_line(curved, tmp_path):
    """maxrf4u wants one tab a line and its own spelling; PyMca takes prefixes for keys."""
    path = tmp_path / "cube.rpl"
    export_scan(curved, path, method="selected")
    raw = path.read_bytes()
    assert b"\r" not in raw
    lines = [line.split("\t") for line in raw.decode("ascii").splitlines()]
    assert {len(line) for line in lines} == {2}
    keys = [key for key, _ in lines]
    words = ("width", "height", "depth", "offset", "data-", "byte-", "record-")
    own = {"width", "height", "depth", "offset", "data-Length", "data-type", "byte-order"}
    assert {key for key in keys if key.lower().startswith(words)} == own | {"record-by"}
    values = dict(lines)
    assert (values["width"], values["height"], values["depth"]) == ("4", "3", "50")
    a, b, c = (float(value) for value in values[";energy-polynomial-kev"].split(","))
    channels = np.arange(50)
    np.testing.assert_allclose(a + b * channels + c * channels**2, curved.energies, atol=1e-4)
    assert float(values["ev-per-chan"]) == pytest.approx(1000 * (31.0 + 0.6) / 49, rel=1e-4)


def test_binned_whole_counts_are_summed_in_32_bits(holed, tmp_path):
    """Sums of 16-bit counts may be larger than 16 bits; a header must say so."""
    path = tmp_path / "cube.rpl"
    export_scan(holed, path, energies=(0, 20), binning=2, method="selected")
    values = dict(line.split("\t") for line in path.read_text().splitlines())
    assert (values["data-Length"], values["data-type"]) == ("4", "unsigned")
    channels, energies = channel_bins(holed, (0, 20), 2)
    plain = np.nan_to_num(picture(holed, method="selected")[..., channels])
    expected = plain.reshape(*holed.grid.shape, len(energies), 2).sum(axis=-1)
    found = np.fromfile(path.with_suffix(".raw"), dtype="<u4").reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)


# --- maxrf4u ------------------------------------------------------------------------------------
def test_datastack_is_a_format_3_zip_with_the_arrays_at_its_root(holed, tmp_path):
    """In format 2 they vanish from maxrf4u's list as soon as it adds one."""
    path = tmp_path / "cube.datastack"
    export_scan(holed, path, method="linear", sigma=2.0)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert len(names) == len(set(names))
        assert json.loads(archive.read("zarr.json"))["zarr_format"] == 3
        assert archive.testzip() is None
    cube = picture(holed, method="linear", sigma=2.0)
    with ZipStore(path, mode="r") as store:
        root = zarr.open_group(store, mode="r")
        assert sorted(root) == [
            "maxrf_cube",
            "maxrf_energies",
            "maxrf_maxspectrum",
            "maxrf_sumspectrum",
        ]
        assert {array.dtype for _, array in root.arrays()} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(root["maxrf_cube"][...], cube)
        np.testing.assert_array_equal(root["maxrf_energies"][...], holed.energies)
        np.testing.assert_array_equal(root["maxrf_maxspectrum"][...], np.nanmax(cube, axis=(0, 1)))
        mean = np.nanmean(cube, axis=(0, 1), dtype=np.float64)
        np.testing.assert_allclose(root["maxrf_sumspectrum"][...], mean, rtol=1e-6)
        assert "Mean" in root["maxrf_sumspectrum"].attrs["description"]


@pytest.mark.parametrize("tile_rows", [1, 2, 3, 4])
@pytest.mark.parametrize("block_rows", [1, 2, 3, 4])
def test_chunks_of_a_datastack_are_written_once_whatever_the_blocks(
    holed, tmp_path, monkeypatch, tile_rows, block_rows
):
    """A zip cannot replace an entry: a chunk written twice would be there twice."""
    monkeypatch.setattr("maxrf_core.lazy._SPECTRA_PER_BLOCK", block_rows * holed.grid.width)
    monkeypatch.setattr("maxrf_core.export_datastack._tile", lambda _: (tile_rows, 7))
    path = tmp_path / "cube.datastack"
    export_scan(holed, path, orientation="motor")
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == len(set(archive.namelist()))
    with ZipStore(path, mode="r") as store:
        found = zarr.open_group(store, mode="r")["maxrf_cube"][...]
    np.testing.assert_array_equal(found, holed.cube().compute())


def test_array_added_to_a_datastack_hides_none(holed, tmp_path):
    """Each step of maxrf4u writes its result into the file, in this way."""
    path = tmp_path / "cube.datastack"
    export_scan(holed, path)
    with ZipStore(path, mode="a") as store:
        zarr.create_array(store, name="compton_peak_energy", data=np.arange(3.0))
    with ZipStore(path, mode="r") as store:
        root = zarr.open_group(store, mode="r")
        assert len(sorted(root)) == 5
        np.testing.assert_array_equal(root["maxrf_cube"][...], picture(holed))


def test_maxrf4u_opens_a_datastack(holed, tmp_path):
    """It is what the file is for."""
    maxrf4u = program("maxrf4u")
    export_scan(holed, tmp_path / "cube.datastack", method="linear")
    stack = maxrf4u.DataStack(str(tmp_path / "cube.datastack"))
    np.testing.assert_array_equal(stack.read("maxrf_cube"), picture(holed, method="linear"))
    np.testing.assert_array_equal(stack.read("maxrf_energies"), holed.energies)
