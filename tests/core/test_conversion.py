"""From a Crono file to a zipstore: the same numbers however it is cut, whole or not at all."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import crono_files
import numpy as np
import pytest

from maxrf_core import (
    METHODS,
    ConversionCancelled,
    CronoFileError,
    OutputError,
    ParameterError,
    blocks,
    combine,
    convert_crono,
    get_array,
    open_scan,
    pipeline,
    runners,
    smooth_spectra,
)
from maxrf_core.layout import ArrayLayout
from maxrf_core.schema import (
    ALL_SPECTRA,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    CUBE,
    INTERCHANGE_ARRAYS,
    MAX_SPECTRUM,
    POSITIONS,
    SPECTRA_TOTALS,
    SUM_SPECTRUM,
)
from maxrf_core.store import StoreReader

FLOAT32_ROUNDING = 2.0**-23


@pytest.fixture
def convert(tmp_path):
    """Return `convert_crono` without a bar, into the test's own folder."""

    def run(path, **options):
        return Path(convert_crono(path, **({"output": tmp_path, "progress": False} | options)))

    return run


def tiny_blocks(monkeypatch):
    """Cut a scan into blocks so small that every loop of the conversion runs several times."""
    monkeypatch.setattr(blocks, "SPECTRA_PER_CHUNK", 4)
    monkeypatch.setattr(blocks, "SPECTRA_PER_TASK", 8)
    monkeypatch.setattr(blocks, "LONGEST_BLOCK", 24)
    monkeypatch.setattr(pipeline, "CUBE_TILE", 3)


def left_behind(folder):
    return sorted(path.name for path in folder.iterdir())


def standing(folder):
    """Put something under the final name, and return its path and bytes."""
    path = folder / "scan.zipstore"
    path.write_bytes(b"what stood here before")
    return path, path.read_bytes()


