"""What is told of a failure, on the page and in the log."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from dashboard import logs, metrics
from dashboard.faults import reported
from maxrf_core import ParameterError, ZipstoreError

logger = logging.getLogger("dashboard.somewhere")


def raised(error: Exception) -> Exception:
    """Return an error with a traceback."""
    try:
        raise error
    except type(error) as caught:
        return caught


def faults() -> float:
    """Return how many failures were counted."""
    (found,) = re.findall(rb"^maxrf_faults_total (\S+)$", metrics.as_text(), re.MULTILINE)
    return float(found)


def test_a_failure_has_a_number_that_the_log_knows(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is told of it on the telephone finds its traceback."""
    before = faults()
    sentence = reported(logger, "a map failed", raised(ZipstoreError("the file is gone.")))
    told, number = re.fullmatch(r"(.*) \(fault ([0-9a-f]{8})\)", sentence).groups()
    assert told == "the file is gone."
    (record,) = caplog.records
    assert record.getMessage() == f"a map failed [fault {number}]"
    assert record.fault == number
    assert record.exc_info is not None
    assert faults() == before + 1


def test_of_what_is_unforeseen_the_page_tells_no_text() -> None:
    """Nobody knows what it contains: a path, a name, a password."""
    sentence = reported(logger, "a map failed", raised(RuntimeError("/home/anna/secret")))
    assert "secret" not in sentence
    assert "RuntimeError" in sentence


def test_what_only_asks_for_something_else_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """It has no number, and no traceback."""
    before = faults()
    error = raised(ParameterError("the window is empty."))
    assert reported(logger, "a map failed", error) == "the window is empty."
    assert not [one for one in caplog.records if one.exc_info]
    assert faults() == before


# --- lines of the log -------------------------------------------------------------------------


def line_of(formatter: logging.Formatter, message: str, **extra: Any) -> str:
    """Return what a formatter makes of a message."""
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", "name": "x", **extra})
    assert logs._with_visit(record)
    return formatter.format(record)


@pytest.mark.parametrize("bad", ["two\nlines", "a\rb", "\x1b[2Jcleared", "nul\x00", "\u202eright"])
def test_a_text_begins_no_line_of_its_own(bad: str) -> None:
    """A file's name could pretend to be an event, or speak to the terminal."""
    for formatter in (logs._Lines(), logs._JsonLines()):
        line = line_of(formatter, bad, maxrf_facts={"scan": bad})
        assert "\n" not in line
        assert line.isprintable()


def test_lines_for_people_and_for_programs() -> None:
    """The same facts in both."""
    facts = {"scan": "page 7", "n": 3}
    text = line_of(logs._Lines(), "scan shown", maxrf_facts=facts, visit="0123abcd")
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\S+ INFO scan shown visit=0123abcd scan="page 7" n=3', text
    )
    told = json.loads(line_of(logs._JsonLines(), "scan shown", maxrf_facts=facts, visit="0123abcd"))
    assert told["event"] == "scan shown"
    assert told["visit"] == "0123abcd"
    assert {key: told[key] for key in facts} == facts


def test_a_traceback_stays_in_its_line_of_json() -> None:
    """Programs read line by line."""
    error = raised(ValueError("x"))
    line = line_of(logs._JsonLines(), "failed", exc_info=(ValueError, error, error.__traceback__))
    assert "\n" not in line
    assert "ValueError: x" in json.loads(line)["traceback"]
