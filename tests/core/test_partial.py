"""What a killed writer leaves is taken up, and the file becomes that of an undisturbed one."""

from __future__ import annotations

import errno
import io
import itertools
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_stores import ATTRIBUTES, VALUES, fill, left_behind

from maxrf_core import OutputError, ZipstoreError, unfinished
from maxrf_core.partial import PartialZip
from maxrf_core.store import StoreReader
from maxrf_core.unfinished import lock_path
from maxrf_core.writer import ZipstoreWriter

PARTIAL = ".scan.zipstore.partial"


def declare(sink):
    """Declare two arrays."""
    sink.create_array("group/values", shape=(13, 7), dtype=np.uint16, chunks=(4, 3))
    sink.create_array("sums", shape=(13,), dtype=np.uint32, chunks=(5,), attributes={"units": "1"})


def write(sink, *, skip=False):
    """Write three arrays; with `skip`, leave out the chunks that are there already."""
    declare(sink)
    for row in range(4):
        for column in range(3):
            if not (skip and sink.has_chunk("group/values", (row, column))):
                part = VALUES[row * 4 : row * 4 + 4, column * 3 : column * 3 + 3]
                sink.write_chunk("group/values", (row, column), part)
    sums = VALUES.sum(axis=1)
    for number in range(3):
        sink.write_chunk("sums", (number,), sums[number * 5 : number * 5 + 5])
    sink.write_array("other/energies", np.linspace(-0.5, 30, 11), attributes={"units": "keV"})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the bytes of the file that a writer makes whom nobody disturbs."""
    path = tmp_path_factory.mktemp("undisturbed") / "scan.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        write(writer)
        writer.commit()
    return path.read_bytes()


@pytest.fixture(scope="module")
def entry_ends(undisturbed):
    """Return where each entry of that file ends, by name."""
    with zipfile.ZipFile(io.BytesIO(undisturbed)) as archive:
        starts = [info.header_offset for info in archive.infolist()]
        return dict(zip(archive.namelist(), [*starts[1:], archive.start_dir], strict=True))


def resume(folder, left, **options):
    """Write the file where a killed writer left some bytes; return it and whether it resumed."""
    (folder / PARTIAL).write_bytes(left)
    path = folder / "scan.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        resumed = writer.resumed
        write(writer, **options)
        writer.commit()
    assert left_behind(folder) == ["scan.zipstore"]
    return path.read_bytes(), resumed


# --- resume ---------------------------------------------------------------------------------
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), skip=st.booleans())
def test_a_file_cut_anywhere_is_taken_up(tmp_path, undisturbed, data, skip):
    """A kill comes in the middle of a header, of data, of the directory."""
    cut = data.draw(st.integers(0, len(undisturbed)))
    assert resume(tmp_path, undisturbed[:cut], skip=skip)[0] == undisturbed


@pytest.mark.parametrize("offset", [-1, 0, 1, 29, 30, 31])
def test_a_file_cut_near_each_entry_is_taken_up(tmp_path, undisturbed, entry_ends, offset):
    """The places at which counting goes wrong by one."""
    root = entry_ends[".zgroup"]
    for end in entry_ends.values():
        found, resumed = resume(tmp_path, undisturbed[: end + offset], skip=True)
        assert found == undisturbed
        assert resumed == (end + offset >= root)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), skip=st.booleans())
def test_one_wrong_byte_anywhere_is_not_taken_over(tmp_path, undisturbed, data, skip):
    """After a power cut, blocks of a file may hold anything; names have checksums, too."""
    left = bytearray(undisturbed[: data.draw(st.integers(1, len(undisturbed)))])
    left[data.draw(st.integers(0, len(left) - 1))] ^= data.draw(st.integers(1, 255))
    assert resume(tmp_path, left, skip=skip)[0] == undisturbed


def test_a_wrong_byte_in_each_part_of_each_entry_is_not_taken_over(
    tmp_path, undisturbed, entry_ends
):
    """Also in a chunk that is asked for and then left out."""
    starts = dict(zip(entry_ends, [0, *entry_ends.values()], strict=False))
    for name, end in entry_ends.items():
        for place in (starts[name] + 15, starts[name] + 31, end - 2):
            left = bytearray(undisturbed)
            left[place] ^= 1
            assert resume(tmp_path, left, skip=True)[0] == undisturbed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_hole_is_not_taken_over(tmp_path, undisturbed, data):
    """A power cut also leaves zeros where data never reached the disk."""
    start = data.draw(st.integers(0, len(undisturbed)))
    length = data.draw(st.integers(1, 4096))
    hole = bytes(min(length, len(undisturbed) - start))
    left = undisturbed[:start] + hole + undisturbed[start + len(hole) :]
    assert resume(tmp_path, left)[0] == undisturbed


def test_what_is_there_is_known_and_what_was_torn_is_not(tmp_path, undisturbed, entry_ends):
    """The blocks that are whole need not be converted again."""
    (tmp_path / PARTIAL).write_bytes(undisturbed[: entry_ends["group/values/1.1"] + 40])
    with ZipstoreWriter(tmp_path / "scan.zipstore", ATTRIBUTES) as writer:
        assert writer.resumed
        assert not writer.has_chunk("group/values", (0, 0))  # nobody declared the array yet
        writer.create_array("group/values", shape=(13, 7), dtype=np.uint16, chunks=(4, 3))
        there = [index for index in np.ndindex(4, 3) if writer.has_chunk("group/values", index)]
        assert there == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
        np.testing.assert_array_equal(writer.read_chunk("group/values", (1, 1)), VALUES[4:8, 3:6])
        with pytest.raises(KeyError):
            writer.read_chunk("group/values", (1, 2))


def test_what_is_there_is_not_written_again(tmp_path, undisturbed, entry_ends):
    """Only then does a conversion go on where it was."""
    cut = entry_ends["sums/1"]
    (tmp_path / PARTIAL).write_bytes(undisturbed[:cut])
    with ZipstoreWriter(tmp_path / "scan.zipstore", ATTRIBUTES) as writer:
        written = []
        writer._zip._write = written.append
        writer.create_array("group/values", shape=(13, 7), dtype=np.uint16, chunks=(4, 3))
        fill(writer)
        assert written == []


@pytest.mark.parametrize("name", ["group/values", "sums", None])
def test_what_lies_behind_the_last_sure_chunk_is_dropped(tmp_path, undisturbed, entry_ends, name):
    """Where threads decided the order, a resumed file is the same only from a sure place on."""
    path = tmp_path / "scan.zipstore"
    (tmp_path / PARTIAL).write_bytes(undisturbed)
    index = {"group/values": (2, 1), "sums": (1,), None: ()}[name]
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        declare(writer)
        writer.truncate_after(name, index)
        key = {"group/values": "group/values/2.1", "sums": "sums/1", None: ".zgroup"}[name]
        assert (tmp_path / PARTIAL).stat().st_size == entry_ends[key]
        assert writer.has_chunk("group/values", (2, 1)) == (name is not None)
        assert not writer.has_chunk("sums", (2,))
        write(writer, skip=True)
        writer.commit()
    assert path.read_bytes() == undisturbed


def test_arrays_whose_description_was_dropped_have_to_be_created_again(tmp_path):
    """A chunk of an array that the file does not describe would never be found."""
    with ZipstoreWriter(tmp_path / "scan.zipstore", ATTRIBUTES) as writer:
        write(writer)
        writer.truncate_after(None)
        with pytest.raises(KeyError):
            writer.write_chunk("sums", (0,), VALUES[:5, 0])


# --- what others left --------------------------------------------------------------------------
@pytest.mark.parametrize("left", [b"", b"PK", b"x" * 5000, b"PK\x03\x04" + b"\xff" * 99])
def test_what_is_no_partial_zip_is_replaced(tmp_path, undisturbed, left):
    """Any file can have that name."""
    assert resume(tmp_path, left) == (undisturbed, False)


def test_a_partial_of_other_attributes_is_replaced(tmp_path, undisturbed):
    """Another scan, other parameters, another version of the program."""
    path = tmp_path / "scan.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES | {"source": "another"}) as writer:
        write(writer)
        left = writer.temporary.read_bytes()
    (tmp_path / PARTIAL).write_bytes(left)
    with ZipstoreWriter(path, ATTRIBUTES) as writer:  # nothing of it lies behind the new root
        assert writer.temporary.read_bytes() == undisturbed[: writer.temporary.stat().st_size]
    assert resume(tmp_path, left) == (undisturbed, False)


@pytest.mark.parametrize("change", [{"chunks": (5, 3)}, {"attributes": {"sigma": 3}}])
def test_a_partial_with_other_chunks_is_kept_as_far_as_it_fits(tmp_path, undisturbed, change):
    """With another memory limit blocks are cut otherwise; the root says nothing of it."""
    path = tmp_path / "scan.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        fill(writer, **({"chunks": (4, 3)} | change))
        left = writer.temporary.read_bytes()
    assert resume(tmp_path, left) == (undisturbed, True)


def test_another_chunk_amid_what_was_written_ends_the_conversion(tmp_path, undisturbed):
    """To drop what was relied on would leave holes; the next run starts from the beginning."""
    (tmp_path / PARTIAL).write_bytes(undisturbed)

    def go_on():
        with ZipstoreWriter(tmp_path / "scan.zipstore", ATTRIBUTES) as writer:
            writer.create_array("group/values", shape=(13, 7), dtype=np.uint16, chunks=(4, 3))
            assert writer.has_chunk("group/values", (2, 0))
            writer.write_chunk("group/values", (1, 1), VALUES[:4, :3])

    with pytest.raises(OutputError, match=r"another 'group/values/1.1'.*start the conv"):
        go_on()
    assert left_behind(tmp_path) == []


def test_arrays_that_this_conversion_does_not_write_end_it(tmp_path, undisturbed):
    """They would stay in the file, and nobody knows what they hold."""
    (tmp_path / PARTIAL).write_bytes(undisturbed)

    def go_on():
        with ZipstoreWriter(tmp_path / "scan.zipstore", ATTRIBUTES) as writer:
            fill(writer)
            writer.commit()

    with pytest.raises(OutputError, match=r"holds 'other/energies/.zarray' of another conversion"):
        go_on()
    assert left_behind(tmp_path) == []


def test_a_file_that_lacks_a_chunk_is_not_finished(tmp_path):
    """Under its own name stands only what is whole."""

    def commit():
        with ZipstoreWriter(tmp_path / "scan.zipstore", ATTRIBUTES) as writer:
            writer.create_array("values", shape=(13, 7), dtype=np.uint16, chunks=(5, 7))
            writer.write_chunk("values", (0, 0), VALUES[:5])
            writer.write_chunk("values", (2, 0), VALUES[10:])
            writer.commit()

    with pytest.raises(OutputError, match=r"not finished: chunk \(1, 0\) of 'values' is missing"):
        commit()
    assert left_behind(tmp_path) == []


# --- kills -----------------------------------------------------------------------------------
WRITER = """
import sys
import numpy as np
from pathlib import Path
from maxrf_core.writer import ZipstoreWriter
with ZipstoreWriter(Path(sys.argv[1]), {attributes}) as writer:
    writer.create_array("noise", shape=(400, 5000), dtype="u2", chunks=(1, 5000))
    for row in range(400):
        if not writer.has_chunk("noise", (row, 0)):
            noise = np.random.default_rng(row).integers(0, 2**16, (1, 5000), dtype="u2")
            writer.write_chunk("noise", (row, 0), noise)
            if not row % 100:
                print(row, flush=True)
                sys.stdin.readline()
    writer.commit()
