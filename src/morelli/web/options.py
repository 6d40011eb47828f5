"""Form fields that several questions have."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

#: Characters of the longest text.
TEXT = 10_000

GalleryField = Annotated[
    str | None, Field(max_length=TEXT, description="A name of /v1/galleries; by default the first.")
]
PromptField = Annotated[
    str | None,
    Field(
        max_length=TEXT,
        description="What the images were made from: a prompt id of the gallery, or the prompt's wording.",
    ),
]
PromptFreeField = Annotated[
    bool,
    Field(alias="prompt-free", description="Compare without the prompt where the gallery lacks references of it."),
]
MethodField = Annotated[
    str | None, Field(max_length=TEXT, description="How to compare: fused (the default), lda, plda, euclid, …")
]
EncoderField = Annotated[
    str | None, Field(max_length=TEXT, description="One of the gallery's encoders; by default its usual one.")
]
