"""Shorthand for a row of degradations of one kind: "jpeg:50-100:10" is jpeg:50, jpeg:60, …, jpeg:100."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from morelli.errors import InputError
from morelli.images.degrade import parse

#: The curves of paper 002: JPEG of quality 50–100, and a part of the picture of 0.5–1 brought back to its size.
CURVES = ("jpeg:50-100:10", "crop:0.5-1:0.1")
_MOST = 100
_SWEEP = re.compile(r"\s*(\w+)\s*:\s*([\d.]+)\s*-\s*([\d.]+)\s*(?::\s*([\d.]+)\s*)?")


def expand(steps: Sequence[str]) -> list[str]:
    """Degradations with every sweep ``name:low-high:step`` written out, in order, none twice.

    Parameters
    ----------
    steps : sequence of str
        Text forms of `morelli.images.degrade.parse`, and sweeps. Without a step, a sweep has six values.

    Raises
    ------
    InputError
        A sweep that does not rise, or of more than 100 values, or a strength out of its range.
    UnknownNameError
        No degradation of that name.

    Examples
    --------
    >>> expand(["jpeg:80-100:10", "blur:1"])
    ['jpeg:80', 'jpeg:90', 'jpeg:100', 'blur:1']
    """
    out: dict[str, None] = {}
    for step in steps:
        found = _SWEEP.fullmatch(step)
        for one in [step] if found is None else _values(step, *found.groups()):
            out[parse(one).name] = None
    return list(out)


def _values(text: str, name: str, low: str, high: str, step: str | None) -> list[str]:
    try:
        start, stop = float(low), float(high)
        by = (stop - start) / 5 if step is None else float(step)
    except ValueError as error:
        raise InputError(f"{text!r} is no sweep.", argument="--degrade", fix="Write jpeg:50-100:10.") from error
    count = int(np.floor((stop - start) / by + 1e-9)) + 1 if by > 0 and stop > start else 0
    if not 1 < count <= _MOST:
        raise InputError(
            f"{text!r} must rise from its first value to its second in 2 to {_MOST} steps.",
            argument="--degrade",
            fix="Write jpeg:50-100:10.",
        )
    return [f"{name}:{start + i * by:.10g}" for i in range(count)]
