"""What is kept beside a scan: read and written whole, by several at once, or not at all."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maxrf_core import sidecar
from maxrf_core.errors import OutputError, ParameterError
from maxrf_core.sidecar import read_sidecar, sidecar_path, write_sidecar
from maxrf_core.unfinished import lock_path

CALIBRATION = {"points": [[771, 8.046], [1952, 22.163]], "degree": 1}


@pytest.fixture
def scan(tmp_path):
    """Return the path of a scan in a folder of its own."""
    return tmp_path / "page 7.zipstore"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scan.zipstore", "scan.maxrf.json"),
        ("scan.v2.zipstore", "scan.v2.maxrf.json"),
        ("SCAN.ZIPSTORE", "SCAN.maxrf.json"),
        ("scan.folder", "scan.folder.maxrf.json"),
    ],
)
def test_file_lies_beside_the_scan_under_its_name(name, expected):
    """A user who copies a scan sees what belongs to it; two scans never share one."""
    assert sidecar_path(Path("folder") / name) == Path("folder") / expected


def test_what_was_written_is_read_and_nothing_else_lies_there(scan):
    """No lock and no unfinished file stays behind."""
    path = write_sidecar(scan, calibration=CALIBRATION)
    assert read_sidecar(scan) == {"calibration": CALIBRATION}
    assert json.loads(path.read_text()) == {"version": 1, "calibration": CALIBRATION}
    assert list(scan.parent.iterdir()) == [path]


def test_scan_without_additions_has_none(scan):
    """Most scans have no such file, and it is not made by reading."""
    assert read_sidecar(scan) == {}
    assert list(scan.parent.iterdir()) == []


def test_other_keys_stay_when_one_is_written_or_removed(scan):
    """A newer program's presets survive an older one's recalibration."""
    write_sidecar(scan, presets=["Fe", {"low": 6.2}], calibration=CALIBRATION)
    write_sidecar(scan, regions={"blue": [1, 2]})
    write_sidecar(scan, calibration=None)
    assert read_sidecar(scan) == {"presets": ["Fe", {"low": 6.2}], "regions": {"blue": [1, 2]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1"), "not JSON"),
        ('{"version": 1, "x": NaN}', "NaN is no JSON number"),
        ("[1]", "no JSON object"),
        ("{}", "version is None"),
        ('{"version": 0}', "version is 0, this program reads 1"),
        ('{"version": 2}', "a newer version .*: pip install --upgrade maxrf-dashboard"),
        ('{"version": true}', "version is True"),
        ('{"version": 1, "calibration": [[1, 2], [3, 4]]}', "calibration is not"),
        ('{"version": 1, "calibration": {"points": [[1, 2]]}}', "calibration is not"),
        ('{"version": 1, "calibration": {"points": [[1, 2], [3, "4"]]}}', "calibration is not"),
        ('{"version": 1, "calibration": {"points": [[1, 2], [3, 1e999]]}}', "calibration is not"),
        (
            '{"version": 1, "calibration": {"points": [[1, 2], [3, 1' + "0" * 400 + "]]}}",
            "calibration is not",
        ),
        ('{"version": 1, "calibration": {"points": [[1, 2], [true, 4]]}}', "calibration is not"),
        (
            '{"version": 1, "calibration": {"points": [[1, 2], [3, 4]], "degree": 1.5}}',
            "calibration is not",
        ),
        (
            '{"version": 1, "calibration": {"points": [[1, 2], [3, 4]], "file": "/etc"}}',
            "calibration is not",
        ),
        ('{"version": 1, "x": "' + "y" * 1_000_000 + '"}', "larger than 1000000 bytes"),
    ],
)
def test_file_of_somebody_elses_making_is_refused_by_name_and_left_alone(scan, text, message):
    """It lies in a shared folder: anybody may have written it, and it may matter to them."""
    path = sidecar_path(scan)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    with pytest.raises(ParameterError, match=message) as caught:
        read_sidecar(scan)
    assert str(path) in str(caught.value)
    with pytest.raises(ParameterError, match=message):
        write_sidecar(scan, regions=[])
    assert path.read_bytes() == before
    assert list(scan.parent.iterdir()) == [path]


def test_what_cannot_be_read_is_told(scan):
    """A folder of that name is no missing file."""
    sidecar_path(scan).mkdir()
    with pytest.raises(ParameterError, match="cannot be read"):
        read_sidecar(scan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": float("nan")}, "no JSON"),
        ({"x": {1, 2}}, "no JSON"),
        ({"calibration": {"points": [[1, 2]]}}, "calibration is not"),
        ({"version": 3}, "version is 3"),
        ({"x": "y" * 1_000_000}, r"would have 1000... bytes"),
    ],
)
def test_value_that_could_not_be_read_again_is_not_written(scan, changes, message):
    """A file that the program itself refuses would lock the user out of the scan."""
    path = write_sidecar(scan, calibration=CALIBRATION)
    with pytest.raises(ParameterError, match=message):
        write_sidecar(scan, **changes)
    assert read_sidecar(scan) == {"calibration": CALIBRATION}
    assert list(scan.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_failed_write_leaves_the_old_file_and_no_other(scan, monkeypatch, step, code):
    """A full disk must not cost a calibration that was there."""
    path = write_sidecar(scan, calibration=CALIBRATION)

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OutputError, match=f"cannot be written: {os.strerror(code)}") as caught:
        write_sidecar(scan, calibration=None)
    assert str(path) in str(caught.value)
    monkeypatch.undo()
    assert read_sidecar(scan) == {"calibration": CALIBRATION}
    assert list(scan.parent.iterdir()) == [path]


def test_folder_that_takes_no_file_is_told(scan, monkeypatch):
    """Scans lie on read-only shares, too; the lock is what fails first there."""

    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(sidecar, "lock_path", refuse)
    with pytest.raises(OutputError, match=r"Permission denied.*copy the scan to a folder"):
        write_sidecar(scan, calibration=CALIBRATION)
    monkeypatch.undo()
    with pytest.raises(OutputError, match="cannot be written"):
        write_sidecar(scan.parent / "nowhere" / "scan.zipstore", calibration=CALIBRATION)


def test_threads_do_not_lose_each_others_keys(scan):
    """Two visitors of one page save at the same moment."""

    def work(name):
        for number in range(12):
            write_sidecar(scan, **{f"{name}{number}": number})

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_sidecar(scan)) == {f"{name}{number}" for name in "ab" for number in range(12)}


def test_processes_do_not_lose_each_others_keys(scan):
    """The page is served by as many processes as the user asks for."""
    code = (
        "import sys\n"
        "from maxrf_core.sidecar import write_sidecar\n"
        "for number in range(25):\n"
        "    write_sidecar(sys.argv[1], **{sys.argv[2] + str(number): number})\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(scan), name]) for name in "ab"]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    assert set(read_sidecar(scan)) == {f"{name}{number}" for name in "ab" for number in range(25)}
    assert list(scan.parent.iterdir()) == [sidecar_path(scan)]


def test_writer_waits_for_another_and_then_says_so(scan, monkeypatch):
    """Who holds the lock for long has died on another machine, or is somebody else's program."""
    path = write_sidecar(scan, calibration=CALIBRATION)
    monkeypatch.setattr(sidecar, "WAIT_SECONDS", 0.05)
    with (
        lock_path(path.with_name(f".{path.name}.lock")),
        pytest.raises(OutputError, match="held by another writer"),
    ):
        write_sidecar(scan, calibration=None)
    assert read_sidecar(scan) == {"calibration": CALIBRATION}
    write_sidecar(scan, calibration=None)
    assert read_sidecar(scan) == {}


def test_file_system_without_locks_is_written_all_the_same(scan, monkeypatch):
    """Some network shares have none, and there is mostly one user at a time."""
    monkeypatch.setattr(sidecar, "lock_path", lambda _: None)
    write_sidecar(scan, calibration=CALIBRATION)
    assert read_sidecar(scan) == {"calibration": CALIBRATION}
