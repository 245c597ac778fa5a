"""What the tests of the core share: seeded scans of any size, and the files they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import crono_files
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings

from maxrf_core import Scan, convert_crono, open_scan

# No deadline: the first call of a numba function compiles it. The same examples on every run;
# `pytest --hypothesis-profile=search` looks for new ones, for half an hour.
_SLOW = [HealthCheck.too_slow]
settings.register_profile(
    "maxrf", deadline=None, derandomize=True, max_examples=50, suppress_health_check=_SLOW
)
settings.register_profile("search", deadline=None, max_examples=2000, suppress_health_check=_SLOW)
settings.load_profile("maxrf")

DATA = Path(__file__).parent / "data"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Run files side by side with ``-n``, but those that drive a browser one after the other."""
    from xdist.scheduler import LoadScopeScheduling

    class OneBrowser(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tests/browser" if file.startswith("tests/browser/") else file

    config.option.loadscopereorder = False  # browsers take the longest, and come first
    return OneBrowser(config, log)


@dataclass(frozen=True)
class MadeScan:
    """A Crono file and what was written into it."""

    path: Path
    counts: npt.NDArray[np.uint16]
    positions: npt.NDArray[np.uint32]
    selected: npt.NDArray[np.int64]
    energies: npt.NDArray[np.float32]
    live_times: npt.NDArray[np.float64]


def make_raster(
    shape: tuple[int, int], turn: int, wobble: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Return motor positions (n, 3) and the vendor's selection (h, w) of a back-and-forth scan.

    Columns are 1000 and rows 500 steps apart, as in the real file; `turn` more spectra crowd
    at both ends of each row, some of them at one place.
    """
    height, width = shape
    line = np.concatenate(
        [np.full(turn, -600.0), 1000.0 * np.arange(width), np.full(turn, 1000.0 * width - 400)]
    )
    crowd = np.floor(np.arange(turn) / 2) * 150
    line[:turn] += crowd
    line[len(line) - turn :] -= crowd
    numbers = np.arange(height * len(line)).reshape(height, len(line))
    numbers[1::2] = numbers[1::2, ::-1]
    x, y = np.empty(numbers.size), np.empty(numbers.size)
    for row in range(height):
        x[numbers[row]] = 132252 + line + wobble * rng.uniform(-1, 1)
        y[numbers[row]] = 111816 + 500 * row
    moved = np.round(x + wobble / 4 * rng.uniform(-1, 1, len(x)))
    positions = np.column_stack([moved, y, np.full(len(x), 46018)])
    return positions.astype(np.uint32), numbers[:, turn : turn + width].astype(np.int64)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return the one generator of a test, always in the same state."""
    return np.random.default_rng(20211015)


@pytest.fixture(scope="session")
def make_scan(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., MadeScan]:
    """Return a function that writes a small wobbly scan of any number of channels.

    `gap` moves the right half away by so many steps; `bare` leaves times and regions out.
    """

    def make(
        shape: tuple[int, int] = (7, 5),
        *,
        channels: int = 50,
        turn: int = 3,
        wobble: float = 240.0,
        mean: float = 1.5,
        flip: tuple[bool, bool] = (False, False),
        gap: int = 0,
        bare: bool = False,
    ) -> MadeScan:
        rng = np.random.default_rng(5)
        positions, selected = make_raster(shape, turn, wobble, rng)
        positions[positions[:, 0] > positions[:, 0].mean(), 0] += np.uint32(gap)
        n = len(positions)
        # An object with a gradient and an edge; an energy axis that starts below zero.
        signal = 0.4 + positions[:, 0] / positions[:, 0].max() + (positions[:, 1] % 3000 > 1400)
        spectrum = mean * (0.3 + np.abs(np.sin(np.arange(channels) * 0.7)))
        counts = rng.poisson(signal[:, None] * spectrum).astype(np.uint16)
        energies = np.linspace(-0.6, 30.0, channels).astype(np.float32)
        micros = rng.integers(40_000, 60_000, n).astype(np.uint64)
        stored = selected[:: -1 if flip[0] else 1, :: -1 if flip[1] else 1]
        datasets = {
            "XRF/Spectra": counts,
            "XRF/EnergyVector": energies,
            "XRF/MotorsPositions": positions,
            "XRF/SpectraSelectedIndex": stored[:, :, None].astype(np.uint64),
            "XRF/LiveTimes": micros,
            "XRF/RealTimes": np.full(n, 60_000, np.uint64),
            "XRF/Timestamps": 60_000 * np.arange(n, dtype=np.uint64),
        }
        if bare:  # neither times nor regions of interest
            names = ("LiveTimes", "RealTimes", "Timestamps", "ROIs/ROIsEnergies", "ROIs/ROIsNames")
            datasets |= {f"XRF/{name}": None for name in names}
        path = tmp_path_factory.mktemp("scan") / "scan.HDF5"
        crono_files.write_crono(path, datasets)
        return MadeScan(path, counts, positions, selected, energies, micros / 1e6)

    return make


@pytest.fixture(scope="session")
def made(make_scan: Callable[..., MadeScan]) -> MadeScan:
    """Return one small scan: 7 x 5 cells, 77 spectra of 50 channels."""
    return make_scan()


@pytest.fixture(scope="session")
def lean_zipstore(made: MadeScan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return `made` converted without the float cubes."""
    folder = tmp_path_factory.mktemp("lean")
    return Path(convert_crono(made.path, output=folder, cubes=False, progress=False))


@pytest.fixture(scope="session")
def full_zipstore(made: MadeScan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return `made` converted with everything."""
    return Path(convert_crono(made.path, output=tmp_path_factory.mktemp("full"), progress=False))


@pytest.fixture
def scan(lean_zipstore: Path) -> Scan:
    """Yield `made` opened."""
    with open_scan(lean_zipstore) as opened:
        yield opened


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of the tests' files: read them, write elsewhere."""
    return DATA
