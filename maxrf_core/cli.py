"""The command line: ``maxrf convert | check | export | mosaic | tree | report | demo | ...``.

Only light modules are imported at the top; a command imports what it needs when it runs, so
that `maxrf --help` is instant. Panel is never imported: `serve` starts it as a program.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import build_parser
from .cli_server import dashboard_folder as _dashboard_folder
from .cli_server import panel_command
from .cli_server import run_server as _run_server
from .cli_signals import stop_on_signals as _stop_on_signals
from .errors import ConversionCancelled, MaxrfError, ParameterError
from .file_names import ignores_case
from .location import is_url
from .plain_text import printable, printable_lines
from .schema import CRONO_SUFFIXES, CUBE_SUFFIXES, SCAN_SUFFIXES, ZIPSTORE_SUFFIX

if TYPE_CHECKING:
    from distributed import Client

    from .check_report import CheckReport
    from .progress import Progress

    Report = Callable[[Progress], None]

__all__ = ["main", "panel_command"]

INTERRUPTED = 128 + 2  # what a shell gives for a program that SIGINT ended
PIPE_CLOSED = 128 + 13  # likewise SIGPIPE


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
    notes = logging.StreamHandler()
    notes.setFormatter(_WithoutCommands("maxrf: note: %(message)s"))
    logging.basicConfig(handlers=[notes])
    _let_any_text_through()
    as_json = getattr(args, "progress", None) == "json"
    try:
        try:
            code = args.run(args)
            sys.stdout.flush()
        except MaxrfError as error:
            _complain(error, as_json=as_json)
            return INTERRUPTED if isinstance(error, ConversionCancelled) else 1
        except BrokenPipeError:
            raise
        except OSError as error:  # of a share that went away, where no sentence of ours says more
            _complain(_of_the_system(error), as_json=as_json)
            return 1
        except KeyboardInterrupt:
            if as_json:
                _write_json({"error": "stopped by Ctrl-C."})
            return INTERRUPTED
    except BrokenPipeError:
        # Python flushes once more on exit, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return code


def _of_the_system(error: OSError) -> MaxrfError:
    place = f" at {error.filename}" if error.filename else ""
    return MaxrfError(
        f"the system failed{place} ({error.strerror or error}). What stood there is as it was; "
        "check the disk or the network share, and run the command again."
    )


def _let_any_text_through() -> None:
    """Print names that are no proper text as their bytes, and what has no code as ``?``."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        unicode = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="surrogateescape" if unicode else "replace")


class _WithoutCommands(logging.Formatter):
    """Writes notes, in which the names of files command no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


def _complain(error: MaxrfError, *, as_json: bool) -> None:
    print(f"maxrf: error: {printable_lines(str(error))}", file=sys.stderr)
    if as_json:
        _write_json({"error": str(error)})


def _write_json(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


# --- long jobs ----------------------------------------------------------------------------


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
        # Other programs get the name as it is; a terminal gets none that could command it.
        print(printable(path) if sys.stdout.isatty() else path)


# --- commands -----------------------------------------------------------------------------


def _convert(args: argparse.Namespace) -> int:
    _check_outputs(args.files, args.output)
    failed = False
    with _stop_on_signals() as stop, _cluster(args.scheduler) as client:
        for file in args.files:
            try:
                with _reporting(file.name, args.progress, stop) as report:
                    zipstore = _convert_one(file, args, report, stop, client)
            except ConversionCancelled:
                raise
            except MaxrfError as error:
                _complain(error, as_json=args.progress == "json")
                failed = True
            else:
                _announce(zipstore, args.progress)
    return 1 if failed else 0


def _convert_one(
    file: Path,
    args: argparse.Namespace,
    report: Report,
    stop: threading.Event,
    client: Client | None,
) -> str:
    """Convert a Crono scan, or a cube of another program, and return the zipstore's path."""
    from .conversion import convert_crono
    from .imports import import_scan
    from .interpolation import DEFAULT_METHOD

    options = {
        "output": args.output,
        "sigma": args.sigma,
        "orientation": args.orientation,
        "cubes": not args.lean,
        "overwrite": args.overwrite,
        "memory_limit": args.memory_limit,
        "progress": report,
        "cancel": stop,
    }
    if file.suffix.lower() in CUBE_SUFFIXES:
        return import_scan(file, **_import_options(args), **options)
    if args.calibration is not None:
        raise ParameterError(
            f"--calibration has no meaning for {file}, a Crono scan, which names its energies. "
            "Leave it out; the page calibrates on lines that you know."
        )
    from .probe import probe_crono

    probe_crono(file, cancel=stop)
    return convert_crono(
        file,
        method=args.method or DEFAULT_METHOD,
        spacing=args.spacing,
        lag=args.lag,
        client=client,
        **options,
    )


