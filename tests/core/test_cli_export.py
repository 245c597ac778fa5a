"""``maxrf export``, and ``maxrf convert`` of cubes: what is written, told and refused."""

from __future__ import annotations

import inspect
import json
import shutil
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from maxrf_core import ParameterError, cli, convert_crono, open_scan
from maxrf_core.arguments import build_parser
from maxrf_core.elements import line_window
from maxrf_core.export_cube import channel_bins
from maxrf_core.export_kinds import EXPORT_KINDS
from maxrf_core.export_png import COLOUR_MAPS
from maxrf_core.exports import export_scan
from maxrf_core.interpolation import METHODS
from maxrf_core.resolution import fit_resolution
from maxrf_core.store import StoreReader

SCAN = Path(__file__).parents[1] / "data" / "crono-12x9.HDF5"


@pytest.fixture(scope="module")
def zipstore(tmp_path_factory):
    """Return a scan of 4096 channels, 12 x 9 cells, converted."""
    return Path(
        convert_crono(SCAN, output=tmp_path_factory.mktemp("scan"), cubes=False, progress=False)
    )


def parse(*arguments):
    """Return what the command is given."""
    return build_parser(cli._COMMANDS).parse_args([str(argument) for argument in arguments])


def run(*arguments):
    """Run the command line."""
    return cli.main([str(argument) for argument in arguments])


def names(folder):
    """Return the names in a folder."""
    return {entry.name for entry in folder.iterdir()}


# --- export -------------------------------------------------------------------------------------
def test_maps_of_windows_and_elements_are_written_in_their_order(zipstore, tmp_path, capsys):
    """The same maps as from Python, and only the path on the standard output."""
    path = tmp_path / "maps.npy"
    options = ["--window", "Compton", 18.2, 19.5, "--window", "low", -0.5, 2, "--element", "Fe"]
    assert run("export", zipstore, path, *options, "--element", "Fe Kb", "--method", "linear") == 0
    assert capsys.readouterr().out == f"{path}\n"
    with open_scan(zipstore) as scan:
        resolution = fit_resolution(scan.energies, scan.total_spectrum)
        windows = [(18.2, 19.5), (-0.5, 2)]
        windows += [
            np.round(line_window(*line, resolution), 3) for line in (("Fe", "Ka"), ("Fe", "Kb"))
        ]
        expected = [scan.energy_map(low, high, method="linear") for low, high in windows]
    np.testing.assert_array_equal(np.load(path), expected)


def test_without_windows_the_files_own_regions_are_written(zipstore, tmp_path):
    """The shortest command makes the file that most people want."""
    path = tmp_path / "maps.tif"
    assert run("export", zipstore, path) == 0
    with open_scan(zipstore) as scan, tifffile.TiffFile(path) as file:
        held = [
            roi
            for roi in scan.rois
            if np.ptp(scan.energies.searchsorted([roi.low_kev, roi.high_kev]))
        ]
        assert [page.tags["PageName"].value for page in file.pages] == [roi.name for roi in held]


def test_every_option_is_handed_on(zipstore, tmp_path):
    """An option that is parsed and forgotten is worse than none: files equal those of Python."""
    look = ["--mm-per-step", 0.01]
    fe = ["--window", "Fe", 6, 7]
    span = ["--energies", 6, 7]
    window = {"windows": {"Fe": (6, 7)}}
    cases = {
        "a.tif": (
            [*look, *fe, "--method", "nearest", "--sigma", 1.5, "--errors", "--per-second"],
            {"method": "nearest", "sigma": 1.5, "per_second": True, "errors": True}
            | {"mm_per_step": 0.01, **window},
        ),
        "a.csv": (
            [*fe, "--background", "sides", "--orientation", "motor"],
            {"background": "sides", "orientation": "motor", **window},
        ),
        "a.png": (
            [*look, *fe, "--colour-map", "magma", "--clip", 5, 90],
            {"colour_map": "magma", "clip": (5, 90), "mm_per_step": 0.01, **window},
        ),
        "a.rpl": ([*span, "--binning", 3], {"energies": (6, 7), "binning": 3}),
        "a.h5": ([*span, "--kind", "nexus-spectra"], {"kind": "nexus-spectra", "energies": (6, 7)}),
    }
    (tmp_path / "python").mkdir()
    for name, (arguments, options) in cases.items():
        assert run("export", zipstore, tmp_path / name, *arguments) == 0
        with open_scan(zipstore) as scan:
            export_scan(scan, tmp_path / "python" / name, **options)
        assert (tmp_path / name).read_bytes() == (tmp_path / "python" / name).read_bytes()


