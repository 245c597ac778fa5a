"""The server as `maxrf serve` starts it, and what it uses while it runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from maxrf_core.cli_server import (
    SERVED_ALONE,
    SESSION_LIFETIME_MS,
    dashboard_folder,
    panel_command,
)
from tests.browser.server import free_port

__all__ = ["MaxrfServer", "Use"]

_START_S = 120.0
_LOOK_S = 1.0
_TROUBLE = re.compile(r"Traceback|ERROR|WARNING|Exception|exception")


@dataclass(frozen=True)
class Use:
    """What the server's processes used at a moment, all of them together.

    Parameters
    ----------
    time_s : float
        By `time.perf_counter`.
    memory_mb : float
        Resident.
    handles : int
        Open files and sockets.
    cpu_s : float
        Used so far.
    """

    time_s: float
    memory_mb: float
    handles: int
    cpu_s: float


class MaxrfServer:
    """`maxrf serve` in processes of its own, on loopback, watched.

    Parameters
    ----------
    scans : sequence of Path
        What it serves.
    log : Path
        Where it writes.
    num_procs : int
        Processes that share the visitors.
    lifetime_ms : int, optional
        How long a page's state outlives its connection. `maxrf serve` has no flag for that: its
        command is then run with another value, and so that sessions are looked at each second.
    """

    def __init__(
        self,
        scans: Sequence[Path],
        log: Path,
        *,
        num_procs: int = 1,
        lifetime_ms: int = SESSION_LIFETIME_MS,
    ) -> None:
        self.port, self.log = free_port(), log
        command = _command(self.port, scans, num_procs)
        if lifetime_ms != SESSION_LIFETIME_MS:
            command = _short_lived(self.port, scans, num_procs, lifetime_ms)
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                # Panel then writes a line for each session that begins and ends.
                env=os.environ | {"PANEL_LOG_LEVEL": "info"},
                start_new_session=True,
            )
        self.uses: list[Use] = []
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        try:
            self._wait_until_up()
        except BaseException:
            self._end()
            raise
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.join()
        self._end()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/favicon.ico", timeout=5)
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")

    def _end(self) -> None:
        # `maxrf serve` of several processes sees to it that its workers end, too.
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)

    # --- what it uses ---------------------------------------------------------------------

    def use(self) -> Use:
        """Return what its processes use now."""
        memory = handles = cpu = 0.0
        top = psutil.Process(self._process.pid)
        for process in (top, *top.children(recursive=True)):
            with suppress(psutil.NoSuchProcess), process.oneshot():
                memory += process.memory_info().rss
                handles += process.num_fds()
                cpu += sum(process.cpu_times()[:2])
        return Use(time.perf_counter(), memory / 2**20, int(handles), cpu)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.uses.append(self.use())

    # --- what it says ---------------------------------------------------------------------

    def sessions(self) -> int:
        """Return how many sessions there are, by its log."""
        said = self.log.read_text(errors="replace")
        return len(re.findall(r"Session \d+ launching", said)) - len(
            re.findall(r"Session \d+ destroyed", said)
        )

    def troubles(self) -> list[str]:
        """Return the lines of its log that speak of errors."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if _TROUBLE.search(line)]


def _command(port: int, scans: Sequence[Path], num_procs: int) -> list[str]:
    options = ["--port", str(port), "--num-procs", str(num_procs)]
    return [sys.executable, "-m", "maxrf_core", "serve", *options, *map(str, scans)]


def _short_lived(port: int, scans: Sequence[Path], num_procs: int, lifetime_ms: int) -> list[str]:
    options = Namespace(
        **{**SERVED_ALONE, "num_procs": num_procs}, port=port, show=False, paths=list(scans)
    )
    command = panel_command(options, dashboard_folder())
    command[command.index(str(SESSION_LIFETIME_MS))] = str(lifetime_ms)
    at = command.index("--args")
    return [*command[:at], "--check-unused-sessions", "1000", *command[at:]]
