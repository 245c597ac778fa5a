"""Measure which interpolation is nearest to the truth: ``python -m tests.benchmarks.accuracy``.

Simulates scans of known truth, phantoms x counts x samplings with the instrument's wobble,
crowded turns and motion blur, and prints a table of errors, bias, noise, resolution and cost of
every method; on request draws a picture of one scan. The default method follows from it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

from .accuracy_cases import COUNTS, PHANTOMS, SHAPES, WINDOWS, Case
from .accuracy_measures import CONTENDERS, PEER, Found, measure, structural_similarity

QUICK_COUNTS, QUICK_SHAPES = (600,), ((20, 29), (30, 44))
PICTURED = Case("hotspots", (60, 88), 600)
PICTURED_WINDOW = "Fe"
PICTURED_METHODS = ("selected", "linear", "kriging")

HEADINGS = {
    "rmse": ("error", "{:8.2f}"),
    "ratio": ("/selected", "{:10.3f}"),
    "worst_ratio": ("worst", "{:7.2f}"),
    "similarity": ("SSIM", "{:7.3f}"),
    "bias": ("bias %", "{:8.2f}"),
    "worst_bias": ("worst", "{:7.2f}"),
    "noise_gain": ("noise", "{:7.3f}"),
    "edge": ("edge", "{:6.2f}"),
    "negative": ("< 0 %", "{:7.2f}"),
    "residuals": ("resid.", "{:8.2f}"),
    "seconds": ("s", "{:7.2f}"),
    "megabytes": ("MB", "{:6.0f}"),
}

NOTES = """\
error: root mean square against the truth in counts, mean over the windows; /selected: over that
of `selected`, mean and worst window; SSIM: structural similarity; bias: of the total of all
windows, and of the worst window, noise left out; noise: of a cell, over that of one spectrum;
edge: 20 to 80 % width in x in pitches, 0.6 of it the motion's; < 0: values below 0; resid.:
standard deviation of (map - truth) / standard error, 1 where the raster samples the picture well,
more where the interpolation's own error shows; s, MB: to build W (griddata: to interpolate)."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.accuracy", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="600 counts, two small samplings")
    parser.add_argument("--plot", type=Path, help="write the picture to this file")
    parser.add_argument("--seed", type=int, default=0, help="of rasters and counts (%(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Measure, print, draw."""
    asked = parse(arguments)
    counts = QUICK_COUNTS if asked.quick else COUNTS
    shapes = QUICK_SHAPES if asked.quick else SHAPES
    measure(Case("washes", (6, 9), 600))  # compiles
    print(f"windows: {WINDOWS} keV\n\n{heading('phantom, counts, sampling')}")
    table: dict[tuple[float, str], list[Found]] = {}
    for level in counts:
        for phantom in PHANTOMS:
            for shape in shapes:
                figures, _ = measure(Case(phantom, shape, level, asked.seed))
                name = f"{phantom} {level} {shape[0]} x {shape[1]}"
                for method, found in figures.items():
                    table.setdefault((level, method), []).append(found)
                    print(line(name, method, found), flush=True)
                    name = ""
    print(f"\n{heading('mean over phantoms and samplings')}")
    for level in counts:
        for method in CONTENDERS:
            rows = table[level, method]
            mean = Found(*np.mean([astuple(row) for row in rows], axis=0))
            print(line(f"{level} counts", method, mean))
    print(f"\n{goals(table, counts)}\n\n{NOTES}")
    if asked.plot is not None:
        draw(asked.plot)


def heading(first: str) -> str:
    """Return the table's first line."""
    columns = "".join(
        f"{title:>{len(pattern.format(0.0))}}" for title, pattern in HEADINGS.values()
    )
    return f"{first:33}{'method':13}{columns}"


def line(name: str, method: str, found: Found) -> str:
    """Return a line of the table."""
    cells = "".join(
        HEADINGS[field.name][1].format(getattr(found, field.name)) for field in fields(found)
    )
    return f"{name:33}{method:13}{cells}".replace("nan", "  -")


def goals(table: dict[tuple[float, str], list[Found]], counts: Sequence[float]) -> str:
    """Return what the table says of the issue's goals for kriging."""
    lines = ["kriging against the goals:"]
    if 600 in counts:
        ours = [found.ratio for found in table[600, "kriging"]]
        peer = [
            found.rmse / theirs.rmse
            for found, theirs in zip(table[600, "kriging"], table[600, PEER], strict=True)
        ]
        lines += [
            f"  error / selected, mean at 600 counts  {np.mean(ours):.3f}  (0.55 or less)",
            f"  error / griddata, mean at 600 counts  {np.mean(peer):.3f}  (0.85 or less)",
        ]
    every = [found for level in counts for found in table[level, "kriging"]]
    lines += [
        f"  error / selected, highest of any scan {max(f.ratio for f in every):.3f}  (1 or less)",
        f"  the same, highest of any window       {max(f.worst_ratio for f in every):.3f}",
        f"  bias of the total, mean size          {np.mean([abs(f.bias) for f in every]):.2f} %",
        f"  the same, largest of any scan         {max(abs(f.bias) for f in every):.2f} %",
        f"  the same, largest of any window       {max(abs(f.worst_bias) for f in every):.2f} %",
    ]
    return "\n".join(lines)


def draw(path: Path) -> None:
    """Draw truth, three maps and their errors."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figures, maps = measure(PICTURED)
    window = list(WINDOWS).index(PICTURED_WINDOW)
    truth = PICTURED.true_maps[:, :, window]
    left, bottom, right, top = PICTURED.raster.grid.bounds
    extent = (left / 1e3, right / 1e3, bottom / 1e3, top / 1e3)
    highest = float(np.quantile(truth, 0.995))
    figure, axes = plt.subplots(4, 2, figsize=(11, 7.6), layout="constrained", sharex=True)
    shown = [("truth", truth), *((name, maps[name][:, :, window]) for name in PICTURED_METHODS)]
    for row, (name, image) in enumerate(shown):
        kept = axes[row, 0].imshow(
            image, origin="lower", extent=extent, vmin=0, vmax=highest, cmap="inferno"
        )
        axes[row, 0].set_title(name, loc="left", fontsize=10)
        axes[row, 0].set_ylabel("y, 1000 steps")
        if name == "truth":
            axes[row, 1].axis("off")
            continue
        off = axes[row, 1].imshow(
            image - truth, origin="lower", extent=extent, vmin=-25, vmax=25, cmap="RdBu_r"
        )
        error = float(np.sqrt(np.mean((image - truth) ** 2)))
        axes[row, 1].set_title(
            f"{name} - truth: {error:.1f} counts root mean square, similarity "
            f"{structural_similarity(image, truth):.2f}",
            loc="left",
            fontsize=10,
        )
    for column in (0, 1):
        axes[-1, column].set_xlabel("x, 1000 steps")
    figure.colorbar(kept, ax=axes[:, 0], label="counts, Fe K-alpha", shrink=0.5)
    figure.colorbar(off, ax=axes[1:, 1], label="counts", shrink=0.5)
    text = (
        f"A simulated scan of {PICTURED.truth.n_spectra:,} spectra, {PICTURED.counts:g} counts "
        f"each, on {truth.shape[0]} x {truth.shape[1]} cells.\nOver five energy windows kriging "
        f"has {figures['kriging'].ratio:.2f} of the error of `selected`,\nlinear interpolation "
        f"{figures['linear'].ratio:.2f}."
    )
    axes[0, 1].text(0.0, 0.5, text, transform=axes[0, 1].transAxes, va="center", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
