"""Addresses that Panel's server answers of itself, and that open more than this page needs.

Both are closed whichever way the server was started, ``maxrf serve`` or ``panel serve``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from panel.io.server import AutoloadJsHandler, ComponentResourceHandler
from tornado.web import HTTPError

__all__ = ["close_routes"]

_Parse = Callable[[ComponentResourceHandler, str], str]


def close_routes() -> None:
    """Close them in this process; calling it again changes nothing."""
    if not hasattr(ComponentResourceHandler.parse_url_path, "maxrf_imports_nothing"):
        ComponentResourceHandler.parse_url_path = _of_loaded_modules(
            ComponentResourceHandler.parse_url_path
        )
    AutoloadJsHandler.get = _not_here


def _of_loaded_modules(parse: _Parse) -> _Parse:
    """Return a `parse_url_path` that knows no modules but those that are loaded.

    ``/components/MODULE/CLASS/...`` names a module, and Panel 1.9 imports it: any one that Python
    finds. An import runs code, so that one request could end the server (``unittest.__main__``)
    or start a program (``antigravity``). The modules of a page's components are loaded by then.
    """

    def parse_loaded(handler: ComponentResourceHandler, path: str) -> str:
        if path.partition("/")[0] not in sys.modules:
            raise HTTPError(404, "Module not found")
        return parse(handler, path)

    parse_loaded.maxrf_imports_nothing = True
    return parse_loaded


async def _not_here(_handler: AutoloadJsHandler, *_: object, **__: object) -> None:
    """Refuse ``autoload.js``, which puts the page into others.

    Bokeh 3.9 writes the name of the element from the address into the script as it stands, and
    loads the other scripts from any server that the address names: a script of ours, which a
    content security policy lets through, that runs what somebody else wrote.
    """
    raise HTTPError(404)
