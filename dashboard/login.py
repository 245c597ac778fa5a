"""Logging in with a name and a password of a file of users."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from panel.auth import BasicAuthProvider, _validate_next_url
from panel.config import config
from tornado.web import RequestHandler

from maxrf_core.users import User, check_password

from .doors import with_policy
from .logs import log_event
from .metrics import REFUSED

__all__ = ["Attempts", "LoginHandler", "LogoutHandler", "UsersProvider"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>MA-XRF: log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; background: #f4f4f4; color: #222; margin: 0 }}
form {{ max-width: 20em; margin: 15vh auto 0; padding: 1.5em 2em 2em; background: #fff;
border-radius: 8px; box-shadow: 0 1px 4px #0003 }}
h1 {{ font-size: 1.3em; margin: 0 0 .5em }}
label {{ display: block; margin-top: 1em }}
input, button {{ font: inherit; box-sizing: border-box; width: 100%; padding: .5em;
border: 1px solid #777; border-radius: 4px; background: #fff; color: #222 }}
button {{ margin-top: 1.5em; background: #0072b5; border-color: #0072b5; color: #fff;
cursor: pointer }}
p {{ color: #b00020; margin: 1em 0 0 }}
@media (prefers-color-scheme: dark) {{
body {{ background: #121212; color: #e6e6e6 }}
form {{ background: #1e1e1e }} input {{ background: #2a2a2a; color: #e6e6e6 }}
p {{ color: #ff8a80 }} }}
</style></head>
<body><form method="post" action="{action}"><h1>MA-XRF</h1>
<label>Name <input name="username" autocomplete="username" autocapitalize="none" required
autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password"
required></label>
<button>Log in</button>{told}</form></body></html>
"""

_WAIT_AFTER = 3
_LONGEST_WAIT_S = 60.0


class Attempts:
    """Failed attempts to log in: after three of a name, each next one has to wait for longer.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[int, float]] = {}

    def wait_s(self, name: str) -> float:
        """Return for how long an attempt under this name is refused, in seconds."""
        times, last = self._failed.get(name, (0, 0.0))
        if times < _WAIT_AFTER:
            return 0.0
        pause = min(2.0 ** (times - _WAIT_AFTER), _LONGEST_WAIT_S)
        return max(0.0, last + pause - self._clock())

    def failed(self, name: str) -> None:
        """Note that one failed."""
        self._failed[name] = (self._failed.get(name, (0, 0.0))[0] + 1, self._clock())

    def succeeded(self, name: str) -> None:
        """Forget those that failed."""
        self._failed.pop(name, None)


class LoginHandler(RequestHandler):
    """The page that asks for name and password; nothing of it comes from elsewhere."""

    def initialize(self, users: Mapping[str, User], attempts: Attempts, turn: asyncio.Lock) -> None:
        """Take over what all requests share."""
        self._users, self._attempts, self._turn = users, attempts, turn

    def get(self) -> None:
        """Ask."""
        self._ask("")

    async def post(self) -> None:
        """Let in who knows a password."""
        place = self._next
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            self._refuse(403, "the form of another page", "Log in on this page.")
            return
        name, password = self.get_argument("username", ""), self.get_argument("password", "", False)
        # Names that nobody has wait together, so that there are never more than users.
        counted = name if name in self._users else ""
        async with self._turn:  # one at a time: the cost of a password is what slows guessing down
            wait_s = self._attempts.wait_s(counted)
            if wait_s > 0:
                self.set_header("Retry-After", str(int(wait_s) + 1))
                told = f"Too many attempts; try again in {int(wait_s) + 1} s."
                self._refuse(429, "too many attempts", told)
                return
            user = self._users.get(name)
            if not await asyncio.to_thread(partial(check_password, user, password)):
                self._attempts.failed(counted)
                self._refuse(401, "name or password", "Name or password are wrong.")
                return
            self._attempts.succeeded(counted)
        log_event("logged in")
        self.set_signed_cookie(
            "user",
            name,
            expires_days=config.oauth_expiry,
            path=config.cookie_path,
            httponly=True,
            samesite="Lax",
            secure=self.request.protocol == "https",
        )
        self.redirect(place)

    @property
    def _next(self) -> str:
        """Where a visitor goes then: a place of this server, which Panel checks."""
        return _validate_next_url(self.get_argument("next", "")) or f"{self.application.prefix}/"

    def _refuse(self, status: int, why: str, told: str) -> None:
        REFUSED.labels("login").inc()
        log_event("login refused", why=why)
        self.set_status(status)
        self._ask(told)

    def _ask(self, told: str) -> None:
        page = _PAGE.format(
            action=html.escape(self.request.uri or ""),
            told=f'<p role="alert">{html.escape(told)}</p>' if told else "",
        )
        self.set_header("Cache-Control", "no-store")
        self.write(with_policy(self, page))


class LogoutHandler(RequestHandler):
    """Forget who this is, and ask again."""

    def get(self) -> None:
        """Log out."""
        for name in ("user", "id_token", "access_token", "refresh_token"):
            self.clear_cookie(name, path=config.cookie_path)
        self.redirect(f"{self.application.prefix}/login")


class UsersProvider(BasicAuthProvider):
    """Who may come in: the users of a file.

    Parameters
    ----------
    users : mapping of str to User
        By name.
    """

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = users
        super().__init__()

    @property
    def get_user(self) -> Callable[[Any], str | None]:
        """Return the function that tells who asks: whose cookie we signed, if they still may."""
        signed = super().get_user

        def get_user(handler: RequestHandler) -> str | None:
            user = signed(handler)
            return user if user in self._users else None

        return get_user

    @property
    def endpoints(self) -> list[tuple[Any, ...]]:
        """Return the routes of logging in and out."""
        shared = {"users": self._users, "attempts": Attempts(), "turn": asyncio.Lock()}
        return [(self.login_url, LoginHandler, shared), (self.logout_url, LogoutHandler)]
