"""The figures of the page's own benchmark as plain numbers, by name."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["figures_of", "page_figures"]


def page_figures(zipstore: str) -> dict[str, float]:
    """Measure the page of a scan in Chromium, with what `page` offers.

    Raises
    ------
    NotImplementedError
        If `page` has no function `measure_page` that takes a zipstore.
    """
    from . import page

    measure = getattr(page, "measure_page", None)
    if measure is None:
        msg = "tests/benchmarks/page.py has no measure_page(zipstore) that returns a dataclass."
        raise NotImplementedError(msg)
    return figures_of(measure(Path(zipstore)))


def figures_of(result: Any, name: str = "") -> dict[str, float]:
    """Return the numbers in a dataclass, and in those within it, by the names of their fields.

    Of several numbers, such as the times of a gesture, the median and the 95th percentile.
    What is no number is left out.
    """
    if is_dataclass(result):
        found: dict[str, float] = {}
        for each in fields(result):
            inner = f"{name} {each.name}".strip()
            found |= figures_of(getattr(result, each.name), inner)
        return found
    if isinstance(result, Real):
        return {name: float(result)}
    if isinstance(result, (list, tuple, np.ndarray)) and len(result):
        values = np.asarray(result)
        if values.ndim == 1 and values.dtype.kind in "iuf":
            return {
                f"median {name}": float(np.median(values)),
                f"p95 {name}": float(np.percentile(values, 95)),
            }
    return {}
