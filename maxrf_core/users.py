"""Names and passwords of those who may log in to a server, in a small file.

Passwords are kept as their scrypt keys (RFC 7914, with the cost that OWASP's Password Storage
Cheat Sheet names for it: N = 2^15, r = 8, p = 3), each with a salt of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import ParameterError
from .unfinished import replace_file, told

__all__ = ["ROLES", "SHORTEST_PASSWORD", "User", "check_password", "keep_user", "read_users"]

SHORTEST_PASSWORD = 8
_LONGEST = 200
_COST, _BLOCK, _PARALLEL = 2**15, 8, 3
_MEMORY = 2 * 128 * _COST * _BLOCK
ROLES = ("reader", "owner")


@dataclass(frozen=True)
class User:
    """Somebody who may log in.

    Parameters
    ----------
    salt, key : str
        Of the password, in base 64.
    role : {"reader", "owner"}
        Readers look and export; owners convert scans and keep things beside them, too.
    """

    salt: str
    key: str
    role: str


def read_users(path: Path) -> dict[str, User]:
    """Return the users of a file by name.

    Raises
    ------
    ParameterError
        If it cannot be read or is no such file.
    """
    advice = f"Make one with: maxrf user {path} NAME"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParameterError(f"there is no file of users {path}. {advice}") from error
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"the file of users {path} cannot be read: {error}. {advice}"
        ) from error
    try:
        users = {str(name): User(**user) for name, user in stored["users"].items()}
        for user in users.values():
            base64.b64decode(user.salt, validate=True)
            base64.b64decode(user.key, validate=True)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ParameterError(f"{path} is no file of users. {advice}") from error
    for name, user in users.items():
        if user.role not in ROLES:
            raise ParameterError(
                f"the role of {name!r} in {path} is {user.role!r}; expected {' or '.join(ROLES)}."
            )
    return users


def keep_user(path: Path, name: str, password: str | None, *, role: str = "reader") -> None:
    """Add a user to a file, or give one another password; without a password, remove one.

    Parameters
    ----------
    path : Path
        The file; made if it is not there, readable for its owner only.
    name : str
        Of the user.
    password : str or None
        At least eight characters.
    role : {"reader", "owner"}
        What they may do.

    Raises
    ------
    ParameterError
        If the name or the password cannot be used, or the file is none of users.
    OutputError
        If the file cannot be written.
    """
    users = read_users(path) if path.exists() else {}
    if not name.isprintable() or not 0 < len(name) <= _LONGEST or name != name.strip():
        raise ParameterError(
            f"{name!r} cannot be a name; use up to {_LONGEST} printable characters."
        )
    if password is None:
        if users.pop(name, None) is None:
            raise ParameterError(f"there is no user {name!r} in {path}.")
    elif not SHORTEST_PASSWORD <= len(password) <= _LONGEST:
        raise ParameterError(
            f"the password has {len(password)} characters; expected {SHORTEST_PASSWORD} to "
            f"{_LONGEST}."
        )
    else:
        salt = secrets.token_bytes(16)
        users[name] = User(_base64(salt), _base64(_key(password, salt)), role)
    stored = {"users": {name: asdict(user) for name, user in sorted(users.items())}}
    with told(path):
        replace_file(path, json.dumps(stored, indent=1).encode(), mode=0o600)


def check_password(user: User | None, password: str) -> bool:
    """Return whether a password is a user's; for nobody's it takes as long to say no.

    Parameters
    ----------
    user : User or None
        Whose; None if nobody has the name that was given.
    password : str
        As it was typed.
    """
    salt = bytes(16) if user is None else base64.b64decode(user.salt)
    key = _key(password[:_LONGEST], salt)
    return user is not None and hmac.compare_digest(key, base64.b64decode(user.key))


def _key(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY, dklen=64
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
