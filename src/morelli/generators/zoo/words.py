"""What the zoo's models can read."""

from __future__ import annotations

import difflib

from morelli.errors import PromptError
from morelli.generators.zoo.world.grammar import WORDS

MOST_WORDS = 22
_KNOWN = frozenset(WORDS)


def check_prompt(text: str, argument: str = "prompt") -> str:
    """The prompt as the models take it: known words in lower case, single spaces, no commas or full stop.

    The words need not make a sentence of the grammar: a caption that a network wrote is often not one.

    Parameters
    ----------
    text : str
    argument : str
        Who cannot read it, for the message.

    Raises
    ------
    PromptError
        No word, more than `MOST_WORDS`, or a word that the world does not have.
    """
    words = text.lower().replace(",", " ").replace(".", " ").split()
    if not 1 <= len(words) <= MOST_WORDS:
        raise PromptError(f"reads prompts of 1 to {MOST_WORDS} words, and came {len(words)}.", argument=argument)
    for place, word in enumerate(words, start=1):
        if word not in _KNOWN:
            near = difflib.get_close_matches(word, WORDS, n=2, cutoff=0.6)
            hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Its world is small: see docs/zoo.md."
            raise PromptError(f"does not know word {place} of the prompt, {word!r}.", argument=argument, fix=hint)
    return " ".join(words)