# --- the numbers --------------------------------------------------------------------------------
@pytest.mark.parametrize("channels", [4096, 2048, 1000, 17, 1])
@pytest.mark.parametrize("cut", ["whole", "tiny blocks"])
def test_the_three_tables_hold_the_counts_of_the_file(
    make_scan, convert, monkeypatch, channels, cut
):
    """By spectrum, by channel and cumulative: n and c are multiples of no block."""
    made = make_scan((5, 4), channels=channels)
    if cut == "tiny blocks":
        tiny_blocks(monkeypatch)
    path = convert(made.path, cubes=False)
    counts = made.counts.astype(np.int64)
    with StoreReader(path) as reader:
        np.testing.assert_array_equal(reader.read_array(COUNTS_BY_SPECTRUM), counts)
        np.testing.assert_array_equal(reader.read_array(COUNTS_BY_CHANNEL), counts.T)
        groups = -(-channels // 16)
        below = [counts[:, : 16 * group].sum(axis=1) for group in range(groups + 1)]
        np.testing.assert_array_equal(reader.read_array(COUNTS_CUMULATIVE), below)
        np.testing.assert_array_equal(reader.read_array(SPECTRA_TOTALS), counts.sum(axis=1))
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.total_spectrum, counts.sum(axis=0))
        np.testing.assert_array_equal(scan.max_counts, counts.max(axis=0))
        expected = smooth_spectra(made.counts, 7.0).max(axis=0)
        np.testing.assert_array_equal(scan.max_smoothed, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sigma", [0, 2.5])
def test_the_interchange_arrays_are_the_products_of_the_design(made, convert, method, sigma):
    """S G, W S G, its maximum and its mean, from the file's counts by plain matrix products."""
    path = convert(made.path, method=method, sigma=sigma)
    smoothed = smooth_spectra(made.counts.astype(np.float64), sigma)
    all_spectra = get_array(path, ALL_SPECTRA)
    assert all_spectra.dtype == np.float32
    np.testing.assert_allclose(all_spectra, smoothed, rtol=FLOAT32_ROUNDING)
    with open_scan(path) as scan:
        weights = scan.operator().matrix.toarray().astype(np.float64)
    expected = (weights @ smoothed).reshape(7, 5, 50)
    # float32 sums of at most 25 terms of either sign
    scale = float(np.max(np.abs(weights) @ smoothed))
    cube = get_array(path, CUBE)
    np.testing.assert_allclose(cube, expected, rtol=0, atol=25 * FLOAT32_ROUNDING * scale)
    np.testing.assert_array_equal(get_array(path, MAX_SPECTRUM), cube.max(axis=(0, 1)))
    mean = cube.mean(axis=(0, 1), dtype=np.float64)
    np.testing.assert_allclose(get_array(path, SUM_SPECTRUM), mean, rtol=FLOAT32_ROUNDING)


def test_blocks_do_not_show_in_the_result(made, convert, monkeypatch, tmp_path):
    """How a scan is cut depends on memory and processors; no number may."""
    whole = convert(made.path)
    tiny_blocks(monkeypatch)
    cut = convert(made.path, output=tmp_path / "cut.zipstore")
    with StoreReader(cut) as reader:
        assert reader.layout(COUNTS_BY_CHANNEL).chunk_counts == (4, 4)
        assert reader.layout(CUBE).chunk_counts == (3, 2, 1)
    for name in INTERCHANGE_ARRAYS:
        if name == SUM_SPECTRUM:  # summed in another order, in float64
            np.testing.assert_allclose(
                get_array(cut, name), get_array(whole, name), rtol=FLOAT32_ROUNDING
            )
        else:
            np.testing.assert_array_equal(get_array(cut, name), get_array(whole, name))
    with open_scan(whole) as one, open_scan(cut) as other:
        np.testing.assert_array_equal(one.operator().matrix.data, other.operator().matrix.data)
        np.testing.assert_array_equal(one.energy_map(1.3, 20), other.energy_map(1.3, 20))
        smooth = {"sigma": 1.7, "method": "linear"}
        np.testing.assert_allclose(
            one.energy_map(1.3, 20, **smooth), other.energy_map(1.3, 20, **smooth), rtol=1e-6
        )


def test_little_memory_makes_several_blocks_and_the_same_map(make_scan, convert, tmp_path):
    """64 MiB hold 4096 spectra of 4096 channels; a longer scan is cut in two."""
    made = make_scan((97, 40), channels=4096, mean=0.02)
    assert len(made.counts) > 4096
    options = {"cubes": False, "method": "nearest"}
    small = convert(made.path, memory_limit="64 MiB", **options)
    large = convert(made.path, output=tmp_path / "large.zipstore", **options)
    with open_scan(small) as one, open_scan(large) as other:
        assert one._reader.layout(COUNTS_BY_CHANNEL).chunk_counts[1] == 2
        assert other._reader.layout(COUNTS_BY_CHANNEL).chunk_counts[1] == 1
        expected = made.counts[:, one.channels_of(1.0, 22.3)].sum(axis=1, dtype=int)
        np.testing.assert_array_equal(one.window_counts(1.0, 22.3), expected)
        np.testing.assert_array_equal(other.energy_map(1.0, 22.3), one.energy_map(1.0, 22.3))


@pytest.mark.parametrize("options", [{}, {"method": "linear", "cubes": False}])
@pytest.mark.parametrize("cut", ["whole", "tiny blocks"])
def test_equal_input_makes_equal_files(made, convert, tmp_path, monkeypatch, options, cut):
    """Byte for byte, whatever the number of processors: a file's hash tells what is in it."""
    if cut == "tiny blocks":
        tiny_blocks(monkeypatch)
    first = convert(made.path, **options)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    again = convert(made.path, output=tmp_path / "again.zipstore", **options)
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("flip", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("orientation", ["motor", "vendor", "image"])
def test_the_cube_is_turned_as_asked_and_nothing_else(make_scan, convert, flip, orientation):
    """The file's own index may run against x or y; maps always have the smallest y first."""
    made = make_scan((7, 5), flip=flip)
    path = convert(made.path, method="selected", sigma=0, orientation=orientation)
    cube = get_array(path, CUBE)
    upwards = made.counts[made.selected]  # made.selected runs with x and y
    if orientation == "vendor":
        expected = upwards[:: -1 if flip[0] else 1, :: -1 if flip[1] else 1]
    else:
        expected = upwards[::-1] if orientation == "image" else upwards
    np.testing.assert_array_equal(cube, expected)
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.selected_index, made.selected)
        np.testing.assert_array_equal(scan.cube().compute(), upwards)
        np.testing.assert_array_equal(
            scan.energy_map(-1, 40), upwards.sum(axis=-1, dtype=np.float32)
        )
    np.testing.assert_array_equal(get_array(path, MAX_SPECTRUM), upwards.max(axis=(0, 1)))


@pytest.mark.parametrize("orientation", ["vendor", "image"])
def test_a_turned_cube_is_turned_across_its_chunks(make_scan, convert, monkeypatch, orientation):
    """The last chunk of a turned cube is the first of the map, and both may be cut."""
    tiny_blocks(monkeypatch)
    made = make_scan((7, 5), flip=(True, True))
    path = convert(made.path, method="selected", sigma=0, orientation=orientation)
    expected = made.counts[made.selected][::-1, :: -1 if orientation == "vendor" else 1]
    np.testing.assert_array_equal(get_array(path, CUBE), expected)


@pytest.mark.parametrize(
    ("spacing", "stored"),
    [
        ("square", "square"),
        (620, 620),
        (np.float32(620), 620),
        (np.int64(620), 620),
        ((700.0, 400), [700, 400]),
        ([700, 400], [700, 400]),
    ],
    ids=str,
)
def test_the_grid_has_the_spacing_asked_for(made, convert, spacing, stored):
    """Numbers come out of arithmetic as numpy scalars, too."""
    path = convert(made.path, spacing=spacing, cubes=False)
    with open_scan(path) as scan:
        assert scan.parameters["spacing"] == stored
        wanted = 500 if stored == "square" else stored  # the finer pitch of the file is in y
        assert (scan.grid.dx, scan.grid.dy) == pytest.approx(np.broadcast_to(wanted, 2))
        assert np.isfinite(scan.energy_map(1, 9)).all()


def test_cells_without_a_datum_are_left_out_of_maximum_and_mean(make_scan, convert):
    """The spectrum of a scan with a gap is that of what was measured."""
    made = make_scan((4, 20), turn=0, wobble=0, gap=8000)
    path = convert(made.path, method="nearest")
    cube = get_array(path, CUBE)
    empty = np.isnan(cube).all(axis=-1)
    assert empty.any()
    assert np.isfinite(cube[~empty]).all()
    np.testing.assert_array_equal(get_array(path, MAX_SPECTRUM), cube[~empty].max(axis=0))
    mean = cube[~empty].mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(get_array(path, SUM_SPECTRUM), mean, rtol=FLOAT32_ROUNDING)
    with open_scan(path) as scan:
        np.testing.assert_array_equal(np.isnan(scan.energy_map(1, 9)), empty)


def test_a_scan_without_times_and_regions_is_converted(make_scan, convert):
    """They are optional in the file, and so here."""
    made = make_scan((4, 3), bare=True)
    with open_scan(convert(made.path)) as scan:
        assert scan.live_times is None
        assert scan.rois == ()
        with pytest.raises(ParameterError, match=r"scan\.HDF5 has no live times"):
            scan.energy_map(1, 9, per_second=True)


def test_positions_keep_the_dtype_of_the_file(made, full_zipstore):
    """uint32 motor steps, x, y and z."""
    positions = get_array(full_zipstore, POSITIONS)
    assert positions.dtype == np.uint32
    np.testing.assert_array_equal(positions, made.positions)


# --- where the result goes ----------------------------------------------------------------------
def test_the_zipstore_lies_beside_the_scan_by_default(made, tmp_path):
    """Under the scan's name, as cronomaxrf does; the path comes back as text."""
    scan = tmp_path / "a.scan.of.dots.HDF5"
    shutil.copy(made.path, scan)
    found = convert_crono(str(scan), progress=False, cubes=False)
    assert found == str(tmp_path / "a.scan.of.dots.zipstore")
    assert left_behind(tmp_path) == ["a.scan.of.dots.HDF5", "a.scan.of.dots.zipstore"]


@pytest.mark.parametrize("output", ["other.zipstore", "folder"])
def test_the_output_may_be_a_file_or_a_folder(made, tmp_path, convert, output):
    """A folder keeps the scan's name."""
    (tmp_path / "folder").mkdir()
    found = convert(made.path, output=str(tmp_path / output), cubes=False)
    expected = output if output.endswith("zipstore") else "folder/scan.zipstore"
    assert found == tmp_path / expected


def test_the_source_is_never_the_output(made, tmp_path):
    """A scan that somebody named .zipstore must survive its own conversion."""
    scan = tmp_path / "scan.zipstore"
    shutil.copy(made.path, scan)
    with pytest.raises((OutputError, ParameterError)):
        convert_crono(scan, overwrite=True, progress=False)
    assert scan.read_bytes() == made.path.read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "cubic"}, "method is 'cubic'; expected one of"),
        ({"sigma": -1}, "sigma is -1; expected"),
        ({"spacing": "fine"}, "spacing is 'fine'; expected"),
        ({"orientation": "up"}, "orientation is 'up'; expected"),
        ({"memory_limit": "much"}, "memory_limit is 'much'; expected"),
        ({"memory_limit": "1 MiB"}, "memory_limit is '1 MiB'; at least 64 MiB"),
        ({"output": "scan.hdf5"}, r"output is 'scan.hdf5'; expected .* ending in .zipstore"),
    ],
)
def test_an_option_that_means_nothing_is_refused_before_anything_is_written(
    made, tmp_path, monkeypatch, options, sentence
):
    """At once, not after an hour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runners, "SpectraReader", None)
    with pytest.raises(ParameterError, match=sentence):
        convert_crono(made.path, **({"output": tmp_path, "progress": False} | options))
    assert left_behind(tmp_path) == []


# --- what stands in place -----------------------------------------------------------------------
def test_what_was_converted_before_is_returned_at_once(made, convert, monkeypatch):
    """A notebook is run again from the top; nothing is read or written."""
    path = convert(made.path)
    before = path.stat()
    monkeypatch.setattr(runners, "SpectraReader", None)
    assert convert(made.path) == path
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "nearest"},
        {"sigma": 3},
        {"spacing": "square"},
        {"orientation": "image"},
        {"cubes": False},
    ],
)
def test_other_parameters_do_not_replace_it_unasked(made, convert, options):
    """What cost an hour is not lost to a changed option; with overwrite it is."""
    path = convert(made.path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"made from other parameters. Pass overwrite=True"):
        convert(made.path, **options)
    assert path.read_bytes() == before
    convert(made.path, overwrite=True, **options)
    assert path.read_bytes() != before


@pytest.mark.parametrize("change", ["name", "time", "size"])
def test_another_scan_does_not_replace_it_unasked(made, convert, tmp_path, change):
    """Same name in another folder, saved again, or grown."""
    source = tmp_path / "source.HDF5"
    shutil.copy2(made.path, source)
    output = tmp_path / "out.zipstore"
    convert(source, output=output, cubes=False)
    before = output.read_bytes()
    if change == "name":
        source = source.rename(tmp_path / "other.HDF5")
    elif change == "time":
        os.utime(source, ns=(1, 1))
    else:
        times = source.stat()
        with source.open("ab") as file:
            file.write(b"\0")
        os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(OutputError, match=r"made from another scan. Pass overwrite=True"):
        convert(source, output=output, cubes=False)
    assert output.read_bytes() == before


def test_any_other_file_in_its_place_stays_unless_overwritten(made, convert, tmp_path):
    """Also one that is no zipstore at all, such as one cut short."""
    path, before = standing(tmp_path)
    with pytest.raises(OutputError, match=r"exists already and cannot be used: .*overwrite=True"):
        convert(made.path, cubes=False)
    assert path.read_bytes() == before
    convert(made.path, cubes=False, overwrite=True)
    with open_scan(path) as scan:
        assert scan.n_spectra == len(made.counts)


# --- when it fails ------------------------------------------------------------------------------
@pytest.mark.parametrize("room_kib", [0, 5, 20, 40])
def test_a_full_disk_leaves_the_old_file_and_no_other(made, tmp_path, room_kib):
    """For real: the system refuses to let the file grow, in a process of its own."""
    path, before = standing(tmp_path)
    program = """
