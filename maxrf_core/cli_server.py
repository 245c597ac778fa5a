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
from .location import is_url, path_or_url

__all__ = [
    "SERVE",
    "SERVED_ALONE",
    "add_port",
    "add_serve",
    "add_show",
    "dashboard_folder",
    "panel_command",
    "run_server",
]

SESSION_LIFETIME_MS = 300_000
"""How long the server keeps a page's state after its connection dropped, so that a laptop that
slept or changed networks finds it again. Bokeh's own 15 s is too short for that."""


SERVE = """\
Serve the page with these scans: zipstores, Crono HDF5 files, cubes of other programs (.rpl,
.datastack), folders of them, or URLs of zipstores (http, https, s3). Without PATHs it shows the
demo scan. Ctrl-C or SIGTERM stops it. The server writes its log to the terminal; Crono files and
cubes are converted, which writes a zipstore beside them, only when a visitor asks for it. Nothing
is opened but what is named here.

Only browsers on this computer can connect. To let others in, give an --address of this computer
and the name that they type as --allow-websocket-origin. They look and export; what changes
something (converting, calibrating, keeping views and photos beside a scan) is left to browsers on
this very computer. With --users, visitors have to log in, and owners among them may change, too:
make that file with maxrf user. Passwords travel as they are typed: put a web server with TLS in
front (--behind-proxy) where others share the network.

/healthz answers as long as the server is well; /metrics has numbers for Prometheus.

--num-procs shares the visitors between processes that all read the same files. This program
then stays as their parent and stops all of them; do not kill it with SIGKILL.

example:
  maxrf serve scan.zipstore --show
  maxrf serve scans --address 0.0.0.0 --allow-websocket-origin lab-server:5006
  maxrf serve scans --users users.json --behind-proxy --allow-websocket-origin xrf.example.org
  maxrf serve https://example.org/scans/scan.zipstore
"""

SERVED_ALONE = {
    "address": "127.0.0.1",
    "allow_websocket_origin": [],
    "num_procs": 1,
    "users": None,
    "owner": [],
    "read_only": False,
    "everyone_may_change": False,
    "behind_proxy": False,
    "prefix": "",
    "max_visits": 100,
    "open_metrics": False,
    "json_log": False,
}
"""Options of a server for whoever started it."""


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.set_defaults(**SERVED_ALONE)
    add = parser.add_argument
    add(
        "paths",
        metavar="PATH",
        type=path_or_url,
        nargs="*",
        help="zipstores, Crono files, cubes, folders, URLs of zipstores",
    )
    add_port(parser)
    add(
        "--address",
        help="address to listen on; 0.0.0.0 is all of this computer's (default: %(default)s, "
        "this computer only)",
    )
    add(
        "--allow-websocket-origin",
        metavar="HOST[:PORT]",
        action="append",
        help="a name under which browsers may open the page, as in their address bar; may be "
        "repeated (default: localhost and 127.0.0.1)",
    )
    add(
        "--num-procs",
        metavar="N",
        type=_count,
        help="processes, 0 for one a core; not on Windows (default: %(default)s)",
    )
    add(
        "--max-visits",
        metavar="N",
        type=_count,
        help="pages that a process keeps at once; who comes when there are so many is told, and "
        "let in when somebody leaves (default: %(default)s)",
    )
    add_show(parser, default=False)
    _add_rights(parser.add_argument_group("who may come in, and what they may do"))
    _add_deployment(parser.add_argument_group("behind a web server"))


def _add_rights(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--users",
        metavar="FILE",
        type=Path,
        help="visitors log in with a name and password of this file, which maxrf user makes",
    )
    add(
        "--owner",
        metavar="NAME",
        action="append",
        help="a user who may change something, besides those whom the file calls owners; for a "
        "login by OAuth (see Panel's PANEL_OAUTH_PROVIDER); may be repeated",
    )
    changes = group.add_mutually_exclusive_group()
    changes.add_argument(
        "--read-only", action="store_true", help="nobody converts anything or keeps anything"
    )
    changes.add_argument(
        "--everyone-may-change", action="store_true", help="whoever reaches the page may"
    )


def _add_deployment(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--behind-proxy",
        action="store_true",
        help="take the visitor's address and https from the X-Real-IP and X-Scheme headers of the "
        "web server in front; only where nobody reaches this port but through it",
    )
    add("--prefix", metavar="/PATH", help="path of the page at the web server in front")
    add("--open-metrics", action="store_true", help="/metrics is not for this computer only")
    add("--json-log", action="store_true", help="log a JSON object a line")


def add_port(parser: argparse.ArgumentParser) -> None:
    """Add the port to listen on."""
    parser.add_argument(
        "--port", type=_port, default=5006, help="port to listen on (default: %(default)s)"
    )


def add_show(parser: argparse.ArgumentParser, *, default: bool) -> None:
    """Add whether the page is opened in the browser."""
    chosen = "does" if default else "does not"
    parser.add_argument(
        "--show",
        action="store_true",
        default=default,
        help=f"open the page in the browser (default: it {chosen})",
    )
    parser.add_argument(
        "--no-browser", "--no-show", dest="show", action="store_false", help="do not open it"
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, 1 to 65535 (0 takes a free one)")
    return int(text)


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
    command = [sys.executable, "-P", "-m", "dashboard.server", str(app)]
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
    command += _doors(args)
    if args.show:
        command.append("--show")
    if args.paths:
        command += ["--args", *map(_absolute, args.paths)]
    return command


def _doors(args: argparse.Namespace) -> list[str]:
    """Return the options on who may come in and what they may do."""
    options = ["--max-visits", str(args.max_visits)]
    if args.users is not None:
        options += ["--users", str(args.users.absolute())]
    for owner in args.owner:
        options += ["--owner", owner]
    if args.prefix:
        options += ["--prefix", args.prefix]
    if args.behind_proxy:
        options.append("--use-xheaders")
    flags = ("read_only", "everyone_may_change", "open_metrics", "json_log")
    return options + [f"--{flag.replace('_', '-')}" for flag in flags if getattr(args, flag)]


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
