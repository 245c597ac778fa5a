"""The sigma that the counts ask for: held-out counts, and the truth of simulated scans."""

from __future__ import annotations

import numpy as np
import pytest

from maxrf_core.components import COMPONENTS, STRENGTHS, component_templates
from maxrf_core.errors import ParameterError
from maxrf_core.lines import detector_fwhm_kev
from maxrf_core.smoothing import smooth_spectra
from maxrf_core.thinning import FLOOR, _lowest, default_sigmas, suggest_sigma, thin_counts

ENERGIES = np.linspace(-1.17, 47.78, 2048)
SHAPE = detector_fwhm_kev(ENERGIES) / detector_fwhm_kev(5.895)


def expected_spectra(n_spectra, counts, seed=1):
    """Return expectations (k, c) of spectra of varied composition, each of so many counts."""
    rng = np.random.default_rng(seed)
    strengths = np.array([STRENGTHS.get(name, 100.0) for name in COMPONENTS])
    shares = strengths * rng.uniform(0.0, 1.0, (n_spectra, strengths.size)) ** 2
    spectra = shares @ component_templates(ENERGIES)
    return counts * spectra / spectra.sum(axis=1, keepdims=True)


def with_floor(smoothed):
    """Return smoothed spectra with a share of them spread evenly, as predictions are."""
    return (1 - FLOOR) * smoothed + FLOOR * smoothed.mean(axis=-1, keepdims=True)


def truly_best(expected, shape, seed=2, draws=4):
    """Return the sigma whose smoothed spectra lie nearest to their expectation.

    By the Kullback-Leibler divergence, averaged over draws: the deviance but for a constant.
    """
    rng = np.random.default_rng(seed)
    sigmas = np.geomspace(0.7, 90.0, 60)
    distance = np.zeros(sigmas.size)
    for _ in range(draws):
        counts = rng.poisson(expected).astype(np.float64)
        for number, sigma in enumerate(sigmas):
            smoothed = with_floor(smooth_spectra(counts, sigma * shape))
            distance[number] += smoothed.sum() - (expected * np.log(smoothed)).sum()
    near = slice(distance.argmin() - 3, distance.argmin() + 4)
    square, slope, _ = np.polyfit(np.log(sigmas[near]), distance[near], 2)
    return np.exp(-slope / (2 * square))


@pytest.mark.parametrize(("counts", "n_spectra"), [(50, 128), (600, 32), (5000, 8)])
@pytest.mark.parametrize("shape", [None, SHAPE], ids=["constant", "resolution"])
def test_the_suggestion_is_the_truly_best_sigma_of_a_simulated_scan(counts, n_spectra, shape):
    """The goal of 20 %: nobody who looks at a scan knows its truth."""
    expected = expected_spectra(n_spectra, counts)
    best = truly_best(expected, np.ones(ENERGIES.size) if shape is None else shape)
    drawn = np.random.default_rng(3).poisson(expected).astype(np.uint16)
    suggestion = suggest_sigma(drawn, shape=shape)
    assert suggestion.is_bracketed
    assert suggestion.n_spectra == n_spectra
    assert suggestion.n_counts == drawn.sum()
    assert suggestion.sigma == pytest.approx(best, rel=0.2)


def test_one_spectrum_of_600_counts_is_enough_for_a_suggestion():
    """The page asks for the spectrum at hand: nine in ten within 30 %, and none biased."""
    expected = expected_spectra(1, 600)
    best = truly_best(expected, np.ones(ENERGIES.size), draws=30)
    rng = np.random.default_rng(4)
    ratios = [suggest_sigma(rng.poisson(expected[0])).sigma / best for _ in range(30)]
    assert np.mean(np.abs(np.log(ratios)) < np.log(1.3)) >= 0.9
    assert np.median(ratios) == pytest.approx(1.0, abs=0.1)


def test_more_counts_ask_for_less_smoothing():
    """The sum of a region needs less than its spectra one by one."""
    counts = np.random.default_rng(5).poisson(expected_spectra(40, 300))
    assert suggest_sigma(counts.sum(axis=0)).sigma < 0.6 * suggest_sigma(counts).sigma


def one_by_one(counts, widths):
    """Return the deviance a count: each count taken off, and predicted from all others."""
    deviance, tested = 0.0, 0
    for spectrum in np.atleast_2d(counts):
        total = spectrum.sum()
        for channel in np.flatnonzero(spectrum):
            others = spectrum.astype(np.float64)
            others[channel] -= 1
            predicted = with_floor(smooth_spectra(others, widths))[channel] * total / (total - 1)
            deviance += 2 * spectrum[channel] * np.log(spectrum[channel] / predicted)
        tested += total
    return deviance / tested


