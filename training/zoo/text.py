"""Captions as token ids, and the tokenizer that the mini-zoo is shipped with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.generators.zoo.world import WORDS

LENGTH = 24
"""Tokens of a caption with its start, end and padding; the longest wording has 21 words."""

PAD, START, END = "<pad>", "<start>", "<end>"
VOCABULARY: tuple[str, ...] = (PAD, *WORDS, START, END)
IDS: dict[str, int] = {word: number for number, word in enumerate(VOCABULARY)}


def encode(captions: Sequence[str]) -> NDArray[np.int64]:
    """Token ids, start and end included, padded.

    Parameters
    ----------
    captions : sequence of str
        Words of the world, at most ``LENGTH - 2``; an empty text stands for "no caption".

    Returns
    -------
    ndarray, shape (n, LENGTH), int64
    """
    out = np.full((len(captions), LENGTH), IDS[PAD], dtype=np.int64)
    for row, text in zip(out, captions, strict=True):
        ids = [IDS[START], *(IDS[word] for word in text.split()), IDS[END]]
        row[: len(ids)] = ids
    return out


def make_tokenizer() -> Any:
    """A word-level tokenizer of transformers that gives the ids of `encode`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    # A word outside the grammar becomes padding; the package refuses such prompts before they come here.
    raw = Tokenizer(models.WordLevel(vocab=dict(IDS), unk_token=PAD))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    raw.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{START} $A {END}", special_tokens=[(START, IDS[START]), (END, IDS[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token=START, eos_token=END, pad_token=PAD, unk_token=PAD, model_max_length=LENGTH
    )


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files into a model's folder."""
    make_tokenizer().save_pretrained(folder)
