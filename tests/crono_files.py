"""Small files in the Crono layout, whole and broken, for the tests.

`write_crono` writes all 32 datasets in the real file's dtypes; any can be replaced or left
out. `BROKEN` holds scans that cannot be read at all, `BROKEN_COUNTS` scans whose fault shows
only when the counts are read; `MESSAGES` has a fragment of the error that each must cause.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROWS, COLUMNS, CHANNELS = 4, 3, 40
SPECTRA_A_ROW = 5  # two more than the map uses: the head turns
N = ROWS * SPECTRA_A_ROW

# A simulated scan of 12 x 9 cells, and counts of a real detector, which stay where they lie
REFERENCE = Path(__file__).parent / "data" / "crono-12x9.HDF5"
REAL_SCAN = Path(__file__).parents[2] / "shared" / "real" / "bruker-eds-50x50.HDF5"
needs_real_scan = pytest.mark.skipif(
    not REAL_SCAN.exists(), reason="the folder of real measurements is not beside this project"
)

BLOB = np.dtype("V1")
BYTE = np.dtype("S1")
UNKNOWN_FILTER = 32999  # in the range that HDF5 reserves for others, and given to nobody

BROKEN: dict[str, Callable[[Path], Path]] = {}
BROKEN_COUNTS: dict[str, Callable[[Path], Path]] = {}
MESSAGES: dict[str, str] = {}


def characters(text: str, size: int | None = None) -> np.ndarray:
    """Return text as the array of single bytes (S1) that the Crono program writes."""
    raw = text.encode("latin-1")
    return np.frombuffer(raw.ljust(size or len(raw), b"\0"), dtype="S1")


def vlen(items: list[np.ndarray], element: np.dtype) -> tuple[np.ndarray, np.dtype]:
    """Return an object array of arrays, and the dtype to write it with."""
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        array[i] = item
    return array, h5py.vlen_dtype(element)


def names(*texts: str) -> tuple[np.ndarray, np.dtype]:
    """Return names of regions as variable-length arrays of single bytes."""
    return vlen([characters(text) for text in texts], BYTE)


def positions(rows: int = ROWS, spectra_a_row: int = SPECTRA_A_ROW) -> np.ndarray:
    """Return (n, 3) uint32 motor steps, back and forth, rows 500 apart, crowded at the ends."""
    line = np.linspace(-1, 1, spectra_a_row)
    x = 132252 + np.round(2000 * np.sin(line * np.pi / 2)).astype(int)
    x = np.concatenate([x[::-1] if row % 2 else x for row in range(rows)])
    y = np.repeat(111816 + 500 * np.arange(rows), spectra_a_row)
    return np.column_stack([x, y, np.full_like(x, 46018)]).astype(np.uint32)


def counts(n: int = N, channels: int = CHANNELS) -> np.ndarray:
    """Return (n, channels) uint16 counts; no two spectra or channels are alike."""
    return np.random.default_rng(7).poisson(2.0, (n, channels)).astype(np.uint16)


def selected_index(rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """Return (rows, columns, 1) uint64: the middle spectra of each row, from left to right."""
    index = np.arange(rows * SPECTRA_A_ROW).reshape(rows, SPECTRA_A_ROW)
    index[1::2] = index[1::2, ::-1]
    return index[:, 1 : columns + 1, np.newaxis].astype(np.uint64)


def layout() -> dict[str, Any]:
    """Return the datasets by name: an array, or (object array, vlen dtype)."""
    blob = np.frombuffer(b"\0\1\0\0", dtype=BLOB)
    nothing = vlen([np.empty(0, BLOB)], BLOB)
    n, k = np.arange(N), 3
    return {
        "Configuration/FinalSystemStatus": vlen([blob], BLOB),
        "Configuration/InitialSystemStatus": vlen([blob], BLOB),
        "Configuration/Settings": vlen([blob], BLOB),
        "CreatedDateTime": characters("10/15/2021 14:20:02", 50),
        "CreatedWithSoftwareVersion": characters("CRONO 1.2.4.54", 50),
        "FileStructureVersion": np.array([1, 6], np.int32),
        "Images/Documentation": nothing,
        "Images/ImageAdjusting/ImagePixelSizeRatio": np.array([[11.085714, 11.085714]], "f4"),
        "Images/Static": vlen([np.empty(0, BLOB), blob], BLOB),
        "Images/StitchedImage": nothing,
        "Images/VideoStreams": nothing,
        "XRF/CalibrationPoints": np.array([[7, 8.046], [19, 22.163]], np.float32),
        "XRF/DPPStartTimestamp": np.full(N, 125903380430, np.uint64),
        "XRF/Detected": counts().sum(axis=1).astype(np.uint32),
        "XRF/EnergyVector": np.linspace(-1.1700948, 47.7792, CHANNELS, dtype=np.float32),
        "XRF/LiveTimes": (59300 + n).astype(np.uint64),
        "XRF/Maps/ComputedMaps": np.full((ROWS, COLUMNS, k), np.nan),
        "XRF/MotorsPositions": positions(),
        "XRF/MotorsPositionsStats": np.ones(N, np.uint8),
        "XRF/MotorsTimestamps": np.column_stack([8402 + 13 * n] * 3).astype(np.uint64),
        "XRF/OutputCountRates": 8.0 + n / N,
        "XRF/ROIs/ROIsEnergies": np.array([[3.516, 3.85], [6.169, 6.612], [7.549, 7.549]]),
        "XRF/ROIs/ROIsNames": names("CaKa", "FeKa", "CuKa"),
        "XRF/ROIs/ROIsObjects": vlen([blob] * k, BLOB),
        "XRF/RealTimes": np.full(N, 60000, np.uint64),
        "XRF/ResetCounterValue": np.full(N, 9, np.uint32),
        "XRF/Spectra": counts(),
        "XRF/SpectraIDs": (20518 + n).astype(np.uint16),
        "XRF/SpectraSelectedIndex": selected_index(),
        "XRF/Timestamps": (14_880_000 + 60_000 * n).astype(np.uint64),
        "XRF/XComputedMapsCoordinate": np.full((ROWS, COLUMNS, 1), np.nan),
        "XRF/YComputedMapsCoordinate": np.full((ROWS, COLUMNS, 1), np.nan),
    }


def write_crono(path: Path, replace: Mapping[str, Any] | None = None, **storage: Any) -> Path:
    """Write a small scan of 4 rows by 3 columns, 20 spectra of 40 channels; return its path.

    Parameters
    ----------
    path : Path
        The file to write.
    replace : mapping, optional
        Datasets by name to write instead: an array, (object array, vlen dtype), an
        `h5py.SoftLink` or `h5py.ExternalLink`, `h5py.Empty`, `dict` for a group, or None to
        leave the dataset out.
    **storage
        Keywords of `h5py.Group.create_dataset` for `XRF/Spectra`, such as `chunks` and
        `compression`.
    """
    with h5py.File(path, "w") as file:
        for name, value in (layout() | dict(replace or {})).items():
            if value is None:
                continue
            if isinstance(value, dict):
                file.create_group(name)
            elif isinstance(value, h5py.SoftLink | h5py.ExternalLink):
                file[name] = value
            elif isinstance(value, tuple):
                file.create_dataset(name, data=value[0], dtype=value[1])
            else:
                keywords = storage if name == "XRF/Spectra" else {}
                file.create_dataset(name, data=value, **keywords)
        for status, time in (("Initial", "14:20:06"), ("Final", "14:27:31")):
            owner = file[f"Configuration/{status}SystemStatus"]
            owner.attrs["DateTime"] = characters(f"10/15/2021 {time}")[np.newaxis]
            owner.attrs["TubeTemperature"] = np.array([57.33])
        settings = file["Configuration/Settings"].attrs
        settings["Acceleration"] = np.array([100.0])
        settings["Collimator"] = characters("0,5 mm")[np.newaxis]
        settings["Filter"] = characters("Al 100 µm")[np.newaxis]
        settings.create("MapSetup", np.frombuffer(b"\0\1\0\0\xff", BLOB), dtype=BLOB)
        if "XRF/CalibrationPoints" in file:
            file["XRF/CalibrationPoints"].attrs["CalibrationBins"] = np.array([CHANNELS])
    return path


def _broken(name: str, message: str) -> Callable[..., Callable[[Path], Path]]:
    """Register a function of a folder that writes a file which cannot be read."""

    def register(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        BROKEN[name], MESSAGES[name] = write, message
        return write

    return register


def _broken_by(name: str, replace: Mapping[str, Any], message: str) -> None:
    """Register a scan with some datasets replaced."""
    _broken(name, message)(lambda folder: write_crono(folder / "broken.HDF5", replace))


@_broken("not-existing", "does not exist")
def not_existing(folder: Path) -> Path:
    """Return a name that leads nowhere."""
    return folder / "broken.HDF5"


@_broken("folder", "is a folder")
def a_folder(folder: Path) -> Path:
    """Return a folder with the name of a scan."""
    path = folder / "broken.HDF5"
    path.mkdir()
    return path


@_broken("empty-file", "is empty (0 bytes)")
def empty_file(folder: Path) -> Path:
    """Write nothing, as a copy that failed at once."""
    path = folder / "broken.HDF5"
    path.touch()
    return path


@_broken("not-hdf5", "is not an HDF5 file")
def not_hdf5(folder: Path) -> Path:
    """Write a text under the name of a scan."""
    path = folder / "broken.HDF5"
    path.write_text("x,y,counts\n" * 100)
    return path


@_broken("truncated", "is cut short")
def truncated(folder: Path) -> Path:
    """Write a scan and cut its last third, as a copy that broke off."""
    path = write_crono(folder / "broken.HDF5")
    raw = path.read_bytes()
    path.write_bytes(raw[: 2 * len(raw) // 3])
    return path


@_broken("damaged-tree", "XRF/Spectra cannot be opened")
def damaged_tree(folder: Path) -> Path:
    """Write a scan and overwrite the group nodes that hold the names."""
    path = write_crono(folder / "broken.HDF5")
    path.write_bytes(path.read_bytes().replace(b"SNOD", b"XXXX"))
    return path


@_broken("bad-superblock", "cannot be opened as HDF5")
def bad_superblock(folder: Path) -> Path:
    """Write a scan in a version of HDF5 that no library knows."""
    path = write_crono(folder / "broken.HDF5")
    raw = bytearray(path.read_bytes())
    raw[8] = 99  # follows the signature
    path.write_bytes(raw)
    return path


@_broken("damaged-header", "XRF/EnergyVector cannot be opened: Unable to synchronously open")
def damaged_header(folder: Path) -> Path:
    """Overwrite the start of the object header of the energies."""
    path = write_crono(folder / "broken.HDF5")
    with h5py.File(path) as file:
        address = h5py.h5o.get_info(file["XRF/EnergyVector"].id).addr
    raw = bytearray(path.read_bytes())
    raw[address] = 99  # its version
    path.write_bytes(raw)
    return path


@_broken("unknown-type", "XRF/EnergyVector cannot be opened: No NumPy equivalent")
def unknown_type(folder: Path) -> Path:
    """Write energies in HDF5's type of times, for which numpy has none."""
    path = write_crono(folder / "broken.HDF5", {"XRF/EnergyVector": None})
    with h5py.File(path, "a") as file:
        space = h5py.h5s.create_simple((CHANNELS,))
        h5py.h5d.create(file["XRF"].id, b"EnergyVector", h5py.h5t.UNIX_D32LE, space)
    return path


