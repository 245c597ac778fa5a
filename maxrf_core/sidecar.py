"""What the user adds to a scan, kept beside its zipstore and never in the scan itself.

``scan.zipstore`` has ``scan.maxrf.json`` in the same folder: one JSON object with the key
`version`, the key `calibration` ({"points": [[channel, keV], ...], "degree": 1}) if the user
has recalibrated, and whatever other keys other parts of the program keep there. A key that a
writer does not name stays as it is.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, BinaryIO

from .errors import OutputError, ParameterError
from .location import lies_in, open_file
from .schema import UPGRADE
from .unfinished import lock_path, replace_file

__all__ = [
    "MAX_SIDECAR_BYTES",
    "SIDECAR_VERSION",
    "alone",
    "read_sidecar",
    "refuse_constant",
    "sidecar_path",
    "write_sidecar",
]

SIDECAR_VERSION = 1
MAX_SIDECAR_BYTES = 1_000_000
"""A file beside a scan that is larger than this was not written by this program."""
MAX_POINTS = 1000
WAIT_SECONDS = 5.0
"""How long a writer waits for another one, which is done in milliseconds."""
NO_LOCKS = 20
"""Failures in a row without a lock file to be seen, after which there are taken to be no locks."""

_THREADS = threading.Lock()


def sidecar_path(path_of_scan: str | os.PathLike[str]) -> Path:
    """Return the path of the file beside a scan: ``scan.maxrf.json`` for ``scan.zipstore``.

    Parameters
    ----------
    path_of_scan : path or str
        The zipstore, a file or a folder. A name that does not end in ``.zipstore`` is kept
        whole.
    """
    scan = Path(path_of_scan)
    name = scan.name
    if name.lower().endswith(".zipstore"):
        name = name[: -len(".zipstore")]
    return scan.with_name(f"{name}.maxrf.json")


def read_sidecar(path_of_scan: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what is kept beside a scan.

    Parameters
    ----------
    path_of_scan : path or str
        The zipstore; it need not be there.

    Returns
    -------
    content : dict
        JSON values by key, without `version`; empty if there is no such file. `calibration`,
        if there, holds `points`, a list of [channel, keV], and `degree`, 1 or 2.

    Raises
    ------
    ParameterError
        If the file cannot be read, is no regular file, is a link out of its folder, is larger
        than `MAX_SIDECAR_BYTES`, is no JSON object, is of another version, or its calibration
        does not hold what is expected. The message names the file.
    """
    path = sidecar_path(path_of_scan)
    if path.is_symlink() and not lies_in(path, path.parent):
        raise _refused(path, "it is a link that leads out of its folder, or nowhere")
    try:
        with open_file(path) as file:
            data = file.read(MAX_SIDECAR_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ParameterError(
            f"{path} cannot be read: {error.strerror or error}. Check its permissions, or move "
            "it away to use the scan without it."
        ) from error
    if len(data) > MAX_SIDECAR_BYTES:
        raise _refused(path, f"it is larger than {MAX_SIDECAR_BYTES} bytes")
    try:
        content = json.loads(data.decode("utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"it is not JSON ({error})") from error
    return _checked(path, content)


def write_sidecar(path_of_scan: str | os.PathLike[str], /, **changes: object) -> Path:
    """Set keys of what is kept beside a scan; all others stay.

    The file is read again and written whole under a hidden name in the same folder, then
    renamed. Who writes holds a lock, a hidden file beside it, so that of two writers neither
    loses the other's keys. Where the file system has no locks, the later one wins.

    Parameters
    ----------
    path_of_scan : path or str
        The zipstore; it need not be there.
    **changes : JSON value
        New values by key; None removes the key.

    Returns
    -------
    path : Path
        The file beside the scan.

    Raises
    ------
    ParameterError
        If a value is no JSON, or what is there already cannot be used; nothing is changed.
    OutputError
        If the file cannot be written, or somebody else holds it; the old one stays.
    """
    path = sidecar_path(path_of_scan)
    try:
        with alone(path):
            content = read_sidecar(path_of_scan)
            content.update(changes)
            kept = {key: value for key, value in content.items() if value is not None}
            data = _encoded(path, kept)
            replace_file(path, data)
    except OSError as error:
        raise _not_written(path, error) from error
    return path


def _checked(path: Path, content: Any) -> dict[str, Any]:
    """Return the keys of a file beside a scan, or raise what is wrong with them."""
    if not isinstance(content, dict):
        raise _refused(path, "it is no JSON object")
    version = content.get("version")
    if isinstance(version, int) and version > SIDECAR_VERSION:
        raise ParameterError(
            f"{path} was written by a newer version of this program (its version is {version}, "
            f"this program reads {SIDECAR_VERSION}): {UPGRADE}. Or move the file away to use the "
            "scan without it."
        )
    if isinstance(version, bool) or version != SIDECAR_VERSION:
        raise _refused(
            path, f"its version is {version!r:.80}, this program reads {SIDECAR_VERSION}"
        )
    if "calibration" in content and not _is_calibration(content["calibration"]):
        raise _refused(
            path,
            'its calibration is not {"points": [[channel, keV], ...], "degree": 1 or 2} with '
            f"finite numbers and 2 to {MAX_POINTS} points",
        )
    return {key: value for key, value in content.items() if key != "version"}


def _is_calibration(value: Any) -> bool:
    """Tell whether a value has the form of a calibration. Its numbers are judged elsewhere."""
    if not (isinstance(value, dict) and set(value) <= {"points", "degree"}):
        return False
    degree, points = value.get("degree", 1), value.get("points")
    if not (isinstance(degree, Integral) and not isinstance(degree, bool) and degree in (1, 2)):
        return False
    if not (isinstance(points, list) and 2 <= len(points) <= MAX_POINTS):
        return False
    return all(
        isinstance(point, list) and len(point) == 2 and all(map(_is_finite, point))
        for point in points
    )


def _is_finite(value: Any) -> bool:
    """Tell whether a value is a number, and one that float64 can hold."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _encoded(path: Path, content: dict[str, Any]) -> bytes:
    """Return the bytes of the file, checked as a reader will check them."""
    document = {"version": SIDECAR_VERSION, **content}
    try:
        data = json.dumps(document, indent=1, allow_nan=False).encode("utf-8")
        again = json.loads(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(
            f"{path} is not written: a value is no JSON ({error}). Expected numbers that are "
            "finite, texts, lists and dicts with texts for keys."
        ) from error
    _checked(path, again)
    if len(data) > MAX_SIDECAR_BYTES:
        raise ParameterError(
            f"{path} is not written: it would have {len(data)} bytes, {MAX_SIDECAR_BYTES} are "
            "allowed. Keep less beside the scan."
        )
    return data


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of the file while in the context, against threads and other programs."""
    if not _THREADS.acquire(timeout=WAIT_SECONDS):
        raise _busy(path)
    try:
        held = _lock(path)
        try:
            yield
        finally:
            if held is not None:
                if sys.platform == "win32":
                    held.close()  # there, an open file cannot be removed
                with suppress(OSError):  # Windows: the next one may have opened it
                    _lock_name(path).unlink()
                held.close()
    finally:
        _THREADS.release()


def _lock(path: Path) -> BinaryIO | None:
    """Return the open lock file; None where the file system knows no locks."""
    end = time.monotonic() + WAIT_SECONDS
    missing = 0
    while (held := lock_path(_lock_name(path))) is None:
        # Where there are no locks, no lock file stays. Once is no proof: its holder removes it.
        missing = 0 if _lock_name(path).exists() else missing + 1
        if missing == NO_LOCKS:
            return None
        if time.monotonic() > end:
            raise _busy(path)
        time.sleep(0.01)
    return held


def _lock_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def refuse_constant(name: str) -> float:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no JSON number")


def _refused(path: Path, why: str) -> ParameterError:
    return ParameterError(
        f"{path} cannot be used: {why}. Correct it, or move it away to use the scan without it."
    )


def _busy(path: Path) -> OutputError:
    return OutputError(
        f"{path} has been held by another writer for more than {WAIT_SECONDS:g} s. It is as it "
        "was; try again."
    )


def _not_written(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be written: {error.strerror or error}. What is kept beside the scan is as "
        "it was; check the folder's permissions and free space, or copy the scan to a folder of "
        "your own."
    )
