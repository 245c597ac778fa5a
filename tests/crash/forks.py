"""A process that has imported everything and forks for each job: what 3 s took takes 0.2.

`Forks` is the harness's end; ``python -m tests.crash.forks`` the other one. Each line that it
reads is an `Order`; it answers with the exit code. Jobs are those of the real command line, or
of `actions`, with blocks so small that a small scan is written in many pieces.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from .faulty import Fault, arm, install, told

__all__ = ["TIMEOUT_S", "Ended", "Forks", "Order"]

TIMEOUT_S = 120.0
"""A job that takes longer hangs, and is killed."""

_REPORT = "\nREPORT: "
"""Ends what a fork writes to the standard error stream, and begins what `faulty` tells."""

SMALL_BLOCKS = {"SPECTRA_PER_CHUNK": 16, "SPECTRA_PER_TASK": 32, "LONGEST_BLOCK": 96}
CUBE_TILE = 4


@dataclass(frozen=True)
class Order:
    """What one fork shall do.

    Parameters
    ----------
    command : list of str
        Arguments of ``maxrf``; or ``action``, the name of a function of `actions`, and its
        arguments.
    folder : str
        Where it works, and what is watched.
    source : str or None
        The file that it reads.
    allowed : dict
        SHA-256 of what may stand under each final name; None for nothing.
    fault : dict or None
        A `Fault`.
    kill_after : float or None
        Seconds until it is killed.
    file_limit : int or None
        Bytes of the largest file that it may write.
    """

    command: list[str]
    folder: str
    source: str | None = None
    allowed: dict[str, list[str | None]] = field(default_factory=dict)
    fault: dict[str, Any] | None = None
    kill_after: float | None = None
    file_limit: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a fork ended.

    Attributes
    ----------
    code : int
        Exit code; negative, the signal that ended it; -1000 if it hung.
    seconds : float
    errors : str
        What it wrote to the standard error stream.
    report : dict
        What `faulty.told` says, empty if it was killed.
    """

    code: int
    seconds: float
    errors: str
    report: dict[str, Any]


class Forks:
    """The harness's end: a context manager.

    Parameters
    ----------
    folder : Path
        For the streams of the forks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder)],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=TIMEOUT_S)

    def run(self, order: Order) -> Ended:
        """Have a job done, or disturbed."""
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        errors, _, report = answer.pop("errors").partition(_REPORT)
        return Ended(errors=errors, report=json.loads(report or "{}"), **answer)


def _serve(streams: Path) -> None:
    """Fork for each line until there are no more."""
    from maxrf_core import blocks, contents, pipeline

    from . import actions

    for name, value in SMALL_BLOCKS.items():
        setattr(blocks, name, value)
    contents._MOST_SPECTRA_AT_ONCE = SMALL_BLOCKS["SPECTRA_PER_TASK"]  # of a lean one, for check
    pipeline.CUBE_TILE = CUBE_TILE
    clock = time.gmtime(1e9)
    time.localtime = lambda *_: clock  # zarr writes it into its zips: equal runs, equal files
    actions.warm_up(streams)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        started = time.monotonic()
        reading, writing = os.pipe()  # no file: those may be limited
        child = os.fork()
        if not child:
            _work(order, writing)
        os.close(writing)
        code, errors = _wait(child, started, order.kill_after, reading)
        answer = {"code": code, "seconds": time.monotonic() - started, "errors": errors}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _wait(child: int, started: float, kill_after: float | None, pipe: int) -> tuple[int, str]:
    """Return the exit code of a child, which may be killed on the way, and what it wrote."""
    os.set_blocking(pipe, False)
    said = b""
    end = TIMEOUT_S if kill_after is None else kill_after
    with open(pipe, "rb", buffering=0) as file:
        while True:
            found, status = os.waitpid(child, os.WNOHANG)
            said += file.read() or b""
            if found:
                return os.waitstatus_to_exitcode(status), said.decode(errors="replace")
            if time.monotonic() - started > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                said += file.read() or b""
                code = -1000 if kill_after is None else -signal.SIGKILL
                return code, said.decode(errors="replace")
            time.sleep(0.001)


def _work(order: Order, pipe: int) -> None:
    """Do the job in this process, and end it."""
    code = 99
    try:
        os.dup2(pipe, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.chdir(order.folder)
        source = None if order.source is None else Path(order.source)
        fault = None if order.fault is None else Fault(**order.fault)
        arm(Path(order.folder), source, fault, order.allowed)
        if order.file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit, order.file_limit))
        code = _done(order.command)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 2
    except BaseException:  # noqa: BLE001 - Python's own traceback, and the exit code for it
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stderr.write(_REPORT + told())
        sys.stderr.flush()
        os._exit(code)


def _done(command: list[str]) -> int:
    from maxrf_core import MaxrfError
    from maxrf_core.cli import main

    if command[0] != "action":
        return main(command)
    from . import actions

    try:
        actions.ACTIONS[command[1]](*map(Path, command[2:]))
    except MaxrfError as error:
        sys.stderr.write(f"maxrf: error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the harness is asked to stop, and closes this
    install()
    _serve(Path(sys.argv[1]))
