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
    parser = _parser()
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
    if args.num_procs != 1:
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


# --- arguments ----------------------------------------------------------------------------

_DESCRIPTION = """\
Every spectrum of a macro X-ray fluorescence scan, as a regular cube and a live page.

  maxrf demo                    look at the page with a simulated scan
  maxrf convert SCAN.HDF5       make a zipstore of a Crono scan
  maxrf serve SCAN.zipstore     look at it in the browser
"""

_CONVERT = """\
Convert Crono HDF5 scans to zipstores, which the page and notebooks open.

Writes NAME.zipstore beside each scan and prints its path. The zipstore holds all spectra, the
interpolation to a regular grid, and, unless --lean, the arrays maxrf_all_spectra and maxrf_cube
that other programs read. It appears when it is whole; the scan itself is only read. A zipstore
made from the same scan with the same options is left as it is.

Ctrl-C or SIGTERM stops after the block at work and leaves nothing behind (exit code 130).
With several scans, one that fails does not stop the others (exit code 1 at the end).

example:
  maxrf convert scan.HDF5
  maxrf convert *.HDF5 --output converted --lean --method linear
"""

_TREE = """\
Print names, shapes and dtypes of the arrays in a zipstore. Writes nothing.

example:
  maxrf tree scan.zipstore
"""

_REPORT = """\
Print what a Crono HDF5 file holds: its origin, the scan in a line, every dataset and attribute,
and what is wrong with it. Writes nothing; works for damaged files, too.

example:
  maxrf report scan.HDF5 | less
"""

_DEMO = """\
Make the demo scan, a simulated drawing in metal-gall ink and pigments, and show it in the browser.

Writes 35 MB to the cache folder (environment variable MAXRF_CACHE; by default the system's),
the first time only: it takes some seconds. Ctrl-C stops the server.

example:
  maxrf demo
  maxrf demo --prepare
"""

_SERVE = """\
Serve the page with these scans: zipstores, Crono HDF5 files, or folders of them. Without PATHs
it shows the demo scan. Ctrl-C or SIGTERM stops it. The server writes its log to the terminal;
Crono files are converted, which writes a zipstore beside them, only when a visitor asks for it.

Only browsers on this computer can connect. To let others in, give an --address of this computer
and the name that they type as --allow-websocket-origin. There is no password: anybody who
reaches the port sees the scans. Put a web server with TLS and a login in front where that matters.

--num-procs shares the visitors between processes that all read the same files. This program
then stays as their parent and stops all of them; do not kill it with SIGKILL.

example:
  maxrf serve scan.zipstore --show
  maxrf serve scans --address 0.0.0.0 --allow-websocket-origin lab-server:5006
"""

_SIMULATE = """\
Simulate a scan of a painting whose composition is known, and write it as the Crono instrument
would: an HDF5 file that maxrf convert takes. Uncompressed it has 8 kB a spectrum. Equal
arguments make equal spectra.

example:
  maxrf simulate made-up.HDF5 --shape 85x37 --seed 7
  maxrf convert made-up.HDF5
"""

