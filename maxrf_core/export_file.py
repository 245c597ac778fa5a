"""An exported file appears whole or not at all: a hidden name first, then its own."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError
from .unfinished import HiddenNames, output_error, put_in_place, remove_stale, sync_folder

__all__ = ["check_target", "whole_files"]


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a place that nothing can be written to.

    Raises
    ------
    OutputError
        If the folder is missing, the path is a folder, or a file is there already.
    """
    try:
        if not path.parent.is_dir():
            raise OutputError(f"there is no folder {path.parent}. Make it, or choose another.")
        if path.is_dir():
            raise OutputError(f"{path} is a folder; expected the name of a file.")
        exists = path.exists()
    except OSError as error:  # such as a name that is too long
        raise _failed(path, error) from error
    if exists and not overwrite:
        raise OutputError(
            f"{path} exists already. Pass overwrite=True (command line: --overwrite) to replace "
            "it, or another name."
        )


@contextmanager
def whole_files(paths: Sequence[Path], *, overwrite: bool) -> Iterator[list[Path]]:
    """Yield hidden names to write to; leaving without an error renames them to their own.

    Parameters
    ----------
    paths : sequence of Path
        Where the files shall be. They are renamed in this order; the last is the one that
        errors name.
    overwrite : bool
        Replace files that stand there.

    Raises
    ------
    OutputError
        If a file is there already and not to be replaced, or writing fails. Then, as after any
        other error, what stood in place still does.
    """
    remove_stale(paths[-1])  # which may put old ones back
    for path in paths:
        check_target(path, overwrite=overwrite)
    try:
        names = HiddenNames(paths[-1])
    except OSError as error:
        raise _failed(paths[-1], error) from error
    with names:
        hidden = [names.name(path, "partial") for path in paths]
        try:
            yield hidden
            for name in hidden:
                with name.open("r+b") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            raise _failed(paths[-1], error) from error
        for path in paths:
            check_target(path, overwrite=overwrite)  # it may have come meanwhile
        try:
            _give_names(names, hidden, paths)
        except OSError as error:
            raise _failed(paths[-1], error) from error
        sync_folder(paths[0].parent)


def _give_names(names: HiddenNames, hidden: Sequence[Path], paths: Sequence[Path]) -> None:
    """Give files their names, all or none; files that belong together are never mixed.

    One is renamed in one step. Of several, the old ones are moved aside before, the last,
    without which nobody takes up the others, first; after a kill `remove_stale` puts them back.
    """
    aside: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        if len(paths) > 1:
            for path in reversed(paths):
                if path.exists():
                    old = names.name(path, "old")
                    put_in_place(path, old)
                    aside[path] = old
        for name, path in zip(hidden, paths, strict=True):
            put_in_place(name, path)
            placed.append(path)
    except BaseException as error:
        # The first error is told. What cannot be put back keeps its hidden name.
        with suppress(OSError):
            for path in paths:
                if path in aside:
                    aside[path].replace(path)
                    del aside[path]
                elif path in placed:
                    path.unlink()
        if aside:
            names.keep(aside.values())
            raise OutputError(
                f"{paths[-1]} could not be replaced ({error}), nor could what stood there be put "
                "back: it is kept beside it under a hidden name, and put back when the same file "
                "is written again."
            ) from error
        raise


def _failed(path: Path, error: OSError) -> OutputError:
    """Return the sentence for a failed write, without advice that belongs to conversions."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(
            f"no space is left to write {path}. Free some space, or choose another folder."
        )
    if isinstance(error, PermissionError) and sys.platform == "win32" and path.is_file():
        return OutputError(
            f"{path} cannot be replaced: another program has it open, or you may not write there. "
            "Close it there and try again, or choose another name."
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return OutputError(f"no permission to write {path}. Choose a folder of your own.")
    return output_error(path, error)
