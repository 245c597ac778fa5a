"""The report on a Crono file: readable, complete, safe to print, and never reading big data."""

from __future__ import annotations

import crono_files as files
import h5py
import numpy as np
import pytest

from maxrf_core.errors import CronoFileError
from maxrf_core.report import report

REFUSED = ("not-existing", "folder", "empty-file", "not-hdf5", "truncated", "bad-superblock")


def line_of(text: str, beginning: str) -> str:
    """Return the one line that begins so, without its indent."""
    (line,) = [line for line in map(str.strip, text.splitlines()) if line.startswith(beginning)]
    return line


def test_the_reference_scan_is_summed_up():
    """Who has a file from elsewhere first wants to know what it is."""
    lines = report(files.REFERENCE).splitlines()
    assert lines[:4] == [
        "crono-12x9.HDF5",
        "181,632 bytes, written by CRONO 1.2.4.54, created 2021-10-15T14:20:02",
        (
            "259 spectra of 4096 channels, -1.170 to 47.779 keV; vendor's map 12 rows x 9 columns; "
            "x 132252 to 141252, y 111816 to 117316 motor steps; live time 59.371 ms (median); "
            "7 regions of interest"
        ),
        (
            "regions in keV: SiKa 1.639-1.890, CaKa 3.516-3.850, FeKa 6.169-6.612, "
            "CuKa 7.850-8.250, ZnKa 8.369-8.871, PbLa 10.353-10.819, PbLb 12.421-12.863"
        ),
    ]
    assert lines[-1] == "No faults found."


def test_all_datasets_stand_in_visit_order_with_their_numbers():
    """The numbers are how notebooks written for cronomaxrf address them."""
    numbers = [
        int(line.strip()[1:].split("]")[0])
        for line in report(files.REFERENCE).splitlines()
        if line.strip().startswith("[")
    ]
    assert numbers == list(range(32))


@pytest.mark.parametrize(
    "line",
    [
        "[26] Spectra (20, 40) uint16, chunks (7, 40) shuffle+gzip: min 0, median 2, max 7",
        "[3] CreatedDateTime (50,) S1, contiguous: 10/15/2021 14:20:02",
        "[5] FileStructureVersion (2,) int32, contiguous: [1, 6]",
        "[8] Static (2,) vlen V1, contiguous: 2 of variable length, not read",
        (
            "[12] DPPStartTimestamp (20,) uint64, contiguous: "
            "min 125903380430, median 125903380430, max 125903380430"
        ),
        "[16] ComputedMaps (4, 3, 3) float64, contiguous: all 36 values NaN or infinite",
        (
            "[17] MotorsPositions (20, 3) uint32, contiguous: "
            "column 0: min 130252, median 132252, max 134252; "
            "column 1: min 111816, median 112566, max 113316; "
            "column 2: min 46018, median 46018, max 46018"
        ),
        "[20] OutputCountRates (20,) float64, contiguous: min 8, median 8.475, max 8.95",
        "@Collimator = 0,5 mm",
        "@Filter = Al 100 µm",
        "@MapSetup = <5 bytes>",
        "@CalibrationBins = 40",
    ],
)
def test_layout_values_and_attributes_are_shown(tmp_path, line):
    """Each kind of dataset and attribute has a short line that says what it holds."""
    path = files.write_crono(
        tmp_path / "scan.HDF5", chunks=(7, 40), compression="gzip", shuffle=True
    )
    assert line in map(str.strip, report(path).splitlines())


def test_empty_regions_are_marked(tmp_path):
    """An empty region gives an empty map, which is no fault of the scan."""
    text = report(files.write_crono(tmp_path / "scan.HDF5"))
    assert "3 regions of interest (1 empty)" in text
    assert "CuKa (empty) 7.549-7.549" in text


@files.needs_real_scan
def test_large_data_are_sampled_and_said_to_be():
    """10 MB of counts stand for 22 GB: 64 rows are read, and the reader is told."""
    text = report(files.REAL_SCAN)
    assert text.count("sampled rows") == 1
    assert "regions in keV" not in text  # it has none
    spectra = line_of(text, "[26]")
    assert spectra.endswith("min 0, median 0, max 38 (of 64 sampled rows)")


