"""How long a conversion takes, and how much memory, beside `cronomaxrf` 0.0.12.

    python -m tests.benchmarks.conversion [--repeats N] [--environment FOLDER] [--without-peer]

A simulated scan of some 15,000 spectra of 4096 channels (123 MB; cronomaxrf cannot write more
than 16,384) is converted by each in turn, each time in a process of its own that has imported
everything; the file is in the page cache. All but the lean run write the same five arrays, and
ours write the tables behind the page as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from maxrf_core import simulate_crono
from tests.readable_by_cronomaxrf import REQUIREMENTS, RESTORE_COLLECTIONS, peer_python

SHAPE = (199, 62)  # 62 + 13.4 spectra a row

MEASURE = """
import contextlib, json, os, resource, sys, time
from {module} import convert_crono
start = time.perf_counter()
with contextlib.redirect_stdout(sys.stderr):
    zipstore = convert_crono(sys.argv[1]{options})
seconds = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(json.dumps([seconds, peak, os.path.getsize(zipstore)]))
"""


@dataclass(frozen=True)
class Contender:
    """A program to measure: its interpreter and what it runs."""

    name: str
    python: Path
    program: str


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


def our_contenders() -> list[Contender]:
    """Return our conversions: as it is by default, with the vendor's selection, and lean."""
    calls = {
        "maxrf_core, kriging (default)": ", progress=False",
        "maxrf_core, selected": ", progress=False, method='selected'",
        "maxrf_core, kriging, lean": ", progress=False, cubes=False",
    }
    return [
        Contender(name, Path(sys.executable), MEASURE.format(module="maxrf_core", options=options))
        for name, options in calls.items()
    ]


def peer_contender(environment: Path) -> Contender:
    """Return cronomaxrf in an environment of its own, made when it is not there."""
    program = RESTORE_COLLECTIONS + MEASURE.format(module="cronomaxrf", options="")
    return Contender(REQUIREMENTS[0].replace("==", " "), peer_python(environment), program)


def measure(contender: Contender, scan: Path) -> tuple[float, int, int]:
    """Convert a scan once, in a folder and a process of its own."""
    with tempfile.TemporaryDirectory(dir=scan.parent) as folder:
        own = Path(folder, scan.name)
        os.link(scan, own)
        done = subprocess.run(
            [contender.python, "-c", contender.program, own],
            check=True,
            capture_output=True,
            text=True,
        )
    seconds, peak, size = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak, size


def measure_all(contenders: list[Contender], scan: Path, repeats: int) -> dict[str, Result]:
    """Measure all in turn, so that a busy minute strikes each alike; who fails is left out."""
    runs = {contender.name: [] for contender in contenders}
    for _ in range(repeats):
        for contender in contenders:
            if contender.name not in runs:
                continue
            try:
                runs[contender.name].append(measure(contender, scan))
            except subprocess.CalledProcessError as error:
                print(f"{contender.name} fails and is left out:\n{error.stderr.strip()}")
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
        lines.append(
            f"{name:32}{result.median:9.2f}{spread:>16}{result.peak / 1e6:8.0f} MB"
            f"{result.size / 1e6:7.0f} MB{result.median / results[yardstick].median:8.2f}"
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
        scan = Path(temporary, "scan.HDF5")
        truth = simulate_crono(scan, shape=SHAPE)
        contenders = our_contenders()
        if not options.without_peer:
            environment = options.environment or Path(temporary, "environment")
            try:
                contenders.append(peer_contender(environment))
            except subprocess.CalledProcessError as error:
                print(f"cronomaxrf cannot be installed and is left out: {error.stderr.strip()}")
        results = measure_all(contenders, scan, options.repeats)
        print(
            f"{truth.n_spectra:,} spectra of 4096 channels, {scan.stat().st_size / 1e6:.0f} MB; "
            f"{os.cpu_count()} processors, Python {platform.python_version()}; "
            f"median of {options.repeats}\n"
        )
        print(table(results, yardstick=list(results)[-1]))


if __name__ == "__main__":
    main()
