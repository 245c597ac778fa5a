"""Habits that Windows and macOS do not share, tried here as far as they can be.

`sys.platform` is changed where our code asks it; file systems that tell no case apart, or that
replace no open file, are stood for by functions that do as they do.
"""

from __future__ import annotations

import ast
import csv
import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest
from small_stores import left_behind, write_store

from maxrf_core import (
    OutputError,
    ParameterError,
    cli,
    convert_crono,
    export_file,
    file_names,
    partial,
    sidecar,
    unfinished,
)
from maxrf_core.export_file import whole_files
from maxrf_core.file_names import as_listed, ignores_case, plain_name
from maxrf_core.location import is_url
from maxrf_core.sidecar import read_sidecar, write_sidecar
from maxrf_core.store import StoreReader
from maxrf_core.unfinished import put_in_place

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for package in ("maxrf_core", "dashboard") for path in (ROOT / package).rglob("*.py")
)
TESTS = sorted(
    path
    for path in (ROOT / "tests").rglob("*.py")
    if path.parent.name != "crash"  # which kills forks, and needs a system that has them
)
NOT_EVERYWHERE = {
    *("fcntl", "grp", "msvcrt", "posix", "pwd", "pty", "resource", "syslog", "termios", "winreg"),
}


@pytest.fixture
def as_windows(monkeypatch):
    """Let our code take this system for Windows, where it asks; and no other code."""
    for module in (export_file, file_names, partial, sidecar, unfinished):
        monkeypatch.setattr(module, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(unfinished, "_lock", lambda _: None)  # there is no msvcrt here


# --- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        r"C:\scans\page 7.zipstore",
        "C:/scans/page 7.zipstore",
        "C://scans/page 7.zipstore",
        r"\\server\share\page 7.zipstore",
        "//server/share/page 7.zipstore",
        r"\\?\C:\scans\page 7.zipstore",
        "page:7.zipstore",
    ],
)
def test_a_path_of_windows_is_no_url(path):
    """A drive's letter is no scheme."""
    assert not is_url(path)
    assert not is_url(PureWindowsPath(path))


@pytest.mark.parametrize("url", ["https://a/b.zipstore", "s3://a/b.zipstore", "file:///C:/b"])
def test_a_url_is_one(url):
    """Of two letters or more."""
    assert is_url(url)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("page 7-maps.tif", "page 7-maps.tif"),
        ("Blätter – №7.csv", "Blätter – №7.csv"),
        ("a:b-view.json", "a_b-view.json"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        (r"..\x<y>|z?*.png", ".._x_y__z__.png"),
        ("two\nlines\x00.csv", "two_lines_.csv"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("Com1 .txt", "_Com1 .txt"),
        ("console.txt", "console.txt"),
        ("ends in points...", "ends in points"),
        ("ends in a blank ", "ends in a blank"),
        ("", "_"),
        ("...", "_"),
        (".csv", ".csv"),
    ],
)  # fmt: skip
def test_names_of_files_hold_on_every_system(text, name):
    """They are made of names of scans, which come from URLs and other systems."""
    made = plain_name(text)
    assert made == name
    assert not PureWindowsPath(made).is_reserved()
    assert PureWindowsPath(made).name == made == Path(made).name


@pytest.mark.parametrize("letter", ["x", "ü", "\N{MUSICAL SYMBOL G CLEF}"])
def test_long_names_are_cut_before_the_ending(letter, tmp_path):
    """Some letters take four bytes, and hidden names of unfinished files are longer still."""
    name = plain_name(200 * letter + "-maps.zipstore")
    assert name.endswith(".zipstore")
    assert len(name.encode()) <= file_names.MAX_NAME_BYTES
    with whole_files([tmp_path / name], overwrite=False) as (hidden,):
        hidden.write_bytes(b"x")
    assert left_behind(tmp_path) == [name]


def test_a_name_that_is_no_text_becomes_one():
    """Linux takes any bytes for a name; Python hands them on as half of a surrogate pair."""
    assert plain_name("page \udcff.csv") == "page _.csv"


# --- file systems that tell no case apart -----------------------------------------------------


@pytest.fixture
def without_case(monkeypatch):
    """Let files be found by names in another case, as on Windows and macOS."""
    stat = Path.stat

    def find(path, **options):
        try:
            return stat(path, **options)
        except FileNotFoundError:
            names = os.listdir(path.parent) if os.path.isdir(path.parent) else ()  # noqa: PTH112, PTH208
            for name in names:
                if name.casefold() == path.name.casefold():
                    return stat(path.with_name(name), **options)
            raise

    monkeypatch.setattr(Path, "stat", find)
    monkeypatch.setattr(Path, "exists", _is_there)


def _is_there(path):
    try:
        path.stat()
    except OSError:
        return False
    return True


