"""The command line: ``maxrf convert | check | tree | report | demo | serve | simulate``.

Only light modules are imported at the top; a command imports what it needs when it runs, so
that `maxrf --help` is instant. Panel is never imported: `serve` starts it as a program.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .arguments import build_parser
from .errors import ConversionCancelled, MaxrfError, OutputError, ParameterError
from .location import is_url
from .schema import CRONO_SUFFIXES, ZIPSTORE_SUFFIX

if TYPE_CHECKING:
    from types import FrameType

    from distributed import Client

    from .check_report import CheckReport
    from .progress import Progress

    Report = Callable[[Progress], None]

__all__ = ["main", "panel_command"]

INTERRUPTED = 128 + 2  # what a shell gives for a program that SIGINT ended
PIPE_CLOSED = 128 + 13  # likewise SIGPIPE

SESSION_LIFETIME_MS = 300_000
"""How long the server keeps a page's state after its connection dropped, so that a laptop that
slept or changed networks finds it again. Bokeh's own 15 s is too short for that."""

# Signals that end a program politely; Windows has no SIGHUP.
_STOPPING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default those of the program.

    Returns
    -------
    int
        Exit code: 0 done, 1 failed with a sentence on the standard error stream, 130 stopped
        by Ctrl-C or SIGTERM, 141 the reader of the output has gone.

    Raises
    ------
    SystemExit
        By argparse: 0 after ``--help`` and ``--version``, 2 for arguments that make no sense.
    """
    parser = build_parser(_COMMANDS)
    args = parser.parse_args(argv)
    logging.basicConfig(format="maxrf: note: %(message)s")
    _let_any_text_through()
    as_json = getattr(args, "progress", None) == "json"
    try:
        try:
            code = args.run(args)
            sys.stdout.flush()
        except MaxrfError as error:
            _complain(error, as_json=as_json)
            return INTERRUPTED if isinstance(error, ConversionCancelled) else 1
        except KeyboardInterrupt:
            if as_json:
                _write_json({"error": "stopped by Ctrl-C."})
            return INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more on exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return code


def _let_any_text_through() -> None:
    """Print names that are no proper text as their bytes, and what has no code as ``?``."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        unicode = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="surrogateescape" if unicode else "replace")


def _complain(error: MaxrfError, *, as_json: bool) -> None:
    print(f"maxrf: error: {error}", file=sys.stderr)
    if as_json:
        _write_json({"error": str(error)})


