"""Who may change something: convert a scan, or keep something beside it.

Looking is for everybody whom the server lets in. Changing is for who owns the scans: in a
notebook always; at a server whoever sits at its computer, or has logged in as an owner.
"""

from __future__ import annotations

import ipaddress
import re
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import panel as pn
from bokeh.document import Document

from maxrf_core import MaxrfError

from .settings import settings

__all__ = [
    "NotAllowedError",
    "came_from_elsewhere",
    "check_may_change",
    "is_here",
    "may_change",
    "why_not",
]

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers of a request that came through another server: whoever asks is not at this computer."""


class NotAllowedError(MaxrfError):
    """The visitor may look, but not change."""


def may_change() -> bool:
    """Return whether the visitor whose page this is may convert, and keep things."""
    context = None if pn.state.curdoc is None else pn.state.curdoc.session_context
    if context is None:
        return True  # a notebook or a script: whoever runs it can do all this anyway
    decided, request = settings(), context.request
    if decided.read_only:
        return False
    if decided.everyone_may_change:
        return True
    if decided.has_login:
        return getattr(request, "maxrf_user", None) in decided.owners
    if pn.state.curdoc in _from_elsewhere:
        return False
    # Our server looks at the request itself; of Panel's own, the page has all headers.
    seen = getattr(request, "maxrf_is_here", None)
    return is_here(request) if seen is None else seen


_from_elsewhere: weakref.WeakSet[Document] = weakref.WeakSet()


def came_from_elsewhere(document: Document) -> None:
    """Note that a page is shown by a browser of another computer."""
    _from_elsewhere.add(document)


def is_here(request: Any) -> bool:
    """Return whether a request comes from a browser of the server's own computer, directly.

    Parameters
    ----------
    request : HTTPServerRequest
        With its peer's address and its headers. Of a socket, the browser tells in ``Origin``
        where it has the page from, which no server in front changes.
    """
    headers: Mapping[str, str] = {key.lower(): text for key, text in request.headers.items()}
    if headers.keys() & set(_FORWARDED):
        return False
    names = [headers.get("host", ""), getattr(request, "remote_ip", None) or ""]
    if "origin" in headers:
        names.append(urlsplit(headers["origin"]).netloc)
    return all(map(_is_loopback, names))


def _is_loopback(host: str) -> bool:
    """Return whether a name or an address, with a port or without, is the computer itself."""
    name = host if host.count(":") > 1 and "]" not in host else re.sub(r":\d*$", "", host)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def why_not() -> str:
    """Return a sentence on what the visitor may not do, and who may."""
    decided = settings()
    if decided.read_only:
        return "This server only shows scans; whoever runs it has closed it to changes."
    if decided.has_login:
        return "Only an owner of the scans can change anything; you are logged in as a reader."
    return (
        "Only whoever sits at the server's own computer can change anything. Ask them, or whoever "
        "runs the server to name owners (maxrf serve --users)."
    )


def check_may_change() -> None:
    """Raise an error unless the visitor whose page this is may change something.

    Raises
    ------
    NotAllowedError
        With a sentence on who may.
    """
    if not may_change():
        raise NotAllowedError(why_not())
