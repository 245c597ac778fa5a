"""Stores behind a URL, and in folders: the same arrays as the zip, or one clear sentence."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest
from small_stores import VALUES, unpack, write_store

from maxrf_core import ZipstoreError
from maxrf_core.location import is_url
from maxrf_core.schema import ENERGIES
from maxrf_core.store import StoreReader


class Server(ThreadingHTTPServer):
    """A web server for one folder, which says what it was asked for and what it sent."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder, *, ranges=True):
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.ranges, self.status = ranges, None
        self.requests, self.sent = [], 0
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Who hangs up early, as one does who gets too much, is no error."""


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # else headers and body are two packets, with a pause between them

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def log_message(self, *_):
        pass

    def _answer(self, *, body):
        self.server.requests.append((self.command, self.path, self.headers.get("Range")))
        path = Path(self.translate_path(self.path))
        data, status = b"", HTTPStatus.OK
        if self.server.status is not None:
            status = self.server.status
        elif not path.is_file():
            status = HTTPStatus.NOT_FOUND
        else:
            data = path.read_bytes()
        size = len(data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        headers = {"Accept-Ranges": "bytes"} if self.server.ranges else {}
        if asked and data and self.server.ranges:
            first, last = map(int, asked.groups())
            data, status = data[first : last + 1], HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {first}-{first + len(data) - 1}/{size}"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            for start in range(0, len(data), 2**14):
                self.server.sent += self.wfile.write(data[start : start + 2**14])


@pytest.fixture
def serve():
    """Return a function that serves a folder over HTTP."""
    running = []

    def start(folder, **options):
        server = Server(folder, **options)
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


def arrays_of(location):
    """Return all arrays of a store."""
    with StoreReader(location) as reader:
        return {name: reader.read_array(name) for name in reader.array_names()}


def assert_same_arrays(found, expected):
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


# --- the same arrays --------------------------------------------------------------------------
def test_a_folder_of_the_entries_reads_as_the_zip(full_zipstore, tmp_path):
    """What a cluster writes, and what some programs unpack, is a store as it lies."""
    expected = arrays_of(full_zipstore)
    assert len(expected) >= 18
    assert_same_arrays(arrays_of(unpack(full_zipstore, tmp_path / "folder")), expected)


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_store_in_any_file_system_of_fsspec_reads_as_the_zip(full_zipstore, tmp_path, unpacked):
    """Clusters and clouds have many; fsspec knows them, and we know fsspec."""
    files = fsspec.filesystem("memory")
    files.pipe("/scans/full.zipstore", full_zipstore.read_bytes())
    folder = unpack(full_zipstore, tmp_path / "folder")
    for path in folder.rglob("*"):
        if path.is_file():
            files.pipe(f"/scans/folder/{path.relative_to(folder).as_posix()}", path.read_bytes())
    found = arrays_of("memory://scans/folder" if unpacked else "memory://scans/full.zipstore")
    files.rm("/scans", recursive=True)
    assert_same_arrays(found, arrays_of(full_zipstore))


def test_a_zipstore_on_a_web_server_reads_as_here(full_zipstore, serve):
    """A collaborator opens a scan by URL."""
    server = serve(full_zipstore.parent)
    assert_same_arrays(
        arrays_of(f"{server.url}/{full_zipstore.name}?download=1"), arrays_of(full_zipstore)
    )


def test_a_folder_on_a_web_server_reads_as_here(full_zipstore, serve, tmp_path):
    """A web server need not list a folder for its entries to be read."""
    unpack(full_zipstore, tmp_path / "folder")
    with StoreReader(f"{serve(tmp_path).url}/folder") as remote, StoreReader(full_zipstore) as here:
        assert remote.attributes == here.attributes
        assert ENERGIES in remote
        assert "nothing" not in remote
        for name in here.array_names():
            np.testing.assert_array_equal(remote.read_array(name), here.read_array(name))
            assert remote.layout(name).attributes == here.layout(name).attributes


@pytest.fixture
def s3_at(monkeypatch):
    """Return a function that says where S3 is; fsspec then has no connection from before."""
    from s3fs import S3FileSystem

    def tell(endpoint):
        for name, value in {
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_ENDPOINT_URL": endpoint,
        }.items():
            monkeypatch.setenv(name, value)
        S3FileSystem.clear_instance_cache()

    yield tell
    S3FileSystem.clear_instance_cache()


def test_a_zipstore_in_a_bucket_reads_as_here(full_zipstore, s3_at):
    """S3 is where institutes put what is too big to send."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        s3_at(f"http://{host}:{port}")
        files = fsspec.filesystem("s3")
        files.mkdir("scans")
        files.pipe("scans/full.zipstore", full_zipstore.read_bytes())
        found = arrays_of("s3://scans/full.zipstore")
        with pytest.raises(ZipstoreError, match=r"there is no file s3://scans/none.zipstore"):
            StoreReader("s3://scans/none.zipstore")
        with pytest.raises(ZipstoreError, match=r"there is no file s3://scans/none/.zattrs"):
            StoreReader("s3://scans/none")
    finally:
        server.stop()
    assert_same_arrays(found, arrays_of(full_zipstore))


