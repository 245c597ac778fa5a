"""What a visitor is told of a failure: a sentence, and a number that the log knows."""

from __future__ import annotations

import logging
import secrets

from maxrf_core import MaxrfError, ParameterError

from .metrics import FAULTS
from .text import sentence_of, without_folders

__all__ = ["numbered", "reported"]


def reported(logger: logging.Logger, what: str, error: Exception) -> str:
    """Log a failure with its traceback, and return what the page says of it.

    Parameters
    ----------
    logger : Logger
        Of the module in which it was noticed.
    what : str
        What failed, for the log.
    error : exception
        Why. One of ours brings its own sentence; of another the page tells no more than its
        kind, as nobody knows what its text contains.

    Returns
    -------
    str
        A sentence, with the number under which the log has it. What only asks the visitor for
        something else is no failure, and has none.
    """
    if isinstance(error, ParameterError):
        logger.info("%s: %s", what, error)
        return sentence_of(error)
    number = numbered(logger, what, error)
    if isinstance(error, MaxrfError):
        return f"{without_folders(str(error))} (fault {number})"
    return (
        f"Something unforeseen happened ({type(error).__name__}); the server's log has it as "
        f"fault {number}."
    )


def numbered(logger: logging.Logger, what: str, error: Exception | None = None) -> str:
    """Log a failure, and return the number under which the log has it."""
    number = secrets.token_hex(4)
    logger.error("%s [fault %s]", what, number, exc_info=error, extra={"fault": number})
    FAULTS.inc()
    return number
