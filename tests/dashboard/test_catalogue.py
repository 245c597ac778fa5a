"""What the arguments of `panel serve ... --args` make of files and folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
from bokeh.document import Document
from panel.io.state import set_curdoc

from dashboard import catalogue as catalogue_module
from dashboard.catalogue import Catalogue, CatalogueError, Entry, catalogue, facts_of
from dashboard.data import SharedScan, shared_scan
from dashboard.page import ScanPage
from maxrf_core import MaxrfError, convert_crono

DEMO = Entry("demo", Path("demo.zipstore"), None, is_demo=True)

Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """Return a function that makes an empty file, some seconds old, and its folders."""

    def make(name: str, *, age: float = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        time = 1_700_000_000 - age
        os.utime(path, (time, time))
        return path

    return make


def listed(*paths: Path) -> Catalogue:
    """Return the catalogue of some arguments."""
    return catalogue([str(path) for path in paths], DEMO)


def test_without_arguments_there_is_the_demo() -> None:
    """A first `panel serve dashboard` shows something."""
    assert catalogue([], DEMO) == {"demo": DEMO}


def test_a_zipstore_is_an_entry(touch: Touch) -> None:
    """It needs no source."""
    path = touch("letter.zipstore")
    assert listed(path) == {"letter": Entry("letter", path, None)}
    assert listed(path)["letter"].is_converted


def test_a_crono_file_is_an_entry_to_be_converted(touch: Touch) -> None:
    """Its zipstore will lie beside it."""
    path = touch("letter.HDF5")
    entry = listed(path)["letter"]
    assert entry == Entry("letter", path.with_name("letter.zipstore"), path)
    assert not entry.is_converted


def test_the_zipstore_is_expected_where_the_conversion_writes_it(
    crono_file: Path, tmp_path: Path
) -> None:
    """The page and `convert_crono` agree on the name, also with dots in it."""
    path = tmp_path / "14200215.blind.test 2.HDF5"
    path.write_bytes(crono_file.read_bytes())
    (entry,) = listed(path).values()
    assert convert_crono(path, cubes=False, progress=False) == str(entry.zipstore)
    assert entry.is_converted


@pytest.mark.parametrize("suffix", ["HDF5", "hdf5", "h5", "H5", "hdf", "zipstore", "ZIPSTORE"])
def test_endings_are_recognised_in_any_case(touch: Touch, suffix: str) -> None:
    """The instrument writes .HDF5, other programs .h5; Windows does not care."""
    assert list(listed(touch(f"letter.{suffix}"))) == ["letter"]


def test_a_scan_and_its_zipstore_are_one_entry_whatever_the_order(touch: Touch) -> None:
    """Naming both, or their folder and one of them, does not show the scan twice."""
    crono, zipstore = touch("letter.HDF5", age=5), touch("letter.zipstore")
    expected = {"letter": Entry("letter", zipstore, crono)}
    assert listed(crono, zipstore) == expected
    assert listed(zipstore, crono) == expected
    assert listed(zipstore.parent, zipstore, crono) == expected
    assert expected["letter"].is_converted


def test_a_folder_gives_its_scans_sorted_and_nothing_else(touch: Touch) -> None:
    """Notes, hidden files and half-written zipstores are passed over; subfolders not entered."""
    for name in (
        "b.zipstore",
        "a.HDF5",
        "c.h5",
        "notes.txt",
        "picture.png",
        "zipstore",
        ".hidden.HDF5",
        "._a.HDF5",  # macOS leaves these beside files on foreign disks
        ".a.zipstore.1f2e3d4c.partial",
        "below/d.HDF5",
    ):
        touch(name)
    assert list(listed(touch("a.HDF5").parent)) == ["a", "b", "c"]


@pytest.mark.parametrize("named", ["m6.rpl", "m6.raw", "."])
def test_a_cube_is_an_entry_to_be_converted(touch: Touch, named: str) -> None:
    """Whichever of its halves was named, or their folder."""
    header = touch("m6.rpl")
    touch("m6.raw")
    touch("photo.raw")  # of a camera
    entries = listed(header.parent / named)
    assert entries == {"m6": Entry("m6", header.with_suffix(".zipstore"), header)}
    assert entries["m6"].is_cube
    assert not entries["m6"].is_converted


def test_a_datastack_is_a_cube_and_a_crono_file_is_none(touch: Touch) -> None:
    """What the card of a scan asks depends on it."""
    entries = listed(touch("stack.datastack"), touch("scan.HDF5"), touch("letter.zipstore"))
    assert {name: entry.is_cube for name, entry in entries.items()} == {
        "stack": True,
        "scan": False,
        "letter": False,
    }


def test_a_lonely_half_of_a_cube_is_an_entry(touch: Touch) -> None:
    """Its conversion says what is missing."""
    raw = touch("m6.raw")
    assert listed(raw) == {"m6": Entry("m6", raw.with_suffix(".zipstore"), raw)}


def test_a_cube_is_as_large_and_as_new_as_its_counts(touch: Touch) -> None:
    """The header is a text of some lines."""
    header, raw = touch("m6.rpl", age=50), touch("m6.RAW", age=50)
    raw.write_bytes(b"counts")
    zipstore = touch("m6.zipstore", age=40)
    os.utime(raw, (1_700_000_000, 1_700_000_000))
    entry = listed(header)["m6"]
    assert not entry.is_converted
    assert facts_of(entry).n_bytes == 6
    touch(zipstore.name, age=-1)
    assert entry.is_converted


@pytest.mark.parametrize("suffix", [".h5", ".rpl", ".datastack"])
def test_what_was_exported_from_a_zipstore_is_not_taken_for_its_scan(
    crono_file: Path, tmp_path: Path, touch: Touch, suffix: str
) -> None:
    """It lies beside it under the same name, and is newer; converting it would replace it."""
    zipstore = tmp_path / "letter.zipstore"
    convert_crono(crono_file, output=zipstore, cubes=False, progress=False)
    os.utime(zipstore, (1, 1))
    exported = touch(f"letter{suffix}")
    assert listed(zipstore.parent)["letter"].is_converted
    assert listed(exported)["letter"].is_converted


@pytest.mark.parametrize("other", [".h5", ".rpl", ".datastack"])
def test_of_files_under_one_name_it_is_the_one_that_was_converted(
    crono_file: Path, tmp_path: Path, touch: Touch, other: str
) -> None:
    """A scan written anew is to be converted anew, whatever was exported before."""
    scan = Path(shutil.copy(crono_file, tmp_path / "letter.hdf5"))
    zipstore = Path(convert_crono(scan, cubes=False, progress=False))
    exported = touch(f"letter{other}")
    for arguments in ([tmp_path], [exported, scan], [scan, exported], [exported, zipstore, scan]):
        assert listed(*arguments)["letter"].source == scan
    assert listed(tmp_path)["letter"].is_converted
    os.utime(scan, (2e9, 2e9))
    assert not listed(tmp_path)["letter"].is_converted


def test_before_a_conversion_the_scan_goes_before_a_cube(touch: Touch) -> None:
    """The cube was made from it."""
    cube, scan = touch("letter.datastack"), touch("letter.h5")
    assert listed(cube, scan)["letter"].source == scan


def test_a_folder_named_like_a_scan_is_not_one(touch: Touch) -> None:
    """An unpacked zipstore, say; taken for a scan it would be shown as the demo."""
    touch("unpacked.zipstore/.zgroup")
    touch("old.h5/readme.txt")
    folder = touch("a.HDF5").parent
    assert list(listed(folder)) == ["a"]


def test_a_folder_store_is_an_entry_by_itself_and_in_its_folder(touch: Touch) -> None:
    """What a cluster writes, or was unpacked: named itself, or among others by its ending."""
    store = touch("letter.zipstore/.zattrs").parent
    plain = touch("unpacked/.zattrs").parent
    assert listed(store) == {"letter": Entry("letter", store, None)}
    assert listed(plain) == {"unpacked": Entry("unpacked", plain, None)}
    assert list(listed(store.parent)) == ["letter"]
    assert all(entry.is_converted for entry in listed(store, plain).values())


URL = "https://user:secret@example.org/a/letter%20two.zipstore?signature=secret"


def test_a_url_is_an_entry_under_its_last_name(touch: Touch) -> None:
    """Nothing is asked of its server before somebody wants to see it."""
    (entry,) = catalogue([URL], DEMO).values()
    assert entry == Entry("letter two", URL, None)
    assert entry.is_converted
    touch("letter two.zipstore")
    assert list(catalogue([URL, str(touch("letter two.zipstore")), URL], DEMO)) == [
        "letter two",
        "letter two (2)",
    ]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/scans/letter.zipstore", "letter"),
        ("https://example.org/scans/letter/", "letter"),
        ("https://user:secret@example.org/?key=secret", "example.org"),
    ],
)
def test_the_name_of_a_url_tells_no_secret(url: str, name: str) -> None:
    """It stands in the address and on the page."""
    assert list(catalogue([url], DEMO)) == [name]


def test_a_scan_by_url_is_opened_as_any_other(shared: SharedScan) -> None:
    """Once for all visitors, under the name of its file."""
    files = fsspec.filesystem("memory")
    files.put(str(shared.scan.filename), "/catalogue/letter.zipstore")
    (entry,) = catalogue(["memory://catalogue/letter.zipstore"], DEMO).values()
    opened = shared_scan(entry.zipstore)
    assert opened is shared_scan(entry.zipstore)
    assert opened.name == "letter"
    np.testing.assert_array_equal(opened.scan.energy_map(6, 7), shared.scan.energy_map(6, 7))
    opened.scan.close()
    files.rm("/catalogue", recursive=True)


def test_a_visitor_chooses_only_among_what_was_named(shared: SharedScan) -> None:
    """A URL in the address is no scan here, so the server asks nobody for it."""
    entries = catalogue([str(shared.scan.filename), URL], DEMO)
    for asked in ("http://127.0.0.1:1/private.zipstore", URL, "/etc/passwd"):
        with set_curdoc(Document()):
            page = ScanPage(entries, {"scan": asked})
        assert page._entry is None


def test_a_link_that_leads_nowhere_is_not_a_scan(touch: Touch) -> None:
    """The disk with the scan is not there; taken for a scan it would be shown as the demo."""
    folder = touch("a.HDF5").parent
    (folder / "gone.zipstore").symlink_to(folder / "elsewhere" / "gone.zipstore")
    assert list(listed(folder)) == ["a"]


def test_relative_and_linked_names_are_the_same_scan(
    touch: Touch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file is one entry, however it was named."""
    path = touch("letter.zipstore")
    link = path.with_name("link.zipstore")
    link.symlink_to(path)
    monkeypatch.chdir(path.parent)
    assert listed(Path("letter.zipstore"), path, link) == {"letter": Entry("letter", path, None)}


