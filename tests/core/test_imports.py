"""Cubes of other programs and scanners open as scans: counts, energies and orientation."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from maxrf_core import ConversionCancelled, CronoFileError, OutputError, ParameterError, open_scan
from maxrf_core.export_rpl import ENERGY_COMMENT
from maxrf_core.exports import export_scan
from maxrf_core.import_rpl import read_rpl
from maxrf_core.imports import import_scan

# The keys, their order and their values but for the sizes are those of XRF-Explorer's test data,
# from a Bruker M6 Jetstream
BRUKER = """key value
width       {width}
height      {height}
depth       {depth}
offset      0
data-Length 2
data-type   unsigned
byte-order  little-endian
record-by   vector
depthbinsize 1
depth1 200
depth2 3000
depthscaleorigin -0.956
depthscaleincrement 0.010002
depthscaleunits keV
"""

LISPIX = (
    "key\tvalue\nwidth\t{width}\nheight\t{height}\ndepth\t{depth}\noffset\t{offset}\n"
    "data-length\t{length}\ndata-type\t{kind}\nbyte-order\t{order}\nrecord-by\t{by}\n{more}"
)
SHAPE = (5, 3, 40)


@pytest.fixture
def cube(rng):
    """Return counts (h, w, c), no two cells or channels alike."""
    return rng.poisson(3.0, SHAPE).astype(np.uint16)


def lispix(
    *, offset=0, length=2, kind="unsigned", order="little-endian", by="vector", more="", shape=SHAPE
):
    """Return a header in LISPIX's own dialect."""
    height, width, depth = shape
    return LISPIX.format(**locals())


def write(folder, text, counts, name="scan.rpl"):
    """Write header and counts, and return the header's path."""
    path = folder / name
    path.write_text(text)
    path.with_suffix(".raw").write_bytes(counts if isinstance(counts, bytes) else counts.tobytes())
    return path


def converted(path, **options):
    """Return the plain cube as the file has it, and energies and grid, of an import."""
    with open_scan(import_scan(path, progress=False, **options)) as scan:
        return scan.cube().compute()[::-1], scan.energies, scan.grid


# --- Bruker -------------------------------------------------------------------------------------
def test_bruker_header_opens_with_its_energies(cube, tmp_path):
    """It breaks PyMca, RosettaSciIO and maxrf4u; here the scan of an M6 Jetstream is welcome."""
    height, width, depth = SHAPE
    path = write(tmp_path, BRUKER.format(height=height, width=width, depth=depth), cube)
    found, energies, grid = converted(path)
    np.testing.assert_array_equal(found, cube)
    np.testing.assert_allclose(energies, -0.956 + 0.010002 * np.arange(depth), atol=1e-6)
    assert grid.shape == (height, width)
    assert grid.dx == grid.dy == 1000


def test_bruker_header_with_windows_line_ends_and_decimal_commas(cube, tmp_path):
    """The scanner's computer may speak German."""
    height, width, depth = SHAPE
    text = BRUKER.format(height=height, width=width, depth=depth)
    text = text.replace("-0.956", "-0,956").replace("\n", "\r\n")
    _, energies, _ = converted(write(tmp_path, text, cube))
    assert energies[0] == np.float32(-0.956)


def test_import_leaves_the_zipstore_alone_beside_the_cube(cube, tmp_path):
    """What stands for the cube on the way is nobody's file."""
    path = write(tmp_path, BRUKER.format(height=5, width=3, depth=40), cube)
    zipstore = import_scan(path, progress=False)
    assert zipstore == str(tmp_path / "scan.zipstore")
    assert {entry.name for entry in tmp_path.iterdir()} == {
        "scan.rpl",
        "scan.raw",
        "scan.zipstore",
    }
    with open_scan(zipstore) as scan:
        assert scan.source["name"] == "scan.rpl"


