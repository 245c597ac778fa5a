"""The command line, and the demo scan that it makes."""

from __future__ import annotations

import argparse
import ast
import http.client
import inspect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import fsspec
import pytest

import maxrf_core
from maxrf_core import cli, conversion, demo, open_scan, store
from maxrf_core.arguments import build_parser
from maxrf_core.cli_server import dashboard_folder
from maxrf_core.errors import ConversionCancelled, OutputError
from maxrf_core.grid import ORIENTATIONS
from maxrf_core.interpolation import METHODS
from maxrf_core.phantom import PHANTOMS
from maxrf_core.progress import Progress
from maxrf_core.simulation import simulate_crono
from maxrf_core.store import StoreReader

SCAN = Path(__file__).parents[1] / "data" / "crono-12x9.HDF5"
COMMANDS = ("convert", "check", "export", "mosaic", "tree", "report", "demo", "serve", "simulate")
TIMEOUT = 120  # seconds: a program that hangs fails its test, however busy the machine

TINY = (5, 7)


@pytest.fixture
def source(tmp_path):
    """Return a Crono file in a folder of its own."""
    return Path(shutil.copy(SCAN, tmp_path / "scan.HDF5"))


@pytest.fixture(scope="module")
def long_scan(tmp_path_factory):
    """Return a scan of about 9,900 spectra: three blocks under the least memory."""
    path = tmp_path_factory.mktemp("long") / "long.HDF5"
    simulate_crono(path, shape=(24, 400), counts_per_spectrum=100)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return an empty cache folder, for a demo scan that is made in no time."""
    monkeypatch.setenv("MAXRF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "DEMO_SHAPE", TINY)
    return tmp_path / "cache"


@pytest.fixture
def served(monkeypatch):
    """Return the commands that would have been run as a server."""
    commands = []
    monkeypatch.setattr(cli, "_run_server", lambda command, _: commands.append(command) or 0)
    return commands


def contents(folder):
    """Return the names in a folder, hidden ones too, with the bytes of the files."""
    return {p.name: p.read_bytes() if p.is_file() else None for p in folder.iterdir()}


def json_lines(text):
    """Return the messages of `--progress json`."""
    return [json.loads(line) for line in text.splitlines()]


def start(*arguments, cwd=None, **environment):
    """Start `maxrf` as a program: output buffered, nothing imported from where it runs."""
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "maxrf_core", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=variables | environment,
    )


def parse(*arguments):
    """Return what a command is given, with all defaults."""
    return build_parser(cli._COMMANDS).parse_args([str(argument) for argument in arguments])


def options_of(command):
    """Return the options and arguments of a command."""
    parser = build_parser(cli._COMMANDS)
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices[command]._actions


# --- help ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example_and_explains_every_option(command, capsys):
    """The help is the manual: nobody should have to guess what an option does."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"example:\n  maxrf {command}" in text
    assert [action.dest for action in options_of(command) if not action.help] == []


def test_help_of_the_program_names_every_command(capsys):
    """A command that is not listed is not found."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = capsys.readouterr().out.partition("COMMAND\n")[2]
    assert [line.split()[0] for line in listed.splitlines()[: len(COMMANDS)]] == list(COMMANDS)


def test_version_is_that_of_the_installed_package(capsys):
    """A bug report starts with it."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"maxrf {version('maxrf-dashboard')}\n"


def test_defaults_and_choices_are_those_of_the_library():
    """They are written twice, as importing the library for a help text takes seconds."""
    convert, simulate = parse("convert", "x"), parse("simulate", "x")
    library = inspect.signature(maxrf_core.convert_crono).parameters
    for name in ("output", "sigma", "spacing", "orientation", "lag", "memory_limit"):
        assert getattr(convert, name) == library[name].default, name
    assert library["cubes"].default is not convert.lean
    library = inspect.signature(simulate_crono).parameters
    for option, name in {
        "shape": "shape",
        "seed": "seed",
        "phantom": "phantom",
        "counts": "counts_per_spectrum",
        "lag": "lag",
    }.items():
        assert getattr(simulate, option) == library[name].default, option
    choices = {
        action.dest: set(action.choices)
        for command in ("convert", "simulate")
        for action in options_of(command)
        if action.choices and action.dest != "progress"
    }
    assert choices == {
        "method": set(METHODS),
        "orientation": set(ORIENTATIONS),
        "phantom": set(PHANTOMS),
    }


