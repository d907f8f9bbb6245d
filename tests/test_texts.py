"""Texts made fit for EPICS's fields and for terminals."""

import os

import pytest

from tosip.texts import beginning, is_utf8, printable, shortened


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Forty bytes of documentation, and no mor", "Forty bytes of documentation, and no mor"),
        (
            "Half-flux diameter of all stars that are good",
            "Half-flux diameter of all stars that...",
        ),
        (
            "Half-flux diameter of all the stars - the good",
            "Half-flux diameter of all the stars...",
        ),
        ("x" * 41, "x" * 37 + "..."),
        ("A " + "x" * 41, "A " + "x" * 35 + "..."),
        ("é" * 21, "é" * 18 + "..."),
        ("Größe der Öffnung über dem Bildfeld, gemittelt", "Größe der Öffnung über dem..."),
        ("\U0001f52d" * 11, "\U0001f52d" * 9 + "..."),
        ("", ""),
    ],
)
def test_a_text_is_shortened_at_a_word_within_its_bytes(text, short):
    assert shortened(text, 40) == short
    assert len(shortened(text, 40).encode()) <= 40


def test_a_beginning_has_no_half_characters():
    assert beginning("aé", 2) == "a"
    assert beginning("aé", 3) == "aé"
    assert beginning("\udce9x", 2) == "?x"


def test_what_steers_a_terminal_or_is_no_text_is_escaped():
    name = os.fsdecode(b"latin\xe9 \x1b[31m\n.fits")
    assert printable(name) == r"latin\xe9 \x1b[31m\n.fits"
    assert printable("a\nb\tc\rd", "\n\t") == "a\nb\tc\\rd"
    assert printable("café \u202e") == "café \\u202e"
    assert (is_utf8(name), is_utf8("café")) == (False, True)
