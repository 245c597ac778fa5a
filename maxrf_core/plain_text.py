"""Names from files made harmless where they are shown: to a terminal, and to a spreadsheet.

A name may hold commands: of escape sequences to a terminal, of formulas to a spreadsheet. (What
HTML and Markdown make of names is the page's business.)
"""

from __future__ import annotations

import re

__all__ = ["plain_cell", "printable", "printable_lines"]

_FORMULA = re.compile(r"(^|[;\t])(?=\s*[=+\-@＝＋－＠])")
"""Where a cell begins that a spreadsheet would compute.

https://owasp.org/www-community/attacks/CSV_Injection. Where the comma is a decimal point, a
semicolon begins a cell, even inside of a name.
"""


def printable(text: object) -> str:
    """Return text with control characters escaped, so that no file can command a terminal."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def printable_lines(text: str) -> str:
    """Return text of several lines with all other control characters escaped."""
    return "\n".join(map(printable, text.split("\n")))


def plain_cell(name: str) -> str:
    """Return a name as text for a table that a spreadsheet may open, on one line.

    Where a spreadsheet would begin to compute stands an apostrophe, which it does not show.
    """
    return _FORMULA.sub(r"\1'", " ".join(name.splitlines()))
