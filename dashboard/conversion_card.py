"""The card of a scan that is not converted yet: a button, a progress bar, a cancel."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewer

from .catalogue import CatalogueError, Entry
from .jobs import Job, job_for, start_job
from .notice import Notice
from .rights import may_change, why_not
from .text import as_text, sentence_of

__all__ = ["ConversionCard"]

_POLL_MS = 200

_ENERGIES = (
    "Its energies are those that the file names. If it names none, or wrong ones, fill in both; "
    "they can be calibrated on known lines later, too."
)


class EnergyFields(Viewer):
    """Two fields for the energies of a cube's channels, which its file may not name.

    Empty ones leave the energies to the file.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fields = [
            pmui.TextInput(label=label, placeholder="as in the file", size="small", width=230)
            for label in ("Energy of channel 0 (keV)", "Width of a channel (keV)")
        ]
        told = pmui.Typography(_ENERGIES, variant="body2", margin=(5, 10))
        self._layout = pn.Column(told, pn.FlexBox(*self._fields, margin=0), margin=0)

    def __panel__(self) -> pn.Column:
        return self._layout

    @property
    def _texts(self) -> list[str]:
        return [field.value_input.strip().replace(",", ".") for field in self._fields]

    @property
    def fault(self) -> str:
        """What is wrong with what was filled in, in a sentence; empty if nothing is."""
        if not any(self._texts):
            return ""
        if not all(self._texts):
            return "Fill in both energies, or neither."
        try:
            zero, width = map(float, self._texts)
        except ValueError:
            zero = width = math.nan
        if not (math.isfinite(zero) and 0 < width < math.inf):
            return (
                "The energies have to be numbers in keV, the width of a channel more than 0, such "
                "as -0.956 and 0.010002."
            )
        return ""

    @property
    def options(self) -> list[str]:
        """What was filled in, as options of ``maxrf convert``."""
        if not all(self._texts):
            return []
        # -1e-05 would be an option to argparse
        return ["--calibration", *(np.format_float_positional(float(t)) for t in self._texts)]

    def disable(self, is_disabled: bool) -> None:
        """Take no values while they are used."""
        for field in self._fields:
            field.disabled = is_disabled


class ConversionCard(Viewer):
    """Convert a scan from the page. All visitors see the same run of it.

    Parameters
    ----------
    entry : Entry
        The scan. The demo is simulated first, unasked; one without a source cannot be made.
    on_done : callable
        Called with the entry when its zipstore is there.
    overwrite : bool
        Replace a zipstore that cannot be used.
    """

    def __init__(
        self, entry: Entry, on_done: Callable[[Entry], None], *, overwrite: bool = False
    ) -> None:
        super().__init__()
        self._entry, self._on_done = entry, on_done
        self._energies = EnergyFields() if entry.is_cube else None
        self._poller: object = None
        if entry.is_demo:
            self._arguments = ["demo", "--prepare"]
            title, text = "The demo scan", "It is simulated and converted once, in a few seconds."
        elif entry.source is None:
            self._arguments = []
            title, text = entry.name, "Its zipstore is not there any more, and there is no scan."
        else:
            stale = overwrite or entry.zipstore.exists()
            self._arguments = ["convert", str(entry.source), *(["--overwrite"] if stale else [])]
            title = entry.name
            kind = "cube" if entry.is_cube else "scan"
            text = (
                f"Its zipstore is older than the {kind} or cannot be used."
                if stale
                else f"This {kind} is not converted yet: its spectra are read once into a zipstore "
                "beside it, and then every map is a matter of milliseconds."
            )
        self._start = pmui.Button(label="Convert", color="primary", on_click=self._begin)
        self._cancel = pmui.Button(label="Cancel", variant="outlined", on_click=self._stop)
        self._bar = pmui.LinearProgress(value=0, sizing_mode="stretch_width", visible=False)
        self._status = pn.pane.HTML("", sizing_mode="stretch_width")
        self._failure = Notice("error")
        self._layout = pn.Column(
            pmui.Typography(as_text(title), variant="h6"),
            pmui.Typography(text),
            *([] if self._energies is None else [self._energies]),
            self._failure,
            self._bar,
            self._status,
            pn.Row(self._start, self._cancel),
            max_width=640,
            sizing_mode="stretch_width",
            margin=20,
        )
        job = job_for(self._arguments)
        running = job is not None and not job.is_over
        if running or (entry.is_demo and job is None):
            self._follow()
        else:
            self._show(job if job is not None and job.status == "failed" else None)
            self._start.visible = bool(self._arguments)
        if self._arguments and not self._may_change:
            self._start.disabled = self._cancel.disabled = True
            self._layout.insert(2, pmui.Typography(why_not(), variant="body2"))

    def __panel__(self) -> pn.viewable.Viewable:
        return self._layout

    @property
    def _may_change(self) -> bool:
        """Whether the visitor may begin and stop it; the demo is made for whoever comes first."""
        return self._entry.is_demo or may_change()

    def _begin(self, _: object) -> None:
        if self._may_change:
            self._follow()
        else:
            self._failure.text = why_not()

    def _follow(self) -> None:
        """Begin it, or take part in the run that is under way."""
        fields = self._energies
        if fields is not None and fields.fault:
            self._failure.text = fields.fault
            return
        try:
            self._entry.check_in_place()
        except CatalogueError as error:
            self._failure.text = sentence_of(error)
            return
        self._job = start_job(self._arguments, [] if fields is None else fields.options)
        self._show(self._job)
        if self._poller is None:
            self._poller = pn.state.add_periodic_callback(self._poll, _POLL_MS)

    def _stop(self, _: object) -> None:
        if self._may_change:
            self._job.cancel()

    def _poll(self) -> None:
        job = self._job
        self._show(job)
        if job.is_over:
            self._poller.stop()
            self._poller = None
            if job.status == "done":
                self._on_done(self._entry)

    def _show(self, job: Job | None) -> None:
        active = job is not None and not job.is_over
        self._start.visible, self._cancel.visible, self._bar.visible = not active, active, active
        if self._energies is not None:
            self._energies.disable(active)
        failed = job is not None and job.status == "failed"
        self._failure.text = job.message if failed else ""
        if active and job.progress is not None:
            self._bar.value = round(100 * job.progress.fraction)
        self._status.object = as_text(_status(job))


def _status(job: Job | None) -> str:
    """Return how far a conversion is."""
    if job is None or job.status in ("failed", "done"):
        return ""
    if job.status == "cancelled":
        return "Cancelled; nothing was left behind."
    if job.status == "waiting":
        return "Waiting for another conversion to end …"
    if job.progress is None:
        return "Starting …"
    return f"{job.progress.label} · {job.progress.done:,} of {job.progress.total:,}"
