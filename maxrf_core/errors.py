"""The errors that this package raises on purpose.

Every message says what is wrong, where, what was expected and what to do next,
so that the command line and the page can show it as it stands.
"""

from __future__ import annotations

__all__ = [
    "ClusterError",
    "ConversionCancelled",
    "CronoFileError",
    "MaxrfError",
    "OutputError",
    "ParameterError",
    "ZipstoreError",
]


class MaxrfError(Exception):
    """Base of all errors raised on purpose by `maxrf_core` and `dashboard`."""


class CronoFileError(MaxrfError):
    """A Crono HDF5 file cannot be used: unreadable, incomplete or inconsistent."""


class ZipstoreError(MaxrfError):
    """A zipstore cannot be used: not a zip, cut short, or of another schema version."""


class ParameterError(MaxrfError, ValueError):
    """An argument has a value that the function cannot work with."""


class OutputError(MaxrfError):
    """A result cannot be written: no permission, no space, or the file exists already."""


class ClusterError(MaxrfError):
    """A dask cluster does not answer, or does not do its work."""


class ConversionCancelled(MaxrfError):  # noqa: N818 - a cancel is no fault of anybody's
    """The user cancelled a conversion; nothing was left behind."""
