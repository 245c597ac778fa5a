"""False and missed detections, counted on simulated cells."""

from __future__ import annotations

import numpy as np
import pytest

from maxrf_core.background import side_window_weights
from maxrf_core.detection import (
    background_ratio,
    critical_level,
    detected,
    detection_limit,
    null_variance_weights,
)
from maxrf_core.errors import ParameterError

CELLS = 60_000
"""Five per cent of them are known to 0.09 per cent, a tenth of what is asked for."""


@pytest.mark.parametrize("eta", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("background", [3.0, 10.0, 100.0])
def test_one_blank_in_twenty_is_taken_for_a_detection(background, eta):
    """Currie's promise at k = 1.645, paired (eta = 1) and with wider sides, also at few counts."""
    generator = np.random.default_rng(20)
    gross = generator.poisson(background, CELLS)
    sides = generator.poisson(background / eta, CELLS)
    mask = detected(gross - eta * sides, eta * (1 + eta) * sides, eta=eta, unit=1.0)
    assert 0.04 <= mask.mean() <= 0.06


def test_blanks_without_background_are_not_detections():
    """By the plain formula, one count over no background would be one."""
    assert detected([1.0, 2.0], 0.0).all()
    assert not detected([1.0, 2.0], 0.0, unit=1.0).any()
    assert detected(3.0, 0.0, unit=1.0)


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (0.6, 0.4, 0.15, -0.1, -0.05)])
@pytest.mark.parametrize("background", [3.0, 10.0, 100.0])
def test_interpolated_blanks_keep_the_rate(background, weights):
    """A cell of a map is a weighted sum of spectra; kriging's weights may be negative."""
    generator = np.random.default_rng(21)
    w = np.array(weights)
    gross, sides = generator.poisson(background, (2, CELLS, w.size))
    mask = detected((gross - sides) @ w, 2 * sides @ w**2, unit=(w**2).sum() / w.sum())
    assert 0.04 <= mask.mean() <= 0.06


def test_signal_at_the_detection_limit_is_missed_once_in_twenty():
    """The other half of Currie's promise: beta = 5 % at L_D."""
    generator = np.random.default_rng(22)
    for background, eta in ((10.0, 1.0), (100.0, 1.0), (100.0, 0.5)):
        limit = float(detection_limit(eta * (1 + eta) * background / eta, eta=eta))
        gross = generator.poisson(background + limit, CELLS)
        sides = generator.poisson(background / eta, CELLS)
        mask = detected(gross - eta * sides, eta * (1 + eta) * sides, eta=eta, unit=1.0)
        assert 0.94 <= mask.mean() <= 0.965


def test_plain_level_is_curries_and_stapletons_meets_it():
    """2.33 root B paired, with B counts; at a million counts the two formulas are one."""
    assert critical_level(2 * 400.0) == pytest.approx(2.326 * 20.0, rel=1e-3)
    assert critical_level(8e6, unit=1.0) == pytest.approx(critical_level(8e6), rel=5e-4)
    # MARLAP 20.4.2.2 by hand: d (eta - 1) + k^2 / 4 (1 + eta) + k sqrt((B + d) eta (1 + eta))
    assert critical_level(0.75 * 9, eta=0.5, unit=1.0) == pytest.approx(
        0.4 * -0.5 + 1.645**2 / 4 * 1.5 + 1.645 * (9.4 * 0.75) ** 0.5
    )


def test_level_grows_with_the_unit():
    """Counts per second are counts times a number: so is what must be exceeded."""
    level = critical_level([0.0, 6.0, 200.0], unit=1.0)
    assert critical_level(0.0625 * np.array([0.0, 6.0, 200.0]), unit=0.25) == pytest.approx(
        0.25 * level
    )


def test_null_variance_of_a_net_window_is_that_of_its_blank():
    """Its expectation is the variance of the net counts, with sides of two widths and a slope."""
    energies = np.linspace(0.0, 20.0, 401)
    weights = side_window_weights(energies, 6.0, 7.0, left=(5.0, 5.8), right=(7.1, 9.0))
    background = 4.0 + 0.3 * energies
    assert weights @ background == pytest.approx(0.0, abs=1e-9)
    true = (weights**2) @ background
    assert null_variance_weights(weights) @ background == pytest.approx(true)
    assert (null_variance_weights(weights)[(energies >= 6.0) & (energies < 7.0)] == 0).all()


def test_null_variance_reads_smoothed_windows():
    """Smoothing mixes channels; a flat background shows whether the window's share is right."""
    energies = np.linspace(0.0, 20.0, 401)
    weights = 0.5 * side_window_weights(energies, 6.0, 7.0)
    assert null_variance_weights(weights).sum() == pytest.approx((weights**2).sum())


def test_background_ratio_is_one_paired_and_smaller_for_wider_sides():
    """Eta is what the few-count formula needs of a net window."""
    energies = np.linspace(0.0, 20.0, 401)
    paired = side_window_weights(energies, 6.0, 7.0)
    wide = side_window_weights(energies, 6.0, 7.0, left=(4.0, 6.0), right=(7.0, 9.0))
    assert background_ratio(paired) == pytest.approx(1.0)
    assert background_ratio(wide) == pytest.approx(0.25)


def test_cells_without_datum_are_not_detected():
    """NaN means no datum, and a mask has no NaN."""
    net = np.array([[np.nan, 50.0, 0.0], [50.0, np.nan, -1.0]])
    variance = np.array([[2.0, np.nan, 2.0], [2.0, 2.0, 2.0]])
    expected = [[False, False, False], [True, False, False]]
    assert detected(net, variance, unit=1.0).tolist() == expected
    assert detected(net, variance).tolist() == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: critical_level(-1.0), "null_variance holds -1"),
        (lambda: critical_level(1.0, unit=[1.0, -2.0]), "unit holds -2"),
        (lambda: critical_level(1.0, k=0.0), "k is 0.0"),
        (lambda: critical_level(1.0, eta=np.inf), "eta is inf"),
        (lambda: null_variance_weights(np.ones(4)), "no side window"),
        (lambda: background_ratio(np.array([1.0, np.nan, -1.0])), "not finite"),
    ],
)
def test_numbers_without_meaning_are_refused(call, message):
    """A negative variance would become a NaN that looks like no datum."""
    with pytest.raises(ParameterError, match=message):
        call()
