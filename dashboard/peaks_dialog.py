"""The dialog that lists the peaks of a scan and what each may be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param
from panel.custom import JSComponent

from maxrf_core.proposals import Candidate, Proposal

from .data import SharedScan
from .dialogs import WithDialog, dialog, waiting
from .element_marks import line_label
from .element_picker import ElementChooser
from .faults import reported
from .latest import Latest
from .notice import Notice
from .state import ViewState

__all__ = ["PeakTable", "PeaksDialog", "peak_rows"]

logger = logging.getLogger(__name__)

_MOST_CANDIDATES = 4
_LEAST_SCORE = 0.05
_EXPLAINED = (
    "Peaks of the sum and the maximum spectrum, and what explains each best. The score, 0 to 1, is "
    "the share of the peak's counts times how well the element's other lines agree."
)
_KINDS = {
    "tube": "tube",
    "Compton": "Compton scatter of the tube",
    "zero": "detector",
    "escape": "escape",
    "sum": "pile-up",
}

_ESM = """
const HEADS = ["Energy (keV)", "Net counts", "Significance (σ)", "What it may be", "Overlap"];

export function render({model, el}) {
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const buttons = [];
  const candidate = ({name, score, kind, reason, element}, number) => {
    const line = make("div", {className: number === 0 ? "best" : "other"});
    if (element) {
      const button = make("button", {type: "button"});
      button.dataset.element = element;
      button.onclick = () => model.send_msg({toggle: element});
      buttons.push(button);
      line.append(button);
    }
    const part = (className, textContent) => make("span", {className, textContent});
    line.append(make("b", {textContent: name}), part("score", score));
    if (kind) line.append(part("kind", kind));
    line.append(part("reason", reason));
    return line;
  };
  const mark = () => {
    for (const button of buttons) {
      const element = button.dataset.element, is_there = model.chosen.includes(element);
      button.textContent = `${is_there ? "✓" : "+"} ${element}`;
      button.setAttribute("aria-label", `${is_there ? "Remove" : "Add"} ${element}`);
      button.classList.toggle("there", is_there);
    }
  };
  const heads = HEADS.map((text) => make("th", {textContent: text, scope: "col"}));
  const body = make("tbody", {}, ...model.rows.map((row) => make("tr", {},
    make("th", {scope: "row"}, row.energy),
    make("td", {className: "number"}, row.counts),
    make("td", {className: "number"}, row.significance),
    make("td", {}, ...(row.candidates.length
      ? row.candidates.map(candidate) : [make("i", {textContent: "nothing fits"})])),
    make("td", {}, row.overlaps),
  )));
  for (const row of body.rows)
    [...row.cells].forEach((cell, i) => cell.dataset.head = HEADS[i]);
  el.append(make("table", {ariaLabel: "Peaks"}, make("thead", {}, make("tr", {}, ...heads)), body));
  model.on("chosen", mark);
  mark();
}
"""

_STYLE = """
:host { display: block; }
table { border-collapse: collapse; width: 100%; font: 14px Roboto, Helvetica, Arial, sans-serif;
  color: var(--mui-palette-text-primary, inherit); }
