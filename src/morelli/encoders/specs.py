"""Texts that name several encoders: ``A,B`` are two, and ``A+B`` is one that joins both."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from morelli.errors import InputError

_HUB = re.compile(r"hf:[\w.-]+/[\w.-]+")


def split_list(text: str, known: Callable[[str], bool]) -> list[str]:
    """The encoders that an option names with commas between them, none twice.

    A comma may also stand in a list of layers, ``hf:ORG/NAME@one,two``: what follows ``@`` and reads like no encoder
    of its own is a layer.

    Parameters
    ----------
    text : str
    known : callable
        Whether a name is registered.

    Raises
    ------
    InputError
        Nothing is named, or nothing between two commas.

    Examples
    --------
    >>> split_list("one, two,hf:a/b@block4/mean,pooled,one", {"one", "two"}.__contains__)
    ['one', 'two', 'hf:a/b@block4/mean,pooled']
    """
    found: list[str] = []
    for piece in (part.strip() for part in text.split(",")):
        if not piece:
            raise InputError("names no encoder before or after a comma.", argument="encoder")
        if found and _is_layer(piece, found[-1], known):
            found[-1] += f",{piece}"
        else:
            found.append(piece)
    return list(dict.fromkeys(found))


def _is_layer(piece: str, before: str, known: Callable[[str], bool]) -> bool:
    last = split_joined(before)[-1]
    if "@" not in last or known(last.partition("@")[0]):  # a registered name's argument is no list of layers
        return False
    return not any(known(part.partition("@")[0]) or _names_place(part) for part in split_joined(piece))


def _names_place(piece: str) -> bool:
    source = piece.rpartition("@")[0] or piece
    return bool(_HUB.match(piece)) or source.startswith((".", "~", "/")) or Path(source).is_dir()


def split_joined(spec: str) -> list[str]:
    """The parts of ``A+B``; a plus sign inside a path that leads somewhere is no separator.

    Parameters
    ----------
    spec : str

    Returns
    -------
    list of str
        One at least; empty texts where nothing stands beside a plus.

    Examples
    --------
    >>> split_joined("one+two")
    ['one', 'two']
    """
    pieces = spec.split("+")
    found: list[str] = []
    start = 0
    while start < len(pieces):
        end = next((e for e in range(len(pieces), start + 1, -1) if _leads("+".join(pieces[start:e]))), start + 1)
        found.append("+".join(pieces[start:end]).strip())
        start = end
    return found


def _leads(text: str) -> bool:
    """Whether a text with a plus in it is one path, or a name with one path after ``@``, or a path before it."""
    before, _, after = text.rpartition("@")
    paths = [text] + ([path for path in (before, text.partition("@")[2]) if "+" in path] if after else [])
    return any(Path(path).expanduser().exists() for path in paths)