def test_scans_of_one_name_are_told_apart(touch: Touch) -> None:
    """By a number, in the order of the arguments; a name that looks numbered is no trouble."""
    paths = [
        touch(name)
        for name in (
            "monday/scan.HDF5",
            "tuesday/scan (2).zipstore",
            "tuesday/scan.zipstore",
            "wednesday/scan.zipstore",
        )
    ]
    found = listed(*paths)
    assert list(found) == ["scan", "scan (2)", "scan (3)", "scan (4)"]
    assert [entry.zipstore.parent.name for entry in found.values()] == [
        "monday",
        "tuesday",
        "tuesday",
        "wednesday",
    ]
    assert all(name == entry.name for name, entry in found.items())


def test_the_name_is_never_a_path(touch: Touch) -> None:
    """It stands in the address and on the page; folders of the server are nobody's business."""
    path = touch("private/person/letter.zipstore")
    assert all(str(path.parent) not in name for name in listed(path))


def test_a_missing_argument_is_named(tmp_path: Path) -> None:
    """All errors are sentences that say what to do."""
    with pytest.raises(CatalogueError, match=r"there is no file or folder .*gone\.HDF5; check"):
        listed(tmp_path / "gone.HDF5")


def test_a_file_of_another_kind_is_refused(touch: Touch) -> None:
    """Naming it was meant, so it is not passed over in silence."""
    with pytest.raises(
        CatalogueError, match=r"picture\.png is neither a zipstore nor a Crono file nor"
    ):
        listed(touch("a.HDF5"), touch("picture.png"))