th, td { text-align: left; vertical-align: top; padding: 5px 8px;
  border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
thead th { font-size: 12.5px; white-space: nowrap; border-bottom-width: 2px; }
tbody th, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.best, .other { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 8px; }
.other { font-size: 12.5px; opacity: 0.92; margin-top: 2px; }
.other b { font-weight: 400; }
.score { font-variant-numeric: tabular-nums; }
.kind { padding: 0 6px; border-radius: 8px; font-size: 12px;
  background: color-mix(in srgb, currentColor 14%, transparent); }
.reason { font-size: 12.5px; color: var(--mui-palette-text-secondary, inherit); }
button { min-width: 46px; min-height: 26px; padding: 0 7px; font: inherit; font-size: 12.5px;
  cursor: pointer; color: inherit; background: transparent; border-radius: 13px;
  border: 1px solid color-mix(in srgb, currentColor 45%, transparent); }
button.there { background: color-mix(in srgb, currentColor 18%, transparent); }
button:focus-visible { outline: 3px solid var(--mui-palette-primary-main, #0072b5); }
@media (max-width: 720px) {
  thead { position: absolute; clip-path: inset(50%); }
  table, tbody, tr, td, tbody th, td.number { display: block; text-align: left; }
  tr { padding: 8px 0; border-bottom: 1px solid color-mix(in srgb, currentColor 30%, transparent); }
  td, tbody th { border: 0; padding: 1px 4px; }
  td:empty { display: none; }
  td:not(:nth-child(4))::before, tbody th::before { content: attr(data-head) ": "; font-weight: 400;
    color: var(--mui-palette-text-secondary, inherit); }
  button { min-height: 36px; }
}
"""


def peak_rows(proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
    """Return the rows of the table of peaks, as texts.

    Parameters
    ----------
    proposals : sequence of Proposal
        The peaks with their candidates, the best first.
    """
    return [
        {
            "energy": f"{one.peak.energy_kev:.3f}",
            "counts": f"{one.peak.net_counts:,.0f}",
            "significance": _significance(one),
            "candidates": [_candidate(other) for other in _worth_telling(one)],
            "overlaps": line_label(", ".join(one.overlaps)),
        }
        for one in proposals
    ]


def _worth_telling(proposal: Proposal) -> list[Candidate]:
    """Return the best candidate, and the next ones but for the least likely."""
    told = [
        other
        for number, other in enumerate(proposal.candidates)
        if number == 0 or other.is_used or other.score >= _LEAST_SCORE
    ]
    return told[:_MOST_CANDIDATES]


def _significance(proposal: Proposal) -> str:
    peak = proposal.peak
    if peak.in_sum:
        return f"{peak.significance:,.0f}"
    return f"{peak.max_significance:,.0f} in the maximum: in few places"


def _candidate(candidate: Candidate) -> dict[str, str]:
    return {
        "name": line_label(candidate.name),
        "score": f"{candidate.score:.2f}",
        "kind": _KINDS.get(candidate.kind, ""),
        "reason": line_label(candidate.reason),
        "element": candidate.element if candidate.kind == "element" else "",
    }


class PeakTable(JSComponent):
    """Peaks, a row each, with a button for each element that one may be.

    Parameters
    ----------
    proposals : sequence of Proposal
        The peaks.
    chooser : ElementChooser
        Is told what is chosen.
    state : ViewState
        Whose elements are marked as being there.
    """

    rows = param.List(doc="As `peak_rows` returns them.")
    chosen = param.List(doc="Symbols of the elements that are there.")

    _esm = _ESM
    _stylesheets = [_STYLE]  # noqa: RUF012 - as Panel has it

    def __init__(
        self,
        proposals: Sequence[Proposal],
        chooser: ElementChooser,
        state: ViewState,
        **params: Any,
    ) -> None:
        super().__init__(rows=peak_rows(proposals), sizing_mode="stretch_width", **params)
        self._chooser, self._state = chooser, state
        state.param.watch(lambda *_: self._mark(), "elements")
        self._mark()

    def _mark(self) -> None:
        self.chosen = sorted({name.partition(" ")[0] for name in self._state.elements})

    def _handle_msg(self, data: Any) -> None:
        match data:
            case {"toggle": str(symbol)}:
                self._chooser.toggle(symbol)


class PeaksDialog(WithDialog):
    """A button, and the dialog that it opens: the table of peaks.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose elements are chosen.
    chooser : ElementChooser
        Is told which.

    Attributes
    ----------
    marked : tuple of float
        Energies in keV of the peaks to mark on the spectrum; none while the switch is off.
    """

    marked = param.Parameter(default=())

    def __init__(self, shared: SharedScan, state: ViewState, chooser: ElementChooser) -> None:
        super().__init__()
        self._shared, self._state, self._chooser = shared, state, chooser
        self._proposals: tuple[Proposal, ...] | None = None
        self._proposed: tuple[str, ...] = ()
        self._switch = pmui.Switch(label="Mark peaks on the spectrum", value=False, margin=(4, 8))
        self._switch.param.watch(lambda *_: self._mark(), "value")
        # An answer has components of its own: values that change quickly get lost (`Notice`).
        self._answer = pn.Column(waiting(), sizing_mode="stretch_width", margin=0)
        self._complaint = Notice(margin=4)
        self.dialog = dialog("Peaks of the scan", "lg")
        self.button = pmui.Button(
            label="Peaks",
            icon="query_stats",
            variant="outlined",
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 0),
            on_click=self._open,
        )
        self._latest = Latest(self._find, self._show, self._fail)
        chooser.param.watch(lambda event: self._complain(event.new), "complaint")

    def _open(self, _: object) -> None:
        if not self.dialog.objects:
            self.dialog[:] = [
                pn.Column(
                    pmui.Typography(_EXPLAINED, variant="body2", margin=4),
                    self._complaint,
                    self._answer,
                    sizing_mode="stretch_width",
                    margin=0,
                )
            ]
        self._chooser.complaint = ""
        self.dialog.open = True
        if self._proposals is None:
            self._answer[:] = [waiting()]
            self._latest.request()

    def _find(self) -> tuple[tuple[Proposal, ...], tuple[str, ...]]:
        elements = self._shared.elements
        return elements.proposals, elements.proposed

    def _show(self, found: tuple[tuple[Proposal, ...], tuple[str, ...]]) -> None:
        self._proposals, self._proposed = found
        if not self._proposals:
            self._answer[:] = [_told("No peak stands out from the background of this scan.")]
            return
        names = ", ".join(self._proposed)
        add_all = pmui.Button(
            label="Add all proposed elements",
            icon="playlist_add",
            size="small",
            disabled=not self._proposed,
            margin=4,
            on_click=lambda _: self._chooser.add_all(self._proposed),
        )
        self._answer[:] = [
            _told(f"Proposed, the surest first: {names}." if names else "No element is proposed."),
            pn.FlexBox(add_all, self._switch, align_items="center", sizing_mode="stretch_width"),
            PeakTable(self._proposals, self._chooser, self._state, margin=4),
        ]
        self._mark()

    def _mark(self) -> None:
        proposals = self._proposals if self._switch.value else None
        self.marked = tuple(one.peak.energy_kev for one in proposals or ())

    def _complain(self, sentence: str) -> None:
        self._complaint.text = sentence

    def _fail(self, error: Exception) -> None:
        told = reported(logger, "peaks could not be looked for", error)
        self._answer[:] = [_told(f"Peaks could not be looked for: {told}")]


def _told(text: str) -> pmui.Typography:
    return pmui.Typography(text, variant="body2", margin=4)
