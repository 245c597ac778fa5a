"""What is measured of a map whose truth is known, and of the operator that made it."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import griddata
from scipy.ndimage import gaussian_filter
from scipy.optimize import curve_fit
from scipy.sparse import csr_array, diags_array
from scipy.special import erf

from maxrf_core.interpolation import METHODS, Operator, build_operator
from maxrf_core.truth import BLUR_NODES, BLUR_WEIGHTS

from .accuracy_cases import Case

__all__ = ["CONTENDERS", "PEER", "Found", "edge_width", "measure", "structural_similarity"]

FloatArray = npt.NDArray[np.float64]

PEER = "griddata"
POSITIVE = "kriging >= 0"
CONTENDERS = (*METHODS, POSITIVE, PEER)
"""Our methods, kriging with its negative weights cut off, and scipy's griddata, linear."""

SSIM_SIGMA, SSIM_K1, SSIM_K2 = 1.5, 0.01, 0.03
EDGE_SLANT = 0.2
WIDTH_20_80 = 1.683
"""Distance between 20 and 80 % of an erf, in its standard deviations."""


@dataclass(frozen=True)
class Found:
    """One row of the table, with means over the energy windows.

    Attributes
    ----------
    rmse : float
        Root-mean-square error against the truth, in counts.
    ratio, worst_ratio : float
        The error over that of `selected`, and the highest of any window.
    similarity : float
        Structural similarity, 1 for the truth itself.
    bias, worst_bias : float
        Of the total of all windows over the scan, and the largest of any window: what the
        operator makes of the expected counts, against the truth, in per cent.
    noise_gain : float
        Standard error of a cell over that of a spectrum, root of the sum of squared weights.
    edge : float
        20 to 80 % width of a sharp edge in x, in pitches.
    negative : float
        Share of values below 0, in per cent.
    residuals : float
        Standard deviation of (map - truth) / standard error: 1 is shot noise alone.
    seconds, megabytes : float
        To build W, or for griddata to interpolate; the memory is numpy's peak.
    """

    rmse: float
    ratio: float
    worst_ratio: float
    similarity: float
    bias: float
    worst_bias: float
    noise_gain: float
    edge: float
    negative: float
    residuals: float
    seconds: float
    megabytes: float


def structural_similarity(image: FloatArray, truth: FloatArray) -> float:
    """Return the mean structural similarity of an (h, w) image and the truth.

    Wang, Bovik, Sheikh and Simoncelli 2004, *IEEE Trans. Image Process.* 13, 600, equation 13,
    with their Gaussian of 1.5 cells and their constants; the range of values is the truth's.
    """
    span = float(np.ptp(truth)) or 1.0
    c1, c2 = (SSIM_K1 * span) ** 2, (SSIM_K2 * span) ** 2

    def mean(values: FloatArray) -> FloatArray:
        return gaussian_filter(values, SSIM_SIGMA, truncate=3.5)

    mean_a, mean_b = mean(image), mean(truth)
    var_a, var_b = mean(image**2) - mean_a**2, mean(truth**2) - mean_b**2
    covariance = mean(image * truth) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(np.mean(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))


def edge_width(case: Case, operator: Operator) -> float:
    """Return the 20 to 80 % width in x, in pitches, of a sharp edge seen through an operator.

    The edge is slanted, so that cells lie at all distances from it (as in ISO 12233), and
    blurred by the motion as the counts are; an erf is fitted to the cells within 6 pitches.
    """
    raster, motion = case.raster, case.truth.motion
    dx, dy = raster.pitch
    grid = raster.grid
    middle = np.array([grid.x.mean(), grid.y.mean()])

    def beyond(x: FloatArray, y: FloatArray) -> FloatArray:
        return (x - middle[0]) / dx - EDGE_SLANT * (y - middle[1]) / dy

    numbers = np.arange(case.truth.n_spectra)
    exposed = sum(
        0.5 * weight * (beyond(*motion.exposed(numbers, 0.5 * float(node))) > 0)
        for node, weight in zip(BLUR_NODES, BLUR_WEIGHTS, strict=True)
    )
    distance = beyond(*grid.centres().T)
    near = np.abs(distance) < 6.0
    values = operator.apply(exposed).ravel()[near]

    def step(d: FloatArray, place: float, sigma: float) -> FloatArray:
        return 0.5 * (1.0 + erf((d - place) / (np.sqrt(2.0) * sigma)))

    (_, sigma), _ = curve_fit(step, distance[near], values, p0=(0.0, 0.7))
    return WIDTH_20_80 * abs(float(sigma))


