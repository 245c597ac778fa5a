"""The lag between position and exposure: told from the scan, and taken back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maxrf_core import lag_rows
from maxrf_core.errors import ParameterError
from maxrf_core.lag import Lag, check_lag, corrected_positions, estimate_lag
from maxrf_core.raster import COLUMN_PITCH, ROW_PITCH
from maxrf_core.simulation_parameters import SimulationParameters
from maxrf_core.truth import SimulatedScan, scaled_to_counts

PITCH = (COLUMN_PITCH, float(ROW_PITCH))
BAND_EDGES_KEV = (0.5, 2.0, 3.6, 5.0, 6.2, 6.8, 8.5, 11.0, 13.0, 18.0, 40.0)
MEASURED = Path(__file__).parents[3] / "shared" / "real" / "bruker-eds-50x50.HDF5"
FIXTURE = Path(__file__).parents[1] / "data" / "crono-12x9.HDF5"


def simulated(phantom, shape, lag, counts, seed):
    """Return positions and Poisson counts in ten bands of a simulated scan."""
    parameters = SimulationParameters(shape, seed, phantom, 1024, counts, lag, True, 250.0)
    scan = scaled_to_counts(SimulatedScan("", parameters))
    rates = scan.exposed_rates(np.arange(scan.n_spectra))
    bands = np.searchsorted(scan.energies, BAND_EDGES_KEV)
    shares = np.add.reduceat(scan.templates, bands, axis=1)[:, :-1]
    drawn = np.random.default_rng(seed).poisson(rates @ shares).astype(np.uint32)
    return scan.positions[:, :2].astype(np.float64), drawn


def textured(lag, seed, *, shape=(60, 42), mean=20.0, bands=4, one_way=False):
    """Return a regular serpentine, never off its grid, over waves of random directions.

    The worst case for an estimate that prefers whole or half lags.
    """
    rng = np.random.default_rng(seed)
    rows, columns = shape
    row, column = np.divmod(np.arange(rows * columns), columns)
    backwards = (row % 2 == 1) & (not one_way)
    true = np.where(backwards, columns - 1 - column - lag, column + lag)
    recorded = np.where(backwards, columns - 1 - column, column)
    signal = np.ones((rows * columns, bands))
    for _ in range(12):
        # Wave lengths from 5 spacings on along rows, and from 12 rows on across.
        along, across = rng.uniform(-1.2, 1.2), rng.uniform(-0.5, 0.5)
        wave = np.cos(along * true + across * row + rng.uniform(0, 7))
        signal += 0.12 * wave[:, None] * rng.uniform(0, 1, bands)
    counts = rng.poisson(mean * np.clip(signal, 0.0, None)).astype(np.uint32)
    return np.column_stack([recorded * PITCH[0], row * PITCH[1]]), counts


def serpentine(rows, columns):
    """Return the row and the column of each spectrum of a regular serpentine."""
    row, way = np.divmod(np.arange(rows * columns), columns)
    return row, np.where(row % 2 == 1, columns - 1 - way, way)


def drawn(expected, seed, bands=4):
    """Return Poisson counts (n, bands) of expected ones (n,), alike in all bands."""
    return np.random.default_rng(seed).poisson(np.repeat(expected[:, None], bands, axis=1))


# --- the estimate -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "counts", "lag", "seed"),
    [
        ((40, 61), 50.0, 0.5, 1),
        ((40, 61), 600.0, -0.4, 2),
        ((96, 56), 50.0, 0.3, 3),
        ((96, 56), 600.0, 0.77, 4),
        ((70, 33), 200.0, 1.9, 5),
        ((70, 33), 200.0, -1.3, 6),
    ],
)
def test_a_simulated_lag_is_recovered_within_a_tenth_of_the_spacing(shape, counts, lag, seed):
    """The goal of the issue, with wobble, crowded row ends and rows that differ in length."""
    found = estimate_lag(*_with_pitch(simulated("manuscript", shape, lag, counts, seed)))
    assert found.periods == pytest.approx(lag, abs=0.1)
    assert found.is_significant


def _with_pitch(scan, pitch=PITCH):
    positions, counts = scan
    return positions, pitch, counts


@pytest.mark.parametrize("lag", [0.0, 0.13, 0.3, 0.5, 0.77, 1.0, -0.4])
def test_no_fraction_of_a_period_is_preferred(lag):
    """Positions on one grid in all rows: interpolation alone would draw the lag to a half."""
    errors = [estimate_lag(*_with_pitch(textured(lag, seed))).periods - lag for seed in range(6)]
    # The standard errors are about 0.015; six of them average to 0.006, three times is 0.02.
    assert np.mean(errors) == pytest.approx(0.0, abs=0.02)


def test_the_standard_error_is_that_of_repeated_scans():
    """Who corrects a lag or leaves it has to know how sure it is."""
    scans = [estimate_lag(*_with_pitch(textured(0.3, seed, mean=6.0))) for seed in range(40)]
    z = np.array([(found.periods - 0.3) / found.standard_error for found in scans])
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.5


def test_a_scan_without_lag_is_left_alone():
    """A correction of chance would blur what was sharp."""
    scans = [textured(0.0, seed, shape=(40, 30)) for seed in range(30)]
    found = [estimate_lag(*_with_pitch(scan)) for scan in scans]
    assert all(math.isfinite(lag.standard_error) for lag in found)
    assert sum(lag.is_significant for lag in found) <= 1


@pytest.mark.parametrize("mean", [0.01, 1.0, 50.0])
def test_an_object_without_structure_does_not_tell(mean):
    """Noise has a minimum somewhere; it must not pass for a lag."""
    rng = np.random.default_rng(7)
    positions, _ = textured(0.5, 0, shape=(40, 30))
    scans = [rng.poisson(mean, (len(positions), 12)) for _ in range(20)]
    found = [estimate_lag(positions, PITCH, counts) for counts in scans]
    assert sum(lag.is_significant for lag in found) == 0
    assert sum(math.isnan(lag.periods) for lag in found) >= 18


def test_too_few_counts_do_not_tell():
    """A scan cut short, or of a foil: a structure is there, but not in the counts."""
    positions, counts = simulated("manuscript", (40, 61), 0.5, 0.5, 3)
    assert 0 < counts.sum() < 0.6 * len(counts)
    assert not estimate_lag(positions, PITCH, counts).is_significant


def test_a_smooth_object_tells_little_and_says_so():
    """A gradient's zigzag is a few per cent of its counts: seen with wide smoothing alone."""
    found = estimate_lag(*_with_pitch(simulated("gradient", (60, 40), 1.0, 600.0, 1)))
    # Cramer and Rao's bound for this scan is 0.064 periods.
    assert 0.05 < found.standard_error < 0.15
    assert found.periods == pytest.approx(1.0, abs=4 * found.standard_error)
    assert found.is_significant


