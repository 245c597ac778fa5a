"""What killed runs leave is known, told, and gone when the same file is written again."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_stores import ATTRIBUTES, left_behind, write_store

from maxrf_core import (
    CronoFileError,
    OutputError,
    ParameterError,
    ZipstoreError,
    check_zipstore,
    cli,
    convert_crono,
    simulate_crono,
    unfinished,
)
from maxrf_core.chunk_files import ChunkFiles
from maxrf_core.export_file import whole_files
from maxrf_core.imports import import_scan
from maxrf_core.photo_record import keep_photo
from maxrf_core.sidecar import write_sidecar
from maxrf_core.store import StoreReader
from maxrf_core.writer import ChunkDirectory, ZipstoreWriter

OWNER = "4711-0123abcd"


def leave(target, *kinds, lock=True):
    """Make what a killed run leaves beside a file, and return its names."""
    names = [f".{target.name}.{OWNER}.{kind}" for kind in kinds]
    for name in names:
        (target.parent / name).write_bytes(b"half")
    if lock:
        names.append(f".{target.name}.{OWNER}.lock")
        (target.parent / names[-1]).touch()
    return names


def fail(*_, **__):
    """Fail as a share does that went away."""
    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def write_files(paths, content, *, overwrite=True, then=None):
    """Write files as exports do, all or none."""
    with whole_files(paths, overwrite=overwrite) as hidden:
        for name in hidden:
            name.write_bytes(content)
        if then is not None:
            then()


def write_export(path):
    write_files([path], b"whole")


def write_photo(path):
    source = path.parent / "photos" / path.name
    source.parent.mkdir()
    Image.new("RGB", (31, 17)).save(source)
    keep_photo(path.with_name("scan.zipstore"), source, [], copy=True)
    shutil.rmtree(source.parent)
    path.with_name("scan.maxrf.json").unlink()


WRITERS = {
    "maps.tif": write_export,
    "folio.png": write_photo,
    "scan.zipstore": write_store,
    "made-up.HDF5": lambda path: simulate_crono(path, shape=(3, 2), n_channels=64),
    "scan.maxrf.json": lambda path: write_sidecar(path.with_name("scan.zipstore"), note=1),
}


# --- leftovers ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", WRITERS)
def test_what_a_killed_run_left_goes_when_the_same_file_is_written(tmp_path, name):
    """Else every kill would take room for ever."""
    leave(tmp_path / name, "partial", "part")
    WRITERS[name](tmp_path / name)
    assert left_behind(tmp_path) == [name]


def test_what_somebody_is_writing_stays(tmp_path):
    """Two visitors export the same; the second may not take the first one's file away."""
    path = tmp_path / "maps.tif"
    with unfinished.HiddenNames(path) as first:
        theirs = first.name(path, "partial")
        theirs.write_bytes(b"half")
        write_export(path)
        assert theirs.read_bytes() == b"half"
        assert [left.held for left in unfinished.leftovers(path)] == [True, True]
    assert left_behind(tmp_path) == ["maps.tif"]


def test_only_what_has_a_lock_file_and_the_very_name_is_removed(tmp_path):
    """An older version's hidden file may be in use, and other files are others' concern."""
    path = tmp_path / "maps.tif"
    others = [*leave(tmp_path / "maps.tif.png", "partial"), *leave(tmp_path / "maps", "part")]
    older = f".maps.tif.{os.getpid()}-89abcdef.partial"
    (tmp_path / older).touch()
    write_export(path)
    assert left_behind(tmp_path) == sorted([*others, older, "maps.tif"])


