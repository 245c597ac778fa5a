"""Scans behind a URL and in folders: the same maps, arrays and tree as from the zipstore."""

from __future__ import annotations

import gc

import fsspec
import numpy as np
import pytest
from small_stores import unpack
from test_remote import serve  # noqa: F401 - a fixture

from maxrf_core import ZipstoreError, cli, get_array, open_scan
from maxrf_core.interchange import format_tree
from maxrf_core.schema import COUNTS_BY_CHANNEL, CUBE, ENERGIES, POSITIONS


@pytest.fixture(params=["http zip", "http folder", "memory zip", "memory folder", "folder"])
def places(request, serve, tmp_path):  # noqa: F811 - the fixture
    """Return a function that puts a zipstore somewhere else and returns its location."""

    def put(zipstore):
        kind, _, how = request.param.partition(" ")
        name = "folder" if how != "zip" else "scan.zipstore"
        here = unpack(zipstore, tmp_path / "folder") if how != "zip" else zipstore
        if kind == "folder":
            return here
        if kind == "http":
            return f"{serve(here.parent).url}/{here.name}"
        fsspec.filesystem("memory").put(str(here), f"/places/{name}", recursive=how != "zip")
        return f"memory://places/{name}"

    yield put
    files = fsspec.filesystem("memory")
    if files.exists("/places"):
        files.rm("/places", recursive=True)


def test_a_scan_gives_the_same_maps_from_anywhere(lean_zipstore, places):
    """What a collaborator sees is what is seen here."""
    location = places(lean_zipstore)
    with open_scan(location) as there, open_scan(lean_zipstore) as here:
        assert there.grid == here.grid
        for window in [(2, 9), (3.3, 3.4)]:
            np.testing.assert_array_equal(there.energy_map(*window), here.energy_map(*window))
        np.testing.assert_array_equal(there.spectrum(70), here.spectrum(70))
        np.testing.assert_array_equal(there.cell_spectrum(6, 1), here.cell_spectrum(6, 1))
        np.testing.assert_array_equal(
            there.cube(sigma=2)[2].compute(), here.cube(sigma=2)[2].compute()
        )


def test_a_scan_says_where_it_is_from(lean_zipstore, places):
    """A path where there is one, and a name that can be shown."""
    location = places(lean_zipstore)
    with open_scan(location) as scan:
        assert scan.location == str(location)
        assert scan.filename == (None if isinstance(location, str) else location)
        assert scan.name == (location if isinstance(location, str) else location.name)
        assert repr(scan).startswith(f"<Scan {scan.name!r}: 77 spectra")


@pytest.mark.parametrize("name", [ENERGIES, POSITIONS, COUNTS_BY_CHANNEL, CUBE])
@pytest.mark.parametrize("fixture", ["lean_zipstore", "full_zipstore"])
def test_arrays_are_the_same_from_anywhere(request, fixture, places, name):
    """At once and lazily, stored or computed."""
    zipstore = request.getfixturevalue(fixture)
    expected = get_array(zipstore, name)
    location = places(zipstore)
    np.testing.assert_array_equal(get_array(location, name), expected)
    lazy = get_array(location, name, compute=False)
    gc.collect()
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(lazy[1:3].compute(), expected[1:3])
    np.testing.assert_array_equal(lazy.compute(), expected)


def test_the_tree_is_the_same_from_anywhere(full_zipstore, places):
    """Also where a web server lists no folder."""
    location = places(full_zipstore)
    assert format_tree(location).splitlines()[1:] == format_tree(full_zipstore).splitlines()[1:]


def test_a_wrong_name_is_told_with_those_that_are_there(lean_zipstore, places):
    """As for a file."""
    with pytest.raises(ZipstoreError, match=r"has no array 'maxrf_cub'; it has maxrf_all_spectra,"):
        get_array(places(lean_zipstore), "maxrf_cub")


def test_commands_take_a_url_or_a_folder(lean_zipstore, places, capsys):
    """`maxrf tree` and `maxrf check`, wherever a scan lies."""
    location = str(places(lean_zipstore))
    assert cli.main(["tree", location]) == 0
    assert "by_channel (50, 77) uint16" in capsys.readouterr().out
    assert cli.main(["check", location]) == 0
    assert " is whole: 77 spectra, " in capsys.readouterr().out


def test_a_folder_of_another_program_is_read_by_zarr(tmp_path, data_folder):
    """As its zip is."""
    folder = unpack(data_folder / "crono-12x9.cronomaxrf-0.0.12.zipstore", tmp_path / "theirs")
    assert get_array(folder, ENERGIES).shape == (4096,)
    assert "maxrf_cube (12, 9, 4096) float32" in format_tree(folder)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:1/scan.zipstore", "cannot read http://127.0.0.1:1/scan.zipstore: "),
        ("{server}/gone.zipstore", "there is no file {server}/gone.zipstore. Check the URL."),
        ("{server}/gone", "there is no file {server}/gone/.zattrs, so no zipstore"),
        ("nonsense://scan.zipstore", "nonsense://scan.zipstore cannot be opened: "),
        ("gs://bucket/scan.zipstore", "gs://bucket/scan.zipstore needs another package: "),
    ],
)
@pytest.mark.parametrize("command", ["tree", "check", "serve"])
def test_a_url_that_cannot_be_opened_is_one_sentence(
    command,
    url,
    sentence,
    serve,  # noqa: F811 - the fixture
    tmp_path,
    monkeypatch,
    capsys,
):
    """Unreachable, not there, or in need of a package; no traceback, no server started."""
    monkeypatch.setattr(cli, "_run_server", lambda *_: pytest.fail("started"))
    server = serve(tmp_path).url
    assert cli.main([command, url.format(server=server)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert sentence.format(server=server) in output.err
    assert "Traceback" not in output.err
    assert len(output.err.splitlines()) == (2 if command == "check" else 1)


@pytest.mark.parametrize("command", ["tree", "check", "serve"])
def test_no_message_shows_the_signature_of_a_url(command, capsys):
    """Who reads the log could open what it opens."""
    url = "http://user:secret@127.0.0.1:1/scan.zipstore?signature=secret"
    assert cli.main([command, url]) == 1
    output = capsys.readouterr()
    assert "secret" not in output.err + output.out
