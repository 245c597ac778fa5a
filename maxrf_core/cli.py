"""The command line: ``maxrf convert | tree | report | demo | serve | simulate``.

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
from .schema import CRONO_SUFFIXES, ZIPSTORE_SUFFIX

if TYPE_CHECKING:
    from types import FrameType

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
    with progress_bar(shown, title) as show:

        def report(message: Progress) -> None:
            if stop.is_set():
                raise ConversionCancelled(f"{title}: stopped; nothing was left behind.")
            try:
                show(message)
            except BrokenPipeError as error:
                # An OSError here would be taken for a failed write of the file.
                raise ConversionCancelled(f"{title}: nobody reads the progress.") from error

        yield report


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
    with _stop_on_signals() as stop:
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
                        cubes=not args.lean,
                        overwrite=args.overwrite,
                        memory_limit=args.memory_limit,
                        progress=report,
                        cancel=stop,
                    )
            except ConversionCancelled:
                raise
            except MaxrfError as error:
                _complain(error, as_json=args.progress == "json")
                failed = True
            else:
                _announce(zipstore, args.progress)
    return 1 if failed else 0


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

    if args.file.suffix.lower() in CRONO_SUFFIXES:
        raise ParameterError(f"{args.file} is no zipstore by its name; try: maxrf report FILE")
    tree(args.file, show_arrays=args.details)
    return 0


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


def _check_paths(paths: Sequence[Path]) -> None:
    """Refuse paths that hold no scan, all at once."""
    faults = []
    for path in paths:
        if not path.exists():
            faults.append(f"there is no file or folder {path}; check the name.")
        elif not (path.is_dir() or path.suffix.lower() in (ZIPSTORE_SUFFIX, *CRONO_SUFFIXES)):
            faults.append(
                f"{path} cannot be shown; expected a folder, a {ZIPSTORE_SUFFIX} or a Crono "
                f"HDF5 file ({', '.join(CRONO_SUFFIXES)})."
            )
    if faults:
        raise ParameterError(" ".join(faults))


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
        command += ["--args", *(str(path.absolute()) for path in args.paths)]
    return command


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
    "tree": _tree,
    "report": _report,
    "demo": _demo,
    "serve": _serve,
    "simulate": _simulate,
}