def test_only_a_few_rows_of_large_data_are_read(tmp_path, monkeypatch):
    """The whole point of sampling: what is never asked for costs nothing."""
    rows_read = []
    read = h5py.Dataset.__getitem__

    def spy(dataset, selection, **keywords):
        if dataset.name == "/Big":
            rows_read.append(selection)
        return read(dataset, selection, **keywords)

    path = tmp_path / "scan.HDF5"
    with h5py.File(path, "w") as file:
        file.create_dataset("Big", data=np.arange(2_000_000, dtype="u4").reshape(-1, 1000))
    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    text = report(path)
    # first and last row are among them; the median is 999999.5, to six digits
    assert "min 0, median 1e+06, max 1999999 (of 64 sampled rows)" in text
    assert len(rows_read) == 64
    assert all(isinstance(row, int) for row in rows_read)


def test_rows_in_huge_chunks_are_not_read(tmp_path):
    """A row of a chunked dataset costs whole chunks: 512 MB of them for this one."""
    path = tmp_path / "scan.HDF5"
    with h5py.File(path, "w") as file:
        shape = (2**15, 2**12)
        file.create_dataset("Big", shape, "f4", chunks=shape, compression="gzip")
    assert "not read, a row takes 536,870,912 bytes" in line_of(report(path), "[0] Big")


@pytest.mark.parametrize("name", [name for name in files.BROKEN if name not in REFUSED])
def test_faults_stand_at_the_end_instead_of_being_raised(tmp_path, name):
    """The report is how one finds out what is wrong with a file."""
    text = report(files.BROKEN[name](tmp_path))
    assert "not a usable scan, see the faults at the end" in text
    assert files.MESSAGES[name] in text.rsplit("\n\n", 1)[-1]
    assert "No faults found." not in text


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_hdf5_is_refused(tmp_path, name):
    """There is nothing to report on."""
    with pytest.raises(CronoFileError) as caught:
        report(files.BROKEN[name](tmp_path))
    assert files.MESSAGES[name] in str(caught.value)


def test_what_was_ignored_is_listed(tmp_path):
    """A scan without its live times works, but not as its owner may think."""
    replace = {"XRF/LiveTimes": np.zeros(files.N, np.uint64)}
    text = report(files.write_crono(tmp_path / "scan.HDF5", replace))
    assert "; no live times; " in text
    faults, heading, note = text.splitlines()[-3:]
    assert (faults, heading) == ("No faults found.", "Ignored:")
    assert note.startswith("- XRF/LiveTimes is 0 s at spectrum 0")


def test_no_text_of_the_file_can_command_the_terminal(tmp_path):
    """Names, attributes, links and values may hold escape sequences or line breaks."""
    evil = "\x1b]0;owned\x07\r\n\x9b31m\u202e"
    raw = files.characters(evil.replace("\u202e", ""), 50)
    replace = {
        "CreatedWithSoftwareVersion": raw,
        "CreatedDateTime": raw,
        "XRF/ROIs/ROIsNames": files.vlen([raw] * 3, files.BYTE),
        f"Images/{evil}": np.arange(3),
        f"Images/soft{evil}": h5py.SoftLink(f"/{evil}"),
        f"Images/external{evil}": h5py.ExternalLink(f"{evil}.h5", f"/{evil}"),
    }
    path = files.write_crono(tmp_path / "scan\x1b[2J.HDF5", replace)
    with h5py.File(path, "a") as file:
        file.attrs[f"name{evil}"] = evil
        file.attrs["list"] = np.array([evil, "b"], object)
        file["Images"].create_dataset("fields", (2,), np.dtype([(evil, "u1"), ("b", "u1")]))
    text = report(path)
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.count("]0;owned") >= 12  # nothing was dropped either


