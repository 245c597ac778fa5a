"""Garbage ends in a sentence: the short form of ``python -m tests.fuzz``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="memory and time are watched through /proc"
)


@pytest.fixture(scope="module")
def fuzz():
    """Return the modules of the harness by name, importable as when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        names = ("bases", "cases", "kinds", "runner")
        yield {name: import_module(f"tests.fuzz.{name}") for name in names}


@pytest.fixture(scope="module")
def bases(fuzz, tmp_path_factory):
    """Return the folder of the whole files."""
    folder = tmp_path_factory.mktemp("fuzz") / "bases"
    fuzz["bases"].write_bases(folder)
    return folder


def run(fuzz, bases, cases):
    """Return the results of cases that are no success."""
    results = fuzz["runner"].run_cases(cases, bases, bases.parent / "work")
    assert len(results) == len(cases)
    return results


def test_whole_files_work(fuzz, bases):
    """What is spoilt has to be whole to begin with, or each error would be for the wrong reason."""
    kinds = fuzz["kinds"].KINDS
    cases = [
        fuzz["cases"].Case(kind, 0, -1 - number)
        for kind, about in kinds.items()
        for number in range(len(about.names))
    ]
    assert [str(one) for one in run(fuzz, bases, cases) if one.outcome != "works"] == []


def test_spoilt_files_work_or_end_in_a_sentence(fuzz, bases):
    """Three hundred of them, the same on every run; the long form has any number."""
    cases = fuzz["kinds"].cases_of_a_run(300, 0, list(fuzz["kinds"].KINDS))
    results = run(fuzz, bases, cases)
    assert [str(one) for one in results if one.outcome == "finding"] == []
    outcomes = [one.outcome for one in results]
    assert outcomes.count("works") > 30
    assert outcomes.count("our error") > 30


def test_what_goes_wrong_is_found(fuzz, bases, monkeypatch, tmp_path):
    """A harness that finds nothing has to show that it can: a crash, a hang, an exception."""
    runner, cases = fuzz["runner"], fuzz["cases"]
    monkeypatch.setattr(runner, "CASE_SECONDS", 4.0)
    monkeypatch.setattr(runner, "MOST_BYTES", 2**28)
    worker = tmp_path / "tests" / "fuzz" / "worker.py"
    worker.parent.mkdir(parents=True)
    (worker.parent / "__init__.py").touch()  # else another one on Python's path goes before it
    worker.write_text(
        "import os, sys, time, json\n"
        "print(json.dumps({'at': 'ready'}), flush=True)\n"
        "for line in sys.stdin:\n"
        "    number = line.strip().rpartition(':')[2]\n"
        "    print(json.dumps({'at': 'step'}), flush=True)\n"
        "    if number == '1':\n"
        "        os.kill(os.getpid(), 11)\n"
        "    if number == '2':\n"
        "        time.sleep(60)\n"
        "    if number == '3':\n"
        "        kept = b'x' * 2**29\n"
        "        time.sleep(60)\n"
        "    print(json.dumps({'outcome': 'works'}), flush=True)\n"
    )
    monkeypatch.setattr(runner, "_ROOT", tmp_path)
    asked = [cases.Case("view", 0, number) for number in range(4)]
    results = runner.run_cases(asked, bases, tmp_path / "work", workers=1)
    assert [(one.outcome, one.what.split(",")[0]) for one in results] == [
        ("works", ""),
        ("finding", "crash"),
        ("finding", "hang"),
        ("finding", "memory over 0.25 GiB"),
    ]
