"""Conversions started from the page: each in a process of its own, shared by all visitors.

The process is the command line's, so a crash of HDF5 on a bad file, the interpreter lock
and the memory of a conversion never touch the server.
"""

from __future__ import annotations

import atexit
import json
import logging
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence

from maxrf_core.progress import Progress

from .faults import numbered
from .logs import log_event
from .metrics import JOBS
from .task import Task, TaskStatus
from .text import without_folders

__all__ = ["Job", "job_for", "start_job"]

_AT_ONCE = threading.BoundedSemaphore(1)  # a conversion uses all cores by itself

logger = logging.getLogger(__name__)


class Job(Task):
    """One run of ``maxrf ... --progress json``.

    Parameters
    ----------
    arguments : sequence of str
        What follows ``maxrf``.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        # -P: a folder named maxrf_core in the working directory is not ours.
        run_maxrf = [sys.executable, "-P", "-m", "maxrf_core"]
        self._command = [*run_maxrf, *arguments, "--progress", "json"]
        self._process: subprocess.Popen[str] | None = None
        super().__init__(_AT_ONCE)

    def cancel(self) -> None:
        """Stop it; the command line removes what it began."""
        super().cancel()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _work(self) -> TaskStatus:
        log_event("conversion started")
        try:
            end = self._convert()
        except OSError as error:
            number = numbered(logger, "maxrf could not be run", error)
            self.message = f"The conversion could not be started (fault {number})."
            end = "failed"
        JOBS.labels(end).inc()
        log_event("conversion ended", end=end)
        return end

    def _convert(self) -> TaskStatus:
        self._process = process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",  # what libraries complain of may be in the system's own encoding
        )
        with process:
            if self._cancelled.is_set():  # between the check above and the process
                process.terminate()
            complaints: deque[str] = deque(maxlen=50)
            reader = threading.Thread(target=complaints.extend, args=(process.stderr,), daemon=True)
            reader.start()
            self._follow(process)
            code = process.wait()
            reader.join()
        if code == 0:  # even if it was cancelled too late
            return "done"
        if self._cancelled.is_set():
            return "cancelled"
        number = numbered(logger, f"maxrf ended with code {code}: {''.join(complaints)}")
        sentence = self.message or (
            f"The conversion ended unexpectedly (code {code}); the scan itself is as it was."
        )
        self.message = f"{sentence} (fault {number})"
        return "failed"

    def _follow(self, process: subprocess.Popen[str]) -> None:
        for text in process.stdout or ():
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if not isinstance(line, dict):
                logger.warning("maxrf printed %r where progress was expected", text[:200])
            elif "error" in line:
                self.message = without_folders(str(line["error"]))
            elif "stage" in line:
                self.progress = Progress(line["stage"], line["done"], line["total"])


_jobs: dict[tuple[str, ...], Job] = {}
_lock = threading.Lock()


def job_for(arguments: Sequence[str]) -> Job | None:
    """Return the job that works on this, or ended last, if there was one, with any options."""
    with _lock:
        return _jobs.get(tuple(arguments))


def start_job(arguments: Sequence[str], options: Sequence[str] = ()) -> Job:
    """Start a job, or return the one that works on the same already, whatever its options."""
    key = tuple(arguments)
    with _lock:
        job = _jobs.get(key)
        if job is None or job.is_over:
            job = _jobs[key] = Job([*arguments, *options])
        return job


@atexit.register
def _stop_all() -> None:
    for job in list(_jobs.values()):
        if not job.is_over:
            job.cancel()
            job.wait(10)