_PROGRESS = """how to tell progress: a bar for each stage on the standard error stream; json, for
programs, one object a line on the standard output, {"stage", "done", "total"}, and at the end
{"result": path} or {"error": sentence} for each file; or none (default: bar on a terminal, else
none)"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maxrf",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="maxrf COMMAND --help tells more of each.",
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], description: str, summary: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run)
        return added

    _add_convert(command("convert", _convert, _CONVERT, "make zipstores of Crono scans"))
    tree = command("tree", _tree, _TREE, "list the arrays of a zipstore")
    tree.add_argument("file", metavar="FILE", type=Path, help="a zipstore, or any zarr zip")
    tree.add_argument("--details", action="store_true", help="print chunks and attributes, too")
    report = command("report", _report, _REPORT, "describe a Crono file and its faults")
    report.add_argument("file", metavar="FILE", type=Path, help="a Crono HDF5 file")
    _add_demo(command("demo", _demo, _DEMO, "show a simulated scan in the browser"))
    _add_serve(command("serve", _serve, _SERVE, "show scans in the browser"))
    _add_simulate(command("simulate", _simulate, _SIMULATE, "write a scan of known truth"))
    return parser


def _add_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", metavar="FILE", type=Path, nargs="+", help="Crono HDF5 scans")
    add(
        "--output",
        metavar="PATH",
        type=Path,
        help="zipstore to write, or an existing folder for it (default: beside the scan)",
    )
    add(
        "--method",
        choices=("selected", "nearest", "linear", "kriging"),
        default="kriging",
        help="interpolation of the cube, and the one that maps start with; selected takes the "
        "instrument's one spectrum a cell, as cronomaxrf does (default: %(default)s)",
    )
    add(
        "--sigma",
        metavar="CHANNELS",
        type=float,
        default=7.0,
        help="Gaussian smoothing of maxrf_all_spectra and maxrf_cube, 0 for none; the page "
        "smooths the raw counts as you like (default: %(default)s, as cronomaxrf does)",
    )
    add(
        "--spacing",
        metavar="vendor|square|NUMBER|DX,DY",
        type=_spacing,
        default="vendor",
        help="cells of the regular grid: the instrument's own, square ones, or a pitch in motor "
        "steps, for both axes or x and y (default: %(default)s)",
    )
    add(
        "--orientation",
        choices=("motor", "vendor", "image"),
        default="motor",
        help="rows and columns of maxrf_cube: growing with motor y and x, as in the instrument's "
        "selection, or with the largest y first as in a picture (default: %(default)s)",
    )
    add("--lean", action="store_true", help="leave the large arrays maxrf_all_spectra and "
        "maxrf_cube out; get_array computes them when asked")  # fmt: skip
    _add_overwrite(parser)
    add(
        "--memory-limit",
        metavar="SIZE",
        default="1 GiB",
        help="memory for blocks of spectra, such as 512MiB (default: %(default)s)",
    )
    _add_progress(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(address="127.0.0.1", allow_websocket_origin=[], num_procs=1)
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="only make the demo scan, and print the path of its zipstore",
    )
    _add_port(parser)
    _add_show(parser, default=True)
    _add_progress(parser)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", metavar="PATH", type=Path, nargs="*", help="zipstores, Crono files, folders")
    _add_port(parser)
    add(
        "--address",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 is all of this computer's (default: %(default)s, "
        "this computer only)",
    )
    add(
        "--allow-websocket-origin",
        metavar="HOST[:PORT]",
        action="append",
        default=[],
        help="a name under which browsers may open the page, as in their address bar; may be "
        "repeated (default: localhost and 127.0.0.1)",
    )
    add(
        "--num-procs",
        metavar="N",
        type=_count,
        default=1,
        help="processes, 0 for one a core; not on Windows (default: %(default)s)",
    )
    _add_show(parser, default=False)


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", type=Path, help="HDF5 file to write")
    add(
        "--shape",
        metavar="ROWSxCOLUMNS",
        type=_shape,
        default=(85, 37),
        help="cells of the map; a row has some 13 spectra more than columns (default: 85x37)",
    )
    add("--seed", type=int, default=0, help="of the raster and the counts (default: %(default)s)")
    add(
        "--phantom",
        choices=("manuscript", "constant", "gradient"),
        default="manuscript",
        help="what lies under the head (default: %(default)s)",
    )
    add(
        "--counts",
        metavar="N",
        type=float,
        default=600.0,
        help="mean counts of a spectrum (default: %(default)s)",
    )
    add(
        "--lag",
        metavar="PERIODS",
        type=float,
        default=0.0,
        help="how much later than its recorded position a spectrum is taken, in periods of "
        "60 ms; not 0, it makes the zigzag (default: %(default)s)",
    )
    add("--gzip", action="store_true", help="compress the spectra, to about a tenth")
    _add_overwrite(parser)
    _add_progress(parser)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def _add_progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--progress", choices=("bar", "json", "none"), help=_PROGRESS)


def _add_port(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=_port, default=5006, help="port to listen on (default: %(default)s)"
    )


def _add_show(parser: argparse.ArgumentParser, *, default: bool) -> None:
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


class _Version(argparse.Action):
    """Print the version; it is looked up only when asked for, as that takes a while."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('maxrf-dashboard')}")
        parser.exit()


def _spacing(text: str) -> str | float | tuple[float, float]:
    if text in ("vendor", "square"):
        return text
    try:
        first, *others = [float(part) for part in text.split(",")]
    except ValueError:
        others = [0.0, 0.0]  # refused below, as three numbers are
    if len(others) > 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither vendor nor square nor one or two numbers such as 500 or 1000,500"
        )
    return (first, others[0]) if others else first


def _shape(text: str) -> tuple[int, int]:
    rows, by, columns = text.lower().partition("x")
    if not (by and rows.isdecimal() and columns.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape such as 85x37 (rows x columns)")
    return int(rows), int(columns)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port, 1 to 65535 (0 takes a free one)")
    return int(text)
