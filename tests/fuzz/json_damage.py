"""Damage to JSON: values of the wrong type, absurd numbers, texts that no parser likes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .cases import pick
from .raw_damage import damaged

__all__ = ["absurd_value", "damaged_json", "damaged_value"]

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 0.5, -0.0, 1e308, -1e308, 1e-320, 5e-324,
    float("nan"), float("inf"), float("-inf"), 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64,
    -(2**63), 10**12, 10**18, 10**400, "", " ", "x", "0", "1e999", "nan", "7", "selected",
    "kriging", "vendor", "../../etc/passwd", "/etc/passwd", "C:\\x", "\x00", "\x1b[2J", "\ud800",
    "<script>alert(1)</script>", "é\u202e", "x" * 10_000, [], [0], [1, 2], [[]], [None],
    [float("nan")] * 3, ["x"] * 3, list(range(1000)), {}, {"x": 1}, {"": None}, [1e308, 1e308],
)  # fmt: skip

_DTYPES = (
    "<u2", ">u2", "|u1", "<i8", "<f4", "<f8", "<f2", "<c16", "|b1", "|O", "|S5", "<U7", "|V9",
    "<M8[s]",
    "<m8[ns]", "", "x", "<u3", "u2,u2", "<f16", "|S0", "|V0", "<U0", "|S2000000000", "<u2,",
    [["a", "<u2"]], [["a", "<u2", [10**9]]], [["a", "|O"]], "(1000000,1000000)u1", "object", 5,
    None,
)  # fmt: skip

_COMPRESSORS: tuple[Any, ...] = (
    None, {}, [], "zstd", 7, {"id": "nothing"}, {"id": None}, {"id": []}, {"id": "pickle"},
    {"id": "json2"}, {"id": "msgpack2"}, {"id": "vlen-bytes"}, {"id": "zlib", "level": 1},
    {"id": "zlib", "level": 10**9}, {"id": "zlib", "level": "x"}, {"id": "gzip"}, {"id": "bz2"},
    {"id": "lzma"}, {"id": "lzma", "format": 99, "preset": "x"}, {"id": "lz4"}, {"id": "zstd"},
    {"id": "zstd", "unknown": 1}, {"id": "blosc"}, {"id": "blosc", "cname": "nothing"},
    {"id": "blosc", "cname": "lz4", "clevel": -5, "shuffle": 99, "blocksize": -1},
    {"id": "blosc", "cname": 5}, {"id": "blosc", "cname": "zstd", "blocksize": 2**31},
    {"id": "blosc", "cname": "\x00"}, {"id": "delta", "dtype": "<u2"},
    {"id": "fixedscaleoffset", "scale": 0, "offset": 0, "dtype": "<f8"},
    {"id": "crc32"}, {"id": "packbits"}, {"id": "categorize", "labels": ["a"], "dtype": "|O"},
)  # fmt: skip


def absurd_value(rng: np.random.Generator) -> Any:
    """Return a JSON value that is seldom the right one."""
    return pick(rng, _VALUES)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return each container with each of its keys, through a whole JSON value."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += _places(inner)
    return found


def damaged_value(value: Any, rng: np.random.Generator) -> Any:
    """Return a copy of a JSON value with one or few of its parts replaced or taken away."""
    value = json.loads(json.dumps(value))
    for _ in range(int(pick(rng, (1, 1, 1, 2, 4)))):
        places = _places(value) if isinstance(value, dict | list) else []
        if not places:
            return absurd_value(rng)
        owner, key = pick(rng, places)
        what = rng.random()
        if what < 0.15:
            del owner[key]
        elif what < 0.25:
            owner[key] = [owner[key]] if rng.random() < 0.5 else {"x": owner[key]}
        elif what < 0.4 and isinstance(owner[key], int | float):
            owner[key] = owner[key] * float(pick(rng, (-1, 0, 2, 0.5, 1e3, 1e6, 1e12, 1e300)))
        elif what < 0.45:
            other_owner, other = pick(rng, places)
            owner[key] = json.loads(json.dumps(other_owner[other])) if other in (
                other_owner if isinstance(other_owner, dict) else range(len(other_owner))
            ) else None  # fmt: skip
        else:
            owner[key] = absurd_value(rng)
    return value


def _described_wrongly(meta: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return the ``.zarray`` of an array with something that a reader may believe."""
    rank = len(meta["shape"])
    sizes = (0, 1, 2, 3, 2**16, 10**6, 2**31, 2**32, 10**12, 2**62, 2**63 - 1, -1, 7.5, "7", None)
    if not rank:
        return meta | {"shape": [int(pick(rng, (1, 10**12)))]}
    at = int(rng.integers(rank))
    change = pick(
        rng,
        ("shape", "chunks", "both", "rank", "dtype", "compressor", "filters", "order",
         "separator", "fill", "format"),
    )  # fmt: skip
    changed = json.loads(json.dumps(meta))
    if change in ("shape", "both"):
        changed["shape"][at] = pick(rng, sizes)
    if change in ("chunks", "both"):
        changed["chunks"][at] = pick(rng, sizes)
    if change == "rank":
        more = int(pick(rng, (0, 1, rank + 1, 40, 5000)))
        changed["shape"], changed["chunks"] = [1] * more, [1] * int(pick(rng, (more, rank)))
    values = {
        "dtype": ("dtype", _DTYPES),
        "compressor": ("compressor", _COMPRESSORS),
        "filters": ("filters", tuple([one] for one in _COMPRESSORS)),
        "order": ("order", ("F", "A", None, 5, [])),
        "separator": ("dimension_separator", ("/", "", None, "..", 5)),
        "fill": ("fill_value", (None, "NaN", "x", [], {}, 1e400, -1, 10**30)),
        "format": ("zarr_format", (0, 1, 3, "2", None, 2.0)),
    }
    if change in values:
        key, choices = values[change]
        changed[key] = pick(rng, choices)
    return changed


