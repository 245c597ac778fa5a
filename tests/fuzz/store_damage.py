"""Damage to the entries of a store, whatever holds them: descriptions, chunks, names."""

from __future__ import annotations

import bz2
import json
import lzma
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numcodecs import Blosc, get_codec

from .cases import pick
from .json_damage import damaged_json
from .raw_damage import damaged

__all__ = ["NAMES", "Store", "bomb", "damaged_store"]

Store = dict[str, bytes]
"""Entries of a store by key."""

NAMES = (
    "../x", "../../../../tmp/maxrf-fuzz-escaped", "/tmp/maxrf-fuzz-escaped",  # noqa: S108
    "C:\\x", "C:/x", "\\\\server\\x",
    "..\\x", "", ".", "..", "/", "//", "a//b", "./.zattrs", "counts/../.zattrs", "x" * 300,
    "y/" * 200 + "x",
    "z" * 60_000, "\x1b[2Jx", "a\nb", "é\u202e", "CON", "aux.txt", "counts/by_spectrum/",
    "counts/by_spectrum",
    "counts/by_spectrum/-1.0", "counts/by_spectrum/0.0.0", "counts/by_spectrum/00.0",
    "counts/by_spectrum/²",
    "counts/by_spectrum/1e3.0", "counts/by_spectrum/" + "9" * 5000 + ".0", "zarr.json",
    ".zmetadata",
)  # fmt: skip

_BOMB_BYTES = 2**31 - 2**20


