"""Measure everything at several sizes: ``python -m tests.benchmarks``.

Prints a table of time, memory, bytes and ratios, with cronomaxrf 0.0.12 where it survives, and
on request draws the plot of cost against size. The file is in the page cache; conversions,
reads and the sums with dask run in processes of their own. A million spectra take 10 GB of
disk for the two scans and some minutes; --full there adds 7 GB.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from .growth import Options, measure_size, say, this_machine
from .measures import format_table, with_ratios
from .plot import plot_growth


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--sizes", default="15000,100000,1030000", help="spectra (%(default)s)")
    add(
        "--folder",
        type=Path,
        help="where simulated scans are looked for and stay, and results are written "
        "(a temporary folder)",
    )
    add("--repeats", type=int, default=3, help="runs of each conversion (%(default)s)")
    add("--count", type=int, default=200, help="windows and places read (%(default)s)")
    add(
        "--cube-cells",
        type=int,
        default=100_000,
        help="cells of the float cube that dask sums, at most (%(default)s)",
    )
    add("--full", action="store_true", help="write all five arrays at every size")
    add("--without-peer", dest="peer", action="store_false", help="leave cronomaxrf out")
    add("--without-page", dest="page", action="store_false", help="leave Chromium out")
    add("--environment", type=Path, help="where cronomaxrf is, or is installed")
    add("--keep", action="store_true", help="keep the converted scans in the folder")
    add("--plot", type=Path, help="write the plot of cost against size to this file")
    add("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(arguments)
    try:
        options.sizes = sorted({int(size) for size in options.sizes.split(",")})
    except ValueError:
        parser.error(f"--sizes is {options.sizes!r}, expected numbers such as 15000,100000")
    if options.sizes[0] < 100:
        parser.error(f"--sizes has {options.sizes[0]}, expected 100 spectra or more")
    if options.keep and options.folder is None:
        parser.error("--keep needs a --folder to keep them in")
    return options


def main(arguments: Sequence[str]) -> None:
    """Measure, print, draw."""
    asked = parse(arguments)
    options = Options(**{each.name: getattr(asked, each.name) for each in fields(Options)})
    machine = this_machine()
    sizes = []
    with tempfile.TemporaryDirectory() as temporary:
        scans = (asked.folder or Path(temporary)).resolve()
        scans.mkdir(parents=True, exist_ok=True)
        for number, size in enumerate(asked.sizes):
            with tempfile.TemporaryDirectory(dir=scans, prefix="results-") as folder:
                results = scans if asked.keep else Path(folder)
                sizes.append(measure_size(size, scans, results, options, first=number == 0))
            if asked.json is not None:  # after each size: the last may take long, and fail
                report = {"machine": asdict(machine), "command": list(arguments)}
                report["sizes"] = with_ratios(sizes)
                asked.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sizes = with_ratios(sizes)
    say("done")
    print(f"{machine}\n\n{format_table(sizes)}\n\n{notes(options)}")
    if asked.plot is not None:
        plot_growth(sizes, asked.plot)


def notes(options: Options) -> str:
    """Return how to read the table."""
    return f"""\
Conversions: median of {options.repeats}, memory the highest of them. Reads: {options.count} each;
windows lie anywhere and are 0.1 to 20 keV wide. The limit reads and compresses the counts as a
conversion does, in as many threads, and writes nothing. The float cube that dask sums is the
whole one or, where it has fewer cells than the map, its first rows: its ratio to our whole map
is then a lower bound, and time per cell compares like with like. Ratios are of medians. Goals
are for 1.03 million spectra, those of all five arrays for 15,000."""


if __name__ == "__main__":
    main(sys.argv[1:])