def _write_json(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


# --- long jobs ----------------------------------------------------------------------------


@contextmanager
def _on_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call a function on Ctrl-C, SIGTERM and SIGHUP instead of ending."""
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other is given signals
        before = {number: signal.getsignal(number) for number in _STOPPING}
    for number, found in before.items():
        if found is not signal.SIG_IGN:  # nohup, or a job in the shell's background
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once."""
    stop = threading.Event()

    def request(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    with _on_signals(request):
        yield stop


@contextmanager
def _reporting(title: str, mode: str | None, stop: threading.Event) -> Iterator[Report]:
    """Yield the function that a job reports to; it ends the job when that was asked for."""
    from .progress import progress_bar

    shown: bool | Report = mode == "bar" or (mode is None and sys.stderr.isatty())
    if mode == "json":
        shown = _report_json
    stopped = f"{title}: stopped; nothing was left behind."
    with progress_bar(shown, title) as show:

        def report(message: Progress) -> None:
            if stop.is_set():
                raise ConversionCancelled(stopped)
            try:
                show(message)
            except BrokenPipeError as error:
                # An OSError here would be taken for a failed write of the file.
                raise ConversionCancelled(f"{title}: nobody reads the progress.") from error

        try:
            yield report
        except ConversionCancelled as error:  # whoever noticed first says the same
            raise ConversionCancelled(stopped if stop.is_set() else str(error)) from error


def _report_json(message: Progress) -> None:
    _write_json({"stage": message.stage, "done": message.done, "total": message.total})


def _announce(path: str | os.PathLike[str], mode: str | None) -> None:
    if mode == "json":
        _write_json({"result": str(path)})
    else:
        print(path)


# --- commands -----------------------------------------------------------------------------


def _convert(args: argparse.Namespace) -> int:
    _check_outputs(args.files, args.output)
    failed = False
    with _stop_on_signals() as stop, _cluster(args.scheduler) as client:
        from .conversion import convert_crono

        for file in args.files:
            try:
                with _reporting(file.name, args.progress, stop) as report:
                    zipstore = convert_crono(
                        file,
                        output=args.output,
                        method=args.method,
                        sigma=args.sigma,
                        spacing=args.spacing,
                        orientation=args.orientation,
                        lag=args.lag,
                        cubes=not args.lean,
                        overwrite=args.overwrite,
                        memory_limit=args.memory_limit,
                        progress=report,
                        cancel=stop,
                        client=client,
                    )
            except ConversionCancelled:
                raise
            except MaxrfError as error:
                _complain(error, as_json=args.progress == "json")
                failed = True
            else:
                _announce(zipstore, args.progress)
    return 1 if failed else 0


@contextmanager
def _cluster(scheduler: str | None) -> Iterator[Client | None]:
    """Connect to a dask cluster, if one is asked for, and leave it in the end."""
    if scheduler is None:
        yield None
        return
    from .cluster import connect

    # distributed tells at length what we say in a sentence
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with connect(scheduler) as client:
        yield client


def _check_outputs(files: Sequence[Path], output: Path | None) -> None:
    """Refuse to write several scans to one zipstore, before the first is converted."""
    if len(files) > 1 and output is not None and not output.is_dir():
        raise ParameterError(
            f"--output {output} cannot take {len(files)} scans; name an existing folder."
        )
    targets: dict[Path, Path] = {}
    for file in files:
        target = (output or file.parent).resolve() / file.stem
        if targets.setdefault(target, file).resolve() != file.resolve():
            raise ParameterError(
                f"{targets[target]} and {file} would both be written to "
                f"{target}{ZIPSTORE_SUFFIX}. Convert them one by one with --output."
            )


def _tree(args: argparse.Namespace) -> int:
    from .interchange import tree

    _refuse_crono(args.file)
    tree(args.file, show_arrays=args.details)
    return 0


def _refuse_crono(location: Path | str) -> None:
    if not is_url(location) and location.suffix.lower() in CRONO_SUFFIXES:
        raise ParameterError(f"{location} is no zipstore by its name; try: maxrf report FILE")


def _check(args: argparse.Namespace) -> int:
    _refuse_crono(args.file)
    with _stop_on_signals() as stop:
        from .check import check_zipstore

        name = args.file if is_url(args.file) else args.file.name
        with _reporting(name, args.progress, stop) as report:
            found = check_zipstore(args.file, source=args.source, progress=report)
    _tell(found, as_json=args.progress == "json")
    return 0 if found.is_whole else 1


def _tell(found: CheckReport, *, as_json: bool) -> None:
    """Print what a check found: the result, and before it faults and notes, a line each."""
    if as_json:
        ends_as = "result" if found.is_whole else "error"
        lists = {"faults": list(found.faults), "notes": list(found.notes)}
        _write_json({ends_as: found.summary, **lists})
        return
    for note in found.notes:
        print(f"maxrf: note: {note}", file=sys.stderr)
    for fault in found.faults:
        print(f"maxrf: fault: {fault}", file=sys.stderr)
    print(found.summary, file=sys.stdout if found.is_whole else sys.stderr)


def _report(args: argparse.Namespace) -> int:
    from .report import report

    print(report(args.file))
    return 0


def _simulate(args: argparse.Namespace) -> int:
    with _stop_on_signals() as stop:
        from .progress import Progress
        from .simulation import simulate_crono

        with _reporting(args.file.name, args.progress, stop) as report:
            simulate_crono(
                args.file,
                shape=args.shape,
                seed=args.seed,
                phantom=args.phantom,
                counts_per_spectrum=args.counts,
                lag=args.lag,
                compression="gzip" if args.gzip else None,
                overwrite=args.overwrite,
                progress=lambda done, total: report(Progress("simulate", done, total)),
            )
    _announce(args.file, args.progress)
    return 0


def _demo(args: argparse.Namespace) -> int:
    app = None if args.prepare else _dashboard_folder()
    with _stop_on_signals() as stop:
        from .demo import demo_scan

        with _reporting("the demo scan", args.progress, stop) as report:
            zipstore = demo_scan(progress=report)
    if app is None:
        _announce(zipstore, args.progress)
        return 0
    args.paths = [zipstore]
    return _run_server(panel_command(args, app), args.num_procs)


def _serve(args: argparse.Namespace) -> int:
    _check_paths(args.paths)
    if args.show and args.num_procs != 1:
        raise ParameterError(
            "--show opens a browser for each process; leave it out, or --num-procs."
        )
    return _run_server(panel_command(args, _dashboard_folder()), args.num_procs)


def _check_paths(locations: Sequence[Path | str]) -> None:
    """Refuse paths and URLs that hold no scan, all at once."""
    faults = []
    for location in locations:
        if is_url(location):
            faults += _faults_of_url(location)
        elif not location.exists():
            faults.append(f"there is no file or folder {location}; check the name.")
        elif not (
            location.is_dir() or location.suffix.lower() in (ZIPSTORE_SUFFIX, *CRONO_SUFFIXES)
        ):
            faults.append(
                f"{location} cannot be shown; expected a folder, a {ZIPSTORE_SUFFIX} or a Crono "
                f"HDF5 file ({', '.join(CRONO_SUFFIXES)})."
            )
    if faults:
        raise ParameterError(" ".join(faults))


def _faults_of_url(url: str) -> list[str]:
    from .store import StoreReader

    try:
        StoreReader(url).close()
    except MaxrfError as error:
        return [str(error)]
    return []


# --- the server ---------------------------------------------------------------------------


def _dashboard_folder() -> Path:
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


def _run_server(command: list[str], num_procs: int) -> int:
    """Become the server; or, if it is several processes, stay and see that all of them end."""
    sys.stdout.flush()
    if os.name == "nt":  # execv would give the prompt back while the server runs on
        return subprocess.run(command, check=False).returncode  # noqa: S603 - our own command
    if num_procs == 1:
        _become(command)
    # SIGTERM to a server of several processes leaves its workers running, holding the port; so
    # does a worker that cannot start. Hence a process group, which is always stopped whole.
    server = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - our own command
    with _on_signals(lambda *_: _stop_group(server.pid)):
        code = server.wait()
        _stop_group(server.pid)
    return 0 if code == -signal.SIGTERM else code


def _stop_group(leader: int) -> None:
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(leader, signal.SIGTERM)


def _become(command: list[str]) -> NoReturn:
    os.execv(command[0], command)  # noqa: S606 - our own command


_COMMANDS = {
    "convert": _convert,
    "check": _check,
    "tree": _tree,
    "report": _report,
    "demo": _demo,
    "serve": _serve,
    "simulate": _simulate,
}
