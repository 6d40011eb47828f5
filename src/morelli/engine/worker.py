"""What runs in a worker's process: it keeps what items share, and answers for one item at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from morelli._version import __version__
from morelli.engine.base import Answer, answer

#: Calls of ``map`` whose shared object a worker keeps; a network may be large, and two alternate at most.
KEPT = 2

_held: OrderedDict[str, tuple[Callable[[Any, Any], Any], Any]] = OrderedDict()


def version() -> str:
    """The version of Morelli that this process would work with."""
    return __version__


def work(wanted: str, key: str, box: Sequence[Any], index: int, item: Any) -> Answer[Any] | str:
    """The answer for one item; or this process's version, where it is not the wanted one.

    Parameters
    ----------
    wanted : str
        Version of Morelli that asks.
    key : str
        Names the call of ``map``.
    box : sequence of one ObjectRef
        To the function and its shared object. In a sequence, so that Ray does not fetch it before every item.
    index : int
    item : object
    """
    if wanted != __version__:
        return __version__
    if key not in _held:
        import ray

        _held[key] = ray.get(box[0])
        while len(_held) > KEPT:
            _held.popitem(last=False)
    _held.move_to_end(key)
    function, shared = _held[key]
    return answer(function, shared, index, item)
