"""XMP: properties in all the forms that the standard allows, and a parser that refuses everything else."""

from __future__ import annotations

import time

import pytest

from morelli.errors import InputError
from morelli.images.claims.described import SOURCE_TYPES, source_type
from morelli.images.claims.read import read_claims
from morelli.images.claims.xmp import MAX_DEPTH, MAX_PACKET, properties
from tests.images.claims import files

NAME = "Iptc4xmpExt:DigitalSourceType"


@pytest.mark.parametrize(
    "packet",
    [
        files.xmp(attributes=f'{NAME}="v"'),
        files.xmp(f"<{NAME}> v </{NAME}>"),
        files.xmp(f'<{NAME} rdf:resource="v"/>'),
        files.xmp(f"<{NAME}><rdf:Bag><rdf:li>v</rdf:li></rdf:Bag></{NAME}>"),
        files.xmp(f"<{NAME}><rdf:Alt><rdf:li xml:lang='x-default'>v</rdf:li></rdf:Alt></{NAME}>"),
        files.xmp(attributes=f'{NAME}="v"').decode().encode("utf-16"),
        files.xmp(attributes=f'{NAME}="v"') + b" \n" * 1000 + b"\0",
        files.xmp(attributes=f'{NAME}="v"')
        .replace(b"Iptc4xmpExt:", b"an:")
        .replace(b":Iptc4xmpExt=", b":an="),  # the prefix is the writer's choice
    ],
    ids=["attribute", "element", "resource", "bag", "alt", "utf-16", "padding", "prefix"],
)
def test_forms_of_a_property(packet: bytes) -> None:
    assert properties(packet) == {NAME: ["v"]}


def test_a_name_without_its_namespace_or_outside_the_description_is_nothing() -> None:
    assert properties(files.xmp(attributes='DigitalSourceType="v"')) == {}
    wrong = files.xmp(attributes=f'{NAME}="v"').replace(b"http://iptc.org/std/", b"http://example.org/")
    assert properties(wrong) == {}
    # The type of something that the picture shows, or was made from, is not the picture's.
    inner = f'<dc:relation><rdf:Description {NAME}="v"/></dc:relation>'
    assert properties(files.xmp(inner)) == {}
    inner = f"<dc:relation><rdf:Bag><rdf:li><{NAME}>v</{NAME}></rdf:li></rdf:Bag></dc:relation>"
    assert properties(files.xmp(inner)) == {}
    assert properties(f"<a {NAME[:11]}='v'/>".encode()) == {}


def laughs(levels: int = 10) -> bytes:
    lines = ['<!ENTITY l0 "ha">'] + [f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, levels)]
    return f"<!DOCTYPE x [{''.join(lines)}]><x>&l{levels - 1};</x>".encode()


@pytest.mark.parametrize(
    ("packet", "said"),
    [
        (laughs(), "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "document type"),
        (b'<!DOCTYPE x [<!ENTITY e SYSTEM "http://example.org/">]><x>&e;</x>', "document type"),
        (b"<x>&undefined;</x>", "well-formed"),
        (b"<x>" * (MAX_DEPTH + 2), "deeper"),
        (b"<x>" + b"<y/>" * 30_000 + b"</x>", "more elements"),
        (b"<x>" + b" " * MAX_PACKET + b"</x>", "larger"),
        (b"<x>", "well-formed"),
        (b"", "well-formed"),
        (b'<?xml version="1.0" encoding="no-such"?><x/>', "."),
        (b"\xff\xfe<\0x", "well-formed"),
    ],
    ids=["laughs", "outside", "fetch", "undefined", "deep", "wide", "long", "open", "empty", "encoding", "cut"],
)
def test_hostile_xml_is_refused_at_once(packet: bytes, said: str) -> None:
    start = time.process_time()
    with pytest.raises(InputError, match=said):
        properties(packet)
    assert time.process_time() - start < 0.5


def test_a_refused_packet_is_a_note_and_the_file_s_other_claims_stand() -> None:
    found = read_claims(files.png(files.xmp_chunk(laughs()), files.text("parameters", files.INFOTEXT)))
    assert len(found.claims) == 1
    assert "document type" in found.notes[0]


def test_claims_of_xmp() -> None:
    packet = files.xmp(
        attributes=f'{NAME}="{files.SOURCE_TYPE}" photoshop:Credit="Made with Google AI" xmp:CreatorTool="Painter"'
        ' Iptc4xmpExt:AISystemUsed="Imagined 4" dcterms:provenance="https://example.org/m.c2pa"',
        body='<TC260:AIGC>{"Label":"1","ContentProducer":"A Firm"}</TC260:AIGC>',
    )
    found = read_claims(files.png(files.xmp_chunk(packet)))
    assert [(claim.source, claim.statement) for claim in found.claims] == [
        ("IPTC (XMP)", "digital source type trainedAlgorithmicMedia: made by a trained model"),
        ("IPTC (XMP)", 'AI system used "Imagined 4"'),
        ("XMP", 'credit "Made with Google AI"'),
        ("AIGC label of GB 45438 (XMP)", 'generated; producer "A Firm"'),
        ("XMP", 'Content Credentials are kept at "https://example.org/m.c2pa"; nothing is fetched to read a file'),
        ("software (XMP)", '"Painter"'),
    ]
    assert not any(claim.signed for claim in found.claims)


def test_source_types() -> None:
    assert source_type("https://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture").endswith(
        "captured by a camera"
    )
    for other in (
        "made up",
        "http://evil.example/digitalsourcetype/trainedAlgorithmicMedia",
        "",
        "trainedalgorithmicmedia",
    ):
        assert "no term of IPTC's vocabulary" in source_type(other)
    assert "trainedAlgorithmicMedia" in SOURCE_TYPES


@pytest.mark.parametrize("value", ["[", "[1]", '{"Label": {"a": 1}}', "null"])
def test_a_broken_label_is_no_error(value: str) -> None:
    found = read_claims(files.png(files.xmp_chunk(files.xmp(f"<TC260:AIGC>{value}</TC260:AIGC>"))))
    assert found.claims[0].statement == "labelled without a known degree"
