"""Who may change something, and that nobody else can, whatever their browser sends."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from visitor import served

from dashboard import conversion_card, rights
from dashboard.calibration_dialog import CalibrationDialog
from dashboard.catalogue import Entry
from dashboard.conversion_card import ConversionCard
from dashboard.data import SharedScan
from dashboard.explorer import Explorer
from dashboard.settings import Settings, configure
from dashboard.state import ViewState
from dashboard.views_dialog import ViewsDialog
from maxrf_core import open_scan
from maxrf_core.sidecar import sidecar_path

ELSEWHERE = "192.168.7.20"
POINTS: dict[str, Any] = {"points": [[0, 0.0], [300, 4.0]], "degree": 1}


@pytest.fixture(autouse=True)
def decided() -> Iterator[None]:
    """Leave the decisions of a server as they are by default."""
    yield
    configure(Settings())


@pytest.fixture
def own(shared: SharedScan, tmp_path: Path) -> Iterator[SharedScan]:
    """A scan of a folder of its own."""
    copied = shutil.copy(shared.scan.filename, tmp_path / "own.zipstore")
    with open_scan(copied) as scan:
        yield SharedScan(scan)


def request(remote_ip: str = "127.0.0.1", **headers: str) -> HTTPServerRequest:
    """Return a request; names of headers have underscores."""
    named = {"Host": "localhost:5006"} | {k.replace("_", "-"): v for k, v in headers.items()}
    line = RequestStartLine("GET", "/dashboard", "HTTP/1.1")
    made = HTTPServerRequest(start_line=line, headers=HTTPHeaders(named))
    made.remote_ip = remote_ip
    return made


@pytest.mark.parametrize("remote_ip", ["127.0.0.1", "127.0.0.9", "::1"])
@pytest.mark.parametrize("host", ["localhost:5006", "127.0.0.1", "127.0.0.1:80", "[::1]:5006"])
def test_whoever_sits_at_the_computer_is_here(remote_ip: str, host: str) -> None:
    """Under any of its names for itself."""
    assert rights.is_here(request(remote_ip, Host=host))


@pytest.mark.parametrize(
    "asked",
    [
        request(ELSEWHERE),
        request("::ffff:192.168.7.20"),
        request("2001:db8::7"),
        request(""),
        request(Host="lab-server:5006"),
        request(Host="localhost.example.org"),
        request(Host="127.0.0.1.example.org:5006"),
        request(Host=""),
        request(X_Forwarded_For="192.168.7.20"),
        request(X_Forwarded_For="127.0.0.1"),
        request(x_real_ip="127.0.0.1"),
        request(Forwarded="for=127.0.0.1"),
        request(X_FORWARDED_HOST="localhost"),
        request(Via="1.1 nginx"),
        request(Origin="https://xrf.example.org"),
        request(Origin="http://localhost.example.org:5006"),
        request(Origin="null"),
    ],
)
def test_nobody_else_is_here(asked: HTTPServerRequest) -> None:
    """Least of all who comes through another server on the same computer."""
    assert not rights.is_here(asked)


def test_a_socket_of_this_computers_browser_is_here() -> None:
    """It tells where the page is from."""
    for origin in ("http://localhost:5006", "http://127.0.0.1:5006", "http://[::1]:5006"):
        assert rights.is_here(request(Origin=origin))


@pytest.mark.parametrize(
    ("decided", "here", "elsewhere", "anna", "bert"),
    [
        (Settings(), True, False, True, True),
        (Settings(read_only=True), False, False, False, False),
        (Settings(everyone_may_change=True), True, True, True, True),
        (Settings(has_login=True, owners=frozenset({"anna"})), False, False, True, False),
        (Settings(has_login=True), False, False, False, False),
    ],
)
def test_who_may_change(
    decided: Settings, here: bool, elsewhere: bool, anna: bool, bert: bool
) -> None:
    """By what whoever started the server decided, and who asks."""
    seen: list[bool] = []

    async def ask(remote_ip: str, user: str | None) -> None:
        def build() -> Any:
            page_request = pn.state.curdoc.session_context.request
            if user is not None:
                page_request._request.maxrf_user = user
            seen.append(rights.may_change())
            return pn.Column()

        async with served(build, remote_ip=remote_ip):
            pass

    configure(decided)
    for remote_ip, user in (
        ("127.0.0.1", None),
        (ELSEWHERE, None),
        ("127.0.0.1", "anna"),
        ("127.0.0.1", "bert"),
    ):
        asyncio.run(ask(remote_ip, user))
    assert seen == [here, elsewhere, anna, bert]
    assert rights.may_change()  # in a notebook, always


def test_a_reader_cannot_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The button is grey and says why; a browser that presses it all the same gets nowhere."""
    monkeypatch.setattr(
        conversion_card, "start_job", lambda *_: pytest.fail("a conversion was started")
    )
    entry = Entry("one", tmp_path / "one.zipstore", tmp_path / "one.HDF5")

    async def play() -> None:
        def build() -> Any:
            card = ConversionCard(entry, lambda _: None)
            made.append(card)
            return card

        made: list[ConversionCard] = []
        async with served(build, remote_ip=ELSEWHERE) as session:
            (card,) = made
            assert card._start.disabled
            texts = [one.object for one in card._layout.select(pmui.Typography)]
            assert rights.why_not() in texts
            await session.do(lambda: card._begin(None))
            assert card._failure.text == rights.why_not()
            card._job = pytest.fail  # has no cancel: it is not asked for
            await session.do(lambda: card._stop(None))

    asyncio.run(play())


def test_a_reader_keeps_nothing_beside_a_scan(own: SharedScan) -> None:
    """Neither calibration nor views nor a photo, whatever is sent."""

    async def play() -> None:
        made: list[Any] = []

        def build() -> Any:
            explorer = Explorer(own)
            made.extend((explorer.calibration, explorer.saved, explorer.photo))
            return pn.Column(explorer.views(), *explorer.dialogs)

        async with served(build, remote_ip=ELSEWHERE) as session:
            calibration, views, photo = made
            await session.do(lambda: calibration._write(POINTS))
            assert calibration._wrong.text == rights.why_not()
            for message in ({"save": "mine"}, {"delete": "theirs"}):
                views.panel.said = ""
                await session.do(lambda m=message: views.panel._handle_msg(m))
                assert views.panel.said == rights.why_not()
            for press in (photo._keep, photo._forget):
                photo._wrong.text = ""
                await session.do(lambda p=press: p(None))
                assert photo._wrong.text == rights.why_not()
            assert not views.panel.may_keep or not views.dialog.open
            await session.do(lambda: views._open(None))
            assert not views.panel.may_keep
            await session.do(lambda: calibration._open(None))
            buttons = {b.label: b.disabled for b in calibration.dialog.select(pmui.Button)}
            assert buttons["Recalibrate"]
            assert buttons["Back to the file's"]

    asyncio.run(play())
    assert not sidecar_path(own.scan.filename).exists()


def test_an_owner_keeps_views_and_calibration(own: SharedScan) -> None:
    """The same messages, from the server's own computer."""

    async def play() -> None:
        made: list[Any] = []

        def build() -> Any:
            state = ViewState(window=(6.0, 6.8))
            made.extend((CalibrationDialog(own, state), ViewsDialog(own, state)))
            return pn.Column(*(one.button for one in made))

        async with served(build) as session:
            calibration, views = made
            await session.do(lambda: calibration._write(POINTS))
            assert calibration._wrong.text == ""
            await session.do(lambda: views._open(None))
            assert views.panel.may_keep

    asyncio.run(play())
    assert sidecar_path(own.scan.filename).exists()