@pytest.mark.parametrize("name", ["small.zipstore", "folder"])
def test_a_bucket_that_does_not_answer_is_told(serve, tmp_path, s3_at, name):
    """What S3's package raises is no error of the system."""
    server = serve(tmp_path)
    server.shutdown()
    server.server_close()
    s3_at(server.url)
    with pytest.raises(ZipstoreError, match=rf"cannot read s3://scans/{name}: Could not connect"):
        StoreReader(f"s3://scans/{name}")


# --- how it is read -------------------------------------------------------------------------
def test_a_chunk_is_one_request_and_no_more_bytes_than_that(tmp_path, serve, rng):
    """A request costs as much time as a megabyte; the directory is read once."""
    values = rng.integers(0, 2**16, (300, 700), dtype=np.uint16)
    write_store(tmp_path / "noise.zipstore", values=values, chunks=(10, 700))
    server = serve(tmp_path)
    with StoreReader(f"{server.url}/noise.zipstore") as reader:
        reader.layout("group/values")
        requests, sent = len(server.requests), server.sent
        np.testing.assert_array_equal(reader.read_chunk("group/values", (7, 0)), values[70:80])
        assert len(server.requests) == requests + 1
        assert server.sent - sent < 10 * 700 * 2 + 500


def test_descriptions_that_lie_together_are_one_request(full_zipstore, serve):
    """A scan has twenty arrays; a request for each description would make opening slow."""
    server = serve(full_zipstore.parent)
    with StoreReader(f"{server.url}/{full_zipstore.name}") as reader:
        reader._entries._source._tail = b""
        before = len(server.requests)
        for name in reader.array_names():
            reader.layout(name)
        assert len(server.requests) - before < len(reader.array_names())


def test_threads_read_by_url_what_one_reads(full_zipstore, serve):
    """Visitors share a scan, wherever it lies."""
    expected = arrays_of(full_zipstore)
    names = list(expected) * 3
    with StoreReader(f"{serve(full_zipstore.parent).url}/{full_zipstore.name}") as reader:
        reader._entries._source._tail = b""
        with ThreadPoolExecutor(8) as pool:
            for name, found in zip(names, pool.map(reader.read_array, names), strict=True):
                np.testing.assert_array_equal(found, expected[name])


