"""Attempts to reach files that nobody named, and to have the server do what nobody asked for.

Each case of a list is one attempt. What a visitor can reach is a list made of the server's
arguments; a name is looked up in it, and links lead out of no folder. Texts that would run in
the page are tried in ``tests/browser/test_injection.py``.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import shutil
import socket
import stat
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from bokeh.document import Document
from browser.server import Server
from panel.io.state import set_curdoc
from PIL import Image

from dashboard import downloads, page
from dashboard.catalogue import Catalogue, CatalogueError, Entry, catalogue, facts_of
from dashboard.conversion_card import ConversionCard
from dashboard.data import SharedScan
from dashboard.downloads import Download
from dashboard.jobs import start_job
from dashboard.light import picture_path, pictures_beside
from dashboard.page import ScanPage, failure_page
from dashboard.region_text import read_regions
from dashboard.saved_views import delete_view, preset_of, save_view, saved_views
from dashboard.state import ViewState
from dashboard.text import hide_folder, sentence_of, without_folders
from dashboard.thumbnails import thumbnail_later
from maxrf_core import MaxrfError, ParameterError, convert_crono, open_scan
from maxrf_core.demo import CACHE_VARIABLE, demo_paths, demo_scan
from maxrf_core.errors import OutputError
from maxrf_core.exports import export_scan
from maxrf_core.location import is_ours, open_file
from maxrf_core.photo_file import photo_size
from maxrf_core.photo_record import kept_photo
from maxrf_core.presets import read_preset, write_preset
from maxrf_core.sidecar import read_sidecar, sidecar_path, write_sidecar
from maxrf_core.store import StoreReader
from maxrf_core.unfinished import HiddenNames, leftovers, lock_path

T = TypeVar("T")

DEMO = Entry("demo", Path("demo.zipstore"), None, is_demo=True)
PATIENCE_S = 60.0

posix = pytest.mark.skipif(os.name == "nt", reason="there are none of these on Windows")


def in_time(action: Callable[[], T]) -> T:
    """Return what an action returns, or raise what it raises; fail if it never ends."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(action())
        except BaseException as error:  # noqa: BLE001 - raised again below
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)  # who waits for a pipe never ends
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "it waits for ever"
    if failure:
        raise failure[0]
    return outcome[0]


@pytest.fixture(scope="session")
def zipstore(crono_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a zipstore to copy."""
    copy = shutil.copy(crono_file, tmp_path_factory.mktemp("doors"))
    return Path(convert_crono(copy, cubes=False, progress=False))


@pytest.fixture
def served(tmp_path: Path, zipstore: Path) -> Path:
    """Return a folder that is served, with one scan, `letter`."""
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copy(zipstore, folder / "letter.zipstore")
    return folder


@pytest.fixture
def private(tmp_path: Path, zipstore: Path, crono_file: Path) -> Path:
    """Return a folder of somebody else's, with scans, a photo and texts."""
    folder = tmp_path / "private"
    folder.mkdir()
    shutil.copy(zipstore, folder / "diary.zipstore")
    shutil.copy(crono_file, folder / "diary.HDF5")
    Image.fromarray(np.zeros((6, 9), np.uint8)).save(folder / "photo.png")
    (folder / "passwd").write_text("root:x:0:0:secret\n")
    (folder / "diary.maxrf.json").write_text('{"version": 1, "secret": "s"}')
    (folder / "diary.rpl").write_text("key\tvalue\n")
    (folder / "diary.raw").write_bytes(b"secret")
    return folder


def listed(*arguments: object) -> Catalogue:
    """Return the catalogue of some arguments."""
    return catalogue([str(argument) for argument in arguments], DEMO)


# --- names in the address ---------------------------------------------------------------------

NAMES = [
    "../private/diary", "../private/diary.zipstore", "..", ".", "", "/", "./letter", "letter/",
    "letter/../letter", "letter.zipstore", "LETTER", "letter ", " letter", "letter\0", "letter\n",
    "letter\0.zipstore", "/etc/passwd", "//etc/passwd", "///etc/passwd", "/proc/self/environ",
    "/dev/zero", "file:///etc/passwd", "file://letter", "~/letter", "~root", "$HOME",
    "%2e%2e%2fdiary", "..%2fprivate%2fdiary", "%252e%252e%252f", "..\\private\\diary",
    "..%5cprivate", "C:\\letter", "C:letter", "C:/Windows/win.ini", "\\\\server\\share\\letter",
    "//server/share", "\\\\?\\C:\\x", "\\\\.\\pipe\\x", "CON", "NUL", "letter::$DATA",
    "http://127.0.0.1:1/x.zipstore", "s3://b/k", "memory://x", "letter?scan=diary",
    "letter&scan=diary", "letter#x", "..\uff0fprivate", "\u2025/x", "\u202eretetl",
    "letter\u200b", "l\u0435tter", "letter" * 20_000, "__class__", "{0}", "%s", "*", "[l]etter",
    "letter;ls", "`id`", "$(id)", "|id",
]  # fmt: skip
"""All but the one name of the one scan; each leads to nothing."""


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:40])
def test_only_names_of_the_list_lead_to_a_scan(served: Path, private: Path, name: str) -> None:
    """They are looked up, never joined to a folder nor opened."""
    (served / "other.HDF5").touch()  # of one scan alone, any name shows it
    entries = listed(served)
    with set_curdoc(Document()):
        shown = ScanPage(entries, {"scan": name})
    assert shown._entry is None
    assert list(entries) == ["letter", "other"]
    assert private.is_dir()