"""


def start_writer(path):
    """Start a process that writes, and waits for a line after each hundredth chunk."""
    program = WRITER.replace("{attributes}", repr(ATTRIBUTES))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", program, path], **pipes)


def test_a_killed_process_is_followed_by_one_that_goes_on(tmp_path):
    """Out of memory, a queue's time limit, a power cut: nobody asks the program."""
    with start_writer(tmp_path / "undisturbed.zipstore") as process:
        process.communicate("\n" * 9)
    path = tmp_path / "scan.zipstore"
    rows = []
    for _ in range(2):
        with start_writer(path) as process:
            rows.append(int(process.stdout.readline()))
            process.stdin.write("\n")
            process.stdin.flush()
            process.send_signal(signal.SIGKILL)  # now it writes on, or waits for the next line
        assert not path.exists()
        assert (tmp_path / PARTIAL).exists()
    with start_writer(path) as process:
        rows += map(int, process.communicate("\n" * 9)[0].split())
    assert process.returncode == 0
    assert rows == sorted(set(rows))  # none was written twice
    assert (rows[0], rows[-1]) == (0, 300)
    assert path.read_bytes() == (tmp_path / "undisturbed.zipstore").read_bytes()
    assert left_behind(tmp_path) == ["scan.zipstore", "undisturbed.zipstore"]


