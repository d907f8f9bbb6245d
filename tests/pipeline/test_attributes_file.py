"""What an attributes file may say, and what is told where it is wrong."""

import os
import time
from itertools import pairwise

import pytest

from tosip.pipeline.attributes_file import (
    LARGEST,
    AttributesError,
    AttributesStatus,
    Constant,
    DataType,
    DbrType,
    FromParameter,
    FromPv,
    Macros,
    read_attributes,
)

FILE = """<?xml version="1.0" standalone="no" ?>
<!-- $(NOT_A_MACRO) -->
<Attributes
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="NDAttributes.xsd">
  <Attribute name="Exposure" type="EPICS_PV" source="$(P)Exposure" dbrtype="DBR_NATIVE"
      description="Exposure time"/>
  <Attribute name="Shutter" source="${P}Shutter" dbrtype="DBR_STRING"/>
  <Attribute name="Count" type="PARAM" source="ARRAY_COUNTER" datatype="INT" addr="0"/>
  <Attribute name="Site" type="CONST" source="$(SITE=Mufara)"/>
</Attributes>
"""


def xml(*attributes: str) -> str:
    return "<Attributes>\n" + "\n".join(f"<Attribute {a}/>" for a in attributes) + "\n</Attributes>"


def constant(datatype: str, source: str) -> object:
    (found,) = read_attributes(
        xml(f'name="A" type="CONST" source="{source}" datatype="{datatype}"')
    )
    assert isinstance(found, Constant)
    return found.value


def refused(file: str, macros: str = "") -> tuple[AttributesStatus, str]:
    with pytest.raises(AttributesError) as caught:
        read_attributes(file, macros)
    return caught.value.status, str(caught.value)


def syntax(file: str) -> str:
    status, message = refused(file)
    assert status is AttributesStatus.SYNTAX
    return message


def macro(file: str, macros: str = "") -> str:
    status, message = refused(file, macros)
    assert status is AttributesStatus.MACRO
    return message


def test_file_of_areadetector_becomes_definitions(tmp_path):
    file = tmp_path / "cam.xml"
    file.write_text(FILE)
    exposure, shutter, count, site = read_attributes(f" {file}\n", "P=13SIM1:cam1:")
    assert exposure == FromPv("Exposure", "13SIM1:cam1:Exposure", DbrType.NATIVE, "Exposure time")
    assert shutter == FromPv("Shutter", "13SIM1:cam1:Shutter", DbrType.STRING)
    assert count == FromParameter(
        "Count", "ARRAY_COUNTER", DataType.INT, f"{file}:9: attribute Count"
    )
    assert site == Constant("Site", "Mufara")


def test_text_itself_is_read_and_no_name_gives_nothing():
    assert read_attributes(FILE.partition("?>")[2], "P=X:")[0].name == "Exposure"
    assert read_attributes(xml()) == read_attributes(" ") == ()


@pytest.mark.parametrize(
    ("datatype", "source", "value"),
    [
        ("INT", "-7", -7),
        ("int64", str(2**64 - 1), 2**64 - 1),
        ("DOUBLE", "2.5", 2.5),
        ("STRING", "007", "007"),
        ("STRING", "", ""),
    ],
)
def test_constants_have_the_type_that_the_file_says(datatype, source, value):
    found = constant(datatype, source)
    assert found == value
    assert type(found) is type(value)


def test_constant_without_a_type_is_text_as_in_areadetector():
    assert read_attributes(xml('name="A" type="CONST" source="5"')) == (Constant("A", "5"),)


def test_later_of_two_attributes_with_one_name_counts():
    found = read_attributes(
        xml('name="A" source="one"', 'name="B" source="two"', 'name="A" source="three"')
    )
    assert [(d.name, d.pv) for d in found if isinstance(d, FromPv)] == [
        ("B", "two"),
        ("A", "three"),
    ]


@pytest.mark.parametrize(
    ("attribute", "told"),
    [
        ('source="A"', ":2: attribute: expected name=..., got none"),
        ('name="A"', ":2: attribute A: expected source=..., got none"),
        ('name=" " source="A"', "expected name=..."),
        ('name="A" source=""', "expected source=..."),
        ('name="A" type="SOME" source="B"', "expected type EPICS_PV, PARAM or CONST, got 'SOME'"),
        ('name="A" type="FUNCT" source="f"', "got FUNCT: there are no compiled functions"),
        ('name="A" source="B" dbrtype="DBR_ANY"', "expected dbrtype DBR_NATIVE, DBR_STRING,"),
        ('name="A" type="PARAM" source="B" datatype="FLOAT"', "expected datatype INT, INT64,"),
        ('name="A" type="CONST" source="x" datatype="INT"', "expected source of type INT, got 'x'"),
        (f'name="A" type="CONST" source="{2**64}" datatype="INT"', "an integer of 64 bits"),
        (f'name="A" type="CONST" source="{"x" * 5000}"', "source of at most 4096 characters"),
    ],
)
def test_wrong_attributes_are_told_with_their_line(attribute, told):
    message = syntax(xml(attribute))
    assert told in message
    assert message.startswith("the XML:2: attribute")


