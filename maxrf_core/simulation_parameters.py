"""What decides a simulated scan: its parameters, their limits, and how its file keeps them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Self

from .errors import CronoFileError
from .phantom import PHANTOMS
from .raster import MAX_WOBBLE

__all__ = [
    "BLOCK_SPECTRA",
    "SIMULATION_ATTRIBUTE",
    "SIMULATION_VERSION",
    "SimulationParameters",
    "in_range",
    "parameters_from_json",
]

SIMULATION_ATTRIBUTE = "maxrf_simulation"
"""Root attribute of the file that holds the parameters, as JSON."""
SIMULATION_VERSION = 1
"""Version of the model: equal parameters of one version make an equal file."""
BLOCK_SPECTRA = 2048
"""Spectra drawn with one random generator; part of the version, as the counts depend on it."""


@dataclass(frozen=True)
class SimulationParameters:
    """What decides a simulated scan, as its file keeps it.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the vendor's map.
    seed : int
        Seed of the raster and of the counts.
    phantom : str
        Name of the painting, a key of `maxrf_core.phantom.PHANTOMS`.
    n_channels : int
        Channels of a spectrum.
    counts_per_spectrum : float
        Expected counts, the mean over the scan's spectra.
    lag : float
        Periods by which the exposure's middle is later than the recorded position.
    motion_blur : bool
        Whether the head moves during the exposure.
    wobble_steps : float
        Height of the slow wobble, in motor steps.
    scale : float
        Counts for each unit of the components' strengths.
    version : int
        Version of this model.
    """

    shape: tuple[int, int]
    seed: int
    phantom: str
    n_channels: int
    counts_per_spectrum: float
    lag: float
    motion_blur: bool
    wobble_steps: float
    scale: float = 1.0
    version: int = SIMULATION_VERSION

    def faults(self) -> list[str]:
        """Return what is wrong with the values, one clause each."""
        is_shape = isinstance(self.shape, tuple) and len(self.shape) == 2
        counts = self.counts_per_spectrum
        rules = (
            (
                "shape",
                is_shape and all(in_range(size, 1, 1_000_000, Integral) for size in self.shape),
                "(rows, columns), each 1 to 1000000",
            ),
            ("seed", in_range(self.seed, 0, 2**128 - 1, Integral), "a whole number from 0"),
            ("phantom", self.phantom in PHANTOMS, f"one of {sorted(PHANTOMS)}"),
            ("n_channels", in_range(self.n_channels, 64, 16384, Integral), "64 to 16384"),
            ("counts_per_spectrum", in_range(counts, 1e-3, 1e7), "0.001 to 10000000"),
            ("lag", in_range(self.lag, -2.0, 2.0), "-2 to 2 periods"),
            ("motion_blur", isinstance(self.motion_blur, bool), "True or False"),
            (
                "wobble_steps",
                in_range(self.wobble_steps, 0.0, MAX_WOBBLE),
                f"0 to {MAX_WOBBLE:g} motor steps",
            ),
            ("scale", in_range(self.scale, 0.0, 1e9), "a number from 0"),
        )
        return [
            f"{name} is {getattr(self, name)!r}, expected {rule}"
            for name, good, rule in rules
            if not good
        ]

    def plain(self) -> Self:
        """Return the same with numpy's numbers made Python's own, which JSON takes."""
        rows, columns = self.shape
        return replace(
            self,
            shape=(int(rows), int(columns)),
            seed=int(self.seed),
            n_channels=int(self.n_channels),
            counts_per_spectrum=float(self.counts_per_spectrum),
            lag=float(self.lag),
            wobble_steps=float(self.wobble_steps),
        )


def in_range(value: object, low: float, high: float, kind: type[Any] = Real) -> bool:
    """Tell whether a value is a number of a kind (of `numbers`; no bool) from low to high."""
    return isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high


def parameters_from_json(text: Any, filename: str) -> SimulationParameters:
    """Return the parameters that a file's attribute `SIMULATION_ATTRIBUTE` holds.

    Parameters
    ----------
    text : str
        The attribute; of any type, as anybody may have written it.
    filename : str
        For the messages.

    Raises
    ------
    CronoFileError
        If it is no JSON, of another version, incomplete, or a value is out of its limits.
    """
    again = "simulate the scan again with this version."
    try:
        values = json.loads(text)
        version = values["version"]
    except (TypeError, ValueError, KeyError) as error:
        raise CronoFileError(
            f"{filename}: the root attribute {SIMULATION_ATTRIBUTE} is not the JSON text that "
            f"was expected; {again}"
        ) from error
    if version != SIMULATION_VERSION:
        raise CronoFileError(
            f"{filename} was simulated by version {version!r} of the model, this is version "
            f"{SIMULATION_VERSION}, which draws other scans; {again}"
        )
    try:
        parameters = SimulationParameters(**{**values, "shape": tuple(values["shape"])})
        faults = parameters.faults()
    except (TypeError, KeyError) as error:
        raise CronoFileError(
            f"{filename}: the parameters in {SIMULATION_ATTRIBUTE} are incomplete ({error}); "
            f"{again}"
        ) from error
    if faults:
        raise CronoFileError(
            f"{filename}: the parameters in {SIMULATION_ATTRIBUTE} are wrong: {'; '.join(faults)}."
        )
    return parameters
