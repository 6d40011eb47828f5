"""What XMP says of how a picture came about: IPTC's digital source type, AI properties, credit, labels required by law.

IPTC Photo Metadata Standard 2025.1 (Digital Source Type, AI System Used, …) and its vocabulary of source types;
GB 45438-2025, annex E (TC260:AIGC).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from morelli.errors import InputError
from morelli.images.claims.carried import Carried
from morelli.images.claims.limits import parse_json, quoted, word
from morelli.images.claims.xmp import properties
from morelli.types import Claim

_VOCABULARY = "cv.iptc.org/newscodes/digitalsourcetype/"
#: The vocabulary's terms, in plain words.
SOURCE_TYPES: Mapping[str, str] = {
    "trainedAlgorithmicMedia": "made by a trained model",
    "compositeWithTrainedAlgorithmicMedia": "a composite with parts made by a trained model",
    "algorithmicMedia": "made by an algorithm that was not trained",
    "algorithmicallyEnhanced": "enhanced by an algorithm",
    "compositeSynthetic": "a composite with synthetic parts",
    "compositeCapture": "a composite of captured pictures",
    "composite": "a composite",
    "digitalCapture": "captured by a camera",
    "computationalCapture": "captured by a camera and computed from several exposures",
    "negativeFilm": "scanned from negative film",
    "positiveFilm": "scanned from positive film",
    "print": "scanned from a print",
    "humanEdits": "edited by a person",
    "minorHumanEdits": "edited a little by a person",
    "digitalCreation": "created by a person with software",
    "digitalArt": "created by a person with software",
    "softwareImage": "created with software",
    "dataDrivenMedia": "drawn from data",
    "virtualRecording": "recorded from a virtual scene",
    "screenCapture": "captured from a screen",
}
_PLAIN = {
    "Iptc4xmpExt:AISystemUsed": "AI system used",
    "Iptc4xmpExt:AISystemVersionUsed": "AI system version used",
    "Iptc4xmpExt:AIPromptInformation": "AI prompt",
    "photoshop:Credit": "credit",
}
_SOURCE_TYPE = ("Iptc4xmpExt:DigitalSourceType", "Iptc4xmpExt:DigitalSourcefileType")
_PROMPT_LENGTH = 240


def described_claims(carried: Carried) -> list[Claim]:
    """Claims of the file's XMP packets; texts in them that tools write go to ``carried.texts``."""
    out: list[Claim] = []
    for packet in carried.packets:
        try:
            found = properties(packet)
        except InputError as error:
            carried.note(f"An XMP packet was not read: it {error.message}")
            continue
        out += _claims(found, carried)
        for name, key in (
            ("xmp:CreatorTool", "CreatorTool"),
            ("exif:UserComment", "UserComment"),
            ("dc:description", "Description"),
        ):
            for value in found.get(name, ()):
                carried.text("XMP", key, value)
    return list(dict.fromkeys(out))


def source_type(value: str) -> str:
    """A digital source type as a statement.

    Parameters
    ----------
    value : str
        URI of a term of IPTC's vocabulary, or the term.
    """
    term = value.strip()
    for scheme in ("http://", "https://"):
        term = term.removeprefix(f"{scheme}{_VOCABULARY}")
    meaning = SOURCE_TYPES.get(term)
    if meaning is None:
        return f"digital source type {quoted(value)}, which is no term of IPTC's vocabulary"
    return f"digital source type {term}: {meaning}"


def _claims(found: Mapping[str, list[str]], carried: Carried) -> Iterator[Claim]:
    for name in _SOURCE_TYPE:
        for value in found.get(name, ()):
            yield Claim("IPTC (XMP)", source_type(value), signed=False)
    for name, shown in _PLAIN.items():
        for value in found.get(name, ()):
            yield Claim(
                "IPTC (XMP)" if name.startswith("Iptc") else "XMP",
                f"{shown} {quoted(value, _PROMPT_LENGTH)}",
                signed=False,
            )
    for value in found.get("TC260:AIGC", ()):
        yield Claim("AIGC label of GB 45438 (XMP)", _aigc(value, carried), signed=False)
    for value in found.get("dcterms:provenance", ()):
        yield Claim(
            "XMP", f"Content Credentials are kept at {quoted(value)}; nothing is fetched to read a file", signed=False
        )


def _aigc(value: str, carried: Carried) -> str:
    try:
        label = parse_json(value)
    except InputError as error:
        carried.note(f"The AIGC label was not read: it {error.message}")
        label = None
    label = label if isinstance(label, dict) else {}
    degree = {"1": "generated", "2": "possibly generated", "3": "suspected to be generated"}
    stated = degree.get(word(label.get("Label")), "labelled without a known degree")
    producer = word(label.get("ContentProducer"))
    return f"{stated}; producer {quoted(producer)}" if producer else stated
