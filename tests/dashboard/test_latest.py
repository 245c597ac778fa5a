"""Gestures that come faster than they can be drawn, against a real server session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import panel as pn
import pytest
from visitor import Session, served, until

from dashboard import latest
from dashboard.latest import Latest, Paced, Settled


class Bench:
    """A `Latest` whose computation can be held up.

    Computing returns the state as it was when the computation began.
    """

    def __init__(self) -> None:
        self.state = 0
        self.computed: list[int] = []
        self.shown: list[int] = []
        self.failed: list[Exception] = []
        self.threads: set[int] = set()
        self.began = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.faults: dict[int, Exception] = {}
        self.latest = Latest(self._compute, self.shown.append, self.failed.append)

    def _compute(self) -> int:
        self.threads.add(threading.get_ident())
        state = self.state
        self.computed.append(state)
        self.began.set()
        assert self.gate.wait(20)
        if state in self.faults:
            raise self.faults[state]
        return state

    def want(self, state: int) -> None:
        """Ask for a state, as a gesture does."""
        self.state = state
        self.latest.request()


def in_session(scenario: Callable[[Bench, Session], Awaitable[None]]) -> Bench:
    """Play a scenario of a visitor's session, and return what happened."""
    bench = Bench()

    async def play() -> None:
        async with served(pn.Row) as session:
            await scenario(bench, session)

    asyncio.run(play())
    return bench


def test_outside_a_session_a_result_is_shown_at_once() -> None:
    """In a notebook the next line of a cell sees the new map."""
    bench = Bench()
    bench.want(3)
    assert bench.shown == [3]
    bench.want(4)
    assert bench.shown == [3, 4]
    assert bench.threads == {threading.get_ident()}


def test_outside_a_session_a_failure_is_handed_on_and_forgotten() -> None:
    """The exception goes to `fail`, nothing is shown for it, and the next request works."""
    bench = Bench()
    bench.faults[1] = KeyError("what happened")
    bench.want(1)
    bench.want(2)
    assert bench.failed == [bench.faults[1]]
    assert bench.shown == [2]


def test_requests_in_one_moment_are_one_computation() -> None:
    """A drag sends both edges of a window; the state in between is nobody's."""

    async def scenario(bench: Bench, session: Session) -> None:
        for state in (1, 2, 3):
            await session.do(lambda state=state: bench.want(state))
        await until(lambda: bench.shown)

    assert in_session(scenario).computed == [3]


def test_requests_during_a_computation_are_one_more_with_the_newest_state() -> None:
    """Twenty mouse moves while a map is computed cost one map, not twenty."""

    async def scenario(bench: Bench, session: Session) -> None:
        bench.gate.clear()
        await session.do(lambda: bench.want(1))
        await until(bench.began.is_set)
        for state in range(2, 22):
            await session.do(lambda state=state: bench.want(state))
        bench.gate.set()
        await until(lambda: 21 in bench.shown)

    bench = in_session(scenario)
    assert bench.computed == [1, 21]
    assert bench.shown == [1, 21]


def test_a_request_after_the_end_computes_again() -> None:
    """The loop that served the last one is over, and a new one starts."""

    async def scenario(bench: Bench, session: Session) -> None:
        for state in (1, 2):
            await session.do(lambda state=state: bench.want(state))
            await until(lambda state=state: bench.shown[-1:] == [state])
            await until(lambda: not bench.latest._running)

    assert in_session(scenario).shown == [1, 2]


def test_the_server_goes_on_while_one_visitor_computes() -> None:
    """The computation runs in another thread, without the document's lock."""

    async def scenario(bench: Bench, session: Session) -> None:
        bench.gate.clear()
        await session.do(lambda: bench.want(1))
        await until(bench.began.is_set)
        answered = await asyncio.wait_for(session.do(lambda: "answered"), 20)
        assert answered == "answered"
        assert bench.shown == []
        bench.gate.set()
        await until(lambda: bench.shown)

    assert threading.get_ident() not in in_session(scenario).threads


def test_results_are_shown_on_the_servers_thread_with_the_lock() -> None:
    """Models are changed there and then only; Bokeh refuses a change without the lock."""
    seen: list[tuple[int, bool, bool]] = []

    async def scenario(bench: Bench, session: Session) -> None:
        def show(_result: int) -> None:
            locked = session.server._pending_writes is not None
            seen.append((threading.get_ident(), locked, pn.state.curdoc is session.document))
            session.document.title = "changed"

        latest = Latest(bench._compute, show, bench.failed.append)
        await session.do(latest.request)
        await until(lambda: seen)

    bench = in_session(scenario)
    assert seen == [(threading.get_ident(), True, True)]
    assert bench.failed == []


def test_a_failing_computation_does_not_end_the_answers() -> None:
    """`fail` is told, and the next gesture is served; so is one that came meanwhile."""

    async def scenario(bench: Bench, session: Session) -> None:
        bench.faults |= {1: ValueError("one"), 3: ValueError("three")}
        bench.gate.clear()
        await session.do(lambda: bench.want(1))
        await until(bench.began.is_set)
        await session.do(lambda: bench.want(2))
        bench.gate.set()
        await until(lambda: bench.shown == [2])
        await until(lambda: not bench.latest._running)
        await session.do(lambda: bench.want(3))
        await until(lambda: len(bench.failed) == 2)
        await session.do(lambda: bench.want(4))
        await until(lambda: bench.shown == [2, 4])

    bench = in_session(scenario)
    assert bench.failed == [bench.faults[1], bench.faults[3]]


