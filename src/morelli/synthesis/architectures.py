"""The 288 architectures of paper 002, §III-B: every combination of six options. No torch here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from morelli.errors import InputError, UnknownNameError

#: Option → its values. The place of a value in its row is its digit in the id; the first is what is left when paper
#: 002's table II takes the option away.
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "blocks": ("1", "2"),
    "layers": ("1", "2"),
    "order": ("post", "pre"),
    "up": ("bilinear", "nearest", "transposed"),
    "act": ("none", "relu", "sigmoid", "tanh"),
    "norm": ("none", "batch", "instance"),
}
#: The paper's letters.
LETTERS: Mapping[str, str] = dict(zip("KLSUAN", OPTIONS, strict=True))
_PATTERN = re.compile(r"[0-9.]{6}")


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture.

    Attributes
    ----------
    blocks : {"1", "2"}
        K: pairs of a down-sampling and an up-sampling block.
    layers : {"1", "2"}
        L: convolutions in an up-sampling block.
    order : {"post", "pre"}
        S: up-sampling, convolution, normalisation, activation; or normalisation, activation, up-sampling, convolution.
    up : {"bilinear", "nearest", "transposed"}
        U: interpolation, or a transposed convolution with kernel and stride 2.
    act : {"none", "relu", "sigmoid", "tanh"}
        A.
    norm : {"none", "batch", "instance"}
        N.

    Raises
    ------
    UnknownNameError
        A value that its option does not have.

    Examples
    --------
    >>> Architecture("1", "1", "post", "transposed", "none", "batch").id
    '000201'
    """

    blocks: str
    layers: str
    order: str
    up: str
    act: str
    norm: str

    def __post_init__(self) -> None:
        for option, values in OPTIONS.items():
            if getattr(self, option) not in values:
                raise UnknownNameError(option, str(getattr(self, option)), values)

    @property
    def id(self) -> str:
        """Six digits in the order blocks, layers, order, up, act, norm."""
        return "".join(str(values.index(getattr(self, option))) for option, values in OPTIONS.items())

    @property
    def multiple(self) -> int:
        """Height and width of an image must be multiples of this: each down-sampling block halves them."""
        return 2 ** int(self.blocks)

    def without(self, option: str) -> Architecture:
        """The same with one option at its first value."""
        return replace(self, **{option: OPTIONS[option][0]})

    def __str__(self) -> str:
        return self.id


class ModelKey(NamedTuple):
    """Which synthetic model: its architecture's id and its seed."""

    architecture_id: str
    seed: int


def from_id(text: str) -> Architecture:
    """The architecture of a six-digit id.

    Raises
    ------
    UnknownNameError
        There is none of that id.
    """
    digits = [int(digit) for digit in text] if re.fullmatch(r"[0-9]{6}", text) else []
    sizes = [len(values) for values in OPTIONS.values()]
    if not digits or any(digit >= size for digit, size in zip(digits, sizes, strict=True)):
        raise UnknownNameError("architecture", text, (each.id for each in ARCHITECTURES))
    return Architecture(*(values[digit] for values, digit in zip(OPTIONS.values(), digits, strict=True)))


#: All 288, by id.
ARCHITECTURES: tuple[Architecture, ...] = tuple(
    Architecture(*values) for values in itertools.product(*OPTIONS.values())
)


def find_option(text: str) -> str:
    """The option of a name or of the paper's letter: ``up`` or ``U``.

    Raises
    ------
    UnknownNameError
        There is no such option.
    """
    option = LETTERS.get(text, text)
    if option not in OPTIONS:
        raise UnknownNameError("option", text, OPTIONS)
    return option


def select(text: str) -> tuple[Architecture, ...]:
    """The architectures that a text names, by id, each once.

    Parameters
    ----------
    text : str
        Parts with commas between them: ``all``; an id; a pattern of six with dots for any digit (``0.1...``);
        ``without:OPTION``, which keeps only what has that option's first value, as table II does. A text of
        ``without:`` parts alone starts from all.

    Raises
    ------
    UnknownNameError
        No such architecture or option.
    InputError
        Nothing is left, or a part is in no such form.

    Examples
    --------
    >>> len(select("all")), len(select("without:up")), [str(each) for each in select("000.00")]
    (288, 96, ['000000', '000100', '000200'])
    """
    chosen: set[str] = set()
    fixed: list[str] = []
    named = False
    for part in (part.strip() for part in text.split(",")):
        if part.startswith("without:"):
            fixed.append(find_option(part.removeprefix("without:")))
            continue
        named = True
        chosen.update(_named(part))
    if not named:
        chosen.update(each.id for each in ARCHITECTURES)
    kept = [each for each in ARCHITECTURES if each.id in chosen and all(each == each.without(o) for o in fixed)]
    if not kept:
        raise InputError(f"no architecture is left of {text!r}.", argument="architectures", fix="Remove less.")
    return tuple(kept)


def _named(part: str) -> list[str]:
    if part == "all":
        return [each.id for each in ARCHITECTURES]
    if "." not in part and part.isdigit():
        return [from_id(part).id]
    if not _PATTERN.fullmatch(part):
        raise InputError(
            f"{part!r} is no architecture.",
            argument="architectures",
            fix="Give all, ids of six digits, patterns of six with dots, or without:OPTION, with commas between them.",
        )
    found = [each.id for each in ARCHITECTURES if re.fullmatch(part, each.id)]
    if not found:
        raise UnknownNameError("architecture", part, (each.id for each in ARCHITECTURES))
    return found