import resource, signal, sys
from maxrf_core import OutputError, convert_crono
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    convert_crono(sys.argv[1], output=sys.argv[2], overwrite=True, progress=False)
except OutputError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, made.path, tmp_path, str(1024 * room_kib)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == f"cannot write {path}: File too large.\n"
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["scan.zipstore"]


def _interrupt(*_):
    raise KeyboardInterrupt


def _no_memory(*_, **__):
    raise MemoryError


@pytest.mark.parametrize(
    ("fail", "error"), [(_interrupt, KeyboardInterrupt), (_no_memory, MemoryError)]
)
@pytest.mark.parametrize("stage", ["spectra", "operator", "cube"])
def test_whatever_goes_wrong_leaves_the_old_file_and_no_other(
    made, convert, tmp_path, monkeypatch, fail, error, stage
):
    """At every stage, in every thread."""
    tiny_blocks(monkeypatch)
    path, before = standing(tmp_path)
    threads = threading.active_count()

    def report(message):
        if message.stage == stage and message.fraction > 0.3:
            fail()

    with pytest.raises(error):
        convert(made.path, overwrite=True, progress=report)
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["scan.zipstore"]
    # dask keeps one pool of os.cpu_count() threads for the process
    assert threading.active_count() <= threads + (os.cpu_count() or 1)


