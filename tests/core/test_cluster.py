"""A conversion by workers in processes of their own: the same file, also when one is killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from maxrf_core import (
    ClusterError,
    ConversionCancelled,
    CronoFileError,
    OutputError,
    blocks,
    convert_crono,
    pipeline,
)
from maxrf_core.cluster import connect

distributed = pytest.importorskip("distributed")

# distributed's own threads close its sockets when they get to it
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Start two workers, each a process with one thread, and connect to them."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=tmp_path_factory.mktemp("workers"),
        ) as cluster,
        distributed.Client(cluster) as connected,
    ):
        yield connected


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Cut the scan into blocks of 128 spectra, and its cube into rows of tiles of 8."""
    monkeypatch.setattr(blocks, "SPECTRA_PER_CHUNK", 32)
    monkeypatch.setattr(blocks, "SPECTRA_PER_TASK", 64)
    monkeypatch.setattr(blocks, "LONGEST_BLOCK", 128)
    monkeypatch.setattr(pipeline, "CUBE_TILE", 8)


@pytest.fixture(scope="module")
def many(make_scan):
    """Return a scan of 31 x 40 cells, 1426 spectra: twelve blocks."""
    return make_scan((31, 40), channels=70)


@pytest.fixture
def in_threads(many, tmp_path):
    """Return what threads make of it."""
    output = tmp_path / "threads.zipstore"
    return Path(convert_crono(many.path, output=output, progress=False)).read_bytes()


def left_behind(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_cluster_makes_the_same_file_as_threads(client, many, in_threads, tmp_path):
    """Byte for byte: the blocks are the same, and the zip is packed in their order."""
    reports = []
    output = tmp_path / "cluster.zipstore"
    convert_crono(many.path, output=output, client=client, progress=reports.append)
    assert output.read_bytes() == in_threads
    assert left_behind(tmp_path) == ["cluster.zipstore", "threads.zipstore"]
    spectra = [report.done for report in reports if report.stage == "spectra"]
    assert spectra == sorted(spectra)
    assert spectra[-1] == len(many.counts)
    assert [report for report in reports if report.stage == "cube"][-1].fraction == 1


@pytest.mark.parametrize("stage", ["spectra", "cube"])
def test_a_worker_killed_in_the_middle_costs_nothing_but_time(
    client, many, in_threads, tmp_path, stage
):
    """Its tasks go to another worker, which may write a chunk once more."""
    victims = []

    def report(message):
        if message.stage == stage and 0 < message.fraction < 1 and not victims:
            victims.extend(client.run(os.getpid).values())
            os.kill(victims[0], signal.SIGKILL)

    output = tmp_path / "cluster.zipstore"
    convert_crono(many.path, output=output, client=client, progress=report)
    assert victims
    assert output.read_bytes() == in_threads
    assert left_behind(tmp_path) == ["cluster.zipstore", "threads.zipstore"]


def test_a_killed_client_goes_on_with_what_the_workers_wrote(
    client, many, in_threads, tmp_path, monkeypatch
):
    """The folder of chunks stays, and blocks that are whole are not converted again."""
    output = tmp_path / "cluster.zipstore"

    def report(message):
        if message.stage == "operator":
            raise KeyboardInterrupt

    # What a kill leaves: the folder as it is, and no lock on it.
    monkeypatch.setattr(
        "maxrf_core.writer.ChunkDirectory.__exit__", lambda self, *_: self._lock.close()
    )
    with pytest.raises(KeyboardInterrupt):
        convert_crono(many.path, output=output, client=client, progress=report)
    monkeypatch.undo()
    monkeypatch.setattr(blocks, "SPECTRA_PER_CHUNK", 32)
    monkeypatch.setattr(blocks, "SPECTRA_PER_TASK", 64)
    monkeypatch.setattr(blocks, "LONGEST_BLOCK", 128)
    monkeypatch.setattr(pipeline, "CUBE_TILE", 8)
    assert left_behind(tmp_path) == [".cluster.zipstore.chunks", "threads.zipstore"]
    reports = []
    convert_crono(many.path, output=output, client=client, progress=reports.append)
    assert [report.done for report in reports if report.stage == "spectra"] == [len(many.counts)]
    assert output.read_bytes() == in_threads
    assert left_behind(tmp_path) == ["cluster.zipstore", "threads.zipstore"]


def test_a_fault_of_a_worker_is_the_callers(client, many, tmp_path):
    """The sentence crosses the network; the folder of chunks goes."""
    source = tmp_path / "scan.HDF5"
    shutil.copy(many.path, source)

    def report(message):
        if message.stage == "spectra" and message.done == 0:  # after it was read, before workers do
            with source.open("r+b") as file:
                file.truncate(100_000)

    with pytest.raises(CronoFileError, match="cut short"):
        convert_crono(source, client=client, progress=report)
    assert left_behind(tmp_path) == ["scan.HDF5"]


def test_a_folder_that_workers_do_not_see_is_named(client, many, tmp_path, monkeypatch):
    """The commonest mistake with a cluster: a path of the user's own machine."""
    monkeypatch.setattr("maxrf_core.writer.ChunkDirectory.handle", _elsewhere)
    with pytest.raises(ClusterError, match=r"does not see .*nowhere.*all workers share"):
        convert_crono(many.path, output=tmp_path, client=client, progress=False)
    assert left_behind(tmp_path) == []


def _elsewhere(self):
    from maxrf_core.chunk_files import ChunkFiles

    return ChunkFiles(self.folder / "nowhere", {})


def test_a_cancel_stops_the_workers(client, many, tmp_path):
    """What stood in place still does, and nothing else."""
    cancel = threading.Event()

    def report(message):
        if message.done:
            cancel.set()

    with pytest.raises(ConversionCancelled):
        convert_crono(many.path, output=tmp_path, client=client, progress=report, cancel=cancel)
    assert left_behind(tmp_path) == []
    assert client.submit(np.sum, [1, 2]).result(timeout=60) == 3


def test_an_existing_zipstore_is_left_alone(client, many, tmp_path):
    """As without a cluster."""
    path = tmp_path / "scan.zipstore"
    path.write_bytes(b"something else")
    with pytest.raises(OutputError, match="exists already"):
        convert_crono(many.path, output=tmp_path, client=client, progress=False)


def test_nobody_at_the_address_is_said_at_once(monkeypatch):
    """Not a minute of silence, nor a traceback."""
    monkeypatch.setattr("maxrf_core.cluster._CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match=r"no dask scheduler answers at 'tcp://127.0.0.1:1'"):
        connect("tcp://127.0.0.1:1")
    with pytest.raises(ClusterError, match=r"no dask scheduler answers at '.*none.json'"):
        connect("/nowhere/none.json")
