"""Damage to a zip: its directory, its headers, the way its entries are packed."""

from __future__ import annotations

import struct
import warnings
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np

from .cases import pick
from .raw_damage import damaged
from .store_damage import NAMES, Store, bomb, damaged_store

__all__ = ["damage_zip", "entries_of", "packed"]


def entries_of(path: Path) -> Store:
    """Return the entries of a zip."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(store: Store, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of some entries."""
    buffer = BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in store.items():
            info = zipfile.ZipInfo(name or "_", (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            archive.writestr(info, data)
    return buffer.getvalue()


def damage_zip(path: Path, rng: np.random.Generator) -> None:
    """Spoil a zip that lies at a path."""
    data = pick(rng, _DAMAGES)(path.read_bytes(), entries_of(path), rng)
    path.write_bytes(data)


def _anywhere(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    del store
    return damaged(data, rng)


def _in_directory(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    del store
    start = data.find(b"PK\1\2")
    where = (start, len(data)) if rng.random() < 0.7 else (len(data) - 22, len(data))
    return damaged(data, rng, np.arange(*where))


def _in_headers(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    del store
    offsets = []
    at = data.find(b"PK\3\4")
    while at >= 0:
        offsets.append(at)
        at = data.find(b"PK\3\4", at + 1)
    return damaged(data, rng, (np.array(offsets)[:, None] + np.arange(30)).ravel())


def _in_entries(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    del data
    return packed(damaged_store(store, rng))


def _deflated(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    """Pack it as another program would, and spoil that."""
    del data
    method = int(pick(rng, (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    whole = packed(damaged_store(store, rng) if rng.random() < 0.5 else store, method)
    return damaged(whole, rng) if rng.random() < 0.5 else whole


def _twice(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    del data
    buffer = BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        for each in (store, damaged_store(store, rng)):
            for name, entry in each.items():
                archive.writestr(name or "_", entry)
    return buffer.getvalue()


def _patched(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    """Change fields of an entry, in its header and in the directory alike."""
    del store
    raw = bytearray(data)
    target = pick(rng, _central(data))
    if rng.random() < 0.3:
        roots = [at for at in _central(data) if _name_at(data, at) == b".zattrs"]
        target = roots[0] if roots else target
    local = struct.unpack_from("<I", data, target + 42)[0]
    # offsets of a field in the directory and in the header, its format, and its values
    fields = (
        (8, 6, "<H", (1, 0x41, 0x2000, 0x20, 0x800, 0xFFFF, 8)),  # flags: encrypted and others
        (10, 8, "<H", (1, 6, 8, 9, 12, 14, 93, 95, 99, 0xFFFF)),  # method
        (16, 14, "<I", (0, 0xFFFFFFFF)),  # checksum
        (20, 18, "<I", (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)),  # packed size
        (24, 22, "<I", (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)),  # size
        (28, 26, "<H", (0, 1, 200, 0xFFFF)),  # length of the name
        (30, 28, "<H", (1, 200, 0xFFFF)),  # length of the extra fields
    )
    for _ in range(int(pick(rng, (1, 1, 2)))):
        in_directory, in_header, form, values = pick(rng, fields)
        value = pick(rng, values)
        struct.pack_into(form, raw, target + in_directory, value)
        if rng.random() < 0.7:
            struct.pack_into(form, raw, local + in_header, value)
    if rng.random() < 0.2:
        struct.pack_into("<I", raw, target + 42, int(pick(rng, (0, 1, len(data), 0xFFFFFFFF))))
    return bytes(raw)


def _renamed(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    """Rename an entry to what a zip cannot be asked to write: a zero byte, a path upwards."""
    del store
    at = pick(rng, _central(data))
    name = _name_at(data, at)
    wanted = pick(rng, (b"\0", b"../", b"/", b"C:\\", b"\xff\xfe", b"..\\"))
    new = (wanted + name)[: len(name)] if rng.random() < 0.5 else name[:2] + wanted + name
    return data.replace(name, new[: len(name)])


def _overlapping(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    """Let all entries of the directory be one and the same in the file."""
    del store
    raw = bytearray(data)
    headers = _central(data)
    one = struct.unpack_from("<I", data, pick(rng, headers) + 42)[0]
    for at in headers:
        if rng.random() < 0.5:
            struct.pack_into("<I", raw, at + 42, one)
    return bytes(raw)


def _inflating(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    """Put an entry of two gigabytes there, packed to two megabytes."""
    del data
    name = pick(rng, [".zattrs", *sorted(store)])
    rest = {key: value for key, value in store.items() if key != name}
    small = bomb("deflate")
    honest = rng.random() < 0.5
    size = 2047 * 2**20 if honest else int(pick(rng, (0, 5, 1000)))
    crc = int(rng.integers(2**32))
    raw_name = name.encode()
    local = (
        struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(small), size, len(raw_name), 0
        )
        + raw_name
    )
    body = packed(rest)
    start = body.rfind(b"PK\5\6")
    *_, entries, length, offset, _ = struct.unpack("<4s4H2LH", body[start : start + 22])
    directory = body[offset : offset + length] + struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, len(small), size, len(raw_name), 0, 0,
        0, 0, 0, offset,
    ) + raw_name  # fmt: skip
    end = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, entries + 1, entries + 1, len(directory),
        offset + len(local) + len(small), 0,
    )  # fmt: skip
    return body[:offset] + local + small + directory + end


def _many(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    """Add very many entries, or deep folders."""
    del data
    more = {f"{'d/' * int(pick(rng, (1, 1, 900)))}{n}": b"" for n in range(3000)}
    return packed(store | more | {str(pick(rng, NAMES)): b"x"})


def _other_file(data: bytes, store: Store, rng: np.random.Generator) -> bytes:
    del store
    noise = rng.bytes(5000)
    return pick(
        rng,
        (b"", b"PK", b"PK\5\6" + b"\0" * 18, b"PK\5\6" + b"\xff" * 18, noise, data + noise,
         noise + data, data + data, data[:-22] + b"PK\5\6" + noise[:18], zlib.compress(data)),
    )  # fmt: skip


def _central(data: bytes) -> list[int]:
    """Return where the entries of the directory begin."""
    start = data.rfind(b"PK\5\6")
    count, _, at = struct.unpack_from("<H2L", data, start + 10)
    found = []
    for _ in range(count):
        found.append(at)
        at += 46 + sum(struct.unpack_from("<3H", data, at + 28))
    return found


def _name_at(data: bytes, at: int) -> bytes:
    return data[at + 46 : at + 46 + struct.unpack_from("<H", data, at + 28)[0]]


_DAMAGES = (
    _anywhere, _anywhere, _in_directory, _in_directory, _in_headers, *(_in_entries,) * 14,
    _deflated, _twice, _patched, _patched, _patched, _renamed, _overlapping, _inflating, _many,
    _other_file,
)  # fmt: skip
