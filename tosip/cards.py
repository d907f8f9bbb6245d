"""Where a FITS card has its keyword and its value, for the gateway and the drivers alike.

A card has 80 bytes: a keyword, `=` in column 9, and a value (FITS standard 4.0, section 4). Where
`=` is elsewhere, or the keyword is in lower case, the card means the same: what a header says of
its pixels must not differ from what it does to them.
"""

from __future__ import annotations

import re

CARD = 80
COMMENTARY = ("COMMENT", "HISTORY", "CONTINUE")

_ELSEWHERE = re.compile(r" *(?P<keyword>[^ ='/]+) *=(?P<value>.*)")


def split_card(card: str) -> tuple[str, str] | None:
    """Return a card's keyword, in capitals, and the text behind its `=`; None if it has none.

    Control characters are blanks already. HIERARCH cards are for the caller.
    """
    keyword = card[:8].strip(" ").upper()
    if not keyword or keyword in COMMENTARY:
        return None
    if card[8:9] == "=":
        return keyword, card[9:]
    match = _ELSEWHERE.fullmatch(card)
    return (match["keyword"].upper(), match["value"]) if match else None
