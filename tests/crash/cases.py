"""Which cases there are: each a line of text that says all of it, so that it can be repeated.

``JOB/STATE/CALL/NUMBER/MODE``: the job; ``old`` where its files stand there already, ``none`` where
they do not; and what happens. CALL is a call of `faulty` and NUMBER which one, with a ``+`` if
all later ones are struck, too; or CALL is

- ``moment``: killed after that share of its time, as a fork;
- ``program``: likewise, as ``python -m maxrf_core``, counted from its first word;
- ``limit``: no file may grow beyond that share of the largest one written (`RLIMIT_FSIZE`);
- ``disk``: in a file system with that share of the room that it needs (Linux, as root).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle

from .faulty import CHANGES, Fault
from .jobs import JOBS, Job

__all__ = ["Case", "Undisturbed", "fault_cases", "kill_cases", "parse_case"]

_SHARES = ("moment", "program", "limit", "disk")
_ERRORS = {
    "open": ("EACCES", "ENOSPC", "EIO", "EINTR", "EROFS", "EMFILE"),
    "write": ("ENOSPC", "EIO", "EINTR", "EDQUOT"),
    "fsync": ("EIO", "ENOSPC", "EINTR"),
    "rename": ("EACCES", "EIO", "ENOSPC", "EINTR"),
    "truncate": ("EIO", "ENOSPC", "EINTR"),
    "unlink": ("EACCES", "EIO", "EINTR"),
    "mkdir": ("EACCES", "ENOSPC", "EIO"),
    "times": ("EACCES", "EIO"),
    "look": ("EACCES", "EIO", "ESTALE"),
    "read": ("EIO", "ESTALE", "ETIMEDOUT", "EINTR"),
    "lock": ("ENOLCK", "EINTR", "EIO"),
}
_SHARE_GONE = ("ESTALE", "EIO", "ETIMEDOUT")
_WRITES = ("short", "half", "halfkill")
_SOURCE = ("cut", "change", "gone")
_PROGRAMS = ("convert-lean", "convert-full", "import-rpl", "export-tif", "export-h5")


@dataclass(frozen=True)
class Case:
    """One run that is disturbed.

    Parameters
    ----------
    job : Job
    old : bool
        Whether the files that it writes stand there already.
    call, number, mode : str
        As in the name of the case.
    """

    job: Job
    old: bool
    call: str
    number: str
    mode: str

    def __str__(self) -> str:
        state = "old" if self.old else "none"
        return f"{self.job.name}/{state}/{self.call}/{self.number}/{self.mode}"

    @property
    def fault(self) -> Fault | None:
        """What strikes its calls; None if it is disturbed in another way."""
        if self.call in _SHARES:
            return None
        number = int(self.number.rstrip("+"))
        return Fault(self.call, number, self.mode, onwards=self.number.endswith("+"))

    @property
    def share(self) -> float:
        """Of the time or the room."""
        return float(self.number)

    @property
    def kind(self) -> str:
        """What the table has a line for."""
        if self.call in _SHARES:
            return {
                "moment": "killed at a moment",
                "program": "program killed at a moment",
                "limit": "files limited",
                "disk": "disk full",
            }[self.call]
        if self.mode in _SOURCE:
            return "source changed while read"
        if "kill" in self.mode:
            return "killed at a call"
        if self.call == "lock":
            return "no locks"
        if self.call in ("any", "change", "read-source", "look", "read"):
            return "share gone, reads failing"
        return f"{self.call} failing"


@dataclass(frozen=True)
class Undisturbed:
    """What a job did when nobody disturbed it.

    Parameters
    ----------
    counts : mapping of str to int
        Calls.
    """

    counts: Mapping[str, int]


def parse_case(text: str) -> Case:
    """Return the case of a name; raises ValueError."""
    job, state, call, number, mode = text.split("/")
    if job not in JOBS or state not in ("old", "none"):
        raise ValueError(text)
    float(number.rstrip("+"))
    return Case(JOBS[job], state == "old", call, number, mode)


def kill_cases(
    baseline: Mapping[tuple[str, bool], Undisturbed],
    number: int,
    seed: int,
    *,
    programs: bool = True,
) -> list[Case]:
    """Return kills at random: two fifths by the clock, two by calls, one of whole programs.

    Programs take some seconds each to start; without them the clock has three fifths.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    settings = cycle(baseline)
    whole = cycle([(name, old) for name in _PROGRAMS for old in (True, False)])
    cases = []
    for i in range(number):
        if programs and i % 5 == 4:
            name, old = next(whole)
            cases.append(Case(JOBS[name], old, "program", f"{chance.random():.3f}", "kill"))
            continue
        name, old = next(settings)
        if i % 5 not in (2, 3):
            share = f"{chance.random():.3f}"
            cases.append(Case(JOBS[name], old, "moment", share, "kill"))
        else:
            call = str(chance.randint(1, baseline[name, old].counts["any"]))
            mode = chance.choice(("kill", "killed"))
            cases.append(Case(JOBS[name], old, "any", call, mode))
    return cases


