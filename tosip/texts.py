"""Making texts of others fit: into EPICS's fields, and onto terminals, which obey escapes."""

from __future__ import annotations


def beginning(text: str, longest: int) -> str:
    """Return the beginning of a text, at most `longest` bytes of UTF-8, never half a character."""
    return text.encode(errors="replace")[:longest].decode(errors="ignore")


def shortened(text: str, longest: int) -> str:
    """Return a text of at most `longest` bytes of UTF-8: cut behind a word, with `...` behind it.

    A word that takes more than half of the room is cut itself.
    """
    whole = text.encode(errors="replace")
    if len(whole) <= longest:
        return whole.decode()
    cut = beginning(text, longest - 3)
    at_word = cut if text[len(cut)].isspace() else " ".join(cut.split(" ")[:-1])
    return (at_word if 2 * len(at_word) > len(cut) else cut).rstrip(" ,;:.-(") + "..."


def printable(text: str, keep: str = "") -> str:
    r"""Return a text in which what is not printable, other than `keep`, is escaped.

    Bytes of a file's name that are no UTF-8 become `\xe9`, an escape `\x1b`, a line end `\n`.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)


def is_utf8(name: object) -> bool:
    """Whether a file's name, as Python has decoded it, is UTF-8."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # Python's surrogateescape
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
