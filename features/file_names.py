"""Names of files as they are shown."""

from __future__ import annotations

import unicodedata

ESCAPED = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, of bytes that are no UTF-8, and of line and paragraph separators."""
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Bidirectional embeddings, overrides and isolates: ``gpj.mp4`` may look like ``4pm.jpg``."""


def printable(name: str) -> str:
    r"""A file name on one line and in the order of its letters; what would break either becomes ``\n`` or ``\u202e``.

    All else stays: spaces of any width, joined emoji, letters that are joined by invisible signs.

    >>> print(printable("two\nlines.mp4"), printable("a\u202egpj.mp4"))
    two\nlines.mp4 a\u202egpj.mp4
    >>> printable("5.04\u202fPM.mov") == "5.04\u202fPM.mov"
    True
    """
    return "".join(
        letter.encode("unicode_escape").decode("ascii")
        if letter in REORDERING or unicodedata.category(letter) in ESCAPED
        else letter
        for letter in name
    )