def test_importing_the_command_line_imports_no_heavy_library():
    """`maxrf --help` must answer at once, the package's own `__init__` included."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(maxrf_core.__file__).parents[1])!r}); "
        "from maxrf_core import arguments, cli; arguments.build_parser(cli._COMMANDS); "
        "print({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(done.stdout) == {"__main__", "maxrf_core"}


# --- convert ------------------------------------------------------------------------------


def test_convert_writes_a_zipstore_beside_the_scan_and_prints_its_path(source, capsys):
    """The path goes to standard output alone, so that a script can use it."""
    assert cli.main(["convert", str(source)]) == 0
    assert capsys.readouterr().out == f"{source.with_suffix('.zipstore')}\n"
    with open_scan(source.with_suffix(".zipstore")) as converted:
        assert converted.grid.shape == (12, 9)


def test_convert_hands_every_option_on(source, tmp_path, capsys):
    """An option that is parsed and forgotten is worse than none."""
    folder = tmp_path / "converted"
    folder.mkdir()
    code = cli.main(
        f"convert {source} --output {folder} --method linear --sigma 2.5 --spacing 900,700 "
        "--orientation image --lag 0.25 --lean --memory-limit 64MiB --progress bar".split()
    )
    output = capsys.readouterr()
    assert code == 0
    assert "Building the interpolation" in output.err
    with StoreReader(folder / "scan.zipstore") as reader:
        assert reader.attributes["parameters"] == {
            "method": "linear",
            "sigma": 2.5,
            "spacing": [900.0, 700.0],
            "orientation": "image",
            "lag": 0.25,
            "cubes": False,
        }


@pytest.mark.parametrize(
    ("text", "spacing"),
    [
        ("vendor", "vendor"),
        ("square", "square"),
        ("500", 500.0),
        ("1e3", 1000.0),
        ("1000,500.5", (1000.0, 500.5)),
    ],
)
def test_spacing_is_a_word_a_number_or_two(text, spacing):
    """All that `convert_crono` takes can be said on the command line."""
    assert parse("convert", "x", "--spacing", text).spacing == spacing


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["convert", "x", "--spacing", "wide"], "'wide' is neither vendor nor square"),
        (["convert", "x", "--spacing", "1,2,3"], "'1,2,3' is neither"),
        (["convert", "x", "--spacing", "1,"], "'1,' is neither"),
        (["simulate", "x", "--shape", "85"], "'85' is no shape such as 85x37"),
        (["simulate", "x", "--shape", "-85x37"], "expected one argument"),
        (["serve", "--num-procs", "-1"], "'-1' is no whole number"),
        (["serve", "--port", "http"], "'http' is no port"),
        (["serve", "--port", "65536"], "'65536' is no port"),
    ],
)
def test_arguments_that_cannot_be_read_are_a_usage_error(arguments, sentence, capsys):
    """Exit code 2 is what shells expect of a wrong call, and nothing is begun."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


def test_convert_goes_on_after_a_scan_that_fails(source, tmp_path, capsys):
    """One damaged scan of a night's twenty must not cost the others."""
    bad, second = tmp_path / "bad.HDF5", tmp_path / "second.HDF5"
    bad.write_bytes(b"not HDF5")
    shutil.copy(SCAN, second)
    code = cli.main(["convert", "--lean", *map(str, (source, bad, second))])
    output = capsys.readouterr()
    assert code == 1
    assert output.out.splitlines() == [str(p.with_suffix(".zipstore")) for p in (source, second)]
    assert output.err.startswith(f"maxrf: error: {bad} is not an HDF5 file")


def test_scans_of_one_name_are_not_written_over_each_other(source, tmp_path, capsys):
    """With --overwrite the second would silently replace the first."""
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(SCAN, other / source.name)
    before = contents(other)
    arguments = ["convert", source, other / source.name, "--output", other, "--overwrite"]
    assert cli.main(list(map(str, arguments))) == 1
    assert "would both be written to" in capsys.readouterr().err
    assert contents(other) == before