def test_voltage_and_crono_file_are_handed_on(zipstore, tmp_path):
    """Two options that are each of one kind alone."""
    assert run("export", zipstore, tmp_path / "a.hspy", "--beam-kev", "50", "--energies", 6, 7) == 0
    with h5py.File(tmp_path / "a.hspy") as file:
        (experiment,) = file["Experiments"].values()
        tube = experiment["metadata/Acquisition_instrument/SEM"]
        assert tube.attrs["beam_energy"] == 50.0
    crono = shutil.copy2(SCAN, tmp_path / "moved.HDF5")
    path = tmp_path / "a.h5"
    assert run("export", zipstore, path, "--kind", "nexus-links", "--crono", crono) == 0
    with h5py.File(path) as file, h5py.File(SCAN) as source:
        np.testing.assert_array_equal(file["entry/instrument/detector/data"], source["XRF/Spectra"])


def test_every_option_of_the_library_can_be_given_and_none_is_unless_asked_for():
    """Defaults are those of `export_scan`, written once; masks of regions are for Python."""
    library = set(inspect.signature(export_scan).parameters)
    args = vars(parse("export", "a.zipstore", "a.tif"))
    assert library - set(args) == {"path", "regions", "cancel"}
    assert all(args[name] in (None, False, []) for name in library & set(args) - {"scan"})


def test_choices_are_those_of_the_library(zipstore):
    """They are written twice, as importing the library for a help text takes seconds."""
    parser = build_parser(cli._COMMANDS)
    (commands,) = (a for a in parser._actions if hasattr(a, "choices") and a.metavar == "COMMAND")
    choices = {
        action.dest: tuple(action.choices)
        for action in commands.choices["export"]._actions
        if action.choices and action.dest != "progress"
    }
    assert set(choices.pop("method")) == set(METHODS)
    with open_scan(zipstore) as scan:
        for background in choices.pop("background"):
            assert scan.window_weights(6, 7, background=background) is not None
        with pytest.raises(ParameterError, match="background"):
            scan.window_weights(6, 7, background="other")
    assert choices == {
        "kind": tuple(kind.name for kind in EXPORT_KINDS),
        "orientation": ("image", "motor"),
        "colour_map": COLOUR_MAPS,
    }


def test_progress_and_result_are_told_to_programs(zipstore, tmp_path, capsys):
    """What the page, and scripts, go by."""
    path = tmp_path / "map.npy"
    assert run("export", zipstore, path, "--window", "Fe", 6, 7, "--progress", "json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1] == {"result": str(path)}
    assert lines[0]["done"] == 0
    assert lines[-2]["done"] == lines[-2]["total"] > 0


def test_a_signal_stops_an_export_and_leaves_nothing(zipstore, tmp_path, monkeypatch, capsys):
    """Ctrl-C, or the page's cancel button."""
    monkeypatch.setattr(cli, "_report_json", lambda _: signal.raise_signal(signal.SIGTERM))
    handler = signal.getsignal(signal.SIGTERM)
    assert run("export", zipstore, tmp_path / "cube.h5", "--progress", "json") == 130
    assert json.loads(capsys.readouterr().out)["error"].startswith("cube.h5: stopped")
    assert names(tmp_path) == set()
    assert signal.getsignal(signal.SIGTERM) is handler


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a.xyz"], "which is no kind of export; expected one of .csv"),
        (["a.tif", "--binning", "2"], "binning has no meaning for 'tiff'; it takes"),
        (["a.h5", "--element", "Fe"], "windows has no meaning for 'nexus'"),
        (["a.npy", "--window", "Fe", "6.2", "keV"], "--window Fe 6.2 keV names no energies"),
        (["a.npy", "--window", "Fe", "7", "6"], "the lower first"),
        (["a.npy", "--element", "Xx"], "Xx"),
        (["a.npy", "--element", "Fe La"], "Fe shows no line 'La'"),
        (["missing/a.npy"], "there is no folder missing"),
    ],
)
def test_what_has_no_meaning_is_an_error_in_a_sentence(
    zipstore, tmp_path, monkeypatch, capsys, arguments, sentence
):
    """As for the other commands: exit code 1, no traceback, nothing written."""
    monkeypatch.chdir(tmp_path)
    assert run("export", zipstore, *arguments) == 1
    output = capsys.readouterr()
    assert output.err.startswith("maxrf: error: ")
    assert sentence in output.err
    assert output.out == ""
    assert names(tmp_path) == set()


def test_scan_that_is_none_is_told(tmp_path, capsys):
    """A Crono file is to be converted first; a missing file is missing."""
    assert run("export", SCAN, tmp_path / "a.npy") == 1
    assert f"is a Crono file; first: maxrf convert {SCAN}" in capsys.readouterr().err
    assert run("export", tmp_path / "a.zipstore", tmp_path / "a.npy") == 1
    assert "there is no file" in capsys.readouterr().err


