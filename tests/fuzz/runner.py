"""Workers that are watched: their time, their memory, and how they end."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from maxrf_core import CronoFileError
from maxrf_core.probe import probe_crono, report_apart

from .cases import Case

__all__ = ["Result", "run_cases"]

CASE_SECONDS = 20.0
"""Of processor time, and of waiting without any use of it."""
MOST_SECONDS = 120.0
"""In all, on a machine that is busy with other things."""
START_SECONDS = 120.0
"""A worker imports numba and datashader first, on a machine that may be busy."""
MOST_BYTES = 2**31
"""Resident memory of a worker, of which 0.4 GB are the libraries."""
_LOOK_EVERY = 0.03  # s; a process fills 0.1 GB meanwhile
_ROOT = Path(__file__).parents[2]


@dataclass
class Result:
    """What came of a case.

    Attributes
    ----------
    case : Case
    outcome : str
        "works", "our error", "contained" or "finding".
    step, what, where, said : str
        What was done, what happened, where in our code, and the message.
    seconds : float
    peak : int
        Resident memory in bytes, as often as it was looked at.
    is_repeated : bool
        It crashed after others and was run once more, alone, to this result.
    """

    case: Case
    outcome: str = ""
    step: str = ""
    what: str = ""
    where: str = ""
    said: str = ""
    seconds: float = 0.0
    peak: int = field(default=0, repr=False)
    is_repeated: bool = False


class _Worker:
    """A process that reads garbage, started when it is needed."""

    def __init__(self, bases: Path, folder: Path) -> None:
        self._bases, self._folder = bases, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer, self._cases = b"", 0

    def _start(self) -> None:
        self.close()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
            "MALLOC_ARENA_MAX": "2",
            "OMP_NUM_THREADS": "1",
        }
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        with (self._folder.parent / "stderr").open("ab") as complaints:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.fuzz.worker", self._bases, self._folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=self._folder.parent,
                env=environment,
            )
        self._buffer, self._cases = b"", 0
        result = Result(Case("", 0, 0))
        self._follow(result, START_SECONDS, lambda line: line.get("at") == "ready")
        if result.outcome:
            raise RuntimeError(f"the worker does not start: {result}")

    def run(self, case: Case) -> Result:
        """Run a case, whatever that does to the worker.

        HDF5 may damage its own memory at a file and crash at one of the next: a Crono file that
        it crashes at is read again alone, and if it repeats that, first as the commands do.
        """
        result = self._run(case)
        if case.kind == "crono" and result.what.startswith("crash") and self._cases > 1:
            result = self._run(case)
            result.is_repeated = True
        if case.kind == "crono" and result.what.startswith(("crash", "hang")):
            self._contain(result)
        return result

    def _run(self, case: Case) -> Result:
        if self._process is None or self._process.poll() is not None:
            self._start()
        self._cases += 1
        result = Result(case)
        began = time.monotonic()
        try:
            self._process.stdin.write(f"{case.name}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # `_follow` sees how it ended
        self._follow(result, CASE_SECONDS, lambda line: "outcome" in line)
        result.seconds = time.monotonic() - began
        return result

    def _contain(self, result: Result) -> None:
        """See whether the command line, which reads a Crono file apart first, tells of it."""
        path = next(file for file in self._folder.glob("*.HDF5") if file.name != "other.HDF5")
        for read in (probe_crono, report_apart):
            try:
                read(path, seconds=CASE_SECONDS)
            except CronoFileError as error:
                if "does not survive" in str(error):
                    result.outcome, result.said = "contained", str(error)

    def _follow(
        self, result: Result, seconds: float, is_last: Callable[[dict[str, str]], bool]
    ) -> None:
        """Read what the worker says until it is done, dead, late or too large."""
        end = time.monotonic() + max(seconds, MOST_SECONDS)
        used_at_first = used = _processor_seconds(self._process.pid)
        moved = time.monotonic()
        descriptor = self._process.stdout.fileno()
        while True:
            while b"\n" in self._buffer:
                raw, _, self._buffer = self._buffer.partition(b"\n")
                line = json.loads(raw)
                if is_last(line):
                    for key, value in line.items():
                        if key != "at":
                            setattr(result, key, value)
                    return
                result.step = line["at"]
            ready, _, _ = select.select([descriptor], [], [], _LOOK_EVERY)
            if ready:
                data = os.read(descriptor, 2**16)
                if not data:
                    self._ended(result)
                    return
                self._buffer += data
            resident = _resident(self._process.pid)
            result.peak = max(result.peak, resident)
            if resident > MOST_BYTES:
                self._kill(result, f"memory over {MOST_BYTES / 2**30:g} GiB")
                return
            now, before = time.monotonic(), used
            used = _processor_seconds(self._process.pid)
            moved = now if used > before else moved
            if used - used_at_first > seconds or now - moved > seconds or now > end:
                self._kill(result, f"hang, over {seconds:g} s")
                return

    def _ended(self, result: Result) -> None:
        code = self._process.wait()
        result.outcome = "finding"
        result.what = f"crash, {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"

    def _kill(self, result: Result, what: str) -> None:
        self._process.kill()
        self._process.wait()
        result.outcome, result.what = "finding", what

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            with suppress(BrokenPipeError):
                self._process.stdin.close()


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _processor_seconds(pid: int) -> float:
    """Return the time that a process has worked, which others on the machine do not change."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_cases(
    cases: Sequence[Case],
    bases: Path,
    folder: Path,
    *,
    workers: int = 2,
    tell: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Run cases in some workers side by side.

    Parameters
    ----------
    cases : sequence of Case
        In this order, more or less.
    bases : Path
        What `write_bases` wrote.
    folder : Path
        Where each worker has a folder of its own.
    workers : int
        How many.
    tell : callable
        Is given each result when it is there.

    Returns
    -------
    results : list of Result
        In the order of the cases.
    """
    waiting: queue.SimpleQueue[tuple[int, Case]] = queue.SimpleQueue()
    for item in enumerate(cases):
        waiting.put(item)
    results: dict[int, Result] = {}
    failures: list[BaseException] = []

    def work(number: int) -> None:
        # what HDF5 may do to a process does not befall the others
        pair = [_Worker(bases, folder / f"worker-{number}-{w}" / "case") for w in ("hdf5", "other")]
        try:
            while not failures:
                position, case = waiting.get_nowait()
                results[position] = pair[case.kind != "crono"].run(case)
                tell(results[position])
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the threads
            failures.append(error)
        finally:
            for worker in pair:
                worker.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [results[position] for position in sorted(results)]
