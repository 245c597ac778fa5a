"""``maxrf user``: names and passwords of those who may log in to a server."""

from __future__ import annotations

import argparse
import sys
from getpass import getpass
from pathlib import Path

from .errors import ParameterError
from .users import ROLES, keep_user

__all__ = ["USER", "add_user", "user"]

USER = """\
Add a user to the file that maxrf serve --users takes, give one another password, or remove one.

The password is asked for, twice, or read from the first line of the standard input where that is no
terminal. The file keeps only what a password can be checked with (scrypt), and is made readable
for you alone. A server reads it when it starts.

Readers look at scans and export them; owners convert them, too, calibrate them, and keep views
and photos beside them.

example:
  maxrf user users.json anna --role owner
  maxrf user users.json bert
  maxrf user users.json bert --remove
"""


def add_user(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("file", metavar="FILE", type=Path, help="file of users; made if it is not there")
    add("name", metavar="NAME", help="of the user")
    add("--role", choices=ROLES, default="reader", help="what they may do (default: %(default)s)")
    add("--remove", action="store_true", help="take the user out of the file")


def user(args: argparse.Namespace) -> str:
    """Do it, and return what to say.

    Raises
    ------
    ParameterError
        If the passwords differ, or name or password cannot be used.
    OutputError
        If the file cannot be written.
    """
    if args.remove:
        keep_user(args.file, args.name, None)
        return f"{args.name} may not log in any more, once the server is started anew."
    keep_user(args.file, args.name, _password(), role=args.role)
    return f"{args.name} may log in as {args.role}, once the server is started anew."


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass("Password: ")
    if getpass("The same again: ") != password:
        raise ParameterError("the two passwords differ; nothing was changed.")
    return password