def test_rows_along_y_tell_the_same_lag():
    """Some scanners have their fast axis upright."""
    positions, counts = textured(0.3, 1)
    upright = estimate_lag(positions[:, ::-1], PITCH[::-1], counts)
    assert upright == estimate_lag(positions, PITCH, counts)


def test_a_scan_from_the_other_corner_tells_the_same_lag():
    """The sign belongs to time, not to the direction of the first row."""
    positions, counts = textured(0.3, 1)
    turned = estimate_lag(positions.max(axis=0) - positions, PITCH, counts)
    assert turned.periods == pytest.approx(estimate_lag(positions, PITCH, counts).periods, abs=0.01)


def test_rows_of_different_lengths_and_a_lost_piece_do_no_harm():
    """A scan of a fragment, interrupted once: rows without an opposite neighbour are left out."""
    positions, counts = textured(0.3, 2)
    row, column = np.divmod(np.arange(len(counts)), 42)
    kept = (column > 4 + row % 3) & ~((row > 20) & (row < 25)) & ~((row == 40) & (column > 20))
    found = estimate_lag(positions[kept], PITCH, counts[kept])
    assert found.periods == pytest.approx(0.3, abs=4 * found.standard_error)
    assert found.standard_error < 0.05


def test_positions_that_are_polled_too_slowly_do_no_harm():
    """A head whose position comes with every second spectrum is read half a period early."""
    positions, counts = textured(0.3, 2)
    polled = positions[np.arange(len(positions)) // 2 * 2]
    found = estimate_lag(polled, PITCH, counts)
    assert found.is_significant
    # 0.3 of a spectrum behind and half a spectrum more on average
    assert found.periods == pytest.approx(0.8, abs=0.1)


def test_rows_of_one_direction_do_not_tell():
    """All of them are shifted alike."""
    found = estimate_lag(*_with_pitch(textured(0.5, 1, one_way=True)))
    assert math.isnan(found.standard_error)
    assert not found.is_significant
    assert found.spacing_steps == pytest.approx(PITCH[0])


def test_rows_of_one_direction_do_not_tell_whatever_their_margins():
    """A lag shifts what the common nodes see: out of margins that change from row to row."""
    row, column = np.divmod(np.arange(60 * 42), 42)
    margin = np.random.default_rng(0).uniform(0, 40, 60)[row]
    counts = drawn(np.where((column < 4) | (column >= 38), margin, 20.0), 1)
    positions = np.column_stack([column, row]) * PITCH
    assert math.isnan(estimate_lag(positions, PITCH, counts).standard_error)


def test_rows_that_do_not_lie_beside_each_other_do_not_tell():
    """Interlaced with rows far away, a slanted pattern would pass for a lag of 1.5 periods."""
    number, column = serpentine(60, 42)
    row = number // 2 + 30 * (number % 2)
    counts = drawn(20.0 + 16.0 * np.cos(0.6 * (column + 0.1 * row)), 1)
    found = estimate_lag(np.column_stack([column, row]) * PITCH, PITCH, counts)
    assert math.isnan(found.standard_error)


def test_rows_at_uneven_distances_tell_no_lag_of_their_own():
    """Half way between neighbours, a slanted pattern would pass for an eighth of a period."""
    number, column = serpentine(60, 42)
    row = np.cumsum(np.tile([1, 2], 30))[number]
    counts = drawn(20.0 + 16.0 * np.cos(0.6 * (column + 0.5 * row)), 1)
    found = estimate_lag(np.column_stack([column, row]) * PITCH, PITCH, counts)
    assert found.standard_error < 0.02
    assert found.periods == pytest.approx(0.0, abs=0.03)


def test_one_line_scanned_to_and_fro_tells_its_lag():
    """The plainest way to measure a lag; no row then lies between its neighbours."""
    number, column = serpentine(60, 42)
    exposed = column + np.where(number % 2 == 1, -0.3, 0.3)
    counts = drawn(20.0 + 16.0 * np.cos(0.6 * exposed), 1)
    positions = np.column_stack([column * PITCH[0], np.zeros(len(column))])
    found = estimate_lag(positions, PITCH, counts)
    assert found.periods == pytest.approx(0.3, abs=0.03)


def test_an_object_that_changes_from_row_to_row_alone_does_not_tell():
    """There is structure, but none along the rows: the criterion's minimum is chance."""
    row, column = serpentine(40, 30)
    positions = np.column_stack([column, row]) * PITCH
    found = [
        estimate_lag(positions, PITCH, drawn(np.random.default_rng(k).uniform(0, 40, 40)[row], k))
        for k in range(20)
    ]
    assert sum(math.isnan(lag.periods) for lag in found) >= 18


@pytest.mark.parametrize(("columns", "spectra"), [(4.0, 4), (2.0, 8)])
def test_a_head_that_overshoots_at_the_turn_does_no_harm(columns, spectra):
    """Pieces of a turn, of few spectra or short, are no rows and part none from its neighbours."""
    back = np.linspace(0.0, columns, spectra + 1)[1:]
    way = np.concatenate([np.arange(42.0), 41.0 - back, 41.0 - columns + back])
    number = np.repeat(np.arange(60), len(way))
    column = np.where(number % 2 == 1, 41.0 - np.tile(way, 60), np.tile(way, 60))
    positions = np.column_stack([column, number]) * PITCH
    exposed = corrected_positions(positions, 0.3)[:, 0] / PITCH[0]
    counts = drawn(20.0 + 10.0 * np.cos(0.7 * exposed + 0.3 * number), 2)
    found = estimate_lag(positions, PITCH, counts)
    assert found.standard_error < 0.02
    assert found.periods == pytest.approx(0.3, abs=0.05)


def test_short_rows_far_apart_are_rows_all_the_same():
    """A head that goes farther across the rows than along them has its fast axis along them."""
    positions, counts = textured(0.3, 1, shape=(60, 9))
    apart = estimate_lag(positions * [1, 20], (PITCH[0], 20 * PITCH[1]), counts)
    assert apart == estimate_lag(positions, PITCH, counts)
    assert math.isfinite(apart.standard_error)


@pytest.mark.parametrize("lag", [2.6, -3.0])
def test_a_lag_beyond_those_on_trial_is_not_told(lag):
    """The criterion falls up to the end of the range: that end is no minimum."""
    assert math.isnan(estimate_lag(*_with_pitch(textured(lag, 0))).periods)


@pytest.mark.parametrize("columns", [6, 7, 9])
def test_rows_too_short_for_wide_smoothing_do_no_harm(columns):
    """What rows have in common at every lag may lie between two nodes."""
    found = estimate_lag(*_with_pitch(textured(0.3, 1, shape=(60, columns))))
    # Where the wide smoothing finds no node, the narrow one's error stays: about a tenth.
    assert math.isnan(found.periods) or abs(found.periods - 0.3) < 3 * found.standard_error


def test_bands_without_counts_do_not_matter():
    """Energies above the tube's voltage stay empty, and a shutter may be closed."""
    positions, counts = textured(0.3, 1)
    wider = np.column_stack([counts, np.zeros(len(counts), np.uint32)])
    assert estimate_lag(positions, PITCH, wider) == estimate_lag(positions, PITCH, counts)
    assert math.isnan(estimate_lag(positions, PITCH, np.zeros_like(counts)).standard_error)


@pytest.mark.parametrize("rows", [1, 2, 3, 11])
def test_few_rows_do_not_tell(rows):
    """Blocks are too few for an error; a scan of one row has nothing to compare."""
    found = estimate_lag(*_with_pitch(textured(0.5, 1, shape=(rows, 42))))
    assert math.isnan(found.standard_error)


@given(
    positions=arrays(
        np.float64,
        st.tuples(st.integers(0, 300), st.just(2)),
        elements=st.one_of(st.integers(0, 12), st.just(5e8)).map(lambda step: 400.0 * step),
    ),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_no_motion_makes_the_estimate_fail(positions, seed):
    """A conversion must not stop because a head went its own way."""
    counts = np.random.default_rng(seed).poisson(3.0, (len(positions), 3))
    found = estimate_lag(positions, PITCH, counts)
    assert math.isnan(found.standard_error) or found.standard_error >= 0
    assert np.isfinite(corrected_positions(positions, 0.3)).all()


def test_a_large_scan_is_told_from_some_of_its_rows(monkeypatch):
    """A million spectra in a second, and the same result each time."""
    positions, counts = textured(0.3, 3, shape=(300, 42))
    whole = estimate_lag(positions, PITCH, counts)
    monkeypatch.setattr(lag_rows, "MOST_SPECTRA", 3000)
    part = estimate_lag(positions, PITCH, counts, seed=4)
    assert part == estimate_lag(positions, PITCH, counts, seed=4)
    assert part.standard_error > 1.2 * whole.standard_error
    assert part.periods == pytest.approx(0.3, abs=4 * part.standard_error)


def test_of_a_large_scan_only_so_many_spectra_are_read(monkeypatch):
    """From all over the scan, as the object differs from place to place."""
    monkeypatch.setattr(lag_rows, "MOST_SPECTRA", 3000)
    rows = [lag_rows.Row(42 * k, 42 * k + 42, (-1) ** k, 41.0, float(k)) for k in range(300)]
    centres = lag_rows.centres_between(rows, 1.0)
    assert centres == list(range(1, 299))
    blocks, size = lag_rows.choose_blocks(rows, centres, 4)
    assert {len(block) for block in blocks} == {size}
    # Each block reads a row more on either side.
    assert 2500 < sum(42 * (len(block) + 2) for block in blocks) <= 3000
    assert blocks[0][0] < 60
    assert blocks[-1][-1] > 240
    assert blocks != lag_rows.choose_blocks(rows, centres, 5)[0]


def test_the_counts_and_positions_stay_as_they_were():
    """The scan's own arrays are shared by all visitors."""
    positions, counts = textured(0.3, 1)
    copies = positions.copy(), counts.copy()
    estimate_lag(positions, PITCH, counts)
    corrected_positions(positions, 0.3)
    np.testing.assert_array_equal(positions, copies[0])
    np.testing.assert_array_equal(counts, copies[1])


@pytest.mark.skipif(not MEASURED.exists(), reason="the measured scan is not beside the project")
def test_a_measured_image_on_a_true_grid_is_left_alone():
    """Counts of a real detector, with a serpentine's positions written to it: there is no lag."""
    with h5py.File(MEASURED) as file:
        positions = file["XRF/MotorsPositions"][:, :2]
        spectra = file["XRF/Spectra"][:].astype(np.uint32)
    edges = np.linspace(100, 1200, 13).astype(int)
    found = estimate_lag(positions, (500.0, 500.0), np.add.reduceat(spectra, edges, axis=1)[:, :-1])
    assert math.isfinite(found.standard_error)
    assert not found.is_significant


def test_a_small_file_in_the_real_layout_does_not_fail():
    """Ten pairs of rows of 22 spectra: nothing significant can come of them."""
    with h5py.File(FIXTURE) as file:
        positions = file["XRF/MotorsPositions"][:, :2]
        spectra = file["XRF/Spectra"][:].astype(np.uint32)
    bands = np.add.reduceat(spectra, [150, 400, 600, 900, 1300, 2500], axis=1)[:, :-1]
    assert not estimate_lag(positions, PITCH, bands).is_significant


@pytest.mark.parametrize(
    ("shape", "counts", "pitch"),
    [
        ((8, 2), (7, 3), PITCH),
        ((8, 3), (8, 3), PITCH),
        ((8, 2), (8,), PITCH),
        ((8, 2), (8, 3), (0, 1)),
    ],
)
def test_what_does_not_fit_together_is_refused(shape, counts, pitch):
    """Swapped arguments would otherwise give a lag of nothing."""
    with pytest.raises(ParameterError, match="expected"):
        estimate_lag(np.zeros(shape), pitch, np.zeros(counts))


# --- the correction -----------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0.3, -0.4, 1.6, -2.0])
def test_corrected_positions_are_where_the_exposures_were(lag):
    """At the turns, too, where the head brakes and the file leaves spectra out."""
    parameters = SimulationParameters((12, 9), 3, "constant", 64, 100.0, lag, True, 250.0)
    scan = SimulatedScan("", parameters)
    found = corrected_positions(scan.positions[:, :2], lag)
    true = scan.exposure_positions
    np.testing.assert_array_equal(found[:, 1], true[:, 1])
    # Between two positions: an acceleration of 100 and the wobble's 70 steps a period squared,
    # over 8, and rounding. Beyond a row's ends the head comes to rest, which none can know.
    off = np.abs(found[:, 0] - true[:, 0])
    assert np.percentile(off, 90) < 25
    assert off.max() < 200 * max(1.0, lag**2)


def test_the_head_turns_where_the_record_shows_the_turn():
    """A shift by speed times lag would run on beyond the end of the row."""
    x = np.array([0.0, 1, 2, 3, 2, 1, 0, 1])
    positions = np.column_stack([x, np.zeros(8)])
    found = corrected_positions(positions, 0.5)
    np.testing.assert_allclose(found[:, 0], [0.5, 1.5, 2.5, 2.5, 1.5, 0.5, 0.5, 1.5])
    np.testing.assert_allclose(
        corrected_positions(positions, -0.25)[:, 0],
        [-0.25, 0.75, 1.75, 2.75, 2.25, 1.25, 0.25, 0.75],
    )


def test_a_head_that_speeds_up_is_not_taken_for_a_gap():
    """It creeps most of the time; a gap is a step far longer than those around it."""
    steps = np.concatenate([np.full(60, 10.0), [20, 40, 80, 100, 80, 40, 20], np.full(60, 10.0)])
    positions = np.column_stack([np.append(0.0, np.cumsum(steps)), np.zeros(128)])
    found = corrected_positions(positions, 0.5)
    np.testing.assert_allclose(found[:-1], (positions[:-1] + positions[1:]) / 2)


def test_no_spectrum_is_moved_into_a_jump_of_the_record():
    """The way back of a head that measures one way only is not kept; nor are turns."""
    positions, _ = textured(0.0, 0, shape=(3, 42), one_way=True)
    found = corrected_positions(positions, 0.5)
    np.testing.assert_allclose(found, np.add(positions, [0.5 * PITCH[0], 0.0]))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_no_lag_moves_nothing(n):
    """Whatever the number of spectra."""
    positions = np.random.default_rng(0).integers(0, 900, (n, 2))
    np.testing.assert_array_equal(corrected_positions(positions, 0.0), positions)


@pytest.mark.parametrize("lag", [math.nan, math.inf, "0.3", None, True])
def test_a_lag_that_is_no_number_is_refused(lag):
    """NaN would put every spectrum nowhere."""
    with pytest.raises(ParameterError, match="expected a finite number of periods"):
        corrected_positions(np.zeros((4, 2)), lag)
    assert check_lag(np.float32(0.25)) == 0.25


def test_positions_that_are_no_pairs_are_refused():
    """The file's own have a third column."""
    with pytest.raises(ParameterError, match=r"shape \(4, 3\)"):
        corrected_positions(np.zeros((4, 3)), 0.1)


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_positions_that_are_not_finite_are_refused(lost):
    """One of them would make a gap of every step, and the lag of nothing."""
    positions, counts = textured(0.3, 1)
    positions[77, 0] = lost
    for refused in (
        lambda: corrected_positions(positions, 0.1),
        lambda: estimate_lag(positions, PITCH, counts),
    ):
        with pytest.raises(ParameterError, match="not all finite pairs"):
            refused()


# --- what is said of it -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("periods", "error", "freedom", "expected"),
    [
        (0.3, 0.05, 40, True),
        (-0.3, 0.05, 40, True),
        (0.3, 0.11, 40, False),
        (0.04, 0.001, 40, False),
        (0.3, 0.08, 4, False),  # Student's t has 6.6 where the normal distribution has 3
        (math.nan, math.nan, 0, False),
    ],
)
def test_a_lag_is_significant_beyond_chance_and_if_it_matters(periods, error, freedom, expected):
    """Three errors with many blocks, more with few, and never below a twentieth of a period."""
    assert Lag(periods, error, 1000.0, freedom).is_significant is expected


@pytest.mark.parametrize("lag", [Lag(0.3, 0.02, 1025.0, 23), Lag(math.nan, math.nan, 1025.0, 0)])
def test_a_lag_survives_json(lag):
    """It is kept in the zipstore's attributes, which must be JSON without NaN."""
    text = json.dumps(lag.to_dict(), allow_nan=False)
    back = Lag.from_dict(json.loads(text))
    np.testing.assert_equal(vars(back), vars(lag))


def test_a_lag_says_what_it_does_to_the_rows():
    """In motor steps, as positions are."""
    assert Lag(0.3, 0.02, 1000.0, 23).text == "0.300 ± 0.020 periods"
    assert "600 motor steps apart" in Lag(-0.3, 0.02, 1000.0, 23).sentence
    assert "not significant" in Lag(0.02, 0.02, 1000.0, 23).sentence
    assert Lag(math.nan, math.nan, 1000.0, 0).text == "not known"
    assert "does not tell" in Lag(math.nan, math.nan, 1000.0, 0).sentence
