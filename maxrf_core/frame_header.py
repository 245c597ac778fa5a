"""One camera frame of a Crono file, from its bytes alone: where its JPEG lies, its size, its stamp.

Each element of `Images/Static` from 1 on is a .NET byte array: 27 bytes of header (the stream
header and an ArraySinglePrimitive record of [MS-NRBF], sections 2.6.1 and 2.4.3.3), then a
JPEG, then one byte (MessageEnd). Its EXIF tag DateTimeOriginal holds no date but the detector's
clock in microseconds. That was read off the one frame of a real file that was printed; nothing
here was tried on another.

Nothing in the bytes is trusted: every offset is checked against the length, and no segment is
visited twice. Pillow sees a frame only after this, without its EXIF.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["FrameError", "FrameHeader", "net_byte_array", "read_header", "without_metadata"]

NET_HEADER = bytes.fromhex("0001000000ffffffff0100000000000000") + b"\x0f\x01\x00\x00\x00"
"""[MS-NRBF] 2.6.1 SerializationHeaderRecord, then ArraySinglePrimitive (15) of object 1."""
NET_BYTE, NET_END = b"\x02", b"\x0b"
SEARCH_BYTES = 256
"""Where a JPEG begins at the latest; 27 in the frame that is known."""
MAX_FRAME_BYTES = 4_000_000
MAX_SIDE = 4096
"""Pixels; the frame that is known has 143 x 107."""
MAX_STAMP_DIGITS = 18
MAX_ENTRIES = 512
"""Entries of an EXIF directory that are read at most."""

EXIF_IFD = 0x8769
DATE_TIME_ORIGINAL = 0x9003
_SOI, _EOI, _SOS, _APP0, _APP1, _APP14, _APP15 = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE, 0xEF
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start of frame: ITU-T T.81, table B.1 (C4, C8 and CC are something else)."""
_COMPRESSIONS = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended sequential and progressive, which libjpeg decodes."""


class FrameError(ValueError):
    """A frame cannot be used. The message is the reason, short and the same for all its kind."""


@dataclass(frozen=True)
class FrameHeader:
    """What a frame says of itself.

    Parameters
    ----------
    start, stop : int
        The bytes of its JPEG within the element.
    width, height : int
        Pixels.
    stamp : int
        The detector's clock in microseconds.
    """

    start: int
    stop: int
    width: int
    height: int
    stamp: int


def net_byte_array(content: bytes) -> bytes:
    """Return bytes as .NET's BinaryFormatter writes a byte array: 27 bytes more, and one."""
    return NET_HEADER + struct.pack("<i", len(content)) + NET_BYTE + content + NET_END


def read_header(element: bytes) -> FrameHeader:
    """Return where the JPEG of an element lies, its size and its stamp.

    Parameters
    ----------
    element : bytes
        An element of `Images/Static`.

    Raises
    ------
    FrameError
        If it holds no JPEG, is cut short, too large, or has no stamp.
    """
    if len(element) > MAX_FRAME_BYTES:
        raise FrameError(f"larger than {MAX_FRAME_BYTES} bytes")
    start = element.find(b"\xff\xd8\xff", 0, SEARCH_BYTES + 3)
    if start < 0:
        raise FrameError("no JPEG")
    stop = element.rfind(b"\xff\xd9") + 2
    if stop < start + 4:
        raise FrameError("a JPEG that is cut short")
    size: tuple[int, int] | None = None
    stamp: int | None = None
    for marker, first, last in _segments(element, start, stop):
        if marker in _FRAME_MARKERS and size is None:
            size = _size(marker, element[first:last])
        elif marker == _APP1 and element[first : first + 6] == b"Exif\0\0":
            stamp = _stamp(element[first + 6 : last]) if stamp is None else stamp
    if size is None:
        raise FrameError("a JPEG that is cut short")
    if stamp is None:
        raise FrameError("no time stamp in the EXIF data")
    return FrameHeader(start, stop, *size, stamp)