def test_existing_file_is_kept_unless_it_shall_be_replaced(zipstore, tmp_path, capsys):
    """An afternoon's work may be in it."""
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    assert run("export", zipstore, path, "--element", "Fe") == 1
    assert "command line: --overwrite" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
    assert run("export", zipstore, path, "--element", "Fe", "--overwrite") == 0
    with Image.open(path) as file:
        assert file.text["Title"] == "Fe Ka"
        with open_scan(zipstore) as scan:
            resolution = fit_resolution(scan.energies, scan.total_spectrum)
        low, high = line_window("Fe", "Ka", resolution)  # to the eV, as the page has it
        assert f"{round(low, 3):g} to {round(high, 3):g} keV" in file.text["Description"]


# --- convert ------------------------------------------------------------------------------------
@pytest.fixture
def cube(zipstore, tmp_path):
    """Return an ``.rpl`` of some channels of the scan, as single spectra."""
    path = tmp_path / "cube.rpl"
    with open_scan(zipstore) as scan:
        export_scan(scan, path, method="selected", energies=(5, 8))
    return path


def test_convert_takes_cubes_of_other_programs(zipstore, cube, tmp_path, capsys):
    """The command that a user tries first, also with the raw file, which is the larger one."""
    assert run("convert", cube, "--lean") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'cube.zipstore'}\n"
    with open_scan(zipstore) as scan, open_scan(tmp_path / "cube.zipstore") as again:
        channels, _ = channel_bins(scan, (5, 8), 1)
        expected = scan.cube(method="selected").compute()[..., channels]
        np.testing.assert_array_equal(again.cube().compute(), expected)
        np.testing.assert_allclose(again.energies, scan.energies[channels], atol=1e-4)
    (tmp_path / "to").mkdir()
    assert run("convert", cube.with_suffix(".raw"), "--lean", "--output", tmp_path / "to") == 0
    assert names(tmp_path / "to") == {"cube.zipstore"}


def test_convert_hands_every_option_of_a_cube_on(cube, tmp_path, capsys):
    """And tells progress from the first look at the counts."""
    text = "--method linear --sigma 2.5 --orientation image --calibration -0.5 0.02 --lag 0"
    assert run("convert", cube, "--lean", *text.split(), "--progress", "json") == 0
    stages = [json.loads(line).get("stage") for line in capsys.readouterr().out.splitlines()]
    assert list(dict.fromkeys(stages)) == ["import", "spectra", "operator", None]
    with open_scan(tmp_path / "cube.zipstore") as scan:
        np.testing.assert_allclose(scan.energies[:2], [-0.5, -0.48], atol=1e-6)
        assert scan.operator().method == "linear"
    with StoreReader(tmp_path / "cube.zipstore") as reader:
        options = {"method": "linear", "sigma": 2.5, "orientation": "image", "cubes": False}
        assert options.items() <= reader.attributes["parameters"].items()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--spacing square", "--spacing has no meaning for a cube"),
        ("--lag 0.3", "--lag has no meaning for a cube"),
        ("--calibration 0 0", "expected the energy of channel 0 and the width"),
    ],
)
def test_option_without_meaning_for_a_cube_is_refused(cube, tmp_path, capsys, options, sentence):
    """An option that changes nothing is taken for one that did."""
    assert run("convert", cube, *options.split()) == 1
    assert sentence in capsys.readouterr().err
    assert names(tmp_path) == {"cube.rpl", "cube.raw"}


def test_a_cube_is_not_handed_to_a_cluster():
    """Its workers would look for a file that is temporary."""
    with pytest.raises(ParameterError, match="--scheduler has no meaning for a cube"):
        cli._import_options(parse("convert", "a.rpl", "--scheduler", "tcp://127.0.0.1:1"))


def test_calibration_of_a_crono_scan_is_refused(tmp_path, capsys):
    """It has energies of its own; the page calibrates them anew."""
    crono = shutil.copy2(SCAN, tmp_path)
    assert run("convert", crono, "--calibration", "0", "0.01") == 1
    assert "--calibration has no meaning for" in capsys.readouterr().err
    assert names(tmp_path) == {SCAN.name}


def test_a_crono_scan_is_converted_by_kriging_unless_told_otherwise(tmp_path):
    """The default of the library, which the help names and the parser leaves open."""
    assert parse("convert", "x").method is None
    crono = shutil.copy2(SCAN, tmp_path)
    assert run("convert", crono, "--lean") == 0
    with open_scan(Path(crono).with_suffix(".zipstore")) as scan:
        assert scan.operator().method == "kriging"
        assert inspect.signature(convert_crono).parameters["method"].default == "kriging"
