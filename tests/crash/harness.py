"""One case after the other: made, disturbed, looked at, run again, and looked at once more."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Self

from maxrf_core.unfinished import leftovers

from .cases import Case, Undisturbed
from .faulty import HALF
from .forks import TIMEOUT_S, Ended, Forks, Order
from .jobs import JOBS, Job, make_inputs, prepare

__all__ = ["Harness", "can_mount"]

Hashes = dict[str, str | None]
"""SHA-256 by the name of a target; None where there is none."""

_CHANGES_SOURCE = ("cut", "change", "gone")


class Harness:
    """Disturbs jobs and judges what became of their files; a context manager.

    Parameters
    ----------
    folder : Path
        Where it works; needs some 100 MB.

    Attributes
    ----------
    baseline : dict
        `Undisturbed` by the job's name and whether its files stood there before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        (self.folder / "streams").mkdir(parents=True)
        self._forks = Forks(self.folder / "streams")
        self._inputs = self.folder / "inputs"
        self.baseline: dict[tuple[str, bool], Undisturbed] = {}
        self._seconds: dict[tuple[str, bool], float] = {}
        self._new: dict[tuple[str, bool], Hashes] = {}  # True: of the whole program
        self._sizes: dict[str, int] = {}
        self._program_seconds: dict[str, float] = {}
        self.mounts = can_mount(self.folder)

    def __enter__(self) -> Self:
        self._forks.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._forks.__exit__(*details)

    def prepare(self) -> None:
        """Make the inputs, and do each job once undisturbed.

        Raises
        ------
        RuntimeError
            If a job fails even so.
        """
        make_inputs(self._inputs, self._forks)
        for job in JOBS.values():
            for old in (True, False) if job.fresh else (True,):
                self._measure(job, old=old)

    def _measure(self, job: Job, *, old: bool) -> None:
        case = self.folder / "case"
        prepare(job, self._inputs, case, old=old)
        ended = self._forks.run(self._order(job, case))
        new = _hashes(case, job.targets)
        if ended.code or None in new.values() or not self._is_clean(job, case):
            raise RuntimeError(f"{job.name} undisturbed ended with {ended.code}: {ended.errors}")
        if not old and self._new[job.name, False] != new:
            # What stands beside a scan keeps what stood there before.
            self._new[f"{job.name}, none", False] = new
        else:
            self._new[job.name, False] = new
        self._sizes[job.name] = max((case / name).stat().st_size for name in job.targets)
        self._seconds[job.name, old] = ended.seconds
        self.baseline[job.name, old] = Undisturbed(ended.report["counts"])
        if job.targets[0].endswith(".zipstore"):
            self._check_whole(job, case)
        shutil.rmtree(case)

    def _check_whole(self, job: Job, case: Path) -> None:
        """Have `maxrf check` look at a zipstore: what equals it is whole."""
        if job.name == "chunks":  # no scan, only a store
            return
        ended = self._forks.run(Order(["check", job.targets[0]], str(case)))
        if ended.code:
            raise RuntimeError(f"maxrf check of {job.name}: {ended.errors}")

    def _order(self, job: Job, case: Path) -> Order:
        source = str(case / job.inputs[0]) if job.inputs else None
        return Order(list(job.command), str(case), source)

    # --- a case ---------------------------------------------------------------------------

    def run(self, case: Case) -> list[str]:
        """Return what is wrong after a case, a sentence each; nothing if it survived."""
        folder = self.folder / "case"
        with self._disk(case, folder):
            old = self._old(case)
            ended = self._disturb(case, folder, old)
            faults = _faults_of_end(case, ended)
            new = self._new_of(case)
            made_of = self._of_changed(case, folder) if case.mode == "change" else new
            after = _hashes(folder, case.job.targets)
            faults += _faults_of_targets(
                case, ended, old, made_of if made_of == after else new, after
            )
            faults += _faults_of_pair(case, old, after, folder)
            faults += self._faults_of_rest(case, folder)
            if case.call == "disk":
                _enlarge(folder)
            again = self._again(case, folder)
            if again.code or "Traceback" in again.errors:
                faults.append(f"running again ends with {again.code}: {again.errors[-300:]}")
            found = _hashes(folder, case.job.targets)
            faults += [
                f"after running again {name} is not what an undisturbed run writes"
                for name in case.job.targets
                if found[name] != new[name]
            ]
            if not self._is_clean(case.job, folder):
                faults.append(f"after running again there is {self._others(case.job, folder)}")
        return faults

    @contextmanager
    def _disk(self, case: Case, folder: Path) -> Iterator[None]:
        """Make the folder of a case, on a disk of its own if it asks for one."""
        mounted = case.call == "disk"
        try:
            if mounted:
                made = self.folder / "made"
                prepare(case.job, self._inputs, made, old=case.old)
                used = sum(_room(file) for file in made.rglob("*"))
                room = used + int(case.share * 1.1 * self._sizes[case.job.name])
                folder.mkdir()
                _mount(folder, f"size={room}")
                shutil.copytree(made, folder, dirs_exist_ok=True)
                shutil.rmtree(made)
            else:
                prepare(case.job, self._inputs, folder, old=case.old)
            yield
        finally:
            if mounted:
                _run("umount", str(folder))
            shutil.rmtree(folder)

    def _of_changed(self, case: Case, folder: Path) -> Hashes:
        """Return what an undisturbed run makes of the source as it is now: it may be the first."""
        place = self.folder / "changed"
        prepare(case.job, folder, place, old=False)
        self._forks.run(self._order(case.job, place))
        made = _hashes(place, case.job.targets)
        shutil.rmtree(place)
        return made

    def _old(self, case: Case) -> Hashes:
        old: Hashes = dict.fromkeys(case.job.targets)
        if case.old:
            for target, name in zip(case.job.targets, case.job.old, strict=True):
                old[target] = _hash(self._inputs / name) if name else None
        return old

    def _new_of(self, case: Case) -> Hashes:
        if case.call == "program":
            return self._new[case.job.name, True]
        none = f"{case.job.name}, none", False
        return self._new[none] if not case.old and none in self._new else self._new[
            case.job.name, False
        ]  # fmt: skip

    def _disturb(self, case: Case, folder: Path, old: Hashes) -> Ended:
        if case.call == "program":
            return self._kill_program(case, folder, old)
        new = self._new_of(case)
        order = replace(
            self._order(case.job, folder),
            allowed={}
            if case.mode == "change"  # what is made of the changed source is not known yet
            else {str(folder / name): [old[name], new[name]] for name in case.job.targets},
            fault=None if case.fault is None else asdict(case.fault),
        )
        if case.job.together:  # between the two there is a moment without the first
            for allowed in order.allowed.values():
                allowed.append(None)
        if case.call == "moment":
            seconds = self._seconds[case.job.name, case.old]
            order = replace(order, kill_after=case.share * seconds)
        elif case.call == "limit":
            limit = int(case.share * self._sizes[case.job.name])
            order = replace(order, file_limit=limit)
        return self._forks.run(order)

    def _again(self, case: Case, folder: Path) -> Ended:
        """Put the source back, and run again without a fault."""
        for name in case.job.inputs:
            if case.mode in _CHANGES_SOURCE:
                shutil.copy2(self._inputs / name, folder / name)
        if case.call == "program":
            return _run_program(case.job, folder)
        return self._forks.run(self._order(case.job, folder))

    # --- whole programs -------------------------------------------------------------------

    def _kill_program(self, case: Case, folder: Path, old: Hashes) -> Ended:
        """Start the command line itself, and kill it between its first word and its end."""
        name = case.job.name
        if (name, True) not in self._new:
            self._measure_program(case.job)
        new = self._new[name, True]
        process = _start_program(case.job, folder)
        with _watched(folder, case.job.targets, old, new) as halves:
            process.stdout.readline()
            time.sleep(case.share * self._program_seconds[name])
            process.kill()
            errors = process.communicate(timeout=TIMEOUT_S)[1]
        told = errors + "".join(f"\n{HALF}{half}" for half in halves)
        return Ended(process.returncode, 0.0, told, {})

    def _measure_program(self, job: Job) -> None:
        folder = self.folder / "program"
        prepare(job, self._inputs, folder, old=False)
        process = _start_program(job, folder)
        process.stdout.readline()
        started = time.monotonic()
        process.communicate(timeout=TIMEOUT_S)
        self._program_seconds[job.name] = time.monotonic() - started
        self._new[job.name, True] = _hashes(folder, job.targets)
        shutil.rmtree(folder)

    # --- judgement ------------------------------------------------------------------------

    def _others(self, job: Job, folder: Path) -> list[str]:
        """Return the names of what neither belongs to the job nor was written by it."""
        known = {*job.inputs, *job.targets}
        return sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if str(path.relative_to(folder)) not in known and path.name != "photos"
        )

    def _is_clean(self, job: Job, folder: Path) -> bool:
        return not self._others(job, folder)

    def _faults_of_rest(self, case: Case, folder: Path) -> list[str]:
        """Return what is wrong with what else lies there."""
        faults = []
        targets = [folder / name for name in case.job.targets]
        if case.job.name in ("calibration", "view", "photo"):
            targets.append(folder / "out.zipstore")
        hidden = {left.path for target in targets for left in leftovers(target)}
        for name in self._others(case.job, folder):
            path = folder / name
            if not any(one in hidden for one in (path, *path.parents)):
                faults.append(f"{name} was left behind, and nobody knows it")
        if case.mode not in _CHANGES_SOURCE:
            inputs = _hashes(self._inputs, case.job.inputs)
            changed = [name for name, one in inputs.items() if _hash(folder / name) != one]
            faults += [f"{name}, which is only read, was changed" for name in changed]
        return faults