def fault_cases(
    baseline: Mapping[tuple[str, bool], Undisturbed], most: int | None, seed: int
) -> list[Case]:
    """Return all faults, or so many of them: from each job and call in turn.

    Parameters
    ----------
    baseline : mapping
        Calls of each job, by its name and whether its files stood there.
    most : int or None
    seed : int
    """
    chance = random.Random(seed + 1)  # noqa: S311
    piles = []
    for (name, old), undisturbed in baseline.items():
        job = JOBS[name]
        for call, count in sorted(undisturbed.counts.items()):
            pile = list(_faults_of_call(job, call, count, old=old, chance=chance))
            piles.append(pile)
        piles.append([Case(job, old, "limit", f"{share}", "EFBIG") for share in (0, 0.3, 0.99)])
        piles.append([Case(job, old, "disk", f"{share}", "full") for share in (0.05, 0.5, 0.9)])
    if most is None:
        return [case for pile in piles for case in pile]
    for pile in piles:
        chance.shuffle(pile)
    chance.shuffle(piles)
    cases: list[Case] = []
    while len(cases) < most and any(piles):
        cases += [pile.pop() for pile in piles if pile][: most - len(cases)]
    return cases


def _faults_of_call(
    job: Job, call: str, count: int, *, old: bool, chance: random.Random
) -> Iterator[Case]:
    """Yield the faults of one kind of call: at all of them, or at the ends and at some between."""
    numbers = list(range(1, count + 1))
    if count > 10:
        numbers = [1, 2, 3, count - 2, count - 1, count, *chance.sample(numbers[3:-3], 4)]
    of_source = [n for n in numbers if job.inputs]
    if call == "any":
        for number, mode in zip(numbers, cycle(_SHARE_GONE), strict=False):
            yield Case(job, old, call, f"{number}+", mode)
        for number, mode in zip(of_source * 2, cycle(_SOURCE), strict=False):
            yield Case(job, old, call, str(number), mode)
    elif call == "change":
        for number, mode in zip(numbers, cycle(_SHARE_GONE), strict=False):
            yield Case(job, old, call, f"{number}+", mode)
    elif call == "read-source":
        for number, mode in zip(of_source, cycle(_SHARE_GONE), strict=False):
            yield Case(job, old, call, f"{number}+", mode)
            yield Case(job, old, call, str(number), mode)
    else:
        errors = cycle(_ERRORS[call])
        for number in numbers:
            yield Case(job, old, call, str(number), next(errors))
            if call in CHANGES:
                yield Case(job, old, call, f"{number}+", next(errors))
                yield Case(job, old, call, str(number), "kill")
                yield Case(job, old, call, str(number), "killed")
            if call == "lock":
                yield Case(job, old, call, f"{number}+", "ENOLCK")
            if call == "write":
                yield from (Case(job, old, call, str(number), mode) for mode in _WRITES)
