"""Three maps as lights of different colours, in one picture."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
import panel_material_ui as pmui

from maxrf_core import Grid
from maxrf_core.combinations import composite

from .combine_choosers import MapChooser, Offer
from .combine_colours import TRIPLES, Triple
from .combine_maps import combined_map, composite_names, value_text
from .combine_mode import CombineMode
from .combine_plot import Blank, CombinedMap, Paintable
from .data import SharedScan
from .gallery_maps import GalleryMap, cell_values, kept_map
from .pixels import Picture, View, block_mean, bounds_of, grid_bins
from .scaling import percentiles
from .state import ViewState
from .theme import framed
from .tuning import live

__all__ = ["CompositeMode", "CompositeView", "Layer"]

FloatMap = npt.NDArray[np.float32]
Means = dict[tuple[Any, ...], tuple[FloatMap, FloatMap]]


@dataclass(frozen=True, eq=False)
class Layer:
    """One colour of a composite.

    Parameters
    ----------
    map : GalleryMap
        What it shows.
    values : (h, w) float32
        The map.
    limits : (float, float)
        Values of darkness and of the whole colour.
    number : int
        Which of the three colours, 0 to 2.
    ends : (float, float)
        Percentiles of the map that the limits are.
    """

    map: GalleryMap
    values: FloatMap
    limits: tuple[float, float]
    number: int
    ends: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Composite:
    """Layers to be painted.

    Parameters
    ----------
    layers : tuple of Layer
        One to three.
    triple : Triple
        The colours.
    means : dict
        What the maps are at the pixels of the screen: kept while only their limits change.
    """

    layers: tuple[Layer, ...]
    triple: Triple
    means: Means = field(default_factory=dict)

    def paint(self, values: Sequence[FloatMap]) -> npt.NDArray[np.uint32]:
        """Return the colours, (h, w) uint32: red, green, blue and opacity, a byte each."""
        limits = [layer.limits for layer in self.layers]
        colours = [self.triple.colours[layer.number] for layer in self.layers]
        return composite(values, limits, colours).view(np.uint32)[..., 0]

    def seen(self, grid: Grid, view: View) -> Picture:
        """Return what a view shows, and a margin: of each map the mean in a pixel."""
        rows, columns = grid_bins(grid, view.with_margin(), view.pixel)
        bounds = bounds_of(grid, rows, columns)
        place = (bounds, len(rows.edges), len(columns.edges))
        kept: Means = {}
        for layer in self.layers:
            key = (id(layer.values), place)
            kept[key] = self.means.get(key) or (
                layer.values,  # held, so that its id stays its own
                block_mean(layer.values, rows, columns),
            )
        self.means.clear()
        self.means.update(kept)
        levels = self.paint([kept[(id(layer.values), place)][1] for layer in self.layers])
        return Picture(levels, bounds, (grid.dx * columns.cells, grid.dy * rows.cells))


class CompositeView(CombinedMap):
    """Up to three maps of the state, each in its colour.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    tag = "composite"
    is_rgba = True

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        self.layers: tuple[Layer, ...] = ()
        self._triple = TRIPLES[state.composite_colours]
        self._means: Means = {}
        super().__init__(shared, state, ["composite", "composite_clip", "composite_colours"])

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """The composite of all cells, (h, w, 4) uint8; opacity 0 where there is no datum."""
        painted = Composite(self.layers, self._triple).paint([each.values for each in self.layers])
        return painted[..., None].view(np.uint8)

    def _make(self) -> tuple[Paintable, Any]:
        state = self.state
        triple, clip, old = TRIPLES[state.composite_colours], state.composite_clip, self.layers
        layers = []
        for number, name in enumerate(composite_names(state)):
            if not name:
                continue
            chosen = combined_map(self.shared, state, name)
            values = kept_map(self.shared, chosen.asked)
            ends = clip[2 * number : 2 * number + 2]
            limits = [one.limits for one in old if one.values is values and one.ends == ends]
            if not limits:
                limits = [tuple(percentiles(values, ends) or (0.0, 1.0))]
            layers.append(Layer(chosen, values, limits[0], number, ends))
        painted = Composite(tuple(layers), triple, self._means) if layers else Blank(self.is_rgba)
        return painted, (tuple(layers), triple)

    def _take(self, details: tuple[tuple[Layer, ...], Triple]) -> None:
        self.layers, self._triple = details
        self._title = " · ".join(self.labels) or "…"

    @property
    def labels(self) -> list[str]:
        """Of each layer the map and the colour."""
        return [f"{layer.map.label} ({self._triple.names[layer.number]})" for layer in self.layers]

    def _tooltip_labels(self) -> list[str]:
        return self.labels

    def _cell_told(self, row: int, column: int) -> list[str]:
        maps = [layer.map for layer in self.layers]
        told = cell_values(self.shared, maps, row, column)
        return [value_text(*told[each.name], each.asked.unit) for each in maps]


