"""A run: the server, its visitors, a conversion beside them, and the report."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from maxrf_core import convert_crono, simulate_crono

from .browsers import Browsers
from .clients import Clients, Crowd
from .figures import Latency, growth, latencies, latency_table
from .gestures import Gesture, Pace
from .serving import MaxrfServer, Use
from .truth import Truth
from .visitor import ANSWERED_S, Shown
from .visits import LIFETIME_MS, Visits, make_visits

__all__ = ["Load", "Report", "measure", "simulated_scans"]

SHAPES = {"small": (85, 37), "middle": (168, 96), "large": (320, 300)}
"""Rows and columns of what is simulated: 4,282, 18,376 and 100,286 spectra."""

CONVERTED = (500, 480)
"""Of what is converted meanwhile: a quarter of a million spectra, and anew when it is done."""

_PROCESSES = 2  # of the visitors without a browser
_LOOK_S = 0.1
_PATIENCE_S = 60.0 + ANSWERED_S
_ERRORS_TOLD = 20


@dataclass(frozen=True)
class Load:
    """What a run consists of.

    Parameters
    ----------
    scans : sequence of Path
        Zipstores.
    folder : Path
        Where is room for what is converted.
    browsers, clients : int
        Visitors in Chromium, and without a browser.
    seconds : float
        How long they drag.
    num_procs : int
        Processes of the server.
    converting : bool
        Whether they drag once more while a scan is converted.
    visits : int
        How many come and go, in a server of its own.
    pace : Pace
        How fast they drag.
    """

    scans: Sequence[Path]
    folder: Path
    browsers: int = 8
    clients: int = 50
    seconds: float = 600.0
    num_procs: int = 1
    converting: bool = False
    visits: int = 500
    pace: Pace = field(default_factory=Pace)


@dataclass
class Part:
    """A time in which all of them dragged.

    Parameters
    ----------
    name : str
        What else was going on.
    machine_load : list of float
        The machine's load averages of a minute, before and after.
    latencies : list of Latency
        How long visitors waited.
    uses : list of Use
        What the server used, second by second.
    visitors_cpu : float
        Of a processor that visitors without a browser used.
    gestures : dict of str to list
        All that was sent and answered, by the kind of visitor.
    missed : int
        Times that a mouse in a browser moved nothing, and tried again.
    """

    name: str
    machine_load: list[float]
    latencies: list[Latency]
    uses: list[Use]
    visitors_cpu: float
    gestures: dict[str, list[dict[str, Any]]]
    missed: int = 0

    def __str__(self) -> str:
        minutes = [use.time_s / 60 for use in self.uses]
        memory = [use.memory_mb for use in self.uses]
        handles = [use.handles for use in self.uses]
        slope = growth(minutes, memory)
        cpu = (self.uses[-1].cpu_s - self.uses[0].cpu_s) / (60 * (minutes[-1] - minutes[0]))
        before, after = self.machine_load
        return (
            f"{self.name} (load of the machine {before:.1f} before, {after:.1f} after)\n"
            f"{latency_table(self.latencies)}\n"
            f"server: {100 * cpu:.0f}% of a processor; memory {memory[0]:.0f} to {memory[-1]:.0f} "
            f"MB, at most {max(memory):.0f}, {slope.slope:+.2f} ± {slope.error:.2f} MB/min; "
            f"{min(handles)} to {max(handles)} open files and sockets\n"
            f"visitors without a browser: {100 * self.visitors_cpu:.0f}% of a processor; "
            f"{self.missed} times a mouse took hold of nothing"
        )


@dataclass
class Report:
    """What was found.

    Parameters
    ----------
    parts : list of Part
        Without and with a conversion.
    opened_s : list of float
        How long pages of visitors without a browser took to open, two at a time.
    visits : Visits, optional
        Those that came and went.
    errors : list of str
        Of pages, sockets, the server's log, and values that were not shown in the end.
    """

    parts: list[Part] = field(default_factory=list)
    opened_s: list[float] = field(default_factory=list)
    visits: Visits | None = None
    errors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = [str(part) for part in self.parts]
        if self.opened_s:
            middle, longest = np.percentile(self.opened_s, [50, 100])
            told.insert(0, f"pages opened, two at a time, in {middle:.2f} s, at most {longest:.2f}")
        if len(self.parts) == 2:
            told.append("\n".join(_ratios(*self.parts)))
        if self.visits is not None:
            told.append(str(self.visits))
        told.append("\n".join([f"errors: {len(self.errors)}", *self.errors[:_ERRORS_TOLD]]))
        return "\n\n".join(told)


def _ratios(alone: Part, beside: Part) -> Iterator[str]:
    for one, other in zip(alone.latencies, beside.latencies, strict=True):
        yield (
            f"{one.who}, {one.what}: {other.p50_ms / one.p50_ms:.1f} times the median, "
            f"{other.p95_ms / one.p95_ms:.1f} times the 95th percentile, while converting"
        )


def simulated_scans(folder: Path) -> list[Path]:
    """Return three converted scans of different sizes in a folder: those there, or new ones."""
    found = []
    for seed, (name, shape) in enumerate(SHAPES.items(), 1):
        path = folder / f"{name}.zipstore"
        if not path.exists():
            made = _simulated(folder, name, shape, seed)
            convert_crono(made, cubes=False, progress=False)
            made.unlink()
        found.append(path)
    return found


def _simulated(folder: Path, name: str, shape: tuple[int, int], seed: int) -> Path:
    path = folder / f"{name}.HDF5"
    if not path.exists():
        simulate_crono(path, shape=shape, seed=seed)
    return path


@contextmanager
def _converting(folder: Path) -> Iterator[None]:
    """Have a scan converted, and again when it is done, until the end."""
    over = threading.Event()
    source = _simulated(folder, "to-convert", CONVERTED, 9)

    def convert() -> None:
        while not over.is_set():
            with TemporaryDirectory(dir=folder, prefix="converted-") as output:
                command = [sys.executable, "-m", "maxrf_core", "convert", str(source), "--lean"]
                with subprocess.Popen(
                    [*command, "--progress", "none", "--output", output], stdout=subprocess.DEVNULL
                ) as process:
                    while process.poll() is None and not over.wait(_LOOK_S):
                        pass
                    process.terminate()  # it leaves nothing behind
                if process.returncode and not over.is_set():
                    failed.append(process.returncode)
                    return

    failed: list[int] = []
    beside = threading.Thread(target=convert)
    beside.start()
    try:
        yield
    finally:
        over.set()
        beside.join()
    if failed:
        raise RuntimeError(f"the conversion ended with code {failed[0]}; its complaint is above")


def _crowds(load: Load, port: int, scans: dict[str, float]) -> list[Crowd]:
    firsts = [load.clients * number // _PROCESSES for number in range(_PROCESSES + 1)]
    return [
        Crowd(port, scans, last - first, first, number, asdict(load.pace))
        for number, (first, last) in enumerate(pairwise(firsts))
        if last > first
    ]


def _drag_all(
    name: str, load: Load, server: MaxrfServer, clients: list[Clients], browsers: Browsers
) -> tuple[Part, list[dict[str, Any]]]:
    """Have everybody drag for the time of a run; return the figures and the clients' answers."""
    start, first = os.getloadavg()[0], len(server.uses)
    begin = time.perf_counter()
    for each in clients:
        each.begin(load.seconds)
    for visitor in browsers.visitors:
        visitor.gestures.clear()
        visitor.missed = 0
    browsers.explore(load.pace, load.seconds)
    answers = [each.answer(load.seconds + _PATIENCE_S) for each in clients]
    took = time.perf_counter() - begin
    plain = [gesture for answer in answers for gesture in answer["gestures"]]
    gestures = {
        "browser": [asdict(g) | {"scan": v.scan} for v in browsers.visitors for g in v.gestures],
        "client": plain,
    }
    found = []
    for who, of in gestures.items():
        found += latencies(who, [_gesture(one) for one in of])
    cpu = sum(answer["cpu_s"] for answer in answers) / took
    load_now, missed = os.getloadavg()[0], sum(visitor.missed for visitor in browsers.visitors)
    part = Part(name, [start, load_now], found, server.uses[first:], cpu, gestures, missed)
    return part, answers


