"""Regions in the sidebar: buttons that make them, and a list of those there are."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent

from maxrf_core import MaxrfError, ParameterError
from maxrf_core.regions import MAX_NAME, Region, Threshold

from .data import SharedScan
from .faults import reported
from .latest import Latest
from .region_choices import (
    add_threshold,
    add_visible,
    colours_of,
    remove_region,
    rename_region,
    toggle_region,
)
from .region_counts import Interpolated, cells_of
from .region_drawing import RegionDrawing
from .region_panel_script import ESM, STYLE
from .state import ViewState
from .text import sentence_of
from .theme import text_colour

__all__ = ["RegionPanel"]

logger = logging.getLogger(__name__)


class RegionPanel(JSComponent):
    """Buttons that draw a region or add one, and all regions below them.

    A click on one selects it: its outline and its line are drawn wider.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose regions.
    drawing : RegionDrawing
        The tools on the map.
    """

    rows = param.List(doc="What is told of each region.")
    drawing = param.String(doc="What is being drawn; empty if nothing is.")
    tools = param.String(doc="How the names of the map's tools begin.")
    complaint = param.String(doc="What was wrong with the last action; empty if nothing was.")
    longest_name = param.Integer(MAX_NAME)

    _esm = ESM
    _stylesheets = [STYLE]  # noqa: RUF012 - as Panel has it

    def __init__(
        self, shared: SharedScan, state: ViewState, drawing: RegionDrawing, **params: Any
    ) -> None:
        super().__init__(tools=drawing.key, **params)
        self._shared, self._state = shared, state
        self._cells: dict[str, tuple[Region, str]] = {}
        self._latest = Latest(self._count, self._tell, self._fail)
        drawing.param.watch(lambda event: self.param.update(drawing=event.new), "active")
        state.param.watch(lambda *_: self._list(), ["regions", "hidden_regions", "region"])
        state.param.watch(lambda *_: self._ask(), ["regions", "method", "correct_lag"])
        self._list()
        self._ask()

    # --- the list -----------------------------------------------------------------------

    def _ask(self) -> None:
        if self._state.regions:
            self._latest.request()

    def _count(self) -> dict[str, tuple[Region, str]]:
        """Return of each region, by name, how many cells it has, in words."""
        how, found = Interpolated.of(self._shared, self._state), {}
        for region in self._state.regions:
            try:
                n_cells = cells_of(self._shared, region, how)
            except MaxrfError as error:
                logger.info("%s has no cells: %s", region.name, error)
                found[region.name] = region, "no such map"
                continue
            found[region.name] = region, f"{n_cells:,} {'cell' if n_cells == 1 else 'cells'}"
        return found

    def _tell(self, found: dict[str, tuple[Region, str]]) -> None:
        self._cells = found
        self._list()

    def _list(self) -> None:
        regions = self._state.regions
        self.rows = [
            self._row(region, colour)
            for region, colour in zip(regions, colours_of(regions), strict=True)
        ]

    def _row(self, region: Region, colour: str) -> dict[str, Any]:
        counted, cells = self._cells.get(region.name, (None, "…"))
        return {
            "name": region.name,
            "cells": cells if counted == region else "…",
            "tip": _told(region),
            "fill": colour,
            "ink": text_colour(colour),
            "is_hidden": region.name in self._state.hidden_regions,
            "is_selected": region.name == self._state.region,
        }

    def _fail(self, error: Exception) -> None:
        told = reported(logger, "the cells of regions could not be counted", error)
        self.complaint = f"The cells could not be counted: {told}"

    # --- what the visitor does ------------------------------------------------------------

    def _handle_msg(self, data: Any) -> None:
        """Do what the browser asks for; what no page of ours sends is passed over."""
        state = self._state
        match data:
            case "visible":
                self._try(lambda: add_visible(self._shared, state))
            case {"from": low, "to": high} if _is_limit(low) and _is_limit(high):
                self._try(lambda: add_threshold(self._shared, state, low, high))
            case {"rename": str(old), "as": str(new)}:
                self._try(lambda: rename_region(state, old, new))
            case {"hide": str(name)}:
                toggle_region(state, name)
            case {"remove": str(name)}:
                remove_region(state, name)
            case {"select": str(name)}:
                is_there = any(one.name == name for one in state.regions)
                state.region = name if is_there and state.region != name else ""

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except ParameterError as error:
            text = sentence_of(error)
            self.complaint = text[:1].upper() + text[1:]
        else:
            self.complaint = ""


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _told(region: Region) -> str:
    """Return what a region is, in words."""
    outline = region.outline
    if not isinstance(outline, Threshold):
        return f"Select {region.name}"
    parts = [] if outline.low is None else [f"at least {outline.low:g}"]
    parts += [] if outline.high is None else [f"at most {outline.high:g}"]
    return f"Select {region.name}: the map of {outline.map_name} is {' and '.join(parts)}"