def test_several_scans_need_a_folder_to_be_written_to(source, tmp_path, capsys):
    """A file name can take one scan only; that is said before the first is converted."""
    arguments = ["convert", source, SCAN, "--output", tmp_path / "one.zipstore"]
    assert cli.main(list(map(str, arguments))) == 1
    assert "cannot take 2 scans; name an existing folder" in capsys.readouterr().err
    assert list(contents(tmp_path)) == [source.name]


def test_a_failing_conversion_leaves_the_existing_zipstore_as_it_is(source, capsys):
    """Other parameters, a wrong one, or a scan gone bad: the old result is kept."""
    assert cli.main(["convert", str(source), "--lean"]) == 0
    before = contents(source.parent)
    assert cli.main(["convert", str(source), "--method", "nearest"]) == 1
    assert "made from other parameters" in capsys.readouterr().err
    assert cli.main(["convert", str(source), "--overwrite", "--sigma", "-1"]) == 1
    assert "sigma" in capsys.readouterr().err
    assert contents(source.parent) == before
    source.write_bytes(source.read_bytes()[:100_000])
    before = contents(source.parent)
    assert cli.main(["convert", str(source), "--overwrite"]) == 1
    assert capsys.readouterr().err.startswith("maxrf: error: ")
    assert contents(source.parent) == before


# --- on a cluster -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Yield a cluster of two workers, each a process of its own with one thread."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=tmp_path_factory.mktemp("workers"),
    ) as started:
        yield started


# distributed's own threads close its sockets when they get to it
on_a_cluster = pytest.mark.filterwarnings("ignore::ResourceWarning")


@on_a_cluster
@pytest.mark.parametrize("by_file", [False, True])
def test_convert_works_on_the_cluster_of_an_address(cluster, by_file, source, tmp_path):
    """Several scans one after the other, to the very files that threads make."""
    address = cluster.scheduler_address
    if by_file:
        file = tmp_path / "scheduler.json"
        file.write_text(json.dumps({"address": address}))  # all that a client reads of it
        address = str(file)
    second = Path(shutil.copy(SCAN, source.with_name("second.HDF5")))
    folder = tmp_path / "converted"
    folder.mkdir()
    arguments = ["convert", source, second, "--lean", "--output", folder]
    with start(*arguments, "--scheduler", address, "--progress=json") as program:
        output, errors = program.communicate(timeout=TIMEOUT)
    assert (program.returncode, errors) == (0, "")
    ends = [line for line in json_lines(output) if "stage" not in line]
    made = [folder / "scan.zipstore", folder / "second.zipstore"]
    assert ends == [{"result": str(path)} for path in made]
    assert cli.main(["convert", str(source), "--lean"]) == 0
    assert made[0].read_bytes() == source.with_suffix(".zipstore").read_bytes()
    assert sorted(contents(folder)) == [path.name for path in made]


@on_a_cluster
def test_a_scan_that_fails_on_the_cluster_does_not_stop_the_others(cluster, source, capsys):
    """As without one; and the client is closed in the end."""
    bad = source.with_name("bad.HDF5")
    bad.write_bytes(b"not HDF5")
    arguments = ["convert", bad, source, "--lean", "--scheduler", cluster.scheduler_address]
    assert cli.main(list(map(str, arguments))) == 1
    output = capsys.readouterr()
    assert output.out == f"{source.with_suffix('.zipstore')}\n"
    assert output.err.startswith(f"maxrf: error: {bad} is not an HDF5 file")


