"""Views of a scan, drawn before anybody asks for them: who comes next gets them at once.

Most visitors come without a view of their own in the address, and all of these see the same first
look. To draw it takes the server a third of a second, while their browser waits.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import weakref
from dataclasses import dataclass

import panel as pn
from bokeh.document import Document
from panel.io.state import set_curdoc

from maxrf_core import MaxrfError

from .data import SharedScan, kept_open
from .explorer import Explorer
from .tuning import draw_ahead

__all__ = ["Look", "make_spare", "make_spare_soon", "take_spare"]

_SOON_S = 3.0
"""How long after a visitor came the next spare is made: they have their page by then."""


@dataclass(frozen=True)
class Look:
    """The views of one visitor, laid out.

    Parameters
    ----------
    explorer : Explorer
        Views and controls.
    layout : Column
        The workspaces.
    sections : list of Column
        The controls.
    """

    explorer: Explorer
    layout: pn.Column
    sections: list[pn.Column]

    @classmethod
    async def drawn(cls, explorer: Explorer, document: Document) -> Look:
        """Draw the plots of an explorer one after the other: others may be served in between."""
        layout = pn.panel(explorer.workspaces())
        for pane in layout.select(pn.pane.HoloViews):
            await asyncio.sleep(0)
            draw_ahead(pane, document)
        return cls(explorer, layout, explorer.sections())


_spares: dict[SharedScan, Look] = {}
_making: set[SharedScan] = set()
_under_way: set[asyncio.Task[None]] = set()

logger = logging.getLogger(__name__)


def take_spare(shared: SharedScan) -> Look | None:
    """Return the spare of a scan, which is nobody else's from then on, or None."""
    return _spares.pop(shared, None)


async def make_spare(shared: SharedScan) -> None:
    """Make the spare of a scan, unless it has one; on the event loop, as all drawing.

    If it cannot be drawn, its visitors are told why.
    """
    if shared in _spares or shared in _making:
        return
    nowhere = Document()
    _making.add(shared)
    try:
        with set_curdoc(nowhere):
            explorer = await asyncio.to_thread(Explorer, shared)
            _spares[shared] = await Look.drawn(explorer, nowhere)
    except MaxrfError as error:
        logger.warning("%s: %s", shared.name, error)
    finally:
        _making.discard(shared)
    for closed in _spares.keys() - set(kept_open()):
        del _spares[closed]


def make_spare_soon(shared: SharedScan) -> None:
    """Make a spare in a while, for whoever comes then; the present visitor has none of it."""
    loop, held = asyncio.get_running_loop(), weakref.ref(shared)

    def begin() -> None:
        shared = held()
        if shared is not None:
            task = loop.create_task(make_spare(shared))
            _under_way.add(task)
            task.add_done_callback(_under_way.discard)

    loop.call_later(_SOON_S, begin, context=contextvars.Context())
