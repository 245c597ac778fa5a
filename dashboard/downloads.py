"""Files made for one visitor, served by the same server under an address that nobody guesses.

Bokeh's server has a route for the scripts of extensions, ``static/extensions/NAME/...``, which
reads a folder for each name, in pieces and by ranges. Files of any size go through it, where a
page would hold them in memory twice and send them through its websocket.
"""

from __future__ import annotations

import errno
import secrets
import shutil
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

from bokeh.embed.bundle import extension_dirs

from maxrf_core.demo import demo_paths
from maxrf_core.file_names import plain_name
from maxrf_core.location import is_ours

__all__ = ["Download"]

_NAME = "maxrf-downloads"
_KEPT_S = 24 * 3600
"""Older ones are left over from a server that was killed, or from a page that stood all night."""


@dataclass(frozen=True)
class Download:
    """A file that a visitor may fetch until it is withdrawn.

    Parameters
    ----------
    path : Path
        Where it is, or is to be written; its folder is there, and its own.
    """

    path: Path

    @classmethod
    def new(cls, name: str) -> Download:
        """Return a place for a file of a name, such as any system takes (`plain_name`).

        Raises
        ------
        OSError
            If no folder can be made.
        """
        folder = _root() / secrets.token_urlsafe(24)
        folder.mkdir()
        return cls(folder / plain_name(name))

    @property
    def address(self) -> str:
        """Its URL as seen from the page."""
        return f"static/extensions/{_NAME}/{self.path.parent.name}/{quote(self.path.name)}"

    def files(self) -> list[Download]:
        """Return what was written: one file, or several that belong together."""
        found = [path for path in self.path.parent.iterdir() if not path.name.startswith(".")]
        return [Download(path) for path in sorted(found)]

    def withdraw(self) -> None:
        """Remove it; who is fetching it gets the rest."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


@cache
def _root() -> Path:
    """Return the folder of all downloads: in the cache folder, the same for all processes.

    Processes of one server answer for each other.

    Raises
    ------
    OSError
        If it cannot be made, or is somebody else's, or a link: old downloads are removed, and
        who may list the folder knows the addresses of the others.
    """
    root = demo_paths().crono.parent / "downloads"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_ours(root):
        raise PermissionError(errno.EPERM, "the folder for downloads is not its own", str(root))
    root.chmod(0o700)
    for folder in root.iterdir():
        if time.time() - folder.stat().st_mtime > _KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
    extension_dirs[_NAME] = root
    return root