@on_a_cluster
def test_a_scheduler_that_does_not_answer_is_one_sentence(source, monkeypatch, capsys):
    """A wrong address, said once, before any scan is read."""
    pytest.importorskip("distributed")
    monkeypatch.setattr("maxrf_core.cluster._CONNECT_SECONDS", 1)
    assert cli.main(["convert", str(source), "--scheduler", "tcp://127.0.0.1:1"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("maxrf: error: no dask scheduler answers at 'tcp://127.0.0.1:1'")
    assert len(output.err.splitlines()) == 1
    assert list(contents(source.parent)) == [source.name]


# --- progress for programs ----------------------------------------------------------------


def test_json_progress_is_an_object_a_line_and_ends_in_the_result(source, capsys):
    """The page runs conversions as a program and reads this."""
    assert cli.main(["convert", str(source), "--progress", "json"]) == 0
    output = capsys.readouterr()
    *steps, end = json_lines(output.out)
    assert output.err == ""
    assert end == {"result": str(source.with_suffix(".zipstore"))}
    assert all(set(step) == {"stage", "done", "total"} for step in steps)
    last = {step["stage"]: (step["done"], step["total"]) for step in steps}
    assert last == {"spectra": (259, 259), "operator": (108, 108), "cube": (108, 108)}


def test_json_progress_ends_each_scan_of_several_in_its_result_or_error(source, tmp_path, capsys):
    """In the order of the arguments, so that a program can tell them apart."""
    missing = tmp_path / "missing.HDF5"
    arguments = ["convert", missing, source, "--lean", "--progress", "json"]
    assert cli.main(list(map(str, arguments))) == 1
    output = capsys.readouterr()
    error, result = (line for line in json_lines(output.out) if "stage" not in line)
    assert error["error"].startswith(f"{missing} does not exist")
    assert output.err == f"maxrf: error: {error['error']}\n"
    assert result == {"result": str(source.with_suffix(".zipstore"))}


def test_json_progress_of_a_simulation_counts_spectra(tmp_path, capsys):
    """All long commands speak the same way."""
    made = tmp_path / "made.HDF5"
    arguments = ["simulate", made, "--shape", "5x7", "--gzip", "--progress", "json"]
    assert cli.main(list(map(str, arguments))) == 0
    *_, last, end = json_lines(capsys.readouterr().out)
    n_spectra = maxrf_core.read_crono(made).n_spectra
    assert last == {"stage": "simulate", "done": n_spectra, "total": n_spectra}
    assert end == {"result": str(made)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_conversion_and_leaves_the_folder_as_it_was(number, long_scan):
    """The page's cancel button, and Ctrl-C: no zipstore, and no half-written file."""
    before = contents(long_scan.parent)
    with start("convert", long_scan, "--memory-limit=64MiB", "--progress=json") as program:
        first = json.loads(program.stdout.readline())
        program.send_signal(number)
        output, errors = program.communicate(timeout=TIMEOUT)
    assert first["done"] < first["total"]
    assert program.returncode == 130
    assert json_lines(output)[-1]["error"].startswith("long.HDF5: stopped")
    assert "Traceback" not in errors
    assert contents(long_scan.parent) == before


@pytest.mark.parametrize("command", ["convert", "simulate"])
def test_a_long_job_stops_when_nobody_reads_its_progress_any_more(command, source):
    """When the page's process is killed, its conversions must not go on unseen.

    The pipe's error is an OSError, which was once taken for a file that cannot be written.
    """
    file = source if command == "convert" else source.with_name("new.HDF5")
    before = contents(source.parent)
    with start(command, file, "--progress=json") as program:
        program.stdout.close()
        errors = program.stderr.read()
        program.wait(TIMEOUT)
    assert program.returncode == 141
    assert errors == f"maxrf: error: {file.name}: nobody reads the progress.\n"
    assert contents(source.parent) == before


def test_a_signal_while_replacing_keeps_the_old_zipstore(source, monkeypatch, capsys):
    """Stopped in the interpolation, where nothing but the next report looks at the event."""
    assert cli.main(["convert", str(source), "--lean"]) == 0
    before, handler = contents(source.parent), signal.getsignal(signal.SIGTERM)

    def stop_at_operator(message):
        if message.stage == "operator":
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(cli, "_report_json", stop_at_operator)
    arguments = ["convert", str(source), "--lean", "--overwrite", "--progress", "json"]
    capsys.readouterr()
    assert cli.main(arguments) == 130
    assert json_lines(capsys.readouterr().out)[-1]["error"].startswith("scan.HDF5: stopped")
    assert contents(source.parent) == before
    assert signal.getsignal(signal.SIGTERM) is handler


def test_no_further_scan_is_begun_after_a_signal(source, monkeypatch, capsys):
    """Cancelling means the whole command, not one scan of it."""
    begun = []

    def convert(file, *, progress, **_):
        begun.append(file)
        signal.raise_signal(signal.SIGINT)
        progress(Progress("spectra", 0, 1))

    monkeypatch.setattr(conversion, "convert_crono", convert)
    assert cli.main(["convert", str(source), str(SCAN)]) == 130
    assert begun == [source]
    assert "scan.HDF5: stopped" in capsys.readouterr().err


def test_a_second_interrupt_does_not_wait(source, monkeypatch, capsys):
    """Should a stage take long to notice the first, Ctrl-C again ends it, still in order."""

    def interrupted_twice(*_, **__):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(conversion, "convert_crono", interrupted_twice)
    assert cli.main(["convert", str(source), "--progress", "json"]) == 130
    assert json_lines(capsys.readouterr().out) == [{"error": "stopped by Ctrl-C."}]


def test_a_signal_that_is_ignored_stays_ignored():
    """`nohup maxrf convert` goes on when the terminal is closed."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with cli._stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


# --- tree, report, errors -----------------------------------------------------------------


def test_tree_prints_the_arrays(source, capsys):
    """What `tree` in a notebook does, for those without one."""
    assert cli.main(["convert", str(source), "--lean"]) == 0
    capsys.readouterr()
    assert cli.main(["tree", str(source.with_suffix(".zipstore")), "--details"]) == 0
    output = capsys.readouterr().out
    assert "maxrf_energies (4096,) float32, chunks (4096,)" in output
    assert "maxrf_cube (12, 9, 4096) float32, computed when read" in output


def test_report_prints_what_the_file_holds(capsys):
    """The first thing to do with a file that fails."""
    assert cli.main(["report", str(SCAN)]) == 0
    assert "259 spectra of 4096 channels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["report", "nowhere.HDF5"], "nowhere.HDF5 does not exist"),
        (["tree", "nowhere.zipstore"], "nowhere.zipstore"),
        (["tree", "scan.HDF5"], "try: maxrf report"),
        (["check", "scan.HDF5"], "try: maxrf report"),
        (["convert", "x.HDF5", "--scheduler", "nowhere.json"], "no dask scheduler answers at"),
        (["convert", "nowhere.HDF5"], "nowhere.HDF5 does not exist"),
        (["simulate", "folder/that/is/not/there.HDF5"], "there is no folder"),
        (["simulate", "new.HDF5", "--counts", "-3"], "-3"),
        (["serve", "nowhere.zipstore", "notes.txt"], "no file or folder nowhere.zipstore"),
        (["serve", "--show", "--num-procs", "2"], "--show opens a browser for each process"),
    ],
)
def test_an_error_is_a_sentence_and_exit_code_1(
    arguments, sentence, tmp_path, monkeypatch, served, capsys
):
    """A traceback tells a user nothing; nothing is written or started either."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("maxrf: error: ")
    assert sentence in output.err
    assert "Traceback" not in output.err
    assert served == []
    assert contents(tmp_path) == {}


def test_a_bug_is_not_swallowed(monkeypatch):
    """What is no error of the user's shows where it happened."""

    def broken(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("maxrf_core.probe.report_apart", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["report", str(SCAN)])


def test_a_reader_that_stops_early_is_no_error():
    """`maxrf report scan | head` prints no complaint."""
    with start("report", SCAN) as program:
        program.stdout.close()
        errors = program.stderr.read()
        program.wait(TIMEOUT)
    assert (program.returncode, errors) == (141, "")


def test_names_that_are_no_text_are_printed_as_their_bytes(source):
    """A file name from an old disk must not turn a finished conversion into a traceback."""
    odd = source.with_name(os.fsdecode(b"Zeichnung-\xe4.HDF5"))
    source.rename(odd)
    done = subprocess.run(
        [sys.executable, "-m", "maxrf_core", "convert", odd, "--lean"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == os.fsencode(odd.with_suffix(".zipstore")) + b"\n"


# --- check --------------------------------------------------------------------------------


@pytest.fixture
def converted(source, capsys):
    """Return a lean zipstore beside its scan."""
    assert cli.main(["convert", str(source), "--lean"]) == 0
    capsys.readouterr()
    return source.with_suffix(".zipstore")


def test_check_prints_one_line_when_all_is_well(converted, source, capsys):
    """And nothing else: made for the end of a script that copies scans."""
    assert cli.main(["check", str(converted), "--source", str(source)]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("scan.zipstore is whole: 259 spectra, ")
    assert output.out.endswith(" kB, counts equal to scan.HDF5\n")
    assert output.err == ""


def test_check_prints_each_fault_and_fails(converted, capsys):
    """A line each, then how many; nothing on standard output, as nothing is whole."""
    with zipfile.ZipFile(converted) as archive:
        info = archive.getinfo("counts/by_spectrum/0.0")
    data = bytearray(converted.read_bytes())
    data[info.header_offset + info.file_size // 2] ^= 1
    converted.write_bytes(data)
    assert cli.main(["check", str(converted)]) == 1
    output = capsys.readouterr()
    *faults, note, end = output.err.splitlines()
    assert output.out == ""
    assert note == "maxrf: note: --repair makes anew what can be derived."
    assert end == f"scan.zipstore has {len(faults)} fault{'s' if len(faults) > 1 else ''}."
    assert all(fault.startswith("maxrf: fault: ") for fault in faults)
    assert "scan.zipstore is damaged at entry 'counts/by_spectrum/0.0'" in faults[0]


def test_json_progress_of_a_check_ends_in_its_result_or_error(converted, capsys):
    """With all faults and notes, for programs."""
    assert cli.main(["check", str(converted), "--progress", "json"]) == 0
    *steps, end = json_lines(capsys.readouterr().out)
    assert {step["stage"] for step in steps} == {"check"}
    assert steps[-1]["done"] == steps[-1]["total"]
    assert end["result"].startswith("scan.zipstore is whole")
    assert (end["faults"], end["notes"]) == ([], [])
    converted.write_bytes(converted.read_bytes()[:-100])
    assert cli.main(["check", str(converted), "--progress", "json"]) == 1
    (end,) = json_lines(capsys.readouterr().out)
    assert end["error"] == "scan.zipstore has 1 fault."
    assert "not a whole zipstore" in end["faults"][0]


def test_a_check_stops_on_a_signal(converted, monkeypatch, capsys):
    """Ctrl-C, or the end of a batch job."""
    monkeypatch.setattr(cli, "_report_json", lambda _: signal.raise_signal(signal.SIGTERM))
    assert cli.main(["check", str(converted), "--progress", "json"]) == 130
    (end,) = json_lines(capsys.readouterr().out)
    assert end["error"].startswith("scan.zipstore: stopped")


# --- serve --------------------------------------------------------------------------------


def test_serve_listens_on_this_computer_only_unless_told_otherwise(tmp_path):
    """There is no password, so nobody is let in by default."""
    command = cli.panel_command(parse("serve"), tmp_path)
    assert command == [
        *(sys.executable, "-P", "-m", "dashboard.server", str(tmp_path)),
        *("--port", "5006", "--address", "127.0.0.1"),
        *("--unused-session-lifetime", "300000", "--warm", "--max-visits", "100"),
    ]


def test_serve_passes_everything_on_with_the_scans_last(tmp_path, monkeypatch):
    """Panel takes all that follows --args for the page; it runs elsewhere, so paths are whole."""
    monkeypatch.chdir(tmp_path)
    args = parse(
        *("serve", "a.zipstore", "/b/c.HDF5", "--port", 8123, "--address", "0.0.0.0"),  # noqa: S104
        *("--num-procs", 3, "--show", "--allow-websocket-origin", "lab:8123"),
        *("--allow-websocket-origin", "lab.example.org", "--users", "u.json", "--owner", "anna"),
        *("--owner", "bert", "--read-only", "--prefix", "/xrf", "--behind-proxy", "--json-log"),
        *("--open-metrics", "--max-visits", 7),
    )
    command = cli.panel_command(args, Path("/app"))
    assert command[command.index("--port") :] == [
        *("--port", "8123", "--address", "0.0.0.0"),  # noqa: S104
        *("--unused-session-lifetime", "300000", "--num-procs", "3"),
        *("--allow-websocket-origin", "localhost:8123", "--allow-websocket-origin", "lab:8123"),
        *("--allow-websocket-origin", "lab.example.org", "--max-visits", "7"),
        *("--users", str(tmp_path / "u.json"), "--owner", "anna", "--owner", "bert"),
        *("--prefix", "/xrf", "--use-xheaders", "--read-only", "--open-metrics", "--json-log"),
        *("--show",),
        *("--args", str(tmp_path / "a.zipstore"), "/b/c.HDF5"),
    ]


def test_serve_becomes_the_server_so_that_signals_reach_it(source, monkeypatch):
    """A parent in between would leave the server running when it is killed."""
    run = []
    monkeypatch.setattr(cli, "_dashboard_folder", lambda: Path("/app"))
    monkeypatch.setattr(os, "execv", lambda *arguments: run.append(arguments) or sys.exit(0))
    with pytest.raises(SystemExit):
        cli.main(["serve", str(source), str(source.parent)])
    ((program, command),) = run
    assert program == sys.executable
    assert command[-3:] == ["--args", str(source), str(source.parent)]


def test_serve_names_all_paths_that_it_cannot_show(tmp_path, served, capsys):
    """All faults at once: one correction, not one a try."""
    (tmp_path / "notes.txt").write_text("no scan")
    assert cli.main(["serve", str(tmp_path / "gone"), str(tmp_path / "notes.txt")]) == 1
    errors = capsys.readouterr().err
    assert f"no file or folder {tmp_path / 'gone'}" in errors
    assert f"{tmp_path / 'notes.txt'} cannot be shown" in errors
    assert served == []


def test_serve_passes_a_url_on_as_it_is(converted, served, monkeypatch):
    """A path would lose one of its slashes, and gain the working folder."""
    files = fsspec.filesystem("memory")
    files.put(str(converted), "/served/scan.zipstore")
    monkeypatch.setattr(cli, "_dashboard_folder", lambda: Path("/app"))
    url = "memory://served/scan.zipstore"
    assert cli.main(["serve", url, str(converted)]) == 0
    files.rm("/served", recursive=True)
    (command,) = served
    assert command[-3:] == ["--args", url, str(converted)]


def test_serve_without_the_page_installed_says_so(monkeypatch, served, capsys):
    """`maxrf_core` alone is enough for conversions."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert cli.main(["serve"]) == 1
    assert "pip install maxrf-dashboard" in capsys.readouterr().err
    assert served == []


@pytest.fixture
def page(tmp_path):
    """Return a page that shows where it is and its arguments, and a working folder with another."""
    folder = tmp_path / "packages" / "dashboard"
    shutil.copytree(dashboard_folder(), folder)  # its server is the real one
    (folder / "main.py").write_text(
        "import sys\nfrom bokeh.io import curdoc\nimport dashboard\n"
        "curdoc().title = ' '.join([dashboard.__file__, *sys.argv[1:]])\n"
    )
    elsewhere = tmp_path / "elsewhere" / "dashboard"  # of the same name, where it runs
    elsewhere.mkdir(parents=True)
    (elsewhere / "__init__.py").touch()
    return folder, elsewhere.parent


@pytest.mark.parametrize("num_procs", [1, 2])
def test_served_page_gets_the_scans_and_ends_on_sigterm(num_procs, page, source):
    """Panel leaves the workers of several processes running when their parent ends; we do not."""
    folder, elsewhere = page
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    arguments = ("serve", source, "--port", port, "--num-procs", num_procs)
    with start(*arguments, cwd=elsewhere, PYTHONPATH=str(folder.parent)) as program:
        log = ""
        while "Starting Bokeh server with process id" not in log:
            line = program.stderr.readline()
            assert line, log
            log += line
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        connection.request("GET", "/")
        redirection = connection.getresponse()
        redirection.read()
        connection.request("GET", "/dashboard")
        text = connection.getresponse().read().decode()
        connection.close()
        program.terminate()
        # The pipes end only when every process that holds them has.
        program.communicate(timeout=TIMEOUT)
    assert (redirection.status, redirection.getheader("Location")) == (302, "./dashboard")
    assert f"<title>{folder / '__init__.py'} {source}</title>" in text
    assert program.returncode == 0


# --- the demo scan ------------------------------------------------------------------------


def test_demo_scan_is_made_once(cache, monkeypatch):
    """The second start of the demo is instant."""
    steps = []
    made = demo.demo_scan(progress=steps.append)
    assert made == demo.demo_paths().zipstore
    assert set(contents(cache)) == {path.name for path in demo.demo_paths()}
    assert {step.stage for step in steps} == {"simulate", "spectra", "operator"}
    with open_scan(made) as opened:
        assert opened.grid.shape == TINY
    monkeypatch.setattr(demo, "_make", lambda *_: pytest.fail("made again"))
    assert demo.demo_scan(progress=False) == made


def test_demo_names_carry_the_version_of_the_demo(tmp_path, monkeypatch):
    """A demo that was changed is made anew beside the old one, which may be open."""
    first = demo.demo_paths(tmp_path)
    monkeypatch.setattr(demo, "DEMO_VERSION", demo.DEMO_VERSION + 1)
    assert set(demo.demo_paths(tmp_path)).isdisjoint(first)
    assert contents(tmp_path) == {}


def test_demo_lies_in_the_system_cache_unless_the_environment_says_otherwise(monkeypatch):
    """An empty variable is as good as none."""
    monkeypatch.setenv("MAXRF_CACHE", "")
    default = demo.demo_paths().zipstore
    monkeypatch.setenv("MAXRF_CACHE", "~/scans")
    assert "maxrf-dashboard" in default.parts
    assert demo.demo_paths().zipstore == Path.home() / "scans" / default.name


def test_demo_that_was_cut_short_is_made_anew(cache):
    """A full disk long ago must not break the demo for good."""
    made = demo.demo_scan(progress=False)
    whole = contents(cache)[made.name]
    made.write_bytes(whole[:-1000])
    assert demo.demo_scan(progress=False) == made
    assert len(contents(cache)[made.name]) == len(whole)


@pytest.mark.parametrize(
    ("name", "key", "value", "found"),
    [
        ("version", "program", lambda _: "9.8.7", "maxrf-dashboard 9.8.7"),
        ("SCHEMA_VERSION", "schema_version", 987, 987),
    ],
)
def test_demo_of_another_program_is_made_anew(name, key, value, found, cache, monkeypatch):
    """The first demo after an update shows what the update does, or can be opened at all."""
    made = demo.demo_scan(progress=False)
    for module in (conversion, demo, store):
        monkeypatch.setattr(module, name, value, raising=False)
    assert demo.demo_scan(folder=cache, progress=False) == made
    with StoreReader(made) as reader:
        assert reader.attributes[key] == found


def test_losing_the_race_returns_what_the_winner_made(cache, monkeypatch):
    """Two processes that start the demo at the same time get one scan, whole at every moment."""
    make, winner = demo._make, {}

    def make_while_another_process_does(paths, report):
        make(paths, report)
        monkeypatch.setattr(demo, "_make", make)
        demo.demo_scan(progress=False)
        winner.update(contents(cache))

    monkeypatch.setattr(demo, "_make", make_while_another_process_does)
    made = demo.demo_scan(progress=False)
    assert contents(cache) == {path.name: winner[path.name] for path in demo.demo_paths()}
    assert demo._is_current(made)


def test_demo_that_is_stopped_leaves_nothing_behind(cache):
    """Ctrl-C in the conversion, when the simulated scan lies there already."""

    def stop(message):
        if message.stage == "spectra":
            raise ConversionCancelled("stopped")

    with pytest.raises(ConversionCancelled):
        demo.demo_scan(progress=stop)
    assert contents(cache) == {}


def test_cache_folder_that_cannot_be_written_says_what_to_do(tmp_path):
    """A home folder may be read-only or missing, as for a server's own user."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be made in .*file/cache \(.*MAXRF_CACHE"):
        demo.demo_scan(folder=tmp_path / "file" / "cache", progress=False)


def test_demo_prepares_the_scan_and_prints_its_path(cache, served, capsys):
    """The page asks for the demo scan this way, and a package builder may."""
    assert cli.main(["demo", "--prepare"]) == 0
    zipstore = demo.demo_paths().zipstore
    assert capsys.readouterr().out == f"{zipstore}\n"
    assert zipstore.parent == cache
    assert cli.main(["demo", "--prepare", "--progress", "json"]) == 0
    assert json_lines(capsys.readouterr().out) == [{"result": str(zipstore)}]
    assert served == []


def test_demo_serves_the_scan_and_opens_the_browser(cache, served, monkeypatch):
    """The one command of the first five minutes."""
    monkeypatch.setattr(cli, "_dashboard_folder", lambda: Path("/app"))
    assert cli.main(["demo", "--port", "8124"]) == 0
    assert cli.main(["demo", "--no-show"]) == 0
    with_browser, without = served
    assert with_browser[with_browser.index("--port") + 1] == "8124"
    assert with_browser[-3:] == ["--show", "--args", str(demo.demo_paths().zipstore)]
    assert without == [
        part if part != "8124" else "5006" for part in with_browser if part != "--show"
    ]
    assert cache.is_dir()
