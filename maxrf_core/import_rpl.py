"""Reading the header of a LISPIX cube, ``.rpl`` beside ``.raw``, in the dialects that occur.

LISPIX (NIST) separates key and value by a tab, Bruker's programs by spaces. Each has its own
way to tell energies:

- Bruker (M6 Jetstream): ``depthscaleorigin`` and ``depthscaleincrement``, in ``depthscaleunits``
  keV. What ``depth1`` and ``depth2`` mean is not known; they are ignored.
- HyperSpy: ``depth-origin``, ``depth-scale`` and ``depth-units``.
- This program: a comment with a polynomial, see `export_rpl`.
- LISPIX: ``ev-per-chan`` alone, without a zero.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import CronoFileError
from .export_rpl import ENERGY_COMMENT
from .import_cube import ForeignCube
from .plain_text import printable

__all__ = ["RplHeader", "open_rpl", "other_half", "read_rpl"]

_MAX_HEADER, _MAX_VALUE = 2**20, 500
"""Letters that are read of a header, and of a value in it: energies may be a polynomial."""
_VALUES_AT_ONCE = 2**24
_ADVICE = "export the counts as they were measured."
logger = logging.getLogger(__name__)

_TYPES = {"unsigned": "u", "signed": "i", "float": "f"}
_ORDERS = {"little-endian": "<", "big-endian": ">", "dont-care": "<"}
_LENGTHS = {"u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (4, 8)}
_PER_KEV = {"kev": 1.0, "ev": 1000.0}


@dataclass(frozen=True)
class RplHeader:
    """What an ``.rpl`` says of its ``.raw``.

    Parameters
    ----------
    height, width, depth : int
        Rows, columns, channels.
    offset : int
        Bytes before the first count.
    dtype : np.dtype
        Of the counts.
    by_image : bool
        Whether the file goes channel by channel, (depth, height, width); else spectrum by
        spectrum, (height, width, depth).
    polynomial : tuple of float, or None
        a, b, ... of energy = a + b channel + ... in keV; None if it names no energies.
    zero_known : bool
        Whether a is from the header; with ``ev-per-chan`` alone it is taken for 0.
    """

    height: int
    width: int
    depth: int
    offset: int
    dtype: np.dtype
    by_image: bool
    polynomial: tuple[float, ...] | None
    zero_known: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the counts in the order of the file."""
        if self.by_image:
            return self.depth, self.height, self.width
        return self.height, self.width, self.depth

    @property
    def size(self) -> int:
        """Bytes that the ``.raw`` has at least."""
        return self.offset + self.height * self.width * self.depth * self.dtype.itemsize

    def energies(self) -> npt.NDArray[np.float32] | None:
        """Return the energy of each channel in keV, (depth,), or None if it names none."""
        if self.polynomial is None:
            return None
        line = np.polynomial.Polynomial(self.polynomial)
        return line(np.arange(self.depth, dtype=np.float64)).astype(np.float32)


def read_rpl(path: Path) -> RplHeader:
    """Read a header.

    Parameters
    ----------
    path : Path
        The ``.rpl``.

    Raises
    ------
    CronoFileError
        If it cannot be read or does not describe a cube. All faults are named at once.
    """
    try:
        with path.open(encoding="latin-1") as file:
            text = file.read(_MAX_HEADER)
    except FileNotFoundError as error:
        raise CronoFileError(
            f"{path} does not exist; the header has to lie beside its .raw."
        ) from error
    except OSError as error:
        raise CronoFileError(f"{path} cannot be read: {error.strerror}.") from error
    values = _values(text)
    faults: list[str] = []
    sizes = {key: _whole(values, key, faults, least=1) for key in ("height", "width", "depth")}
    offset = _whole(values | {"offset": values.get("offset", "0")}, "offset", faults, least=0)
    kind = _word(values, "data-type", _TYPES, faults)
    length = _whole(values, "data-length", faults, least=1)
    if kind in _LENGTHS and length and length not in _LENGTHS[kind]:
        faults.append(f"data-length is {length}; expected one of {_LENGTHS[kind]}")
    order = "<" if length == 1 else _word(values, "byte-order", _ORDERS, faults)
    by_image = _word(values, "record-by", {"vector": "", "image": "image"}, faults)
    polynomial = _polynomial(values, faults)
    if faults:
        raise CronoFileError(f"{path} describes no cube: {'; '.join(faults)}.")
    return RplHeader(
        **sizes,
        offset=offset,
        dtype=np.dtype(f"{order}{kind}{length}"),
        by_image=bool(by_image),
        polynomial=polynomial,
        zero_known=polynomial is not None and not _only_width(values),
    )


