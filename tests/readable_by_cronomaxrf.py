"""Check that `cronomaxrf` 0.0.12 itself reads our zipstores, bit for bit.

    python tests/readable_by_cronomaxrf.py [--environment FOLDER]

It needs another zarr (format 2 only) than this package, so it gets an environment of its own,
from PyPI, in a temporary folder or in one that is kept. Not collected by pytest.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

from maxrf_core import METHODS, convert_crono, get_array
from maxrf_core.schema import INTERCHANGE_ARRAYS

REQUIREMENTS = ("cronomaxrf==0.0.12", "zarr<3")
"""What runs on Python 3.11 together: cronomaxrf reads with zarr 2, and pip brings the rest."""

RESTORE_COLLECTIONS = """
import collections, collections.abc
# dask-ndfilters 0.1.3, which cronomaxrf converts with, uses names that left in Python 3.10
for name in ("Mapping", "Sequence", "Sized"):
    setattr(collections, name, getattr(collections.abc, name))
"""

READ = """
import sys
import numpy, zarr
from cronomaxrf import get_array, tree
assert zarr.__version__.startswith("2."), zarr.__version__
zipstore, folder, *names = sys.argv[1:]
tree(zipstore)
for name in names:
    whole = get_array(zipstore, name)
    lazy = get_array(zipstore, name, compute=False)
    assert (lazy.compute() == whole).all()
    numpy.save(f"{folder}/{name}.npy", whole)
"""

ROOT = Path(__file__).parents[1]
SCANS = (
    ROOT / "tests" / "data" / "crono-12x9.HDF5",
    ROOT.parent / "shared" / "real" / "bruker-eds-50x50.HDF5",
)

logger = logging.getLogger(__name__)


def peer_python(folder: Path) -> Path:
    """Return the interpreter of an environment with cronomaxrf, made when it is not there.

    Raises
    ------
    subprocess.CalledProcessError
        If pip cannot install it, for example without a network.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", *REQUIREMENTS]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return python


def differences(python: Path, scan: Path, method: str, folder: Path) -> list[str]:
    """Return a sentence for each array that cronomaxrf reads otherwise than we do."""
    zipstore = convert_crono(
        scan, output=folder / f"{scan.stem}-{method}.zipstore", method=method, progress=False
    )
    program = RESTORE_COLLECTIONS + READ
    subprocess.run(
        [python, "-c", program, zipstore, folder, *INTERCHANGE_ARRAYS],
        check=True,
        stdout=subprocess.DEVNULL,  # the tree
    )
    sentences = []
    for name in INTERCHANGE_ARRAYS:
        ours, theirs = get_array(zipstore, name), np.load(folder / f"{name}.npy")
        same = (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        if not same or ours.tobytes() != theirs.tobytes():
            sentences.append(f"{name} of {scan.name} ({method}) is not the same.")
    return sentences


def main() -> int:
    """Convert, read with both programs, compare; return the exit status."""
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logger.setLevel(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, help="where cronomaxrf is, or is installed")
    options = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as temporary:
        python = peer_python(options.environment or Path(temporary, "environment"))
        for scan in SCANS:
            if not scan.exists():
                logger.info("%s is not there and is left out.", scan)
                continue
            for method in METHODS:
                found = differences(python, scan, method, Path(temporary))
                faults += found
                logger.info(
                    "%s, %s: %d of %d arrays equal bit for bit",
                    scan.name,
                    method,
                    len(INTERCHANGE_ARRAYS) - len(found),
                    len(INTERCHANGE_ARRAYS),
                )
    for fault in faults:
        logger.error(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