def test_all_faults_are_told_at_once_and_a_great_many_are_counted():
    message = syntax(xml(*(f'name="A{n}"' for n in range(15)), 'name="Good" source="A"'))
    assert message.count("\n") == 10
    assert ":2: attribute A0" in message
    assert message.endswith("and 5 more")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<Attributes><Attribute></Attributes>", "expected well-formed XML, got mismatched tag"),
        ("<Attributes>\n\n", ":3: expected well-formed XML, got no element found"),
        ("<AttributesList/>", "expected <Attributes>, got <AttributesList>"),
        ("<Attributes><Thing name='A' source='B'/></Attributes>", "expected <Attribute>, got"),
        ("<?xml version='1.0' encoding='none'?><Attributes/>", "expected well-formed XML"),
        (xml('name="A" source="B" source="C"'), "duplicate attribute"),
        (xml('name="A" source="&other;"'), "undefined entity"),
    ],
)
def test_what_is_no_such_document_is_told(text, told, tmp_path):
    file = tmp_path / "bad.xml"
    file.write_text(text)
    message = syntax(str(file))
    assert told in message
    assert message.startswith(f"{file}:")


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        "",
    ],
)
def test_documents_with_entities_are_refused_unread(declared):
    document = xml('name="A" source="&a;"')
    text = f"<!DOCTYPE Attributes [{declared}]>\n{document}"
    assert syntax(text) == "the XML:1: expected no DTD, got <!DOCTYPE ...>"


def test_too_large_a_file_is_refused(tmp_path):
    file = tmp_path / "large.xml"
    file.write_text(xml() + " " * LARGEST)
    assert syntax(str(file)) == f"{file}: expected at most {LARGEST} bytes, got more"
    file.write_text(xml(*(f'name="A{n}" source="B"' for n in range(1001))))
    assert "expected at most 1000 attributes, got 1001" in syntax(str(file))


def test_what_is_no_file_is_told_and_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    for name, reason in (
        (tmp_path / "missing.xml", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "something else"),
        (tmp_path / "file" / "below", "Not a directory"),
        ("nul\0.xml", "null"),
        ("n" * 5000, "too long"),
    ):
        status, message = refused(str(name))
        assert status is AttributesStatus.NOT_FOUND
        assert reason in message


def test_missing_file_is_told_before_wrong_macros(tmp_path):
    status, _ = refused(str(tmp_path / "missing.xml"), "=")
    assert status is AttributesStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("macros", "text", "value"),
    [
        ("A=1,B=2", "$(A)-${B}", "1-2"),
        (" A = 1 , ,", "$(A)", "1"),
        ("A=", "[$(A)]", "[]"),
        ("A='x, y',B=\" z\"", "$(A)$(B)", "x, y z"),
        ("P=X:,R=$(P)cam1:", "$(R)Gain", "X:cam1:Gain"),
        ("A=1", "$(B=$(A))$(C=)$(D=a=b)", "1a=b"),
        ("A=B,B=3", "$($(A))", "3"),
        ("A=2=3", "$(A)", "2=3"),
        ("A=1,A=2", "$(A)", "2"),
        ("A=<&", "$(A)", "<&"),
        ("A=x", "$A $ $$(A) (A)", "$A $ $x (A)"),
    ],
)
def test_macros_stand_for_their_values(macros, text, value):
    assert Macros(macros).expand(text) == value
    (found,) = read_attributes(xml(f'name="A" type="CONST" source="{text}"'), macros)
    assert found == Constant("A", value)


@pytest.mark.parametrize(
    ("macros", "told"),
    [
        ("", "the XML:2: attribute A: expected a value of macro P, got none"),
        ("A=1", "macro P, got none"),
        ("P=$(Q)", "macro Q, got none"),
        ("P=$(Q),Q=$(P)", "macro P, got one with itself in it"),
        ("P=$(Q", "expected ) after '$(Q', got none"),
        ("P", "NDAttributesMacros: expected A=B,C=D, got 'P'"),
        ("=1", "expected A=B,C=D, got '=1'"),
        ("P='1", "NDAttributesMacros: expected another ', got"),
    ],
)
def test_wrong_macros_are_told(macros, told):
    assert told in macro(xml('name="A" source="$(P)"'), macros)


@pytest.mark.parametrize("value", ["$(A)" * 1000, "$(" * 1300 + "A" + ")" * 1300])
@pytest.mark.parametrize("end", ["", "0123456789"])
def test_macros_cannot_grow_without_end(value, end):
    names = "ABCDEFGHIJKLMNOP"
    pairs = [f"{a}=$({b})$({b})$({b})$({b})" for a, b in pairwise(names)]
    text = xml(*(f'name="{n}" type="CONST" source="{value}"' for n in range(100)))
    began = time.thread_time()
    if value.startswith("$(A)") and not end:
        assert len(read_attributes(text, ",".join([*pairs, "P="]))) == 100
    else:
        assert "expected at most" in macro(text, ",".join([*pairs, f"P={end}"]))
    assert time.thread_time() - began < 5


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff\xfe<\0A\0", b"<A>" * 100_000])
def test_bytes_that_are_no_xml_are_told(content, tmp_path):
    file = tmp_path / "any.xml"
    file.write_bytes(content)
    assert "expected well-formed XML" in syntax(str(file))


def test_files_in_other_encodings_are_read(tmp_path):
    file = tmp_path / "other.xml"
    file.write_bytes(FILE.encode("utf-16"))
    assert len(read_attributes(str(file), "P=")) == 4