def _odd_text(text: str, rng: np.random.Generator) -> bytes:
    """Return JSON as no program should write it."""
    depth = int(pick(rng, (500, 5000, 100_000)))
    digits = "9" * int(pick(rng, (400, 5000, 100_000)))
    return pick(
        rng,
        (
            b"[" * depth,
            b"[" * depth + b"]" * depth,
            b'{"a":' * depth + b"1" + b"}" * depth,
            text.replace(":", ": " + "[" * depth + "]" * depth + ', "x":', 1).encode(),
            text.replace(": 1", f": {digits}", 1).encode(),
            text.replace(":", f': {digits}, "x":', 1).encode(),
            text.replace(": 1", ": NaN", 1).encode(),
            text.replace(": 1", ": -Infinity", 1).encode(),
            text.encode("utf-16"),
            b"\xef\xbb\xbf" + text.encode(),
            b"\xff\xfe\x00" + text.encode(),
            text.encode() + b"\0",
            text.encode() + text.encode(),
            text.replace("{", '{"schema": 5, ', 1).encode(),
            text.replace('"', "'").encode(),
            b"", b"null", b"5", b'"text"', b"[]", b"{}", b"true", b"NaN", b"\0" * 500,
            b" " * 10**6,
        ),
    )  # fmt: skip


def damaged_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the text of a JSON document with damage to its bytes, its values or its form."""
    value = json.loads(data)
    is_array = isinstance(value, dict) and "chunks" in value and "shape" in value
    what = rng.random()
    if what < 0.15:
        return damaged(data, rng)
    if what < 0.3:
        return _odd_text(json.dumps(value, indent=1), rng)
    if is_array and what < 0.8:
        return json.dumps(_described_wrongly(value, rng)).encode()
    return json.dumps(damaged_value(value, rng)).encode()
