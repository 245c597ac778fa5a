"""Elements and emission lines as a scan's detector shows them: their windows, its peaks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from maxrf_core import Scan
from maxrf_core.elements import LineGroup, best_line, find_line, line_groups, line_window
from maxrf_core.peaks import find_peaks_in
from maxrf_core.proposals import Proposal, propose, proposed_elements
from maxrf_core.resolution import Resolution

from .once import Once

__all__ = ["ElementLine", "ElementLines", "line_name"]


@dataclass(frozen=True, slots=True)
class ElementLine:
    """A line that a map is made of.

    Attributes
    ----------
    name : str
        What was asked for: an element or a line of it, such as ``"Fe"`` or ``"Pb La"``.
    group : LineGroup
        The line; of an element alone, the one that shows it best in this scan.
    low_kev, high_kev : float
        Its energy window, as wide as the detector's resolution there.
    """

    name: str
    group: LineGroup
    low_kev: float
    high_kev: float

    @property
    def window(self) -> tuple[float, float]:
        """Low and high energy in keV."""
        return self.low_kev, self.high_kev


def line_name(text: str) -> str:
    """Return the name of the element or line that a text names: ``"Fe"``, ``"Pb La"``.

    Raises
    ------
    ParameterError
        If it names none.
    """
    element, group = find_line(text)
    return element.symbol if group is None else group.name


class ElementLines:
    """The lines of one scan.

    Parameters
    ----------
    scan : Scan
        The open scan.
    resolution : Resolution
        Its detector's.
    """

    def __init__(self, scan: Scan, resolution: Resolution) -> None:
        self._scan, self._resolution = scan, resolution
        self.line = lru_cache(maxsize=512)(self._line)

    def _line(self, text: str) -> ElementLine:
        """Return the line that a text names, or the best one of the element that it names.

        Raises
        ------
        ParameterError
            If it names none, or none that lies on the energy axis.
        """
        element, group = find_line(text)
        if group is None:
            scan = self._scan
            group = best_line(element.symbol, scan.energies, scan.total_spectrum, self._resolution)
        low, high = line_window(element.symbol, group.line, self._resolution)
        return ElementLine(line_name(text), group, round(low, 3), round(high, 3))

    def groups(self, text: str) -> tuple[LineGroup, ...]:
        """Return the groups of lines to mark on the spectrum: a line's own, or all of an element.

        Those that lie on the energy axis.
        """
        element, group = find_line(text)
        low, high = self._scan.energies[0], self._scan.energies[-1]
        groups = line_groups(element.symbol) if group is None else (group,)
        return tuple(one for one in groups if low < one.energy_kev < high)

    @Once
    def proposals(self) -> tuple[Proposal, ...]:
        """Candidates for the peaks of the sum and maximum spectra, by rising energy."""
        scan, resolution = self._scan, self._resolution
        # The same maximum that the page draws: of single counts nothing stands out.
        maximum = scan.max_smoothed
        peaks = find_peaks_in(scan.energies, scan.total_spectrum, maximum, resolution)
        return propose(peaks, scan.energies, scan.total_spectrum, resolution, max_spectrum=maximum)

    @Once
    def proposed(self) -> tuple[str, ...]:
        """Symbols of the elements that the peaks propose, the surest first."""
        return proposed_elements(self.proposals)
