"""Names of files as they are shown: ordinary ones as they are, what breaks lines or reorders them escaped."""

import doctest

import pytest

from features import file_names
from features.file_names import printable


@pytest.mark.parametrize(
    "name",
    [
        "Bildschirmaufnahme 2026-11-29 um 5.04.12\u202fPM.mov",  # as macOS names them
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.mp4",  # Persian, with a zero-width non-joiner
        "\U0001f468\u200d\U0001f469\u200d\U0001f467.mp4",  # a family in one emoji
        "10\u00a0000\u3000\u6771\u4eac.mp4",  # spaces of other widths
        "\u200eWhatsApp Video.mp4",  # a mark, which reorders nothing by itself
    ],
)
def test_ordinary_names_are_shown_as_they_are(name):
    """Non-regression test: these were full of escapes, for Python calls them not printable."""
    assert printable(name) == name


@pytest.mark.parametrize("code", [0x00, 0x0A, 0x1B, 0x7F, 0x9B, 0x2028, 0x202E, 0x2066, 0xDCE9])
def test_what_breaks_a_line_or_the_order_of_letters_is_escaped(code):
    shown = printable(f"a{chr(code)}b")
    assert shown.startswith("a\\")
    assert shown.endswith("b")
    assert shown.isascii()


def test_examples():
    assert doctest.testmod(file_names).failed == 0
