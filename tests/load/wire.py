"""A page without a browser: Bokeh's protocol over a websocket, and no more of it than is asked for.

What is received is kept as it was sent, so that fifty of these need little of a processor.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

__all__ = ["LostError", "Model", "Page", "array_of"]

_LARGEST = 2**28  # bytes of a message: the first is a whole page
_PATIENCE_S = 60.0
_PLOT_PIXELS = {"inner_width": 560, "inner_height": 340}


class LostError(RuntimeError):
    """The server did not answer as it should have."""


@dataclass
class Model:
    """A model of the document: what it is, and its attributes as they came."""

    kind: str
    attributes: dict[str, Any] = field(default_factory=dict)


Heard = Callable[[float, set[tuple[str, str]]], None]
"""Is told when a patch had come, by `time.perf_counter`, and what it changed: model, attribute."""


class Page:
    """A visitor's page.

    Parameters
    ----------
    port : int
        Where the server listens, on this machine.
    heard : callable
        Is told of each patch that came.

    Attributes
    ----------
    models : dict of str to Model
        The document, by the models' ids.
    """

    def __init__(self, port: int, heard: Heard) -> None:
        self._port, self._heard = port, heard
        self._socket: WebSocketClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._number = 0
        self._ready = asyncio.Event()
        self.models: dict[str, Model] = {}

    async def open(self, scan: str) -> float:
        """Open the page of a scan as a browser does; return the seconds until it was there."""
        start = time.perf_counter()
        address = f"127.0.0.1:{self._port}/dashboard"
        answer = await AsyncHTTPClient().fetch(
            f"http://{address}?scan={scan}",
            connect_timeout=_PATIENCE_S,
            request_timeout=_PATIENCE_S,
        )
        token = re.search(r'"token":"([^"]+)"', answer.body.decode())
        if token is None:
            raise LostError("the page has no token")
        request = HTTPRequest(
            f"ws://{address}/ws?scan={scan}",
            headers={"Origin": f"http://127.0.0.1:{self._port}"},
            connect_timeout=_PATIENCE_S,
        )
        self._socket = await websocket_connect(
            request, subprotocols=["bokeh", token[1]], max_message_size=_LARGEST
        )
        await asyncio.wait_for(self._until("ACK"), _PATIENCE_S)
        self._send("PULL-DOC-REQ", {})
        # What comes before the document, a browser leaves aside, too.
        await asyncio.wait_for(self._until("PULL-DOC-REPLY"), _PATIENCE_S)
        self._reading = asyncio.ensure_future(self._read())
        self._send("PATCH-DOC", {"events": [_event("document_ready")]})
        self._lay_out()
        return time.perf_counter() - start

    def _lay_out(self) -> None:
        for key, _ in self.find("Figure"):
            self.change(key, **_PLOT_PIXELS)

    async def leave(self) -> None:
        """Close the page."""
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError, LostError):
                await self._reading
        if self._socket is not None:
            self._socket.close()

    @property
    def complaint(self) -> str:
        """Why nothing more will come; empty while the connection stands."""
        if self._reading is None or not self._reading.done() or self._reading.cancelled():
            return ""
        return repr(self._reading.exception())

    # --- what it has ----------------------------------------------------------------------

    def find(self, kind: str, **attributes: Any) -> Iterator[tuple[str, Model]]:
        """Yield the models of a kind that have these attributes, with their ids."""
        for key, model in list(self.models.items()):
            if model.kind == kind and attributes.items() <= _plain(model.attributes).items():
                yield key, model

    # --- what it does ---------------------------------------------------------------------

    def change(self, model: str, **attributes: Any) -> None:
        """Change attributes of a model in one message, as a gesture does."""
        events = [
            {"kind": "ModelChanged", "model": {"id": model}, "attr": name, "new": value}
            for name, value in attributes.items()
        ]
        self.models[model].attributes.update(attributes)
        self._send("PATCH-DOC", {"events": events})

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        self._number += 1
        header = {"msgid": f"visitor-{self._number}", "msgtype": kind}
        for part in (header, {}, content):
            self._socket.write_message(json.dumps(part))  # in order; fails if it is closed

    # --- what comes -----------------------------------------------------------------------

    async def _until(self, kind: str) -> None:
        while await self._receive() != kind:
            pass

    async def _read(self) -> None:
        while True:
            await self._receive()

    async def _part(self) -> Any:
        part = await self._socket.read_message()
        if part is None:
            raise LostError(f"the server closed the connection ({self._socket.close_reason})")
        return part

    async def _receive(self) -> str:
        """Take one message; return its type."""
        header = json.loads(await self._part())
        await self._part()
        content = json.loads(await self._part())
        buffers = {}
        for _ in range(header.get("num_buffers", 0)):
            key = json.loads(await self._part())["id"]
            buffers[key] = await self._part()
        now, kind = time.perf_counter(), header["msgtype"]
        if kind == "ERROR":
            raise LostError(f"the server answered with an error: {content.get('text')}")
        if kind == "PULL-DOC-REPLY" or (kind == "PATCH-DOC" and self.models):
            self._learn(content, buffers)
            changed = {
                change for event in content.get("events", ()) for change in self._apply(event)
            }
            self._tell_painted(changed)
            self._heard(now, changed)
        return kind

    def _learn(self, node: Any, buffers: dict[str, bytes]) -> None:
        """Note the models in what came, and put the bytes in their places."""
        if isinstance(node, list):
            for one in node:
                self._learn(one, buffers)
        elif isinstance(node, dict):
            if node.get("type") == "object" and "id" in node:
                self.models[node["id"]] = Model(node["name"], node.get("attributes", {}))
            elif node.get("type") == "bytes" and isinstance(node["data"], dict):
                node["data"] = buffers[node["data"]["id"]]
                return
            for one in node.values():
                self._learn(one, buffers)

    def _apply(self, event: dict[str, Any]) -> Iterator[tuple[str, str]]:
        key = event.get("model", {}).get("id")
        if key not in self.models:
            return
        attributes = self.models[key].attributes
        if event["kind"] == "ModelChanged":
            attributes[event["attr"]] = event["new"]
            yield key, event["attr"]
        elif event["kind"] == "ColumnDataChanged":
            columns = dict(attributes["data"]["entries"]) | dict(event["data"]["entries"])
            attributes["data"] = {"type": "map", "entries": list(columns.items())}
            yield key, "data"

    def _tell_painted(self, changed: set[tuple[str, str]]) -> None:
        """Tell the server, as the page's script does, that a picture was painted."""
        for key, attribute in changed:
            tags = self.models[key].attributes.get("tags")
            is_picture = self.models[key].kind == "ColumnDataSource" and attribute == "data"
            if is_picture and tags and isinstance(tags[0], int):
                self.change(key, tags=[tags[0] + 1])


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that can be compared at once."""
    return {key: value for key, value in attributes.items() if isinstance(value, str | int | float)}


def _event(name: str) -> dict[str, Any]:
    values = {"type": "map", "entries": []}
    data = {"type": "event", "name": name, "values": values}
    return {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": data}


def array_of(model: Model, column: str) -> npt.NDArray:
    """Return a column of a data source."""
    found = dict(model.attributes["data"]["entries"])[column]
    if isinstance(found, list):
        return np.array(found)
    return np.frombuffer(found["array"]["data"], dtype=found["dtype"]).reshape(found["shape"])
