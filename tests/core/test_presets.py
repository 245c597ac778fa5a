"""Presets: kept whole or not at all, and read with trust in nothing."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maxrf_core.errors import OutputError, ParameterError
from maxrf_core.presets import (
    MAX_PRESET_BYTES,
    Composite,
    Preset,
    preset_from_json,
    preset_to_json,
    read_preset,
    read_presets_beside,
    write_preset,
    write_presets_beside,
)
from maxrf_core.regions import Polygon, Rectangle, Region, Threshold
from maxrf_core.sidecar import read_sidecar, sidecar_path, write_sidecar

PRESET = Preset(
    lines=("Fe Ka", "Pb La", "copper"),
    composites=(
        Composite("pigments", ("Fe Ka", "", "Pb La"), ((0.0, 40.5), None, None)),
        Composite("blue", ("Cu Ka", "Co Ka", "Fe Ka")),
    ),
    regions=(
        Region("cloak", Rectangle(1.0, 2.0, 3.5, 4.0)),
        Region("face", Polygon(((0.0, 0.0), (4.0, 0.5), (1.0, 3.0)))),
        Region("rich", Threshold("Fe Ka", 3.0, None)),
    ),
    layout={"map": "Fe Ka", "zoom": [0.0, 1.5, 20, 30], "dark": True, "note": None},
)
EMPTY = {"version": 1}


def test_a_preset_comes_back_from_its_file_as_it_was(tmp_path):
    """Everything a colleague needs for the same view, and no file beside it."""
    path = write_preset(tmp_path / "view.json", PRESET)
    assert read_preset(path) == PRESET
    assert list(tmp_path.iterdir()) == [path]
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == 1


def test_what_is_left_out_is_empty():
    """A file written by hand need name only what it wants."""
    assert preset_from_json(EMPTY) == Preset()
    assert preset_from_json({**EMPTY, "elements": ["Fe"]}).lines == ("Fe",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "a preset is"),
        ({}, "version is None"),
        ({"version": 0}, "version is 0, this program reads 1"),
        ({"version": 2}, "a newer version .*: pip install --upgrade maxrf-dashboard"),
        ({"version": True}, "version is True"),
        ({**EMPTY, "script": "x"}, r"unknown keys \['script'\]"),
        ({**EMPTY, "elements": "Fe"}, "elements are 'Fe'"),
        ({**EMPTY, "elements": ["Fe"] * 101}, "elements are 101 values"),
        ({**EMPTY, "elements": [3]}, "3 names no line"),
        ({**EMPTY, "elements": ["Xx"]}, "'Xx' is no element"),
        ({**EMPTY, "elements": ["Pb Ka"]}, "Pb shows no line 'Ka'"),
        ({**EMPTY, "composites": [3]}, "a composite is 3"),
        ({**EMPTY, "composites": [{"name": "a", "x": 1}]}, "expected an object of name"),
        ({**EMPTY, "composites": [{"name": "", "lines": ["", "", ""]}]}, "name is ''"),
        ({**EMPTY, "composites": [{"name": "a", "lines": ["Fe"]}]}, "expected three"),
        ({**EMPTY, "composites": [{"name": "a", "lines": ["Fe", [], ""]}]}, "names no line"),
        (
            {
                **EMPTY,
                "composites": [
                    {"name": "a", "lines": ["", "", ""], "ranges": [[2, 1], None, None]}
                ],
            },
            "low < high",
        ),
        ({**EMPTY, "composites": [{"name": "a", "lines": ["Fe"] * 3}] * 2}, "have one name"),
        ({**EMPTY, "regions": [{"name": "a", "kind": "circle"}]}, "'circle'"),
        (
            {**EMPTY, "regions": [{"name": "a", "kind": "rectangle", "box": [0, 0, 1, 1]}] * 2},
            "regions have one name",
        ),
        ({**EMPTY, "layout": []}, "layout is"),
        ({**EMPTY, "layout": {"a": {"b": 1}}}, "layout has 'a'"),
        ({**EMPTY, "layout": {"a": [[1]]}}, "layout has 'a'"),
        ({**EMPTY, "layout": {"a": "x" * 201}}, "layout has 'a'"),
        ({**EMPTY, "layout": {"a": "\ud800"}}, "layout has 'a'"),
        ({**EMPTY, "layout": {"a": "b\nc"}}, "layout has 'a'"),
        ({**EMPTY, "layout": {"a": float("inf")}}, "layout has 'a'"),
        ({**EMPTY, "layout": {"a": 10**400}}, "layout has 'a'"),
        ({**EMPTY, "layout": {str(n): n for n in range(101)}}, "at most 100"),
    ],
)
def test_a_preset_of_somebody_elses_making_is_refused(values, message):
    """It comes by mail or from a link, and what it says is shown on a page."""
    with pytest.raises(ParameterError, match=message) as caught:
        preset_from_json(values)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"version": 1, "layout": {"a": NaN}}', "NaN is no JSON number"),
        (b'{"version": 7}', "version is 7"),
        (b" " * (MAX_PRESET_BYTES + 1), "larger than 1000000 bytes"),
    ],
)
def test_a_file_that_is_no_preset_is_refused_by_name(tmp_path, data, message):
    """Of several files that were opened, the reader learns which one."""
    path = tmp_path / "view.json"
    path.write_bytes(data)
    with pytest.raises(ParameterError, match=message) as caught:
        read_preset(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    """A folder, or a name with an error of spelling."""
    with pytest.raises(ParameterError, match=r"nothing\.json cannot be read: No such file"):
        read_preset(tmp_path / "nothing.json")
    with pytest.raises(ParameterError, match="cannot be read"):
        read_preset(tmp_path)


@pytest.mark.parametrize(
    "preset",
    [
        Preset(lines=("Xx",)),
        Preset(layout={"a": float("nan")}),
        Preset(regions=(Region("a", Rectangle(1.0, 1.0, 1.0, 1.0)),)),
        Preset(regions=tuple(Region(str(n), Rectangle(0, 0, 1, 1)) for n in range(101))),
    ],
)
def test_what_would_be_refused_is_not_written(tmp_path, preset):
    """A file that the program itself refuses would cost the view it was to keep."""
    path = write_preset(tmp_path / "view.json", PRESET)
    with pytest.raises(ParameterError, match=r"view\.json"):
        write_preset(path, preset)
    assert read_preset(path) == PRESET


def test_more_than_a_small_file_is_not_written(tmp_path):
    """A hundred lassos of ten thousand vertices are no small JSON."""
    lasso = tuple((float(n), float(n * n % 97)) for n in range(10_000))
    big = Preset(regions=tuple(Region(str(n), Polygon(lasso)) for n in range(5)))
    with pytest.raises(ParameterError, match=r"view\.json is not written: it would have"):
        write_preset(tmp_path / "view.json", big)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, code):
    """A full disk must not cost the preset that was there."""
    path = write_preset(tmp_path / "view.json", PRESET)

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=os.strerror(code)):
        write_preset(path, Preset())
    monkeypatch.undo()
    assert read_preset(path) == PRESET
    assert list(tmp_path.iterdir()) == [path]


def test_presets_beside_a_scan_leave_its_calibration_alone(tmp_path):
    """They share one file with what else the user added."""
    scan = tmp_path / "scan.zipstore"
    calibration = {"points": [[771, 8.046], [1952, 22.163]], "degree": 1}
    write_sidecar(scan, calibration=calibration)
    assert read_presets_beside(scan) == {}
    write_presets_beside(scan, {"first look": PRESET, "empty": Preset()})
    assert read_presets_beside(scan) == {"first look": PRESET, "empty": Preset()}
    write_presets_beside(scan, {})
    assert read_sidecar(scan) == {"calibration": calibration}


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ([1], "its presets are"),
        ({"": {"version": 1}}, "with names of"),
        ({"a": {"version": 9}}, "version is 9"),
        ({str(n): EMPTY for n in range(51)}, "at most 50"),
    ],
)
def test_wrong_presets_beside_a_scan_are_refused_by_the_files_name(tmp_path, kept, message):
    """It lies in a shared folder: anybody may have written it."""
    scan = tmp_path / "scan.zipstore"
    write_sidecar(scan, presets=kept)
    with pytest.raises(ParameterError, match=message) as caught:
        read_presets_beside(scan)
    assert str(sidecar_path(scan)) in str(caught.value)


def test_a_name_that_could_not_be_read_again_is_not_kept(tmp_path):
    """Names become entries of a menu."""
    with pytest.raises(ParameterError, match="is not written"):
        write_presets_beside(tmp_path / "scan.zipstore", {"a\nb": PRESET})
    assert list(tmp_path.iterdir()) == []


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=9),
        st.sampled_from(["Fe", "Pb La", "rectangle", "polygon", "threshold", 1, 10**400]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.text(max_size=3),
                st.sampled_from(
                    ["name", "kind", "box", "vertices", "map", "low", "lines", "ranges"]
                ),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def read(values):
    """Return the preset that JSON values describe, or None and why not."""
    try:
        return preset_from_json(values), ""
    except ParameterError as error:
        return None, str(error)


KEYS = ("version", "elements", "composites", "regions", "layout")


@settings(max_examples=300)
@given(
    values=st.one_of(JSON, st.dictionaries(st.sampled_from(KEYS), JSON)), has_version=st.booleans()
)
def test_no_json_whatever_raises_anything_else(values, has_version):
    """The page catches one type of error; what passes is written and read again alike."""
    if has_version and isinstance(values, dict):
        values = {**values, "version": 1}
    preset, refusal = read(values)
    assert len(refusal) < 600
    if preset is None:
        return
    text = json.dumps(preset_to_json(preset), allow_nan=False)
    assert preset_from_json(json.loads(text)) == preset


@settings(max_examples=300)
@given(data=st.data())
def test_a_good_preset_with_one_bad_value_raises_nothing_else(data):
    """Most hostile files are nearly right: any value at any place is replaced by another."""
    values = json.loads(json.dumps(preset_to_json(PRESET)))
    place, key = values, data.draw(st.sampled_from(KEYS))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        choices = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(choices))
    place[key] = data.draw(JSON)
    preset, refusal = read(values)
    assert len(refusal) < 600
    if preset is None:
        return
    assert preset_from_json(preset_to_json(preset)) == preset


@pytest.mark.parametrize("key", ["elements", "layout"])
def test_json_of_any_depth_is_refused_by_name(tmp_path, key):
    """Deep enough to be read and too deep to be shown: there is such a depth, not far below 1000.

    The interpreter counts frames, so it depends on who calls; all of them are tried.
    """
    path = tmp_path / "view.json"
    for depth in range(sys.getrecursionlimit() - 250, sys.getrecursionlimit() + 10):
        path.write_text(f'{{"version": 1, "{key}": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(ParameterError, match=r"view\.json"):
            read_preset(path)


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    """A range comes from a map, which is float32."""
    limits = (np.float32(0.5), np.float64(2.5))
    composite = Composite("a", ("Fe Ka", "", ""), (limits, None, None))
    path = write_preset(tmp_path / "view.json", Preset(composites=(composite,)))
    assert read_preset(path).composites[0].ranges == ((0.5, 2.5), None, None)
    with pytest.raises(ParameterError, match="layout has 'a'"):
        write_preset(path, Preset(layout={"a": np.float32(1.0)}))


def test_readers_see_the_old_preset_or_the_new_one(tmp_path):
    """Never half of one, however often it is written."""
    path = write_preset(tmp_path / "view.json", PRESET)
    other = Preset(lines=("Zn",) * 100)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            write_preset(path, other)
            write_preset(path, PRESET)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [read_preset(path) for _ in range(200)]
    finally:
        stop.set()
        writer.join()
    assert all(one in (PRESET, other) for one in seen)


def test_json_of_a_preset_holds_nothing_of_the_computer():
    """It is sent to colleagues: no path, no user."""
    assert set(preset_to_json(PRESET)) == {"version", "elements", "composites", "regions", "layout"}