class CompositeMode(CombineMode):
    """The composite with its controls: of each colour the map, its range and its limits.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self._state = state
        self.view = CompositeView(shared, state)
        self._offer = Offer(shared, state, "to see them in one picture")
        self.choosers = [self._chooser(number) for number in range(3)]
        self.sliders = [self._slider(number) for number in range(3)]
        self._swatches = [
            pn.pane.HTML(margin=(4, 8, 4, 0), align="center", width=22) for _ in range(3)
        ]
        self._colours = pmui.Select.from_param(
            state.param.composite_colours,
            options={", ".join(triple.names): name for name, triple in TRIPLES.items()},
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 0),
        )
        self._note = pn.pane.HTML(
            sizing_mode="stretch_width", margin=0, styles={"font-size": "12px"}
        )
        self._legend = pn.pane.HTML(
            sizing_mode="stretch_width", margin=(2, 8), styles={"font-size": "12px"}
        )
        frame = framed(self.view)
        self.views, self._with_maps = (self.view,), (frame, self._legend)
        channels = [
            pn.Column(
                pn.Row(swatch, chooser, sizing_mode="stretch_width", margin=0),
                slider,
                sizing_mode="stretch_width",
                margin=(0, 8),
            )
            for swatch, chooser, slider in zip(
                self._swatches, self.choosers, self.sliders, strict=True
            )
        ]
        self._layout = pn.Column(
            pn.Column(
                *channels,
                pn.Column(self._colours, self._note, sizing_mode="stretch_width", margin=(0, 8)),
                sizing_mode="stretch_width",
                margin=0,
                styles={
                    "display": "grid",
                    "grid-template-columns": "repeat(auto-fit, minmax(200px, 1fr))",
                },
            ),
            self._offer,
            frame,
            self._legend,
            sizing_mode="stretch_width",
            margin=0,
        )
        state.param.watch(lambda *_: self._refresh(), ["composite", "elements"])
        state.param.watch(lambda *_: self._show_colours(), "composite_colours")
        state.param.watch(lambda *_: self._show_ranges(), "composite_clip")
        self.view.on_shown = self._show_legend
        self._refresh()
        self._show_colours()

    def _has_any(self) -> bool:
        return any(composite_names(self._state))

    def _chooser(self, number: int) -> MapChooser:
        def choose(name: str) -> None:
            names = list(composite_names(self._state))
            names[number] = name
            self._state.composite = tuple(names)

        return MapChooser(
            self._state,
            f"Colour {number + 1}",
            lambda: composite_names(self._state)[number],
            choose,
        )

    def _slider(self, number: int) -> pmui.RangeSlider:
        place = slice(2 * number, 2 * number + 2)
        slider = pmui.RangeSlider(
            label=f"Range {number + 1} (%)",
            start=0.0,
            end=100.0,
            step=0.5,
            value=self._state.composite_clip[place],
            size="small",
            sizing_mode="stretch_width",
            margin=(0, 4),
        )

        def take(event: Any) -> None:
            ranges = list(self._state.composite_clip)
            ranges[place] = event.new
            self._state.composite_clip = tuple(ranges)

        slider.param.watch(take, "value")
        return live(slider)

    def _show_ranges(self) -> None:
        for number, slider in enumerate(self.sliders):
            slider.value = self._state.composite_clip[2 * number : 2 * number + 2]

    def _refresh(self) -> None:
        for chooser in self.choosers:
            chooser.refresh()
        self._show_offer()

    def _show_colours(self) -> None:
        triple = TRIPLES[self._state.composite_colours]
        self._note.object = triple.note
        for swatch, code, name in zip(self._swatches, triple.codes, triple.names, strict=True):
            swatch.object = _swatch(code, name)

    def _show_legend(self) -> None:
        """Say which colour is what, and from which value to which it shines."""
        told = []
        for layer, label in zip(self.view.layers, self.view.labels, strict=True):
            (low, high), unit = layer.limits, layer.map.asked.unit
            code = TRIPLES[self._state.composite_colours].codes[layer.number]
            told.append(
                f"{_swatch(code, label)} <b>{html.escape(label)}</b> "
                f"{low:,.4g} to {high:,.4g} {html.escape(unit)}"
            )
        self._legend.object = " &emsp; ".join(told)


def _swatch(code: str, name: str) -> str:
    return (
        f'<span role="img" aria-label="{html.escape(name)}" title="{html.escape(name)}" '
        f'style="display:inline-block;width:16px;height:16px;border-radius:3px;vertical-align:'
        f'middle;border:1px solid #8888;background:{code}"></span>'
    )