@pytest.mark.parametrize("where", ["zip", "folder", "url"])
def test_a_reader_that_was_pickled_reads_the_same(tmp_path, serve, monkeypatch, where):
    """Dask sends readers to its workers, which work in other folders."""
    path = write_store(tmp_path / "small.zipstore")
    unpack(path, tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    location = {"zip": path.name, "folder": Path("folder"), "url": None}[where]
    if location is None:
        location = f"{serve(tmp_path).url}/small.zipstore?signature=1"
    with StoreReader(location) as reader:
        sent = pickle.dumps(reader)
    monkeypatch.chdir("/")
    with pickle.loads(sent) as received:  # noqa: S301 - our own bytes
        np.testing.assert_array_equal(received.read_array("group/values"), VALUES)


def test_the_network_is_loaded_only_for_urls():
    """Most scans lie on this machine; the command line is to start at once."""
    loads = "import sys, maxrf_core.store; print({'fsspec', 'aiohttp', 's3fs'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# --- one clear sentence ----------------------------------------------------------------------
def test_a_server_that_sends_only_whole_files_is_refused_before_it_does(tmp_path, serve):
    """Each map would load the whole scan, and nobody would see why it is slow."""
    values = np.random.default_rng(3).integers(0, 2**16, (1500, 2000), dtype=np.uint16)
    path = write_store(tmp_path / "big.zipstore", values=values, chunks=(500, 2000))
    server = serve(tmp_path, ranges=False)
    with pytest.raises(ZipstoreError, match=r"big.zipstore sends whole files only.*Copy the file"):
        StoreReader(f"{server.url}/big.zipstore")
    assert server.sent < path.stat().st_size


def test_a_file_that_comes_whole_with_the_first_request_is_read(tmp_path, serve):
    """Any server will do for a file of some kilobytes."""
    write_store(tmp_path / "small.zipstore")
    server = serve(tmp_path, ranges=False)
    found = arrays_of(f"{server.url}/small.zipstore")
    np.testing.assert_array_equal(found["group/values"], VALUES)


def test_a_server_that_forgets_ranges_later_is_told(tmp_path, serve):
    """Behind one address may be several servers."""
    write_store(tmp_path / "small.zipstore")
    server = serve(tmp_path)
    with StoreReader(f"{server.url}/small.zipstore") as reader:
        reader._entries._source._tail = b""
        server.ranges = False
        with pytest.raises(ZipstoreError, match="sends whole files only"):
            reader.read_chunk("group/values", (0, 0))


@pytest.mark.parametrize("name", ["none.zipstore", "none", "none/.."])
def test_what_is_not_on_the_server_is_told(tmp_path, serve, name):
    """The usual mistake is in the name."""
    with pytest.raises(ZipstoreError, match=r"there is no file http://127.0.0.1:\d+/none"):
        StoreReader(f"{serve(tmp_path).url}/{name}")


@pytest.mark.parametrize("name", ["small.zipstore", "folder"])
def test_what_a_server_refuses_is_told_without_the_signature(tmp_path, serve, name):
    """Forbidden is not missing; and messages are shown to all visitors, signatures not."""
    server = serve(tmp_path)
    server.status = HTTPStatus.FORBIDDEN
    with pytest.raises(ZipstoreError, match=rf"cannot read http.*/{name}: 403 Forbidden") as caught:
        StoreReader(f"http://me:password@{server.url[7:]}/{name}?sig=secret")
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("name", ["small.zipstore", "folder"])
def test_a_server_that_does_not_answer_is_told(tmp_path, serve, name):
    """Not that the file is missing: it may well be there."""
    server = serve(tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(ZipstoreError, match=r"cannot read http.*[Cc]onnect"):
        StoreReader(f"{server.url}/{name}")


def test_a_server_that_goes_away_is_told(tmp_path, serve):
    """Every read can fail, not only the first."""
    write_store(tmp_path / "small.zipstore")
    server = serve(tmp_path)
    with StoreReader(f"{server.url}/small.zipstore") as reader:
        reader._entries._source._tail = b""
        server.status = HTTPStatus.SERVICE_UNAVAILABLE
        with pytest.raises(ZipstoreError, match=r"cannot read .*: 503 Service Unavailable"):
            reader.read_array("group/values")


def test_a_file_that_gets_shorter_on_the_server_is_told(tmp_path, serve):
    """Somebody uploads another one while it is read."""
    path = write_store(tmp_path / "small.zipstore")
    with StoreReader(f"{serve(tmp_path).url}/small.zipstore") as reader:
        reader._entries._source._tail = b""
        path.write_bytes(path.read_bytes()[:600])
        with pytest.raises(ZipstoreError, match=r"damaged|cannot read"):
            reader.read_array("group/values")


def test_a_file_cut_short_on_the_server_is_refused(tmp_path, serve):
    """An upload that broke off."""
    path = write_store(tmp_path / "small.zipstore")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ZipstoreError, match=r"small.zipstore is not a whole zipstore"):
        StoreReader(f"{serve(tmp_path).url}/small.zipstore")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://h/scan.zipstore", True),
        ("s3://bucket/folder", True),
        ("scans/scan.zipstore", False),
        ("C://scans/scan.zipstore", False),
        (Path("https://h/scan.zipstore"), False),
    ],
)
def test_a_url_is_told_from_a_path(location, expected):
    """A drive of Windows is no protocol."""
    assert is_url(location) == expected


