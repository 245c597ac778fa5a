"""What a case is: a kind of file, spoilt by a generator that its name alone seeds."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Case", "Mutation", "case_from_id", "pick"]

Mutation = Callable[[Path, np.random.Generator], None]
"""Spoils what lies at a path, and perhaps what lies beside it."""


@dataclass(frozen=True)
class Case:
    """One file to read.

    Parameters
    ----------
    kind : str
        What is read, a key of `kinds.KINDS`.
    seed, number : int
        Of the run, and of the case in it; a number below 0 is that of a whole file.
    """

    kind: str
    seed: int
    number: int

    @property
    def name(self) -> str:
        """ID, from which `case_from_id` makes the same case."""
        return f"{self.kind}:{self.seed}:{self.number}"

    def generator(self) -> np.random.Generator:
        """Return the one generator of the case, in its first state."""
        return np.random.default_rng([self.seed, abs(self.number), zlib.crc32(self.kind.encode())])


def case_from_id(text: str) -> Case:
    """Return the case of an ID such as ``zipstore:0:17``."""
    kind, seed, number = text.split(":")
    return Case(kind, int(seed), int(number))


def pick(rng: np.random.Generator, choices: list | tuple) -> object:
    """Return one of some values as it is; numpy would make an array of them."""
    return choices[int(rng.integers(len(choices)))]
