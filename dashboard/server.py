"""The program behind ``maxrf serve``: Panel's server with its doors closed.

It is ``panel serve`` with a few options more; what they decide is the same for all visitors.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bokeh.command.subcommand import Argument
from panel.command.serve import Serve
from panel.config import config
from tornado.web import RequestHandler

from maxrf_core import MaxrfError
from maxrf_core.users import read_users

from .doors import DEFAULT_MOST_VISITS, close_doors, sessions_of
from .login import UsersProvider
from .logs import log_request, start_logging
from .metrics import CACHE_BYTES, OPEN_SCANS, REFUSED, VISITS_NOW, as_text
from .rights import is_here
from .routes import close_routes
from .settings import Settings, configure
from .tuning import tune

__all__ = ["HealthHandler", "MetricsHandler", "main"]

_NO_COOKIES = ["maxrf-no-cookies"]
"""The page tells its scripts the cookies of this name: that is, none."""

_HEADERS_KEPT = ["Host"]
"""Headers that a page keeps of its request; its scripts could read all of them."""


class HealthHandler(RequestHandler):
    """Whether the server answers: for whoever starts it again when it does not."""

    def get(self) -> None:
        """Answer."""
        self.set_header("Cache-Control", "no-store")
        self.write({"status": "ok"})


class MetricsHandler(RequestHandler):
    """How it is doing, for Prometheus on this computer, or for everybody."""

    def initialize(self, *, is_open: bool) -> None:
        """Take over who may ask."""
        self._is_open = is_open

    def get(self) -> None:
        """Answer, or refuse who asks from elsewhere."""
        if not (self._is_open or is_here(self.request)):
            REFUSED.labels("metrics").inc()
            self.send_error(403)
            return
        # The scans are imported with the page: a worker that forks must not have them open.
        from .data import cached_bytes, open_scans

        kept = [sessions_of(context) for context in self.application._applications.values()]  # noqa: SLF001
        VISITS_NOW.labels("connected").set(sum(connected for connected, _ in kept))
        VISITS_NOW.labels("waiting").set(sum(waiting for _, waiting in kept))
        OPEN_SCANS.set(len(open_scans()))
        CACHE_BYTES.set(cached_bytes())
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.write(as_text())


class LabServe(Serve):
    """`panel serve` with users, rights, limits and headers."""

    args = (
        *Serve.args,
        ("--users", Argument(type=Path, help="file of those who may log in")),
        ("--owner", Argument(action="append", default=[], help="user who may change something")),
        ("--read-only", Argument(action="store_true", help="nobody may change anything")),
        ("--everyone-may-change", Argument(action="store_true", help="all visitors may")),
        (
            "--max-visits",
            Argument(type=int, default=DEFAULT_MOST_VISITS, help="pages at once in a process"),
        ),
        ("--open-metrics", Argument(action="store_true", help="/metrics is for everybody")),
    )

    def customize_kwargs(self, args: argparse.Namespace, server_kwargs: dict[str, Any]) -> Any:
        """Return what Panel makes its server of, with our doors."""
        users = None if args.users is None else read_users(args.users)
        owners = {name for name, user in (users or {}).items() if user.role == "owner"}
        configure(
            Settings(
                read_only=args.read_only,
                everyone_may_change=args.everyone_may_change,
                owners=frozenset(owners | set(args.owner)),
                has_login=bool(users is not None or args.oauth_provider or config.oauth_provider),
            )
        )
        tune()
        close_routes()
        close_doors(args.max_visits)
        # Whoever has logged in does so again when the server was started anew.
        config.cookie_secret = config.cookie_secret or secrets.token_urlsafe(48)
        kwargs = super().customize_kwargs(args, server_kwargs)
        if users is not None:
            kwargs["auth_provider"] = UsersProvider(users)
        kwargs["extra_patterns"] += [
            (r"/healthz", HealthHandler),
            (r"/metrics", MetricsHandler, {"is_open": args.open_metrics}),
        ]
        kwargs.update(
            # A page opens only for whom the server made it: nobody can make up its name.
            sign_sessions=True,
            secret_key=kwargs.get("secret_key") or secrets.token_bytes(48),
            include_cookies=_NO_COOKIES,
            include_headers=_HEADERS_KEPT,
            log_function=log_request,
        )
        return kwargs


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until the process is ended.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments of ``panel serve``, and ours.

    Raises
    ------
    SystemExit
        With 1 if it could not be started, after a sentence on the standard error stream.
    """
    parser = argparse.ArgumentParser(prog="maxrf serve")
    parser.add_argument("--json-log", action="store_true", help="log lines as JSON")
    command = LabServe(parser)
    args = parser.parse_args(argv)
    start_logging(as_json=args.json_log)
    try:
        command.invoke(args)
    except MaxrfError as error:
        parser.exit(1, f"maxrf: error: {error}\n")


if __name__ == "__main__":
    main()