def test_links_are_shown_and_not_followed(tmp_path):
    """A link to another file is where data went missing from; a loop must not catch us."""
    replace = {
        "Images/Elsewhere": h5py.ExternalLink("other.HDF5", "/XRF"),
        "Images/Loop": h5py.SoftLink("/Images"),
    }
    path = files.write_crono(tmp_path / "scan.HDF5", replace)
    with h5py.File(path, "a") as file:
        file["Images/Again"] = file["Images"]
        file["XRF/Twin"] = file["XRF/Spectra"]
    text = report(path)
    assert "Elsewhere -> other.HDF5:/XRF" in text
    assert "Loop -> /Images" in text
    assert "Again" in line_of(text, "Again")
    assert text.count("StitchedImage") == 1
    assert line_of(text, "[26] Spectra (20, 40)")
    assert line_of(text, "Twin (20, 40)")  # has no number of its own


def test_odd_types_do_not_stop_the_report(tmp_path):
    """What numpy has no type for, or h5py no text, gets its line all the same."""
    path = tmp_path / "scan.HDF5"
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b"Time", h5py.h5t.UNIX_D32LE, space)
        file["Type"] = np.dtype("f4")
        file["Null"] = h5py.Empty("f4")
        file["Flags"] = np.arange(12) % 3 == 0
        file["Text"] = "vlen"
        file["Large"] = np.full(9, np.iinfo(np.uint64).max)
        file["Floats"] = np.array([np.finfo("f8").max] * 10)
        file["Halves"] = np.full(9, 60000, np.float16)
        file["Mixed"] = np.array([1.5, np.nan, np.inf] * 3)
        file.create_dataset("Gerät".encode("latin-1"), data=np.arange(3))
        file["Pairs"] = np.zeros(3, [("a", "u1"), ("b", "f4")])
        file["Novel"] = np.full(5 * 2**20, b"x", "S1")
        blobs, dtype = files.vlen([np.frombuffer(b"\0\1", files.BLOB)] * 2, files.BLOB)
        file.attrs.create("blobs", blobs, dtype=dtype)
        file.attrs["long"] = "x" * 101
        file.attrs["short"] = "x" * 100
    text = report(path)
    assert "cannot be opened: No NumPy equivalent" in line_of(text, "Time")
    assert line_of(text, "Type") == "Type"
    assert line_of(text, "[8] Pairs").endswith("not read")
    assert line_of(text, "[6] Novel").endswith("S1, contiguous: text, not read")
    assert line_of(text, "@blobs") == "@blobs = [<2 bytes>, <2 bytes>]"
    assert line_of(text, "@long") == f"@long = {'x' * 97}..."
    assert line_of(text, "@short") == f"@short = {'x' * 100}"
    assert line_of(text, "[7] Null").endswith("float32, contiguous: empty")
    assert line_of(text, "[0] Flags").endswith("min 0, median 0, max 1")
    assert line_of(text, "[9] Text").endswith(
        "vlen text, contiguous: 1 of variable length, not read"
    )
    largest = np.iinfo(np.uint64).max
    assert f"min {largest}, median 1.84467e+19, max {largest}" in line_of(text, "[4] Large")
    assert "max 1.79769e+308" in line_of(text, "[1] Floats")
    assert "max 60000" in line_of(text, "[3] Halves")
    assert line_of(text, "[5] Mixed").endswith("min 1.5, median 1.5, max 1.5, 6 NaN or infinite")
    assert "Gerät (3,) int64, contiguous: [0, 1, 2]" in text


@pytest.mark.parametrize("name", ["damaged-chunk", "spectra-filter"])
def test_counts_that_cannot_be_read_are_said_so(tmp_path, name):
    """The scan is whole but for its counts: their line has the reason."""
    line = line_of(report(files.BROKEN_COUNTS[name](tmp_path)), "[26] Spectra")
    assert ": cannot be read: Can't synchronously read data" in line


@pytest.mark.parametrize(
    ("name", "dataset"),
    [("external-energies", "[14] EnergyVector"), ("virtual-spectra", "[26] Spectra")],
)
def test_values_in_other_files_are_not_read(tmp_path, name, dataset):
    """A file from elsewhere must not make us read any file of this machine."""
    line = line_of(report(files.BROKEN[name](tmp_path)), dataset)
    assert line.endswith("kept in another file, not read")
