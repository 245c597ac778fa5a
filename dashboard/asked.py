"""What the map of a state is computed from."""

from __future__ import annotations

from .data import SharedScan
from .layers import Asked
from .state import ViewState

__all__ = ["MAP_PARAMETERS", "asked_by"]

MAP_PARAMETERS = ("method", "background", "per_second", "correct_lag", "smooth_map")
"""Parameters of the state that any map depends on; sigma too, if maps are of smoothed spectra."""


def asked_by(shared: SharedScan, state: ViewState) -> Asked:
    """Return what the map of a state's window and layer is computed from."""
    return Asked(
        state.window,
        state.method,
        state.sigma if state.smooth_map else 0.0,
        state.follow_resolution and state.smooth_map,
        state.layer,
        state.background,
        state.per_second,
        shared.lag_corrected(state.correct_lag),
    )
