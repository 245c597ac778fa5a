"""Check of the regular cube of a zipstore: every tile is read, some are computed anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from .blocks import Run
from .combine import CubePlan
from .contents import Contents
from .errors import ZipstoreError
from .faults import difference, try_read
from .interpolation import Operator
from .schema import CUBE, MAX_SPECTRUM, SUM_SPECTRUM
from .store import StoreReader
from .table import CountsTable

__all__ = ["TILES_COMPUTED", "cube_faults", "sampled_tiles"]

TILES_COMPUTED = 64
"""Tiles of the cube that are computed anew, evenly spread; all if there are no more."""

Tile = tuple[int, int, int]
_Summary = tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float32]]


def sampled_tiles(reader: StoreReader) -> tuple[list[Tile], set[Tile]]:
    """Return all tiles of the cube, and those to compute."""
    rows, columns, _ = reader.layout(CUBE).chunk_counts
    tiles = [(row, column, 0) for row in range(rows) for column in range(columns)]
    few = min(TILES_COMPUTED, len(tiles))
    chosen = np.linspace(0, len(tiles) - 1, few).round().astype(int).tolist()
    return tiles, {tiles[number] for number in chosen}


def cube_faults(
    reader: StoreReader,
    contents: Contents,
    operator: Operator | None,
    run: Run,
    report: Callable[[int], None],
) -> Iterator[str]:
    """Yield which tiles of the cube are damaged or not the product W S G.

    Parameters
    ----------
    reader : StoreReader
        The store.
    contents : Contents
        What it holds; its layouts were found to be right.
    operator : Operator or None
        The interpolation; None if it is damaged, and then no tile is computed.
    run : callable
        Works on tiles in several threads, as `map` does in one.
    report : callable
        Is given how many more chunks have been read.
    """
    tiles, chosen = sampled_tiles(reader)
    table = CountsTable(reader)
    tile_shape = reader.layout(CUBE).chunks[:2]

    plan = None
    if operator is not None:
        plan = CubePlan(operator, contents.sigma, contents.flips, contents.orientation, tile_shape)

    def look_at(tile: Tile) -> tuple[list[str], _Summary | None]:
        found, told = try_read(reader, CUBE, tile)
        if found is None:
            return told, None
        if plan is not None and tile in chosen:
            told += _product_faults(plan, table, tile, found)
        cells = found.reshape(-1, contents.n_channels)
        return told, (
            int(np.count_nonzero(~np.isnan(cells[:, 0]))),
            np.nansum(cells, axis=0, dtype=np.float64),
            np.fmax.reduce(cells, axis=0, initial=-np.inf),
        )

    total = np.zeros(contents.n_channels)
    highest = np.full(contents.n_channels, -np.inf)
    count, whole = 0, True
    for told, summary in run(look_at, tiles):
        yield from told
        report(1)
        if summary is None:
            whole = False
            continue
        cells, tile_total, tile_highest = summary
        count += cells
        total += tile_total
        np.maximum(highest, tile_highest, out=highest)
    table.close()
    for name, right in ((SUM_SPECTRUM, total / max(count, 1)), (MAX_SPECTRUM, highest)):
        found, told = try_read(reader, name)
        yield from told
        if found is not None and whole:
            expected = right if count else np.full_like(right, np.nan)
            yield from difference(
                name,
                found,
                expected,
                lambda i: f"channel {i[0]}",
                where="the cube makes it",
                scale=float(np.abs(right).max(initial=0.0)) if count else 0.0,
            )


def _product_faults(
    plan: CubePlan, table: CountsTable, tile: Tile, found: npt.NDArray[np.float32]
) -> Iterator[str]:
    try:
        right = plan.compute(table, tile)
    except ZipstoreError:  # in the counts, and told there
        return
    corner = tile[0] * plan.tile[0], tile[1] * plan.tile[1]
    yield from difference(
        CUBE,
        found,
        right,
        lambda i: f"row {corner[0] + i[0]}, column {corner[1] + i[1]}, channel {i[2]}",
        where="interpolating the smoothed counts makes it",
        scale=float(np.fmax.reduce(np.abs(right), axis=None, initial=0.0)),
    )
