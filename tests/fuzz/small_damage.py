"""Damage to what lies beside a scan, or comes from elsewhere: JSON, photos, cubes."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from .cases import pick
from .json_damage import damaged_json
from .raw_damage import damaged
from .store_damage import bomb, damaged_store
from .zip_damage import damage_zip, entries_of, packed

__all__ = ["damage_datastack", "damage_photo", "damage_rpl", "damage_text"]


def damage_text(path: Path, rng: np.random.Generator) -> None:
    """Spoil a JSON file."""
    path.write_bytes(damaged_json(path.read_bytes(), rng))


def damage_datastack(path: Path, rng: np.random.Generator) -> None:
    """Spoil a zarr zip of another program."""
    if rng.random() < 0.5:
        damage_zip(path, rng)
        return
    store = entries_of(path)
    described = [key for key in sorted(store) if key.endswith((".zarray", "zarr.json", ".zattrs"))]
    key = pick(rng, described)
    store[key] = damaged_json(store[key], rng)
    path.write_bytes(packed(damaged_store(store, rng) if rng.random() < 0.3 else store))


# --- .rpl and .raw --------------------------------------------------------------------------
_RPL_VALUES = (
    "0", "-1", "1", "2", "3", "7.5", "", "x", "1e9", "99999999999", "9" * 5000, "nan", "inf",
    "-inf",
    "1,5", "1_000", "٣", "\0", "\x1b[2J", "vector", "image", "unsigned", "float", "signed", "8",
    "4",
    "dont-care", "big-endian", "1e308", "1e-320", "0x10", " ", "keV", "eV", "1e400", "2147483648",
)  # fmt: skip
_RPL_KEYS = (
    "width", "height", "depth", "offset", "data-length", "data-type", "byte-order", "record-by",
    "depthscaleorigin", "depthscaleincrement", "depthscaleunits", "ev-per-chan", "depth-scale",
    "depth-origin", "depth-units",
)  # fmt: skip


def damage_rpl(path: Path, rng: np.random.Generator) -> None:
    """Spoil the header of a cube, or the counts beside it."""
    raw = path.with_suffix(".raw")
    if rng.random() < 0.25:
        victim = pick(rng, (path, raw))
        victim.write_bytes(damaged(victim.read_bytes(), rng))
        return
    lines = path.read_text(encoding="latin-1").splitlines()
    for _ in range(int(pick(rng, (1, 1, 2, 3)))):
        key, value = pick(rng, _RPL_KEYS), str(pick(rng, _RPL_VALUES))
        what = rng.random()
        if what < 0.6:
            lines = [line for line in lines if not line.lower().startswith(f"{key} ")]
        if what < 0.9:
            lines.append(f"{key} {value}")
        else:
            lines = [line for line in lines if not line.lower().startswith(f"{key} ")]
    path.write_text("\n".join(lines), encoding="utf-8")
    if rng.random() < 0.1:
        with raw.open("r+b") as file:
            file.truncate(int(pick(rng, (0, 1, 2**33))))


# --- photos ---------------------------------------------------------------------------------
def damage_photo(path: Path, rng: np.random.Generator) -> None:
    """Put a spoilt picture, or a bomb, in the place of a photo."""
    if rng.random() < 0.3:
        path.write_bytes(pick(rng, (_png_bomb, _tiff_bomb, _png_text, _gif, _tiff_tags))(rng))
        return
    image = Image.fromarray(rng.integers(255, size=(23, 31, 3), dtype=np.uint8))
    if rng.random() < 0.4:
        image = image.convert(
            str(pick(rng, ("1", "L", "P", "RGBA", "CMYK", "I", "F", "LA", "I;16")))
        )
    kind = str(pick(rng, ("PNG", "JPEG", "TIFF", "TIFF", "WEBP", "BMP", "GIF", "PPM", "ICO")))
    options: dict[str, object] = {}
    if kind == "TIFF":
        options["compression"] = pick(
            rng,
            (None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits", "group4", "tiff_adobe_deflate"),
        )
    exif = Image.Exif()
    exif[0x0112] = pick(rng, (1, 3, 6, 8, 99, "x"))
    buffer = BytesIO()
    try:
        image.save(buffer, kind, **options, exif=exif)
    except (OSError, ValueError, KeyError, struct.error, RuntimeError, TypeError):
        buffer = BytesIO()
        image.convert("RGB").save(buffer, "PNG")
    data = buffer.getvalue()
    header = np.arange(min(len(data), 256)) if rng.random() < 0.5 else None
    for _ in range(int(pick(rng, (0, 1, 1, 2, 4)))):
        data = damaged(data, rng, header[header < len(data)] if header is not None else None)
    path.write_bytes(data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_bomb(rng: np.random.Generator) -> bytes:
    """Return a PNG of 20,000 x 20,000 pixels, or of any number, in few bytes."""
    sides = (1, 100, 12_000, 20_000, 60_000, 2**31 - 1, 0)
    size = int(pick(rng, sides)), int(pick(rng, sides))
    header = struct.pack(
        ">2I5B", *size, int(pick(rng, (1, 8, 16))), int(pick(rng, (0, 2, 3, 6))), 0, 0, 0
    )
    packed_rows = zlib.compress(b"\0" * int(pick(rng, (10, 10**6, 3 * 10**7))), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", packed_rows)
        + _chunk(b"IEND", b"")
    )


def _png_text(rng: np.random.Generator) -> bytes:
    """Return a PNG whose text or colour profile inflates to a gigabyte."""
    header = struct.pack(">2I5B", 3, 2, 8, 2, 0, 0, 0)
    kind = pick(rng, (b"zTXt", b"iCCP", b"iTXt"))
    between = b"\0\1\0\0\0" if kind == b"iTXt" else b"\0\0"
    rows = zlib.compress(b"\0" * 20)
    return (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(kind,
        b"name" + between + bomb("zlib"))
        + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    )  # fmt: skip


def _tiff(tags: list[tuple[int, int, int, int]], rest: bytes = b"") -> bytes:
    """Return a TIFF of one directory; a tag is number, type, count, value."""
    entries = b"".join(struct.pack("<2H2I", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + rest


def _tiff_bomb(rng: np.random.Generator) -> bytes:
    sides = (1, 300, 12_000, 100_000, 2**31 - 1, 2**32 - 1, 0)
    width, height = int(pick(rng, sides)), int(pick(rng, sides))
    small = zlib.compress(b"\0" * 10**7, 9)
    return _tiff(
        [
            (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, int(pick(rng, (1, 8, 16, 32)))),
            (259, 3, 1, int(pick(rng, (1, 8, 5, 32773, 7, 99)))), (262, 3, 1, int(pick(rng, (0,
            1, 2)))),
            (273, 4, 1, 200), (277, 3, 1, int(pick(rng, (1, 3, 4, 60_000)))),
            (278, 4, 1, height), (279, 4, 1, len(small)),
        ],
        b"\0" * 100 + small,
    )  # fmt: skip


def _tiff_tags(rng: np.random.Generator) -> bytes:
    """Return a TIFF whose tags claim very many values, or whose directories follow each other."""
    data = bytearray(_tiff([
        (256, 4, 1, 5), (257, 4, 1, 5), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, int(pick(rng, (1, 10**6, 2**32 - 1))), 200), (274, 3, int(pick(rng, (1,
        2**31))), 6),
        (277, 3, 1, 1), (278, 4, 1, 5), (279, 4, int(pick(rng, (1, 2**32 - 1))), 25),
    ], b"\0" * 300))  # fmt: skip
    if rng.random() < 0.3:
        data[4:8] = struct.pack("<I", int(pick(rng, (0, 4, 8, 2**31, 2**32 - 1))))
    if rng.random() < 0.5:
        data[10 + 12 * 10 : 14 + 12 * 10] = struct.pack("<I", 8)  # the next is this one
    return bytes(data)


def _gif(rng: np.random.Generator) -> bytes:
    buffer = BytesIO()
    Image.fromarray(rng.integers(255, size=(7, 5), dtype=np.uint8)).save(buffer, "GIF")
    return buffer.getvalue()
