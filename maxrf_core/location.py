"""Where a file is: on this machine, by its path, or somewhere else, by its URL."""

from __future__ import annotations

__all__ = ["is_url"]


def is_url(location: object) -> bool:
    """Return whether a location is a URL and not a path, such as ``C://scans``."""
    return isinstance(location, str) and location.find("://") > 1
