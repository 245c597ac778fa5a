"""The door to exports: kinds, options, and what happens when a file cannot be written."""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile

from maxrf_core import ConversionCancelled, OutputError, ParameterError, convert_crono, open_scan
from maxrf_core.export_file import whole_files
from maxrf_core.exports import EXPORT_KINDS, export_kind, export_scan

KINDS = [kind.name for kind in EXPORT_KINDS if kind.name != "nexus-links"]
"""All that need nothing but the scan."""

NOT_WRITABLE = Path("/sys/kernel")


def file_of(kind, folder):
    """Return a name for a file of a kind."""
    return folder / f"out{export_kind_named(kind).suffixes[0]}"


def export_kind_named(name):
    """Return a kind by name."""
    return next(kind for kind in EXPORT_KINDS if kind.name == name)


def contents(folder):
    """Return what lies in a folder, hidden files included."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- kinds and options --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.h5", "nexus"),
        ("a.NXS", "nexus"),
        ("a.hspy", "hspy"),
        ("a.rpl", "rpl"),
        ("a.datastack", "datastack"),
        ("a.b.tif", "tiff"),
        ("a.TIFF", "tiff"),
        ("a.csv", "csv"),
        ("a.npy", "npy"),
        ("a.dms", "dms"),
    ],
)
def test_suffix_tells_the_kind(name, expected):
    """Most people name a file, not a format."""
    assert export_kind(name).name == expected


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("a.xyz", None, "ends in '.xyz', which is no kind of export; expected one of .csv, "),
        ("a", None, "ends in 'nothing'"),
        ("a.h5", "pymca", "kind is 'pymca'; expected one of nexus, "),
        ("a.csv", "tiff", "expected a name ending in .tif or .tiff"),
        ("a.zipstore", "npy", "expected a name ending in .npy"),
    ],
)
def test_unknown_kind_is_refused_with_those_there_are(scan, tmp_path, name, kind, message):
    """The sentence is the list that the user needs next."""
    with pytest.raises(ParameterError) as caught:
        export_scan(scan, tmp_path / name, kind=kind)
    assert message in str(caught.value)


def test_every_option_of_a_kind_is_one_of_the_door():
    """A misspelt name in the table would refuse a good option."""
    names = set(inspect.signature(export_scan).parameters)
    assert all(kind.options <= names for kind in EXPORT_KINDS)
    assert len({kind.name for kind in EXPORT_KINDS}) == len(EXPORT_KINDS)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "a.tif",
            {"binning": 4, "energies": (1, 9)},
            "energies, binning has no meaning for 'tiff'",
        ),
        ("a.h5", {"windows": {"Fe": (6, 7)}}, "windows has no meaning for 'nexus'"),
        ("a.h5", {"kind": "nexus-spectra", "method": "linear"}, "method has no meaning"),
        ("a.h5", {"kind": "nexus-spectra", "sigma": np.full(50, 2.0)}, "sigma has no meaning"),
        ("a.npy", {"mm_per_step": 0.1}, "mm_per_step has no meaning"),
        ("a.csv", {"kind": "spectra", "method": "linear"}, "not interpolated; leave it out"),
        ("a.hspy", {"errors": True}, "errors has no meaning"),
        ("a.npy", {"orientation": "vendor"}, "expected 'image' or 'motor'"),
        ("a.npy", {"sigma": -1}, "sigma"),
        ("a.h5", {"method": "cubic"}, "cubic"),
    ],
)
def test_option_without_meaning_is_refused(scan, tmp_path, name, options, message):
    """An option that changes nothing is taken for one that did."""
    with pytest.raises(ParameterError, match=message):
        export_scan(scan, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


# --- whole or not at all ------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_export_leaves_its_files_and_no_other(scan, tmp_path, kind):
    """What is hidden is renamed, and the name that comes back is the file's."""
    path = file_of(kind, tmp_path)
    assert export_scan(scan, path, kind=kind) == str(path)
    expected = {path.name, "out.raw"} if kind == "rpl" else {path.name}
    assert set(contents(tmp_path)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_existing_file_is_kept_unless_it_shall_be_replaced(scan, tmp_path, kind):
    """An afternoon's work may be in it."""
    path = file_of(kind, tmp_path)
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"exists already\. Pass overwrite=True"):
        export_scan(scan, path, kind=kind)
    assert contents(tmp_path) == {path.name: b"mine"}
    export_scan(scan, path, kind=kind, overwrite=True)
    assert path.read_bytes() != b"mine"


