"""Texts for the page and its address."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

__all__ = ["as_text", "hide_folder", "sentence_of", "short_number", "without_folders"]

logger = logging.getLogger(__name__)

_PLAIN = frozenset(" ,;'\"/%")

_LONGEST = 2000
"""Of a text on the page. A file may have a name or an attribute of any length."""

_FOLDERS = re.compile(
    r"(?<![\w.:/\\])/(?:[^\s/'\"<>|]+/)+"  # /srv/lab/, but no URL and no unit such as counts/s
    r"|(?<!\w)(?:[A-Za-z]:[\\/]|\\\\)[\\/]*(?:[^\\/:*?\"'<>|\n]+[\\/]+)*"  # C:\lab\, \\server\lab\
)
"""Folders that a path begins with, as far as they can be told from the words around."""

_folders: set[str] = set()


def as_text(text: str) -> str:
    """Return a text from a file or an address that Markdown and HTML show as it stands.

    Everything but letters, digits and a few harmless signs becomes a character reference,
    which neither reads as markup: no tags, no images fetched from elsewhere, no emphasis.
    """
    words = " ".join(text[:_LONGEST].split())  # lines and indents are markup, too
    if len(text) > _LONGEST:
        words += " …"
    return "".join(
        sign if sign.isalnum() or sign in _PLAIN else f"&#{ord(sign)};" for sign in words
    )


def hide_folder(folder: Path) -> None:
    """Have `without_folders` know a folder of this server, whatever its name holds."""
    for form in (folder.absolute(), folder.resolve()):
        if form != Path(form.anchor):
            _folders.add(str(form))


def without_folders(text: str) -> str:
    """Return a sentence in which paths are the names of their files.

    Where a server keeps its scans is nobody's business who sees its page; the name tells them
    which file is meant.
    """
    for folder in sorted(_folders, key=len, reverse=True):
        if folder in text:
            text = text.replace(folder + os.sep, "")
            alone = re.split(rf"{re.escape(folder)}(?![\w.-])", text)
            text = Path(folder).name.join(alone)
    return _FOLDERS.sub("", text)


def sentence_of(error: BaseException) -> str:
    """Return what an error says, for a visitor; what they are not told, the log has."""
    text = str(error)
    shown = without_folders(text)
    if shown != text:
        logger.warning("told to a visitor without folders: %s", text)
    return shown


def short_number(number: float) -> str:
    """Return a number as short as reading it back exactly allows."""
    return repr(float(number)).removesuffix(".0")
