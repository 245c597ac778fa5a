"""The server as `maxrf serve` starts it: a real one, asked over HTTP."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import pytest
import tornado.httpclient
import tornado.ioloop
import tornado.websocket
from bokeh.util.token import generate_jwt_token, generate_session_id

import dashboard
from dashboard.data import SharedScan
from dashboard.doors import PageHandler
from dashboard.login import Attempts
from maxrf_core.users import keep_user

Result = TypeVar("Result")
MOST = 5
PASSWORD = "correct horse"  # noqa: S105 - of nobody


class Lab:
    """A server in a process of its own, and what it wrote to its log."""

    def __init__(self, log: Path, *arguments: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        folder = str(Path(dashboard.__file__).parent)
        command = [sys.executable, "-m", "dashboard.server", folder, "--port", str(self.port)]
        command += ["--address", "127.0.0.1", "--json-log", *arguments]
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(command, stdout=stream, stderr=stream)
        deadline = time.monotonic() + 120
        while True:
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                assert self.get("/healthz").status == 200
            except OSError:
                time.sleep(0.2)
            else:
                return

    def get(self, path: str, method: str = "GET", body: str = "", **headers: str) -> Answer:
        """Ask, without following anywhere; names of headers have underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        if body:
            named["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body or None, named)
        answer = connection.getresponse()
        made = Answer(answer.status, answer.headers, answer.read().decode("utf-8", "replace"))
        connection.close()
        return made

    def post(self, path: str, **fields: str) -> Answer:
        """Send a form."""
        return self.get(path, "POST", urllib.parse.urlencode(fields))

    def metric(self, name: str) -> float:
        """Return a number of /metrics."""
        (found,) = re.findall(
            rf"^{re.escape(name)} (\S+)$", self.get("/metrics").text, re.MULTILINE
        )
        return float(found)

    def log(self) -> list[dict[str, object]]:
        """Return the lines of its log."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line[:1] == "{"]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


class Answer:
    """What a server answered."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, text: str) -> None:
        self.status, self.headers, self.text = status, headers, text

    @property
    def cookie(self) -> str:
        """The cookies that it sets, as a browser sends them back."""
        set_now = self.headers.get_all("Set-Cookie") or []
        return "; ".join(one.partition(";")[0] for one in set_now)

    @property
    def token(self) -> str:
        """The key to the page's session."""
        (found,) = re.findall(r'"token":"([^"]+)"', self.text)
        return found


@pytest.fixture(scope="module")
def lab(shared: SharedScan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server that anybody may look at."""
    log = tmp_path_factory.mktemp("lab") / "log"
    running = Lab(log, "--max-visits", str(MOST), "--args", str(shared.scan.filename))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def closed(shared: SharedScan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server that asks who comes: anna, an owner, and bert."""
    folder = tmp_path_factory.mktemp("closed")
    keep_user(folder / "users.json", "anna", PASSWORD, role="owner")
    keep_user(folder / "users.json", "bert", f"{PASSWORD}!")
    users = ("--users", str(folder / "users.json"))
    running = Lab(folder / "log", *users, "--args", str(shared.scan.filename))
    yield running
    running.stop()


def payload_of(token: str) -> str:
    """Return all that a page's key tells whoever reads it."""
    told = base64.urlsafe_b64decode(token.partition(".")[0] + "===").decode("utf-8", "replace")
    packed = json.loads(told).get("__bk__zlib_")
    return told + (
        zlib.decompress(base64.urlsafe_b64decode(packed + "===")).decode() if packed else ""
    )


# --- headers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/dashboard", "/healthz", "/metrics", "/static/js/bokeh.min.js", "/nowhere", "/"]
)
def test_every_answer_tells_browsers_to_be_careful(lab: Lab, path: str) -> None:
    """Errors and files as well as pages."""
    headers = lab.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Server"] is None


def test_only_scripts_of_the_page_may_run(lab: Lab) -> None:
    """Each has the number of this answer, which nobody can know before."""
    numbers = set()
    for _ in range(2):
        page = lab.get("/dashboard")
        policy = page.headers["Content-Security-Policy"]
        (scripts,) = re.findall(r"script-src ([^;]+)", policy)
        assert "'unsafe-inline'" not in scripts
        (number,) = re.findall(r"'nonce-([\w-]{20,})'", scripts)
        tags = re.findall(r"<script\b[^>]*>", page.text)
        assert len(tags) > 5
        assert all(tag.startswith(f'<script nonce="{number}"') for tag in tags)
        assert "http" not in policy
        numbers.add(number)
    assert len(numbers) == 2


def test_a_page_has_no_cookies_and_headers_in_it(lab: Lab) -> None:
    """Its scripts could read what the browser hides from them."""
    page = lab.get("/dashboard", Cookie="user=secret-cookie", Authorization="secret-word")
    told = payload_of(page.token)
    assert "session_id" in told
    assert "secret" not in told
    assert "secret" not in page.text


# --- what is not there --------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/dashboard/autoload.js?bokeh-autoload-element=1",
        "/dashboard/metadata",
        "/rest/session_info",
        "/liveness",
        "/static/../main.py",
        "/static/%2e%2e/%2e%2e/settings.py",
        "/static//etc/passwd",
        "/static/js/../../../settings.py",
        "/static/extensions/panel/../../../../bokeh/settings.py",
        "/dashboard/static/../main.py",
        "/dashboard/main.py",
        "/dashboard/../../etc/passwd",
        "/login",
        "/.git/config",
    ],
)
def test_other_doors_are_shut(lab: Lab, path: str) -> None:
    """What Panel would answer, and what is no page of ours."""
    answer = lab.get(path)
    assert answer.status in (403, 404)
    assert "def " not in answer.text
    assert "root:" not in answer.text


