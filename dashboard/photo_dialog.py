"""The dialog that lays a photo on the map: the same places are picked in both."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from dataclasses import dataclass

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewable, Viewer

from maxrf_core import MaxrfError, ParameterError
from maxrf_core.photo_record import PhotoRecord, forget_photo, keep_photo, kept_photo
from maxrf_core.sidecar import sidecar_path

from .data import SharedScan
from .dialogs import WithDialog, dialog, waiting
from .energymap import EnergyMapView
from .faults import reported
from .latest import Latest
from .light import fit_told, folder_path, picture_path, pictures_beside
from .light_pictures import whole_photo
from .notice import Notice
from .pair_table import PairTable
from .photo_plots import PickPlot, map_plot, photo_plot
from .pixels import Picture, View
from .plots import grid_with_margin
from .point_pairs import PointPairs
from .rights import may_change, why_not
from .state import ViewState
from .text import as_text, sentence_of

__all__ = ["PhotoDialog"]

logger = logging.getLogger(__name__)

_NONE = ""
_NOT_CHOSEN = "choose a picture"
_KINDS = {"straight from above (affine)": "affine", "at a slant (homography)": "homography"}
_EXPLAINED = (
    "Click a place in the photo, then the same place in the map; zoom with the wheel. Corners of "
    "what is painted are good places, spread far apart: choose a map first that shows them. Three "
    "are enough for a photo taken straight from above, four for one at a slant; one more tells how "
    "sure it is."
)
_NOTHING_HERE = (
    "There is no picture in the folder of the scan. Put a photo there (PNG, JPEG or TIFF), then "
    "open this dialog again."
)
_BEHIND_URL = (
    "This scan was opened by its URL: no photo can lie beside it, and nothing can be kept. "
    "Download the scan into a folder, and put the photo there."
)
_MAP_PIXELS = 1000
"""Of the map in the dialog, along each side at most."""
_SIDE_BY_SIDE = {
    "display": "grid",
    "grid-template-columns": "repeat(auto-fit, minmax(max(min(300px, 100%), 40%), 1fr))",
    "gap": "8px",
}
_STATUS = {"font-size": "15px", "font-weight": "500"}
_PLOT = {"height": "clamp(240px, min(46vh, 72vw), 560px)"}


@dataclass(frozen=True)
class _Loaded:
    """What lies in the folder, what is kept, and the pictures to be shown."""

    names: tuple[str, ...]
    record: PhotoRecord | None
    name: str
    photo: tuple[Picture, tuple[int, int]] | None
    map_picture: Picture
    complaint: str


class PhotoDialog(WithDialog):
    """A button, and the dialog that it opens: photo and map side by side, and point pairs.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose map gets the photo when it is kept.
    energy_map : EnergyMapView
        The map.

    Attributes
    ----------
    pairs : PointPairs
        What was picked.
    photo_name : str
        The photo; empty if none is chosen.
    """

    def __init__(self, shared: SharedScan, state: ViewState, energy_map: EnergyMapView) -> None:
        super().__init__()
        self.shared, self.state, self._map = shared, state, energy_map
        self.pairs, self.photo_name = PointPairs(), _NONE
        self._wanted: str | None = None
        self._size = (0, 0)
        self._untouched: list[tuple[float, ...]] = []
        self._photo_plot: PickPlot | None = None
        self._map_plot: PickPlot | None = None
        self._order: Callable[[], str] = lambda: ""
        # A drag that ends beside it must not close it.
        self.dialog = dialog("Photo on the map", "xl", close_on_click=False)
        self.button = pmui.Button(
            label="Photo",
            icon="photo_camera",
            variant="outlined",
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 0),
            on_click=self._open,
        )
        self._wrong = Notice("error", margin=(4, 0))
        self._done = Notice("success", margin=(4, 0))
        # Each answer has components of its own: values that change quickly get lost (`Notice`).
        self._choosers = pn.Column(waiting(), sizing_mode="stretch_width", margin=0)
        self._plots = pn.Column(sizing_mode="stretch_width", margin=0)
        self._next = pn.pane.HTML(
            "", styles=_STATUS, sizing_mode="stretch_width", min_height=22, margin=4
        )
        self.table = PairTable(
            self._change, self._add, self._remove, sizing_mode="stretch_width", margin=4
        )
        self._loading = Latest(self._load, self._show, self._fail)
        self._keeping = Latest(self._obey, self._obeyed, self._fail)

    def _open(self, _: object) -> None:
        scan = folder_path(self.shared)
        if not self.dialog.objects:
            parts = [_told(_BEHIND_URL)] if scan is None else self._contents()
            self.dialog[:] = [pn.Column(*parts, sizing_mode="stretch_width", margin=0)]
        self._wrong.text = self._done.text = ""
        self.dialog.open = True
        if scan is not None:
            self._wanted = self.photo_name or None
            self._choosers[:] = [waiting()]
            self._loading.request()

    def _contents(self) -> list[Viewable | Viewer]:
        kept = sidecar_path(folder_path(self.shared)).name
        buttons = pn.FlexBox(  # in two lines on a phone
            pmui.Button(label="Keep beside the scan", on_click=self._keep),
            pmui.Button(label="Forget", variant="outlined", on_click=self._forget),
            margin=(8, 0),
            sizing_mode="stretch_width",
        )
        return [
            _told(_EXPLAINED),
            self._choosers,
            self._next,
            self._plots,
            self.table,
            self._wrong,
            self._done,
            buttons,
            _told(f"Kept are the photo's name and the pairs, in {kept}; photo and scan stay."),
        ]

    # --- the photo ----------------------------------------------------------------------

    def _load(self) -> _Loaded:
        """Look into the folder and draw what is wanted. Called in a thread."""
        scan, complaint, record, photo = folder_path(self.shared), "", None, None
        names = pictures_beside(scan)
        try:
            record = kept_photo(scan)
        except MaxrfError as error:
            complaint = sentence_of(error)
        name = self._wanted
        if name is None:
            kept = None if record is None else record.name
            name = kept if kept in names else names[0] if len(names) == 1 else _NONE
            if kept is not None and kept not in names:
                complaint = f"{kept}, which is kept, does not lie beside the scan any more."
        if name:
            try:
                photo = whole_photo(picture_path(scan, name))
            except ParameterError as error:
                complaint, name = sentence_of(error), _NONE
        grid = self.shared.scan.grid
        shown = self._map.picture.seen(grid, View.over(grid.bounds, _MAP_PIXELS, _MAP_PIXELS))
        return _Loaded(names, record, name, photo, shown, complaint)

    def _show(self, loaded: _Loaded) -> None:
        record, is_other = loaded.record, loaded.name != self.photo_name
        if is_other or self.pairs.points == self._untouched:
            if record is not None and record.name == loaded.name:
                self.pairs.start(record.points, record.kind)
            else:
                self.pairs.start((), self.pairs.kind)
            self._untouched = self.pairs.points
        self.photo_name = loaded.name
        self._wrong.text = loaded.complaint
        self._choosers[:] = self._fields(loaded)
        if loaded.photo is None:
            self._photo_plot = self._map_plot = None
            self._plots[:] = [pn.Spacer(height=0, margin=0)]
        else:
            self._draw(loaded)
        self.table.visible = loaded.photo is not None
        self._tell()

    def _fields(self, loaded: _Loaded) -> list[Viewable]:
        if not loaded.names:
            return [_told(_NOTHING_HERE)]
        style = {"size": "small", "sizing_mode": "stretch_width", "margin": 4}
        names = {name: name for name in loaded.names}
        photo = pmui.Select(
            label="Picture",
            options=names if loaded.name else {_NOT_CHOSEN: _NONE, **names},
            value=loaded.name,
            searchable=len(names) > 12,
            **style,
        )
        kind = pmui.Select(label="Taken", options=_KINDS, value=self.pairs.kind, **style)
        photo.param.watch(lambda event: self._choose(event.new), "value")
        kind.param.watch(lambda event: self._fit_as(event.new), "value")
        row = pn.Column(photo, kind, sizing_mode="stretch_width", margin=0, styles=_SIDE_BY_SIDE)
        return [row]

    def _draw(self, loaded: _Loaded) -> None:
        picture, self._size = loaded.photo
        grid = self.shared.scan.grid
        self._photo_plot = photo_plot(picture, self._size, self._tap_photo)
        self._map_plot = map_plot(
            loaded.map_picture,
            grid_with_margin(grid),
            self.state.colour_map,
            self._map.title,
            self._tap_map,
        )
        self._plots[:] = [
            pn.Column(
                *(
                    pn.Column(
                        pn.pane.Bokeh(plot.figure, sizing_mode="stretch_both"),
                        sizing_mode="stretch_width",
                        margin=0,
                        styles=_PLOT,
                    )
                    for plot in (self._photo_plot, self._map_plot)
                ),
                sizing_mode="stretch_width",
                margin=0,
                styles=_SIDE_BY_SIDE,
            )
        ]

    def _choose(self, name: str) -> None:
        """Take another of the pictures that were offered."""
        if name:
            self._wanted = name
            self._done.text = ""
            self._loading.request()

    # --- the pairs ----------------------------------------------------------------------

    def _tap_photo(self, x: float, y: float) -> None:
        width, height = self._size
        if 0 <= x <= width and 0 <= y <= height:
            self._try(lambda: self.pairs.pick(in_photo=(x, height - y)))

    def _tap_map(self, x: float, y: float) -> None:
        self._try(lambda: self.pairs.pick(in_map=(x, y)))

    def _change(self, pair: int, axis: int, value: float) -> None:
        self._try(lambda: self.pairs.change(pair, axis, value))

    def _add(self, values: list[float]) -> None:
        self._try(lambda: self.pairs.add(values))

    def _remove(self, pair: int) -> None:
        self._try(lambda: self.pairs.remove(pair))

    def _fit_as(self, kind: str) -> None:
        self._try(lambda: self.pairs.choose(kind))

    def _try(self, action: Callable[[], None]) -> None:
        complaint = ""
        try:
            action()
        except ParameterError as error:
            complaint = sentence_of(error)
        self._wrong.text = self._done.text = ""
        self._tell(complaint)

    def _tell(self, complaint: str = "") -> None:
        """Show the pairs in both plots and in the table."""
        pairs, points = self.pairs, self.pairs.points
        misses: list[tuple[float, float, float, float]] = []
        worst = -1
        if pairs.fit is not None and pairs.fit.freedom:
            misses = [
                (mx, my, mx + dx, my + dy)
                for (_, _, mx, my), (dx, dy) in zip(points, pairs.fit.residuals, strict=True)
            ]
            worst = int(pairs.fit.distances.argmax())
        if self._photo_plot is not None and self._map_plot is not None:
            height = self._size[1]
            begun = None if pairs.in_photo is None else _flipped(pairs.in_photo, height)
            self._photo_plot.show([_flipped(point[:2], height) for point in points], begun)
            self._map_plot.show([point[2:] for point in points], pairs.in_map, misses)
        rows = [
            {
                "id": number,
                "values": [round(value, 1) for value in point],
                "off": off,
                "is_worst": k == worst,
            }
            for k, (number, point, off) in enumerate(
                zip(pairs.ids, points, pairs.told(self.shared.scan.grid), strict=True)
            )
        ]
        self.table.param.update(rows=rows, complaint=complaint or pairs.complaint)
        self._next.object = f'<div role="status">{html.escape(self.hint)}</div>'

    @property
    def hint(self) -> str:
        """What to do next, or how good the pairs are."""
        pairs = self.pairs
        if not self.photo_name:
            return ""
        number = len(pairs.ids) + 1
        if pairs.in_photo is not None:
            return f"Point {number}: click the same place in the map."
        if pairs.in_map is not None:
            return f"Point {number}: click the same place in the photo."
        if pairs.lacking:
            more = "1 more pair is" if pairs.lacking == 1 else f"{pairs.lacking} more pairs are"
            return f"Click a place in the photo; {more} needed."
        if pairs.fit is None:
            return ""
        told = fit_told(self.shared, pairs.fit)
        return told[:1].upper() + told[1:]

    # --- what is kept -------------------------------------------------------------------

    def _keep(self, _: object) -> None:
        if not may_change():
            self._wrong.text = why_not()
            return
        name, points, kind = self.photo_name, self.pairs.points, self.pairs.kind

        def keep() -> str:
            if not name:
                raise ParameterError("No picture is chosen; choose one first.")
            scan = folder_path(self.shared)
            keep_photo(scan, picture_path(scan, name), points, kind=kind)
            return "kept"

        self._order = keep
        self._keeping.request()

    def _forget(self, _: object) -> None:
        if not may_change():
            self._wrong.text = why_not()
            return

        def forget() -> str:
            forget_photo(folder_path(self.shared))
            return "forgotten"

        self._order = forget
        self._keeping.request()

    def _obey(self) -> str:
        return self._order()

    def _obeyed(self, what: str) -> None:
        self._wrong.text = ""
        underlay = self._map.underlay
        if what == "forgotten":
            self._untouched = []
            if self.state.underlay == "photo":
                self.state.underlay = "none"
            underlay.renew()
            self._done.text = (
                "Nothing is kept of a photo any more. The pairs stay here until you leave."
            )
            return
        self._untouched = self.pairs.points
        if self.pairs.fit is None:
            self._done.text = "Kept; the photo is laid on the map when the pairs are enough."
            underlay.renew()
            return
        if self.state.underlay == "photo":
            underlay.renew()
        else:
            self.state.underlay = "photo"
        self.dialog.open = False

    def _fail(self, error: Exception) -> None:
        self._wrong.text = reported(logger, "the photo dialog failed", error)


def _flipped(point: tuple[float, ...], height: int) -> tuple[float, float]:
    """Return a point of the photo as its plot has it, y upwards."""
    return point[0], height - point[1]


def _told(text: str) -> Viewable:
    return pmui.Typography(as_text(text), variant="body2", margin=4)
