"""Damage to bytes, whatever they mean: what disks, cables and interrupted copies do."""

from __future__ import annotations

import numpy as np

from .cases import pick

__all__ = ["damaged"]

_WORDS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1)


def damaged(data: bytes, rng: np.random.Generator, places: np.ndarray | None = None) -> bytes:
    """Return bytes with one kind of damage.

    Parameters
    ----------
    data : bytes
        At least one.
    rng : Generator
        Decides everything.
    places : (k,) int, optional
        Where to do it; by default anywhere.
    """
    if not data:
        return b"\0" * int(rng.integers(1, 64))
    if places is None or not len(places):
        places = np.arange(len(data)) if len(data) < 2**16 else rng.integers(len(data), size=2**12)
    return pick(rng, _DAMAGES)(data, rng, places)


def _flip(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    raw = bytearray(data)
    for at in rng.choice(places, int(pick(rng, (1, 1, 1, 2, 4, 16)))):
        raw[at] ^= 1 << int(rng.integers(8))
    return bytes(raw)


def _set(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    raw = bytearray(data)
    for at in rng.choice(places, int(pick(rng, (1, 1, 2, 8)))):
        raw[at] = int(pick(rng, (0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256)))))
    return bytes(raw)


def _word(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    at, size = int(rng.choice(places)), int(pick(rng, (2, 4, 8)))
    word = (int(pick(rng, _WORDS)) % 2 ** (8 * size)).to_bytes(size, "little")
    return (data[:at] + word + data[at + size :])[: max(len(data), at + size)]


def _truncate(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    del places
    left = rng.integers(len(data)) if rng.random() < 0.5 else len(data) - rng.integers(1, 100)
    return data[: max(int(left), 0)]


def _block(rng: np.random.Generator, places: np.ndarray) -> tuple[int, int]:
    start = int(rng.choice(places))
    return start, start + int(2 ** rng.uniform(0, 10))


def _zero(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    start, stop = _block(rng, places)
    filler = int(pick(rng, (0, 0, 0xFF)))
    return data[:start] + bytes([filler]) * (min(stop, len(data)) - start) + data[stop:]


def _insert(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    start, stop = _block(rng, places)
    return data[:start] + rng.bytes(stop - start) + data[start:]


def _delete(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    start, stop = _block(rng, places)
    return data[:start] + data[stop:]


def _duplicate(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    start, stop = _block(rng, places)
    return data[:stop] + data[start:stop] + data[stop:]


def _exchange(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    start, stop = _block(rng, places)
    other = int(rng.integers(len(data)))
    raw = bytearray(data)
    raw[start:stop] = data[other : other + stop - start]
    return bytes(raw)


def _random(data: bytes, rng: np.random.Generator, places: np.ndarray) -> bytes:
    start, stop = _block(rng, places)
    return data[:start] + rng.bytes(stop - start) + data[stop:]


_DAMAGES = (
    _flip, _flip, _flip, _set, _set, _word, _word, _truncate, _zero, _insert, _delete,
    _duplicate, _exchange, _random,
)  # fmt: skip
