"""How wide a text is: Phoebus brings the Liberation fonts along, so their widths always hold."""

FAMILY = "Liberation Sans"
FONT = 14  # pixels, of everything but a title
TITLE_FONT = 22

# Widths in thousandths of the font's size.
_REGULAR = {
    191: "'",
    222: "ijl",
    278: " !,./:;I[\\]ft|",
    333: "()-`r{}",
    389: '"*',
    500: "Jcksvxyz^",
    556: "#$0123456789?L_abdeghnopqu",
    611: "+<=>~FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    889: "Mm%",
    1015: "W@",
}
_BOLD = {
    278: "' ,./I\\ijl|",
    333: "!()-:;[]`ft",
    389: "*r{}",
    500: '"z',
    584: "#$0123456789J_aceksvxy+<=>^~",
    611: "?FLTZbdghnopqu",
    667: "EPSVXY",
    722: "&ABCDHKNRU",
    778: "GOQw",
    889: "M%m",
    975: "W@",
}
_OTHER = 1000
_EDGES = 4  # pixels


def text_width(text: str, size: int = FONT, *, bold: bool = False) -> int:
    """Return the pixels that a line of text takes."""
    widths = _BOLD_WIDTHS if bold else _REGULAR_WIDTHS
    return sum(widths.get(character, _OTHER) for character in text) * size // 1000 + _EDGES


def _by_character(widths: dict[int, str]) -> dict[str, int]:
    return {character: width for width, characters in widths.items() for character in characters}


_REGULAR_WIDTHS = _by_character(_REGULAR)
_BOLD_WIDTHS = _by_character(_BOLD)
