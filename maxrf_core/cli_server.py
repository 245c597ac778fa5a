"""The server of the page: started as a program of its own, so that Panel is never imported."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from .cli_signals import on_signals
from .errors import OutputError
from .location import is_url

__all__ = ["dashboard_folder", "panel_command", "run_server"]

SESSION_LIFETIME_MS = 300_000
"""How long the server keeps a page's state after its connection dropped, so that a laptop that
slept or changed networks finds it again. Bokeh's own 15 s is too short for that."""


def dashboard_folder() -> Path:
    """Return the folder of the installed page, which is found but not imported."""
    from importlib.util import find_spec

    spec = find_spec("dashboard")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / "main.py").is_file():
            return Path(folder)
    raise OutputError(
        "the dashboard is not installed beside maxrf_core. Install the whole program: "
        "pip install maxrf-dashboard"
    )


def panel_command(args: argparse.Namespace, app: Path) -> list[str]:
    """Return the command that serves the page.

    Parameters
    ----------
    args : Namespace
        Arguments of ``maxrf serve``.
    app : Path
        Folder of the page.

    Returns
    -------
    list of str
        Program and arguments. One application needs no ``--index``: Panel redirects ``/``.
    """
    # -P: else a folder called dashboard in the current directory would hide the installed one.
    command = [sys.executable, "-P", "-m", "panel", "serve", str(app)]
    command += ["--port", str(args.port), "--address", args.address]
    command += ["--unused-session-lifetime", str(SESSION_LIFETIME_MS)]
    if args.num_procs == 1:
        command.append("--warm")  # with several processes it does nothing before Python 3.12
    else:
        command += ["--num-procs", str(args.num_procs)]
    if args.allow_websocket_origin:
        # Bokeh allows localhost only as long as no other host is named.
        for origin in (f"localhost:{args.port}", *args.allow_websocket_origin):
            command += ["--allow-websocket-origin", origin]
    if args.show:
        command.append("--show")
    if args.paths:
        command += ["--args", *map(_absolute, args.paths)]
    return command


def _absolute(location: Path | str) -> str:
    """Return what names a scan from any folder."""
    return location if is_url(location) else str(location.absolute())


def run_server(command: list[str], num_procs: int) -> int:
    """Become the server; or, if it is several processes, stay and see that all of them end."""
    sys.stdout.flush()
    if os.name == "nt":  # execv would give the prompt back while the server runs on
        return subprocess.run(command, check=False).returncode  # noqa: S603 - our own command
    if num_procs == 1:
        _become(command)
    # SIGTERM to a server of several processes leaves its workers running, holding the port; so
    # does a worker that cannot start. Hence a process group, which is always stopped whole.
    server = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own command
    with on_signals(lambda *_: _stop_group(server.pid)):
        code = server.wait()
        _stop_group(server.pid)
    return 0 if code == -signal.SIGTERM else code


def _stop_group(leader: int) -> None:
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(leader, signal.SIGTERM)


def _become(command: list[str]) -> NoReturn:
    os.execv(command[0], command)  # noqa: S606 - our own command