def test_cube_imported_again_is_the_same_scan_and_another_is_not(cube, tmp_path):
    """As with Crono files: a folder can be imported again at no cost, and no scan is lost."""
    path = write(tmp_path, lispix(more="ev-per-chan\t10\n"), cube)
    before = (tmp_path / import_scan(path, progress=False)).stat().st_mtime_ns
    again = import_scan(path.with_suffix(".raw"), progress=False)  # the counts name the scan, too
    assert (tmp_path / again).stat().st_mtime_ns == before
    write(tmp_path, lispix(more="ev-per-chan\t10\n"), cube[::-1])
    with pytest.raises(OutputError, match="made from another scan"):
        import_scan(path, progress=False)


# --- dialects -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("depth-origin\t-0.5\ndepth-scale\t0.01\ndepth-units\tkeV\n", (-0.5, 0.01)),
        ("depth-origin\t-500\ndepth-scale\t10\ndepth-units\teV\n", (-0.5, 0.01)),
        ("ev-per-chan\t12.5\n", (0.0, 0.0125)),
        (f"ev-per-chan\t12.5\n{ENERGY_COMMENT}\t-1.1,0.02,0.0001\n", (-1.1, 0.02, 0.0001)),
        ("depthscaleorigin\t-956\ndepthscaleincrement\t10\ndepthscaleunits\teV\n", (-0.956, 0.01)),
    ],
)
def test_each_dialect_tells_its_energies(cube, tmp_path, more, expected):
    """Wrong energies would name the wrong elements."""
    header = read_rpl(write(tmp_path, lispix(more=more), cube))
    assert header.polynomial == pytest.approx(expected)
    channels = np.arange(40)
    plain = sum(value * channels**power for power, value in enumerate(expected))
    np.testing.assert_allclose(header.energies(), plain, rtol=1e-6, atol=1e-7)


def test_width_of_a_channel_without_a_zero_is_used_and_told(cube, tmp_path, caplog):
    """A guess that nobody hears of is taken for a fact."""
    path = write(tmp_path, lispix(more="ev-per-chan\t10\n"), cube)
    with caplog.at_level(logging.WARNING):
        _, energies, _ = converted(path)
    np.testing.assert_allclose(energies, 0.01 * np.arange(40), atol=1e-6)
    assert "channel 0 is taken for 0 keV" in caplog.text


def test_cube_without_energies_asks_for_them(cube, tmp_path):
    """Nothing in the counts says what a channel is."""
    path = write(tmp_path, lispix(), cube)
    with pytest.raises(ParameterError, match="does not say which energies its 40 channels have"):
        import_scan(path, progress=False)
    _, energies, _ = converted(path, calibration=(-0.2, 0.02))
    np.testing.assert_allclose(energies, -0.2 + 0.02 * np.arange(40), atol=1e-6)


@pytest.mark.parametrize("calibration", [(0, 0), (0, -0.01), (float("nan"), 0.01)])
def test_calibration_without_meaning_is_refused(cube, tmp_path, calibration):
    """Energies have to grow with the channels."""
    path = write(tmp_path, lispix(), cube)
    with pytest.raises(ParameterError, match="calibration is"):
        import_scan(path, calibration=calibration, progress=False)


LAYOUTS = [
    ("<u2", "vector", 0),
    ("<u2", "vector", 11),
    (">u2", "vector", 0),
    ("u1", "vector", 3),
    ("<u4", "vector", 0),
    ("<i4", "vector", 0),
    ("<f4", "vector", 0),
    (">f8", "vector", 4),
    ("<u2", "image", 0),
    (">u4", "image", 6),
]


@pytest.mark.parametrize(("dtype", "by", "offset"), LAYOUTS)
def test_every_layout_of_lispix_gives_the_same_counts(
    cube, tmp_path, monkeypatch, dtype, by, offset
):
    """Programs and computers differ; the object does not."""
    monkeypatch.setattr("maxrf_core.import_rpl._VALUES_AT_ONCE", 160)  # 4 spectra at once
    kinds = {"u": "unsigned", "i": "signed", "f": "float"}
    text = lispix(
        offset=offset,
        length=np.dtype(dtype).itemsize,
        kind=kinds[np.dtype(dtype).kind],
        order="big-endian" if dtype[0] == ">" else "little-endian",
        by=by,
        more="ev-per-chan\t10\n",
    )
    stored = cube.transpose(2, 0, 1) if by == "image" else cube
    path = write(tmp_path, text, b"\xff" * offset + stored.astype(dtype).tobytes())
    found, _, _ = converted(path)
    np.testing.assert_array_equal(found, cube)


