"""What a released version wrote, every later one reads, to the same numbers.

When a test here fails, the reader has lost an old file: mend the reader, not the file.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from schema_files import DATA, read_everything, write_files

from maxrf_core import ZipstoreError, check_zipstore, get_array, open_scan, tree
from maxrf_core.presets import preset_to_json, read_preset
from maxrf_core.repair import repair_zipstore
from maxrf_core.schema import CUBE, SCHEMA_VERSION

VERSIONS = range(1, SCHEMA_VERSION + 1)
STORES = [f"schema-{version}-{kind}" for version in VERSIONS for kind in ("full", "lean")]
ROUNDING = 1e-5  # float32, summed in another order by another machine
TIMES = ("source",)  # of the moment when the file was made


@pytest.fixture
def copied(tmp_path):
    """Return a function that copies a test file and what belongs to it, and its path."""

    def copy(name):
        for path in DATA.glob(f"{name.removesuffix('.zipstore')}.*"):
            shutil.copy(path, tmp_path)
        return tmp_path / name

    return copy


def expected_of(version):
    return json.loads((DATA / f"schema-{version}.expected.json").read_text(encoding="utf-8"))


def assert_same(found, expected, where):
    """Numbers may differ by their rounding, and by that of what they were summed from."""
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_same(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}/{number}")
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=1e-4, err_msg=where)
    else:
        assert found == expected, where


def test_every_schema_has_its_files():
    """Who makes a new one makes its files (``python tests/schema_files.py``)."""
    names = {path.name for path in DATA.glob("schema-*")}
    for version in VERSIONS:
        ends = ("full.zipstore", "lean.zipstore", "lean.maxrf.json", "view.json")
        wanted = {f"schema-{version}-{end}" for end in ends} | {f"schema-{version}.expected.json"}
        assert wanted <= names
        assert sum((DATA / name).stat().st_size for name in wanted) < 700_000


@pytest.mark.parametrize("name", STORES)
def test_everything_is_read_from_the_store_of_a_released_schema(copied, name):
    """Maps, errors, spectra, regions, tree, check; calibration, views and photo beside it."""
    version = int(name.split("-")[1])
    assert_same(read_everything(copied(f"{name}.zipstore")), expected_of(version)[name], name)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_saved_view_of_a_released_version_is_read(version):
    """People keep them as files, and send them."""
    view = read_preset(DATA / f"schema-{version}-view.json")
    assert preset_to_json(view) == expected_of(version)["view"]


@pytest.mark.parametrize("name", STORES)
def test_the_store_of_a_released_schema_is_repaired(copied, name):
    """Also with blocks and chunks of other lengths than are written now."""
    path = copied(f"{name}.zipstore")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    repair_zipstore(path, progress=False)
    assert check_zipstore(path, progress=False).is_whole
    version = int(name.split("-")[1])
    assert_same(read_everything(path), expected_of(version)[name], name)


def test_the_files_of_this_schema_are_what_this_program_writes(tmp_path):
    """A change of what is written that no reader minds is seen here; one that does is a new schema.

    Tree, arrays and numbers are compared; the moment of writing is another.
    """
    write_files(tmp_path)
    made = json.loads((tmp_path / f"schema-{SCHEMA_VERSION}.expected.json").read_text("utf-8"))
    kept = expected_of(SCHEMA_VERSION)
    for name in made:
        for key in TIMES:
            made[name].pop(key, None)
            kept[name].pop(key, None)
    assert_same(made, kept, "")


def test_cronomaxrf_s_own_store_says_what_to_do(capsys):
    """It has no counts: the page cannot show it, but its arrays can be read."""
    path = DATA / "crono-12x9.cronomaxrf-0.0.12.zipstore"
    sentence = (
        r"was written by cronomaxrf: .*: maxrf convert SCAN\.HDF5 --output NAME\.zipstore\. What "
        r"it has, maxrf tree lists and get_array reads\.$"
    )
    with pytest.raises(ZipstoreError, match=sentence):
        open_scan(path)
    (fault,) = check_zipstore(path, progress=False).faults
    assert "was written by cronomaxrf" in fault
    with pytest.raises(ZipstoreError, match=sentence):
        repair_zipstore(path, progress=False)
    tree(path)
    assert CUBE in capsys.readouterr().out
    assert get_array(path, CUBE).shape == (12, 9, 4096)


def test_paths_of_test_files_fit_any_system():
    """Short, and in one case: Windows and macOS check them out, too."""
    names = [path.name for path in Path(DATA).iterdir()]
    assert len({name.casefold() for name in names}) == len(names)