def without_metadata(element: bytes, header: FrameHeader) -> bytes:
    """Return the JPEG without EXIF, colour profiles and thumbnails, as the decoder may have it."""
    parts = [b"\xff\xd8"]
    end = header.start + 2
    for marker, first, last in _segments(element, header.start, header.stop):
        if not _APP0 < marker <= _APP15 or marker == _APP14:  # APP14 says how colours are coded
            parts.append(b"\xff" + bytes([marker]) + element[first - 2 : last])
        end = last
    parts.append(element[end : header.stop])  # the scan and all after it
    return b"".join(parts)


def _segments(element: bytes, start: int, stop: int) -> list[tuple[int, int, int]]:
    """Return marker, first and last byte of each segment's content, up to the scan's header."""
    found = []
    place = start + 2
    while True:
        while element[place : place + 2] == b"\xff\xff" and place < stop:
            place += 1  # fill bytes
        if place + 4 > stop or element[place] != 0xFF:
            raise FrameError("a JPEG that is cut short")
        marker, length = element[place + 1], int.from_bytes(element[place + 2 : place + 4], "big")
        last = place + 2 + length
        if length < 2 or last > stop or marker in (_SOI, _EOI):
            raise FrameError("a JPEG that is cut short")
        found.append((marker, place + 4, last))
        if marker == _SOS:
            return found
        place = last


def _size(marker: int, content: bytes) -> tuple[int, int]:
    """Return width and height of a start of frame: precision, height, width (T.81, B.2.2)."""
    if marker not in _COMPRESSIONS or len(content) < 6:
        raise FrameError("a JPEG of another kind")
    _, height, width = struct.unpack_from(">BHH", content)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise FrameError(f"more than {MAX_SIDE} pixels a side, or none")
    return width, height


def _stamp(tiff: bytes) -> int:
    """Return the stamp in the EXIF data, from its own directory or the main one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        raise FrameError("EXIF data that cannot be read")
    main = _directory(tiff, order, struct.unpack_from(f"{order}I", tiff, 4)[0])
    text = None
    if EXIF_IFD in main:
        kind, count, field = main[EXIF_IFD]
        if kind == 4 and count == 1:  # LONG, TIFF 6.0 section 2
            inner = _directory(tiff, order, struct.unpack(f"{order}I", field)[0])
            text = _text(tiff, order, inner.get(DATE_TIME_ORIGINAL))
    if text is None:
        text = _text(tiff, order, main.get(DATE_TIME_ORIGINAL))
    if text is None:
        raise FrameError("no time stamp in the EXIF data")
    digits = text.split(b"\0", 1)[0].strip()
    if not digits.isdigit() or len(digits) > MAX_STAMP_DIGITS:
        raise FrameError("a time stamp that is no number of microseconds")
    return int(digits)


_Entry = tuple[int, int, bytes]


def _directory(tiff: bytes, order: str, place: int) -> dict[int, _Entry]:
    """Return type, count and the field of four bytes of each tag (TIFF 6.0, section 2)."""
    if not 8 <= place <= len(tiff) - 2:
        raise FrameError("EXIF data that cannot be read")
    n = struct.unpack_from(f"{order}H", tiff, place)[0]
    if n > MAX_ENTRIES or place + 2 + 12 * n > len(tiff):
        raise FrameError("EXIF data that cannot be read")
    entries = struct.iter_unpack(f"{order}HHI4s", tiff[place + 2 : place + 2 + 12 * n])
    return {tag: (kind, count, field) for tag, kind, count, field in entries}


def _text(tiff: bytes, order: str, entry: _Entry | None) -> bytes | None:
    """Return the value of an entry of type ASCII; None without one."""
    if entry is None or entry[0] != 2:
        return None
    _, count, field = entry
    if count <= 4:
        return field[:count]
    place = struct.unpack(f"{order}I", field)[0]
    if place + count > len(tiff):
        raise FrameError("EXIF data that cannot be read")
    return tiff[place : place + count]