def test_what_cannot_be_removed_is_known_to_the_next_writer(tmp_path, monkeypatch):
    """A folder may refuse it for a moment; the file is written all the same."""
    path = tmp_path / "maps.tif"
    leave(path, "partial")

    def refuse(self, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", refuse)
        write_export(path)
    assert path.read_bytes() == b"whole"
    write_export(path)
    assert left_behind(tmp_path) == ["maps.tif"]


def test_an_error_is_told_though_the_half_file_cannot_be_removed(tmp_path, monkeypatch):
    """The share that failed the write fails the removal as well; one sentence says so."""
    path = tmp_path / "maps.tif"
    path.write_bytes(b"old")

    monkeypatch.setattr("pathlib.Path.unlink", fail)
    with pytest.raises(OutputError, match=r"cannot write .*maps.tif: Stale file handle"):
        write_files([path], b"half", then=fail)
    assert path.read_bytes() == b"old"


def test_chunks_of_a_killed_cluster_go_when_the_zipstore_is_whole(tmp_path):
    """They take as much room as the zipstore, and nobody needs them any more."""
    path = tmp_path / "scan.zipstore"
    left = tmp_path / ".scan.zipstore.chunks"
    (left / "group").mkdir(parents=True)
    (left / ".lock").touch()
    with ZipstoreWriter(path, ATTRIBUTES):
        pass
    assert left.exists()  # a conversion that failed keeps what another can go on with
    write_store(path)
    assert left_behind(tmp_path) == ["scan.zipstore"]


def test_chunks_that_a_cluster_is_writing_stay(tmp_path):
    """Somebody else may convert the same scan on one machine meanwhile."""
    path = tmp_path / "scan.zipstore"
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        write_store(path)
        assert (directory.folder / ".zattrs").exists()


def test_a_check_tells_what_lies_beside_a_zipstore(tmp_path, lean_zipstore):
    """Who finds a folder full of hidden files asks this program what they are."""
    path = tmp_path / "scan.zipstore"
    shutil.copy(lean_zipstore, path)
    names = leave(path, "partial") + leave(tmp_path / "scan.maxrf.json", "part")
    (tmp_path / ".scan.zipstore.partial").touch()
    report = check_zipstore(path, progress=False)
    assert report.is_whole
    for name in (*names, ".scan.zipstore.partial"):
        assert [name in note for note in report.notes].count(True) == 1
    with unfinished.lock_path(tmp_path / ".scan.zipstore.partial"):
        notes = check_zipstore(path, progress=False).notes
    assert sum("somebody is writing scan.zipstore now" in note for note in notes) == 1
    assert len(left_behind(tmp_path)) == len(names) + 2  # a check writes nothing


def test_a_conversion_that_is_up_to_date_tells_what_lies_beside_it(made, tmp_path, caplog):
    """It removes what cannot be gone on with, and tells the rest."""
    path = tmp_path / "scan.zipstore"
    convert_crono(made.path, output=path, cubes=False, progress=False)
    leave(path, "partial")
    (tmp_path / ".scan.zipstore.partial").touch()
    convert_crono(made.path, output=path, cubes=False, progress=False)
    assert left_behind(tmp_path) == [".scan.zipstore.partial", "scan.zipstore"]
    assert ".scan.zipstore.partial lies beside it, left by a run that was killed" in caplog.text


# --- two files that belong together ---------------------------------------------------------
def pair_in(folder, content=b"old"):
    """Return a pair of files in a folder, as an .rpl and its .raw."""
    pair = [folder / "cube.raw", folder / "cube.rpl"]
    for path in pair:
        path.write_bytes(content)
    return pair


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_pair_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch, failing):
    """New counts under an old header would be read as other counts."""
    pair = pair_in(tmp_path)
    replace, calls = Path.replace, []

    def fail_once(self, target):
        calls.append(target)
        if len(calls) == failing:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    with pytest.raises(OutputError, match="no permission to write"):
        write_files(pair, b"new")
    assert [path.read_bytes() for path in pair] == [b"old", b"old"]
    assert left_behind(tmp_path) == ["cube.raw", "cube.rpl"]


def test_a_pair_of_which_a_kill_moved_the_old_one_aside_is_put_back(tmp_path):
    """Killed between two renames: the header is aside, the counts are new already."""
    pair = pair_in(tmp_path)
    leave(pair[1], "partial")
    for path in pair:
        path.rename(tmp_path / f".{path.name}.{OWNER}.old")
    pair[0].write_bytes(b"new")
    with pytest.raises(OutputError, match="exists already"):
        write_files(pair, b"new", overwrite=False)
    assert [path.read_bytes() for path in pair] == [b"old", b"old"]
    assert left_behind(tmp_path) == ["cube.raw", "cube.rpl"]


def test_a_pair_that_cannot_be_put_back_waits_for_the_next_writer(tmp_path, monkeypatch):
    """The share goes away amid the renames; nothing of the old pair is removed."""
    pair = pair_in(tmp_path)
    replace, calls = Path.replace, []

    def fail_from_the_third(self, target):
        calls.append(target)
        if len(calls) > 2:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail_from_the_third)
        with pytest.raises(OutputError, match=r"could not be replaced .*Stale.* hidden name"):
            write_files(pair, b"new")
    assert not pair[1].exists()
    unfinished.remove_stale(pair[1])
    assert [path.read_bytes() for path in pair] == [b"old", b"old"]
    assert left_behind(tmp_path) == ["cube.raw", "cube.rpl"]


# --- sources and places that fail -----------------------------------------------------------
def test_a_scan_that_changes_while_it_is_converted_is_refused(made, tmp_path):
    """Half of its spectra may be those of before; what stood in place stays."""
    source, path = tmp_path / "scan.HDF5", tmp_path / "out.zipstore"
    shutil.copy2(made.path, source)
    path.write_bytes(b"old")

    def change(message):
        if message.stage == "operator":
            with source.open("r+b") as file:
                file.seek(-9, os.SEEK_END)
                file.write(b"x")
            os.utime(source, ns=(1, 1))

    with pytest.raises(CronoFileError, match=r"scan.HDF5 was changed or went away while it was"):
        convert_crono(source, output=path, cubes=False, overwrite=True, progress=change)
    assert path.read_bytes() == b"old"
    assert left_behind(tmp_path) == ["out.zipstore", "scan.HDF5"]


