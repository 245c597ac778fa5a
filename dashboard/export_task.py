"""An export in a thread, one at a time for a server."""

from __future__ import annotations

import threading
from typing import Any

from maxrf_core import MaxrfError
from maxrf_core.errors import ConversionCancelled
from maxrf_core.exports import export_scan
from maxrf_core.progress import Progress

from .data import SharedScan
from .downloads import Download
from .task import Task, TaskStatus
from .text import sentence_of

__all__ = ["ExportTask"]

_AT_ONCE = threading.BoundedSemaphore(1)  # the maps of other visitors need the processors, too


class ExportTask(Task):
    """One export to a file for a visitor.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    download : Download
        The file to write; removed again when nothing came of it.
    options : dict
        Of `maxrf_core.exports.export_scan`.
    """

    def __init__(self, shared: SharedScan, download: Download, options: dict[str, Any]) -> None:
        self.download = download
        self._shared, self._options = shared, options
        super().__init__(_AT_ONCE)

    def _work(self) -> TaskStatus:
        status: TaskStatus = "failed"
        try:
            export_scan(
                self._shared.scan,
                self.download.path,
                progress=self._tell,
                cancel=self._cancelled,
                **self._options,
            )
            status = "done"
        except ConversionCancelled:
            status = "cancelled"
        except MaxrfError as error:
            self.message = sentence_of(error)
        finally:
            if status != "done":
                self.download.withdraw()
        return status

    def _tell(self, progress: Progress) -> None:
        self.progress = progress
