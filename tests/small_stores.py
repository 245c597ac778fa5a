"""Small stores that the tests of reading and of writing share."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maxrf_core.layout import ChunkSink
from maxrf_core.schema import SCHEMA_NAME, SCHEMA_VERSION
from maxrf_core.writer import ZipstoreWriter

ATTRIBUTES = {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION}
VALUES = np.arange(91, dtype=np.uint16).reshape(13, 7)


def fill(
    sink: ChunkSink, values: npt.NDArray = VALUES, chunks: tuple[int, ...] = (4, 3), **options: Any
) -> None:
    """Write one array, ``group/values``, chunk by chunk."""
    sink.create_array(
        "group/values", shape=values.shape, dtype=values.dtype, chunks=chunks, **options
    )
    for index in np.ndindex(*sink.layout("group/values").chunk_counts):
        part = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))
        sink.write_chunk("group/values", index, values[part])


def write_store(
    path: Path,
    *,
    attributes: dict[str, Any] = ATTRIBUTES,
    values: npt.NDArray = VALUES,
    chunks: tuple[int, ...] = (4, 3),
) -> Path:
    """Write a zipstore of one array, ``group/values``."""
    with ZipstoreWriter(path, attributes) as writer:
        fill(writer, values, chunks)
        writer.commit()
    return path


def unpack(zipstore: Path, folder: Path) -> Path:
    """Unpack a zipstore into a folder: the same store, as files."""
    with zipfile.ZipFile(zipstore) as archive:
        archive.extractall(folder)
    return folder


def left_behind(folder: Path) -> list[str]:
    """Return the names of everything in a folder, hidden files as well."""
    return sorted(path.name for path in folder.iterdir())