def test_export_imported_again_has_the_same_cells_and_energies(scan, tmp_path):
    """A scan that went through another program's format comes back, picture upright."""
    path = tmp_path / "again.rpl"
    export_scan(scan, path, method="selected")
    found, energies, _ = converted(path)
    np.testing.assert_array_equal(found, scan.cube(method="selected").compute()[::-1])
    np.testing.assert_allclose(energies, scan.energies, atol=1e-5)


def test_cancelled_import_leaves_nothing(cube, tmp_path):
    """Neither half a zipstore nor what stood for the cube on the way."""
    path = write(tmp_path, lispix(more="ev-per-chan\t10\n"), cube)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(ConversionCancelled, match=r"import of .*scan\.raw was cancelled"):
        import_scan(path, progress=False, cancel=cancel)
    assert {entry.name for entry in tmp_path.iterdir()} == {"scan.rpl", "scan.raw"}


# --- faults -------------------------------------------------------------------------------------
def test_all_faults_of_a_header_are_named_at_once(tmp_path):
    """Nobody should have to mend a header eight times to learn eight faults."""
    text = (
        "width 0\nheight x\ndata-Length 3\ndata-type complex\nbyte-order middle\n"
        "record-by dont-care\ndepthscaleincrement -1\ndepthscaleunits inch\noffset -4\n"
    )
    with pytest.raises(CronoFileError) as caught:
        read_rpl(write(tmp_path, text, b""))
    for fault in (
        "width is 0",
        "height is 'x'",
        "depth is missing",
        "offset is -4",
        "data-type is complex",
        "byte-order is middle",
        "record-by is dont-care",
        "depthscaleunits is 'inch'",
        "expected numbers that grow",
    ):
        assert fault in str(caught.value)
    with pytest.raises(CronoFileError, match=r"data-length is 3; expected one of"):
        read_rpl(write(tmp_path, lispix(length=3), b""))


def test_missing_halves_are_told(cube, tmp_path):
    """Who copies a scan to a stick forgets one of its two files."""
    path = write(tmp_path, lispix(more="ev-per-chan\t10\n"), cube)
    path.with_suffix(".raw").unlink()
    with pytest.raises(CronoFileError, match=r"scan\.raw does not exist; the counts have to lie"):
        import_scan(path, progress=False)
    path.rename(tmp_path / "header.txt")
    with pytest.raises(CronoFileError, match=r"scan\.rpl does not exist"):
        import_scan(path, progress=False)


def test_counts_that_end_too_early_are_refused(cube, tmp_path):
    """HDF5 would make zeros of what is not there."""
    path = write(tmp_path, lispix(more="ev-per-chan\t10\n"), cube.tobytes()[:-1])
    with pytest.raises(
        CronoFileError, match=r"has 1199 bytes; its header scan\.rpl describes 1200"
    ):
        import_scan(path, progress=False)


@pytest.mark.parametrize("value", [0.5, -1.0, 65536.0, float("nan"), float("inf")])
def test_values_that_are_no_counts_are_refused_where_they_are(cube, tmp_path, value):
    """An average taken for counts would have errors that are far too large, or none at all."""
    stored = cube.astype("<f4")
    stored[2, 1, 7] = value
    text = lispix(length=4, kind="float", more="ev-per-chan\t10\n")
    path = write(tmp_path, text, stored)
    with pytest.raises(CronoFileError, match=r"in row 2, column 1, channel 7; expected whole"):
        import_scan(path, progress=False)
    assert {entry.name for entry in tmp_path.iterdir()} == {"scan.rpl", "scan.raw"}


def test_large_counts_of_a_wide_dtype_are_refused(cube, tmp_path):
    """The zipstore holds 16 bits; a count that wrapped round would be a small one."""
    stored = cube.astype("<u4")
    stored[4, 2, 39] = 70_000
    path = write(tmp_path, lispix(length=4, more="ev-per-chan\t10\n"), stored)
    with pytest.raises(CronoFileError, match=r"has 70000 in row 4, column 2, channel 39"):
        import_scan(path, progress=False)
