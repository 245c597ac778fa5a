"""Energy windows as weights over channels: what is summed, and what is taken away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core import ParameterError, smooth_spectra
from maxrf_core.background import side_window_weights, snip_window_weights
from maxrf_core.windows import BACKGROUNDS, channels_between, window_weights

ENERGIES = np.linspace(-0.5, 20.0, 401).astype(np.float32)
TOTAL = np.round(
    900 * np.exp(-0.5 * ((ENERGIES - 6.4) / 0.08) ** 2) + 60 + 40 * np.sin(ENERGIES / 3)
)


def weights(low: float, high: float, **options: object):
    return window_weights(ENERGIES, low, high, total_spectrum=TOTAL, **options)


def test_a_gross_window_is_its_channels():
    """1 inside [low, high), and no background."""
    window = weights(6.2, 6.6)
    inside = (ENERGIES.astype(float) >= 6.2) & (ENERGIES.astype(float) < 6.6)
    np.testing.assert_array_equal(window.gross, inside)
    np.testing.assert_array_equal(window.net, window.gross)
    assert channels_between(ENERGIES, 6.2, 6.6) == slice(
        int(np.flatnonzero(inside)[0]), int(np.flatnonzero(inside)[-1]) + 1
    )


@pytest.mark.parametrize("background", BACKGROUNDS[1:])
def test_a_net_window_is_that_of_the_background_module(background):
    """The weights of both ways, and gross minus background."""
    expected = (
        side_window_weights(ENERGIES, 6.2, 6.6)
        if background == "sides"
        else snip_window_weights(ENERGIES, TOTAL, 6.2, 6.6)
    )
    window = weights(6.2, 6.6, background=background)
    np.testing.assert_allclose(window.net, expected, rtol=0, atol=1e-12)
    assert window.background.sum() > 0
    assert not window.background[window.gross > 0].any()


def test_a_flat_background_leaves_nothing():
    """What the channels beside a window hold as well is no signal."""
    flat = np.full(len(ENERGIES), 7.0)
    for background in BACKGROUNDS[1:]:
        net = window_weights(ENERGIES, 6.2, 6.6, total_spectrum=flat, background=background).net
        assert abs(net @ flat) < 1e-9, background


@given(
    low=st.floats(0, 15),
    width=st.floats(0.2, 3),
    background=st.sampled_from(BACKGROUNDS),
    sigma=st.sampled_from([0.0, 2.5, 11.0]),
    seed=st.integers(0, 1000),
)
def test_smoothing_the_window_is_smoothing_the_spectra(low, width, background, sigma, seed):
    """(S G) b = S (G b), for net windows as well."""
    counts = np.random.default_rng(seed).poisson(3.0, (4, len(ENERGIES))).astype(np.float64)
    raw = weights(low, low + width, background=background)
    smoothed = weights(low, low + width, background=background, sigma=sigma)
    np.testing.assert_allclose(
        smooth_spectra(counts, sigma) @ raw.net, counts @ smoothed.net, rtol=1e-9, atol=1e-8
    )


def test_sigma_may_differ_from_channel_to_channel():
    """As the detector's resolution does: the adjoint, not the smoothing itself."""
    sigma = np.linspace(1.0, 6.0, len(ENERGIES))
    counts = np.random.default_rng(1).poisson(3.0, (3, len(ENERGIES))).astype(np.float64)
    window = weights(6.2, 6.6, background="sides", sigma=sigma)
    np.testing.assert_allclose(
        smooth_spectra(counts, sigma) @ weights(6.2, 6.6, background="sides").net,
        counts @ window.net,
        rtol=1e-9,
    )


def test_an_empty_window_sums_nothing():
    """Also with a background to take away."""
    for background in BACKGROUNDS:
        window = weights(6.4, 6.4, background=background)
        assert not window.gross.any()
        assert not window.background.any()


@pytest.mark.parametrize(("low", "high"), [(7.0, 6.0), (np.nan, 6.0), ("x", 6.0), (6.0, np.inf)])
def test_a_window_without_a_meaning_is_refused(low, high):
    """With the values that were given."""
    with pytest.raises(ParameterError, match="energy window is"):
        weights(low, high)


def test_an_unknown_background_is_refused():
    """By the names that there are."""
    with pytest.raises(ParameterError, match=r"'none', 'sides', 'snip'"):
        weights(6.2, 6.6, background="rolling ball")
