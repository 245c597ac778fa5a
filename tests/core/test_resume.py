"""A conversion that was killed goes on where it was, to the very same file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maxrf_core import blocks, convert_crono, pipeline
from maxrf_core.spectra import SpectraReader

CUT = {"SPECTRA_PER_CHUNK": 4, "SPECTRA_PER_TASK": 8, "LONGEST_BLOCK": 24}

KILLED = """
import os, signal, sys
from maxrf_core import blocks, convert_crono, pipeline
for name, value in {cut!r}.items():
    setattr(blocks, name, value)
pipeline.CUBE_TILE = 3
def report(message):
    if (message.stage, message.done) == ({stage!r}, {done}):
        os.kill(os.getpid(), signal.SIGKILL)
convert_crono(sys.argv[1], output=sys.argv[2], progress=report)
"""


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Cut the scan of 77 spectra into four blocks of three portions, and its cube into six."""
    for name, value in CUT.items():
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(pipeline, "CUBE_TILE", 3)


@pytest.fixture
def source(made, tmp_path):
    """Return a copy of a small scan that may be changed."""
    path = tmp_path / "scan.HDF5"
    shutil.copy2(made.path, path)
    return path


@pytest.fixture
def undisturbed(source, tmp_path):
    """Return what a conversion that nobody kills makes of it."""
    output = tmp_path / "undisturbed.zipstore"
    return Path(convert_crono(source, output=output, progress=False)).read_bytes()


def convert_until(stage, done, source, output):
    """Convert in another process, which kills itself when it reports this."""
    program = KILLED.format(cut=CUT, stage=stage, done=done)
    ended = subprocess.run(
        [sys.executable, "-c", program, source, output], capture_output=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not output.exists()


@pytest.fixture
def blocks_read(monkeypatch):
    """Return the first spectra of all portions that are read from now on."""
    read = []
    original = SpectraReader.read

    def spy(self, start, stop):
        if stop - start > 1:  # the reader compares the first and the last spectrum
            read.append(start)
        return original(self, start, stop)

    monkeypatch.setattr(SpectraReader, "read", spy)
    return read


@pytest.mark.parametrize(
    ("stage", "done", "read_again"),
    [
        ("spectra", 0, range(0, 77, 8)),
        ("spectra", 24, range(0, 77, 8)),  # told before the block's last chunk is written
        ("spectra", 40, range(24, 77, 8)),
        ("spectra", 72, range(48, 77, 8)),
        ("spectra", 77, range(72, 77, 8)),
        ("operator", 0, []),
        ("operator", 35, []),
        ("cube", 15, []),
        ("cube", 35, []),
    ],
)
def test_a_killed_conversion_goes_on_to_the_same_file(
    source, tmp_path, undisturbed, blocks_read, stage, done, read_again
):
    """Whole blocks are not read again, and every byte is as if nothing had happened."""
    output = tmp_path / "out.zipstore"
    convert_until(stage, done, source, output)
    assert (tmp_path / ".out.zipstore.partial").exists()
    convert_crono(source, output=output, progress=False)
    assert sorted(blocks_read) == list(read_again)
    assert output.read_bytes() == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.zipstore",
        "scan.HDF5",
        "undisturbed.zipstore",
    ]


def test_progress_goes_on_where_it_was(source, tmp_path):
    """A bar that starts at nothing would look as if all had been lost."""
    output = tmp_path / "out.zipstore"
    convert_until("spectra", 64, source, output)
    reports = []
    convert_crono(source, output=output, progress=reports.append)
    assert [report.done for report in reports if report.stage == "spectra"] == [48, 56, 64, 72, 77]


def test_a_conversion_can_be_killed_again_and_again(source, tmp_path, undisturbed, blocks_read):
    """A machine that is switched off every evening still gets there."""
    output = tmp_path / "out.zipstore"
    for stage, done in (("spectra", 32), ("spectra", 56), ("operator", 35), ("cube", 30)):
        convert_until(stage, done, source, output)
    convert_crono(source, output=output, progress=False)
    assert blocks_read == []
    assert output.read_bytes() == undisturbed


@pytest.mark.parametrize("change", ["time", "parameter", "memory"])
def test_what_was_made_from_anything_else_is_not_gone_on_with(
    source, tmp_path, blocks_read, change, monkeypatch
):
    """Another scan, other options or other chunks: it starts from the first spectrum."""
    output = tmp_path / "out.zipstore"
    convert_until("spectra", 72, source, output)
    options = {}
    if change == "time":
        os.utime(source, ns=(1, 1))
    elif change == "parameter":
        options = {"sigma": 3}
    else:
        monkeypatch.setattr(blocks, "LONGEST_BLOCK", 40)
    convert_crono(source, output=output, progress=False, **options)
    assert min(blocks_read) == 0
    fresh = convert_crono(source, output=tmp_path / "fresh.zipstore", progress=False, **options)
    assert output.read_bytes() == Path(fresh).read_bytes()


def test_damage_to_the_unfinished_file_is_noticed(source, tmp_path, undisturbed):
    """After a power cut some of it may be zeros; only what is whole is kept."""
    output = tmp_path / "out.zipstore"
    convert_until("cube", 15, source, output)
    partial = tmp_path / ".out.zipstore.partial"
    content = bytearray(partial.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    partial.write_bytes(content)
    convert_crono(source, output=output, progress=False)
    assert output.read_bytes() == undisturbed
