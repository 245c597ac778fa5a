"""Where a file is: on this machine, by its path, or somewhere else, by its URL."""

from __future__ import annotations

from pathlib import Path

__all__ = ["changed_meanwhile", "file_stamp", "is_url", "path_or_url"]


def is_url(location: object) -> bool:
    """Return whether a location is a URL and not a path, such as ``C://scans``."""
    return isinstance(location, str) and location.find("://") > 1


def path_or_url(text: str) -> Path | str:
    """Return what a text of the command line names."""
    return text if is_url(text) else Path(text)


def file_stamp(path: Path) -> tuple[str, int, int]:
    """Return what tells a file from another, and from its successor under the same name.

    Its path, when it was changed in nanoseconds, and its bytes; zeros where there is no file.
    """
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0  # reading it says what is wrong
    return str(path.resolve()), status.st_mtime_ns, status.st_size


def changed_meanwhile(path: Path) -> str:
    """Return the sentence for a file that changed, or went away, while it was read."""
    return (
        f"{path} was changed or went away while it was read. Nothing was made of it; wait until it "
        "is saved or copied whole, and start again."
    )
