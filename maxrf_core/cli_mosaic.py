"""``maxrf mosaic``: its options, and what it hands to `make_mosaic`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import OutputError, ParameterError
from .location import is_url
from .schema import ZIPSTORE_SUFFIX

if TYPE_CHECKING:
    from .mosaic import Mosaic
    from .progress import Progress

__all__ = ["MOSAIC", "add_mosaic", "mosaic", "mosaic_target", "summary"]

MOSAIC = """\
Stitch the camera frames of a Crono scan into one picture that lies on its map, and print its path.

Frames are video, stamped in the detector's clock; each is laid where the head was then. Pixel
size, orientation and delay of the camera are measured by the overlap of the frames, and told
in a line on the standard error stream. Writes NAME.mosaic.png beside the scan, a picture with its
motor coordinates in it, as the plots show the object; the scan itself is only read. The file
appears when it is whole; Ctrl-C stops and leaves nothing behind (exit code 130).

The camera looks beside the X-ray spot by a shift that the file does not tell: read it off one
place that is seen in mosaic and map, and give it with --shift.

This was tried on simulated scans only, not on a real one.

example:
  maxrf mosaic scan.HDF5
  maxrf mosaic scan.HDF5 --output pictures/scan.png --step 50
"""


def add_mosaic(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, but for those that all commands share."""
    add = parser.add_argument
    add("file", metavar="SCAN", type=Path, help="a Crono HDF5 file with camera frames")
    add(
        "--output",
        metavar="PATH",
        type=Path,
        help="PNG to write, or an existing folder for it (default: beside the scan)",
    )
    add(
        "--step",
        metavar="STEPS",
        type=float,
        help="motor steps of a pixel of the picture (default: those of the camera's pixel)",
    )
    add(
        "--shift",
        metavar=("X", "Y"),
        nargs=2,
        type=float,
        help="motor steps by which the camera looks beside the X-ray spot (default: 0 0)",
    )


def mosaic_target(file: Path, output: Path | None) -> Path:
    """Return the path of the picture to write.

    Raises
    ------
    ParameterError
        If the scan is no Crono file by its name, or the picture no PNG.
    """
    if is_url(str(file)) or file.suffix.lower() == ZIPSTORE_SUFFIX:
        raise ParameterError(
            f"{file} holds no camera frames; give the Crono HDF5 file that it was made from."
        )
    from .mosaic_file import mosaic_path

    name = mosaic_path(file)
    target = name if output is None else output / name.name if output.is_dir() else output
    if target.suffix.lower() != ".png":
        raise ParameterError(f"{target} is no name of a PNG; expected one that ends in .png.")
    return target


def mosaic(args: argparse.Namespace, *, progress: Callable[[Progress], None]) -> tuple[Path, str]:
    """Run the command.

    Parameters
    ----------
    args : Namespace
        Its arguments.
    progress : callable
        As in `make_mosaic`.

    Returns
    -------
    path : Path
        The picture written.
    summary : str
        What was measured, a line.

    Raises
    ------
    MaxrfError
        As `make_mosaic` and `write_mosaic`.
    """
    target = mosaic_target(args.file, args.output)
    if target.exists() and not args.overwrite:  # before the work, not after it
        raise OutputError(f"{target} exists already. Give --overwrite to replace it.")
    from .mosaic import make_mosaic
    from .mosaic_file import write_mosaic

    options: dict[str, Any] = {"step": args.step, "progress": progress}
    if args.shift is not None:
        options["shift"] = tuple(args.shift)
    made = make_mosaic(args.file, **options)
    return write_mosaic(made, target, overwrite=args.overwrite), summary(made)


def summary(mosaic: Mosaic) -> str:
    """Return what was measured of the camera, a line, and a line for each note."""
    about = mosaic.about
    along, down = about["pixel_steps"]
    turned = 90 * about["quarter_turns"] + about["angle_degrees"]
    delay = 1000 * about["delay"]
    late = f"{abs(delay):.1f} ms {'late' if delay >= 0 else 'early'}"
    measured = {
        "overlap": f"measured on {about['pairs']} pairs of frames",
        "rows": f"measured on {about['pairs']} pairs of frames, along the rows only",
        "hint": "not measured",
    }[about["measured"]]
    text = (
        f"{about['used']} of {about['frames']} frames; a pixel is {along:.4g} x {down:.4g} motor "
        f"steps, turned by {turned:.4g} degrees{', mirrored' if about['mirrored'] else ''}, stamps "
        f"{late} ({measured})."
    )
    skipped = [f"{count} frames left out: {why}." for why, count in about["skipped"].items()]
    return "\n".join([text, *skipped, *about["notes"]])