def run(play: Callable[[], Awaitable[Result]]) -> Result:
    """Run what talks to sockets."""
    return tornado.ioloop.IOLoop(make_current=False).run_sync(play, timeout=120)


async def socket_of(
    lab: Lab, token: str, origin: str | None = None
) -> tornado.websocket.WebSocketClientConnection | None:
    """Open a page's socket; return it if the server says hello."""
    asked = tornado.httpclient.HTTPRequest(
        f"ws://127.0.0.1:{lab.port}/dashboard/ws",
        headers={"Origin": origin or f"http://127.0.0.1:{lab.port}"},
    )
    try:
        made = await tornado.websocket.websocket_connect(asked, subprotocols=["bokeh", token])
    except tornado.httpclient.HTTPError:
        return None
    if await made.read_message() is not None:
        return made
    made.close()
    return None


async def leave(made: tornado.websocket.WebSocketClientConnection) -> None:
    """Close a page's socket, and hear out what was under way."""
    made.close()
    while await made.read_message() is not None:
        pass


def opened(lab: Lab, token: str, origin: str | None = None) -> bool:
    """Return whether a page's socket opens."""

    async def play() -> bool:
        made = await socket_of(lab, token, origin)
        if made is not None:
            await leave(made)
        return made is not None

    return run(play)


def pulled(lab: Lab, token: str) -> str:
    """Return what a browser gets for a page's key: its document as JSON."""

    async def play() -> str:
        made = await socket_of(lab, token)
        for part in ({"msgid": "1", "msgtype": "PULL-DOC-REQ"}, {}, {}):
            await made.write_message(json.dumps(part))
        while '"PULL-DOC-REPLY"' not in str(await made.read_message()):
            pass
        await made.read_message()
        document = await made.read_message()
        await leave(made)
        return str(document)

    return run(play)


def test_a_page_opens_with_its_own_key_only(lab: Lab) -> None:
    """And only in a browser that has the page from here."""
    token = lab.get("/dashboard").token
    assert opened(lab, token)
    assert not opened(lab, token, "http://example.org")
    assert not opened(lab, generate_jwt_token(generate_session_id()))
    forged = generate_jwt_token(generate_session_id(b"k", True), b"k", True)
    assert not opened(lab, forged)
    assert not opened(lab, token[:-4] + "AAAA")
    assert not opened(lab, "nonsense")


# --- who may change something -----------------------------------------------------------------


