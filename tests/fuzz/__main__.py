"""Feed garbage to the readers: ``python -m tests.fuzz``.

Each case is a whole file with seeded damage, read in a process that is watched. What comes of it
has to be "works" or one sentence of ours; all else is a finding, listed with how to repeat it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from .bases import write_bases
from .cases import case_from_id
from .kinds import KINDS, cases_of_a_run
from .runner import Result, run_cases

_OUTCOMES = ("works", "our error", "contained", "finding")
_SHOWN = 5


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--cases", type=int, default=5000, help="how many (%(default)s)")
    add("--seed", type=int, default=0, help="of the run (%(default)s)")
    add("--kind", action="append", choices=KINDS, help="only this kind; may be given again")
    add("--case", action="append", metavar="ID", help="only this one, such as zipstore:0:17")
    add("--folder", type=Path, help="where files are made, and stay (a temporary folder)")
    add("--workers", type=int, default=2, help="processes side by side (%(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the cases, print a table and the findings, return 1 if there are any."""
    asked = parse(arguments)
    cases = (
        [case_from_id(name) for name in asked.case]
        if asked.case
        else cases_of_a_run(asked.cases, asked.seed, asked.kind or list(KINDS))
    )
    began, counted = time.monotonic(), Counter()

    def tell(result: Result) -> None:
        counted[result.outcome] += 1
        if result.outcome == "finding":
            say(f"{result.case.name}: {result.what} in {result.step} at {result.where}")
        done = sum(counted.values())
        if done % 500 == 0 and not asked.case:
            seconds = time.monotonic() - began
            say(f"{done} of {len(cases)} cases, {counted['finding']} findings, {seconds:.0f} s")

    with tempfile.TemporaryDirectory(prefix="maxrf-fuzz-") as temporary:
        folder = (asked.folder or Path(temporary)).resolve()
        bases = folder / "bases"
        if not bases.exists():
            write_bases(bases)
        workers = min(asked.workers, len(cases))
        results = run_cases(cases, bases, folder, workers=workers, tell=tell)
    if asked.case:
        for result in results:
            say(str(result))
    say(table(results, time.monotonic() - began))
    found = [result for result in results if result.outcome == "finding"]
    say(*listed(found))
    return 1 if found else 0


def say(*lines: str) -> None:
    """Print lines at once, also into a pipe."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def table(results: Sequence[Result], seconds: float) -> str:
    """Return how many cases of each kind had which outcome."""
    counted = Counter((result.case.kind, result.outcome) for result in results)
    lines = [f"{'kind':12}" + "".join(f"{outcome:>12}" for outcome in _OUTCOMES) + f"{'all':>12}"]
    for kind in (*KINDS, "all"):
        numbers = [
            sum(n for (k, o), n in counted.items() if o == outcome and kind in (k, "all"))
            for outcome in _OUTCOMES
        ]
        if sum(numbers):
            lines.append(f"{kind:12}" + "".join(f"{n:12,}" for n in (*numbers, sum(numbers))))
    slowest = max(results, key=lambda result: result.seconds)
    largest = max(results, key=lambda result: result.peak)
    lines.append(
        f"{len(results):,} cases in {seconds:.0f} s; slowest {slowest.case.name} with "
        f"{slowest.seconds:.1f} s; largest {largest.case.name} with {largest.peak / 2**20:.0f} MiB"
    )
    if again := [result.case.name for result in results if result.is_repeated]:
        lines.append(
            f"HDF5 crashed after others at {', '.join(again)}, which were read again alone"
        )
    return "\n".join(lines)


def listed(found: Sequence[Result]) -> list[str]:
    """Return findings that are alike together, with how to repeat some of each."""
    alike: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in found:
        alike[result.step, result.what, result.where].append(result)
    lines = []
    for (step, what, where), group in sorted(alike.items(), key=lambda item: -len(item[1])):
        lines.append(f"{len(group)} x {what} in {step or '?'} at {where or '?'}: {group[0].said}")
        names = " ".join(f"--case {result.case.name}" for result in group[:_SHOWN])
        lines.append(f"    python -m tests.fuzz {names}")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