@contextmanager
def open_rpl(path: Path) -> Iterator[ForeignCube]:
    """Yield the cube of an ``.rpl`` and its ``.raw``.

    Parameters
    ----------
    path : Path
        Either of them.

    Raises
    ------
    CronoFileError
        If one is missing or cannot be read, or they do not fit each other.
    """
    if path.suffix.lower() == ".raw":
        path = _beside(path, "the header has to lie beside its counts")
    header = read_rpl(path)
    raw = _beside(path, "the counts have to lie beside their header")
    if (size := raw.stat().st_size) < header.size:
        raise CronoFileError(
            f"{raw} has {size} bytes; its header {path.name} describes {header.size}. Copy both "
            "again from the scanner."
        )
    energies = header.energies()
    if energies is not None and not header.zero_known:
        logger.warning(
            "%s names the width of a channel and no zero: channel 0 is taken for 0 keV. Calibrate "
            "the scan on known lines.",
            path,
        )
    shape = (header.height, header.width, header.depth)
    yield ForeignCube(raw, shape, energies, lambda: _read(header, raw), _ADVICE)


def other_half(path: Path) -> Path | None:
    """Return the ``.raw`` of an ``.rpl``, or the ``.rpl`` of a ``.raw``; None if it is not there.

    Parameters
    ----------
    path : Path
        Either of them. The suffix of the other may be in capitals.
    """
    suffix = _suffix_beside(path)
    beside = (path.with_suffix(suffix), path.with_suffix(suffix.upper()))
    return next((file for file in beside if file.is_file()), None)


def _suffix_beside(path: Path) -> str:
    return ".rpl" if path.suffix.lower() == ".raw" else ".raw"


def _beside(path: Path, advice: str) -> Path:
    found = other_half(path)
    if found is None:
        raise CronoFileError(f"{path.with_suffix(_suffix_beside(path))} does not exist; {advice}.")
    return found


def _read(header: RplHeader, raw: Path) -> Iterator[tuple[int, npt.NDArray]]:
    """Yield the values of some cells at a time."""
    stored = np.memmap(raw, header.dtype, mode="r", offset=header.offset, shape=header.shape)
    if header.by_image:
        flat = stored.reshape(header.depth, -1).T
    else:
        flat = stored.reshape(-1, header.depth)
    step = max(1, _VALUES_AT_ONCE // header.depth)
    for start in range(0, len(flat), step):
        yield start, np.ascontiguousarray(flat[start : start + step])


def _values(text: str) -> dict[str, str]:
    """Return the values by key, in lower case."""
    values = {}
    for line in text.splitlines():
        parts = line.split(None, 1)
        if len(parts) == 2 and (not line.startswith(";") or parts[0] == ENERGY_COMMENT):
            value = parts[1] if line.startswith(";") else parts[1].partition(";")[0]
            values[parts[0].lower()] = printable(value.strip()[:_MAX_VALUE])
    return values


def _whole(values: dict[str, str], key: str, faults: list[str], *, least: int) -> int:
    """Return a whole number, or note a fault."""
    try:
        number = int(values[key])
    except KeyError:
        faults.append(f"{key} is missing")
    except ValueError:
        faults.append(f"{key} is {values[key]!r}, expected a whole number")
    else:
        if number >= least:
            return number
        faults.append(f"{key} is {number}, expected {least} or more")
    return 0


def _word(values: dict[str, str], key: str, meanings: dict[str, str], faults: list[str]) -> str:
    """Return what a word stands for, or note a fault."""
    word = values.get(key, "").lower()
    if word not in meanings:
        faults.append(f"{key} is {word or 'missing'}, expected {' or '.join(meanings)}")
        return ""
    return meanings[word]


def _only_width(values: dict[str, str]) -> bool:
    """Return whether the width of a channel is all that the header says of energies."""
    return not values.keys() & {ENERGY_COMMENT, "depthscaleincrement", "depth-scale"}


def _polynomial(values: dict[str, str], faults: list[str]) -> tuple[float, ...] | None:
    """Return a, b, ... in keV from whichever dialect the header speaks."""
    if ENERGY_COMMENT in values:
        keys, per_kev = [ENERGY_COMMENT], 1.0
        texts = values[ENERGY_COMMENT].split(",")
    elif "depthscaleincrement" in values:
        keys, per_kev = (
            ["depthscaleorigin", "depthscaleincrement"],
            _units(values, "depthscaleunits", faults),
        )
        texts = [values.get(key, "0") for key in keys]
    elif "depth-scale" in values:
        keys, per_kev = ["depth-origin", "depth-scale"], _units(values, "depth-units", faults)
        texts = [values.get(key, "0") for key in keys]
    elif "ev-per-chan" in values:
        keys, per_kev, texts = ["ev-per-chan"], 1000.0, ["0", values["ev-per-chan"]]
    else:
        return None
    try:
        # Bruker's programs write the decimal comma of the computer's language
        numbers = [float(text.replace(",", ".")) / per_kev for text in texts]
    except ValueError:
        numbers = []
    if len(numbers) < 2 or not np.isfinite(numbers).all() or numbers[1] <= 0:
        faults.append(f"{' and '.join(keys)} are {texts}, expected numbers that grow with channels")
        return None
    return tuple(numbers)


def _units(values: dict[str, str], key: str, faults: list[str]) -> float:
    unit = values.get(key, "keV").strip() or "keV"
    if unit.lower() not in _PER_KEV:
        faults.append(f"{key} is {unit!r}, expected keV or eV")
        return 1.0
    return _PER_KEV[unit.lower()]