class _Exit:
    """What a pickle may do when it is read: end the process, where the harness sees it."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        import os

        return os._exit, (66,)


@lru_cache(maxsize=8)
def bomb(kind: str) -> bytes:
    """Return few bytes that become some two gigabytes of spaces."""
    block, times = b" " * 2**20, 2047
    if kind in ("deflate", "zlib", "gzip"):
        packer = zlib.compressobj(9, wbits={"deflate": -15, "zlib": 15, "gzip": 31}[kind])
        first = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
        more = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
        return first + more * (times - 1) + packer.flush()
    if kind == "bz2":
        return bz2.compress(block * 16) * (times // 16)
    if kind == "lzma":
        return lzma.compress(block * 16, preset=0) * (times // 16)
    if kind == "lz4":
        return (2**31 - 1).to_bytes(4, "little") + b"\x1f" * 1000
    # zstd (RFC 8878): a frame of one segment with its size, of blocks of one repeated byte
    size = 2**17
    last, other = (((size << 3) | 2 | final).to_bytes(3, "little") + b" " for final in (1, 0))
    blocks = times * 2**20 // size
    return (
        b"\x28\xb5\x2f\xfd\xe0"
        + (blocks * size).to_bytes(8, "little")
        + other * (blocks - 1)
        + last
    )


def damaged_store(store: Store, rng: np.random.Generator) -> Store:
    """Return a store with one or a few things changed.

    Parameters
    ----------
    store : dict of str to bytes
        A whole store, which stays as it is.
    rng : Generator
        Decides everything.
    """
    changed = dict(store)
    for _ in range(int(pick(rng, (1, 1, 1, 2, 3)))):
        damage = pick(rng, _DAMAGES)
        damage(changed, rng)
    return changed


def _key(store: Store, rng: np.random.Generator, endings: tuple[str, ...]) -> str | None:
    return pick(rng, keys) if (keys := [k for k in sorted(store) if k.endswith(endings)]) else None


def _root(store: Store, rng: np.random.Generator) -> None:
    if ".zattrs" in store:
        store[".zattrs"] = _spoilt_json(store[".zattrs"], rng)


def _description(store: Store, rng: np.random.Generator) -> None:
    if key := _key(store, rng, (".zarray",)):
        store[key] = _spoilt_json(store[key], rng)


def _attributes(store: Store, rng: np.random.Generator) -> None:
    if key := _key(store, rng, ("/.zattrs", ".zgroup")):
        store[key] = _spoilt_json(store[key], rng)


def _spoilt_json(data: bytes, rng: np.random.Generator) -> bytes:
    try:
        return damaged_json(data, rng)
    except (ValueError, RecursionError):  # it was spoilt before
        return damaged(data, rng)


def _chunk_key(store: Store, rng: np.random.Generator) -> str | None:
    keys = [key for key in sorted(store) if not key.rpartition("/")[2].startswith(".z")]
    return pick(rng, keys) if keys else None


def _chunk(store: Store, rng: np.random.Generator) -> None:
    """Damage a frame: anywhere, or in the header that says how long it is."""
    if key := _chunk_key(store, rng):
        data = store[key]
        header = np.arange(min(len(data), 48)) if rng.random() < 0.5 else None
        spoilt = damaged(data, rng, header)
        if rng.random() < 0.5 and len(spoilt) >= 16:  # as long as it says
            spoilt = spoilt[:12] + len(spoilt).to_bytes(4, "little") + spoilt[16:]
        store[key] = spoilt


def _values(store: Store, rng: np.random.Generator) -> None:
    """Put absurd numbers, well packed, in the place of an array's chunk."""
    key = _chunk_key(store, rng)
    if key is None:
        return
    try:
        meta = json.loads(store[key.rpartition("/")[0] + "/.zarray"])
        dtype, size = np.dtype(meta["dtype"]), int(np.prod(meta["chunks"]))
        codec = get_codec(meta["compressor"])
        if not 0 < size < 10**6 or len(store[key]) > 10**6:
            return
        values = np.frombuffer(codec.decode(store[key]), dtype).copy()
    except Exception:  # noqa: BLE001 - damaged before; the reader will say so
        return
    if values.size != size:
        return
    some = rng.random(size) < float(pick(rng, (0.02, 0.3, 1.0)))
    if dtype.kind == "f":
        absurd = pick(rng, (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300, 1e12, -1e12))
        with np.errstate(over="ignore"):
            values[some] = np.asarray(absurd).astype(dtype)
    elif dtype.kind in "iu":
        info = np.iinfo(dtype)
        absurd = pick(rng, (info.max, info.min, 0, 1, info.max // 2, 10_000))
        values[some] = np.asarray(absurd).astype(dtype)
    store[key] = codec.encode(pick(rng, (values, values[::-1].copy(), np.sort(values))))


def _bomb(store: Store, rng: np.random.Generator) -> None:
    """Replace a chunk by one that becomes gigabytes, described as if it were so, or not."""
    key = _chunk_key(store, rng)
    if key is None:
        return
    kind = pick(rng, ("zlib", "gzip", "bz2", "lzma", "zstd", "lz4"))
    description = key.rpartition("/")[0] + "/.zarray"
    if description not in store:
        return
    try:
        meta = json.loads(store[description])
    except (ValueError, RecursionError):
        return
    if not isinstance(meta, dict):
        return
    meta["compressor"] = {"id": kind}
    if rng.random() < 0.3:
        meta["chunks"] = meta["shape"] = [_BOMB_BYTES // 8] + [1] * 1
    store[description] = json.dumps(meta).encode()
    store[key] = bomb(kind)


def _blosc_bomb(store: Store, rng: np.random.Generator) -> None:
    """Describe a chunk of a gigabyte of zeros, which is in the file as some kilobytes."""
    key = _chunk_key(store, rng)
    if key is None or key.rpartition("/")[0] + "/.zarray" not in store:
        return
    meta = {
        "zarr_format": 2, "shape": [2**30], "chunks": [2**30], "dtype": "|u1", "order": "C",
        "fill_value": 0, "filters": None, "compressor": Blosc(cname="zstd", clevel=1).get_config(),
    }  # fmt: skip
    if rng.random() < 0.5:
        meta["shape"] = [2**20]
    store[key.rpartition("/")[0] + "/.zarray"] = json.dumps(meta).encode()
    store[key] = _gigabyte()


@lru_cache(maxsize=1)
def _gigabyte() -> bytes:
    return Blosc(cname="zstd", clevel=1).encode(np.zeros(2**30, np.uint8))


def _pickle(store: Store, rng: np.random.Generator) -> None:
    """Ask for a codec that runs what it reads."""
    import pickle

    if key := _key(store, rng, (".zarray",)):
        meta = {
            "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "order": "C",
            "fill_value": 0, "filters": [{"id": "pickle", "protocol": 5}], "compressor": None,
        }  # fmt: skip
        if rng.random() < 0.5:
            meta |= {"dtype": "<u2", "filters": None, "compressor": {"id": "pickle"}}
        store[key] = json.dumps(meta).encode()
        name = key.rpartition("/")[0]
        for chunk in [k for k in store if k.startswith(f"{name}/") and "/.z" not in k]:
            del store[chunk]
        store[f"{name}/0"] = pickle.dumps(_Exit())
        if rng.random() < 0.5:  # as another program's, which zarr opens
            store[".zattrs"] = b"{}"


def _foreign(store: Store, rng: np.random.Generator) -> None:
    """Make it another program's store, which zarr reads for us."""
    store[".zattrs"] = b"{}"
    pick(rng, (_description, _chunk, _bomb, _blosc_bomb, _attributes))(store, rng)


def _remove(store: Store, rng: np.random.Generator) -> None:
    del store[pick(rng, sorted(store))]


def _exchange(store: Store, rng: np.random.Generator) -> None:
    one, other = pick(rng, sorted(store)), pick(rng, sorted(store))
    store[one], store[other] = store[other], store[one]


def _exchange_arrays(store: Store, rng: np.random.Generator) -> None:
    names = sorted(k.rpartition("/")[0] for k in store if k.endswith("/.zarray"))
    if not names:
        return
    one, other = pick(rng, names), pick(rng, names)
    for key in [k for k in store if k.startswith(f"{one}/")]:
        del store[key]
    for key in [k for k in store if k.startswith(f"{other}/")]:
        store[f"{one}/{key.removeprefix(f'{other}/')}"] = store[key]


def _remove_array(store: Store, rng: np.random.Generator) -> None:
    if key := _key(store, rng, ("/.zarray",)):
        name = key.rpartition("/")[0]
        for each in [k for k in store if k.startswith(f"{name}/")]:
            del store[each]


def _name(store: Store, rng: np.random.Generator) -> None:
    key = pick(rng, sorted(store))
    store[str(pick(rng, NAMES))] = store[key]
    if rng.random() < 0.2:
        del store[key]


_DAMAGES = (
    _root, _root, _root, _description, _description, _description, _attributes, _chunk, _chunk,
    _values, _values, _values, _bomb, _blosc_bomb, _pickle, _foreign, _remove, _exchange,
    _exchange_arrays, _remove_array, _name,
)  # fmt: skip
