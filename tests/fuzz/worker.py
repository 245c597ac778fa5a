"""The process that reads garbage: takes the IDs of cases on its input, prints what came of each.

It may crash, hang or eat memory; `runner` starts it anew and says so.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import sys
import traceback
import warnings
from pathlib import Path

from maxrf_core import MaxrfError

from .bases import SECRET, write_outside
from .cases import Case, case_from_id
from .kinds import write_case
from .reading import steps_of

__all__ = ["main", "run_case"]

_ESCAPED = Path("/tmp/maxrf-fuzz-escaped")  # noqa: S108 - what a spoilt name would write
_LONGEST = 4000  # letters of a message that a person may be asked to read


def run_case(case: Case, bases: Path, folder: Path) -> dict[str, str]:
    """Make a case in a folder of its own, read it, and return what came of it.

    Returns
    -------
    outcome : dict
        `outcome` ("works", "our error" or "finding"), `step`, `what`, and `where` of a finding.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path, rng = write_case(case, bases, folder)
    around = sorted(each.name for each in folder.parent.iterdir())
    ours: dict[str, str] = {}
    steps = steps_of(case.kind, path, rng)
    try:
        for name, action in steps:
            _say(name)
            try:
                seen = repr(action())
            except MaxrfError as error:
                ours = ours or {"outcome": "our error", "step": name, "what": str(error)}
                if fault := _badly_told(str(error)):
                    return _finding(name, fault, str(error))
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                return _finding(name, type(error).__name__, _where(error), str(error))
            else:
                if case.kind == "crono" and (SECRET in seen or "54242" in seen):
                    return _finding(name, "shows another folder's file", seen[:200])
    finally:
        steps.close()
        gc.collect()
    if _ESCAPED.exists() or sorted(each.name for each in folder.parent.iterdir()) != around:
        return _finding("", "wrote outside of its folder", "")
    return ours or {"outcome": "works", "step": "", "what": ""}


def _badly_told(message: str) -> str:
    if not message.replace("\n", "").isprintable() or not message:
        return "message not printable"
    return "message too long" if len(message) > _LONGEST else ""


def _finding(step: str, what: str, where: str, said: str = "") -> dict[str, str]:
    return {"outcome": "finding", "step": step, "what": what, "where": where, "said": said[:300]}


def _where(error: BaseException) -> str:
    """Return the innermost places of our packages that an exception came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/maxrf_core/" in f.filename or "/dashboard/" in f.filename]
    return " < ".join(
        f"{Path(f.filename).stem}:{f.lineno}" for f in reversed(ours[-3:] or frames[-2:])
    )


def _say(step: str) -> None:
    """Tell the runner how far it is, which a crash would leave unsaid."""
    sys.stdout.write(json.dumps({"at": step}) + "\n")
    sys.stdout.flush()


def main(bases: str, folder: str) -> None:
    """Run the cases whose IDs come, a line each, until no more come."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "w")
    sys.stdout = out
    write_outside(Path(folder).parent / "outside")
    gc.freeze()  # what is loaded now need not be looked through after each case
    _say("ready")
    for line in sys.stdin:
        result = run_case(case_from_id(line.strip()), Path(bases), Path(folder))
        out.write(json.dumps(result) + "\n")
        out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