@_broken("external-link", "XRF/Spectra keeps its values in another file")
def external_link(folder: Path) -> Path:
    """Write a scan whose spectra are a link to another scan's."""
    write_crono(folder / "other.HDF5")
    link = h5py.ExternalLink("other.HDF5", "XRF/Spectra")
    return write_crono(folder / "broken.HDF5", {"XRF/Spectra": link})


@_broken("virtual-spectra", "XRF/Spectra keeps its values in another file")
def virtual_spectra(folder: Path) -> Path:
    """Write a scan whose spectra are a view of a file that is gone: HDF5 would read zeros."""
    path = write_crono(folder / "broken.HDF5", {"XRF/Spectra": None})
    view = h5py.VirtualLayout(shape=(N, CHANNELS), dtype=np.uint16)
    view[...] = h5py.VirtualSource("gone.HDF5", "XRF/Spectra", shape=(N, CHANNELS))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("XRF/Spectra", view)
    return path


@_broken("external-energies", "XRF/EnergyVector keeps its values in another file")
def external_energies(folder: Path) -> Path:
    """Write a scan whose energies are the raw bytes of any other file."""
    path = write_crono(folder / "broken.HDF5", {"XRF/EnergyVector": None})
    other = folder / "other.raw"
    other.write_bytes(bytes(4 * CHANNELS))
    with h5py.File(path, "a") as file:
        file.create_dataset("XRF/EnergyVector", (CHANNELS,), "f4", external=str(other))
    return path


