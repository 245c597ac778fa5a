"""The server's log: one line an event, with the visit it belongs to, and nothing personal.

A visit's name is a digest of its session's, which is a key to the page and stays out of the log,
as addresses, the names of users and what they typed do.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import panel as pn
from bokeh.document import Document
from tornado.web import RequestHandler

__all__ = ["log_event", "log_request", "start_logging", "visit_of"]

_EVENTS = logging.getLogger("maxrf")
_REFUSED_FROM, _FAILED_FROM = 400, 500
_FACTS = "maxrf_facts"


def visit_of(document: Document | None) -> str | None:
    """Return the name of the visit that a page belongs to; None outside a server."""
    context = None if document is None else document.session_context
    return None if context is None else hashlib.sha256(context.id.encode()).hexdigest()[:8]


def log_event(event: str, *, visit: str | None = None, **facts: Any) -> None:
    """Write a line about something that happened.

    Parameters
    ----------
    event : str
        What, in the past, such as ``scan opened``.
    visit : str, optional
        To whom; by default to the visitor whose page is at work.
    **facts
        What else there is to tell: numbers, names of scans.
    """
    _EVENTS.info(event, extra={_FACTS: facts, **({} if visit is None else {"visit": visit})})


def log_request(handler: RequestHandler) -> None:
    """Write a line about a request that failed or was refused: without address and query."""
    status = handler.get_status()
    if status < _REFUSED_FROM:
        return
    level = logging.ERROR if status >= _FAILED_FROM else logging.WARNING
    facts = {"status": status, "method": handler.request.method, "path": handler.request.path}
    logging.getLogger("maxrf.requests").log(level, "request refused", extra={_FACTS: facts})


def start_logging(*, as_json: bool) -> None:
    """Write the log to the standard error stream: as text, or as a JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if as_json else _Lines())
    handler.addFilter(_with_visit)
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.captureWarnings(True)
    _EVENTS.setLevel(logging.INFO)
    # Bokeh's own lines on connections name no visit.
    logging.getLogger("bokeh.server").setLevel(logging.WARNING)


def _with_visit(record: logging.LogRecord) -> bool:
    if not hasattr(record, "visit"):
        record.visit = visit_of(pn.state.curdoc)
    return True


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class _Lines(logging.Formatter):
    """Lines for people; a traceback follows its line."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {"visit": record.visit, **getattr(record, _FACTS, {})}
        told = "".join(
            f" {key}={_word(value)}" for key, value in facts.items() if value is not None
        )
        line = f"{_time(record)} {record.levelname} {_one_line(record.getMessage())}{told}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonLines(logging.Formatter):
    """A JSON object a line, traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            "visit": record.visit,
            "fault": getattr(record, "fault", None),
            **getattr(record, _FACTS, {}),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(
            {key: value for key, value in told.items() if value is not None}, default=str
        )


def _word(value: object) -> str:
    """Return a value so that it ends where it seems to."""
    text = _one_line(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text or not text else text


def _one_line(text: str) -> str:
    """Return a text without what would begin another line or speak to a terminal."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