def _without_negative_weights(operator: Operator) -> Operator:
    """Return kriging with its negative weights set to 0 and the others scaled to sum to 1."""
    matrix = operator.matrix.copy()
    matrix.data = np.maximum(matrix.data, 0.0)
    scale = diags_array(1.0 / matrix.sum(axis=1))
    return Operator(POSITIVE, operator.shape, csr_array((scale @ matrix).astype(np.float32)))


def _griddata(case: Case, values: FloatArray) -> FloatArray:
    """Return scipy's linear interpolation of (n, k) values, (h, w, k), as users call it."""
    raster = case.raster
    centres = raster.grid.centres()
    found = griddata(raster.positions, values, centres, method="linear")
    outside = np.isnan(found).any(axis=1)
    if outside.any():
        found[outside] = griddata(raster.positions, values, centres[outside], method="nearest")
    return found.reshape(*raster.grid.shape, values.shape[1])


def measure(case: Case) -> tuple[dict[str, Found], dict[str, FloatArray]]:
    """Return the figures of all contenders on a scan, and their maps (h, w, windows)."""
    counts = case.draw()[0].astype(np.float64)
    truth = case.true_maps
    figures, maps, operators = {}, {}, {}
    errors_of_selected = None
    for name in CONTENDERS:
        tracemalloc.start()
        start = time.perf_counter()
        if name == PEER:
            image = _griddata(case, counts)
        elif name == POSITIVE:
            operators[name] = _without_negative_weights(operators["kriging"])
        else:
            operators[name] = build_operator(name, case.raster)
        seconds = time.perf_counter() - start
        megabytes = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        deviation = gain = edge = np.nan
        if name == PEER:
            of_expected = _griddata(case, case.expected)
        else:
            operator = operators[name]
            image = operator.apply(counts).astype(np.float64)
            of_expected = operator.apply(case.expected).astype(np.float64)
            # variance of the expectation: an error of no counts at all is no standard
            error = np.sqrt(operator.variance(case.expected).astype(np.float64))
            deviation = float(np.sqrt(np.mean(((image - truth) / error) ** 2)))
            gain = float(np.mean(np.sqrt(operator.variance(np.ones(len(counts))))))
            edge = edge_width(case, operator)
        errors = np.sqrt(np.mean((image - truth) ** 2, axis=(0, 1)))
        if errors_of_selected is None:
            errors_of_selected = errors
        ratios = errors / errors_of_selected
        totals = of_expected.sum(axis=(0, 1)), truth.sum(axis=(0, 1))
        biases = 100.0 * (totals[0] / totals[1] - 1.0)
        similarities = [
            structural_similarity(image[:, :, window], truth[:, :, window])
            for window in range(truth.shape[2])
        ]
        figures[name] = Found(
            rmse=float(errors.mean()),
            ratio=float(ratios.mean()),
            worst_ratio=float(ratios.max()),
            similarity=float(np.mean(similarities)),
            bias=100.0 * float(totals[0].sum() / totals[1].sum() - 1.0),
            worst_bias=float(biases[np.argmax(np.abs(biases))]),
            noise_gain=gain,
            edge=edge,
            negative=100.0 * float(np.mean(image < 0)),
            residuals=deviation,
            seconds=seconds,
            megabytes=megabytes,
        )
        maps[name] = image
    return figures, maps
