"""What a Crono file says of itself and the instrument: dates, program, settings, calibration."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from . import schema
from .crono_datasets import SMALL, find_dataset, has_kind, optional, read_values, what_is
from .errors import CronoFileError
from .hdf5 import plain, read_attributes

if TYPE_CHECKING:
    import h5py

__all__ = ["read_metadata"]


def read_metadata(file: h5py.File, notes: list[str]) -> dict[str, Any]:
    """Return what the file says of itself and the instrument, JSON-serialisable.

    Keys, each only if the file has it: `created` (ISO without time zone; the file's own text
    if that is no month/day/year), `software`, `file_structure_version` (list of int),
    `calibration_points` (channel, keV), `image_pixel_size_ratio`; and attributes by name in
    `calibration`, `settings`, `initial_status`, `final_status`, without .NET blobs. What
    cannot be read is added to `notes`.
    """
    metadata: dict[str, Any] = {}
    for key, name in (
        ("created", schema.CREATED_DATETIME),
        ("software", schema.CREATED_WITH),
        ("file_structure_version", schema.FILE_STRUCTURE_VERSION),
        ("image_pixel_size_ratio", "Images/ImageAdjusting/ImagePixelSizeRatio"),
    ):
        metadata[key] = optional(notes, _small_value, file, name)
    metadata["calibration_points"] = optional(notes, _calibration_points, file)
    metadata["created"] = _iso_datetime(metadata["created"])
    for key, name in (
        ("calibration", schema.CALIBRATION_POINTS),
        ("settings", schema.SETTINGS),
        ("initial_status", "Configuration/InitialSystemStatus"),
        ("final_status", "Configuration/FinalSystemStatus"),
    ):
        owner = optional(notes, find_dataset, file, name)
        attributes = {} if owner is None else read_attributes(owner, notes)
        metadata[key] = {k: v for k, v in attributes.items() if not _has_blob(v)}
        if "DateTime" in metadata[key]:
            metadata[key]["DateTime"] = _iso_datetime(metadata[key]["DateTime"])
    return {key: value for key, value in metadata.items() if value not in (None, {})}


def _small_value(file: h5py.File, name: str) -> Any:
    """Return a small dataset as text, number or list."""
    dataset = find_dataset(file, name)
    if dataset.size > SMALL or not has_kind(dataset, "iufS"):
        raise CronoFileError(f"{what_is(dataset)}, and is ignored; expected a text or few numbers.")
    return plain(read_values(dataset))


def _calibration_points(file: h5py.File) -> list[list[float]]:
    """Return channel and keV of each calibration point."""
    dataset = find_dataset(file, schema.CALIBRATION_POINTS)
    is_table = dataset.ndim == 2 and dataset.shape[1] == 2 and dataset.shape[0] > 1
    points = None
    if is_table and dataset.size <= SMALL and has_kind(dataset, "iuf"):
        points = read_values(dataset)
    if points is None or not np.isfinite(points).all():
        raise CronoFileError(
            f"{what_is(dataset)}, and is ignored; expected channel and keV of two or more points."
        )
    return plain(points)


def _has_blob(value: Any) -> bool:
    """Return whether a value of `plain` is or holds the bytes of a blob."""
    return isinstance(value, bytes) or (isinstance(value, list) and any(map(_has_blob, value)))


def _iso_datetime(text: Any) -> Any:
    """Return month/day/year text in ISO form, anything else as it is."""
    for pattern in ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"):
        try:
            # the scanner's clock has no time zone
            return datetime.strptime(text, pattern).isoformat()  # noqa: DTZ007
        except (TypeError, ValueError):
            continue
    return text
