"""Decompression that ends where it should: no chunk becomes more than its array declares.

A file from elsewhere may hold a megabyte that becomes gigabytes. What a codec would make of it is
known before it is made: from the frame's header, or because it is unpacked only so far.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from numcodecs import Blosc, get_codec

__all__ = ["SAFE_CODECS", "decompress", "may_be_frame", "safe_codec", "unpacked_size"]

SAFE_CODECS = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
"""Codecs of numcodecs that only decompress; others, such as "pickle", run what they read."""

_BLOSC_HEADER = 16  # bytes; the last four are the length of the frame (c-blosc README_CHUNK_FORMAT)
_AT_ONCE = 2**24  # bytes unpacked at once, to find out how many there are
_DEFLATE_GROWS = 1032
"""Times that deflate can make of its input at most (zlib's technical details)."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def safe_codec(config: Any) -> Any:
    """Return the numcodecs codec that a store names; None for none.

    Raises
    ------
    ValueError
        If it is none of `SAFE_CODECS`, or its settings make no sense.
    """
    if config is None:
        return None
    name = config.get("id") if isinstance(config, dict) else config
    if not isinstance(name, str) or name not in SAFE_CODECS:
        raise ValueError(f"compressor {name!r}; expected one of {', '.join(sorted(SAFE_CODECS))}")
    try:
        return get_codec(dict(config))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"compressor {config!r} ({error})") from error


def may_be_frame(codec: Any, start: bytes, size: int, raw: int) -> bool:
    """Return whether bytes can be a whole chunk, as far as can be told unread.

    Parameters
    ----------
    codec : numcodecs codec or None
        What compressed it.
    start : bytes
        At least the first 18 bytes, or all there are.
    size : int
        Length in bytes. After a power loss it may be too short, or all be zeros.
    raw : int
        Bytes of the chunk decompressed.
    """
    if codec is None:
        return size == raw
    if isinstance(codec, Blosc):
        return (
            size >= _BLOSC_HEADER
            and int.from_bytes(start[4:8], "little") == raw
            and int.from_bytes(start[12:16], "little") == size
        )
    if codec.codec_id == "lz4":
        return size > 4 and int.from_bytes(start[:4], "little") == raw
    if codec.codec_id == "zstd":
        return _zstd_size(start) == raw
    return size > 0


def decompress(codec: Any, data: bytes | memoryview, raw: int) -> bytes | memoryview:
    """Return the bytes of a chunk.

    Parameters
    ----------
    codec : numcodecs codec or None
        What compressed it.
    data : bytes
        The chunk.
    raw : int
        How many bytes it has to become.

    Raises
    ------
    ValueError
        If it does not become as many, or is damaged.
    """
    if not may_be_frame(codec, bytes(data[:18]), len(data), raw):
        raise ValueError(f"{len(data)} bytes are not a whole chunk")  # Blosc would read on behind
    if codec is None:
        return data
    try:
        found = _unpacked(codec, data, raw)
    except (ValueError, RuntimeError, OSError, EOFError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    except (zlib.error, lzma.LZMAError) as error:
        raise ValueError(str(error)) from error
    if len(found) != raw:
        raise ValueError(f"it becomes other than the {raw} bytes that its array declares")
    return found


def _unpacked(codec: Any, data: bytes | memoryview, raw: int) -> bytes | memoryview:
    """Return at most one byte more than a chunk has."""
    if codec.codec_id in ("zlib", "gzip"):
        return zlib.decompressobj(wbits=47).decompress(data, raw + 1)  # 47: either header
    if codec.codec_id == "bz2":
        return bz2.BZ2Decompressor().decompress(data, raw + 1)
    if codec.codec_id == "lzma":
        return lzma.LZMADecompressor(codec.format, None, codec.filters).decompress(data, raw + 1)
    return memoryview(codec.decode(data)).cast("B")


def _zstd_size(start: bytes) -> int | None:
    """Return the size that the header of a zstd frame names (RFC 8878, 3.1.1.1); None if none."""
    if start[:4] != _ZSTD_MAGIC or len(start) < 6:
        return None
    flags = start[4]
    is_single = bool(flags & 0x20)
    at = 5 + (not is_single) + (0, 1, 2, 4)[flags & 3]
    size = (1 if is_single else 0, 2, 4, 8)[flags >> 6]
    if size == 0:
        return None
    return int.from_bytes(start[at : at + size], "little") + (256 if size == 2 else 0)


def unpacked_size(data: memoryview, enough: int) -> int:
    """Return how many bytes a frame becomes, if it is packed by what its beginning says.

    For stores that another library unpacks. 0 if nothing is known; more than `enough` if that
    cannot be told, or if counting ended there.
    """
    start = bytes(data[:18])
    if start[:1] == b"\2" and int.from_bytes(start[12:16], "little") == len(data):
        return int.from_bytes(start[4:8], "little")
    if start[:4] == _ZSTD_MAGIC:
        size = _zstd_size(start)
        return enough + 1 if size is None else size
    if start[:2] == b"\x1f\x8b" or (
        start[:1] == b"x" and int.from_bytes(start[:2], "big") % 31 == 0
    ):
        if len(data) * _DEFLATE_GROWS <= enough:
            return 0
        return _count(lambda: zlib.decompressobj(wbits=47), data, enough)
    if start[:3] == b"BZh":
        return _count(bz2.BZ2Decompressor, data, enough)
    if start[:6] == b"\xfd7zXZ\0" or start[:3] == b"]\0\0":
        return _count(lzma.LZMADecompressor, data, enough)
    return 0


def _count(new: Callable[[], Any], data: memoryview, enough: int) -> int:
    """Return the bytes of all streams that follow each other, counted as far as needed."""
    total, rest = 0, bytes(data)
    while rest and total <= enough:
        stream = new()
        try:
            while not stream.eof and total <= enough:
                found = stream.decompress(rest, _AT_ONCE)
                total += len(found)
                rest = getattr(stream, "unconsumed_tail", b"")
                if not found and not rest:
                    return total
        except (ValueError, EOFError, OSError, zlib.error, lzma.LZMAError):
            return total  # whoever unpacks it says so
        rest = stream.unused_data
    return total
