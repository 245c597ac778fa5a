"""What beside a scan cannot be used is set aside whole, and what of it can be used is kept."""

from __future__ import annotations

import json

import pytest
from small_stores import left_behind

from maxrf_core.photo_record import kept_photo
from maxrf_core.presets import Preset, preset_to_json, read_presets_beside
from maxrf_core.sidecar import read_sidecar, sidecar_path
from maxrf_core.sidecar_check import repair_sidecar, sidecar_faults

CALIBRATION = {"points": [[771, 8.046], [1952, 22.163]], "degree": 1}
VIEW = preset_to_json(Preset(lines=("Fe", "Pb La")))
PHOTO = {"name": "p.png", "size": [40, 30], "kind": "similarity", "points": [[1, 2, 3, 4]]}
WHOLE = {"version": 1, "calibration": CALIBRATION, "presets": {"iron": VIEW}, "other": 0}


@pytest.fixture
def scan(tmp_path):
    """Return the path of a scan in a folder of its own."""
    return tmp_path / "page 7.zipstore"


def write(scan, content):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    sidecar_path(scan).write_bytes(data)
    return data


def test_a_whole_file_is_left_alone(scan):
    """And so is one that is not there."""
    assert sidecar_faults(scan) == []
    assert repair_sidecar(scan) == []
    data = write(scan, WHOLE)
    assert sidecar_faults(scan) == []
    assert repair_sidecar(scan) == []
    assert sidecar_path(scan).read_bytes() == data
    assert left_behind(scan.parent) == ["page 7.maxrf.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, [1], {}, {"version": "1", "x": 1}, b"1" * 1_000_001],
)
def test_a_file_that_holds_nothing_usable_is_set_aside(scan, content):
    """The scan opens again, and the bytes are still there."""
    data = write(scan, content)
    assert sidecar_faults(scan)
    (sentence,) = repair_sidecar(scan)
    assert "page 7.maxrf.json.damaged, and nothing of it could be kept" in sentence
    assert read_sidecar(scan) == {}
    assert left_behind(scan.parent) == ["page 7.maxrf.json.damaged"]
    assert (scan.parent / "page 7.maxrf.json.damaged").read_bytes() == data


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"calibration": {"points": [[1, 2]]}}, "calibration"),
        ({"photo": {"name": "../p.png"}}, "photo"),
        ({"presets": {"iron": VIEW, "odd": {"version": 1, "x": 1}}}, "the saved view 'odd'"),
        ({"presets": {"iron": VIEW, "": VIEW}}, "the saved view ''"),
    ],
)
def test_the_rest_of_a_file_is_kept(scan, changes, gone):
    """One wrong view costs no calibration, and the other way round."""
    data = write(scan, WHOLE | changes)
    assert sidecar_faults(scan)
    (sentence,) = repair_sidecar(scan)
    assert sentence.endswith(f"were kept; without {gone}.")
    assert sidecar_faults(scan) == []
    expected = {key: value for key, value in WHOLE.items() if key not in ("version", gone)}
    assert read_sidecar(scan) == expected
    assert read_presets_beside(scan).keys() == {"iron"}
    assert kept_photo(scan) is None
    assert (scan.parent / "page 7.maxrf.json.damaged").read_bytes() == data


def test_presets_that_are_no_object_go(scan):
    """The calibration stays."""
    write(scan, WHOLE | {"presets": [VIEW]})
    (sentence,) = repair_sidecar(scan)
    assert sentence.endswith("calibration, other were kept; without presets.")


def test_a_key_of_any_name_is_kept(scan):
    """Also one that Python has a use for."""
    write(scan, {"version": 1, "path_of_scan": 1, "calibration": []})
    repair_sidecar(scan)
    assert read_sidecar(scan) == {"path_of_scan": 1}


def test_what_was_set_aside_before_stays(scan):
    """A file that is damaged again gets another name."""
    for number in range(3):
        write(scan, f"{{{number}".encode())
        repair_sidecar(scan)
    names = [f"page 7.maxrf.json.damaged{end}" for end in ("", "-2", "-3")]
    assert left_behind(scan.parent) == names
    assert [(scan.parent / name).read_bytes() for name in names] == [b"{0", b"{1", b"{2"]


@pytest.mark.parametrize("changes", [{"version": 2}, {"presets": {"iron": {"version": 2}}}])
def test_a_file_of_a_newer_version_is_told_and_left_alone(scan, changes):
    """It is no damage, and this program does not know what would be lost."""
    data = write(scan, WHOLE | changes)
    (fault,) = sidecar_faults(scan)
    assert "pip install --upgrade maxrf-dashboard" in fault
    assert repair_sidecar(scan) == []
    assert sidecar_path(scan).read_bytes() == data