@pytest.mark.usefixtures("without_case")
def test_a_file_of_another_case_is_taken_by_the_name_it_is_listed_under(tmp_path):
    """Otherwise one scan stands twice in the list, as Scan and as scan."""
    (tmp_path / "Scan.zipstore").touch()
    assert as_listed(tmp_path / "SCAN.ZIPSTORE") == tmp_path / "Scan.zipstore"
    assert as_listed(tmp_path / "Scan.zipstore") == tmp_path / "Scan.zipstore"
    assert as_listed(tmp_path / "other.zipstore") == tmp_path / "other.zipstore"
    assert as_listed(tmp_path / "nowhere" / "a.zipstore") == tmp_path / "nowhere" / "a.zipstore"


def test_with_case_two_names_are_two(tmp_path):
    """On Linux nothing is taken for anything else."""
    (tmp_path / "Scan.zipstore").touch()
    assert as_listed(tmp_path / "scan.zipstore") == tmp_path / "scan.zipstore"


def test_a_folder_tells_whether_it_ignores_case(tmp_path, request):
    """Where its name has letters, it is asked; where not, the system decides."""
    folder, digits = tmp_path / "Scans", tmp_path / "2026"
    folder.mkdir()
    digits.mkdir()
    here = (tmp_path / "sCANS").exists()
    assert ignores_case(folder) == here
    request.getfixturevalue("without_case")
    assert ignores_case(folder)
    assert ignores_case(digits) == (sys.platform in ("win32", "darwin"))
    request.getfixturevalue("as_windows")
    assert ignores_case(digits)


def test_scans_that_differ_in_case_alone_are_refused_where_it_does_not_count(tmp_path, monkeypatch):
    """The second would replace the first, with --overwrite and no word."""
    files = [tmp_path / "scan.h5", tmp_path / "SCAN.HDF5"]
    for file in files:
        file.touch()
    monkeypatch.setattr(cli, "ignores_case", lambda _: False)
    cli._check_outputs(files, None)
    monkeypatch.setattr(cli, "ignores_case", lambda _: True)
    with pytest.raises(ParameterError, match=r"scan\.h5 and .*SCAN\.HDF5 would both be written"):
        cli._check_outputs(files, None)


# --- files that are open ----------------------------------------------------------------------


@pytest.fixture
def open_files(monkeypatch, as_windows):  # noqa: ARG001 - as Windows does
    """Return a set of paths that cannot be replaced or removed, as if a program had them open."""
    held: set[Path] = set()
    replace, unlink = Path.replace, Path.unlink

    def refuse(path):
        if path in held:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))

    def checked_replace(path, target):
        refuse(Path(target))
        refuse(path)
        return replace(path, target)

    def checked_unlink(path, *, missing_ok=False):
        refuse(path)
        return unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "replace", checked_replace)
    monkeypatch.setattr(Path, "unlink", checked_unlink)
    return held


def test_a_file_that_is_open_for_a_moment_is_replaced_all_the_same(tmp_path, open_files):
    """As by a virus scanner, or a visitor's page that reads what is kept beside a scan."""
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_bytes(b"new")
    old.write_bytes(b"old")
    open_files.add(old)
    timer = threading.Timer(0.2, open_files.clear)
    timer.start()
    put_in_place(new, old)
    timer.join()
    assert old.read_bytes() == b"new"
    assert left_behind(tmp_path) == ["old"]


def test_a_file_that_stays_open_is_told_and_left(tmp_path, open_files, monkeypatch):
    """Not as a lack of permission, which sends people to the administrator."""
    monkeypatch.setattr(unfinished, "PATIENCE_SECONDS", 0.1)
    target = tmp_path / "maps.csv"
    target.write_bytes(b"old")
    open_files.add(target)
    with (
        pytest.raises(OutputError, match=r"maps\.csv cannot be replaced: another program has it"),
        whole_files([target], overwrite=True) as (hidden,),
    ):
        hidden.write_bytes(b"new")
    assert target.read_bytes() == b"old"
    assert left_behind(tmp_path) == ["maps.csv"]


def test_a_zipstore_that_a_page_shows_is_told_and_left(made, tmp_path, monkeypatch, as_windows):  # noqa: ARG001
    """The conversion ends with a sentence that says what to close."""
    target = Path(convert_crono(made.path, output=tmp_path, cubes=False, progress=False))
    before = target.read_bytes()
    replace = Path.replace

    def refuse(path, other):
        if Path(other) == target:
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        return replace(path, other)

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(unfinished, "PATIENCE_SECONDS", 0.1)
    with pytest.raises(OutputError, match=r"such as a page that shows the scan.*Close it there"):
        convert_crono(made.path, output=tmp_path, method="linear", overwrite=True, progress=False)
    assert target.read_bytes() == before
    assert left_behind(tmp_path) == [target.name]


