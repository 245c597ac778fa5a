"""Names from files that would command a terminal or a spreadsheet."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from maxrf_core import Scan, open_scan
from maxrf_core.cli import main
from maxrf_core.crono import Roi
from maxrf_core.exports import export_scan
from maxrf_core.interchange import format_tree
from maxrf_core.plain_text import plain_cell, printable, printable_lines
from maxrf_core.progress import Progress, progress_bar
from maxrf_core.xarrays import map_dataset

COMMANDS = [
    "\x1b]0;owned\x07",  # the window's title
    "\x1b[2J\x1b[H",  # an empty screen
    "\x1b[8m",  # what follows is not seen
    "\x9b31m",  # the same in one character of C1
    "a\rb",  # b stands over a
    "\b\b\b",
    "\u202egnp.exe",  # read from the right
    "\u2066\u2069",
    "\u200b",  # of no width
    "\x00\x07",
]
FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x","y")', "=cmd|' /C calc'!A0",
    "\t=1", " =1", "\r=1", "\n=1", "Fe;=1", "Fe\t@x", "＝1", "a\n=1;+1",
]  # fmt: skip


@pytest.mark.parametrize("text", COMMANDS)
def test_nothing_commands_a_terminal(text: str) -> None:
    """What a terminal would do, it writes."""
    assert printable(text).isprintable()
    assert printable_lines(f"one\n{text}").split("\n")[0] == "one"


def test_what_can_be_read_stays_as_it_is() -> None:
    """A name is not mangled for being in another script."""
    for text in ("Ré, 面, عربى", "a 'b' \"c\" <d>", "Fe Kα ± 3"):
        assert printable(text) == text


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_begins_as_a_formula(name: str) -> None:
    """In Excel and LibreOffice a cell that begins so is computed, and may fetch or run things."""
    cell = plain_cell(name)
    assert "\n" not in cell
    assert "\r" not in cell
    for part in cell.replace("\t", ";").split(";"):
        assert part.strip()[:1] not in (*"=+-@＝",), cell
    assert plain_cell("Fe Ka - Pb La") == "Fe Ka - Pb La"


def fields(path: Path) -> list[str]:
    """Return the cells of a table's head, as programs with any separator split it."""
    with path.open(encoding="utf-8", newline="") as file:
        head = next(csv.reader(file))
    return [part for cell in head for part in cell.replace("\t", ";").split(";")]


def test_tables_hold_no_formula(scan: Scan, tmp_path: Path) -> None:
    """Names of windows and regions come from files and links; all tables go to spreadsheets."""
    windows = [Roi(name, 2.0, 3.0) for name in FORMULAS if name.isprintable()]
    maps = export_scan(scan, tmp_path / "maps.csv", windows=windows)
    mask = np.zeros(scan.grid.shape, dtype=bool)
    mask[1:3, 2] = True
    regions = dict.fromkeys(FORMULAS, mask)
    spectra = export_scan(scan, tmp_path / "spectra.csv", kind="spectra", regions=regions)
    for path in (maps, spectra):
        heads = fields(Path(path))
        assert len(heads) > len(windows)
        assert [head for head in heads if head.strip()[:1] in (*"=+-@＝",)] == []


def test_a_tree_is_printable(tmp_path: Path, lean_zipstore: Path) -> None:
    """The names of entries and of the file are whatever its maker wanted."""
    path = tmp_path / "a\x1b[2J.zipstore"
    path.write_bytes(lean_zipstore.read_bytes())
    array = '{"shape": [2], "chunks": [2], "dtype": "<f4", "compressor": null, "fill_value": 0,'
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(
            "b\x1b]0;x\x07/.zarray", array + '"order": "C", "filters": null, "zarr_format": 2}'
        )
    text = format_tree(path, details=True)
    assert "\\x1b[2J" in text
    assert "b\\x1b]0;x\\x07" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_errors_and_notes_are_printable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lean_zipstore: Path
) -> None:
    """They hold names, and go to a terminal."""
    path = tmp_path / "a\x1b[2J\r.zipstore"
    path.write_bytes(lean_zipstore.read_bytes()[:1000])
    for command in (["tree"], ["check"], ["export", "--kind", "csv"], ["serve"]):
        name, *options = command
        outputs = [str(tmp_path / "x.csv")] if name == "export" else []
        at = path.with_suffix(".gone") if name == "serve" else path
        assert main([name, str(at), *outputs, *options]) == 1
    said = capsys.readouterr()
    assert said.err.count("\\x1b[2J") >= 4
    assert all(line.isprintable() for line in (said.out + said.err).split("\n"))
    with progress_bar(True, "a\x1b[2J") as report:
        report(Progress("check", 1, 2))
    assert "a\\x1b[2J:" in capsys.readouterr().err


def test_notes_of_the_log_are_printable() -> None:
    """What the library notes of a file holds its names, too."""
    program = (
        "import logging, sys; from maxrf_core.cli import main; main(['report', sys.argv[1]]);"
        "logging.getLogger('maxrf_core').warning('%s is odd', chr(27) + '[2J')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, os.devnull], capture_output=True, text=True, check=False
    )
    assert "maxrf: note: \\x1b[2J is odd" in done.stderr
    assert "\x1b" not in done.stderr
    assert logging.getLogger("maxrf_core").handlers == []


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals, nor such names")
def test_a_path_is_escaped_for_a_terminal_and_whole_for_a_program(tmp_path: Path) -> None:
    """`for f in $(maxrf convert ...)` needs the name; who looks at it needs none that acts."""
    path = tmp_path / "a\x1b[2J.HDF5"
    command = [sys.executable, "-m", "maxrf_core", "simulate", str(path), "--shape", "5x4"]
    environment = os.environ | {"COLUMNS": "4000"}
    piped = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert piped.stdout == f"{path}\n"
    path.unlink()
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            command, stdout=theirs, stderr=subprocess.DEVNULL, check=True, env=environment
        )
        os.close(theirs)
        shown = io.BytesIO()
        with contextlib.suppress(OSError):  # how a terminal ends whose last writer has gone
            while data := os.read(ours, 4096):
                shown.write(data)
    finally:
        os.close(ours)
    assert shown.getvalue().strip().decode() == printable(path)


def test_a_scan_in_a_notebook_shows_text(tmp_path: Path, lean_zipstore: Path) -> None:
    """`repr` of a scan and the HTML of its xarray hold its name."""
    path = tmp_path / "<img src=x onerror=alert(1)>\x1b[2J.zipstore"
    path.write_bytes(lean_zipstore.read_bytes())
    with open_scan(path) as opened:
        assert repr(opened).isprintable()
        shown = map_dataset(opened, (2.0, 3.0))._repr_html_()
    assert "<img" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
