"""``maxrf export``: its options, and what it hands to `export_scan`."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ParameterError
from .export_kinds import EXPORT_KINDS
from .location import is_url, path_or_url
from .schema import CRONO_SUFFIXES

if TYPE_CHECKING:
    from .crono import Roi
    from .progress import Progress
    from .scan import Scan

__all__ = ["EXPORT", "add_export", "export"]

EXPORT = """\
Write maps, spectra or the cube of a scan as a file for another program, and print its path. The
file's ending tells what to write; where it stands for several kinds, the first is meant, or name
another with --kind. An option without meaning for a kind is refused.

{kinds}

Maps are of the energy windows named with --window and --element, or else of the file's own
regions of interest. The file appears when it is whole; Ctrl-C stops and leaves nothing behind
(exit code 130).

example:
  maxrf export scan.zipstore maps.tif
  maxrf export scan.zipstore iron.png --element Fe --mm-per-step 0.001
  maxrf export scan.zipstore maps.csv --element "Pb La" --window Compton 18.2 19.5 --errors
  maxrf export scan.zipstore cube.h5 --energies 1 20 --binning 2
  maxrf export scan.zipstore spectra.nxs --kind nexus-spectra
""".format(
    kinds="\n".join(
        f"  {kind.name:<15}{' '.join(kind.suffixes):<20}{kind.label}" for kind in EXPORT_KINDS
    )
)

_LATER = ("kind", "method", "lag", "sigma", "energies", "binning", "orientation", "background")
_LATER += ("per_second", "errors", "mm_per_step", "colour_map", "clip", "beam_kev", "crono")
"""Options that are handed on as they are, when given."""


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, but for those that all commands share."""
    add = parser.add_argument
    add("scan", metavar="SCAN", type=path_or_url, help="a zipstore, or its URL")
    add("output", metavar="OUT", type=Path, help="the file to write")
    add("--kind", choices=[kind.name for kind in EXPORT_KINDS], help="what to write, see above")
    add(
        "--method",
        choices=("selected", "nearest", "linear", "kriging"),
        help="interpolation of maps and cubes (default: the one that the scan was converted with)",
    )
    add(
        "--lag",
        metavar="PERIODS",
        type=float,
        help="by how many spectra the exposures are later than their positions: corrected in maps "
        "and cubes; 0 corrects nothing (default: as converted)",
    )
    add("--sigma", metavar="CHANNELS", type=float, help="Gaussian smoothing (default: none)")
    add(
        "--window",
        metavar=("NAME", "LOW", "HIGH"),
        dest="windows",
        nargs=3,
        action="append",
        default=[],
        help="a map of the channels from LOW up to HIGH keV; may be repeated",
    )
    add(
        "--element",
        metavar="LINE",
        dest="elements",
        action="append",
        default=[],
        help="a map of an element's best line, such as Fe, or of a line, such as 'Pb La', as wide "
        "as the detector's resolution there; may be repeated",
    )
    add(
        "--background",
        choices=("none", "sides", "snip"),
        help="what is taken off a map for the background under the lines (default: none)",
    )
    add("--per-second", action="store_true", help="maps in counts per second of live time")
    add("--errors", action="store_true", help="with the standard error of each map")
    add(
        "--energies",
        metavar=("LOW", "HIGH"),
        nargs=2,
        type=float,
        help="channels of a cube, or of spectra as measured, in keV (default: all)",
    )
    add(
        "--binning",
        metavar="N",
        type=int,
        help="channels summed into one, for programs that hold all in memory (default: 1)",
    )
    add(
        "--orientation",
        choices=("image", "motor"),
        help="row 0 has the largest y, as in a picture, or the smallest (default: image; motor "
        "for .npy)",
    )
    add(
        "--mm-per-step",
        metavar="MM",
        type=float,
        help="length of a motor step, for the resolution of a TIFF and the scale bar of a PNG; "
        "Crono files do not tell it",
    )
    add(
        "--colour-map",
        choices=("viridis", "cividis", "inferno", "magma", "gray"),
        help="of a PNG (default: viridis)",
    )
    add(
        "--clip",
        metavar=("LOW", "HIGH"),
        nargs=2,
        type=float,
        help="percentiles of the cells that take the end colours of a PNG (default: 0 99.5)",
    )
    add("--beam-kev", metavar="KV", type=float, help="voltage of the tube, for eXSpy (.hspy)")
    add(
        "--crono",
        metavar="FILE",
        type=Path,
        help="the Crono HDF5 file that nexus-links points at (default: beside the scan)",
    )


def export(
    args: argparse.Namespace, *, progress: Callable[[Progress], None], cancel: threading.Event
) -> str:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        Its arguments.
    progress, cancel
        As in `export_scan`.

    Returns
    -------
    path : str
        The file written.

    Raises
    ------
    MaxrfError
        As `open_scan` and `export_scan`.
    """
    if not is_url(args.scan) and args.scan.suffix.lower() in CRONO_SUFFIXES:
        raise ParameterError(f"{args.scan} is a Crono file; first: maxrf convert {args.scan}")
    from .exports import export_scan
    from .scan import open_scan

    given = {name: getattr(args, name) for name in _LATER}
    # what was not given is left to export_scan, which knows its defaults
    options: dict[str, Any] = {
        name: value for name, value in given.items() if value is not None and value is not False
    }
    with open_scan(args.scan) as scan:
        if windows := _windows(scan, args.windows, args.elements):
            options["windows"] = windows
        return export_scan(
            scan,
            args.output,
            overwrite=args.overwrite,
            progress=progress,
            cancel=cancel,
            **options,
        )


def _windows(scan: Scan, windows: list[list[str]], elements: list[str]) -> list[Roi]:
    """Return the energy windows named, then those of the elements' lines."""
    from .crono import Roi

    found = []
    for name, low, high in windows:
        try:
            found.append(Roi(name, float(low), float(high)))
        except ValueError as error:
            raise ParameterError(
                f"--window {name} {low} {high} names no energies; expected a name and two numbers "
                "in keV, such as --window Fe 6.2 6.6"
            ) from error
    return found + (_lines(scan, elements) if elements else [])


def _lines(scan: Scan, texts: list[str]) -> list[Roi]:
    """Return the windows of emission lines, each an element's best unless it is named."""
    from .crono import Roi
    from .elements import best_line, find_line, line_window
    from .resolution import fit_resolution

    energies, total = scan.energies, scan.total_spectrum
    resolution = fit_resolution(energies, total)
    found = []
    for text in texts:
        element, group = find_line(text)
        group = group or best_line(element.symbol, energies, total, resolution)
        low, high = line_window(element.symbol, group.line, resolution)
        found.append(Roi(group.name, round(low, 3), round(high, 3)))  # as the page rounds them
    return found