def test_a_folder_without_scans_is_refused(touch: Touch) -> None:
    """The likeliest cause is the wrong folder."""
    folder = touch("notes.txt").parent
    with pytest.raises(CatalogueError, match="has no zipstore, no Crono file and no cube"):
        listed(folder)
    assert issubclass(CatalogueError, MaxrfError)


def test_a_zipstore_older_than_its_scan_is_not_converted(touch: Touch) -> None:
    """The scan was written again after the conversion."""
    crono = touch("letter.HDF5", age=0)
    zipstore = touch("letter.zipstore", age=100)
    entry = listed(crono)["letter"]
    assert not entry.is_converted
    touch("letter.zipstore", age=-100)
    assert entry.is_converted
    touch("letter.HDF5", age=-100)  # a clock that ticks in seconds
    assert entry.is_converted
    crono.unlink()
    assert entry.is_converted  # archived away: the zipstore is all there is
    zipstore.unlink()
    assert not entry.is_converted


def test_conversion_state_is_looked_up_each_time(touch: Touch) -> None:
    """An entry lives as long as the server; its files come and go."""
    entry = listed(touch("letter.HDF5"))["letter"]
    assert not entry.is_converted
    touch("letter.zipstore")
    assert entry.is_converted


@pytest.mark.parametrize("seconds", [1e12, 1e30, -1e12, float("nan")])
def test_a_time_that_the_system_cannot_tell_is_left_out(seconds: float) -> None:
    """Of clocks that are wrong, and before 1970 on Windows; the scan is listed all the same."""
    assert catalogue_module._moment(seconds) == ""