def _gesture(told: dict[str, Any]) -> Gesture:
    return Gesture(**{key: value for key, value in told.items() if key != "scan"})


def _drags(load: Load, truth: Truth, report: Report, log: Path) -> None:
    """Let visitors in, have them drag, and look whether they see what they should."""
    scans = truth.ev_per_channel
    with ExitStack() as stack:
        server = stack.enter_context(MaxrfServer(load.scans, log, num_procs=load.num_procs))
        clients = []
        for crowd in _crowds(load, server.port, scans):
            clients.append(stack.enter_context(Clients(crowd)))
            report.opened_s += clients[-1].answer(_PATIENCE_S + 10 * crowd.clients)["opened_s"]
        browsers = stack.enter_context(Browsers(server.port, scans, load.browsers, seed=7))
        beside = {"nothing else": nullcontext()}
        if load.converting:
            beside["a conversion beside it"] = _converting(load.folder)
        for name, work in beside.items():
            with work:
                part, answers = _drag_all(name, load, server, clients, browsers)
            report.parts.append(part)
            shown = [Shown(**one) for answer in answers for one in answer["shown"]]
            shown += [visitor.shown() for visitor in browsers.visitors]
            report.errors += [fault for one in shown for fault in truth.faults(one)]
        report.errors += [each for answer in answers for each in answer["complaints"]]
        report.errors += browsers.complaints
        report.errors += server.troubles()


def measure(load: Load) -> Report:
    """Do all of a run.

    Parameters
    ----------
    load : Load
        What it consists of.
    """
    report, truth = Report(), Truth.of(load.scans)
    with TemporaryDirectory() as folder:
        logs = Path(folder)
        if load.browsers or load.clients:
            _drags(load, truth, report, logs / "drags.log")
        if load.visits:
            with MaxrfServer(
                load.scans, logs / "visits.log", num_procs=load.num_procs, lifetime_ms=LIFETIME_MS
            ) as server:
                scans = truth.ev_per_channel
                report.visits = asyncio.run(make_visits(server, scans, load.visits))
                report.errors += [*report.visits.complaints, *server.troubles()]
    return report