@pytest.mark.parametrize("place", ["encode", "block"])
def test_a_fault_in_a_worker_leaves_the_old_file_and_no_other(
    made, convert, tmp_path, monkeypatch, place
):
    """The threads that compress raise, too."""
    tiny_blocks(monkeypatch)
    path, before = standing(tmp_path)
    if place == "encode":
        monkeypatch.setattr(ArrayLayout, "encode", _no_memory)
    else:
        monkeypatch.setattr(combine, "cube_block", _no_memory)
    with pytest.raises(MemoryError):
        convert(made.path, overwrite=True)
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["scan.zipstore"]


def test_control_c_leaves_the_old_file_and_no_other(made, convert, tmp_path, monkeypatch):
    """A real signal, which Python raises in the main thread while others work."""
    tiny_blocks(monkeypatch)
    path, before = standing(tmp_path)

    def report(message):
        if message.stage == "operator":  # reported by the main thread: it cannot come too late
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        convert(made.path, overwrite=True, progress=report)
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["scan.zipstore"]


@pytest.mark.parametrize("cubes", [True, False])
@pytest.mark.parametrize("stage", ["start", "spectra", "operator"])
def test_a_cancelled_conversion_leaves_the_old_file_and_no_other(
    made, convert, tmp_path, monkeypatch, stage, cubes
):
    """Set at any stage, the event stops the run, and never later replaces the file."""
    tiny_blocks(monkeypatch)
    path, before = standing(tmp_path)
    cancel = threading.Event()
    if stage == "start":
        cancel.set()

    def report(message):
        if message.stage == stage:
            cancel.set()

    with pytest.raises(ConversionCancelled, match=r"scan\.HDF5: stopped; nothing was left behind"):
        convert(made.path, overwrite=True, cubes=cubes, progress=report, cancel=cancel)
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["scan.zipstore"]


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("file/scan.zipstore", "cannot write .*: Not a directory"),
        ("missing/scan.zipstore", "cannot write .*: No such file or directory"),
        ("a" * 250 + ".zipstore", "cannot write .*: File name too long"),
        ("/sys/scan.zipstore", "no permission to write /sys/scan.zipstore"),
    ],
    ids=["parent is a file", "no parent", "long name", "no permission"],
)
def test_a_place_that_cannot_be_written_is_told_in_a_sentence(
    made, convert, tmp_path, output, sentence
):
    """Not even root writes into /sys."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=sentence):
        convert(made.path, output=tmp_path / output)
    assert left_behind(tmp_path) == ["file"]


@pytest.mark.parametrize("name", sorted(crono_files.BROKEN_COUNTS))
def test_counts_that_cannot_be_read_leave_the_old_file_and_no_other(convert, tmp_path, name):
    """The fault shows in the middle of the run; the message is the reader's own."""
    source = tmp_path / "source"
    source.mkdir()
    scan = crono_files.BROKEN_COUNTS[name](source)
    path = tmp_path / "scan.zipstore"
    path.write_bytes(b"what stood here before")
    with pytest.raises(CronoFileError) as caught:
        convert(scan, output=path, overwrite=True)
    assert crono_files.MESSAGES[name] in str(caught.value)
    assert path.read_bytes() == b"what stood here before"
    assert left_behind(tmp_path) == ["scan.zipstore", "source"]