@pytest.fixture(scope="module")
def unconverted(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server of a scan that is not converted; others reach it by a name."""
    folder = tmp_path_factory.mktemp("unconverted")
    shutil.copy(data_folder / "crono-12x9.HDF5", folder / "scan.HDF5")
    origins = ("--allow-websocket-origin", "lab", "--allow-websocket-origin")
    running = Lab(folder / "log", *origins, "localhost", "--args", str(folder))
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({}, True),
        ({"Host": "localhost:80"}, True),
        ({"Host": "lab"}, False),
        ({"X_Forwarded_For": "10.0.0.1"}, False),
        ({"X_Real_IP": "127.0.0.1"}, False),
        ({"Via": "1.1 nginx"}, False),
    ],
)
def test_converting_is_for_who_sits_at_the_computer(
    unconverted: Lab, headers: dict[str, str], may: bool
) -> None:
    """The page keeps no headers of its request, but who asked was looked at."""
    page = pulled(unconverted, unconverted.get("/dashboard", **headers).token)
    assert "not converted yet" in page
    assert ("own computer can change anything" in page) is not may


# --- how it is ----------------------------------------------------------------------------


def test_health_is_for_everybody_and_tells_nothing(lab: Lab, closed: Lab) -> None:
    """Whoever restarts a server that hangs has no password."""
    for server in (lab, closed):
        assert json.loads(server.get("/healthz", X_Forwarded_For="10.0.0.1").text) == {
            "status": "ok"
        }


def test_metrics_are_for_this_computer(lab: Lab) -> None:
    """They tell how many visit."""
    before = lab.metric("maxrf_visits_total")
    while lab.get("/dashboard").status == 503:
        time.sleep(1)  # pages of other tests are still being waited for
    assert lab.metric("maxrf_visits_total") == before + 1
    assert lab.metric('maxrf_visits_now{state="waiting"}') >= 1
    assert lab.metric("maxrf_open_scans") == 1
    assert lab.metric("maxrf_cache_bytes") > 0
    assert "maxrf_answer_seconds_bucket" in lab.get("/metrics").text
    for header in ({"X_Forwarded_For": "10.0.0.1"}, {"Host": "lab:80"}, {"X_Real_IP": "10.0.0.1"}):
        assert lab.get("/metrics", **header).status == 403


def test_a_full_server_says_so(lab: Lab) -> None:
    """With a page for people and a status for programs; who is there is not disturbed."""

    async def play() -> Answer:
        there = []
        while len(there) < MOST:
            page = await asyncio.to_thread(lab.get, "/dashboard")
            if page.status != 503:
                there.append(await socket_of(lab, page.token))
            elif there:
                break
            else:  # pages of other tests are still being waited for
                await asyncio.sleep(1)
        assert all(there)
        full = await asyncio.to_thread(lab.get, "/dashboard")
        for one in there:
            assert one.close_code is None
            await leave(one)
        return full

    full = run(play)
    assert full.status == 503
    assert "Many visitors are here" in full.text
    assert f"{MOST} pages" in full.text
    assert int(full.headers["Retry-After"]) > 0
    assert lab.metric('maxrf_refused_total{why="full"}') >= 1
    assert lab.get("/healthz").status == 200


class Kept:
    """A page that a server keeps."""

    def __init__(self, connections: int, left_ms: float) -> None:
        self.connection_count, self.milliseconds_since_last_unsubscribe = connections, left_ms
        self.gone = False

    def request_expiration(self) -> None:
        """Give it up."""
        self.gone = True


@pytest.mark.parametrize(
    ("kept", "is_full", "gone"),
    [
        ([(1, 9e9)] * 4, False, 0),
        ([(1, 9e9)] * 5, True, 0),
        ([(1, 9e9)] * 4 + [(0, 1e3)], True, 0),
        ([(1, 9e9)] * 4 + [(0, 4e4)], False, 1),
        ([(1, 9e9)] * 2 + [(0, 4e4)] * 9, False, 9),
    ],
)
def test_who_left_makes_room(kept: list[tuple[int, float]], is_full: bool, gone: int) -> None:
    """A page is kept for a laptop that slept, as long as nobody else needs its place."""
    sessions = [Kept(*one) for one in kept]
    door = object.__new__(PageHandler)
    door.application_context = SimpleNamespace(sessions=sessions)
    door.most_visits = 5
    assert door._is_full is is_full
    assert sum(one.gone for one in sessions) == gone


def test_the_log_is_a_line_an_event_and_knows_nobody(lab: Lab) -> None:
    """No address, no cookie, no query; a visit has a name that opens nothing."""
    lab.get("/dashboard?scan=typed-by-a-person", Cookie="user=secret-cookie")
    lab.get("/static/not-there")
    lines = lab.log()
    events = {line["event"] for line in lines}
    assert {"scan shown", "request refused"} <= events
    (visits,) = [{line.get("visit") for line in lines if line["event"] == "scan shown"}]
    assert all(re.fullmatch(r"[0-9a-f]{8}", str(visit)) for visit in visits)
    text = json.dumps(lines)
    for personal in ("(127.0.0.1)", "secret", "typed-by-a-person", "Cookie"):
        assert personal not in text
    refused = next(line for line in lines if line["event"] == "request refused")
    assert {"time", "level", "status", "path"} <= refused.keys()


# --- logging in ---------------------------------------------------------------------------


def log_in(server: Lab, name: str, password: str, path: str = "/login?next=%2Fdashboard") -> Answer:
    return server.post(path, username=name, password=password)


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard?scan=x", "/"])
def test_nobody_sees_a_scan_without_logging_in(closed: Lab, path: str) -> None:
    """They are sent to the form."""
    answer = closed.get(path)
    assert answer.status == 302
    assert answer.headers["Location"].startswith("./login?next=")


@pytest.mark.parametrize("cookie", ["user=anna", 'user="2|1:0|10:1|4:user|8:YW5uYQ==|0123"', "x=1"])
def test_made_up_cookies_open_nothing(closed: Lab, cookie: str) -> None:
    """They are signed."""
    assert closed.get("/dashboard", Cookie=cookie).status == 302
    assert closed.get("/metrics", X_Forwarded_For="1.1.1.1", Cookie=cookie).status == 403


def test_the_form_asks_nothing_from_elsewhere(closed: Lab) -> None:
    """Panel's own has a picture of another site."""
    form = closed.get("/login?next=%2Fdashboard%3Fscan%3D%22%3E%3Cscript%3E")
    assert form.status == 200
    assert "<script" not in form.text.replace("&lt;script", "")
    assert not re.findall(r'(?:src|href)="?(?:https?:)?//', form.text)
    assert "script-src" in form.headers["Content-Security-Policy"]


def test_a_password_opens_the_page(closed: Lab) -> None:
    """The cookie is no script's, and goes to this site only."""
    answer = log_in(closed, "bert", f"{PASSWORD}!")
    assert answer.status == 302
    assert answer.headers["Location"] == "/dashboard"
    (kept,) = answer.headers.get_all("Set-Cookie")
    assert "HttpOnly" in kept
    assert "SameSite=Lax" in kept
    page = closed.get("/dashboard", Cookie=answer.cookie)
    assert page.status == 200
    assert "bert" not in payload_of(page.token).replace('"user"', "") or "bert" not in page.text
    assert opened(closed, page.token) is False  # the socket asks for the cookie, too


@pytest.mark.parametrize(
    ("name", "password"),
    [("bert", PASSWORD), ("anna", ""), ("carl", PASSWORD), ("", ""), ("anna", PASSWORD + " ")],
)
def test_a_wrong_password_does_not(closed: Lab, name: str, password: str) -> None:
    """And nobody is told which of the two was wrong."""
    answer = log_in(closed, name, password)
    assert answer.status in (401, 429)
    assert answer.cookie == ""
    if answer.status == 401:
        assert "Name or password are wrong." in answer.text


@pytest.mark.parametrize("place", ["https://example.org", "//example.org", "/\\example.org"])
def test_logging_in_leads_nowhere_else(closed: Lab, place: str) -> None:
    """A link to the form may come from anybody."""
    answer = log_in(closed, "anna", PASSWORD, f"/login?next={urllib.parse.quote(place, safe='')}")
    assert answer.status == 400
    assert answer.cookie == ""


def test_a_form_of_another_site_logs_nobody_in(closed: Lab) -> None:
    """Else it could log a visitor in as somebody whom it knows."""
    form = urllib.parse.urlencode({"username": "anna", "password": PASSWORD})
    answer = closed.get("/login", "POST", form, Sec_Fetch_Site="cross-site")
    assert answer.status == 403
    assert answer.cookie == ""


def test_logging_out(closed: Lab) -> None:
    """The cookie is taken back."""
    answer = closed.get("/logout", Cookie=log_in(closed, "anna", PASSWORD).cookie)
    assert answer.status == 302
    assert answer.headers["Location"].endswith("/login")
    assert any(one.startswith('user=""') for one in answer.headers.get_all("Set-Cookie"))


def test_the_log_tells_of_logins_without_names(closed: Lab) -> None:
    """Who came when is nobody's business."""
    log_in(closed, "anna", PASSWORD)
    log_in(closed, "carl", "guessed-word")
    lines = closed.log()
    assert {"logged in", "login refused"} <= {line["event"] for line in lines}
    assert [line for line in lines if line["level"] == "error"] == []
    text = json.dumps(lines)
    assert all(word not in text for word in ("anna", "carl", "guessed-word", PASSWORD))


def test_guessing_gets_slower() -> None:
    """From the fourth attempt on; who knows the password after all starts afresh."""
    now = 0.0
    attempts = Attempts(lambda: now)
    waits = []
    for _ in range(12):
        waits.append(attempts.wait_s("anna"))
        attempts.failed("anna")
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert attempts.wait_s("bert") == 0
    now = 59.5
    assert attempts.wait_s("anna") == pytest.approx(0.5)
    attempts.succeeded("anna")
    assert attempts.wait_s("anna") == 0