# --- links ------------------------------------------------------------------------------------


def _to_file(served: Path, private: Path) -> None:
    (served / "diary.zipstore").symlink_to(private / "diary.zipstore")


def _to_relative_file(served: Path, _private: Path) -> None:
    (served / "diary.zipstore").symlink_to("../private/diary.zipstore")


def _to_passwd(served: Path, private: Path) -> None:
    (served / "passwd.zipstore").symlink_to(private / "passwd")


def _to_source(served: Path, private: Path) -> None:
    (served / "diary.HDF5").symlink_to(private / "diary.HDF5")


def _to_link(served: Path, private: Path) -> None:
    (served / "hop.txt").symlink_to(private / "diary.zipstore")
    (served / "diary.zipstore").symlink_to("hop.txt")


def _through_folder(served: Path, private: Path) -> None:
    (served / "below").symlink_to(private)
    (served / "diary.zipstore").symlink_to("below/diary.zipstore")


def _to_folder_store(served: Path, private: Path) -> None:
    store = private / "unpacked"
    store.mkdir()
    (store / ".zattrs").write_text("{}")
    (served / "unpacked.zipstore").symlink_to(store)


def _to_half_of_a_cube(served: Path, private: Path) -> None:
    shutil.copy(private / "diary.rpl", served)
    (served / "diary.raw").symlink_to(private / "diary.raw")


def _to_header_of_a_cube(served: Path, private: Path) -> None:
    shutil.copy(private / "diary.raw", served)
    (served / "diary.rpl").symlink_to(private / "diary.rpl")


def _to_datastack(served: Path, private: Path) -> None:
    (served / "diary.datastack").symlink_to(private / "passwd")


def _to_itself(served: Path, _private: Path) -> None:
    (served / "loop.zipstore").symlink_to("loop.zipstore")


def _to_its_folder(served: Path, _private: Path) -> None:
    (served / "loop.zipstore").symlink_to(".")


def _to_root(served: Path, _private: Path) -> None:
    (served / "all.zipstore").symlink_to("/")


def _to_nothing(served: Path, private: Path) -> None:
    (served / "gone.zipstore").symlink_to(private / "gone.zipstore")


def _to_device(served: Path, _private: Path) -> None:
    (served / "zero.zipstore").symlink_to("/dev/zero")


def _to_process(served: Path, _private: Path) -> None:
    (served / "environ.HDF5").symlink_to("/proc/self/environ")


def _pipe(served: Path, _private: Path) -> None:
    for suffix in ("zipstore", "HDF5", "rpl", "raw", "datastack"):
        os.mkfifo(served / f"pipe.{suffix}")