def test_raw_beside_an_rpl_is_kept_too(scan, tmp_path):
    """It may be another program's scan of that name."""
    (tmp_path / "out.raw").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"out\.raw exists already"):
        export_scan(scan, tmp_path / "out.rpl")
    assert contents(tmp_path) == {"out.raw": b"mine"}


def test_file_that_came_meanwhile_is_kept(tmp_path):
    """Two people may export under one name at once."""
    path = tmp_path / "out.npy"

    def write():
        with whole_files([path], overwrite=False) as (hidden,):
            hidden.write_bytes(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(OutputError, match="exists already"):
        write()
    assert contents(tmp_path) == {"out.npy": b"theirs"}


def test_measurement_itself_is_never_replaced(made, tmp_path):
    """A NeXus file ends as the Crono file does, and overwrite says yes to everything."""
    zipstore = convert_crono(made.path, output=tmp_path, cubes=False, progress=False)
    crono = tmp_path / made.path.name
    crono.write_bytes(b"counts")
    with open_scan(zipstore) as scan:
        for name in (crono, crono.with_suffix(".hdf5")):
            with pytest.raises(OutputError, match="name of the measured scan"):
                export_scan(scan, name, overwrite=True)
    assert crono.read_bytes() == b"counts"


def test_missing_folder_and_folder_in_the_place_are_told(scan, tmp_path):
    """The system's own message names neither what was expected nor what to do."""
    with pytest.raises(OutputError, match=r"there is no folder .*missing. Make it"):
        export_scan(scan, tmp_path / "missing" / "out.npy")
    (tmp_path / "out.npy").mkdir()
    with pytest.raises(OutputError, match="is a folder; expected the name of a file"):
        export_scan(scan, tmp_path / "out.npy", overwrite=True)
    with pytest.raises(OutputError, match="cannot write"):
        export_scan(scan, tmp_path / f"{'x' * 300}.npy")


@pytest.mark.skipif(not NOT_WRITABLE.is_dir(), reason="only Linux has this folder")
@pytest.mark.parametrize("kind", KINDS)
def test_folder_that_is_not_writable_is_told(scan, kind):
    """A folder that not even root may write to; the advice is for exports."""
    path = file_of(kind, NOT_WRITABLE)
    with pytest.raises(OutputError, match=r"no permission to write .*out\..*a folder of your own"):
        export_scan(scan, path, kind=kind)


FULL_DISK = """
import resource, signal, sys
from maxrf_core import OutputError, open_scan
from maxrf_core.exports import export_scan
scan = open_scan(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for argument in sys.argv[2:]:
    kind, path, limit = argument.split("|")
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    options = {} if kind == "spectra" or kind.startswith("nexus-s") else {"sigma": 2.0}
    try:
        export_scan(scan, path, kind=kind, overwrite=True, **options)
    except OutputError as error:
        print(kind, error)
print("alive")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sets a limit that only POSIX has")
def test_disk_that_fills_up_gives_a_sentence_and_no_crash(lean_zipstore, tmp_path):
    """HDF5 by itself takes the process down with it, and all other users' pages."""
    arguments = []
    for kind in KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        path = file_of(kind, folder)
        path.write_bytes(b"mine")
        if kind == "rpl":
            path.with_suffix(".raw").write_bytes(b"mine")
        arguments += [f"{kind}|{path}|{limit}" for limit in (0, 100, 200, 700, 3000)]
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(lean_zipstore), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (run.returncode, run.stdout.splitlines()[-1:]) == (0, ["alive"]), run.stderr
    for kind in KINDS:
        told = [line for line in run.stdout.splitlines() if line.startswith(f"{kind} ")]
        assert len(told) >= 2, kind
        path = file_of(kind, tmp_path / kind)
        assert {
            f"{kind} no space is left to write {path}. Free some space, or choose another folder."
        } == set(told)
        found = set(contents(tmp_path / kind))
        assert found == ({"out.rpl", "out.raw"} if kind == "rpl" else {path.name})
        if len(told) == 5:
            assert path.read_bytes() == b"mine"


# --- progress and cancel ------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_progress_comes_to_its_end(scan, tmp_path, kind):
    """A bar that stops at 90 % looks like a program that hangs."""
    seen = []
    export_scan(scan, file_of(kind, tmp_path), kind=kind, progress=seen.append)
    assert seen[0].fraction == 0
    assert seen[-1].fraction == 1
    assert all(message.label for message in seen)
    done = [message.fraction for message in seen]
    assert done == sorted(done)


@pytest.mark.parametrize("kind", KINDS)
def test_cancel_leaves_what_was_there(scan, tmp_path, kind):
    """Who stops an export has not agreed to lose the one before."""
    path = file_of(kind, tmp_path)
    for name in (path, path.with_suffix(".raw")):
        name.write_bytes(b"mine")
    before = contents(tmp_path)
    cancel = threading.Event()

    def stop(_message):
        cancel.set()

    with pytest.raises(ConversionCancelled, match=r"export to .*out\..* was cancelled"):
        export_scan(scan, path, kind=kind, overwrite=True, progress=stop, cancel=cancel)
    assert contents(tmp_path) == before


def test_several_threads_export_one_scan(scan, tmp_path):
    """The page builds a file off the event loop, for each visitor that asks."""
    from concurrent.futures import ThreadPoolExecutor

    jobs = [(kind, tmp_path / f"{number}") for number in range(2) for kind in KINDS]
    for _, folder in jobs:
        folder.mkdir(exist_ok=True)

    def export(job):
        kind, folder = job
        name = folder / f"{kind}{export_kind_named(kind).suffixes[0]}"
        return Path(export_scan(scan, name, kind=kind))

    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(export, jobs))
    for first, second in zip(paths[: len(KINDS)], paths[len(KINDS) :], strict=True):
        if first.suffix != ".datastack":  # a zip has the time in it
            assert first.read_bytes() == second.read_bytes()


