"""The short form of ``python -m tests.crash``: some sixty kills and faults, always the same."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has neither SIGKILL nor fork", allow_module_level=True)

from tests.crash.cases import fault_cases, kill_cases
from tests.crash.harness import Harness

KILLS, FAULTS, SEED = 16, 48, 4


def test_kills_and_faults_lose_nothing(tmp_path):
    """The old file as it was or the new one whole, one sentence, and no leftovers in the end."""
    failed = {}
    with Harness(tmp_path / "crash") as harness:
        harness.prepare()
        cases = kill_cases(harness.baseline, KILLS, SEED, programs=False)
        cases += fault_cases(harness.baseline, FAULTS, SEED)
        for case in cases:
            if (case.call != "disk" or harness.mounts) and (faults := harness.run(case)):
                failed[f"python -m tests.crash --case {case}"] = faults
    assert failed == {}
