"""Work on several threads: results, errors and threads that are busy or gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core.parallel import in_parallel, thread_count


@given(n=st.integers(0, 40), threads=st.integers(1, 4))
def test_results_come_in_the_order_of_the_items(n, threads):
    """Blocks of rows are stacked as they come back."""
    assert in_parallel(lambda i: i * i, range(n), threads=threads) == [i * i for i in range(n)]


def test_as_many_threads_work_as_are_asked_for():
    """Two threads meet inside the function: neither could pass the barrier alone."""
    barrier = threading.Barrier(2, timeout=60)
    assert sorted(in_parallel(lambda _: barrier.wait(), range(2), threads=2)) == [0, 1]


def test_one_thread_is_the_callers_own():
    """Whoever asks for one thread gets no helper."""
    names = in_parallel(lambda _: threading.current_thread(), range(5), threads=1)
    assert set(names) == {threading.current_thread()}


def test_the_caller_does_not_wait_for_busy_helpers():
    """A visitor's map does not queue behind another visitor's work."""
    release, begun = threading.Event(), threading.Semaphore(0)

    def hold(_):
        begun.release()
        assert release.wait(60)

    with ThreadPoolExecutor(1) as other:
        busy = other.submit(in_parallel, hold, range(2), threads=2)
        for _ in range(2):  # the other caller and the only helper
            assert begun.acquire(timeout=60)
        assert in_parallel(str, range(9), threads=2) == [str(i) for i in range(9)]
        release.set()
        busy.result()


def test_a_function_may_itself_work_in_parallel():
    """Helpers that wait for helpers would never end."""

    def inner(i):
        return sum(in_parallel(lambda j: i * j, range(4), threads=2))

    assert in_parallel(inner, range(6), threads=2) == [6 * i for i in range(6)]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("bad", [0, 3, 7])
def test_an_error_reaches_the_caller(threads, bad):
    """Whoever worked on the item."""

    def work(i):
        if i == bad:
            raise LookupError(i)

    with pytest.raises(LookupError, match=str(bad)):
        in_parallel(work, range(8), threads=threads)


def test_after_an_error_nothing_runs_any_more():
    """The arrays written to may be let go of then."""
    begun, failed, ended = threading.Event(), threading.Event(), threading.Event()

    def work(i):
        if i == 0:
            assert begun.wait(60)
            failed.set()
            raise LookupError
        begun.set()
        assert failed.wait(60)
        sum(range(10**6))
        ended.set()

    with pytest.raises(LookupError):
        in_parallel(work, range(2), threads=2)
    assert ended.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_works_without_its_parents_threads():
    """`panel serve --num-procs` forks servers from one process."""
    script = """
import os
from maxrf_core.parallel import in_parallel
assert in_parallel(abs, range(-8, 0), threads=3) == [8, 7, 6, 5, 4, 3, 2, 1]
child = os.fork()
if child == 0:
    os._exit(0 if in_parallel(abs, range(-3, 0), threads=3) == [3, 2, 1] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)


def test_a_process_uses_no_more_cores_than_it_may():
    """A batch job on a large machine is often given a few cores of it."""
    assert 1 <= thread_count() <= os.cpu_count()
