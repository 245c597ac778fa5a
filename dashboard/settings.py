"""What whoever started the server decided: who may change something, and how many may come."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings", "configure", "settings"]


@dataclass(frozen=True)
class Settings:
    """Decisions of a server, made once at its start.

    Parameters
    ----------
    read_only : bool
        Nobody converts anything or keeps anything beside a scan.
    everyone_may_change : bool
        Whoever reaches the server may.
    owners : frozenset of str
        Users who may, where visitors have to log in.
    has_login : bool
        Whether they have to.
    """

    read_only: bool = False
    everyone_may_change: bool = False
    owners: frozenset[str] = frozenset()
    has_login: bool = False


_settings = Settings()


def settings() -> Settings:
    """Return the decisions of this server; of a notebook or ``panel serve`` the default ones."""
    return _settings


def configure(decided: Settings) -> None:
    """Set them, before anybody comes."""
    global _settings  # noqa: PLW0603 - one server a process
    _settings = decided