def test_a_protocol_nobody_knows_is_told():
    """A typing error."""
    with pytest.raises(ZipstoreError, match=r"htpp://h/s.zipstore cannot be opened: .*htpp"):
        StoreReader("htpp://h/s.zipstore")


def test_a_package_that_is_missing_is_told_with_the_command(monkeypatch):
    """Most people have scans on their own disk and do not install what S3 needs."""

    def refuse(_url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", refuse)
    sentence = r"s3://b/s.zipstore needs another package: .*s3fs.*maxrf-dashboard\[remote"
    with pytest.raises(ZipstoreError, match=sentence):
        StoreReader("s3://b/s.zipstore")


@pytest.mark.parametrize("where", ["folder", "url"])
def test_a_closed_reader_says_that_it_is_closed(tmp_path, serve, where):
    """Also where no file was open."""
    unpack(write_store(tmp_path / "small.zipstore"), tmp_path / "folder")
    places = {"folder": tmp_path / "folder", "url": f"{serve(tmp_path).url}/small.zipstore"}
    reader = StoreReader(places[where])
    reader.close()
    with pytest.raises(ZipstoreError, match="closed; open it again"):
        reader.read_array("group/values")


# --- folders ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["../other", "/etc", "group/../../other", "a\\b", "C:", "", "."])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    """Names come from URLs of the page, too."""
    for folder in ("store", "other"):
        unpack(write_store(tmp_path / "s.zipstore"), tmp_path / folder)
        (tmp_path / folder / ".zarray").write_text("{}")
    with StoreReader(tmp_path / "store") as reader:
        assert name not in reader
        with pytest.raises(ZipstoreError, match="has no entry"):
            reader.layout(name)


def test_a_folder_without_a_store_is_refused(tmp_path):
    """Such as the one in which the zipstores lie."""
    write_store(tmp_path / "small.zipstore")
    with pytest.raises(ZipstoreError, match=r"not a whole zipstore \(a folder without .zattrs\)"):
        StoreReader(tmp_path)


def test_a_chunk_missing_from_a_folder_is_named(tmp_path):
    """A copy that broke off: a folder has no directory that tells."""
    folder = unpack(write_store(tmp_path / "small.zipstore"), tmp_path / "folder")
    (folder / "group/values/1.0").unlink()
    with (
        StoreReader(folder) as reader,
        pytest.raises(ZipstoreError, match=r"folder has no entry 'group/values/1.0'"),
    ):
        reader.read_array("group/values")


def test_a_chunk_cut_short_in_a_folder_is_told(tmp_path):
    """Decompression notices what no checksum does."""
    folder = unpack(write_store(tmp_path / "small.zipstore"), tmp_path / "folder")
    chunk = folder / "group/values/1.0"
    chunk.write_bytes(chunk.read_bytes()[:-2])
    with StoreReader(folder) as reader, pytest.raises(ZipstoreError, match="damaged"):
        reader.read_array("group/values")
