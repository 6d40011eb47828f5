"""What a container was found to carry: texts and XMP packets, within a budget, and notes on what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from morelli.images.claims.limits import MAX_ALL, MAX_TEXT, MAX_TEXTS, clean


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a file.

    Attributes
    ----------
    where : str
        The carrier: "PNG tEXt", "EXIF", "XMP", …
    key : str
        The carrier's name for it: "parameters", "UserComment", …
    value : str
        As it stands in the file; not cleaned.
    """

    where: str
    key: str
    value: str


@dataclass
class Carried:
    """Filled by the readers of containers.

    Attributes
    ----------
    texts : list of Text
    packets : list of bytes
        XMP, as it stands in the file.
    notes : list of str
        Sentences on what was not read, and why.
    """

    texts: list[Text] = field(default_factory=list)
    packets: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _spent: int = 0

    def text(self, where: str, key: str, value: str) -> None:
        """Keep a text, if the budget allows."""
        if value and self._pay(where, key, len(value)):
            self.texts.append(Text(where, key, value))

    def packet(self, where: str, data: bytes) -> None:
        """Keep an XMP packet, if the budget allows."""
        if self._pay(where, "XMP", len(data)):
            self.packets.append(data)

    def note(self, sentence: str) -> None:
        """Say something once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _pay(self, where: str, key: str, size: int) -> bool:
        if size > MAX_TEXT:
            self.note(f"{where} {clean(key, 40)} is larger than {MAX_TEXT} bytes and was not read.")
            return False
        if self._spent + size > MAX_ALL or len(self.texts) + len(self.packets) >= MAX_TEXTS:
            self.note("The file holds more texts than are read; the rest was left out.")
            return False
        self._spent += size
        return True
