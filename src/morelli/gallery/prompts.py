"""Which prompt of a gallery a text means: its id or its wording, first exactly, then whatever the case."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from morelli.errors import InputError, UnknownNameError
from morelli.types import Reference


def find_prompt(references: Sequence[Reference], text: str) -> tuple[str, ...]:
    """Ids of the prompt that a text names; several where the gallery holds one wording under several ids.

    Parameters
    ----------
    references : sequence of Reference
    text : str
        A prompt id or a prompt's wording; spaces around it do not matter.

    Raises
    ------
    UnknownNameError
        No reference has such a prompt; the nearest ones are named.
    InputError
        Several ids differ from the text in case alone, and so do not name one prompt.
    """
    wanted = text.strip()
    ids = {r.prompt_id: r.prompt_id.strip() for r in references if r.prompt_id}
    wordings = {(r.prompt_id, r.prompt.strip()) for r in references if r.prompt_id and r.prompt.strip()}
    for fold in (str, str.casefold):
        named = sorted(key for key, value in ids.items() if fold(value) == fold(wanted))
        if len(named) > 1:
            raise InputError(
                f"{wanted!r} may be {' or '.join(map(repr, named))}.",
                argument="prompt",
                fix="Write one of them exactly.",
            )
        found = named or sorted({key for key, wording in wordings if fold(wording) == fold(wanted)})
        if found:
            return tuple(found)
    raise _unknown(wanted, [*ids.values(), *(wording for _, wording in wordings)])


def _unknown(wanted: str, known: Sequence[str]) -> UnknownNameError:
    error = UnknownNameError("prompt", wanted, set(known))
    by_fold = {name.casefold(): name for name in known}
    near = [by_fold[name] for name in difflib.get_close_matches(wanted.casefold(), sorted(by_fold), n=3, cutoff=0.5)]
    if near:
        start = f"Did you mean {' or '.join(map(repr, near))}?"
    else:
        start = "The gallery has others." if known else "No reference of this gallery has a prompt."
    rest = "To compare without the prompt, leave --prompt out, or pass --prompt-free where the command has it."
    error.fix = f"{start} {rest}"
    return error
