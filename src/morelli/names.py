"""Names that no model may have, as verdicts say them of images that are given to none."""

from __future__ import annotations

import unicodedata

from morelli.errors import ReservedNameError

#: What a verdict's ``decision`` is where it names no model.
RESERVED = frozenset({"none", "unsure"})


def is_reserved(name: str) -> bool:
    """Whether a name, in whatever letters, reads as a decision that names no model."""
    return unicodedata.normalize("NFKC", name).strip().casefold() in RESERVED


def refuse_reserved(name: str, argument: str, what: str = "model") -> None:
    """Refuse a model, or the base that one derives from, which a verdict could not tell from a rejection.

    Parameters
    ----------
    name : str
    argument : str
        Where it stands: the dataset's file, the reference, the field of a form.
    what : {"model", "base"}
        What is called so; verdicts name bases too, with ``--level base``.

    Raises
    ------
    ReservedNameError
    """
    if not is_reserved(name):
        return
    leave = ", or leave it out where there is none" if what == "base" else ""
    raise ReservedNameError(
        f"a {what} cannot be called {name!r}: that is what verdicts say of an image that they give to no model.",
        argument=argument,
        fix=f"Give the {what} another name{leave}; {' and '.join(sorted(RESERVED))} are taken, in any case of letters.",
    )
