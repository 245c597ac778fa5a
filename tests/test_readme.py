"""The README's commands and programs are run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from maxrf_core import cli, simulate_crono
from maxrf_core.arguments import build_parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
PROGRAMS = [text for kind, text in BLOCKS if kind == "python"]
SERVING = ("maxrf serve", "panel serve")
ELSEWHERE = ("pip install", "dask ")  # for other machines, and other extras than the tests'

JOB_QUEUE = """
from distributed import LocalCluster

class SLURMCluster(LocalCluster):
    def __init__(self, cores, processes, memory, walltime):
        super().__init__(n_workers=0, processes=False, dashboard_address=None)

    def scale(self, jobs):
        super().scale(2)
"""
"""Stands for dask_jobqueue, which needs a queue: its workers are threads here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scan, as the README supposes it."""
    place = tmp_path_factory.mktemp("readme")
    simulate_crono(place / "scan.HDF5", shape=(40, 25), seed=1)
    return place


def run(command: list[str], folder: Path) -> None:
    """Run a program of this environment; it must succeed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        input="a password that is asked for\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_first_two_commands_are_complete_from_a_clone() -> None:
    """Each sets up by itself; CI looks for the second by its end."""
    first, second = COMMANDS[:2]
    assert first.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert first.endswith(" . && .venv/bin/maxrf demo")
    assert second.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert second.endswith(' ".[test]" && .venv/bin/python -m pytest -n 2')
    assert r"\.venv/bin/python -m pytest -n 2$' README.md" in (ROOT / ".ci" / "run").read_text()


def test_commands_run_as_they_stand(folder: Path) -> None:
    """In the order of the page, on a scan of the name that they use."""
    ran = 0
    for line in COMMANDS[2:]:
        if not (line.startswith((*SERVING, *ELSEWHERE)) or "--scheduler" in line):
            # The harnesses are those of the clone.
            run(shlex.split(line), ROOT if "tests." in line else folder)
            ran += 1
    assert ran >= 4
    assert (folder / "scan.zipstore").is_file()


def test_commands_for_a_cluster_are_understood() -> None:
    """The extras exist, dask knows its commands, and the conversion its option."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = re.findall(r'^pip install "\.\[(\w+)\]"$', "\n".join(COMMANDS), flags=re.MULTILINE)
    assert set(wanted) == {"cluster", "remote"}
    assert set(wanted) < set(project["optional-dependencies"])
    lines = [shlex.split(line, comments=True) for line in COMMANDS if line.startswith("dask ")]
    assert [line[1] for line in lines] == ["scheduler", "worker"]
    for line in lines:
        run([*line[:2], "--help"], ROOT)
    (convert,) = [shlex.split(line)[1:] for line in COMMANDS if "--scheduler" in line]
    assert build_parser(cli._COMMANDS).parse_args(convert).scheduler == lines[1][2]


def test_serving_commands_are_understood(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their options exist; the servers themselves run in the tests of the page."""
    monkeypatch.chdir(folder)
    (folder / "scans").mkdir()
    (folder / "scans" / "scan.zipstore").write_bytes((folder / "scan.zipstore").read_bytes())
    lines = [line for line in COMMANDS if line.startswith("maxrf serve")]
    assert len(lines) >= 2
    for line in lines:
        arguments = build_parser(cli._COMMANDS).parse_args(shlex.split(line)[1:])
        assert [str(path) for path in arguments.paths] == [shlex.split(line)[2]]
        assert "dashboard.server" in cli.panel_command(arguments, ROOT / "dashboard")


def test_programs_run_as_they_stand(folder: Path) -> None:
    """The Python of the README, block after block, in one interpreter."""
    (folder / "dask_jobqueue.py").write_text(JOB_QUEUE, encoding="utf-8")
    (folder / "shared.HDF5").write_bytes((folder / "scan.HDF5").read_bytes())
    program = "\n".join(PROGRAMS).replace("/shared/scan.HDF5", "shared.HDF5")
    (folder / "program.py").write_text(program, encoding="utf-8")
    run([sys.executable, "program.py"], folder)
    assert (folder / "shared.zipstore").is_file()