def test_an_interrupted_append_leaves_nothing_in_the_file(tmp_path, undisturbed, monkeypatch):
    """Control-C comes between the bytes of an entry, and may be caught."""
    path = tmp_path / "scan.zipstore"
    interrupts = itertools.count()

    class _Interrupted(io.FileIO):
        def write(self, data):
            if next(interrupts) == 5 or len(data) > 5000:
                super().write(data[:-20])
                raise KeyboardInterrupt
            return super().write(data)

    def open_interrupted(path, mode, *, opener, **_keywords):
        return _Interrupted(path, mode.replace("b", ""), opener=opener)

    monkeypatch.setattr(unfinished, "open", open_interrupted, raising=False)
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        with pytest.raises(KeyboardInterrupt):
            write(writer)
        write(writer)
        with pytest.raises(KeyboardInterrupt):
            writer.append_chunk("sums", (3,), bytes(9000))
        writer.commit()
    assert path.read_bytes() == undisturbed


# --- locks -----------------------------------------------------------------------------------
def test_the_second_writer_gets_a_file_of_its_own_and_both_succeed(tmp_path, undisturbed):
    """Two visitors ask for the same conversion; neither waits, and neither mixes."""
    path = tmp_path / "scan.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as first:
        fill(first)
        with ZipstoreWriter(path, ATTRIBUTES) as second:
            assert not second.resumed
            assert second.temporary != first.temporary == tmp_path / PARTIAL
            write(second)
            second.commit()
        assert path.read_bytes() == undisturbed
        write(first, skip=True)
        first.commit()
    with StoreReader(path) as reader:
        np.testing.assert_array_equal(reader.read_array("group/values"), VALUES)
    assert left_behind(tmp_path) == ["scan.zipstore"]


