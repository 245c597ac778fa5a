"""The catalogue: what a visitor of a server of several scans sees first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

import panel as pn
from bokeh.document import Document
from bokeh.document.locking import without_document_lock
from panel.viewable import Viewer

from .catalogue import Catalogue, Entry, Facts
from .notice import Notice
from .scan_cards import ScanCards
from .thumbnails import Thumbnail, facts_later, thumbnail_later

__all__ = ["CataloguePage", "bytes_text", "link_to"]

_AT_ONCE = 20
"""Scans whose facts are sent in one message."""

T = TypeVar("T")


def link_to(name: str | None) -> str:
    """Return the query string of a scan, or without one of the catalogue."""
    return "" if name is None else "?" + urlencode({"scan": name})


class CataloguePage(Viewer):
    """A card for each scan, with a filter by name. A card is a link.

    Parameters
    ----------
    entries : Catalogue
        The scans.
    notice : str
        What to tell above them, not escaped.

    Notes
    -----
    Names stand there at once. What else there is to tell of the scans comes when the browser
    has the cards, then the pictures of those in view, one by one.
    """

    def __init__(self, entries: Catalogue, *, notice: str = "") -> None:
        super().__init__()
        self._entries = entries
        self._told: set[str] = set()
        self._wanted: list[str] = []
        self._facts: dict[str, Facts] = {}
        self._running = self._left = False
        self._document = pn.state.curdoc
        self.cards = ScanCards(
            scans=[
                {"name": name, "folder": entry.folder, "link": link_to(name)}
                for name, entry in entries.items()
            ],
            sizing_mode="stretch_width",
            margin=0,
        )
        self.cards.on_asked = self._asked
        said = Notice(on_closed=lambda: None)
        said.text = notice
        self._layout = pn.Column(said, self.cards, sizing_mode="stretch_width", margin=0)

    def __panel__(self) -> pn.Column:
        return self._layout

    def leave(self) -> None:
        """Look into no more files: the visitor has gone on."""
        self._left = True

    def _asked(self, names: list[str]) -> None:
        """Take the names of the scans in view, which go first; the browser is ready for them."""
        self._wanted = [name for name in names if name in self._entries]
        document = self._document
        if self._running or self._left or document is None or document.session_context is None:
            return
        self._running = True
        document.add_next_tick_callback(without_document_lock(partial(self._look, document)))

    async def _look(self, document: Document) -> None:
        """Look into the files, those in view first, and tell what is found."""
        try:
            await self._tell_facts(document)
            while name := self._next():
                entry = self._entries[name]
                thumbnail = await _until_done(thumbnail_later(entry))
                if not self._tell(document, [_picture(name, thumbnail)]):
                    return
        finally:
            self._running = False

    async def _tell_facts(self, document: Document) -> None:
        names = sorted(self._entries, key=lambda name: name not in self._wanted)
        missing = [name for name in names if name not in self._facts]
        for first in range(0, len(missing), _AT_ONCE):
            some = missing[first : first + _AT_ONCE]
            for name in some:
                if self._left or document.session_context is None:
                    return
                self._facts[name] = await _until_done(facts_later(self._entries[name]))
            self._tell(document, [_card(name, self._facts[name]) for name in some])

    def _next(self) -> str | None:
        """Return a scan in view that has no picture yet and can have one."""
        for name in self._wanted:
            if name not in self._told and _is_drawable(self._entries[name], self._facts.get(name)):
                self._told.add(name)
                return name
        return None

    def _tell(self, document: Document, cards: Iterable[dict[str, Any]]) -> bool:
        """Send what is to be shown on cards; return whether somebody still looks at them."""
        if self._left or document.session_context is None:
            return False
        document.add_next_tick_callback(partial(self.cards.tell, list(cards)))
        return True


async def _until_done(future: Future[T]) -> T:
    """Wait for what all visitors may wait for: who leaves does not cancel it for the others."""
    return await asyncio.shield(asyncio.wrap_future(future))


def _is_drawable(entry: Entry, facts: Facts | None) -> bool:
    is_here = not isinstance(entry.zipstore, str)
    return is_here and facts is not None and facts.is_converted and not facts.fault


def _card(name: str, facts: Facts) -> dict[str, Any]:
    """Return what is written on a card, as plain text."""
    size = "" if facts.n_bytes is None else bytes_text(facts.n_bytes)
    counted = ""
    if facts.n_spectra is not None and facts.shape is not None:
        height, width = facts.shape
        counted = f"{facts.n_spectra:,} spectra · {height:,} × {width:,} cells"
    return {
        "name": name,
        "date": facts.date,
        "measured": facts.is_measured,
        "size": size,
        "counted": counted,
        "converted": facts.is_converted,
        "fault": facts.fault,
    }


def _picture(name: str, thumbnail: Thumbnail) -> dict[str, Any]:
    return {
        "name": name,
        "picture": thumbnail.address,
        "line": thumbnail.line,
        **({"fault": thumbnail.fault} if thumbnail.fault else {}),
    }


def bytes_text(n_bytes: int) -> str:
    """Return a size as files are listed: ``15.4 MB``."""
    size, units = float(n_bytes), ["TB", "GB", "MB", "kB"]
    if size < 1000:
        return f"{n_bytes} bytes"
    while size >= 999.5 and units:
        size, unit = size / 1000, units.pop()
    return f"{size:.0f} {unit}" if size >= 99.95 else f"{size:.1f} {unit}"
