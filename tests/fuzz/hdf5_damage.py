"""Damage to an HDF5 file: bytes, datasets of another kind, links that lead elsewhere."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from .cases import pick
from .raw_damage import damaged

__all__ = ["damage_hdf5"]

_TABLE = "XRF/Spectra"
_NUMBERS = (
    "XRF/EnergyVector", "XRF/MotorsPositions", "XRF/SpectraSelectedIndex", "XRF/LiveTimes",
    "XRF/RealTimes", "XRF/Timestamps", "XRF/ROIs/ROIsEnergies", "XRF/CalibrationPoints", _TABLE,
    "FileStructureVersion",
)  # fmt: skip
_TEXTS = ("CreatedDateTime", "CreatedWithSoftwareVersion", "XRF/ROIs/ROIsNames")
_OWNERS = (
    "Configuration/Settings", "Configuration/InitialSystemStatus", "XRF/CalibrationPoints",
    "Configuration/FinalSystemStatus", _TABLE, "/", "XRF",
)  # fmt: skip
_FAILURES = (OSError, ValueError, TypeError, KeyError, RuntimeError, OverflowError)
"""What h5py says to a change that is not possible, or to a file that was spoilt before."""


def damage_hdf5(path: Path, rng: np.random.Generator) -> None:
    """Spoil a Crono file that lies at a path."""
    if rng.random() < 0.45:
        data = path.read_bytes()
        where = _structure(path) if rng.random() < 0.75 else None
        for _ in range(int(pick(rng, (1, 1, 2, 4)))):
            data = damaged(data, rng, where[where < len(data)] if where is not None else None)
        path.write_bytes(data)
        return
    for _ in range(int(pick(rng, (1, 1, 1, 2)))):
        with suppress(*_FAILURES), h5py.File(path, "r+") as file:
            pick(rng, _DAMAGES)(file, rng)


def _structure(path: Path) -> np.ndarray:
    """Return the places of all bytes that are no counts."""
    return _structure_of(path.stat().st_size, path.read_bytes())


@lru_cache(maxsize=4)
def _structure_of(size: int, data: bytes) -> np.ndarray:
    """Return the places of all bytes but those of long runs of counts, which are small numbers."""
    values = np.frombuffer(data, np.uint8)
    interesting = np.ones(size, bool)
    for marker in (b"TREE", b"SNOD", b"HEAP", b"OHDR", b"GCOL", b"FRHP", b"BTHD", b"\x89HDF"):
        at = data.find(marker)
        while at >= 0:
            interesting[at : at + 512] = True
            at = data.find(marker, at + 1)
    counts = np.convolve((values < 10).astype(np.int16), np.ones(65, np.int16), "same") > 64
    zeros = np.convolve((values == 0).astype(np.int16), np.ones(65, np.int16), "same") > 64
    interesting &= ~(counts & ~zeros)
    return np.flatnonzero(interesting)


def _replace(file: h5py.File, name: str, **options: object) -> h5py.Dataset:
    if name in file:
        del file[name]
    return file.create_dataset(name, **options)


def _remove(file: h5py.File, rng: np.random.Generator) -> None:
    names: list[str] = []
    file.visit(names.append)
    del file[pick(rng, names)]


def _exchange(file: h5py.File, rng: np.random.Generator) -> None:
    one, other = pick(rng, _NUMBERS + _TEXTS), pick(rng, _NUMBERS + _TEXTS)
    file.move(one, "kept")
    file.move(other, one)
    file.move("kept", other)


def _another_type(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS)
    values = file[name][...]
    dtype = pick(
        rng,
        ("u1", "i1", "<u8", ">u4", ">f8", "f2", "c16", "?", "S3", "S1", "V4", "f4,f4", "i8",
         h5py.string_dtype(), h5py.vlen_dtype(np.uint16), h5py.ref_dtype, h5py.regionref_dtype,
         h5py.enum_dtype({"a": 0, "b": 1}, "u2"), np.dtype(("u2", (3,))),
         h5py.opaque_dtype("M8[s]")),
    )  # fmt: skip
    shape = values.shape
    dataset = _replace(file, name, shape=shape, dtype=dtype)
    with suppress(*_FAILURES), np.errstate(all="ignore"):
        dataset[...] = values.astype(dtype) if isinstance(dtype, str) else values


def _another_shape(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS)
    values = file[name][...]
    shapes = (
        (), (0,), (1,), values.shape[::-1], (*values.shape, 1), (1, *values.shape),
        values.shape[:1],
        (0, *values.shape[1:]), (values.shape[0] + 1, *values.shape[1:]), (values.size,),
        (*values.shape[:-1], 0), (1,) * 32,
    )  # fmt: skip
    _replace(file, name, data=np.resize(values, pick(rng, shapes)))


def _huge(file: h5py.File, rng: np.random.Generator) -> None:
    """Declare more values than fit into memory, none of which is in the file."""
    name = pick(rng, _NUMBERS + _TEXTS)
    dataset = file[name]
    large = int(pick(rng, (10**6, 10**8, 10**10, 2**40)))
    rank = max(1, len(dataset.shape))
    shape = list(dataset.shape or (1,))
    shape[int(rng.integers(rank))] = large
    options = {"chunks": tuple(min(size, 1000) for size in shape)} if rng.random() < 0.7 else {}
    if options and rng.random() < 0.5:
        options["compression"] = "gzip"
    _replace(file, name, shape=tuple(shape), dtype=dataset.dtype, **options)
    if rng.random() < 0.5 and name in (_TABLE, "XRF/MotorsPositions"):  # the others, too
        n = shape[0]
        _replace(file, _TABLE, shape=(n, 40), dtype="u2", chunks=(1000, 40))
        _replace(file, "XRF/MotorsPositions", shape=(n, 3), dtype="u4", chunks=(1000, 3))


def _empty(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS + _TEXTS)
    dtype = file[name].dtype
    del file[name]
    file[name] = h5py.Empty(dtype)


def _absurd_numbers(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS)
    values = file[name][...]
    if rng.random() < 0.4:
        values = values.astype(np.float64)
    some = rng.random(values.shape) < float(pick(rng, (0.02, 0.3, 1.0)))
    if values.dtype.kind == "f":
        absurd = pick(rng, (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308, -1e308, 1e-300, 1e12, 2**53))
    else:
        info = np.iinfo(values.dtype)
        absurd = int(pick(rng, (info.max, info.min, 0, 1, info.max // 2, 4000)))
    with np.errstate(all="ignore"):
        values[some] = np.asarray(absurd).astype(values.dtype)
    _replace(file, name, data=pick(rng, (values, values[::-1], np.sort(values, axis=0))))


def _text(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _TEXTS)
    text = pick(
        rng,
        (
            "",
            "x" * 4000,
            "\x1b[2J\x07",
            "13/45/9999 99:99:99",
            "\x00\x01",
            "é",
            "<script>",
            "\u202e",
        ),
    )
    kind = pick(rng, ("S", "O", "vlen", "numbers"))
    if kind == "S":
        _replace(file, name, data=np.array([text.encode()] * 3))
    elif kind == "O":
        _replace(file, name, data=[text or "x"] * 3, dtype=h5py.string_dtype())
    elif kind == "vlen":
        dataset = _replace(file, name, shape=(3,), dtype=h5py.vlen_dtype(np.dtype("S1")))
        dataset[0] = np.frombuffer(text.encode() or b"x", "S1")
    else:
        _replace(file, name, data=rng.normal(size=(3, 2)))


def _attribute(file: h5py.File, rng: np.random.Generator) -> None:
    owner = file[pick(rng, _OWNERS)].attrs
    name = str(pick(rng, ("Acceleration", "DateTime", "x" * 1000, "\x1b[2J", "a/b", "é", "Filter")))
    value = pick(
        rng,
        (np.nan, np.inf, -np.inf, 1e308, 2**63, -1, "", "x" * 50_000, b"\xff\xfe", "\x1b[2J",
         np.full(5000, np.nan), np.zeros((3, 0)), np.zeros((2, 2, 2, 2)), h5py.Empty("f8"),
         np.array([(1, 2.0)], dtype="i4,f8"), np.array([b"10/15/2021", b"x"]), True, 1 + 2j,
         np.array(["a", "b"], dtype=h5py.string_dtype()), file.ref, np.float16(3),
         np.array([file.ref, file.ref], dtype=h5py.ref_dtype), np.longdouble(3)),
    )  # fmt: skip
    owner[name] = value


def _vlen_attribute(file: h5py.File, rng: np.random.Generator) -> None:
    values = np.empty(3, object)
    for i in range(3):
        values[i] = np.arange(i, dtype=np.int32)
    owner = file[pick(rng, _OWNERS)].attrs
    owner.create("vlen", values, dtype=h5py.vlen_dtype(np.int32))
    owner.create("vlen2", np.array(["x", "y" * 300]), dtype=h5py.string_dtype())


def _link(file: h5py.File, rng: np.random.Generator) -> None:
    """Put a link in the place of a dataset: cyclic, upwards, to another file."""
    name = pick(rng, (*_NUMBERS, *_TEXTS, "XRF", "XRF/ROIs", "Configuration", "new"))
    group = "/" if "/" not in name else name.rpartition("/")[0]
    if name in file:
        file.move(name, "moved")
    file[name] = pick(
        rng,
        (h5py.SoftLink(f"/{name}"), h5py.SoftLink("/"), h5py.SoftLink("/moved"),
         h5py.SoftLink("/nowhere"), h5py.SoftLink("../" * 50 + "x"), h5py.SoftLink("x" * 60_000),
         h5py.SoftLink("."), file[group], file["/"], h5py.ExternalLink("other.HDF5", f"/{name}"),
         h5py.ExternalLink("../outside/secret.HDF5", f"/{name}"),
         h5py.ExternalLink(_outside(file), f"/{name}"), h5py.ExternalLink("/dev/zero", "/"),
         h5py.ExternalLink("/etc/passwd", "/x"), h5py.ExternalLink("fifo", "/x"),
         h5py.ExternalLink(Path(file.filename).name, f"/{name}")),
    )  # fmt: skip


def _outside(file: h5py.File) -> str:
    return str(Path(file.filename).parent.parent / "outside" / "secret.HDF5")


def _external_storage(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS)
    dataset = file[name]
    shape, dtype = dataset.shape, dataset.dtype
    where = pick(rng, ("/etc/passwd", "../outside/secret.bin", "/dev/zero", "fifo", "raw.bin"))
    _replace(file, name, shape=shape, dtype=dtype, external=[(where, 0, h5py.h5f.UNLIMITED)])


def _virtual(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS)
    dataset = file[name]
    layout = h5py.VirtualLayout(dataset.shape, dataset.dtype)
    source = pick(
        rng, ("../outside/secret.HDF5", _outside(file), "other.HDF5", ".", "/dev/zero", "fifo")
    )
    layout[...] = h5py.VirtualSource(source, name, dataset.shape, dataset.dtype)
    del file[name]
    file.create_virtual_dataset(name, layout)


def _filter(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS)
    values = file[name][...]
    options = pick(
        rng,
        ({"compression": "gzip"}, {"compression": "lzf"}, {"fletcher32": True}, {"shuffle": True},
         {"scaleoffset": 4}, {"compression": "szip"}, {"compression": "gzip", "shuffle": True}),
    )  # fmt: skip
    chunks = tuple(max(1, size // int(rng.integers(1, 4))) for size in values.shape)
    dataset = _replace(file, name, data=values, chunks=chunks, **options)
    if rng.random() < 0.6:  # a chunk that is no such thing
        raw = dataset.id.read_direct_chunk((0,) * values.ndim)[1]
        mask = int(pick(rng, (0, 0, 0xFFFFFFFF, 1)))
        dataset.id.write_direct_chunk((0,) * values.ndim, damaged(raw, rng), mask)


def _unknown_filter(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS)
    values = file[name][...]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(tuple(max(1, size) for size in values.shape))
    plist.set_filter(int(pick(rng, (32999, 32001, 32008, 300))), h5py.h5z.FLAG_OPTIONAL)
    group, leaf = name.rsplit("/", 1) if "/" in name else ("/", name)
    del file[name]
    space = h5py.h5s.create_simple(values.shape)
    kind = h5py.h5t.py_create(values.dtype)
    dataset = h5py.h5d.create(file[group].id, leaf.encode(), kind, space, plist)
    dataset.write_direct_chunk((0,) * values.ndim, values.tobytes())


def _chunk_bomb(file: h5py.File, rng: np.random.Generator) -> None:
    """Let a chunk of a gigabyte of zeros lie in the file as a megabyte."""
    name = pick(rng, (_TABLE, "XRF/MotorsPositions", "XRF/LiveTimes", "Images/Bomb"))
    shape = (2**23, 64) if name in (_TABLE, "Images/Bomb") else (2**26, 3)
    import zlib

    raw = zlib.compress(b"\0" * 2**20, 9)
    dataset = _replace(file, name, shape=shape, dtype="u2", chunks=shape, compression="gzip")
    dataset.id.write_direct_chunk((0, 0), raw)


def _many_groups(file: h5py.File, rng: np.random.Generator) -> None:
    if rng.random() < 0.5:
        group = file
        for _ in range(1500):
            group = group.create_group("g")
    else:
        for number in range(2000):
            file.create_group(f"many/{number}")


def _odd_names(file: h5py.File, rng: np.random.Generator) -> None:
    for name in (b"\xff\xfe", b"\x1b[2J", b"a\nb", b"x" * 5000, b"..", b" "):
        h5py.h5g.create(file.id, name)
    file["XRF"].create_dataset("\x1b[31m", data=rng.integers(5, size=9))


def _hard_cycle(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, ("XRF/again", "XRF/ROIs/up", "Configuration/round"))
    file[name] = file[pick(rng, ("/", "XRF", "Configuration"))]


def _committed_type(file: h5py.File, rng: np.random.Generator) -> None:
    name = pick(rng, _NUMBERS)
    del file[name]
    file[name] = np.dtype("f8")


def _compact(file: h5py.File, rng: np.random.Generator) -> None:
    """Use what few programs use: a compact layout, fill values, scales, track order."""
    name = pick(rng, _NUMBERS)
    values = file[name][...]
    _replace(
        file, name, shape=values.shape, dtype=values.dtype, fillvalue=values.dtype.type(3),
        maxshape=(None,) * values.ndim, chunks=True, track_times=True,
    )  # fmt: skip


_DAMAGES = (
    _remove, _exchange, _another_type, _another_type, _another_shape, _another_shape, _huge, _huge,
    _empty, _absurd_numbers, _absurd_numbers, _absurd_numbers, _text, _text, _attribute, _attribute,
    _vlen_attribute, _link, _link, _link, _external_storage, _virtual, _filter, _filter,
    _unknown_filter, _chunk_bomb, _many_groups, _odd_names, _hard_cycle, _committed_type, _compact,
)  # fmt: skip
