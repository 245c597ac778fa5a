"""The dialog that makes files for other programs, and gives them to the visitor."""

from __future__ import annotations

import html
import logging
from typing import Any

import panel as pn
import panel_material_ui as pmui

from maxrf_core import MaxrfError, ParameterError

from .data import SharedScan
from .dialogs import WithDialog, dialog
from .downloads import Download
from .export_choices import CHOICES, Choice, export_options
from .export_task import ExportTask
from .faults import numbered
from .notice import Notice
from .state import ViewState
from .text import as_text, sentence_of

__all__ = ["ExportDialog"]

logger = logging.getLogger(__name__)

_POLL_MS = 200
_BINNINGS = (1, 2, 4, 8, 16)
_BYTES = 4  # float32
_WHOLE = {"sizing_mode": "stretch_width", "margin": (4, 0)}


class ExportDialog(WithDialog):
    """A button, and the dialog that it opens: what, as which file, made and downloaded.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What the visitor sees: interpolation, smoothing, background and units hold for the file.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self.shared, self.state = shared, state
        self._task: ExportTask | None = None
        self._poller: Any = None
        self._made: list[Download] = []
        self._what = pmui.Select(label="What", size="small", **_WHOLE)
        self._as = pmui.Select(label="As", size="small", **_WHOLE)
        self._energies = self._energy_fields()
        self._span = pn.Row(*self._energies, sizing_mode="stretch_width", margin=0)
        self._binning = pmui.Select(
            label="Channels summed into one",
            options=list(_BINNINGS),
            value=1,
            size="small",
            **_WHOLE,
        )
        self._errors = pmui.Checkbox(label="With standard errors", size="small", margin=(4, 0))
        self._told = pn.pane.HTML("", margin=(8, 0), sizing_mode="stretch_width")
        self._make = pmui.Button(label="Make the file", on_click=self._begin)
        self._answer = pn.Column(self._make, sizing_mode="stretch_width", margin=0)
        self.dialog = dialog("Export", "sm")
        self.button = pmui.Button(
            label="Export",
            icon="download",
            variant="text",
            size="small",
            margin=0,
            on_click=self._open,
        )
        self._what.param.watch(lambda *_: self._choose(), "value")
        for field in (self._as, *self._energies, self._binning):
            field.param.watch(lambda *_: self._show_options(), "value")

    @property
    def choice(self) -> Choice:
        """What the visitor wants."""
        return CHOICES[self._what.value]

    # --- choosing -----------------------------------------------------------------------

    def _open(self, _: object) -> None:
        if not self.dialog.objects:
            self.dialog[:] = [
                pn.Column(
                    self._what,
                    self._as,
                    self._span,
                    self._binning,
                    self._errors,
                    self._told,
                    self._answer,
                    sizing_mode="stretch_width",
                    styles={"min-width": "min(420px, 64vw)"},
                    margin=0,
                )
            ]
        there = {
            choice.label: name
            for name, choice in CHOICES.items()
            if choice.is_there(self.shared, self.state)
        }
        kept = self._what.value
        self._what.param.update(
            options=there, value=kept if kept in there.values() else next(iter(there.values()))
        )
        if self._task is None or self._task.is_over:
            self._choose()
        self.dialog.open = True

    def _choose(self) -> None:
        kinds = {kind.label: kind for kind in self.choice.formats}
        self._as.param.update(options=kinds, value=next(iter(kinds.values())))
        self._show_options()

    def _energy_fields(self) -> tuple[pmui.FloatInput, pmui.FloatInput]:
        low, high = (float(self.shared.scan.energies[end]) for end in (0, -1))
        limits = {"start": low, "end": high, "step": 0.1, "format": "0.000", "size": "small"}
        return (
            pmui.FloatInput(label="from (keV)", value=low, **limits, **_WHOLE),
            pmui.FloatInput(label="to (keV)", value=high, **limits, **_WHOLE),
        )

    def _show_options(self) -> None:
        kind = self._as.value
        if kind is None:
            return
        self._span.visible = "energies" in kind.options
        self._binning.visible = "binning" in kind.options
        self._errors.visible = "errors" in kind.options
        self._told.object = as_text(self.told)
        is_free = self._task is None or self._task.is_over
        if is_free and self._make not in self._answer:  # a button that is replaced loses a click
            self._answer[:] = [self._make]

    @property
    def told(self) -> str:
        """How the numbers in the file come about, in words."""
        kind, state = self._as.value, self.state
        parts = []
        if "method" in kind.options and self._what.value != "sum":
            parts.append(f"interpolated by {state.method}")
        if "sigma" in kind.options:
            smoothed = state.smooth_map and state.sigma > 0
            parts.append(f"smoothed by {state.sigma:g} channels" if smoothed else "not smoothed")
        if "background" in kind.options and state.background != "none":
            parts.append("net of the background")
        if "per_second" in kind.options and state.per_second:
            parts.append("per second")
        as_seen = f"As the page shows it now: {', '.join(parts)}." if parts else ""
        if self._what.value in ("cube", "measured"):
            as_seen += f" Up to {self._size / 1e6:,.0f} MB."
        return as_seen.strip()

    @property
    def _size(self) -> float:
        """Bytes of a cube's or the spectra's counts."""
        scan = self.shared.scan
        low, high = (field.value for field in self._energies)
        n_channels = 0
        if None not in (low, high) and low < high:
            part = scan.channels_of(low, high)
            n_channels = (part.stop - part.start) // self._binning.value
        height, width = scan.grid.shape
        rows = height * width if self._what.value == "cube" else scan.n_spectra
        return float(rows) * n_channels * _BYTES

    # --- making -------------------------------------------------------------------------

    def _begin(self, _: object) -> None:
        kind = self._as.value
        try:
            options = export_options(
                self.choice,
                kind,
                self.shared,
                self.state,
                energies=self._asked_energies() if "energies" in kind.options else None,
                binning=self._binning.value,
                errors=self._errors.value,
            )
            download = Download.new(f"{self.shared.name}-{self.choice.name}{kind.suffixes[0]}")
        except MaxrfError as error:
            self._complain(sentence_of(error))
            return
        except OSError as error:
            number = numbered(logger, "no file could be made for a visitor", error)
            self._complain(f"The server cannot make files ({error.strerror}; fault {number}).")
            return
        if not self._made and pn.state.curdoc is not None:
            pn.state.curdoc.on_session_destroyed(self._left)
        self._made.append(download)
        self._task = ExportTask(self.shared, download, options)
        self._bar = pmui.LinearProgress(value=0, sizing_mode="stretch_width")
        self._stage = pn.pane.HTML("Waiting …", sizing_mode="stretch_width")
        cancel = pmui.Button(label="Cancel", variant="outlined", size="small", on_click=self._stop)
        self._answer[:] = [self._bar, pn.Row(self._stage, cancel, margin=0)]
        self._poller = pn.state.add_periodic_callback(self._poll, _POLL_MS)

    def _asked_energies(self) -> tuple[float, float] | None:
        """Return the energies to export; None for all channels."""
        low, high = (field.value for field in self._energies)
        if low is None or high is None or low >= high:
            raise ParameterError("The energies to export need two numbers, the lower one first.")
        energies = self.shared.scan.energies
        if low <= energies[0] and high >= float(energies[-1]):
            return None
        return low, high

    def _stop(self, _: object) -> None:
        self._task.cancel()

    def _poll(self) -> None:
        task = self._task
        if not task.is_over:
            if task.progress is not None:
                self._bar.value = round(100 * task.progress.fraction)
                self._stage.object = f"{task.progress.label} …"
            return
        self._poller.stop()
        self._poller = None
        if task.status == "done":
            self._offer(task.download)
        elif task.status == "cancelled":
            self._show_options()
        else:
            self._complain(task.message)

    def _offer(self, download: Download) -> None:
        links = "<br>".join(
            f'<a href="{html.escape(file.address)}" download="{html.escape(file.path.name)}">'
            f"Download {html.escape(file.path.name)}</a> ({_size(file.path.stat().st_size)})"
            for file in download.files()
        )
        again = pmui.Button(
            label="Make another", variant="outlined", size="small", on_click=self._again
        )
        link = pn.pane.HTML(links, styles={"font-size": "15px"}, stylesheets=["a {color: inherit}"])
        self._answer[:] = [link, again]

    def _again(self, _: object) -> None:
        self._show_options()

    def _complain(self, sentence: str) -> None:
        notice = Notice("error", margin=(4, 0))
        notice.text = sentence
        self._answer[:] = [notice, self._make]

    def _left(self, _: object) -> None:
        """Stop what is under way and remove what was made: the visitor is gone."""
        if self._task is not None:
            self._task.cancel()
        for download in self._made:
            download.withdraw()


def _size(n_bytes: float) -> str:
    """Return a size for people."""
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 10 else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
