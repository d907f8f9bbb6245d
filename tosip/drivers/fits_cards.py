"""The values of the cards that say how a header-data unit is stored.

They decide where data begin and what they are, so they are read from the bytes of the header and
not through astropy, which raises on some and guesses others. A number may be written as an integer,
a float (`16.`) or a text (`'16'`), as CFITSIO takes it. A keyword that is repeated with the same
value counts once; with another value it is a `FrameError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tosip.cards import CARD, split_card
from tosip.errors import FrameError

_Parse = Callable[[str], int | float | None]

_VALUE = re.compile(r"\s*(?:'(?P<text>(?:[^']|'')*)'?|(?P<bare>[^/]*))")
_INTEGER = re.compile(r"[+-]?\d{1,40}")
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d{1,9})?", re.IGNORECASE)


class Cards:
    """The cards of one cleaned header, up to its END."""

    def __init__(self, raw: bytes) -> None:
        self._fields: dict[str, list[str]] = {}
        text = raw.decode("latin-1")
        for at in range(0, len(text), CARD):
            card = text[at : at + CARD]
            if card[:8] == "END     ":
                return
            if found := split_card(card):
                self._fields.setdefault(found[0], []).append(found[1])

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._fields

    def keywords(self) -> tuple[str, ...]:
        """Return the keywords that have a value, in their order."""
        return tuple(self._fields)

    def text(self, keyword: str) -> str:
        """Return the first value as written, without quotes; empty if there is none."""
        return _text(self._fields[keyword][0]) if keyword in self._fields else ""

    def integer(self, keyword: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number from `low` to `high`, or raise `FrameError`."""
        if default is not None and keyword not in self._fields:
            return default
        value = self._once(keyword, f"from {low} to {high}", _whole)
        if not low <= value <= high:
            raise FrameError(f"expected {keyword} from {low} to {high}, got {value}")
        return int(value)

    def number(self, keyword: str, default: int) -> int | float:
        """Return a finite number, exact if it is written as an integer; or raise `FrameError`."""
        if keyword not in self._fields:
            return default
        return self._once(keyword, "to be a finite number", parse_number)

    def _once(self, keyword: str, expected: str, parse: _Parse) -> int | float:
        texts = [_text(field) for field in self._fields.get(keyword, [])]
        values = {parse(text) for text in texts}
        if len(values) > 1:
            shown = " and ".join(dict.fromkeys(texts))
            raise FrameError(f"expected {keyword} once, got {shown}")
        value = values.pop() if values else None
        if value is None:
            shown = (texts[0] or "no value") if texts else "none"
            raise FrameError(f"expected {keyword} {expected}, got {shown}")
        return value


def _text(field: str) -> str:
    match = _VALUE.match(field)
    if match is None:
        return ""
    if match["text"] is not None:
        return match["text"].replace("''", "'").strip()
    return match["bare"].strip()


def parse_number(text: str) -> int | float | None:
    """Return the finite number that a card's text is, None if it is none."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _FLOAT.fullmatch(text):
        return None
    value = float(text.upper().replace("D", "E"))
    return value if abs(value) < float("inf") else None


def _whole(text: str) -> int | float | None:
    value = parse_number(text)
    return value if value is None or value == int(value) else None
