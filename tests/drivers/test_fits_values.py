"""The values of header cards, in the many spellings of cameras and programs."""

import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from astropy.io import fits
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.drivers.fits_files import outcome, ramp, read_bytes_as_file, same, stored
from tosip.blanks import blank_controls
from tosip.drivers.fits_header import header_attributes
from tosip.drivers.fits_values import read_cards

LEFT_OUT = object()


def values(*cards: bytes | str) -> dict[str, object]:
    """The keywords of a header with these cards."""
    raw = [card.encode() if isinstance(card, str) else card for card in (*cards, b"END")]
    assert all(len(card) <= 80 for card in raw)
    return dict(header_attributes(b"".join(card.ljust(80) for card in raw)))


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        # Strings that astropy takes for record-valued cards.
        ("'CAM: 3'", "CAM: 3"),
        ("'TILEID: 1106'", "TILEID: 1106"),
        ("'A.B: 1.5E3'  / comment", "A.B: 1.5E3"),
        # Numbers, right and nearly so.
        ("3", 3),
        ("+5", 5),
        ("05", 5),
        ("- 5", -5),
        ("3.0", 3.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e5", 1e5),
        ("1.5D3", 1500.0),
        ("1.5d-1 / double", 0.15),
        ("0,5", 0.5),
        ("-15,2 / C", -15.2),
        ("1,5E3", 1500.0),
        (",5", 0.5),
        ("3.0,", 3.0),
        ("3.0 ;", 3.0),
        ("3,", 3),
        ("30/seconds", 30),
        ("2147483648", 2**31),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("nan", math.nan),
        ("-NaN / bad", math.nan),
        ("-nan(ind)", math.nan),
        ("-1.#IND", math.nan),
        ("1.#QNAN0", math.nan),
        ("Inf", math.inf),
        ("-infinity", -math.inf),
        ("1.#INF00", math.inf),
        ("(1.0, -2.5)", "(1-2.5j)"),
        # What is no number stays as it is written.
        ("1.5 sec", "1.5 sec"),
        ("12.5km / far", "12.5km"),
        ("1.234,5", "1.234,5"),
        ("1,234,567", "1,234,567"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("1E400", "1E400"),
        ("1/250", "1/250"),
        ("٣", "٣"),
        ("47 Tuc / unquoted", "47 Tuc"),
        ("M31", "M31"),
        ("M31/NGC 224 / both", "M31/NGC 224"),
        ("http://camera.example/x", "http://camera.example/x"),
        ("2023-06-01T05:04:58", "2023-06-01T05:04:58"),
        ("01/06/2023 05:04:58 / local", "01/06/2023 05:04:58"),
        ('"R" / quoted otherwise', '"R"'),
        ('"a / b" / quoted otherwise', '"a / b"'),
        ("None", "None"),
        # Logical values.
        ("T", True),
        ("F / no", False),
        ("True", True),
        ("false", False),
        (".TRUE.", True),
        ("t", "t"),
        # Strings.
        ("'R'", "R"),
        ("'R       '           / filter 'red'", "R"),
        ("'2637'", "2637"),
        ("'NaN'", "NaN"),
        ("''", ""),
        ("'O''Brien'", "O'Brien"),
        ("'O'Brien' / observer", "O'Brien"),
        ("'a / b'", "a / b"),
        ("'  leading'", "  leading"),
        ("'no end / of it", "no end / of it"),
        ("'R'/filter", "R"),
        ("'R' filter", "R' filter"),
        ("'ends with &'", "ends with &"),
        # No value.
        ("", LEFT_OUT),
        ("     / only a comment", LEFT_OUT),
    ],
)
@pytest.mark.parametrize(
    ("card", "keyword"),
    [
        ("{k:8}= {v}", "KEY"),
        ("{k:8}=\t{v}\t", "KEY"),
        ("{k:8}={v}", "KEY"),
        ("HIERARCH ESO DET {k} = {v}", "ESO DET KEY"),
        ("HIERARCH  key={v}\r\n", "KEY"),
        ("{k}\t= {v}\n", "KEY"),
        ("  key = {v}", "KEY"),
        ("{k}={v}", "KEY"),
        ("LONGER_{k}_NAME = {v}", "LONGER_KEY_NAME"),
    ],
)
def test_a_value_is_the_one_that_was_meant_or_the_text_as_written(card, keyword, written, wanted):
    raw = card.format(k="KEY", v=written).replace("\\t", "\t")
    found = values(raw, "NEXT    = 1")
    assert found.pop("NEXT") == 1
    assert repr(found) == repr({} if wanted is LEFT_OUT else {keyword: wanted})