# --- the correction of the zigzag ---------------------------------------------------------------
def test_maps_cubes_and_regions_correct_the_lag_that_is_asked_for(scan, tmp_path):
    """As `Scan` does with the same lag, which here moves rows against each other."""
    lag, window = 0.4, (6.2, 6.6)
    options = {"method": "linear", "lag": lag}
    maps = np.load(
        export_scan(scan, tmp_path / "map.npy", windows={"Fe": window}, errors=True, **options)
    )
    np.testing.assert_array_equal(maps[0], scan.energy_map(*window, **options))
    np.testing.assert_array_equal(maps[1], scan.energy_map_error(*window, **options))
    assert not np.array_equal(maps[0], scan.energy_map(*window, method="linear"))

    written = export_scan(scan, tmp_path / "cube.h5", orientation="motor", **options)
    with h5py.File(written) as file:
        found = []
        file.visititems(lambda _, item: found.append(item) if _is_cube(item) else None)
        cube = found[0][:]
    np.testing.assert_array_equal(cube, scan.cube(**options).compute(scheduler="synchronous"))

    mask = np.zeros(scan.grid.shape, dtype=bool)
    mask[3:7, 2:9] = True
    table = pd.read_csv(
        export_scan(scan, tmp_path / "region.csv", kind="spectra", regions={"a": mask}, **options)
    )
    mean = scan.region_spectrum(mask, **options).mean
    column = table.filter(like="mean of").iloc[:, 0]
    np.testing.assert_allclose(column, mean, rtol=1e-6)
    assert not np.allclose(column, scan.region_spectrum(mask, method="linear").mean, rtol=1e-3)


def _is_cube(item):
    return isinstance(item, h5py.Dataset) and item.ndim == 3


@pytest.mark.parametrize(
    ("method", "lag", "told"),
    [
        ("linear", 0.25, "method linear, lag of 0.25 periods corrected, "),
        ("linear", 0.0, "method linear, not smoothed"),
        ("selected", 0.25, "method selected, not smoothed"),
    ],
)
def test_a_map_says_what_lag_it_corrects(scan, tmp_path, method, lag, told):
    """Unless it uses the vendor's choice of spectra, which no lag moves."""
    path = tmp_path / "map.tif"
    export_scan(scan, path, windows={"Fe": (6.2, 6.6)}, method=method, lag=lag)
    with tifffile.TiffFile(path) as file:
        assert told in file.pages[0].description


@pytest.mark.parametrize("option", ["method", "lag"])
def test_spectra_that_are_not_interpolated_refuse_what_interpolation_takes(scan, tmp_path, option):
    """It would change nothing."""
    value = {"method": "linear", "lag": 0.1}[option]
    with pytest.raises(ParameterError, match=f"{option} has no meaning for the spectra of the wh"):
        export_scan(scan, tmp_path / "out.csv", kind="spectra", **{option: value})
