"""Text from files and addresses, made harmless for panes that render Markdown and HTML."""

from __future__ import annotations

__all__ = ["as_text"]

_PLAIN = frozenset(" ,;'\"/%")


def as_text(text: str) -> str:
    """Return a text that Markdown and HTML show as it stands.

    Everything but letters, digits and a few harmless signs becomes a character reference,
    which neither reads as markup: no tags, no images fetched from elsewhere, no emphasis.
    """
    words = " ".join(text.split())  # lines and indents are markup, too
    return "".join(
        sign if sign.isalnum() or sign in _PLAIN else f"&#{ord(sign)};" for sign in words
    )
