"""The plot of cost against size: times on the left, memory and bytes on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_growth"]


@dataclass(frozen=True)
class Line:
    """A measure as a line: its key, label, colour, marker, and what makes it the axis's unit."""

    key: str
    label: str
    colour: str
    marker: str
    scale: float = 1.0


# Colours: Okabe and Ito, https://jfly.uni-koeln.de/color/, told apart by the colour-blind too;
# the markers tell the lines apart without any.
TIMES = (
    Line("gzip_s", "conversion, gzip source", "#E69F00", "s"),
    Line("lean_s", "conversion", "#D55E00", "o"),
    Line("limit_s", "limit: read + compress once", "#000000", "x"),
    Line("window_p95_ms", "energy window to map, p95", "#0072B2", "^", 1e-3),
)
SIZES = (
    Line("counts_mb", "counts in the scan", "#000000", "x"),
    Line("lean_peak_mb", "memory of the conversion", "#D55E00", "o"),
    Line("read_peak_mb", "memory of the reader", "#0072B2", "^"),
    Line("lean_mb", "converted scan", "#009E73", "D"),
)


def plot_growth(sizes: Sequence[dict[str, float]], path: Path) -> None:
    """Draw cost against spectra, both logarithmic, 1600 x 760 pixels.

    Parameters
    ----------
    sizes : sequence of dict
        What `growth` found, size by size.
    path : Path
        The picture to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.8), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw(left, sizes, TIMES)
    left.set_ylabel("time (s)")
    _draw(right, sizes, SIZES)
    right.set_ylabel("memory and bytes (MB)")
    figure.savefig(path)


def _draw(axes: Axes, sizes: Sequence[dict[str, float]], lines: Sequence[Line]) -> None:
    for line in lines:
        points = [(each["spectra"], each[line.key] * line.scale) for each in sizes]
        axes.plot(*zip(*points, strict=True), color=line.colour, marker=line.marker, lw=1.8, ms=6)
    axes.set(xscale="log", yscale="log", xlabel="spectra of 4096 channels")
    axes.set_xticks([each["spectra"] for each in sizes])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.minorticks_off()
    axes.grid(visible=True, which="major", color="#DDDDDD", lw=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        axes.get_lines(),
        [line.label for line in lines],
        loc="lower center",
        bbox_to_anchor=(0.45, 1.0),
        ncols=2,
        fontsize=8,
        frameon=False,
        columnspacing=1.2,
        handletextpad=0.5,
    )
