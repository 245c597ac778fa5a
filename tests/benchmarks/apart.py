"""A call in a process of its own: what it returns, its seconds, and the memory it took.

Only the standard library is imported here, so that another interpreter can run it as well.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["Apart", "ApartError", "answer", "apart"]

ROOT = Path(__file__).parents[2]

STARTER = "from tests.benchmarks.apart import answer; answer()"


class ApartError(Exception):
    """The other process failed; the message is the end of what it said."""


@dataclass(frozen=True)
class Apart:
    """What became of a call.

    Attributes
    ----------
    value : object
        What it returned.
    seconds : float
        Of the call alone: the process had started and imported before.
    peak : int
        Highest resident memory of the process in bytes, imports included.
    """

    value: Any
    seconds: float
    peak: int


def apart(
    target: str,
    *arguments: Any,
    python: str | Path = sys.executable,
    prelude: str = "",
    **options: Any,
) -> Apart:
    """Call a function in a process of its own.

    Parameters
    ----------
    target : str
        ``module:function``.
    *arguments, **options
        What to call it with; like its result, ready for JSON.
    python : path, optional
        Another interpreter.
    prelude : str, optional
        Program text to run there first.

    Raises
    ------
    ApartError
        If it fails.
    """
    program = f"{prelude}\n{STARTER}"
    done = subprocess.run(
        [python, "-c", program, target, json.dumps(arguments), json.dumps(options)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-3:]
        raise ApartError("\n".join([f"{target} ended with status {done.returncode}:", *said]))
    return Apart(*json.loads(done.stdout.splitlines()[-1]))


def answer() -> None:
    """Be the other process: call what the command line names and print what became of it."""
    target, arguments, options = sys.argv[1:]
    module, name = target.split(":")
    with contextlib.redirect_stdout(sys.stderr):
        function = getattr(import_module(module), name)
        positional, named = json.loads(arguments), json.loads(options)
        start = time.perf_counter()
        value = function(*positional, **named)
        seconds = time.perf_counter() - start
    print(json.dumps([value, seconds, _peak()]))


def _peak() -> int:
    """Return the highest resident memory of this process in bytes.

    Linux counts in `ru_maxrss` what the process that started this one held at that moment
    (kernel/exec.c: exec_mmap), which is why its own account is asked first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource  # Windows has none, and tells no such number

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
