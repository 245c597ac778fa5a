"""Texts for the page and its address."""

from __future__ import annotations

__all__ = ["as_text", "short_number"]

_PLAIN = frozenset(" ,;'\"/%")


def as_text(text: str) -> str:
    """Return a text from a file or an address that Markdown and HTML show as it stands.

    Everything but letters, digits and a few harmless signs becomes a character reference,
    which neither reads as markup: no tags, no images fetched from elsewhere, no emphasis.
    """
    words = " ".join(text.split())  # lines and indents are markup, too
    return "".join(
        sign if sign.isalnum() or sign in _PLAIN else f"&#{ord(sign)};" for sign in words
    )


def short_number(number: float) -> str:
    """Return a number as short as reading it back exactly allows."""
    return repr(float(number)).removesuffix(".0")
