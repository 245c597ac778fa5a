"""Files for one visitor: served in pieces, under an address that nobody guesses, not for ever."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bokeh.embed.bundle import extension_dirs
from bokeh.server.server import Server
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop

from dashboard import downloads
from dashboard.downloads import Download
from maxrf_core.demo import CACHE_VARIABLE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of downloads of this test alone."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    downloads._root.cache_clear()
    yield tmp_path / "downloads"
    downloads._root.cache_clear()


def test_a_place_is_unguessable_and_of_one_file(folder: Path) -> None:
    """Two visitors who export the same do not meet."""
    one, other = Download.new("a b.tif"), Download.new("a b.tif")
    assert one.path.parent != other.path.parent
    assert one.path.parent.parent == other.path.parent.parent == folder
    token = one.path.parent.name
    assert len(token) >= 32
    assert one.address == f"static/extensions/maxrf-downloads/{token}/a%20b.tif"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_name_that_windows_refuses_is_changed(folder: Path) -> None:
    """Names of scans come from URLs; a colon would hide the file behind another there."""
    place = Download.new("a:b/../c-maps.tif")
    assert place.path.name == "a_b_.._c-maps.tif"
    assert place.path.parent.parent == folder


def test_files_that_belong_together_are_all_offered() -> None:
    """An .rpl is nothing without its .raw; hidden names are unfinished ones."""
    place = Download.new("scan.rpl")
    for name in ("scan.rpl", "scan.raw", ".scan.rpl.partial"):
        (place.path.parent / name).write_text("x")
    assert [file.path.name for file in place.files()] == ["scan.raw", "scan.rpl"]
    place.withdraw()
    assert not place.path.parent.exists()


def test_what_is_left_over_from_yesterday_is_removed(folder: Path) -> None:
    """A server that was killed removes nothing."""
    old, new = Download.new("old.tif"), Download.new("new.tif")
    yesterday = time.time() - 25 * 3600
    os.utime(old.path.parent, (yesterday, yesterday))
    downloads._root.cache_clear()
    Download.new("next.tif")
    assert not old.path.parent.exists()
    assert new.path.parent.exists()
    assert len(list(folder.iterdir())) == 2


def test_bokehs_server_serves_them_whole_and_by_ranges(folder: Path) -> None:
    """And nothing beside them: not the folder, not what lies above it."""
    place = Download.new("map (1).tif")
    content = os.urandom(300_000)
    place.path.write_bytes(content)
    (folder.parent / "secret").write_text("secret")
    assert extension_dirs["maxrf-downloads"] == folder

    async def fetch(url: str, **headers: str) -> tuple[int, bytes]:
        answer = await AsyncHTTPClient().fetch(url, headers=headers, raise_error=False)
        return answer.code, answer.body

    async def visit() -> None:
        server = Server({}, port=0, io_loop=IOLoop.current(), address="127.0.0.1")
        server.start()
        base = f"http://127.0.0.1:{server.port}/"
        url = base + place.address
        assert await fetch(url) == (200, content)
        assert await fetch(url, Range="bytes=10-19") == (206, content[10:20])
        assert (await fetch(url.rpartition("/")[0]))[0] in (403, 404)
        extensions = f"{base}static/extensions/maxrf-downloads/"
        for path in ("", "../secret", "%2e%2e/secret", "x/../../secret"):
            assert (await fetch(extensions + path))[0] in (403, 404), path
        place.withdraw()
        assert (await fetch(url))[0] == 404
        server.stop()
        server._http.stop()
        await server._http.close_all_connections()

    asyncio.run(visit())