def test_a_drawing_that_fails_does_not_end_the_answers(caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, not lost, and the next result is drawn."""
    shown: list[int] = []

    async def scenario(bench: Bench, session: Session) -> None:
        def show(result: int) -> None:
            if result == 1:
                raise ValueError("cannot draw")
            shown.append(result)

        bench.latest = Latest(bench._compute, show, bench.failed.append)
        await session.do(lambda: bench.want(1))
        await until(lambda: bench.computed == [1] and not bench.latest._running)
        await session.do(lambda: bench.want(2))
        await until(lambda: shown == [2])

    in_session(scenario)
    assert "cannot draw" in caplog.text


def test_a_visitor_who_leaves_during_a_computation_leaves_nothing_running() -> None:
    """Else each such page keeps a task that waits for ever, and with it the views."""

    async def scenario(bench: Bench, session: Session) -> None:
        others = asyncio.all_tasks()
        bench.gate.clear()
        await session.do(lambda: bench.want(1))
        await until(bench.began.is_set)
        await session.leave()
        bench.gate.set()
        await until(lambda: asyncio.all_tasks() <= others)

    assert in_session(scenario).shown == []


# --- what waits -----------------------------------------------------------------------------


def test_a_result_waits_until_there_is_room_for_it() -> None:
    """And the newest one follows: what came meanwhile is dropped."""

    async def scenario(bench: Bench, session: Session) -> None:
        room = asyncio.Event()
        asked: list[object] = []

        async def ready(document: object) -> None:
            asked.append(document)
            await room.wait()

        bench.latest = Latest(bench._compute, bench.shown.append, bench.failed.append, ready=ready)
        await session.do(lambda: bench.want(1))
        await until(lambda: asked)
        for state in range(2, 12):
            await session.do(lambda state=state: bench.want(state))
        assert bench.shown == []
        room.set()
        await until(lambda: 11 in bench.shown)
        assert set(asked) == {session.document}

    assert in_session(scenario).shown == [1, 11]


def test_settled_acts_once_when_requests_have_ceased() -> None:
    """A drag of a second is one act, after its end."""
    acts: list[bool] = []

    async def scenario(_bench: Bench, session: Session) -> None:
        settled = Settled(lambda: acts.append(pn.state.curdoc is session.document), 40)
        for _ in range(30):
            await session.do(settled.request)
            await asyncio.sleep(0.002)
        assert acts == []
        await until(lambda: acts)
        await session.do(settled.request)
        await until(lambda: len(acts) == 2)

    in_session(scenario)
    assert acts == [True, True]


def test_settled_acts_at_once_outside_a_session() -> None:
    """In a notebook the next line of a cell sees what was done."""
    acts: list[int] = []
    Settled(lambda: acts.append(1), 10_000).request()
    assert acts == [1]


def test_paced_acts_once_for_requests_in_one_message() -> None:
    """Both edges of a dragged window come one after the other; it is one window."""
    acts: list[bool] = []

    async def scenario(_bench: Bench, session: Session) -> None:
        paced = Paced(lambda: acts.append(pn.state.curdoc is session.document))

        def both_edges() -> None:
            paced.request()
            paced.request()

        for number in (1, 2):
            await session.do(both_edges)
            assert len(acts) < number
            await until(lambda number=number: len(acts) == number)

    in_session(scenario)
    assert acts == [True, True]


@pytest.mark.parametrize(("late_s", "wait_ms"), [(0.0, 0), (0.02, 40), (30.0, 250)])
def test_paced_collects_the_longer_the_later_the_server_was(
    late_s: float, wait_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is busy with others, twenty gestures a second of each would queue for seconds."""
    clock = iter([100.0, 100.0 + late_s, 200.0, 200.0 + wait_ms / 1000])
    monkeypatch.setattr(latest, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    waits: list[int] = []

    async def scenario(_bench: Bench, session: Session) -> None:
        acts: list[int] = []
        paced, add = Paced(lambda: acts.append(1)), session.document.add_timeout_callback

        def note(callback: Callable[[], None], milliseconds: int) -> object:
            waits.append(milliseconds)
            return add(callback, milliseconds)

        monkeypatch.setattr(session.document, "add_timeout_callback", note)
        for number in (1, 2):
            await session.do(paced.request)
            await until(lambda number=number: len(acts) == number)

    in_session(scenario)
    assert waits == [0, wait_ms]


def test_paced_acts_at_once_outside_a_session() -> None:
    """In a notebook the next line of a cell sees what was done."""
    acts: list[int] = []
    Paced(lambda: acts.append(1)).request()
    assert acts == [1]


def test_nothing_is_left_of_a_page_that_closes_before_it_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bokeh drops what a closed session had in mind: who waits for it would wait for ever."""
    monkeypatch.setattr(latest, "_CLOSED_S", 0.01)

    async def scenario(bench: Bench, session: Session) -> None:
        document, others = session.document, asyncio.all_tasks()
        add = document.add_next_tick_callback

        def close_before_the_tick(callback: Callable[[], object]) -> object:
            added = add(callback)
            session.server.destroy()
            return added

        await session.do(lambda: bench.want(1))
        monkeypatch.setattr(document, "add_next_tick_callback", close_before_the_tick)
        await until(lambda: session.server.destroyed)
        await until(lambda: asyncio.all_tasks() <= others)
        assert bench.shown == []

    in_session(scenario)
