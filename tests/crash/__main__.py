"""Kill and disturb everything that writes files: ``python -m tests.crash``.

A conversion, an import, exports, a mosaic, a simulation and what is kept beside a scan are ended
by SIGKILL at random moments and calls, and meet errors at each kind of system call, full disks,
shares that go away and sources that change. After each case the old file has to be there as it
was, or the new one whole; what else lies there has to be known as a leftover, and be gone when
the same is done again, which has to make the file of an undisturbed run, byte for byte.

Prints a table, and the command that repeats each case that did not survive. Works on Linux and
macOS; on Windows, which has neither SIGKILL nor fork, it says so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cases import Case
    from .harness import Harness


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--kills", type=int, default=200, help="kills at random moments and calls (%(default)s)")
    add("--faults", default="all", help="how many of the faults: a number, or all (%(default)s)")
    add("--seed", type=int, default=0, help="of what is drawn (%(default)s)")
    add("--folder", type=Path, help="an existing folder to work in (a temporary one)")
    add("--case", metavar="ID", help="this case alone")
    options = parser.parse_args(arguments)
    if options.faults != "all" and not options.faults.isdecimal():
        parser.error(f"--faults is {options.faults!r}, expected a number or all")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run all cases, print what became of them, and return an exit code."""
    options = parse(arguments)
    if sys.platform == "win32":
        _say("tests.crash needs SIGKILL and fork, which Windows has not; run it elsewhere.")
        return 0
    from .cases import fault_cases, kill_cases, parse_case
    from .harness import Harness

    with tempfile.TemporaryDirectory(dir=options.folder, prefix="crash-") as folder:
        harness = Harness(Path(folder))
        with harness:
            harness.prepare()
            if options.case:
                cases = [parse_case(options.case)]
            else:
                most = None if options.faults == "all" else int(options.faults)
                cases = kill_cases(harness.baseline, options.kills, options.seed)
                cases += fault_cases(harness.baseline, most, options.seed)
            return _run(harness, cases)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _run(harness: Harness, cases: Sequence[Case]) -> int:
    """Run cases and print the table; return 1 if one did not survive."""
    started = time.monotonic()
    total, survived, skipped = Counter(), Counter(), 0
    failed: list[tuple[str, list[str]]] = []
    try:
        for number, case in enumerate(cases, start=1):
            if case.call == "disk" and not harness.mounts:
                skipped += 1
                continue
            faults = harness.run(case)
            total[case.kind] += 1
            survived[case.kind] += not faults
            if faults:
                failed.append((str(case), faults))
                _say("\n  ".join([f"FAILED {case}", *faults]))
            if not number % 100:
                seconds = time.monotonic() - started
                sys.stderr.write(f"{number} of {len(cases)} cases, {seconds:.0f} s\n")
    except KeyboardInterrupt:
        _say(f"stopped after {total.total()} of {len(cases)} cases")
    _say(f"\n{'kind of case':<32}{'cases':>8}{'survived':>10}")
    for kind in sorted(total):
        _say(f"{kind:<32}{total[kind]:>8}{survived[kind]:>10}")
    _say(f"{'all':<32}{total.total():>8}{survived.total():>10}")
    _say(f"{time.monotonic() - started:.0f} s")
    if skipped:
        _say(f"{skipped} cases of a full disk were left out: no disk could be mounted here.")
    for case, _ in failed:
        _say(f"repeat: python -m tests.crash --case {case}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