def _socket(served: Path, _private: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(served)  # the path of a socket is short
        try:
            made.bind("socket.HDF5")
        finally:
            os.chdir(here)


LINKS = [
    _to_file, _to_relative_file, _to_passwd, _to_source, _to_link, _through_folder,
    _to_folder_store, _to_half_of_a_cube, _to_header_of_a_cube, _to_datastack, _to_itself,
    _to_its_folder, _to_root, _to_nothing, _to_device, _to_process, _pipe, _socket,
]  # fmt: skip


@posix
@pytest.mark.parametrize("plant", LINKS, ids=lambda plant: plant.__name__.strip("_"))
def test_what_leads_out_of_a_folder_or_is_no_file_is_not_listed(
    served: Path, private: Path, plant: Callable[[Path, Path], None]
) -> None:
    """Who may write into a folder shows what is in it, not what the server may read elsewhere."""
    plant(served, private)
    assert list(in_time(lambda: listed(served))) == ["letter"]


@posix
def test_links_inside_of_a_folder_are_followed(served: Path) -> None:
    """`latest.zipstore` is an ordinary habit; it is the scan that it leads to."""
    (served / "latest.zipstore").symlink_to("letter.zipstore")
    assert list(listed(served)) == ["letter"]
    (served / "below").mkdir()
    (served / "letter.zipstore").rename(served / "below" / "old.zipstore")
    (served / "latest.zipstore").unlink()
    (served / "latest.zipstore").symlink_to("below/old.zipstore")
    (entry,) = listed(served).values()
    assert entry == Entry("old", served / "below" / "old.zipstore", None)
    entry.check_in_place()


@posix
def test_what_was_named_is_shown_wherever_it_lies(served: Path, private: Path) -> None:
    """The argument is the owner's own; a link beside does not change what was named."""
    _to_file(served, private)
    link = served / "diary.zipstore"
    assert list(listed(link)) == ["diary"]
    assert list(listed(served, private / "diary.zipstore")) == ["letter", "diary"]
    folder = served.parent / "linked"
    folder.symlink_to(private)
    assert list(listed(folder)) == ["diary"]


@posix
def test_a_folder_is_found_once(served: Path, private: Path) -> None:
    """Led elsewhere while the server runs, an argument is still what it was at first."""
    link = served.parent / "scans"
    link.symlink_to(served)
    assert list(listed(link)) == ["letter"]
    link.unlink()
    link.symlink_to(private)
    assert list(listed(link)) == ["letter"]


@posix
def test_a_zipstore_that_is_a_link_is_not_opened_for_its_scan(served: Path, private: Path) -> None:
    """A scan's zipstore is expected beside it, without being listed itself."""
    shutil.copy(private / "diary.HDF5", served)
    _to_file(served, private)
    entry = listed(served)["diary"]
    assert "diary.zipstore is a link" in facts_of(entry).fault
    with pytest.raises(CatalogueError, match="is a link"):
        page._prepared(entry)
    assert "is a link" in thumbnail_later(entry).result(PATIENCE_S).fault
    with set_curdoc(Document()):
        shown = ScanPage(listed(served), {"scan": "diary"})
    (card,) = shown._main.objects
    assert "is not followed" in card.objects[0].object


@posix
@pytest.mark.parametrize("replaced", ["zipstore", "source", "folder", "half"])
def test_what_becomes_a_link_later_is_refused(served: Path, private: Path, replaced: str) -> None:
    """Between the list and the opening lies as much time as a visitor takes."""
    inside = served / "below"
    inside.mkdir()
    for name in ("diary.zipstore", "diary.HDF5", "diary.rpl", "diary.raw"):
        shutil.copy(private / name, inside)
    source = inside / ("diary.rpl" if replaced == "half" else "diary.HDF5")
    entry = Entry("diary", inside / "diary.zipstore", source)
    entry.check_in_place()
    if replaced == "folder":
        inside.rename(served / "moved")
        inside.symlink_to(private)
    else:
        name = {"zipstore": "diary.zipstore", "source": "diary.HDF5", "half": "diary.raw"}[replaced]
        (inside / name).unlink()
        (inside / name).symlink_to(private / name)
    with pytest.raises(CatalogueError, match="is a link"):
        entry.check_in_place()
    with pytest.raises(CatalogueError, match="is a link"):
        page._prepared(entry)
    with set_curdoc(Document()):
        card = ConversionCard(entry, lambda _: None, overwrite=True)
        card._begin(None)
    assert "is a link" in card._failure.text


@posix
@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "folder"])
def test_opening_what_is_no_file_ends_at_once(tmp_path: Path, kind: str) -> None:
    """A pipe has its reader wait for a writer who never comes; /dev/zero never ends."""
    path = tmp_path / "diary.zipstore"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        _socket(tmp_path, tmp_path)
        (tmp_path / "socket.HDF5").rename(path)
    else:
        path.mkdir()
    with pytest.raises(MaxrfError, match=r"no file|not a whole"):
        in_time(lambda: StoreReader(path))
    with pytest.raises(OSError, match=r"no file|folder"):
        in_time(lambda: open_file(path))
    with pytest.raises(ParameterError, match="cannot be read"):
        in_time(lambda: photo_size(path))
    with pytest.raises(ParameterError, match="cannot be read"):
        in_time(lambda: read_preset(path))
    beside = sidecar_path(tmp_path / "letter.zipstore")
    path.rename(beside)
    with pytest.raises(ParameterError, match=r"cannot be read|leads out"):
        in_time(lambda: read_sidecar(tmp_path / "letter.zipstore"))


# --- entries of a store that is a folder ------------------------------------------------------

ENTRIES = [
    "../private/passwd", "/etc/passwd", "..\\private\\passwd", "C:\\passwd",
    "a/../../private/passwd", "", ".", "..", "a//b", "a\0b", "linked", "through/passwd", "pipe",
]  # fmt: skip