def cube_in(folder):
    """Write an .rpl of 3 x 4 cells with 20 channels; return its path."""
    counts = np.random.default_rng(3).poisson(2.0, (3, 4, 20)).astype("<u2")
    (folder / "cube.raw").write_bytes(counts.tobytes())
    header = {"width": 4, "height": 3, "depth": 20, "offset": 0, "data-length": 2}
    header |= {"data-type": "unsigned", "byte-order": "little-endian", "record-by": "vector"}
    lines = "".join(f"{key}\t{value}\n" for key, value in {"key": "value", **header}.items())
    (folder / "cube.rpl").write_text(lines)
    return folder / "cube.rpl"


def test_a_cube_that_changes_while_it_is_read_is_refused(tmp_path):
    """As a scan that is converted."""
    path = cube_in(tmp_path)

    def change(message):
        if message.stage == "import":
            os.utime(tmp_path / "cube.raw", ns=(1, 1))

    with pytest.raises(CronoFileError, match=r"cube.raw was changed or went away"):
        import_scan(path, calibration=(0.0, 0.1), cubes=False, progress=change)
    assert left_behind(tmp_path) == ["cube.raw", "cube.rpl"]


def test_what_a_killed_import_left_goes(tmp_path):
    """It has 2 bytes a count, and nobody else looks for it."""
    path = cube_in(tmp_path)
    leave(tmp_path / "cube.zipstore")
    left = tmp_path / f".cube.zipstore.{OWNER}.import"
    left.mkdir()
    (left / "cube.rpl").write_bytes(b"half a scan")
    import_scan(path, calibration=(0.0, 0.1), cubes=False, progress=False)
    assert left_behind(tmp_path) == ["cube.raw", "cube.rpl", "cube.zipstore"]


def test_a_photo_whose_copy_was_the_last_thing_before_a_kill_is_kept(tmp_path):
    """The copy is whole, the point pairs are not yet written: the same again finishes it."""
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "folio.png"
    Image.new("RGB", (31, 17)).save(photo)
    shutil.copy(photo, tmp_path / "folio.png")
    record = keep_photo(tmp_path / "scan.zipstore", photo, [], copy=True)
    assert record.name == "folio.png"
    Image.new("RGB", (17, 31)).save(photo)
    with pytest.raises(OutputError, match="exists already"):
        keep_photo(tmp_path / "scan.zipstore", photo, [], copy=True)


def test_chunks_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    """A cluster's folder lies on a share, which may go away."""
    files = ChunkFiles(tmp_path)
    files.put(".zgroup", b"{}")
    monkeypatch.setattr("pathlib.Path.read_bytes", fail)
    with pytest.raises(OutputError, match=r"cannot write .*\.zgroup: Stale file handle"):
        files.holds(".zgroup", b"{}")


def test_a_zipstore_on_a_share_that_went_away_is_told(tmp_path, monkeypatch):
    """Also before it is opened."""
    path = write_store(tmp_path / "scan.zipstore")
    monkeypatch.setattr("pathlib.Path.is_dir", fail)
    with pytest.raises(ZipstoreError, match=r"cannot read .*scan.zipstore: Stale file handle"):
        StoreReader(path)


def test_a_photo_that_is_cut_while_it_is_copied_is_refused(tmp_path, monkeypatch):
    """Half a picture would stand beside the scan, and no better one could take its place."""
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "folio.png"
    Image.new("RGB", (31, 17)).save(photo)
    copy = shutil.copyfile

    def cut_and_copy(source, target):
        os.truncate(source, 40)
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", cut_and_copy)
    with pytest.raises(ParameterError, match=r"folio.png was changed or went away while it was"):
        keep_photo(tmp_path / "scan.zipstore", photo, [], copy=True)
    assert left_behind(tmp_path) == ["photos"]


LIMITED = """
import resource, sys
from maxrf_core.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.exit(main(["simulate", sys.argv[1], "--shape", "5x3"]))
"""


@pytest.mark.parametrize("limit", [1000, 9000, 60_000])
def test_a_simulation_on_a_full_disk_ends_with_a_sentence(tmp_path, limit):
    """HDF5 crashed the process: no sentence, and its half file stayed."""
    pytest.importorskip("resource", reason="Windows has no limits to set")
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED.format(limit=limit), tmp_path / "made-up.HDF5"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    told = "maxrf: error: {} cannot be written: File too large. Check the folder's permissions"
    assert ended.stderr.startswith(told.format(tmp_path / "made-up.HDF5"))
    assert ended.stderr.count("\n") == 1
    assert left_behind(tmp_path) == []


def test_the_command_line_puts_any_failure_of_the_system_into_a_sentence(
    tmp_path, monkeypatch, capsys
):
    """A share can go away at any call; nobody can act on a traceback."""
    monkeypatch.setattr("pathlib.Path.is_dir", fail)
    assert cli.main(["check", str(tmp_path / "scan.zipstore")]) == 1
    assert cli.main(["convert", "a.HDF5", "b.HDF5", "--output", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "maxrf: error: the system failed (Stale file handle). What stood there is as" in told
    assert "Traceback" not in told
