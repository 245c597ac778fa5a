"""What the server lets in and out: headers, the pages of a full server, who is asking.

Panel's handlers of a page and of its socket are replaced by ours; those that would put the page
into others, or tell of it without being asked for it, are taken away.
"""

from __future__ import annotations

import logging
import re
import secrets
from typing import Any

import bokeh.server.tornado as bokeh_tornado
from bokeh.server.contexts import ApplicationContext
from bokeh.util.token import get_session_id
from panel.io.server import DocHandler, WSHandler
from tornado.web import HTTPError, RequestHandler, authenticated

from .logs import log_event
from .metrics import REFUSED, VISITS
from .rights import came_from_elsewhere, is_here

__all__ = ["DEFAULT_MOST_VISITS", "close_doors", "sessions_of", "with_policy"]

logger = logging.getLogger(__name__)

DEFAULT_MOST_VISITS = 100

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

_POLICY = {
    "default-src": "'none'",
    # Bokeh compiles the scripts of its models with Function; Panel loads components from blobs.
    "script-src": "'self' 'nonce-NONCE' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self' blob: data:",
    "worker-src": "'self' blob:",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}

_SCRIPT = re.compile(r"<script\b", re.IGNORECASE)

_JUST_LEFT_MS = 30_000
"""How long a page without a browser counts as visited: it is being loaded, or loaded again."""

_FULL = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>MA-XRF: many visitors</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="20">
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34em; margin: 15vh auto;
padding: 0 1em; color: #222; background: #fff }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #181818 }} }}</style></head>
<body><h1>Many visitors are here</h1>
<p>This server shows its scans to {most} pages at once, and all are taken. This page looks again
every 20 seconds, and opens as soon as somebody leaves.</p></body></html>
"""


def with_policy(handler: RequestHandler, page: str) -> str:
    """Return a page whose own scripts may run, and no others; its answer gets the policy.

    Parameters
    ----------
    handler : RequestHandler
        What answers.
    page : str
        The HTML. Nothing that came from a file is in it as a script: Bokeh's documents are
        JSON, whose tags are escaped.
    """
    nonce = secrets.token_urlsafe(16)
    handler.set_header(
        "Content-Security-Policy",
        "; ".join(f"{name} {sources}" for name, sources in _POLICY.items()).replace("NONCE", nonce),
    )
    # The module loader that Panel uses takes the nonce of a script for those that it makes.
    return _SCRIPT.sub(f'<script nonce="{nonce}"', page)


def sessions_of(context: ApplicationContext) -> tuple[int, int]:
    """Return the pages open in a browser, and those kept for one that left or loads."""
    sessions = list(context.sessions)
    connected = sum(session.connection_count > 0 for session in sessions)
    return connected, len(sessions) - connected


class _Door:
    """What the handlers of a page and of its socket have in common."""

    most_visits = DEFAULT_MOST_VISITS

    application: Any
    application_context: ApplicationContext
    request: Any
    current_user: Any

    def _introduce(self) -> None:
        """Write onto the request what is known of who asks: `rights` sees none of its headers."""
        self.request.maxrf_is_here = is_here(self.request)
        self.request.maxrf_user = self.current_user

    @property
    def _is_full(self) -> bool:
        """Whether no more pages are kept; those left longest ago are given up for others."""
        sessions = list(self.application_context.sessions)
        if len(sessions) < self.most_visits:
            return False
        for session in sessions:
            if session.connection_count == 0 and _is_left(session):
                session.request_expiration()
        present = [one for one in sessions if one.connection_count > 0 or not _is_left(one)]
        return len(present) >= self.most_visits


def _is_left(session: Any) -> bool:
    return session.milliseconds_since_last_unsubscribe > _JUST_LEFT_MS


class PageHandler(_Door, DocHandler):
    """The page: introduced, counted, and with a policy that names its own scripts."""

    @authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Send the page, or another that says why not."""
        self._introduce()
        if self._is_full:
            REFUSED.labels("full").inc()
            log_event("page refused", why="full")
            self.set_status(503)
            self.set_header("Retry-After", "20")
            self.write(_FULL.format(most=self.most_visits))
            return
        VISITS.inc()
        await super().get(*args, **kwargs)

    def write(self, chunk: Any) -> None:
        """Send a page with its policy."""
        super().write(with_policy(self, chunk) if isinstance(chunk, str) else chunk)


class SocketHandler(_Door, WSHandler):
    """The page's socket: opens only what the page was given, and no page of a full server."""

    async def prepare(self) -> None:
        await super().prepare()
        if self._finished:
            return
        self._introduce()
        if not self.request.maxrf_is_here:
            # What a server in front hid of who asked for the page, the browser tells here.
            for session in self._own_sessions:
                came_from_elsewhere(session.document)
        if self._is_full and not self._own_sessions:
            REFUSED.labels("full").inc()
            self.set_status(503)
            self.finish()

    @property
    def _own_sessions(self) -> list[Any]:
        """The session that the page was given, if this process has it."""
        names = self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        asked = {_session_id(name.strip()) for name in names}
        return [one for one in self.application_context.sessions if one.id in asked]


def _session_id(token: str) -> str | None:
    try:
        return get_session_id(token)
    except (ValueError, KeyError, TypeError):  # the protocol's own name, or no token at all
        return None


def close_doors(most_visits: int) -> None:
    """Replace Panel's handlers by ours, and give each answer its headers, in this process."""
    _Door.most_visits = most_visits
    bokeh_tornado.per_app_patterns[:] = [(r"/ws", SocketHandler), (r"/?", PageHandler)]

    def set_default_headers(handler: RequestHandler) -> None:
        handler.clear_header("Server")
        for name, text in _HEADERS.items():
            handler.set_header(name, text)

    def log_exception(handler: RequestHandler, _type: Any, error: Any, _traceback: Any) -> None:
        """Log a request that failed, without address and query; of a refused one `logs` tells."""
        if not isinstance(error, HTTPError):
            logger.error("%s failed", handler.request.path, exc_info=error)

    RequestHandler.set_default_headers = set_default_headers
    RequestHandler.log_exception = log_exception