def test_a_lock_is_closed_before_it_is_removed_on_windows(tmp_path, monkeypatch, open_files):
    """There, an open file cannot be removed, and the lock would lie there for ever."""
    scan = tmp_path / "scan.zipstore"
    lock = tmp_path / ".scan.maxrf.json.lock"
    opener = unfinished.lock_path

    def lock_path(path):
        file = opener(path)
        open_files.add(lock)
        close = file.close

        class Held:
            def close(self):
                open_files.discard(lock)
                close()

        return Held()

    monkeypatch.setattr("maxrf_core.sidecar.lock_path", lock_path)
    write_sidecar(scan, note="x")
    assert read_sidecar(scan) == {"note": "x"}
    assert left_behind(tmp_path) == ["scan.maxrf.json"]


def test_several_processes_are_refused_on_windows(monkeypatch, tmp_path):
    """Tornado forks them, and Windows cannot."""
    store = write_store(tmp_path / "scan.zipstore")
    monkeypatch.setattr(cli, "os", SimpleNamespace(name="nt"))
    monkeypatch.setattr(cli, "_check_paths", lambda _: None)
    monkeypatch.setattr(cli, "_run_server", lambda *_: pytest.fail("it was started"))
    parsed = cli.build_parser(cli._COMMANDS).parse_args(["serve", str(store), "--num-procs", "2"])
    with pytest.raises(ParameterError, match="Windows does not; leave it out"):
        cli._serve(parsed)


# --- locales and encodings --------------------------------------------------------------------


COMMANDS = """
import sys
from maxrf_core.cli import main
scan, store, table = sys.argv[1:]
for arguments in (
    ["report", scan],
    ["convert", "--lean", scan],
    ["tree", "--details", store],
    ["check", "--repair", store],
    ["export", store, table],
):
    if main(arguments):
        sys.exit(f"maxrf {arguments[0]} failed")
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
        {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"},
    ],
    ids=["C", "cp1252"],
)
def test_commands_work_in_any_locale_and_encoding(environment, data_folder, tmp_path):
    """With names that have no letters in it; and what is written is the same in all."""
    scan = tmp_path / "Blätter 7 №ü.HDF5"
    shutil.copy(data_folder / "crono-12x9.HDF5", scan)
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            COMMANDS,
            scan,
            scan.with_suffix(".zipstore"),
            "maps.csv",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr
    assert b"Traceback" not in ended.stderr
    with (tmp_path / "maps.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert {len(row) for row in rows} == {11}
    assert float(rows[-1][4]) > 1


def test_numbers_have_points_whatever_the_system_s_locale(tmp_path, monkeypatch):
    """A comma would make two columns of one number."""
    import locale

    monkeypatch.setattr(locale, "localeconv", lambda: {"decimal_point": ",", "thousands_sep": "."})
    write_sidecar(tmp_path / "a.zipstore", value=1234.5)
    assert '"value": 1234.5' in (tmp_path / "a.maxrf.json").read_text(encoding="utf-8")
    assert f"{1234.5:,.1f}" == "1,234.5"


# --- processes --------------------------------------------------------------------------------


def test_a_store_is_read_in_a_process_that_was_spawned(lean_zipstore):
    """As on Windows and macOS, where no memory is shared: what is handed over is pickled."""
    with StoreReader(lean_zipstore) as reader:
        expected = reader.array_names()
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            assert pool.apply_async(StoreReader.array_names, (reader,)).get(timeout=120) == expected


def test_no_module_needs_what_one_system_has_when_it_is_imported():
    """`import maxrf_core` works everywhere; what a system lacks is imported where it is used."""
    for path in (*SOURCES, *TESTS):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            wrong = {name.split(".")[0] for name in names} & NOT_EVERYWHERE
            assert not wrong, f"{path.name} imports {wrong}"


def test_what_only_some_systems_have_is_asked_for_first():
    """`os.pread` and its like stand behind `hasattr` or a question for the system."""
    missing_on_windows = {
        *("fork", "getuid", "geteuid", "killpg", "mkfifo", "preadv", "pread", "sched_getaffinity"),
        *("setsid", "statvfs", "sync", "wait3"),
    }
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        used = {
            node.attr
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        } & missing_on_windows
        asks = "hasattr(os" in text or "os.name" in text or "sys.platform" in text
        assert not used or asks, f"{path.name} uses os.{used} unasked"


def test_names_of_our_files_differ_in_more_than_case():
    """A clone on Windows or macOS has all of them."""
    for folder in ("maxrf_core", "dashboard", "tests"):
        names = [str(path.relative_to(ROOT)).casefold() for path in (ROOT / folder).rglob("*.*")]
        assert len(names) == len(set(names))
        assert all(plain_name(Path(name).name) == Path(name).name for name in names)