@posix
@pytest.mark.parametrize("key", ENTRIES, ids=ascii)
def test_entries_of_a_folder_lie_in_it(tmp_path: Path, private: Path, key: str) -> None:
    """The names of arrays come from the attributes, and anything may lie in a folder."""
    store = tmp_path / "store.zipstore"
    store.mkdir()
    (store / ".zattrs").write_text('{"schema": "maxrf", "schema_version": 1}')
    (store / "linked").symlink_to(private / "passwd")
    (store / "through").symlink_to(private)
    os.mkfifo(store / "pipe")
    from maxrf_core.entries import open_local

    entries = open_local(store)
    assert key not in entries
    assert set(entries.keys()) == {".zattrs"}
    with pytest.raises((KeyError, MaxrfError)):
        in_time(lambda: entries.read(key))


# --- beside a scan ----------------------------------------------------------------------------


@pytest.fixture
def own(served: Path) -> Iterator[SharedScan]:
    """Yield the served scan, opened."""
    opened = SharedScan(open_scan(served / "letter.zipstore"))
    yield opened
    opened.scan.close()


@posix
@pytest.mark.parametrize("target", ["private/diary.maxrf.json", "private/new.json", "private"])
def test_what_is_kept_beside_a_scan_is_kept_nowhere_else(
    own: SharedScan, served: Path, private: Path, target: str
) -> None:
    """A link out of the folder is neither read nor written through."""
    before = {path.name: path.read_bytes() for path in private.iterdir()}
    path = sidecar_path(served / "letter.zipstore")
    path.symlink_to(served.parent / target)
    with pytest.raises(ParameterError, match="leads out of its folder"):
        read_sidecar(served / "letter.zipstore")
    with pytest.raises(ParameterError, match="leads out of its folder"):
        save_view(own, "mine", preset_of(ViewState()))
    with pytest.raises(ParameterError, match="leads out of its folder"):
        kept_photo(served / "letter.zipstore")
    assert {path.name: path.read_bytes() for path in private.iterdir()} == before


@posix
@pytest.mark.parametrize("kind", ["file", "nothing", "pipe"])
def test_names_known_beforehand_lead_no_write_elsewhere(
    served: Path, private: Path, crono_file: Path, kind: str
) -> None:
    """In a folder of several people somebody can put links where others will write."""
    victim = private / "passwd" if kind == "file" else private / "new"
    for name in (".letter.maxrf.json.lock", ".letter.zipstore.partial", ".letter.zipstore.chunks"):
        if kind == "pipe":
            os.mkfifo(served / name)
        else:
            (served / name).symlink_to(victim)
    if kind == "pipe":
        (served / ".letter.zipstore.chunks").unlink()
    assert in_time(lambda: lock_path(served / ".letter.zipstore.partial")) is None
    if kind == "nothing":
        in_time(lambda: write_sidecar(served / "letter.zipstore", mine=1))
    else:  # it looks as if it were held
        with pytest.raises(OutputError, match="another writer"):
            in_time(lambda: write_sidecar(served / "letter.zipstore", mine=1))
    source = Path(shutil.copy(crono_file, served / "letter.HDF5"))
    in_time(lambda: convert_crono(source, cubes=False, progress=False, overwrite=True))
    with open_scan(served / "letter.zipstore") as opened:
        assert opened.n_spectra == 259
    assert read_sidecar(served / "letter.zipstore") == ({"mine": 1} if kind == "nothing" else {})
    assert (private / "passwd").read_text() == "root:x:0:0:secret\n"
    assert not (private / "new").exists()


@posix
def test_a_pipe_among_what_is_left_stops_nobody(served: Path) -> None:
    """`maxrf check` asks of each unfinished file whether somebody holds it."""
    for name in (".letter.zipstore.partial", ".letter.zipstore.1-0123abcd.lock"):
        os.mkfifo(served / name)
    target = served / "letter.zipstore"
    assert [left.held for left in in_time(lambda: leftovers(target))] == [False, False]
    in_time(lambda: HiddenNames(target).close())


@posix
def test_a_folder_of_chunks_that_is_a_link_is_not_cleared(served: Path, private: Path) -> None:
    """What an earlier run left is removed before chunks are written: its folders, nobody's."""
    from maxrf_core.writer import _claim_folder, _remove_chunks

    (private / "letters").mkdir()
    (served / ".letter.zipstore.chunks").symlink_to(private)
    _remove_chunks(served / "letter.zipstore")
    assert not (private / ".lock").exists()
    assert (served / ".letter.zipstore.chunks").is_symlink()
    folder, lock, own = _claim_folder(served / "letter.zipstore")
    assert lock is None
    assert own is not None
    assert folder.parent == served
    assert folder.is_dir()
    assert not folder.is_symlink()
    assert sorted(path.name for path in private.iterdir() if path.is_dir()) == ["letters"]
    assert not (private / ".lock").exists()
    own.close()


