"""Spectra drawn from their expectation: exactly Poisson in every channel.

The sum of independent Poisson numbers is Poisson, and a Poisson number of counts thrown at
channels by fixed shares is Poisson in each of them. So each component's counts are one draw a
spectrum, and every count then finds its channel in the time of one table look-up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .compiled import compiled
from .simulation_parameters import BLOCK_SPECTRA
from .truth import SimulatedScan

__all__ = ["Block", "draw_blocks"]

FloatArray = npt.NDArray[np.float64]
AliasTables = tuple[FloatArray, npt.NDArray[np.int32]]

MAX_COUNT = int(np.iinfo(np.uint16).max)
COUNTS_A_RESET = 52.0
"""Counts between two resets of the preamplifier: the real file's 515 counts go with 9 of them,
578 with 11."""


class Block(NamedTuple):
    """Spectra drawn together, and the random parts of their records.

    Attributes
    ----------
    start : int
        Number of the first spectrum.
    counts : ndarray of uint16, shape (m, c)
        Counts of spectra start to start + m - 1.
    resets : ndarray of uint32, shape (m,)
        Resets of the preamplifier.
    motor_times : ndarray of uint64, shape (m, 3)
        The three motors' time stamps, of unknown unit.
    """

    start: int
    counts: npt.NDArray[np.uint16]
    resets: npt.NDArray[np.uint32]
    motor_times: npt.NDArray[np.uint64]


def draw_blocks(truth: SimulatedScan, threads: int) -> Generator[Block, None, None]:
    """Yield the scan's blocks in order, drawn by threads.

    At most `threads` + 1 blocks are in memory. Each depends on the seed and its own number
    alone. Close the generator when it is not used up, to stop the threads.
    """
    tables = _alias_tables(truth.templates)
    waiting: deque[Future[Block]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="simulate")
    try:
        for number in range(math.ceil(truth.n_spectra / BLOCK_SPECTRA)):
            waiting.append(pool.submit(_draw_block, truth, tables, number))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_block(truth: SimulatedScan, tables: AliasTables, number: int) -> Block:
    """Draw one block of spectra; it depends on the seed and the block's number alone."""
    start = number * BLOCK_SPECTRA
    stop = min(start + BLOCK_SPECTRA, truth.n_spectra)
    # The key makes the children that SeedSequence.spawn would, without those before them.
    seeds = np.random.SeedSequence(truth.parameters.seed, spawn_key=(1, number))
    generator = np.random.Generator(np.random.PCG64(seeds))
    numbers = generator.poisson(truth.exposed_rates(np.arange(start, stop)))
    counts = np.zeros((stop - start, truth.parameters.n_channels), dtype=np.uint16)
    _throw_counts(generator, numbers, *tables, counts)
    resets = np.floor(counts.sum(axis=1) / COUNTS_A_RESET + generator.random(stop - start))
    # The unit of the real file's 8479, 11082, 13794 is unknown; nothing reads them.
    motor_times = 8400 + generator.integers(0, 200, (stop - start, 1)) + np.zeros((1, 3))
    return Block(start, counts, resets.astype(np.uint32), motor_times.astype(np.uint64))


def _alias_tables(templates: FloatArray) -> AliasTables:
    """Return Walker's alias tables, thresholds and aliases of shape (k, c).

    A. J. Walker, ACM Trans. Math. Software 3 (1977) 253, https://doi.org/10.1145/355744.355749,
    built as by M. D. Vose, IEEE Trans. Software Eng. 17 (1991) 972.
    """
    thresholds = np.ones_like(templates)
    aliases = np.tile(np.arange(templates.shape[1], dtype=np.int32), (len(templates), 1))
    for template, threshold, alias in zip(templates, thresholds, aliases, strict=True):
        share = (template * (template.size / template.sum())).tolist()
        small = [channel for channel, value in enumerate(share) if value < 1.0]
        large = [channel for channel, value in enumerate(share) if value >= 1.0]
        while small and large:
            poor, rich = small.pop(), large[-1]
            threshold[poor], alias[poor] = share[poor], rich
            share[rich] -= 1.0 - share[poor]
            if share[rich] < 1.0:
                small.append(large.pop())
        # What is left over is 1 but for rounding; a channel that gets nothing must stay empty.
        for channel in small:
            if template[channel] == 0.0:
                threshold[channel], alias[channel] = 0.0, int(template.argmax())
    return thresholds, aliases


@compiled()
def _throw_counts(generator, numbers, thresholds, aliases, counts):  # noqa: ANN001, ANN202
    """Throw `numbers` (m, k) of each component's counts into `counts` (m, c), clipped to uint16."""
    n_channels = thresholds.shape[1]
    for spectrum in range(numbers.shape[0]):
        for component in range(numbers.shape[1]):
            for _ in range(numbers[spectrum, component]):
                throw = generator.random() * n_channels
                channel = int(throw)
                if throw - channel >= thresholds[component, channel]:
                    channel = aliases[component, channel]
                if counts[spectrum, channel] < MAX_COUNT:
                    counts[spectrum, channel] += 1
