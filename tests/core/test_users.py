"""The file of users: what it keeps, and what it refuses."""

from __future__ import annotations

import io
import os

import pytest

from maxrf_core import ParameterError
from maxrf_core.cli import main
from maxrf_core.users import check_password, keep_user, read_users

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody


@pytest.fixture
def file(tmp_path):
    """A file with an owner."""
    path = tmp_path / "users.json"
    keep_user(path, "anna", PASSWORD, role="owner")
    return path


def test_a_password_is_checked_and_not_kept(file):
    """Nobody who reads the file can log in."""
    assert PASSWORD not in file.read_text()
    anna = read_users(file)["anna"]
    assert anna.role == "owner"
    assert check_password(anna, PASSWORD)
    for other in ("", PASSWORD[:-1], PASSWORD + " ", PASSWORD.upper()):
        assert not check_password(anna, other)
    assert not check_password(None, PASSWORD)


def test_equal_passwords_have_other_keys(file):
    """A table of keys of common passwords is of no use."""
    keep_user(file, "bert", PASSWORD)
    users = read_users(file)
    assert list(users) == ["anna", "bert"]
    assert users["anna"].key != users["bert"].key
    assert users["bert"].role == "reader"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_the_file_is_the_owners_alone(file):
    """Also when it is written again."""
    assert file.stat().st_mode & 0o777 == 0o600
    keep_user(file, "bert", PASSWORD)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_user_gets_another_password_or_goes(file):
    """The others stay."""
    keep_user(file, "bert", PASSWORD)
    keep_user(file, "anna", "another one", role="reader")
    anna = read_users(file)["anna"]
    assert (check_password(anna, "another one"), check_password(anna, PASSWORD)) == (True, False)
    keep_user(file, "anna", None)
    assert list(read_users(file)) == ["bert"]
    with pytest.raises(ParameterError, match="no user 'anna'"):
        keep_user(file, "anna", None)


@pytest.mark.parametrize(
    ("name", "password", "told"),
    [
        ("", PASSWORD, "cannot be a name"),
        (" anna", PASSWORD, "cannot be a name"),
        ("an\nna", PASSWORD, "cannot be a name"),
        ("a" * 201, PASSWORD, "cannot be a name"),
        ("carl", "short", "has 5 characters; expected 8 to 200"),
        ("carl", "x" * 201, "has 201 characters"),
    ],
)
def test_names_and_passwords_that_cannot_be_used(file, name, password, told):
    """The file is as it was."""
    before = file.read_bytes()
    with pytest.raises(ParameterError, match=told):
        keep_user(file, name, password)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"users": 3}',
        '{"users": {"anna": 3}}',
        '{"users": {"anna": {"salt": "AA==", "key": "AA=="}}}',
        '{"users": {"anna": {"salt": "AA==", "key": "AA==", "role": "king"}}}',
        '{"users": {"anna": {"salt": "AA==", "key": "AA==", "role": "owner", "x": 1}}}',
        '{"users": {"anna": {"salt": 3, "key": "AA==", "role": "owner"}}}',
        '{"users": {"anna": {"salt": "no base 64", "key": "AA==", "role": "owner"}}}',
    ],
)
def test_a_file_of_something_else_is_refused(file, text):
    """And not written over."""
    file.write_text(text)
    for attempt in (lambda: read_users(file), lambda: keep_user(file, "bert", PASSWORD)):
        with pytest.raises(ParameterError, match=r"users\.json"):
            attempt()
    assert file.read_text() == text


def test_no_file_says_how_to_make_one(tmp_path):
    """A server that is started without it does not start."""
    with pytest.raises(ParameterError, match=r"maxrf user .*gone\.json NAME"):
        read_users(tmp_path / "gone.json")


class Typed:
    """A standard input: a pipe with lines, or a terminal."""

    def __init__(self, text: str, *, is_terminal: bool = False) -> None:
        self.readline = io.StringIO(text).readline
        self.isatty = lambda: is_terminal


def test_the_command_reads_the_password_from_a_pipe(tmp_path, monkeypatch, capsys):
    """As a script has it."""
    path = tmp_path / "users.json"
    monkeypatch.setattr("sys.stdin", Typed(f"{PASSWORD}\nand more\n"))
    assert main(["user", str(path), "anna", "--role", "owner"]) == 0
    assert "anna may log in as owner" in capsys.readouterr().out
    assert check_password(read_users(path)["anna"], PASSWORD)
    assert main(["user", str(path), "anna", "--remove"]) == 0
    assert read_users(path) == {}
    monkeypatch.setattr("sys.stdin", Typed(""))
    assert main(["user", str(path), "anna"]) == 1
    assert "has 0 characters" in capsys.readouterr().err


@pytest.mark.parametrize(("again", "code"), [(PASSWORD, 0), ("a slip of a finger", 1)])
def test_the_command_asks_twice_on_a_terminal(tmp_path, monkeypatch, capsys, again, code):
    """What nobody sees is easily mistyped."""
    path = tmp_path / "users.json"
    asked = iter([PASSWORD, again])
    monkeypatch.setattr("sys.stdin", Typed("", is_terminal=True))
    monkeypatch.setattr("maxrf_core.cli_users.getpass", lambda _: next(asked))
    assert main(["user", str(path), "anna"]) == code
    assert path.exists() is (code == 0)
    assert ("passwords differ" in capsys.readouterr().err) is (code == 1)
