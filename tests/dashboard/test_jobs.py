"""Conversions in processes of their own: real ones, and programs that misbehave."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard import jobs
from dashboard.jobs import Job, job_for, start_job
from maxrf_core import open_scan, simulate_crono

Program = Callable[[str], None]

FOREVER = "signal.pause()"


@pytest.fixture(autouse=True)
def _own_jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start with no jobs, and end what a failing test left running."""
    started: list[Job] = []
    start = Job.__init__

    def remember(job: Job, arguments: list[str]) -> None:
        started.append(job)
        start(job, arguments)

    monkeypatch.setattr(Job, "__init__", remember)
    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(jobs, "_AT_ONCE", threading.BoundedSemaphore(1))
    yield
    for job in started:
        job.cancel()
        job.wait(5)
        if job._thread.is_alive():
            job._process.kill()
            job.wait(20)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Return a function that puts a few lines of Python in the place of ``maxrf``."""
    if sys.platform == "win32":
        pytest.skip("a script with a first line that names its program runs on POSIX only")

    def replace(code: str) -> None:
        script = tmp_path / "fake-python"
        script.write_text(f"#!{interpreter} -S\nimport json, os, signal, sys\n{code}\n")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    interpreter = sys.executable
    return replace


def soon(condition: Callable[[], object]) -> None:
    """Wait until something that another process does has happened."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        threading.Event().wait(0.005)


def names(folder: Path) -> list[str]:
    """Return all that lies in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


# --- the real program -----------------------------------------------------------------------


def test_a_scan_is_converted_and_progress_is_told(crono_file: Path, tmp_path: Path) -> None:
    """At the end the zipstore is there, whole, and nothing else was left beside the scan."""
    copy = Path(shutil.copy(crono_file, tmp_path))
    job = start_job(["convert", str(copy)])
    job.wait(60)
    assert (job.status, job.message) == ("done", "")
    assert job.is_over
    assert job.progress.stage == "cube"
    assert job.progress.fraction == 1
    assert names(tmp_path) == ["crono-12x9.HDF5", "crono-12x9.zipstore"]
    with open_scan(tmp_path / "crono-12x9.zipstore") as scan:
        assert scan.n_spectra == 259


def test_a_scan_that_cannot_be_read_fails_with_the_sentence(
    crono_file: Path, tmp_path: Path
) -> None:
    """The page shows what the command line says, without its prefix."""
    broken = tmp_path / "broken scan.HDF5"
    broken.write_bytes(crono_file.read_bytes()[:5000])
    job = start_job(["convert", str(broken)])
    job.wait(60)
    assert job.status == "failed"
    assert "broken scan.HDF5" in job.message
    assert "maxrf:" not in job.message
    assert "Traceback" not in job.message
    assert names(tmp_path) == ["broken scan.HDF5"]


def test_a_cancelled_conversion_leaves_nothing(tmp_path: Path) -> None:
    """In the middle of the work: neither a zipstore nor a part of one."""
    simulate_crono(tmp_path / "scan.HDF5", shape=(60, 50), seed=1)
    job = start_job(["convert", str(tmp_path / "scan.HDF5")])
    soon(lambda: job.progress or job.is_over)
    job.cancel()
    job.wait(60)
    assert job.status == "cancelled"
    assert names(tmp_path) == ["scan.HDF5"]


# --- sharing --------------------------------------------------------------------------------


def test_two_starts_share_a_running_job(program: Program) -> None:
    """A second visitor who presses the button joins the first one's conversion."""
    program(FOREVER)
    assert job_for(["convert", "a"]) is None
    job = start_job(["convert", "a"])
    assert start_job(("convert", "a")) is job
    assert job_for(["convert", "a"]) is job
    assert start_job(["convert", "b"]) is not job


def test_a_running_job_is_shared_whatever_its_options(program: Program, tmp_path: Path) -> None:
    """Two of them would write the same zipstore; the options reach the program."""
    told = tmp_path / "told"
    program(f"open({str(told)!r}, 'w').write(' '.join(sys.argv[-6:]) + '!')\n" + FOREVER)
    job = start_job(["convert", "a"], ["--calibration", "-1", "0.5"])
    assert start_job(["convert", "a"]) is job
    assert start_job(["convert", "a"], ["--calibration", "0", "0.5"]) is job
    assert job_for(["convert", "a"]) is job
    soon(lambda: told.is_file() and told.read_text().endswith("!"))
    assert told.read_text() == "a --calibration -1 0.5 --progress json!"


@pytest.mark.parametrize("code", ["", "sys.exit(1)"], ids=["done", "failed"])
def test_a_job_that_is_over_is_not_shared(program: Program, code: str) -> None:
    """Pressing the button again tries again."""
    program(code)
    job = start_job(["convert", "a"])
    job.wait(20)
    assert job.is_over
    assert job_for(["convert", "a"]) is job
    again = start_job(["convert", "a"])
    assert again is not job
    assert job_for(["convert", "a"]) is again