@pytest.mark.parametrize("shape", [None, np.linspace(0.0, 2.5, 23)], ids=["constant", "varied"])
def test_the_curve_is_what_taking_off_counts_one_by_one_gives(shape):
    """The closed form, up to reflection at both ends and Gaussians wider than the spectrum."""
    counts = np.random.default_rng(6).poisson(0.7, (3, 23))
    counts[:, [0, 1, 22]] += 2
    sigmas = np.array([0.05, 0.4, 1.5, 4.0, 13.0])
    suggestion = suggest_sigma(counts, sigmas=sigmas, shape=shape)
    widths = sigmas if shape is None else [sigma * shape for sigma in sigmas]
    expected = [one_by_one(counts, width) for width in widths]
    np.testing.assert_allclose(suggestion.deviance, expected, rtol=1e-10)


def test_counts_held_out_alone_are_the_limit_of_thinning():
    """Thinned into many parts, the curve is that of the closed form, but for chance."""
    counts = np.random.default_rng(7).poisson(expected_spectra(12, 500))
    sigmas = np.array([2.0, 4.0, 8.0, 16.0])
    alone = suggest_sigma(counts, sigmas=sigmas)
    thinned = suggest_sigma(counts, sigmas=sigmas, folds=100, seed=8)
    np.testing.assert_allclose(np.diff(thinned.deviance), np.diff(alone.deviance), atol=0.01)
    assert (np.abs(np.diff(alone.deviance)) > 0.04).all()
    assert thinned.n_counts == alone.n_counts


def test_a_half_asks_for_more_smoothing_than_the_whole():
    """Why counts are not simply split in two: there is half as much to smooth."""
    counts = np.random.default_rng(9).poisson(expected_spectra(24, 600))
    half, whole = suggest_sigma(counts, folds=2, seed=10), suggest_sigma(counts)
    assert 1.15 < half.sigma / whole.sigma < 1.8


def test_the_error_is_the_spread_of_the_deviance_over_draws():
    """Of its difference from the smallest: what tells two sigmas apart."""
    expected = expected_spectra(1, 600)[0]
    rng = np.random.default_rng(11)
    sigmas = np.array([1.2, 2.0, 3.5])
    drawn = [suggest_sigma(rng.poisson(expected), sigmas=sigmas) for _ in range(80)]
    drawn = [suggestion for suggestion in drawn if suggestion.deviance.argmin() == 1]
    assert len(drawn) > 75
    differences = np.array([one.deviance - one.deviance[1] for one in drawn])
    errors = np.mean([one.error for one in drawn], axis=0)
    assert errors[1] == 0.0
    # Three standard errors of a spread of 80 draws.
    np.testing.assert_allclose(differences.std(axis=0)[[0, 2]], errors[[0, 2]], rtol=0.24)


def test_sigmas_that_the_counts_cannot_tell_apart_stand_beside_the_suggestion():
    """A spectrum of 50 counts leaves sigma open, a region of such spectra does not."""
    counts = np.random.default_rng(12).poisson(expected_spectra(200, 50))
    one, many = suggest_sigma(counts[0]), suggest_sigma(counts)
    assert one.low <= one.sigma <= one.high
    assert one.high / one.low > 1.9
    assert many.low <= many.sigma <= many.high
    assert many.high / many.low < 1.9


def test_counts_far_from_all_others_do_not_decide():
    """Beyond four sigmas a Gaussian predicts nothing: without a floor, an infinite deviance."""
    spectrum = np.random.default_rng(13).poisson(expected_spectra(1, 5000)[0])
    alone = suggest_sigma(spectrum)
    spectrum[[1400, 1600, 1800, 2000]] = 1
    disturbed = suggest_sigma(spectrum)
    assert np.isfinite(disturbed.deviance).all()
    assert disturbed.sigma == pytest.approx(alone.sigma, rel=0.05)


def test_thinned_parts_add_up_and_know_nothing_of_each_other():
    """Poisson parts are independent: else one would predict the other's noise."""
    counts = np.random.default_rng(14).poisson(3.0, (5, 4000)).astype(np.uint16)
    parts = thin_counts(counts, 4, np.random.default_rng(15))
    assert parts.shape == (4, 5, 4000)
    np.testing.assert_array_equal(parts.sum(axis=0), counts)
    flat = parts.reshape(4, -1)
    # Six standard errors of 20000 numbers.
    np.testing.assert_allclose(flat.mean(axis=1), 0.75, atol=6 * np.sqrt(0.75 / 20000))
    np.testing.assert_allclose(flat.var(axis=1), 0.75, atol=0.06)
    np.testing.assert_allclose(np.corrcoef(flat), np.eye(4), atol=6 / np.sqrt(20000))


