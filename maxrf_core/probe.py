"""Crono files read first in a process of their own, which crashes in our place.

The HDF5 library may crash or hang on a damaged file (HDFGroup/hdf5 issue 1707: heaps of values of
variable length), and an exception cannot be made of that. ``python -m maxrf_core.probe`` is that
process; what it survives is then read as usual.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from os import PathLike
from pathlib import Path

from .errors import ConversionCancelled, CronoFileError, MaxrfError
from .plain_text import printable

__all__ = ["PROBE_SECONDS", "probe_crono", "report_apart"]

PROBE_SECONDS = 300.0
"""Reading all but the spectra takes less than one, and some more from a slow network."""
_LOOK_EVERY = 0.02  # s
_REFUSED, _RAISED = 3, 1  # exit codes: for an error of ours, and Python's for any other


def probe_crono(
    filename: str | PathLike[str],
    *,
    seconds: float = PROBE_SECONDS,
    cancel: threading.Event | None = None,
) -> None:
    """Read a Crono file in another process, to see whether the HDF5 library survives that.

    Parameters
    ----------
    filename : path
        The file. Whether it is a usable scan is not judged: that is for whoever reads it next.
    seconds : float, optional
        How long it may take.
    cancel : threading.Event, optional
        Set it from another thread to stop.

    Raises
    ------
    CronoFileError
        If the library crashed, or did not come to an end.
    ConversionCancelled
        If `cancel` was set.
    """
    with suppress(_UnusableFileError):
        _run("read", Path(filename), seconds, cancel)


def report_apart(filename: str | PathLike[str], *, seconds: float = PROBE_SECONDS) -> str:
    """Return `report.report` of a Crono file, made in another process.

    Raises
    ------
    CronoFileError
        As `probe_crono`, and as `report.report`.
    """
    from .report import report

    try:
        return _run("report", Path(filename), seconds, None)
    except _UnusableFileError:
        return report(filename) + "\n"  # which says why


class _UnusableFileError(CronoFileError):
    """The other process ended with an exception, not with a crash."""


def _run(what: str, path: Path, seconds: float, cancel: threading.Event | None) -> str:
    """Run this module, and return what it prints."""
    # -P: a folder named maxrf_core in the working directory is not ours
    command = [sys.executable, "-P", "-m", "maxrf_core.probe", what, str(path)]
    end = time.monotonic() + seconds
    with subprocess.Popen(  # noqa: S603 - our own program, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for whoever waits
    ) as process:
        printed: list[bytes] = []
        reader = threading.Thread(target=lambda: printed.append(process.stdout.read()), daemon=True)
        reader.start()
        try:
            while process.poll() is None:
                reader.join(_LOOK_EVERY)
                if cancel is not None and cancel.is_set():
                    raise ConversionCancelled(f"{printable(path)}: stopped; nothing was begun.")
                if time.monotonic() > end:
                    raise CronoFileError(_sentence(path, f"does not end within {seconds:g} s"))
        finally:
            process.kill()
        reader.join()
    if process.returncode in (_REFUSED, _RAISED):  # an exception, which is repeated here
        raise _UnusableFileError(f"{printable(path)} cannot be used.")
    if process.returncode != 0:
        raise CronoFileError(_sentence(path, f"ended with {_ending(process.returncode)}"))
    return b"".join(printed).decode("utf-8", "replace")


def _sentence(path: Path, what: str) -> str:
    return (
        f"{printable(path)} is damaged in a way that the HDF5 library does not survive: reading it "
        f"{what}. Copy it again from the scanner."
    )


def _ending(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"code {code}"


def _main(what: str, filename: str) -> int:
    """Read a file as the program will."""
    from .crono import open_spectra, read_crono, read_spectra_block
    from .report import report

    try:
        if what == "report":
            sys.stdout.reconfigure(encoding="utf-8", errors="replace")
            print(report(filename))  # noqa: T201 - read by the process that waits
            return 0
        scan = read_crono(filename)
        with open_spectra(filename) as spectra:
            if spectra.chunks is not None:
                spectra.id.chunk_iter(lambda _: None)  # the tree of all chunks, not what is in them
            for start in {0, scan.n_spectra - 1}:
                read_spectra_block(spectra, start, start + 1)
    except MaxrfError:
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