def test_one_conversion_runs_at_a_time(program: Program) -> None:
    """Each uses all cores; the next waits, and says so."""
    program('print(json.dumps({"stage": "cube", "done": 1, "total": 4}), flush=True)\n' + FOREVER)
    first = start_job(["convert", "a"])
    soon(lambda: first.progress)
    second = start_job(["convert", "b"])
    assert (first.status, second.status) == ("running", "waiting")
    assert first.progress.fraction == 0.25
    assert second.progress is None
    assert not second.is_over
    first.cancel()
    soon(lambda: second.progress)
    assert (first.status, second.status) == ("cancelled", "running")


# --- cancelling -----------------------------------------------------------------------------


def test_a_waiting_job_can_be_cancelled_at_once(program: Program) -> None:
    """It has nothing to clean up; its visitor does not wait for another one's conversion."""
    program('print(json.dumps({"stage": "cube", "done": 0, "total": 4}), flush=True)\n' + FOREVER)
    first = start_job(["convert", "a"])
    soon(lambda: first.progress)
    second = start_job(["convert", "b"])
    second.cancel()
    second.wait(2)
    assert second.status == "cancelled"
    assert first.status == "running"


def test_a_job_can_be_cancelled_while_its_process_starts(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the decision to start and the process being known there are milliseconds."""
    program(FOREVER)
    start = subprocess.Popen
    jobs_made: list[Job] = []
    known = threading.Event()
    processes: list[subprocess.Popen] = []

    def cancelled_meanwhile(*args: object, **options: object) -> subprocess.Popen:
        assert known.wait(20)
        processes.append(start(*args, **options))
        jobs_made[0].cancel()
        return processes[0]

    monkeypatch.setattr(jobs.subprocess, "Popen", cancelled_meanwhile)
    jobs_made.append(start_job(["convert", "a"]))
    known.set()
    jobs_made[0].wait(3)
    assert jobs_made[0].status == "cancelled"
    assert processes[0].poll() is not None


def test_a_job_that_was_done_before_it_heard_of_the_cancel_is_done(program: Program) -> None:
    """Its zipstore is there: the page must not say that nothing was left behind."""
    program(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        'print(json.dumps({"stage": "cube", "done": 3, "total": 4}), flush=True)\n'
        "while not os.path.exists(sys.argv[-3]): pass\n"
        'print(json.dumps({"result": "a.zipstore"}))'
    )
    go = Path(sys.executable).with_name("go")
    job = start_job([str(go)])
    soon(lambda: job.progress)
    job.cancel()
    go.touch()
    job.wait(20)
    assert job.status == "done"


def test_cancelling_what_is_over_changes_nothing(program: Program) -> None:
    """The button may be pressed as the last chunk is written."""
    program("")
    job = start_job(["convert", "a"])
    job.wait(20)
    job.cancel()
    assert job.status == "done"


# --- programs that misbehave ----------------------------------------------------------------


def test_a_crash_is_a_failure_with_a_sentence(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """HDF5 can take its process down; the log has what it said, the visitor a sentence."""
    program('sys.stderr.write("corrupted double-linked list\\n")\nos.abort()')
    job = start_job(["convert", "a"])
    job.wait(20)
    assert job.status == "failed"
    assert "The conversion ended unexpectedly (code -6)" in job.message
    assert "corrupted double-linked list" in caplog.text


def test_lines_that_are_not_progress_are_passed_over(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    """A library prints what it likes: text, or what happens to be JSON."""
    program(
        'for line in ("Deprecated!", "", "5", "[1, 2]", "null", \'"error"\', "{}", "NaN"):\n'
        "    print(line)\n"
        'print(json.dumps({"stage": "spectra", "done": 2, "total": 8}))'
    )
    job = start_job(["convert", "a"])
    job.wait(20)
    assert job.status == "done"
    assert job.progress.fraction == 0.25
    assert "Deprecated!" in caplog.text


def test_a_flood_of_complaints_does_not_stop_it(program: Program) -> None:
    """More than a pipe holds, before the first progress."""
    program('sys.stderr.write("warning\\n" * 100_000)\nsys.stderr.flush()')
    job = start_job(["convert", "a"])
    job.wait(20)
    assert job.status == "done"


def test_a_program_that_cannot_be_started_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No memory for a process: the card must not say "waiting" for ever."""

    def refuse(*_args: object, **_options: object) -> subprocess.Popen:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(jobs.subprocess, "Popen", refuse)
    job = start_job(["convert", "a"])
    job.wait(20)
    assert job.status == "failed"
    assert job.message
    monkeypatch.undo()


def test_complaints_in_another_encoding_do_not_end_the_job(program: Program) -> None:
    """Libraries write to a pipe of Windows in the system's encoding, which is no UTF-8."""
    program(
        'os.write(2, b"Datei nicht gef\\xfcnden\\n" * 20_000)\n'
        'print(json.dumps({"result": "done"}))'
    )
    job = start_job(["convert", "in another encoding"])
    job.wait(20)
    assert (job.status, job.message) == ("done", "")