def test_of_many_spectra_a_sample_is_used():
    """A region of any size is answered for in the same time; its seed decides the sample."""
    counts = np.random.default_rng(16).poisson(expected_spectra(40, 200))
    everything, some = suggest_sigma(counts, max_spectra=40), suggest_sigma(counts, max_spectra=9)
    assert (everything.n_spectra, some.n_spectra) == (40, 9)
    again, other = (suggest_sigma(counts, max_spectra=9, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.deviance, some.deviance)
    assert (other.deviance != some.deviance).any()


def test_the_default_grid_ends_far_past_the_best_sigma():
    """Wide Gaussians cost most, and nobody asks for them; what is given is tried."""
    counts = np.random.default_rng(17).poisson(expected_spectra(10, 5000))
    suggestion = suggest_sigma(counts)
    grid = default_sigmas(ENERGIES.size)
    assert suggestion.sigmas.size < grid.size
    np.testing.assert_array_equal(suggestion.sigmas, grid[: suggestion.sigmas.size])
    assert suggestion.sigmas[-1] >= 4 * suggestion.sigma * 0.99
    assert suggest_sigma(counts[:2], sigmas=grid).sigmas.size == grid.size


@pytest.mark.parametrize(("n_channels", "widest"), [(4096, 128), (2048, 128), (160, 20), (5, 2)])
def test_no_gaussian_of_the_default_grid_is_wider_than_an_eighth_of_the_spectrum(
    n_channels, widest
):
    """Except in spectra too short for a curve; with a shape that holds for the mean."""
    grid = default_sigmas(n_channels)
    assert grid[[0, -1]] == pytest.approx([0.5, widest])
    np.testing.assert_allclose(
        default_sigmas(n_channels, shape=np.linspace(1.0, 3.0, n_channels)), grid / 2
    )


def test_a_best_sigma_at_the_end_of_the_grid_says_so():
    """The true one may lie beyond."""
    counts = np.random.default_rng(18).poisson(expected_spectra(10, 600))
    below = suggest_sigma(counts, sigmas=np.array([20.0, 30.0, 40.0]))
    assert (below.sigma, below.is_bracketed) == (20.0, False)


def test_the_foot_of_the_curve_lies_between_its_points():
    """In the logarithm of sigma; where the five lowest bend down there is none."""
    sigmas = np.geomspace(1.0, 16.0, 9)
    curve = 0.3 * np.log(sigmas / 4.7) ** 2
    assert _lowest(sigmas, curve) == pytest.approx(4.7)
    crest = np.array([9.0, 9.0, 1.2, 2.0, 1.0, 2.0, 1.2, 9.0, 9.0])
    assert _lowest(sigmas, crest) == sigmas[4]


def test_the_counts_are_not_changed_and_may_be_float_or_read_only():
    """Spectra come from a shared cache; whole numbers are counts in any dtype."""
    counts = np.random.default_rng(19).poisson(expected_spectra(3, 600)).astype(np.uint16)
    before = counts.copy()
    counts.flags.writeable = False
    suggestion = suggest_sigma(counts)
    suggest_sigma(counts, folds=3)
    np.testing.assert_array_equal(counts, before)
    assert suggest_sigma(counts.astype(np.float32)).sigma == suggestion.sigma


def test_spectra_with_one_count_or_none_are_left_out():
    """One count has no others to be predicted from."""
    counts = np.random.default_rng(20).poisson(expected_spectra(5, 100))
    poor = np.zeros_like(counts[:2])
    poor[1, 900] = 1
    suggestion = suggest_sigma(np.concatenate([poor, counts]))
    assert suggestion.n_spectra == 5
    assert suggestion.sigma == suggest_sigma(counts).sigma


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        (np.full(9, 0.5), {}, r"holds 0\.5; expected whole numbers from 0"),
        (np.full(9, -1), {}, r"holds -1; expected whole numbers"),
        (np.full(9, np.nan), {}, r"holds nan; expected whole numbers"),
        (np.ones((2, 3, 9)), {}, r"shape \(2, 3, 9\); expected one spectrum"),
        (np.eye(9, dtype=int), {}, "No spectrum holds two counts"),
        (np.ones(9), {"shape": np.ones(8)}, r"shape \(8,\); expected .* the 9 channels"),
        (np.ones(9), {"shape": np.zeros(9)}, "shape is zero everywhere"),
        (np.ones(9), {"sigmas": np.array([1.0, 2.0])}, "expected 3 or more positive numbers"),
        (np.ones(9), {"sigmas": np.array([0.0, 1.0, 2.0])}, "expected 3 or more positive"),
        (np.ones(9), {"sigmas": np.array([1.0, 3.0, 2.0])}, "rising"),
        (np.ones(9), {"sigmas": np.array([1.0, 2.0, 1001.0])}, r"sigma is 1001\.0; expected"),
        (np.ones(9), {"folds": 1}, r"folds is 1; expected a whole number from 2"),
        (np.ones(9), {"folds": 2.5}, r"folds is 2\.5; expected"),
        (np.ones(9), {"max_spectra": 0}, r"max_spectra is 0; expected a whole number from 1"),
    ],
)
def test_what_cannot_be_answered_is_refused(counts, options, message):
    """Interpolated spectra above all: they are no Poisson counts, and would mislead."""
    with pytest.raises(ParameterError, match=message):
        suggest_sigma(counts, **options)


def test_counts_that_all_fall_into_one_part_are_refused():
    """Two counts do so every other time: there is nothing to predict them from."""
    pair = np.array([0, 2, 0, 0, 0, 0, 0])
    answers = []
    for seed in range(8):
        try:
            answers.append(np.isfinite(suggest_sigma(pair, folds=2, seed=seed).sigma))
        except ParameterError as error:
            answers.append(str(error)[:38])
    assert set(answers) == {True, "All counts fell into one of 2 parts, w"}
