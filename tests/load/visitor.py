"""A visitor without a browser: drags sigma and the energy window, and sees what comes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np

from .gestures import Gesture, Kind, Pace, line_width_of, path, window_of
from .wire import LostError, Model, Page, array_of

__all__ = ["ANSWERED_S", "Shown", "Visitor"]

ANSWERED_S = 20.0
"""How long the answer to a gesture's last event is waited for: what takes longer is an error."""

_SIGMA = (1.0, 20.0)
_AROUND_KEV = 1.0
"""How far the window is dragged from where the page had it."""


@dataclass
class Shown:
    """What a visitor asked for last, and what their page shows.

    Parameters
    ----------
    scan : str
        Its name.
    window : list of float
        Ends in keV.
    sigma : float
        In channels.
    limits : list of float
        Ends of the map's colour bar.
    spectrum : int
        The number of the spectrum shown.
    line : list of float
        The smoothed line.
    """

    scan: str
    window: list[float]
    sigma: float
    limits: list[float]
    spectrum: int
    line: list[float]


@dataclass
class Visitor:
    """Somebody with a scan before them.

    Parameters
    ----------
    port : int
        Where the server listens.
    scan : str
        The name of the scan.
    ev_per_channel : float
        Of the scan: what a smoothing of one channel is called on the page.
    chance : Generator
        Decides what is dragged when.
    """

    port: int
    scan: str
    ev_per_channel: float
    chance: np.random.Generator
    gestures: list[Gesture] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = Page(self.port, self._heard)
        self._now: Gesture | None = None
        self._told = asyncio.Event()

    async def open(self) -> float:
        """Open the page; return the seconds until the document was there, with its plots."""
        start = time.perf_counter()
        await self.page.open(self.scan)
        async with asyncio.timeout(ANSWERED_S):
            while not self._has_plots():
                await asyncio.sleep(0.02)
        self._note_models()
        return time.perf_counter() - start

    def _has_plots(self) -> bool:
        if self.page.complaint:
            raise LostError(self.page.complaint)
        return sum(1 for _ in self.page.find("BoxAnnotation", name="energy window")) == 1

    def _note_models(self) -> None:
        page = self.page
        figures = [model for _, model in page.find("Figure")]
        figure = {model.attributes["tags"][0]: model.attributes for model in figures}
        ((self._box, box),) = page.find("BoxAnnotation", name="energy window")
        (self._slider,) = (
            key
            for key, model in page.models.items()
            if model.kind.startswith("FloatSlider")
            and str(model.attributes.get("name")).startswith("Smoothing sigma")
        )
        title = figure["spectrum"]["title"]["id"]
        name = page.models[title].attributes["name"]
        ((line, _),) = page.find("ColumnDataSource", name=name)
        bar = next(part for part in figure["map"]["right"] if part["name"] == "ColorBar")
        self._limits = page.models[bar["attributes"]["color_mapper"]["id"]]
        self._titles = {"window": figure["map"]["title"]["id"], "sigma": title}
        self._answer = {"window": self._picture(figure["map"]), "sigma": line}
        self._line = page.models[line]
        self._window = [box.attributes["left"], box.attributes["right"]]
        self._home = self._window[0]
        self._sigma = page.models[self._slider].attributes["value"]

    def _picture(self, figure: dict) -> str:
        """Return the id of the source of a map's picture."""
        for renderer in figure["renderers"]:
            attributes = self.page.models[renderer["id"]].attributes
            if self.page.models[attributes["glyph"]["id"]].kind == "Image":
                return attributes["data_source"]["id"]
        raise LostError("the map has no picture")

    # --- what comes -----------------------------------------------------------------------

    def _title(self, kind: Kind) -> str:
        return self.page.models[self._titles[kind]].attributes["text"]

    def _heard(self, now: float, changed: set[tuple[str, str]]) -> None:
        gesture = self._now
        if gesture is None or (self._answer[gesture.kind], "data") not in changed:
            return
        says = (window_of if gesture.kind == "window" else line_width_of)(self._title(gesture.kind))
        if says is not None:
            gesture.answers.append([now, *says])
            self._told.set()

    # --- what they do ---------------------------------------------------------------------

    async def explore(self, pace: Pace, seconds: float) -> None:
        """Drag and rest by turns for a time, beginning somewhere in a rest."""
        end = time.perf_counter() + seconds
        try:
            await asyncio.sleep(self.chance.uniform(0, pace.pause_s))
            while time.perf_counter() < end:
                kind: Kind = "window" if self.chance.random() < 0.5 else "sigma"
                await self.drag(kind, pace)
                await asyncio.sleep(pace.rest(self.chance))
        except LostError as error:
            self.complaints.append(str(error))

    async def drag(self, kind: Kind, pace: Pace) -> Gesture:
        """Drag, and wait until the last event is answered."""
        gesture = self._now = Gesture(kind)
        self.gestures.append(gesture)
        start, low = time.perf_counter(), self._window[0]
        around = (self._home - _AROUND_KEV, self._home + _AROUND_KEV)
        bounds, now = (around, low) if kind == "window" else (_SIGMA, self._sigma)
        for number, value in enumerate(path(kind, now, bounds, pace.events)):
            await asyncio.sleep(start + number / pace.events_per_second - time.perf_counter())
            if self.page.complaint:
                raise LostError(self.page.complaint)
            gesture.sent.append([time.perf_counter(), *self._move(kind, value)])
        await self._until_answered(gesture)
        self._now = None
        return gesture

    def _move(self, kind: Kind, value: float) -> list[float]:
        """Move the window or the slider; return what its answer will say."""
        if kind == "window":
            width = self._window[1] - self._window[0]
            self._window = [value, round(value + width, 3)]
            self.page.change(self._box, left=self._window[0], right=self._window[1])
            return self._window
        self._sigma = value
        self.page.change(self._slider, value=value)
        return [value * self.ev_per_channel]

    async def _until_answered(self, gesture: Gesture) -> None:
        deadline = time.perf_counter() + ANSWERED_S
        while not gesture.is_answered:
            self._told.clear()
            left = deadline - time.perf_counter()
            if left <= 0 or self.page.complaint:
                told = self.page.complaint or f"it shows {self._title(gesture.kind)!r}"
                self.complaints.append(
                    f"{gesture.kind} {gesture.sent[-1][1:]} was not answered: {told}"
                )
                return
            try:
                await asyncio.wait_for(self._told.wait(), min(left, 1.0))
            except TimeoutError:
                continue

    def shown(self) -> Shown:
        """Return what their page shows, and what it should."""
        limits = [self._limits.attributes[end] for end in ("low", "high")]
        title = self._title("sigma")
        return Shown(
            self.scan,
            self._window,
            self._sigma,
            limits,
            int(title.split(" · ")[0].removeprefix("Spectrum ").replace(",", "")),
            _floats(self._line),
        )


def _floats(line: Model) -> list[float]:
    return [float(value) for value in array_of(line, "counts")]
