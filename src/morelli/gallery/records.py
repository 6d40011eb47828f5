"""What the gallery answers with: small frozen records, no arrays."""

from __future__ import annotations

from dataclasses import dataclass

from morelli.types import EncoderStamp, Reference


@dataclass(frozen=True, slots=True)
class AddReport:
    """What one commit changed, counted in distinct pictures.

    Attributes
    ----------
    added : int
        Pictures that the gallery did not have.
    updated : int
        Pictures it had, that got embeddings under another encoder, or a thumbnail.
    unchanged : int
        Pictures it had as they are.
    duplicates : int
        Rows given more than once in the same call and kept once.
    version : int
        Version of the gallery afterwards; the same as before where nothing was new.
    """

    added: int
    updated: int
    unchanged: int
    duplicates: int
    version: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """One picture under two labels: as it was given, and as it is known already."""

    given: Reference
    known: Reference

    def __str__(self) -> str:
        return f"{self.given.name} ({_label(self.given)}) is {self.known.name} ({_label(self.known)})"


def _label(reference: Reference) -> str:
    parts = [f"model {reference.model}"]
    if reference.family != reference.model:
        parts.append(f"family {reference.family}")
    if reference.prompt_id:
        parts.append(f"prompt {reference.prompt_id}")
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Whether a gallery is sound.

    Attributes
    ----------
    problems : tuple of str
        One sentence each; empty where all is well.
    references : int
        Rows that were read.
    version : int
        The version that was checked.
    """

    problems: tuple[str, ...]
    references: int
    version: int

    @property
    def ok(self) -> bool:
        """No problem was found."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class ModelCount:
    """References of one model."""

    model: str
    family: str
    references: int
    prompts: int


@dataclass(frozen=True)
class EncoderCount:
    """One encoder of a gallery and how many references have its embeddings."""

    stamp: EncoderStamp
    references: int


@dataclass(frozen=True)
class Summary:
    """A gallery at a glance.

    Attributes
    ----------
    path : str
        Folder or object-store URI.
    models : tuple of ModelCount
        Sorted by name.
    encoders : tuple of EncoderCount
        In the order in which they were added.
    references, prompts : int
        Rows; distinct prompt ids that are not empty.
    size : int or None
        Bytes on disk, earlier versions included; None where the gallery is not in a local folder.
    """

    path: str
    version: int
    references: int
    prompts: int
    models: tuple[ModelCount, ...]
    encoders: tuple[EncoderCount, ...]
    size: int | None