@posix
def test_a_conversion_replaces_a_link_and_does_not_follow_it(served: Path, private: Path) -> None:
    """Writing through it would change somebody else's scan."""
    before = (private / "diary.zipstore").read_bytes()
    source = Path(shutil.copy(private / "diary.HDF5", served / "diary.HDF5"))
    _to_file(served, private)
    made = Path(convert_crono(source, cubes=False, progress=False, overwrite=True, sigma=3))
    assert not made.is_symlink()
    assert (private / "diary.zipstore").read_bytes() == before


PHOTOS = [
    "../private/photo.png", "/etc/photo.png", "..\\private\\photo.png", "C:\\photo.png",
    "linked.png", "through/photo.png", "..", ".", "", ".hidden.png", "a\0.png", "photo.png/",
    "./photo.png", "//server/share/photo.png", "\\\\server\\share\\photo.png", "letter.zipstore",
    "pipe.png", "%2e%2e/photo.png", "x" * 5000 + ".png",
]  # fmt: skip


@posix
@pytest.mark.parametrize("name", PHOTOS, ids=lambda name: ascii(name)[:40])
def test_a_photo_is_one_of_the_scans_own_folder(served: Path, private: Path, name: str) -> None:
    """Its name comes from a form, or from what is kept beside the scan."""
    scan = served / "letter.zipstore"
    (served / "linked.png").symlink_to(private / "photo.png")
    (served / "through").symlink_to(private)
    os.mkfifo(served / "pipe.png")
    assert in_time(lambda: pictures_beside(scan)) == ()
    with pytest.raises(ParameterError, match="no picture"):
        in_time(lambda: picture_path(scan, name))
    points = [[1, 2, 3, 4]] * 3
    kept = {"name": name, "size": [9, 6], "kind": "affine", "points": points}
    document = {"version": 1, "photo": kept}
    sidecar_path(scan).write_text(json.dumps(document))
    from dashboard.light import look_beside

    opened = SharedScan(open_scan(scan))
    try:
        assert in_time(lambda: look_beside(opened)).photo is None
    finally:
        opened.scan.close()


PATHS = ["../../private/x", "/srv/x", "C:\\x", "..", "a/b", "\\\\server\\share", "x\0y", "~/x", "."]


@pytest.mark.parametrize("name", PATHS, ids=ascii)
def test_names_of_views_and_regions_are_no_files(
    own: SharedScan, served: Path, private: Path, name: str
) -> None:
    """They are keys of one file; nothing is made or removed under them."""

    def everything() -> set[Path]:
        return set(served.parent.rglob("*")) - {sidecar_path(served / "letter.zipstore")}

    before = everything()
    try:
        save_view(own, name, preset_of(ViewState()))
    except ParameterError:
        assert not name.isprintable()
    else:
        assert list(saved_views(own)) == [name]
        delete_view(own, name)
        delete_view(own, "../../private/passwd")
        assert list(saved_views(own)) == []
    with pytest.raises(ParameterError):
        read_regions(name)
    assert everything() == before
    assert private.is_dir()


def test_a_downloads_name_is_a_file_of_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipstore: Path
) -> None:
    """It is made of the scan's name, which is any that a file can have."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    downloads._root.cache_clear()
    try:
        for name in ("..", "...", "a\nb", 'a"; filename="b', "<b>", "-rf", "a;b", "\u202egpj"):
            path = tmp_path / f"{name}.zipstore"
            shutil.copy(zipstore, path)
            opened = SharedScan(open_scan(path))
            place = Download.new(f"{opened.name}-maps.csv")
            assert place.path.parent.parent == tmp_path / "cache" / "downloads"
            assert not {*'\n"<>;?# '} & {*place.address}
            opened.scan.close()
    finally:
        downloads._root.cache_clear()


def test_the_source_that_a_zipstore_names_is_never_a_path(
    tmp_path: Path, zipstore: Path, private: Path, own: SharedScan
) -> None:
    """A NeXus file of links would lead whoever opens it to a file that its maker never had."""
    attributes = dict(own.scan.source)
    for name in ("../private/diary.HDF5", str(private / "diary.HDF5"), "..\\private\\diary.HDF5"):
        own.scan.source = attributes | {"name": name}
        target = tmp_path / "links.h5"
        with pytest.raises(MaxrfError, match=r"crono|Crono"):
            export_scan(own.scan, target, kind="nexus-links")
        assert not target.exists()
    assert zipstore.is_file()


# --- caches of others -------------------------------------------------------------------------


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a file belong to somebody else."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)


@posix
def test_whose_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, if nobody else can have written it, and no link to another one."""
    path, link = tmp_path / "x", tmp_path / "link"
    path.touch()
    link.symlink_to(path)
    assert is_ours(path)
    assert not is_ours(link)
    assert not is_ours(tmp_path / "gone")
    path.chmod(0o666)
    assert not is_ours(path)
    path.chmod(0o644)
    give_away(path, monkeypatch)
    assert not is_ours(path)


