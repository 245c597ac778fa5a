"""Steps back and forward through energy windows, elements and regions."""

from __future__ import annotations

from typing import Any

import param

from .latest import Settled
from .state import ViewState

__all__ = ["UNDONE", "Undo"]

UNDONE = ("window", "elements", "regions", "hidden_regions")
"""Parameters of the state that a step is made of."""

_SETTLED_MS = 300
"""How long they stand still after a gesture, which is one step however many values it had."""

_MOST_STEPS = 100


class Undo(param.Parameterized):
    """Remember what a visitor did, and take it back.

    Parameters
    ----------
    state : ViewState
        Whose windows, elements and regions.

    Attributes
    ----------
    can_undo, can_redo : bool
        Whether there is a step back, or one that was taken back.
    """

    can_undo = param.Boolean(False)
    can_redo = param.Boolean(False)

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self._state = state
        self._past: list[dict[str, Any]] = []
        self._future: list[dict[str, Any]] = []
        self._present = self._now()
        self._settled = Settled(self._note, _SETTLED_MS)
        state.param.watch(lambda *_: self._settled.request(), list(UNDONE))

    def undo(self) -> None:
        """Go back one step, if there is one."""
        self._note()
        self._step(self._past, self._future)

    def redo(self) -> None:
        """Take the last `undo` back, if nothing was done since."""
        self._note()
        self._step(self._future, self._past)

    def _now(self) -> dict[str, Any]:
        return {name: getattr(self._state, name) for name in UNDONE}

    def _note(self) -> None:
        """Make what changed since the last step one."""
        now = self._now()
        if now == self._present:
            return
        self._past = [*self._past, self._present][-_MOST_STEPS:]
        self._future = []
        self._present = now
        self._tell()

    def _step(self, taken: list[dict[str, Any]], left: list[dict[str, Any]]) -> None:
        if not taken:
            return
        left.append(self._present)
        self._present = taken.pop()
        names = {one.name for one in self._present["regions"]}
        region = self._state.region if self._state.region in names else ""
        self._state.param.update(**self._present, region=region)
        self._tell()

    def _tell(self) -> None:
        self.param.update(can_undo=bool(self._past), can_redo=bool(self._future))