def _import_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options for a cube of cells; refuse those for a raster of spectra."""
    for name, meaningless in (
        ("spacing", args.spacing != "vendor"),
        ("lag", args.lag not in ("auto", 0)),
        ("scheduler", args.scheduler is not None),
    ):
        if meaningless:
            raise ParameterError(
                f"--{name} has no meaning for a cube (.rpl, .raw, .datastack), which has one "
                "spectrum for each cell already. Leave it out."
            )
    given = {"method": args.method, "calibration": args.calibration}
    return {name: value for name, value in given.items() if value is not None}


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
        folder = (output or file.parent).resolve()
        target = folder / file.stem
        key = folder / file.stem.casefold() if ignores_case(folder) else target
        if targets.setdefault(key, file).resolve() != file.resolve():
            raise ParameterError(
                f"{targets[key]} and {file} would both be written to "
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
        from .probe import probe_crono

        if args.source is not None:
            probe_crono(args.source, cancel=stop)
        name = args.file if is_url(args.file) else args.file.name
        with _reporting(name, args.progress, stop) as report:
            found = check_zipstore(args.file, source=args.source, progress=report)
            mended: list[str] = []
            if args.repair:
                from .mending import mend

                _tell_faults(found, as_json=args.progress == "json")
                mended = mend(args.file, found, progress=report)
                if mended:
                    found = check_zipstore(args.file, source=args.source, progress=report)
    can_repair = not (args.repair or is_url(args.file))
    _tell(found, mended, can_repair=can_repair, as_json=args.progress == "json")
    return 0 if found.is_whole else 1


def _tell(found: CheckReport, mended: Sequence[str], *, can_repair: bool, as_json: bool) -> None:
    """Print what a check found: the result, and before it faults and notes, a line each."""
    if as_json:
        ends_as = "result" if found.is_whole else "error"
        lists = {"faults": list(found.faults), "notes": list(found.notes)}
        if mended:
            lists["repaired"] = list(mended)
        _write_json({ends_as: found.summary, **lists})
        return
    for sentence in mended:
        print(f"maxrf: repaired: {printable_lines(sentence)}", file=sys.stderr)
    for note in found.notes:
        print(f"maxrf: note: {printable_lines(note)}", file=sys.stderr)
    _tell_faults(found, as_json=False)
    if can_repair and not found.is_whole:
        print("maxrf: note: --repair makes anew what can be derived.", file=sys.stderr)
    print(printable_lines(found.summary), file=sys.stdout if found.is_whole else sys.stderr)


def _tell_faults(found: CheckReport, *, as_json: bool) -> None:
    for fault in () if as_json else found.faults:
        print(f"maxrf: fault: {printable_lines(fault)}", file=sys.stderr)


def _export(args: argparse.Namespace) -> int:
    with _stop_on_signals() as stop:
        from .cli_export import export

        with _reporting(args.output.name, args.progress, stop) as report:
            path = export(args, progress=report, cancel=stop)
    _announce(path, args.progress)
    return 0


def _mosaic(args: argparse.Namespace) -> int:
    with _stop_on_signals() as stop:
        from .cli_mosaic import mosaic

        with _reporting(args.file.name, args.progress, stop) as report:
            path, summary = mosaic(args, progress=report)
    print(printable_lines(summary), file=sys.stderr)
    _announce(path, args.progress)
    return 0


def _report(args: argparse.Namespace) -> int:
    from .probe import report_apart

    print(report_apart(args.file), end="")
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
                camera=args.camera,
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
    if os.name == "nt" and args.num_procs != 1:
        raise ParameterError(
            "--num-procs needs a system that forks processes, and Windows does not; leave it out."
        )
    return _run_server(panel_command(args, _dashboard_folder()), args.num_procs)


def _user(args: argparse.Namespace) -> int:
    from .cli_users import user

    print(user(args))
    return 0


def _check_paths(locations: Sequence[Path | str]) -> None:
    """Refuse paths and URLs that hold no scan, all at once."""
    faults = []
    for location in locations:
        if is_url(location):
            faults += _faults_of_url(location)
        elif not location.exists():
            faults.append(f"there is no file or folder {location}; check the name.")
        elif not location.is_dir() and location.suffix.lower() not in SCAN_SUFFIXES:
            faults.append(
                f"{location} cannot be shown; expected a folder, a {ZIPSTORE_SUFFIX}, a Crono "
                f"HDF5 file ({', '.join(CRONO_SUFFIXES)}) or a cube ({', '.join(CUBE_SUFFIXES)})."
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


_COMMANDS = {
    "convert": _convert,
    "check": _check,
    "export": _export,
    "mosaic": _mosaic,
    "tree": _tree,
    "report": _report,
    "demo": _demo,
    "serve": _serve,
    "simulate": _simulate,
    "user": _user,
}
