"""``maxrf check --repair``: what it prints, what it leaves, and how it ends."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from small_stores import damage_entry, left_behind

from maxrf_core.cli import main
from maxrf_core.mending import IDLE_SECONDS
from maxrf_core.schema import COUNTS_BY_SPECTRUM, POSITIONS
from maxrf_core.unfinished import lock_path


@pytest.fixture
def scan(lean_zipstore, tmp_path):
    """Return the path of a scan in a folder of its own."""
    return shutil.copy(lean_zipstore, tmp_path / "scan.zipstore")


def test_a_damaged_scan_is_repaired_and_said_to_be_whole(scan, lean_zipstore, made, capsys):
    """Its faults first, what was made anew, and the result of a check as ever."""
    damage_entry(scan, f"{COUNTS_BY_SPECTRUM}/0.0")
    assert main(["check", str(scan), "--repair", "--source", str(made.path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("scan.zipstore is whole: 77 spectra")
    assert out.endswith("counts equal to scan.HDF5\n")
    assert err == (
        "maxrf: fault: scan.zipstore is damaged at entry 'counts/by_spectrum/0.0'. Convert the "
        "scan again.\n"
        "maxrf: repaired: the counts of spectra 0 to 76 were taken from counts/by_channel.\n"
        "maxrf: repaired: counts/by_spectrum: 1 of 1 chunks were made anew.\n"
    )
    assert scan.read_bytes() == lean_zipstore.read_bytes()


def test_programs_are_told_in_json(scan, capsys):
    """One object at the end, as without --repair."""
    damage_entry(scan, f"{COUNTS_BY_SPECTRUM}/0.0")
    assert main(["check", str(scan), "--repair", "--progress", "json"]) == 0
    *_, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert last["faults"] == []
    assert last["result"].startswith("scan.zipstore is whole")
    assert len(last["repaired"]) == 2


def test_a_whole_scan_is_not_written_anew(scan, capsys):
    """Not even touched."""
    before = scan.stat()
    assert main(["check", str(scan), "--repair"]) == 0
    assert scan.stat() == before or scan.stat().st_mtime_ns == before.st_mtime_ns
    assert scan.stat().st_ino == before.st_ino
    assert capsys.readouterr().err == ""


def test_what_cannot_be_repaired_ends_with_a_sentence(scan, capsys):
    """And the exit code of a failure."""
    damage_entry(scan, f"{POSITIONS}/0.0")
    before = scan.read_bytes()
    assert main(["check", str(scan), "--repair"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == (
        "maxrf: error: scan.zipstore: spectra/positions is lost, and no other array tells it. "
        "Convert the scan again."
    )
    assert scan.read_bytes() == before


def test_what_lies_beside_a_whole_scan_is_put_right_without_touching_it(scan, capsys):
    """A damaged file of additions, and what a killed conversion left."""
    sidecar = scan.with_name("scan.maxrf.json")
    sidecar.write_text("{", encoding="utf-8")
    left = scan.with_name(".scan.zipstore.77-0123abcd.partial")
    left.write_bytes(b"half")
    os.utime(left, (0, left.stat().st_mtime - IDLE_SECONDS - 60))
    inode = scan.stat().st_ino
    assert main(["check", str(scan)]) == 1
    err = capsys.readouterr().err
    assert "maxrf: fault: " in err
    assert "scan.maxrf.json cannot be used: it is not JSON" in err
    assert "maxrf: note: .scan.zipstore.77-0123abcd.partial lies beside it, left by a run" in err
    assert main(["check", str(scan), "--repair"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("scan.zipstore is whole")
    assert "it is now scan.maxrf.json.damaged" in err
    assert "partial, left by a run that was killed, was removed." in err
    assert left_behind(scan.parent) == ["scan.maxrf.json.damaged", "scan.zipstore"]
    assert scan.stat().st_ino == inode


def test_what_somebody_may_be_writing_stays(scan, capsys):
    """What is locked, and what was changed today; another computer's locks may not be seen here."""
    names = [".scan.zipstore.77-0123abcd.partial", ".scan.zipstore.partial"]
    young, held = (scan.with_name(name) for name in names)
    young.write_bytes(b"half")
    with lock_path(held):
        os.utime(held, (0, scan.stat().st_mtime - IDLE_SECONDS - 60))
        assert main(["check", str(scan), "--repair"]) == 0
    assert "was removed" not in capsys.readouterr().err
    assert left_behind(scan.parent) == [*names, "scan.zipstore"]


def test_a_url_is_not_repaired(capsys):
    """It is read only."""
    assert main(["check", "memory://nowhere/scan.zipstore", "--repair"]) == 1
    assert "copy it to this machine to repair it" in capsys.readouterr().err