def _faults_of_end(case: Case, ended: Ended) -> list[str]:
    """Return what is wrong with how it ended."""
    faults = []
    errors = ended.errors
    if HALF in errors:
        faults.append(f"a half file was to be seen: {errors[errors.index(HALF) :][:200]}")
    if "Traceback" in errors:
        faults.append(f"it ended with a traceback: {errors[-600:]}")
    killed = "kill" in case.mode
    if ended.code == 1 and errors.count("maxrf: error: ") != 1:
        faults.append(f"it ended without one sentence: {errors[-300:]!r}")
    elif ended.code not in (0, 1) and not (killed and ended.code == -signal.SIGKILL):
        faults.append(f"it ended with {ended.code}: {errors[-300:]}")
    return faults


def _faults_of_targets(
    case: Case, ended: Ended, old: Hashes, new: Hashes, found: Hashes
) -> list[str]:
    """Return what is wrong with the files written: each has to be the old one or the new one."""
    faults = []
    states = {}
    for name, digest in found.items():
        states[name] = "new" if digest == new[name] else "old" if digest == old[name] else None
        if old[name] == new[name] == digest:
            states[name] = "both"
    if _is_aside(case, found) and ended.code != 0:
        return []
    faults += [f"{name} is neither old nor new" for name, state in states.items() if state is None]
    seen = set(states.values()) - {"both", None}
    if ended.code == 0 and "old" in seen:
        faults.append("it says that it is done, and is not")
    if case.job.together and len(seen) > 1:
        faults.append(f"old and new are mixed: {states}")
    if ended.code == 1 and "new" in seen and len(case.job.targets) == 1:
        faults.append("it says that it failed, and has done it")
    return faults


