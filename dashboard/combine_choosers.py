"""Choose the maps that are combined, and what to do when there is none yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewer

from maxrf_core import ParameterError

from .combine_maps import name_of, pair_names, shown_name
from .data import SharedScan
from .latest import Latest
from .state import WINDOW, ViewState
from .text import as_text, sentence_of

__all__ = ["MapChooser", "Offer", "PairChoosers"]


_MOST_OFFERED = 3
_LOOKING = "Looking for elements in the peaks of this scan …"
_NONE = (
    "The peaks of this scan propose no element. Add elements or lines, such as Fe, Cu or "
    "Pb L-alpha, under Elements, or type them above."
)


class MapChooser(Viewer):
    """A field for a map: an element that was chosen, one that is typed, or the energy window.

    Parameters
    ----------
    state : ViewState
        Whose elements are offered; what cannot be is said in its notice.
    label : str
        What the map is for.
    chosen : callable
        Returns the name of the map in use, or nothing.
    choose : callable
        Is given the name of another one, or nothing.
    """

    def __init__(
        self,
        state: ViewState,
        label: str,
        chosen: Callable[[], str],
        choose: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._state, self._chosen, self._choose = state, chosen, choose
        self._showing = False
        self.field = pmui.AutocompleteInput(
            label=label,
            options=self._options(),
            value=self._text(),
            restrict=False,
            min_characters=0,
            case_sensitive=False,
            placeholder="Fe, iron, Pb La …",
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 0),
        )
        self.field.param.watch(self._typed, "value")

    def __panel__(self) -> pmui.AutocompleteInput:
        return self.field

    def _options(self) -> list[str]:
        # With what was typed among them: Panel takes a value that is no option for a mistake.
        names = [WINDOW, *self._state.elements]
        chosen = self._chosen()
        return [shown_name(name) for name in names + [chosen] * (chosen not in (*names, ""))]

    def _text(self) -> str | None:
        name = self._chosen()
        return shown_name(name) if name else None

    def refresh(self) -> None:
        """Show what is chosen, and can be, by now."""
        self._showing = True
        self.field.param.update(options=self._options(), value=self._text())
        self._showing = False

    def _typed(self, event: Any) -> None:
        text = event.new or ""
        if self._showing or text == (self._text() or ""):
            return
        try:
            name = name_of(text, (*self._state.elements, WINDOW))
        except ParameterError as error:
            sentence = sentence_of(error)
            self._state.notice = f"{sentence[:1].upper()}{sentence[1:]}"
            self.refresh()
            return
        self._state.notice = ""
        self._choose(name)


class PairChoosers(Viewer):
    """Fields for the state's two maps, and a button that exchanges them.

    Parameters
    ----------
    state : ViewState
        Whose pair is chosen.
    labels : (str, str)
        What the maps are for.
    others : sequence of Viewable
        Further controls beside them.
    """

    def __init__(
        self, state: ViewState, labels: tuple[str, str], others: Sequence[pn.viewable.Viewable] = ()
    ) -> None:
        super().__init__()
        self._state = state
        self.choosers = [self._chooser(number, label) for number, label in enumerate(labels)]
        self.swap = pmui.IconButton(
            icon="swap_horiz",
            label="Exchange the two maps",
            description="Exchange the two maps",
            size="small",
            margin=(4, 0),
            on_click=lambda _: self._exchange(),
        )
        first, second = (one.field for one in self.choosers)
        for field in (first, second):
            field.param.update(sizing_mode=None, width=210, margin=(4, 8))
        # Fields themselves: a FlexBox shows no layout that is not of Panel's own HTML.
        self._layout = pn.FlexBox(
            first, self.swap, second, *others, align_items="center", sizing_mode="stretch_width"
        )
        state.param.watch(lambda *_: self._refresh(), ["pair", "elements"])

    def __panel__(self) -> pn.FlexBox:
        return self._layout

    def _chooser(self, number: int, label: str) -> MapChooser:
        def choose(name: str) -> None:
            names = list(pair_names(self._state))
            names[number] = name
            self._state.pair = tuple(names)

        return MapChooser(self._state, label, lambda: pair_names(self._state)[number], choose)

    def _exchange(self) -> None:
        first, second = pair_names(self._state)
        self._state.pair = (second, first)

    def _refresh(self) -> None:
        for chooser in self.choosers:
            chooser.refresh()


class Offer(Viewer):
    """What is there while no element was chosen: those that the scan's peaks propose.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose elements are set.
    purpose : str
        What elements are needed for, as the end of a sentence.
    """

    def __init__(self, shared: SharedScan, state: ViewState, purpose: str) -> None:
        super().__init__()
        self._shared, self._state, self._purpose = shared, state, purpose
        self._asked = False
        self._layout = pn.Column(
            self._said(_LOOKING), sizing_mode="stretch_width", margin=(24, 12), visible=False
        )
        self._latest = Latest(lambda: shared.elements.proposed, self._show, self._fail)

    def __panel__(self) -> pn.Column:
        return self._layout

    @property
    def visible(self) -> bool:
        """Whether it is there. The first time it is, the peaks are looked for, in a thread."""
        return self._layout.visible

    @visible.setter
    def visible(self, visible: bool) -> None:
        self._layout.visible = visible
        if visible and not self._asked:
            self._asked = True
            self._latest.request()

    def _said(self, text: str) -> pmui.Typography:
        return pmui.Typography(as_text(text), variant="body1", margin=(4, 0))

    def _show(self, proposed: Sequence[str]) -> None:
        best = tuple(proposed[:_MOST_OFFERED])
        if not best:
            self._layout[:] = [self._said(_NONE)]
            return
        *first, last = best
        listed = f"{', '.join(first)} and {last}" if first else last
        button = pmui.Button(
            label=f"Take {listed}", icon="auto_fix_high", margin=(8, 0), on_click=self._take(best)
        )
        self._layout[:] = [
            self._said(
                f"Choose elements {self._purpose}: under Elements, or in the fields above. The "
                f"peaks of this scan propose {', '.join(proposed)}."
            ),
            button,
        ]

    def _take(self, symbols: tuple[str, ...]) -> Callable[[object], None]:
        def take(_: object) -> None:
            for symbol in symbols:
                self._state.add_element(symbol)

        return take

    def _fail(self, error: Exception) -> None:
        self._layout[:] = [self._said(f"The peaks could not be searched: {sentence_of(error)}")]