def test_two_conversions_of_one_scan_at_once_both_end_well(made, convert, tmp_path):
    """Two visitors of one server press the same button."""
    results = []

    def run():
        try:
            results.append(convert(made.path, overwrite=True, cubes=False))
        except OutputError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [tmp_path / "scan.zipstore"] * 4
    assert left_behind(tmp_path) == ["scan.zipstore"]
    with open_scan(results[0]) as scan:
        np.testing.assert_array_equal(
            scan.window_counts(-1, 40), made.counts.sum(axis=1, dtype=int)
        )


# --- progress -----------------------------------------------------------------------------------
@pytest.mark.parametrize("cubes", [True, False])
def test_progress_runs_from_start_to_end_of_each_stage(made, convert, monkeypatch, cubes):
    """The page's bar moves forward and arrives."""
    tiny_blocks(monkeypatch)
    messages = []
    convert(made.path, progress=messages.append, cubes=cubes)
    stages = list(dict.fromkeys(message.stage for message in messages))
    assert stages == ["spectra", "operator", *(["cube"] if cubes else [])]
    for stage in stages:
        done = [message.done for message in messages if message.stage == stage]
        assert done == sorted(done)
        assert done[-1] == next(m.total for m in messages if m.stage == stage)


def test_the_bar_goes_to_the_standard_error_stream(made, tmp_path, capfd):
    """What the program prints stays clean; without progress it prints nothing."""
    convert_crono(made.path, output=tmp_path / "a.zipstore", cubes=False)
    out, err = capfd.readouterr()
    assert out == ""
    assert "scan.HDF5" in err
    assert "Reading and smoothing spectra" in err
    convert_crono(made.path, output=tmp_path / "b.zipstore", cubes=False, progress=False)
    assert capfd.readouterr() == ("", "")


def test_the_scan_is_the_only_positional_argument():
    """A call written for cronomaxrf runs; options have names."""
    first, *others = inspect.signature(convert_crono).parameters.values()
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {parameter.kind for parameter in others} == {inspect.Parameter.KEYWORD_ONLY}