@_broken("energies-filter", "XRF/EnergyVector cannot be read")
def energies_filter(folder: Path) -> Path:
    """Write a scan whose energies went through a filter that nobody has."""
    path = write_crono(folder / "broken.HDF5", {"XRF/EnergyVector": None})
    _write_unknown_filter(path, "XRF/EnergyVector", layout()["XRF/EnergyVector"])
    return path


def _write_unknown_filter(path: Path, name: str, values: np.ndarray) -> None:
    """Add a dataset, one chunk, marked as written with a filter that is not installed."""
    with h5py.File(path, "a") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(values.shape)
        plist.set_filter(UNKNOWN_FILTER, h5py.h5z.FLAG_OPTIONAL)
        group, leaf = name.rsplit("/", 1)
        dataset = h5py.h5d.create(
            file[group].id,
            leaf.encode(),
            h5py.h5t.py_create(values.dtype),
            h5py.h5s.create_simple(values.shape),
            plist,
        )
        dataset.write_direct_chunk((0,) * values.ndim, values.tobytes())


def _register_replacements() -> None:
    """Register the scans that are broken by one dataset."""
    for name in (
        "XRF/Spectra",
        "XRF/EnergyVector",
        "XRF/MotorsPositions",
        "XRF/SpectraSelectedIndex",
    ):
        leaf = name.rsplit("/", 1)[-1]
        _broken_by(f"no-{leaf}", {name: None}, f"{name} is missing; expected")
        _broken_by(f"empty-{leaf}", {name: h5py.Empty("u2")}, f"{name} holds no values")
        _broken_by(f"group-{leaf}", {name: {}}, f"{name} is a group, not a dataset")
        link = h5py.SoftLink("/gone")
        _broken_by(f"dangling-{leaf}", {name: link}, f"{name} is missing, its link leads nowhere")
        link = h5py.ExternalLink("gone.HDF5", "/gone")
        _broken_by(f"gone-{leaf}", {name: link}, f"{name} keeps its values in another file")

    spectra, energies = counts(), layout()["XRF/EnergyVector"]
    steps, index = positions(), selected_index()
    key = "XRF/Spectra"
    _broken_by("spectra-float", {key: spectra.astype("f4")}, "XRF/Spectra is float32 of shape")
    cube = spectra.reshape(ROWS, SPECTRA_A_ROW, CHANNELS)
    _broken_by("spectra-3d", {key: cube}, "expected whole-number counts")
    _broken_by("no-spectra", {key: spectra[:0]}, "XRF/Spectra has no spectra")
    _broken_by("no-channels", {key: spectra[:, :0]}, "XRF/Spectra has no channels")

    key = "XRF/EnergyVector"
    _broken_by("energies-short", {key: energies[1:]}, f"of shape ({CHANNELS - 1},); expected")
    _broken_by("energies-2d", {key: energies[None]}, f"of shape (1, {CHANNELS}); expected")
    _broken_by("energies-text", {key: energies.astype("S8")}, f"{key} is |S8")
    for label, value in (("nan", np.nan), ("inf", np.inf)):
        wrong = energies.copy()
        wrong[11] = value
        _broken_by(f"energies-{label}", {key: wrong}, f"{key} is {label} at channel 11")
    wrong = energies.copy()
    wrong[23] = wrong[22]
    _broken_by("energies-equal", {key: wrong}, f"{key} does not increase at channel 23")
    _broken_by("energies-falling", {key: energies[::-1]}, "does not increase at channel 1:")
    large = energies.astype("f8")
    large[-1] = 1e300
    _broken_by("energies-overflow", {key: large}, f"{key} is inf at channel {CHANNELS - 1}")

    key = "XRF/MotorsPositions"
    _broken_by("positions-few", {key: steps[1:]}, f"expected shape ({N}, 3)")
    _broken_by("positions-x-only", {key: steps[:, :1]}, f"of shape ({N}, 1); expected")
    _broken_by("positions-text", {key: steps.astype("S8")}, f"{key} is |S8")
    _broken_by("positions-1d", {key: steps[:, 0]}, f"of shape ({N},); expected")
    wrong = steps.astype("f8")
    wrong[13, 1] = np.nan
    _broken_by("positions-nan", {key: wrong}, "at spectrum 13, one of 1 that are not finite")
    still = np.broadcast_to(steps[0], steps.shape).copy()
    still[:, 2] += np.arange(N, dtype=np.uint32)  # only z moves
    _broken_by("positions-equal", {key: still}, "a map cannot be made of a single place")

    key = "XRF/SpectraSelectedIndex"
    _broken_by("index-1d", {key: index.ravel()}, f"of shape ({ROWS * COLUMNS},); expected")
    deep = np.repeat(index, 2, axis=2)
    _broken_by("index-deep", {key: deep}, f"of shape ({ROWS}, {COLUMNS}, 2); expected")
    _broken_by("index-empty", {key: index[:, :0]}, f"of shape ({ROWS}, 0, 1); expected")
    _broken_by("index-float", {key: index.astype("f4")}, f"{key} is float32")
    wrong = index.copy()
    wrong[2, 1] = N
    _broken_by("index-beyond", {key: wrong}, f"is {N} at row 2, column 1, one of 1 outside 0..19")
    wrong = index.copy()
    wrong[3, 0] = np.iinfo(np.uint64).max  # -1 once cast to int64
    _broken_by("index-huge", {key: wrong}, "at row 3, column 0, one of 1 outside 0..19")
    wrong = index.astype("i4")
    wrong[0, 2] = -1
    _broken_by("index-negative", {key: wrong}, "is -1 at row 0, column 2")


