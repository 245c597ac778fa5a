"""What the command line accepts, and the help that teaches it.

Defaults and choices are written out, so that help needs no heavy import; a test holds them
equal to those of the functions behind.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from .cli_export import EXPORT, add_export
from .cli_mosaic import MOSAIC, add_mosaic
from .cli_server import SERVE, SERVED_ALONE, add_port, add_serve, add_show
from .cli_users import USER, add_user
from .location import path_or_url

__all__ = ["build_parser"]

Command = Callable[[argparse.Namespace], int]

_DESCRIPTION = """\
Every spectrum of a macro X-ray fluorescence scan, as a regular cube and a live page.

  maxrf demo                    look at the page with a simulated scan
  maxrf convert SCAN.HDF5       make a zipstore of a Crono scan
  maxrf serve SCAN.zipstore     look at it in the browser
  maxrf export SCAN.zipstore maps.tif
                                write maps, spectra or the cube for other programs
"""

_CONVERT = """\
Convert Crono HDF5 scans to zipstores, which the page and notebooks open; or cubes of other
programs and scanners: .rpl with its .raw beside it (Bruker's, too), and .datastack.

Writes NAME.zipstore beside each scan and prints its path. The zipstore holds all spectra, the
interpolation to a regular grid, and, unless --lean, the arrays maxrf_all_spectra and maxrf_cube
that other programs read. It appears when it is whole; the scan itself is only read. A zipstore
made from the same scan with the same options is left as it is.

Ctrl-C or SIGTERM stops after the block at work and leaves nothing behind (exit code 130).
A run that was killed, or lost its power, leaves an unfinished file, hidden beside the zipstore:
give the same command again, and it goes on where it was, to the same result.
With several scans, one that fails does not stop the others (exit code 1 at the end).

A cube has to hold the counts as they were measured. Each of its cells keeps its own spectrum
unless --method says otherwise; row 0 is the top of the picture, and cells are 1000 motor steps
apart. It has neither live times nor regions of interest. The counts, 2 bytes each, take room
beside the zipstore until that is made.

With --scheduler the work is done by the workers of a dask cluster, one scan after the other, and
packed into the zipstore here. Scan and output have to lie on a file system that this computer and
all workers see under the same path, and the same version of this program has to be installed
there. A task takes one thread of a worker and up to twice --memory-limit.

example:
  maxrf convert scan.HDF5
  maxrf convert *.HDF5 --output converted --lean --method linear
  maxrf convert /shared/scan.HDF5 --scheduler tcp://10.0.0.5:8786
  maxrf convert m6.rpl --calibration -0.956 0.010002
"""

_CHECK = """\
Check that a zipstore is whole: that all its arrays and chunks are there, every checksum holds,
and the counts by spectrum, by channel and cumulative, their totals and maxima, positions and
interpolation agree. What it has of the float arrays is computed anew: all of maxrf_all_spectra,
and 64 tiles of maxrf_cube. With --source all of it is held against the Crono scan. What is kept
beside it (NAME.maxrf.json) is read, too. Writes nothing, unless --repair.

--repair makes what is damaged anew: counts by channel from those by spectrum and the other way
round, all that is added up from them, the interpolation, the float arrays, and the zip's own
directory. It writes a new file beside the old one, checks it, and only then puts it in its place;
if that cannot be done, the old file stays as it was. Counts are never made up: spectra that no
table has any more are named. What beside the scan cannot be used is renamed to
NAME.maxrf.json.damaged, and what of it can be used is kept; what killed runs left
beside it more than a day ago is removed.

Prints one line and ends with exit code 0 if all is well; else it prints the first 20 faults, a
line each, and ends with 1.

example:
  maxrf check scan.zipstore
  maxrf check scan.zipstore --source scan.HDF5
  maxrf check scan.zipstore --repair
"""

_TREE = """\
Print names, shapes and dtypes of the arrays in a zipstore. Writes nothing.

example:
  maxrf tree scan.zipstore
  maxrf tree https://example.org/scans/scan.zipstore
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


def build_parser(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Parameters
    ----------
    run : mapping of str to callable
        The function of each command; parsed arguments hold theirs as ``run``.
    """
    parser = argparse.ArgumentParser(
        prog="maxrf",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="maxrf COMMAND --help tells more of each.",
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, description: str, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(run=run[name])
        return added

    _add_convert(command("convert", _CONVERT, "make zipstores of Crono scans"))
    check = command("check", _CHECK, "verify a zipstore")
    _add_location(check, "a zipstore, a folder of its entries, or the URL of either")
    check.add_argument(
        "--source", metavar="SCAN", type=Path, help="the Crono HDF5 file that it was made from"
    )
    check.add_argument(
        "--repair", action="store_true", help="make anew what is damaged and can be derived"
    )
    _add_progress(check)
    export = command("export", EXPORT, "write files for other programs")
    add_export(export)
    _add_overwrite(export)
    _add_progress(export)
    mosaic = command("mosaic", MOSAIC, "stitch the camera frames of a Crono scan")
    add_mosaic(mosaic)
    _add_overwrite(mosaic)
    _add_progress(mosaic)
    tree = command("tree", _TREE, "list the arrays of a zipstore")
    _add_location(tree, "a zipstore, any zarr zip, a folder of such, or the URL of a zipstore")
    tree.add_argument("--details", action="store_true", help="print chunks and attributes, too")
    report = command("report", _REPORT, "describe a Crono file and its faults")
    report.add_argument("file", metavar="FILE", type=Path, help="a Crono HDF5 file")
    _add_demo(command("demo", _DEMO, "show a simulated scan in the browser"))
    add_serve(command("serve", SERVE, "show scans in the browser"))
    _add_simulate(command("simulate", _SIMULATE, "write a scan of known truth"))
    add_user(command("user", USER, "keep the names and passwords of a server"))
    return parser


def _add_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", metavar="FILE", type=Path, nargs="+", help="Crono HDF5 scans, or cubes")
    add(
        "--output",
        metavar="PATH",
        type=Path,
        help="zipstore to write, or an existing folder for it (default: beside the scan)",
    )
    add(
        "--method",
        choices=("selected", "nearest", "linear", "kriging"),
        help="interpolation of the cube, and the one that maps start with; selected takes the "
        "instrument's one spectrum a cell, as cronomaxrf does (default: kriging; selected for "
        "cubes, whose cells were measured one by one)",
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
    add(
        "--lag",
        metavar="auto|PERIODS",
        type=_lag,
        default="auto",
        help="by how many spectra the exposures are later than the positions recorded with them, "
        "which shifts even and odd rows against each other; auto finds it in the scan, and "
        "corrects it where it is significant (default: %(default)s)",
    )
    add(
        "--calibration",
        metavar=("ZERO", "GAIN"),
        nargs=2,
        type=float,
        help="of a cube: energy of channel 0 and width of a channel in keV, in the place of what "
        "its file says",
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
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="dask scheduler of the cluster to work on, such as tcp://10.0.0.5:8786, or its "
        "scheduler file (.json) (default: threads of this computer)",
    )
    _add_progress(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(**SERVED_ALONE)
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="only make the demo scan, and print the path of its zipstore",
    )
    add_port(parser)
    add_show(parser, default=True)
    _add_progress(parser)


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
        choices=(
            "manuscript",
            "constant",
            "gradient",
            "strokes",
            "washes",
            "periodic",
            "hotspots",
        ),
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
    add("--camera", action="store_true", help="with camera frames, for maxrf mosaic")
    _add_overwrite(parser)
    _add_progress(parser)


def _add_location(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("file", metavar="FILE", type=path_or_url, help=what)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def _add_progress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--progress", choices=("bar", "json", "none"), help=_PROGRESS)


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


def _lag(text: str) -> str | float:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither auto nor a number of periods"
        ) from None


def _shape(text: str) -> tuple[int, int]:
    rows, by, columns = text.lower().partition("x")
    if not (by and rows.isdecimal() and columns.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape such as 85x37 (rows x columns)")
    return int(rows), int(columns)
