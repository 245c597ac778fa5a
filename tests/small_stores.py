"""Small stores that the tests of reading and of writing share."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maxrf_core.layout import ChunkSink
from maxrf_core.schema import SCHEMA_NAME, SCHEMA_VERSION
from maxrf_core.store import StoreReader
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


def rewrite_store(
    store: Path,
    path: Path,
    arrays: dict[str, Callable[[npt.NDArray], npt.NDArray]],
    attributes: Callable[[dict[str, Any]], object] = lambda _: None,
    of_arrays: dict[str, dict[str, Any]] | None = None,
) -> Path:
    """Write a store anew with right checksums, but other values and attributes.

    `arrays` changes the values of arrays by name, `attributes` those of the root in place.
    """
    with StoreReader(store) as reader:
        root = json.loads(json.dumps(reader.attributes))
        attributes(root)
        with ZipstoreWriter(path, root) as writer:
            for name in reader.array_names():
                layout = reader.layout(name)
                values = reader.read_array(name)
                if name in arrays:
                    values = arrays[name](values)
                chunks = layout.chunks
                if values.shape != layout.shape:
                    chunks = values.shape
                writer.create_array(
                    name,
                    shape=values.shape,
                    dtype=values.dtype,
                    chunks=chunks,
                    codec=layout.codec,
                    attributes=layout.attributes | (of_arrays or {}).get(name, {}),
                )
                layout = writer.layout(name)
                for index in np.ndindex(*layout.chunk_counts):
                    part = tuple(
                        slice(i * c, (i + 1) * c) for i, c in zip(index, layout.chunks, strict=True)
                    )
                    writer.write_chunk(name, index, values[part])
            writer.commit()
    return path


def entry_span(path: Path, key: str) -> tuple[int, int]:
    """Return where the data of an entry of a zip begin and end."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(key)
    start = info.header_offset
    header = path.read_bytes()[start : start + 30]
    data = start + 30 + int.from_bytes(header[26:28], "little")
    data += int.from_bytes(header[28:30], "little")
    return data, data + info.file_size


def damage_entry(path: Path, key: str) -> None:
    """Flip a bit in the middle of an entry of a zip, as a bad disk does."""
    start, stop = entry_span(path, key)
    with path.open("r+b") as file:
        file.seek((start + stop) // 2)
        (byte,) = file.read(1)
        file.seek((start + stop) // 2)
        file.write(bytes([byte ^ 0x10]))


def left_behind(folder: Path) -> list[str]:
    """Return the names of everything in a folder, hidden files as well."""
    return sorted(path.name for path in folder.iterdir())
