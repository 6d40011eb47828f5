"""XMP packets, parsed as XML by a parser that refuses everything XMP has no need of.

Adobe, XMP Specification Part 1 (ISO 16684-1), §7: properties are attributes or elements of rdf:Description, plain or as
rdf:Bag, rdf:Seq or rdf:Alt. Document types, and so entities ("billion laughs", outside files), end the parsing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn
from xml.parsers import expat

from morelli.errors import InputError

MAX_PACKET = 2**20
MAX_DEPTH = 32
MAX_ELEMENTS = 20_000
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SEPARATOR = "\n"  # cannot be part of a name or, unescaped, of an attribute's value

#: Namespace → the prefix under which `properties` names it. Others are left out.
NAMESPACES: Mapping[str, str] = {
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
    "http://www.tc260.org.cn/ns/AIGC/1.0/": "TC260",
}


def properties(packet: bytes) -> dict[str, list[str]]:
    """Properties of the namespaces in `NAMESPACES`.

    Parameters
    ----------
    packet : bytes
        An XMP packet.

    Returns
    -------
    dict of str to list of str
        "Iptc4xmpExt:DigitalSourceType" → its values, in order. Only properties of rdf:Description itself: a name that
        is buried in another structure (an ingredient's, a history's) says nothing of this file.

    Raises
    ------
    InputError
        Not well-formed, larger or deeper than XMP is, or with a document type.
    """
    if len(packet) > MAX_PACKET:
        raise InputError(f"is larger than {MAX_PACKET} bytes.")
    wide = packet[:2] in (b"\xff\xfe", b"\xfe\xff")  # UTF-16, whose letters hold zero bytes
    reader = _Reader()
    try:
        reader.parser.Parse(packet if wide else packet.strip(b"\0 \r\n\t"), True)
    except expat.ExpatError as error:
        raise InputError("is not well-formed XML.") from error
    # Of an unknown or impossible encoding that the packet declares.
    except (LookupError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("declares an encoding that is not read.") from error
    return reader.found


class _Reader:
    """Follows the tree: RDF, Description, property, and the list within a property."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self._path: list[str] = []
        self._elements = 0
        self._text: list[str] = []
        self.parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = _refuse
        self.parser.EntityDeclHandler = _refuse
        self.parser.ExternalEntityRefHandler = _refuse

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if len(self._path) >= MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise InputError("has more elements, or deeper ones, than XMP has.")
        self._path.append(name)
        self._text = []
        if self._at_description(len(self._path)):
            for key, value in attributes.items():
                self._keep(key, value)
        elif self._at_description(len(self._path) - 1):
            resource = attributes.get(f"{_RDF}{_SEPARATOR}resource")
            if resource is not None:
                self._keep(name, resource)

    def _end(self, name: str) -> None:
        text, self._text = "".join(self._text).strip(), []
        depth = len(self._path)
        if self._at_description(depth - 1):
            self._keep(name, text)
        elif name == f"{_RDF}{_SEPARATOR}li" and self._at_description(depth - 3) and self._in_list(depth - 2):
            self._keep(self._path[depth - 3], text)
        self._path.pop()

    def _characters(self, data: str) -> None:
        self._text.append(data)

    def _at_description(self, depth: int) -> bool:
        """Whether the element at that depth is the rdf:Description of a packet."""
        return (
            2 <= depth <= 3
            and self._path[depth - 1] == f"{_RDF}{_SEPARATOR}Description"
            and self._path[depth - 2] == f"{_RDF}{_SEPARATOR}RDF"
        )

    def _in_list(self, index: int) -> bool:
        return self._path[index] in {f"{_RDF}{_SEPARATOR}{kind}" for kind in ("Bag", "Seq", "Alt")}

    def _keep(self, name: str, value: str) -> None:
        namespace, _, local = name.rpartition(_SEPARATOR)
        prefix = NAMESPACES.get(namespace)
        if prefix is not None and value:
            self.found.setdefault(f"{prefix}:{local}", []).append(value)


def _refuse(*_: Any) -> NoReturn:
    raise InputError("declares a document type or entities, which XMP never does.")