def test_who_comes_before_the_first_is_gone_keeps_the_name(tmp_path, undisturbed):
    """What is left behind after a commit is not the first writer's to remove."""
    path = tmp_path / "scan.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as first:
        write(first)
        first.commit()
        second = ZipstoreWriter(path, ATTRIBUTES)
    with second:
        assert second.temporary == tmp_path / PARTIAL
        write(second)
        second.commit()
    assert path.read_bytes() == undisturbed


def test_who_comes_after_the_first_gave_up_gets_the_name(tmp_path):
    """The lock ends with the writer."""
    path = tmp_path / "scan.zipstore"
    for _ in range(2):
        with ZipstoreWriter(path, ATTRIBUTES) as writer:
            assert writer.temporary == tmp_path / PARTIAL


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_without_locks_every_writer_has_a_file_of_its_own(
    tmp_path, undisturbed, monkeypatch, number
):
    """Some network file systems have none; then nothing is resumed, and nothing mixes."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "scan.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        assert left_behind(tmp_path) == [writer.temporary.name] != [PARTIAL]
        write(writer)
        writer.commit()
    assert path.read_bytes() == undisturbed
    assert left_behind(tmp_path) == ["scan.zipstore"]


def test_a_file_that_was_renamed_before_its_lock_was_had_is_left_alone(tmp_path, monkeypatch):
    """Else the next writer would write into the file that the one before had just finished."""
    path, done = tmp_path / "name", tmp_path / "finished"
    lock = unfinished._lock

    def lock_late(file):
        if not done.exists():
            path.rename(done)
        lock(file)

    monkeypatch.setattr(unfinished, "_lock", lock_late)
    with lock_path(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert done.read_bytes() == b""


def test_a_locked_file_is_nobody_elses_until_it_is_closed(tmp_path):
    """Within one process, too: the page converts in threads."""
    with lock_path(tmp_path / "name") as file:
        assert lock_path(tmp_path / "name") is None
        assert left_behind(tmp_path) == ["name"]  # empty, but not of no use
        file.write(b"mine")
        assert lock_path(tmp_path / "name") is None
    with lock_path(tmp_path / "name") as file:
        assert file.read() == b"mine"


# --- the zip ---------------------------------------------------------------------------------
def test_a_zip_of_many_entries_beyond_four_gigabytes_can_be_read(tmp_path):
    """Full conversions of big scans have both; the directory then has other fields."""
    path = tmp_path / "big.zip"
    partial = PartialZip(path, {"root": b"{}"})
    for number in range(70_000):
        partial.append(f"chunks/{number}", b"%d" % number)
    partial._end = 5 * 2**30  # a sparse file
    partial.append("chunks/last", b"far out")
    partial.finish(path)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 70_002
        assert archive.read("chunks/last") == b"far out"
        assert archive.read("chunks/69999") == b"69999"
    assert path.stat().st_blocks * 512 < 2**25


def test_a_partial_is_no_store_before_it_is_finished(tmp_path):
    """Who opens it by mistake is told."""
    with ZipstoreWriter(tmp_path / "scan.zipstore", ATTRIBUTES) as writer:
        write(writer)
        with pytest.raises(ZipstoreError, match="not a whole zipstore"):
            StoreReader(writer.temporary)


def test_a_reader_of_zips_finds_no_fault(tmp_path, undisturbed):
    """Python's own reader checks names, lengths and checksums of both headers."""
    path = tmp_path / "scan.zipstore"
    path.write_bytes(undisturbed)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "zipfile", "-t", path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "Done testing\n"
    assert Path(path).stat().st_size == len(undisturbed)