def _is_aside(case: Case, found: Hashes) -> bool:
    """Return whether the old header was moved aside, so that nobody reads the data with it."""
    return case.job.together and case.old and found[case.job.targets[0]] is None


def _faults_of_pair(case: Case, old: Hashes, found: Hashes, folder: Path) -> list[str]:
    """Return what is wrong if the old ones are aside: they have to be there, hidden."""
    if not _is_aside(case, found):
        return []
    faults = []
    for name in case.job.targets:
        places = [folder / name, *folder.glob(f".{name}.*.old")]
        if old[name] not in map(_hash, places):
            faults.append(f"the old {name} is lost")
    return faults


def _start_program(job: Job, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "maxrf_core", *job.command, "--progress", "json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run_program(job: Job, folder: Path) -> Ended:
    process = _start_program(job, folder)
    errors = process.communicate(timeout=TIMEOUT_S)[1]
    return Ended(process.returncode, 0.0, errors, {})


@contextmanager
def _watched(folder: Path, names: tuple[str, ...], old: Hashes, new: Hashes) -> Iterator[list[str]]:
    """Look at files time and again, and yield a list of what was neither old nor new."""
    halves: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            found = _hashes(folder, names)
            halves.extend(name for name in names if found[name] not in (old[name], new[name]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield halves
    finally:
        done.set()
        thread.join()


def _hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _hashes(folder: Path, names: tuple[str, ...]) -> Hashes:
    return {name: _hash(folder / name) for name in names}


def _room(path: Path) -> int:
    """Return the room that a file or folder takes in a tmpfs, which has pages of 4 kB."""
    return 4096 * (1 + -(-path.stat().st_size // 4096)) if path.is_file() else 4096


def _mount(folder: Path, options: str) -> None:
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)


def _enlarge(folder: Path) -> None:
    """Free some space."""
    _mount(folder, "remount,size=100m")


def can_mount(folder: Path) -> bool:
    """Return whether a disk of a few bytes can be had: on Linux, as root, where that is let."""
    if sys.platform != "linux" or os.geteuid():
        return False
    place = folder / "mount"
    place.mkdir()
    try:
        _mount(place, "size=64k")
    except (subprocess.SubprocessError, OSError):
        return False
    else:
        _run("umount", str(place))
        return True
    finally:
        place.rmdir()
