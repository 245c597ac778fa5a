"""The real server, in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import dashboard


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """The server of `maxrf serve` in a process of its own.

    Parameters
    ----------
    arguments : sequence of str
        What it serves.
    log : Path
        Where it writes.
    warm : bool
        Whether it makes ready before the first visitor comes, as `maxrf serve` has it do.
    program : sequence of str
        What follows ``python -m``: ours with its doors closed, or Panel's own.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        warm: bool = False,
        program: Sequence[str] = ("dashboard.server",),
    ) -> None:
        self.port = free_port()
        self.log = log
        folder = str(Path(dashboard.__file__).parent)
        command = [sys.executable, "-m", *program, folder, "--port", str(self.port)]
        command += ["--warm"] if warm else []
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [*command, *(["--args", *arguments] if arguments else [])],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=os.environ.copy(),
            )
        self._wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dashboard"

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/favicon.ico", timeout=5)
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.log.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
