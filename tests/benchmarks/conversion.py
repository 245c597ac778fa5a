"""How long a conversion takes, and how much memory, beside `cronomaxrf` 0.0.12.

    python -m tests.benchmarks.conversion [--repeats N] [--environment FOLDER] [--without-peer]

A simulated scan of some 15,000 spectra of 4096 channels (123 MB; cronomaxrf cannot write more
than 16,384) is converted by each in turn, each time in a process of its own that has imported
everything; the file is in the page cache. All but the lean run write the same five arrays, and
ours write the tables behind the page as well. Last comes what no conversion can do without:
reading the counts once and compressing them once, in as many threads.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.readable_by_cronomaxrf import REQUIREMENTS, RESTORE_COLLECTIONS, peer_python

from .apart import ApartError, apart
from .scans import scan_file, shape_for, warm

__all__ = [
    "FULL",
    "LEAN",
    "LIMIT",
    "PEER_SPECTRA",
    "SELECTED",
    "Contender",
    "Result",
    "measure_all",
    "peer_contender",
    "read_and_compress",
]

SPECTRA = 15_000

PEER_SPECTRA = 16_384
"""Spectra of 4096 channels beyond which cronomaxrf 0.0.12 fails."""

PER_TASK, PER_CHUNK = 1024, 128  # spectra, as in a conversion: 8 MiB read and 1 MiB compressed


@dataclass(frozen=True)
class Contender:
    """Something to measure: ``module:function``, its options and its interpreter."""

    name: str
    target: str = "maxrf_core:convert_crono"
    options: Mapping[str, Any] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    prelude: str = ""


FULL = Contender("maxrf_core, kriging (default)", options={"progress": False})
SELECTED = Contender("maxrf_core, selected", options={"progress": False, "method": "selected"})
LEAN = Contender("maxrf_core, kriging, lean", options={"progress": False, "cubes": False})
LIMIT = Contender("reading + compressing once", "tests.benchmarks.conversion:read_and_compress")


@dataclass(frozen=True)
class Result:
    """Seconds of each run; highest memory and size of the file in bytes."""

    seconds: list[float]
    peak: int
    size: int

    @property
    def median(self) -> float:
        """The run that stands for all."""
        return statistics.median(self.seconds)


def peer_contender(environment: Path) -> Contender:
    """Return cronomaxrf in an environment of its own, made when it is not there."""
    return Contender(
        REQUIREMENTS[0].replace("==", " "),
        "cronomaxrf:convert_crono",
        python=peer_python(environment),
        prelude=RESTORE_COLLECTIONS,
    )


def read_and_compress(filename: str) -> int:
    """Read the counts of a scan once and compress them once; return the compressed bytes.

    In one thread for each processor, with the reader, the codec and the chunks of spectra of
    a conversion; nothing is transposed, smoothed or written.
    """
    from maxrf_core.layout import COUNTS_CODEC
    from maxrf_core.spectra import SpectraReader

    with SpectraReader(filename) as spectra, ThreadPoolExecutor(os.cpu_count()) as pool:

        def task(start: int) -> int:
            counts = spectra.read(start, start + PER_TASK)
            return sum(
                len(COUNTS_CODEC.encode(counts[i : i + PER_CHUNK]))
                for i in range(0, len(counts), PER_CHUNK)
            )

        return sum(pool.map(task, range(0, spectra.n_spectra, PER_TASK)))


def measure(contender: Contender, scan: Path, keep: Path | None) -> tuple[float, int, int]:
    """Run once, in a folder and a process of its own; return seconds, peak and file bytes."""
    with tempfile.TemporaryDirectory(dir=scan.parent, prefix="conversion-") as temporary:
        own = Path(temporary, scan.name)
        os.link(scan, own)
        run = apart(
            contender.target,
            str(own),
            python=contender.python,
            prelude=contender.prelude,
            **contender.options,
        )
        size = 0
        for zipstore in Path(temporary).glob("*.zipstore"):
            size = zipstore.stat().st_size
            if keep is not None:
                zipstore.replace(keep)
    return run.seconds, run.peak, size


def measure_all(
    contenders: Sequence[Contender],
    scan: Path,
    repeats: int,
    *,
    keep: Mapping[str, Path] | None = None,
) -> dict[str, Result]:
    """Measure all in turn, so that a busy minute strikes each alike.

    Parameters
    ----------
    contenders : sequence of Contender
        Who fails is named on stderr and left out.
    scan : Path
        The Crono file. Results are written beside it, and removed again.
    repeats : int
        Runs of each.
    keep : mapping of str to Path, optional
        Where to keep the last zipstore of a contender, by its name; on the same disk.

    Returns
    -------
    dict of str to Result
        By name.
    """
    warm(scan)
    runs: dict[str, list[tuple[float, int, int]]] = {each.name: [] for each in contenders}
    for _ in range(repeats):
        for contender in contenders:
            if contender.name not in runs:
                continue
            try:
                place = (keep or {}).get(contender.name)
                runs[contender.name].append(measure(contender, scan, place))
            except ApartError as error:
                print(f"{contender.name} fails and is left out:\n{error}", file=sys.stderr)
                del runs[contender.name]
    return {
        name: Result([run[0] for run in rows], max(run[1] for run in rows), rows[-1][2])
        for name, rows in runs.items()
    }


def table(results: dict[str, Result], yardstick: str) -> str:
    """Return the results as a table, with the ratio of times to one of them."""
    lines = [f"{'':32}{'seconds':>9}{'(range)':>16}{'memory':>11}{'file':>10}{'ratio':>8}"]
    for name, result in results.items():
        spread = f"({min(result.seconds):.2f}-{max(result.seconds):.2f})"
        size = f"{result.size / 1e6:.0f} MB" if result.size else "none"
        lines.append(
            f"{name:32}{result.median:9.2f}{spread:>16}{result.peak / 1e6:8.0f} MB"
            f"{size:>10}{result.median / results[yardstick].median:8.2f}"
        )
    return "\n".join([*lines, "", f"ratio: seconds over those of {yardstick}"])


def main() -> None:
    """Simulate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (3)")
    parser.add_argument("--environment", type=Path, help="where cronomaxrf is, or is installed")
    parser.add_argument("--without-peer", action="store_true", help="measure ours alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shape = shape_for(SPECTRA)
        scan = scan_file(folder, shape, None)
        contenders, yardstick = [FULL, SELECTED, LEAN], LEAN.name
        if not options.without_peer:
            try:
                peer = peer_contender(options.environment or folder / "environment")
                contenders.append(peer)
            except subprocess.CalledProcessError as error:
                print(f"cronomaxrf cannot be installed and is left out: {error.stderr.strip()}")
        results = measure_all([*contenders, LIMIT], scan, options.repeats)
        if len(contenders) > 3 and peer.name in results:
            yardstick = peer.name
        print(
            f"a scan of {shape[0]} x {shape[1]} cells, {scan.stat().st_size / 1e6:.0f} MB; "
            f"{os.cpu_count()} processors, Python {platform.python_version()}; "
            f"median of {options.repeats}\n"
        )
        print(table(results, yardstick))


if __name__ == "__main__":
    main()
