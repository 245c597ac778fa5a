"""HDF5 files that are written without a crash when the disk fills up.

HDF5 1.14 crashes the process when the disk fills up while it writes (it fails again on
closing). So it writes through a file of ours, which notes the first failure, takes the rest
without complaint until the file is closed, and raises then.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

__all__ = ["FailsafeFile", "failsafe_hdf5", "new_hdf5"]


class FailsafeFile(io.FileIO):
    """A file for HDF5 that keeps its first failure to write instead of raising it.

    Parameters
    ----------
    path : Path
        The file.
    mode : {"x+", "r+"}, optional
        Make it, or open one that is there.

    Attributes
    ----------
    error : OSError or None
        The first failure to write.
    """

    def __init__(self, path: Path, mode: str = "x+") -> None:
        super().__init__(path, mode)
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self.error is not None:
            raise self.error

    def write(self, data: memoryview) -> int:
        """Write all of `data`; after a failure, only say so."""
        view = memoryview(data).cast("B")
        done = 0
        while self.error is None and done < len(view):
            try:
                done += super().write(view[done:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen the file; after a failure, only say so."""
        length = self.tell() if size is None else size
        try:
            return super().truncate(length)
        except OSError as error:
            self.error = self.error or error
            return length


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, FailsafeFile]]:
    """Yield a new HDF5 file and the file under it, whose `check` tells of a full disk.

    Raises
    ------
    OSError
        If it cannot be made, or not written whole.
    """
    with failsafe_hdf5(FailsafeFile(path), "w", libver=("earliest", "v110")) as file:
        yield file


@contextmanager
def failsafe_hdf5(
    raw: FailsafeFile, mode: str, **options: Any
) -> Iterator[tuple[h5py.File, FailsafeFile]]:
    """Yield an HDF5 file in a file of ours, which is closed in the end.

    Parameters
    ----------
    raw : FailsafeFile
        The file.
    mode : {"w", "r+"}
        Of HDF5.
    **options
        Of `h5py.File`.

    Raises
    ------
    OSError
        If it cannot be opened, or not written whole.
    """
    try:
        with h5py.File(raw, mode, **options) as file:
            yield file, raw
        raw.check()
    except (OSError, RuntimeError) as error:  # what h5py makes of the same failure
        raise (raw.error or error) from error
    finally:
        raw.close()
