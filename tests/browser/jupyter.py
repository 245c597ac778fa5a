"""A real JupyterLab in a process of its own, and the kernel behind a notebook."""

from __future__ import annotations

import ast
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from jupyter_client import BlockingKernelClient

from .server import free_port

__all__ = ["Kernel", "Lab"]

_SETTINGS = {"notification": {"fetchNews": "false"}}
"""Of @jupyterlab/apputils-extension: nobody is asked whether he wants news from the internet."""


class Lab:
    """JupyterLab on a folder, with settings of its own: nothing of the user's is read or changed.

    Parameters
    ----------
    folder : Path
        Where its notebooks are.
    home : Path
        Where it keeps what it needs, and its log.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.port, self.token = free_port(), secrets.token_hex(8)
        self.log, self._runtime = home / "jupyterlab.log", home / "runtime"
        settings = home / "user-settings"
        for name, values in _SETTINGS.items():
            file = settings / "@jupyterlab" / "apputils-extension" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(values), encoding="utf-8")
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": folder,
            "ServerApp.allow_root": True,  # containers and CI run as root
            "ServerApp.open_browser": False,
            "IdentityProvider.token": self.token,
            "LabApp.user_settings_dir": settings,
            "LabApp.workspaces_dir": home / "workspaces",
            "LabApp.news_url": None,
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.extension_manager": "readonly",
        }
        places = {"CONFIG": "config", "DATA": "data", "RUNTIME": self._runtime.name}
        own = {f"JUPYTER_{name}_DIR": str(home / place) for name, place in places.items()}
        with self.log.open("wb") as stream:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab"),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **own, "IPYTHONDIR": str(home / "ipython")},
            )
        self._wait()

    def url(self, notebook: str) -> str:
        """Return the address of a notebook of the folder."""
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}?token={self.token}"

    def kernel(self) -> Kernel:
        """Return the one kernel that runs."""
        (kernel,) = self._ask("kernels")
        return Kernel(self._runtime / f"kernel-{kernel['id']}.json")

    def _ask(self, what: str) -> Any:
        address = f"http://127.0.0.1:{self.port}/api/{what}?token={self.token}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            try:
                self._ask("status")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.log.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


class Kernel:
    """A kernel, asked beside the notebook that it runs for.

    Parameters
    ----------
    connection : Path
        Its connection file.
    """

    def __init__(self, connection: Path) -> None:
        self._client = BlockingKernelClient(connection_file=str(connection))
        self._client.load_connection_file()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=30)

    def value(self, expression: str) -> Any:
        """Return what an expression is there: numbers, texts, and lists of them."""
        as_json = f"__import__('json').dumps({expression})"
        answer = self._reply("", {"value": as_json})["user_expressions"]["value"]
        assert answer["status"] == "ok", answer
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    def run(self, code: str) -> None:
        """Run code there, as a cell would."""
        answer = self._reply(code, {})
        assert answer["status"] == "ok", answer

    def _reply(self, code: str, expressions: dict[str, str]) -> dict[str, Any]:
        number = self._client.execute(code, user_expressions=expressions, store_history=False)
        while True:
            message = self._client.get_shell_msg(timeout=60)
            if message["parent_header"].get("msg_id") == number:
                return message["content"]

    def close(self) -> None:
        """Leave it; it runs on."""
        self._client.stop_channels()
