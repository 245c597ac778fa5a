"""A conversion on more than one machine: the blocks are tasks of a dask cluster.

Workers open the scan by its path and write chunks side by side into a directory beside the
target, so both have to lie on a file system that all of them share. What they write is packed
into the zip by the program that asked for it. The blocks and the chunks are those of a
conversion in threads: the two zipstores are alike byte for byte.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .blocks import BlockPlan, convert_block
from .combine import CubePlan, TileStatistics
from .errors import ClusterError, ParameterError
from .runners import Report
from .schema import CUBE
from .spectra import SpectraReader
from .table import CountsTable
from .writer import ChunkDirectory

if TYPE_CHECKING:
    from distributed import Client, Future

    from .chunk_files import ChunkFiles

__all__ = ["ClusterRunner", "connect"]

_POLL_SECONDS = 0.5  # how soon a cancel is noticed while no task ends
_CONNECT_SECONDS = 20


def connect(scheduler: str) -> Client:
    """Connect to a dask cluster.

    Parameters
    ----------
    scheduler : str
        Address of its scheduler, such as ``tcp://10.0.0.5:8786``, or the name of a
        scheduler file that ends in ``.json``.

    Raises
    ------
    ParameterError
        If `distributed` is not installed.
    ClusterError
        If nobody answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        msg = 'a cluster needs dask.distributed: pip install "maxrf-dashboard[cluster]"'
        raise ParameterError(msg) from error
    try:
        if scheduler.endswith(".json"):
            Path(scheduler).stat()  # distributed waits for ever for a file that is not there
            return Client(scheduler_file=scheduler, timeout=_CONNECT_SECONDS)
        return Client(scheduler, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        msg = (
            f"no dask scheduler answers at {scheduler!r} ({error}); expected an address such as "
            "tcp://10.0.0.5:8786 or a scheduler file. Start one with: dask scheduler"
        )
        raise ClusterError(msg) from error


class ClusterRunner:
    """Work on a dask cluster.

    Parameters
    ----------
    client : distributed.Client
        The cluster. A task takes one thread of a worker, and up to twice the conversion's
        ``memory_limit``.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    def open_sink(self, path: Path, attributes: dict[str, Any]) -> ChunkDirectory:
        """Open the directory of chunks that is packed in the end."""
        return ChunkDirectory(path.absolute(), attributes)

    def convert_blocks(
        self,
        filename: Path,
        plan: BlockPlan,
        sink: ChunkDirectory,
        todo: Sequence[int],
        report: Report,
    ) -> None:
        """Convert each block in a task."""
        futures = self.client.map(
            _convert_block,
            todo,
            filename=filename.absolute(),
            plan=plan,
            files=sink.handle(),
            pure=False,
        )
        sizes = [len(plan.spectra(number)) for number in todo]
        self._wait(futures, sizes, plan.n_spectra - sum(sizes), report)
        for number in range(plan.blocks):
            for key in plan.keys(number):
                sink.note_chunk(*key)

    def convert_cube(
        self, plan: CubePlan, table: CountsTable, sink: ChunkDirectory, report: Report
    ) -> Iterator[TileStatistics]:
        """Compute each row of tiles in a task."""
        shared = self.client.scatter(plan, broadcast=True)
        futures = self.client.map(
            _convert_band,
            range(plan.bands),
            plan=shared,
            files=sink.handle(),
            cache_bytes=table.cache_info["max_bytes"],
            pure=False,
        )
        self._wait(futures, [plan.cells_in(band) for band in range(plan.bands)], 0, report)
        for band, future in enumerate(futures):
            for index, statistics in zip(plan.keys(band), future.result(), strict=True):
                sink.note_chunk(CUBE, index)
                yield statistics

    def _wait(
        self, futures: Sequence[Future], sizes: Sequence[int], done: int, report: Report
    ) -> None:
        """Wait for tasks, which are so many spectra or cells each; raise what one raised."""
        from distributed import wait
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker

        size_of = {future.key: size for future, size in zip(futures, sizes, strict=True)}
        waiting = set(futures)
        try:
            while waiting:
                try:
                    ended, waiting = wait(waiting, _POLL_SECONDS, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    ended = set()
                for future in ended:
                    future.result()
                    done += size_of[future.key]
                report(done)  # which also asks whether it was cancelled
        except KilledWorker as error:
            msg = (
                "a task was given up after several workers had died of it, most likely for want "
                "of memory. Lower memory_limit (command line: --memory-limit), or give the "
                "workers more."
            )
            raise ClusterError(msg) from error
        except (CancelledError, CommClosedError) as error:
            msg = f"the dask cluster is gone ({error}). Start it and the conversion again."
            raise ClusterError(msg) from error
        finally:
            self.client.cancel(list(waiting))


def _convert_block(number: int, *, filename: Path, plan: BlockPlan, files: ChunkFiles) -> None:
    _check_seen(filename, files)
    with SpectraReader(filename) as spectra:
        convert_block(plan, spectra, number, files)


def _convert_band(
    band: int, *, plan: CubePlan, files: ChunkFiles, cache_bytes: int
) -> list[TileStatistics]:
    table = CountsTable(files, cache_bytes=cache_bytes)
    found = []
    for index in plan.keys(band):
        data, statistics = plan.tile_to_write(table, index, files)
        if data is not None:
            files.append_chunk(CUBE, index, data)
        found.append(statistics)
    return found


def _check_seen(filename: Path, files: ChunkFiles) -> None:
    for path in (filename, files.folder):
        if not path.exists():
            msg = (
                f"the worker on {socket.gethostname()} does not see {path}. The scan and its "
                "output have to lie on a file system that all workers share under one path."
            )
            raise ClusterError(msg)
