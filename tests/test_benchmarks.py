"""The benchmarks run whole, on tiny scans; how long anything takes is not asked."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import make_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, with every call in this process: each takes a second and 100 MB."""
    monkeypatch.syspath_prepend(str(ROOT))
    apart = import_module("tests.benchmarks.apart")

    def here(
        target: str, *arguments: Any, python: Path | None = None, prelude: str = "", **named: Any
    ) -> Any:
        del python, prelude
        module, name = target.split(":")
        value = getattr(import_module(module), name)(*json.loads(json.dumps(arguments)), **named)
        return apart.Apart(json.loads(json.dumps(value)), 1.0, 10**8)

    for name in ("conversion", "reading", "growth"):
        monkeypatch.setattr(import_module(f"tests.benchmarks.{name}"), "apart", here)
    return import_module("tests.benchmarks.__main__")


def test_every_measure_is_found_and_nothing_is_left_behind(
    benchmarks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are run by hand and rarely: a name that changed in the core must show here."""
    scans, plot, numbers = tmp_path / "scans", tmp_path / "plot.png", tmp_path / "numbers.json"
    tiny = ("--sizes", "300,900", "--repeats", "1", "--count", "4", "--cube-cells", "64")
    ours = ("--without-peer", "--without-page")
    files = ("--folder", str(scans), "--plot", str(plot), "--json", str(numbers))
    benchmarks.main([*tiny, *ours, *files])
    assert sorted(path.name for path in scans.iterdir()) == [
        "s17x4-gzip.HDF5",
        "s17x4.HDF5",
        "s30x17-gzip.HDF5",
        "s30x17.HDF5",
    ]
    assert plot.read_bytes().startswith(b"\x89PNG")
    small, large = json.loads(numbers.read_text(encoding="utf-8"))["sizes"]
    assert (small["cells"], large["cells"]) == (17 * 4, 30 * 17)
    assert all(value > 0 for value in [*small.values(), *large.values()])
    # Full conversions are made at the first size, growth is known from the second on.
    assert set(small) ^ set(large) == {
        *("full_s", "full_peak_mb", "full_mb"),
        *("selected_s", "selected_peak_mb", "selected_mb"),
        *("lean_growth", "lean_doubling", "gzip_growth"),
    }
    # The whole cube where there is one, else the rows of tiles that hold 64 cells.
    assert (small["dask_cells"], large["dask_cells"]) == (17 * 4, 30 * 17)
    printed = capsys.readouterr().out
    assert f"{small['spectra']:,.0f}" in printed
    for label in ("conversion, lean", "over the limit", "a cell's spectrum", "with dask"):
        assert label in printed


def test_growth_compares_with_the_size_before(benchmarks: ModuleType) -> None:
    """Four times the spectra in eight times the seconds: twice as slow a spectrum."""
    measures = import_module(f"{benchmarks.__package__}.measures")
    known = {"lean_mb": 5.0, "counts_mb": 50.0, "window_ms": 2.0, "cells": 30.0}
    before = {"spectra": 1000.0, "lean_s": 1.0, "gzip_s": 3.0, **known}
    after = {"spectra": 4000.0, "lean_s": 8.0, "gzip_s": 12.0, "limit_s": 5.0, **known}
    after |= {"dask_s": 1.0, "dask_cells": 10.0}
    first, second = measures.with_ratios([before, after])
    assert "lean_growth" not in first
    assert second["lean_growth"] == pytest.approx(2.0)
    assert second["gzip_growth"] == pytest.approx(1.0)
    assert second["lean_doubling"] == pytest.approx(8.0**0.5)
    assert second["lean_over_limit"] == pytest.approx(1.6)
    assert second["lean_percent"] == pytest.approx(10.0)
    # A third of the cube in 500 times our time for the whole map.
    assert second["dask_over_window"] == pytest.approx(500.0)
    assert second["dask_over_window_per_cell"] == pytest.approx(1500.0)


def test_page_figures_are_rows_with_units(benchmarks: ModuleType) -> None:
    """Its results are dataclasses of numbers and of lists of times, which nobody lists here."""
    package = benchmarks.__package__
    painting, measures = (import_module(f"{package}.{name}") for name in ("painting", "measures"))
    drag = make_dataclass("Drag", ["updates_per_second", "paint_ms"])(9.5, np.arange(101.0))
    result = make_dataclass("Page", ["paint_s", "window", "complaints"])(1.25, drag, ["none"])
    figures = painting.figures_of(result)
    assert figures == {
        "paint_s": 1.25,
        "window updates_per_second": 9.5,
        "median window paint_ms": 50.0,
        "p95 window paint_ms": 95.0,
    }
    found = {"spectra": 12.0, **{measures.PAGE + name: value for name, value in figures.items()}}
    rows = [line.split() for line in measures.format_table([found]).splitlines()]
    assert ["paint", "s", "1.25"] in rows
    assert ["window", "updates", "/s", "9.50"] in rows
    assert ["p95", "window", "paint", "ms", "95.0"] in rows


def test_a_call_apart_returns_or_says_why_not() -> None:
    """Memory is that of the other process, and what it prints does not spoil its answer."""
    program = """
from tests.benchmarks.apart import ApartError, apart
run = apart("math:hypot", 3, 4)
assert run.value == 5.0 and run.seconds > 0 and 1e6 < run.peak < 1e9, run
assert apart("builtins:print", "noise").value is None
try:
    apart("math:sqrt", -1)
except ApartError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("math:sqrt ended with status 1:")
    assert "ValueError" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "many"], "'many', expected numbers"),
        (["--sizes", "300,9"], "has 9, expected 100 spectra or more"),
        (["--keep"], "--keep needs a --folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_measured(
    benchmarks: ModuleType,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    """A run takes minutes; a slip of the hand must not cost them."""
    with pytest.raises(SystemExit):
        benchmarks.main(arguments)
    assert message in capsys.readouterr().err
