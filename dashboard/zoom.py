"""What part of a plot is seen: kept in the state, so that an address holds it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from bokeh.core.property.descriptors import UnsetValueError
from bokeh.models import Range1d
from bokeh.plotting import figure

from maxrf_core import Scan

from .latest import Settled
from .state import ViewState

__all__ = ["Seen", "Zoom", "extent_of", "fitted", "is_sensible", "rounded"]

Seen = tuple[float, ...]
"""Ends of what is seen: x0, x1, or x0, x1, y0, y1."""

_SETTLED_MS = 200
"""How long a plot must stand still until the state is told what it shows."""

_ALIKE = 1e-3
"""Ends that differ by less of what is seen show the same: less than a pixel."""

_DIGITS = 4  # of what is seen that an address holds: a tenth of a pixel

_NARROWEST, _WIDEST = 1e-6, 1e3
"""What may be seen of the extent of a scan, at least and at most."""


def extent_of(scan: Scan, parameter: str) -> Seen:
    """Return the ends of all there is to see under a parameter of the state."""
    if parameter == "energy_range":
        return float(scan.energies[0]), float(scan.energies[-1])
    left, bottom, right, top = scan.grid.bounds
    return left, right, bottom, top


def is_sensible(seen: Seen, extent: Seen) -> bool:
    """Return whether there is something to see in a range, and it is not lost in it."""
    if len(seen) != len(extent) or not all(map(math.isfinite, seen)):
        return False
    for low, high, first, last in zip(
        seen[::2], seen[1::2], extent[::2], extent[1::2], strict=True
    ):
        size = abs(last - first) or 1.0
        if not _NARROWEST * size <= high - low <= _WIDEST * size:
            return False
        if high < first or low > last:
            return False
    return True


def rounded(seen: Seen) -> Seen:
    """Return the ends of what is seen with as many digits as can be told apart."""
    ends: list[float] = []
    for low, high in zip(seen[::2], seen[1::2], strict=True):
        digits = max(0, math.ceil(_DIGITS - math.log10(high - low)))
        ends += [round(low, digits), round(high, digits)]
    return tuple(ends)


def fitted(seen: Seen, width: float, height: float) -> Seen:
    """Return what a frame of some pixels shows of the plane: all of a range, at equal aspect.

    As `dashboard.plots.keep_aspect` has the browser do it.
    """
    x0, x1, y0, y1 = seen
    scale = max((x1 - x0) / width, (y1 - y0) / height) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - width * scale, x + width * scale, y - height * scale, y + height * scale


class Zoom:
    """Keep a parameter of the state equal to what plots show, and the plots to the parameter.

    Parameters
    ----------
    state : ViewState
        Whose parameter it is.
    parameter : str
        Its name; None while a plot shows what a reset shows.
    extent : tuple of float
        All that there is to see, as `extent_of` returns it.
    together : callable
        Returns a context in which plots are changed.
    """

    def __init__(
        self,
        state: ViewState,
        parameter: str,
        extent: Seen,
        together: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._state, self._parameter, self._extent = state, parameter, extent
        self._together = together
        self._homes: weakref.WeakKeyDictionary[figure, Seen] = weakref.WeakKeyDictionary()
        self._outdated: weakref.WeakKeyDictionary[figure, int] = weakref.WeakKeyDictionary()
        self._moved: weakref.ref[figure] | None = None
        self._telling = False
        self._settled = Settled(self._tell, _SETTLED_MS)
        state.param.watch(lambda *_: self._show(), parameter)

    @property
    def seen(self) -> Seen | None:
        """What the state asks for; None for what a reset shows."""
        return getattr(self._state, self._parameter)

    def follow(self, plot: figure, home: Seen) -> None:
        """Follow what a plot shows.

        Parameters
        ----------
        plot : figure
            The plot. A map, whose home has four ends, is followed from when it fits its frame.
        home : tuple of float
            What it shows after a reset, as far as is known before it has a frame.
        """
        self._homes[plot] = home
        moved = partial(self._has_moved, weakref.ref(plot))
        for shown in self._ranges(plot):
            for end in ("start", "end"):
                shown.on_change(end, moved)
        if len(self._extent) == 4:
            # A frame that changes tells so before what it shows; until that has come, the plot
            # shows neither what it did before nor what somebody zoomed to.
            for name in ("tags", "inner_width", "inner_height"):
                plot.on_change(name, moved)

    def _ranges(self, plot: figure) -> list[Range1d]:
        return [plot.x_range, plot.y_range][: len(self._extent) // 2]

    # --- from the plot to the state -----------------------------------------------------

    def _has_moved(self, plot: weakref.ref[figure], _name: str, _old: Any, _new: Any) -> None:
        self._moved = plot
        self._settled.request()

    def _tell(self) -> None:
        """Tell the state what the plot shows that moved last."""
        plot = None if self._moved is None else self._moved()
        if plot is None or not self._is_laid_out(plot):
            return
        seen = _ends(self._ranges(plot), "start", "end")
        if seen is None or _alike(seen, self._in_frame(plot)) or self._is_fitted(plot, seen):
            return
        self._outdated[plot] = _last_fit(plot)[0]
        told = None
        if is_sensible(seen, self._extent) and not _alike(seen, self._home(plot)):
            told = rounded(seen)
        self._telling = True  # the plot shows it already
        try:
            setattr(self._state, self._parameter, told)
        finally:
            self._telling = False

    def _is_laid_out(self, plot: figure) -> bool:
        return len(self._extent) == 2 or "fitted" in plot.tags

    def _is_fitted(self, plot: figure, seen: Seen) -> bool:
        """Return whether a plot shows this because its frame changed: nobody zoomed.

        The frame itself does not say so: its two sides come one after the other.
        """
        number, shown = _last_fit(plot)
        return number > self._outdated.get(plot, 0) and _alike(seen, shown)

    def _home(self, plot: figure) -> Seen:
        """Return what a reset shows: as the browser knows it, or else as the plot was made."""
        return _ends(self._ranges(plot), "reset_start", "reset_end") or self._homes[plot]

    # --- from the state to the plot -----------------------------------------------------

    def _in_frame(self, plot: figure) -> Seen:
        """Return what a plot shows when it shows what the state asks for."""
        seen = self.seen
        if seen is None:
            return self._home(plot)
        if len(seen) == 2 or not self._is_laid_out(plot):
            return seen
        try:
            width, height = plot.inner_width, plot.inner_height
        except UnsetValueError:
            return seen
        return fitted(seen, width, height) if width and height else seen

    def _show(self) -> None:
        if self._telling:
            return
        with self._together():
            for plot in list(self._homes):
                self._outdated[plot] = _last_fit(plot)[0]
                ends = self._in_frame(plot)
                for shown, start, end in zip(
                    self._ranges(plot), ends[::2], ends[1::2], strict=True
                ):
                    shown.update(start=start, end=end)


def _ends(ranges: list[Range1d], start: str, end: str) -> Seen | None:
    """Return the ends of ranges, or None while they are no numbers."""
    ends = tuple(getattr(shown, name) for shown in ranges for name in (start, end))
    return tuple(map(float, ends)) if all(map(_is_number, ends)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _last_fit(plot: figure) -> tuple[int, Seen]:
    """Return number and ends of what `keep_aspect` made a plot show last; 0 if nothing."""
    for tag in plot.tags:
        match tag:
            case ["fit", int(number), *ends] if len(ends) == 4 and all(map(_is_number, ends)):
                return number, tuple(map(float, ends))
    return 0, ()


def _alike(seen: Seen, other: Seen) -> bool:
    """Return whether two ranges look the same."""
    sizes = [other[1] - other[0], other[-1] - other[-2]]
    return all(
        abs(one - two) <= _ALIKE * abs(sizes[number // 2])
        for number, (one, two) in enumerate(zip(seen, other, strict=True))
    )