@pytest.mark.parametrize(
    ("cards", "wanted"),
    [
        (["EXPTIME 3.0 / seconds"], {"EXPTIME": 3.0}),
        (["FILTER   'R' / band"], {"FILTER": "R"}),
        (["NOTE    see page 3 / 4"], {"NOTE": "see page 3 / 4"}),
        (["exptime = 3.0", "EXPTIME = 4.0"], {"EXPTIME": 3.0}),
        (["CCD#    = 2", "MY KEY  = 3", "DATE.OBS= 4"], {"CCD#": 2, "MY KEY": 3, "DATE.OBS": 4}),
        ([b"M\xfcL     = 1"], {"M?L": 1}),
        (["COMMENT = 'a'", "COMMENT b=c"], {"COMMENT": "= 'a'\nb=c"}),
        (["        gain = 3", "", "-" * 80], {}),
        (
            ["KEY     = 1\0\0\0", b"CRLF    = 'a'\r\n", "DEL     = 2\x7f"],
            {"KEY": 1, "CRLF": "a", "DEL": 2},
        ),
        (["OBSERVER= 'Müller' / ä"], {"OBSERVER": "Müller"}),
        ([b"OBSERVER= 'M\xfcller' / \xb0C"], {"OBSERVER": "Müller"}),
        (["OBJECT  = 'voilà'"], {"OBJECT": "voilà"}),  # ends with a byte that may be a blank
        ([b"CCD-TEMP= -15.2 / \xb0C"], {"CCD-TEMP": -15.2}),
        (["A       = 'long &'", "CONTINUE  'string&'", "CONTINUE  '' / c"], {"A": "long string"}),
        (["A       = 'long &'", "B       = 1"], {"A": "long &", "B": 1}),
        (["CONTINUE  'of what?'"], {"CONTINUE": "  'of what?'"}),
        (["HIERARCH no value here"], {"HIERARCH": "no value here"}),
        (["HIERARCH= 5"], {"HIERARCH": 5}),
        (["A       = 1", "END", "B       = 2"], {"A": 1}),
    ],
)
def test_cards_that_bend_the_rules(cards, wanted):
    assert values(*cards) == wanted


def test_a_string_over_thousands_of_cards_is_read_in_linear_time():
    more = b"CONTINUE  'x&'".ljust(80) * 30_000
    began = time.process_time()
    (found,) = read_cards(b"A       = 'x&'".ljust(80) + more)
    assert found == ("A", "x" * 30_001 + "&")
    assert time.process_time() - began < 5


def test_an_extension_is_read_as_the_primary_header_is(tmp_path):
    data = stored(ramp(), hdu=lambda pixels: fits.ImageHDU(pixels, name="SCI"))
    card = b"EXTNAME = 'SCI     '"
    assert card in data
    data = data.replace(card, b"OBJECT=\t'CAM: 3'".ljust(len(card)))
    assert read_bytes_as_file(tmp_path, data).attributes["OBJECT"] == "CAM: 3"


@settings(deadline=None)
@given(st.lists(st.binary(min_size=80, max_size=80), max_size=20))
@example([b"CONTINUE".ljust(80)])
@example([b"A       = '&'".ljust(80), b"CONTINUE".ljust(80)])
def test_no_card_raises_or_loses_a_keyword_that_has_a_value(cards):
    header = b"".join(cards)
    found = header_attributes(header)
    assert all(isinstance(value, (bool, int, float, str)) for value in found.values())
    assert all(key.isascii() and key.isprintable() for key in found)
    assert len(list(read_cards(header))) <= len(cards)


@settings(deadline=None)
@given(
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=8),
    st.binary(min_size=1, max_size=70),
)
def test_a_keyword_with_any_value_is_never_lost(keyword, value):
    text = blank_controls(value).strip(b" ")
    card = keyword.encode().ljust(8) + b"= " + value
    if text and not text.startswith(b"/"):
        assert (keyword in values(card)) is True


@settings(deadline=None)
@given(st.lists(st.binary(min_size=80, max_size=80), max_size=8))
def test_any_cards_in_a_frame_give_the_frame_or_a_fault(cards):
    data = stored(ramp())
    end = data.index(b"END     ")
    header = data[:end] + b"".join(cards) + b"END".ljust(80)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.fits"
        path.write_bytes(header.ljust(-(-len(header) // 2880) * 2880) + data[2880:])
        outcome(path)


def test_tabs_and_line_ends_in_every_card_are_blanks(tmp_path):
    data = stored(ramp(), header={"FILTER": "R", "GAIN": 2})
    end = data.index(b"END     ")
    cards = [data[at : at + 80] for at in range(0, end, 80)]
    tabbed = b"".join(card.replace(b"= ", b"=\t")[:78] + b"\r\n" for card in cards)
    frame = read_bytes_as_file(tmp_path, tabbed + data[end:])
    assert same(frame.pixels, ramp())
    assert (frame.attributes["FILTER"], frame.attributes["GAIN"]) == ("R", 2)
