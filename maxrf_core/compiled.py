"""Compiled loops: numba with its cache on disk where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Return a decorator that compiles a loop which releases the GIL.

    Parameters
    ----------
    **options
        Further options of `numba.njit`.

    Notes
    -----
    Machine code is kept beside the module or in the user's cache folder. Where neither can
    be written to, as in some containers, numba refuses; then it is compiled in each process.
    """

    def compile_loop(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # "no locator available": nowhere to keep it
            return numba.njit(nogil=True, **options)(function)

    return compile_loop
