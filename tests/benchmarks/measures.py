"""What a benchmark measures at each size: names, units, goals, ratios, and the table of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["MEASURES", "PAGE", "Found", "Measure", "format_table", "with_ratios"]

Found: TypeAlias = dict[str, float]
"""What was measured at one size, by the keys of `MEASURES`."""

PAGE = "page: "
"""What the keys of the page's figures begin with; `painting` has their names."""


@dataclass(frozen=True)
class Measure:
    """A row of the table: its key, what it says, its unit, and the issue's goal."""

    key: str
    label: str
    unit: str = ""
    goal: str = ""


# Keys of reads are those of `reading`.
MEASURES: dict[str, tuple[Measure, ...]] = {
    "the scan": (
        Measure("cells", "cells of the map"),
        Measure("counts_mb", "counts, 2 bytes each", "MB"),
    ),
    "conversion, lean": (
        Measure("limit_s", "limit: read once + compress once", "s"),
        Measure("lean_s", "conversion", "s", "< 45"),
        Measure("lean_over_limit", "  over the limit", "x", "< 2"),
        Measure("lean_growth", "  per spectrum, over the size before", "x"),
        Measure("lean_doubling", "  twice the spectra, by that power law", "x", "< 2.1"),
        Measure("lean_peak_mb", "  memory", "MB", "< 1500"),
        Measure("lean_mb", "  result", "MB"),
        Measure("lean_percent", "  result, of the counts", "%", "< 12"),
        Measure("gzip_limit_s", "limit, gzip source", "s"),
        Measure("gzip_s", "conversion, gzip source", "s"),
        Measure("gzip_over_limit", "  over the limit", "x"),
        Measure("gzip_growth", "  per spectrum, over the size before", "x"),
        Measure("gzip_peak_mb", "  memory", "MB"),
    ),
    "conversion, all five arrays": (
        Measure("full_s", "conversion, kriging", "s"),
        Measure("full_peak_mb", "  memory", "MB"),
        Measure("full_mb", "  result", "MB"),
        Measure("selected_s", "conversion, selected", "s"),
        Measure("peer_s", "cronomaxrf 0.0.12", "s"),
        Measure("peer_peak_mb", "  memory", "MB"),
        Measure("peer_over_full", "  over ours, kriging", "x", "> 10"),
        Measure("peer_over_selected", "  over ours, selected", "x"),
    ),
    "reads, in process": (
        Measure("open_ms", "open", "ms", "< 1000"),
        Measure("first_map_ms", "first map of a fresh process", "ms"),
        Measure("window_ms", "energy window to map, median", "ms"),
        Measure("window_p95_ms", "  p95", "ms", "< 100"),
        Measure("smoothed_ms", "the same, smoothed, median", "ms"),
        Measure("smoothed_p95_ms", "  p95", "ms"),
        Measure("error_ms", "error map, median", "ms"),
        Measure("error_p95_ms", "  p95", "ms"),
        Measure("error_over_window", "  over the map's median", "x", "< 2"),
        Measure("wide_over_narrow", "window of 20 keV, over one of 0.2", "x"),
        Measure("spectrum_p95_ms", "one spectrum, smoothed, p95", "ms", "< 10"),
        Measure("cell_p95_ms", "a cell's spectrum, smoothed, p95", "ms", "< 25"),
        Measure("region_ms", "mean spectrum of a region", "ms"),
        Measure("region_cells", "  its cells"),
        Measure("windows_per_s", "windows a second, 1 thread", "/s"),
        Measure("threads_over_one", "  4 threads over 1", "x"),
        Measure("read_peak_mb", "memory of the reading process", "MB"),
    ),
    "an energy window from a float cube, with dask": (
        Measure("dask_s", "sum over the window", "s"),
        Measure("dask_cells", "  of so many cells of the cube"),
        Measure("dask_over_window", "  over our whole map", "x", "> 200"),
        Measure("dask_over_window_per_cell", "  the same, time per cell", "x"),
    ),
}
"""The rows of the table, in groups."""


_UNITS = {"_per_second": "/s", "_ms": "ms", "_mb": "MB", "_s": "s"}

RATIOS = {
    "lean_over_limit": ("lean_s", "limit_s"),
    "gzip_over_limit": ("gzip_s", "gzip_limit_s"),
    "peer_over_full": ("peer_s", "full_s"),
    "peer_over_selected": ("peer_s", "selected_s"),
    "error_over_window": ("error_ms", "window_ms"),
    "wide_over_narrow": ("wide_ms", "narrow_ms"),
    "threads_over_one": ("windows_per_s_4", "windows_per_s"),
}
"""Ratios of two measures in one unit."""


def with_ratios(sizes: Sequence[Found]) -> list[Found]:
    """Return what was found at each size, in their order, with all ratios."""
    done: list[Found] = []
    for found in sizes:
        more = {
            name: found[above] / found[below]
            for name, (above, below) in RATIOS.items()
            if above in found and below in found
        }
        more["lean_percent"] = 100 * found["lean_mb"] / found["counts_mb"]
        if "dask_s" in found:
            ratio = found["dask_s"] * 1e3 / found["window_ms"]
            more["dask_over_window"] = ratio
            more["dask_over_window_per_cell"] = ratio * found["cells"] / found["dask_cells"]
        if done:
            before = done[-1]
            larger = found["spectra"] / before["spectra"]
            for key in ("lean", "gzip"):
                slower = found[f"{key}_s"] / before[f"{key}_s"]
                more[f"{key}_growth"] = slower / larger
            more["lean_doubling"] = 2.0 * more["lean_growth"] ** (1 / math.log2(larger))
        done.append(found | more)
    return done


def _page_rows(sizes: Sequence[Found]) -> tuple[Measure, ...]:
    """Return a row for each figure of the page; its name ends in its unit."""
    keys = dict.fromkeys(key for found in sizes for key in found if key.startswith(PAGE))
    rows = []
    for key in keys:
        name = key.removeprefix(PAGE)
        unit = next((text for end, text in _UNITS.items() if name.endswith(end)), "")
        for end in _UNITS:
            name = name.removesuffix(end)
        rows.append(Measure(key, name.replace("_", " "), unit))
    return tuple(rows)


def format_table(sizes: Sequence[Found]) -> str:
    """Return the table: a row a measure, a column a size, and the goals."""
    measures = {**MEASURES, "the page, in Chromium": _page_rows(sizes)}
    wide = max(len(row.label) for rows in measures.values() for row in rows) + 2
    head = "".join(f"{found['spectra']:>14,.0f}" for found in sizes)
    lines = [f"{'spectra':{wide}}{'':4}{head}{'goal':>10}"]
    for title, rows in measures.items():
        measured = [row for row in rows if any(row.key in found for found in sizes)]
        if measured:
            lines += ["", title]
        for row in measured:
            values = "".join(f"{_number(found.get(row.key), row.unit):>14}" for found in sizes)
            lines.append(f"{row.label:{wide}}{row.unit:4}{values}{row.goal:>10}".rstrip())
    return "\n".join(lines)


def _number(value: float | None, unit: str) -> str:
    """Return a number with three figures that matter; what has no unit is counted."""
    if value is None:
        return "-"
    if not unit or value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