_register_replacements()


def _broken_counts(name: str, message: str) -> Callable[..., Callable[[Path], Path]]:
    """Register a function that writes a scan whose counts cannot be read."""

    def register(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        BROKEN_COUNTS[name], MESSAGES[name] = write, message
        return write

    return register


def _write_one_count(folder: Path, dtype: str, value: int) -> Path:
    """Write a scan with one wrong count, in spectrum 13, channel 17."""
    spectra = counts().astype(dtype)
    spectra[13, 17] = value
    return write_crono(folder / "broken.HDF5", {"XRF/Spectra": spectra})


@_broken_counts("negative-count", "spectrum 13 has -1 counts in channel 17")
def negative_count(folder: Path) -> Path:
    """Write a count below zero."""
    return _write_one_count(folder, "i4", -1)


@_broken_counts("large-count", "spectrum 13 has 65536 counts in channel 17")
def large_count(folder: Path) -> Path:
    """Write a count that 16 bits cannot hold, and that would become 0."""
    return _write_one_count(folder, "u4", 65536)


@_broken_counts("damaged-chunk", "copy the file again")
def damaged_chunk(folder: Path) -> Path:
    """Overwrite the compressed bytes of spectra 10 to 14."""
    path = write_crono(folder / "broken.HDF5", chunks=(SPECTRA_A_ROW, CHANNELS), compression="gzip")
    with h5py.File(path) as file:
        chunk = file["XRF/Spectra"].id.get_chunk_info_by_coord((10, 0))
    raw = bytearray(path.read_bytes())
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(raw)
    return path


@_broken_counts("spectra-filter", f"HDF5 filter {UNKNOWN_FILTER} is not installed")
def spectra_filter(folder: Path) -> Path:
    """Write counts with a filter that nobody has."""
    path = write_crono(folder / "broken.HDF5", {"XRF/Spectra": None})
    _write_unknown_filter(path, "XRF/Spectra", counts())
    return path