@posix
@pytest.mark.parametrize("planted", ["file of somebody else", "link", "writable by all"])
def test_a_demo_that_somebody_planted_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """In a cache that all may write to, its name is known to all."""
    good = demo_scan(folder=tmp_path / "good", progress=False)
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    paths = demo_paths()
    if planted == "link":
        paths.zipstore.symlink_to(good)
    else:
        shutil.copy(good, paths.zipstore)
        paths.zipstore.chmod(0o666 if planted == "writable by all" else 0o644)
        if planted == "file of somebody else":
            give_away(paths.zipstore, monkeypatch)
    entry = Entry("demo", paths.zipstore, None, is_demo=True)
    assert not entry.is_converted
    monkeypatch.undo()
    made = demo_scan(folder=cache, progress=False)
    assert is_ours(made)
    assert Entry("demo", made, None, is_demo=True).is_converted
    assert good.is_file()


@posix
@pytest.mark.parametrize("planted", ["link", "folder of somebody else", "open folder"])
def test_downloads_lie_in_a_folder_of_our_own(
    tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """Folders of yesterday are removed from it, and who lists it knows all addresses."""
    (private / "letters").mkdir()
    os.utime(private / "letters", (1e9, 1e9))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    root = demo_paths().crono.parent / "downloads"
    root.parent.mkdir()
    if planted == "link":
        root.symlink_to(private)
    else:
        root.mkdir()
        root.chmod(0o775)
        if planted == "folder of somebody else":
            give_away(root, monkeypatch)
    downloads._root.cache_clear()
    try:
        if planted == "open folder":
            Download.new("x.csv")
            assert stat.S_IMODE(root.stat().st_mode) == 0o700
        else:
            with pytest.raises(PermissionError, match="not its own"):
                Download.new("x.csv")
    finally:
        downloads._root.cache_clear()
    assert (private / "letters").is_dir()


@posix
def test_files_that_we_make_are_as_open_as_their_owner_wants(
    served: Path, own: SharedScan, crono_file: Path, tmp_path: Path
) -> None:
    """By the umask alone; hidden names are new ones and nobody knows them beforehand."""
    old = os.umask(0o027)
    try:
        save_view(own, "mine", preset_of(ViewState()))
        write_preset(tmp_path / "view.json", preset_of(ViewState()))
        export_scan(own.scan, tmp_path / "maps.csv")
        source = shutil.copy(crono_file, tmp_path / "made.HDF5")
        convert_crono(source, cubes=False, progress=False)
    finally:
        os.umask(old)
    made = [sidecar_path(served / "letter.zipstore"), tmp_path / "view.json"]
    for path in (*made, tmp_path / "maps.csv", tmp_path / "made.zipstore"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640, path.name
    names = set()
    for _ in range(100):
        with HiddenNames(served / "letter.zipstore") as hidden:
            names.add(hidden.name(served / "letter.zipstore", "part"))
    assert len(names) == 100
    assert not list(served.glob(".*"))


# --- what a visitor is told -------------------------------------------------------------------

SENTENCES = {
    "cannot read /srv/lab/scans/a.zipstore: denied.": "cannot read a.zipstore: denied.",
    "'/srv/lab/a b.HDF5' is cut short": "'a b.HDF5' is cut short",
    "(/srv/lab/x/y.png)": "(y.png)",
    "/my lab/scans (new)/a is odd; see /my lab/scans (new)/b.": "a is odd; see b.",
    "the folder /my lab/scans (new) has none": "the folder scans (new) has none",
    "in C:\\Users\\me too\\a.HDF5 and D:/x/b.HDF5.": "in a.HDF5 and b.HDF5.",
    "\\\\server\\share\\deep\\a.HDF5": "a.HDF5",
    "--output /srv/lab/a.zipstore --overwrite": "--output a.zipstore --overwrite",
}
KEPT = [
    "12 counts/s and counts/s/cell", "https://example.org/a/b.zipstore is not reached",
    "1/2 or 3/4", "row/column", "10 x 9 cells; ratio: a/b", "maxrf convert SCAN.HDF5", "and/or",
    "/", "s3://b/a/k",
]  # fmt: skip


def test_sentences_name_files_without_their_folders(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a server keeps its files helps who attacks it, and nobody who reads the page."""
    from dashboard import text

    monkeypatch.setattr(text, "_folders", set())
    hide_folder(Path("/my lab/scans (new)"))
    for told, shown in SENTENCES.items():
        assert without_folders(told) == shown
    for told in KEPT:
        assert without_folders(told) == told
    with caplog.at_level(logging.WARNING):
        assert sentence_of(MaxrfError("/srv/lab/a.zipstore is odd")) == "a.zipstore is odd"
    assert "/srv/lab/a.zipstore is odd" in caplog.text


def test_no_failure_tells_where_the_files_are(tmp_path: Path, zipstore: Path) -> None:
    """Neither the catalogue, nor a card, nor a conversion, nor what is beside a scan."""
    folder = tmp_path / "the lab's scans (secret)"
    folder.mkdir()
    whole = zipstore.read_bytes()
    (folder / "short.zipstore").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.HDF5").touch()
    (folder / "text.HDF5").write_text("no HDF5")
    (folder / "cube.rpl").write_text("key\tvalue\n")
    with zipfile.ZipFile(folder / "other.zipstore", "w") as other:  # the advice names its path
        other.writestr(".zattrs", "{}")
    (folder / "sound.zipstore").write_bytes(whole)
    (folder / "sound.maxrf.json").write_text("no JSON")
    entries = listed(folder)
    told = []
    for name, entry in entries.items():
        told.append(facts_of(entry).fault)
        if entry.is_converted:
            told.append(thumbnail_later(entry).result(PATIENCE_S).fault)
            with set_curdoc(Document()):
                shown = ScanPage(entries, {"scan": name})
                shown._lament(entry, _failure_of(entry))
                told += [alert.objects[0].object for alert in shown._main.objects[:1]]
        else:
            job = start_job(["convert", str(entry.source)])
            job.wait(PATIENCE_S)
            assert job.status == "failed"
            told.append(job.message)
    for broken in (tmp_path / "gone (secret)", tmp_path / "the lab's scans (secret)" / "x.txt"):
        try:
            listed(broken)
        except CatalogueError as error:
            told.append(failure_page(sentence_of(error)).main[0].objects[0].object)
    sentences = [one for one in told if one]
    assert len(sentences) >= 8
    for sentence in sentences:
        assert str(tmp_path) not in sentence
        assert "&#47;" not in sentence, "a path, written for HTML"
        assert "the lab" not in sentence
    assert any("short.zipstore" in one for one in sentences)
    assert any("empty.HDF5" in one for one in sentences)


def _failure_of(entry: Entry) -> Exception:
    try:
        page._prepared(entry)
    except MaxrfError as error:
        return error
    return MaxrfError(f"{entry.zipstore} is odd")


# --- the server itself ------------------------------------------------------------------------

REQUESTS = [
    "/static/../../../../../../../../etc/passwd",
    "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/static/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "/static//etc/passwd",
    "/static/%2fetc%2fpasswd", "/static/..%5c..%5c..%5cetc%5cpasswd",
    "/static/%252e%252e/%252e%252e/etc/passwd",
    "/static/js/../../../../../../../../../etc/passwd", "/static/%00",
    "/static/js/bokeh.min.js%00.png", "/static/", "/static/js/", "/static/js",
    "/static/extensions/", "/static/extensions/panel/",
    "/static/extensions/panel/../../../../../../../../etc/passwd",
    "/static/extensions/panel//etc/passwd", "/static/extensions/panel/%2fetc%2fpasswd",
    "/static/extensions/maxrf-downloads/", "/static/extensions/maxrf-downloads//etc/passwd",
    "/static/extensions/maxrf-downloads/../maxrf-demo-2.zipstore",
    "/static/extensions/maxrf-downloads/%2e%2e/maxrf-demo-2.HDF5",
    "/static/extensions/../../../../etc/passwd", "/static/extensions/etc/passwd", "/components/",
    "/components/maxrf_bait/x/y/z", "/components/unittest.__main__/x/__css__/z",
    "/components/antigravity/x/_css/z", "/components/os/path/_css/etc/passwd",
    "/components/dashboard.page/ScanPage/__dict__/x", "/components/dashboard.main/x/_css/y",
    "/components/panel.template/BootstrapTemplate/_css/../../../../../etc/passwd",
    "/components/panel.template/BootstrapTemplate/_css//etc/passwd",
    "/components/panel.template/BootstrapTemplate/_resources/css/../../etc/passwd",
    "/components/panel.config/config/_css/x", "/components/..%2f..%2fetc/passwd/_css/x",
    "/panel_dist/../../../../etc/passwd", "/panel_dist/%2e%2e/%2e%2e/etc/passwd",
    "/dashboard/../../../../etc/passwd", "/dashboard/main.py", "/dashboard/static/main.py",
    "/dashboard/%2e%2e/%2e%2e/etc/passwd", "/main.py", "/dashboard.py", "/.git/config",
    "/etc/passwd", "//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/letter.zipstore",
    "/dashboard/letter.zipstore", "/admin", "/rest", "/rest/", "/rest/dashboard", "/session_info",
    "/liveness?endpoint=/etc/passwd", "/dashboard/ws", "/dashboard/ws?bokeh-session-id=x",
    "/favicon.ico/../../etc/passwd",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, crono_file: Path, zipstore: Path
) -> Iterator[Server]:
    """Yield a server of a folder with two scans, and a module that tells when it is imported."""
    folder = tmp_path_factory.mktemp("scans")
    shutil.copy(zipstore, folder / "letter.zipstore")
    shutil.copy(crono_file, folder / "other.HDF5")
    bait = tmp_path_factory.mktemp("bait")
    flag = repr(str(bait / "imported"))
    (bait / "maxrf_bait.py").write_text(f"open({flag}, 'w').close()\n")
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(bait), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        running = Server([str(folder)], bait / "server.log", warm=True)
    running.bait = bait
    yield running
    running.stop()


def ask(server: Server, path: str, **headers: str) -> tuple[int, str]:
    """Return status and body of an answer; the path is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection._validate_path = lambda _: None  # it is to be sent as it is
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", errors="replace")
    finally:
        connection.close()


@pytest.mark.parametrize("path", REQUESTS)
def test_no_address_leads_to_a_file_or_imports_a_module(server: Server, path: str) -> None:
    """Static files are those of the page; a module named in an address stays where it is."""
    status, body = ask(server, path)
    refused = {400, 403, 404, 405, 426} | ({500} if "%00" in path else set())
    # Tornado's own handler fails at a name that no file can have, and says no more than that.
    assert status in refused or "liveness" in path, (status, body[:200])
    assert "root:" not in body
    assert "PK\x03\x04" not in body
    for folder in (str(server.bait), sys.prefix, "Traceback"):
        assert folder not in body
    assert not (server.bait / "imported").exists()
    assert ask(server, "/dashboard")[0] == 200


QUERIES = [
    "scan=../letter", "scan=%00", "scan=%2e%2e%2fletter", "scan=/etc/passwd",
    "scan=a%0d%0aSet-Cookie:x=1", "scan=%ff%fe", "a=1?b=2", "scan=" + "x" * 20_000,
    "scan[]=letter", "scan=letter&scan=../x", "=", "&&&", "%", "scan=letter&window=" + "9" * 5000,
    "scan=letter&cell=-1~-1", "bokeh-session-id=../../etc", "scan=letter&regions=" + "%22" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:40])
def test_no_query_breaks_the_page_or_its_headers(server: Server, query: str) -> None:
    """The page comes, or a refusal of the server's; nothing of the query is a header."""
    status, body = ask(server, f"/dashboard?{query}")
    assert status in {200, 400, 403, 404, 414, 431}
    assert "Traceback" not in body
    assert str(server.bait.parent) not in body


TOKENS = ["x", "", "../../etc/passwd", "e30", "eyJzZXNzaW9uX2lkIjogIngifQ", "a" * 5000, "null"]


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:20])
def test_a_made_up_token_opens_nothing(server: Server, token: str) -> None:
    """A socket of another page's origin, or with a token that is none, is refused."""
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    headers = upgrade | {"Origin": "http://127.0.0.1:1"}
    status, _ = ask(server, "/dashboard/ws", **headers, **{"Sec-WebSocket-Protocol": "bokeh"})
    assert status == 403
    headers = upgrade | {"Origin": f"http://localhost:{server.port}"}
    protocol = f"bokeh, {token}" if token else "bokeh"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as wire:
        lines = [f"GET /dashboard/ws HTTP/1.1\r\nHost: localhost:{server.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
        wire.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = _until_closed(wire)
    assert b"ACK" not in answer
    assert ask(server, "/dashboard")[0] == 200


def _until_closed(wire: socket.socket) -> bytes:
    """Return what a server sends until it has nothing more to say."""
    said = b""
    deadline = time.monotonic() + PATIENCE_S
    while data := wire.recv(65536):
        said += data
        assert time.monotonic() < deadline, "the server goes on talking"
    return said


AUTOLOADED = [
    "", "?bokeh-autoload-element=x", "?bokeh-autoload-element=x%22);alert(1);//",
    "?bokeh-autoload-element=x&bokeh-absolute-url=http://127.0.0.1:1/x&bokeh-app-path=/dashboard",
]  # fmt: skip


@pytest.mark.parametrize("query", AUTOLOADED)
def test_there_is_no_script_that_puts_the_page_elsewhere(server: Server, query: str) -> None:
    """Bokeh writes the name of the element into it, unescaped: a script by whoever links to it."""
    status, body = ask(server, f"/dashboard/autoload.js{query}")
    assert status == 404
    assert "alert" not in body
