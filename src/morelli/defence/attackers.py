"""Attackers who know that images are protected: each is an encoder and an attributor with something done before.

*Purify*: queries and references go through a degradation that should take the perturbation away.
*Average*: the embedding is the mean over several degradations, each of which undoes a part.
Both come in two variants: with statistics learnt from images as they are, and *throughout*, where the background too,
with its degraded copies, goes through the same first.
*Retrain*: references and background are protected as the leaderboard protects, so that what protection does to
embeddings is learnt as one more habit of each model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from morelli.defence.canonical import canonical
from morelli.encoders.embed import embed
from morelli.errors import InputError, UnknownNameError
from morelli.images.degrade import parse
from morelli.images.load import from_array
from morelli.images.pixels import check_pixels
from morelli.types import DegradedEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache

    Pixels = NDArray[np.uint8]
    Vectors = dict[str, NDArray[np.float32]]

#: Steps of a purifier: those of `morelli.defence.canonical`, at the image's own size; "" leaves it as it is.
OIDN = "oidn"


@dataclass(frozen=True, slots=True)
class Attacker:
    """What an attacker does to images before attributing them.

    Attributes
    ----------
    name : str
    views : tuple of str
        Purifiers whose embeddings are averaged; one for an attacker who purifies, ("",) for one who does nothing.
    throughout : bool
        Whether the background is seen through the views too; queries and references always are.
    retrains : bool
        Whether references and background are protected images too.
    """

    name: str
    views: tuple[str, ...] = ("",)
    throughout: bool = False
    retrains: bool = False


# "jpeg:75" and "resize:0.5" are among the draws that eot is optimised under (`morelli.defence.transforms`); the
# strengths beside them are not.
_VIEWS: dict[str, tuple[str, ...]] = {
    "purify jpeg": ("jpeg:75",),
    "purify jpeg 60": ("jpeg:60",),
    "purify blur": ("blur:1",),
    "purify resize": ("resize:0.5",),
    "purify resize 0.6": ("resize:0.6",),
    "purify median": ("median",),
    "purify oidn": (OIDN,),
    "average": ("", "jpeg:85", "blur:0.7", "resize:0.75"),
}
ATTACKERS: tuple[Attacker, ...] = (
    Attacker("plain"),
    *(Attacker(name, views) for name, views in _VIEWS.items()),
    *(Attacker(f"{name} throughout", views, throughout=True) for name, views in _VIEWS.items()),
    Attacker("retrain", retrains=True),
)


def attacker_names() -> list[str]:
    """Names that `load_attacker` takes; those whose parts are not installed are left out."""
    here = find_spec("mitsuba_oidn") is not None
    return [each.name for each in ATTACKERS if here or OIDN not in each.views]


def load_attacker(name: str) -> Attacker:
    """The attacker of that name.

    Raises
    ------
    UnknownNameError
        There is none, or its parts are not installed.
    """
    if name not in attacker_names():
        raise UnknownNameError("attacker", name, attacker_names())
    return next(each for each in ATTACKERS if each.name == name)


def purifier(text: str) -> Callable[[Pixels], Pixels]:
    """A purifier's text as a function of pixels (height, width, 3), uint8, which keeps their size.

    Raises
    ------
    UnknownNameError, InputError
        No such step, or a strength out of its range.
    """
    if not text:
        return check_pixels
    if text == OIDN:
        return _oidn
    return lambda pixels: canonical(pixels, text)


def embed_as(
    attacker: Attacker,
    encoder: Encoder,
    pictures: Sequence[Pixels],
    *,
    after: str = "",
    cache: EmbeddingCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Vectors:
    """Embeddings of n images as an attacker sees them: name → array of shape (n, d), float32.

    Parameters
    ----------
    attacker : Attacker
    encoder : Encoder
        The attacker's.
    pictures : sequence of ndarray, shape (height, width, 3), uint8
    after : str
        A degradation in its text form that every image goes through first; "" for none.
    cache, progress
        As in `morelli.encoders.embed.embed`.

    Raises
    ------
    MorelliError
        The first image that cannot be embedded.
    UnknownNameError, InputError
        There is no image, or no such degradation.
    """
    if not pictures:
        raise InputError("there is no image to embed.", argument="pictures")
    total: Vectors = {}
    sources = [from_array(pixels, f"image {number}") for number, pixels in enumerate(pictures)]
    for number, text in enumerate(attacker.views):

        def report(done: int, _: int, before: int = number * len(pictures)) -> None:
            if progress is not None:
                progress(before + done, len(pictures) * len(attacker.views))

        transform = _view(after, text) if after or text else None
        found = embed(encoder, sources, transform=transform, cache=cache, on_error="raise", progress=report)
        for name, values in found.vectors.items():
            share = values / np.float32(len(attacker.views))
            total[name] = total[name] + share if name in total else share
    return total


def embed_copies_as(
    attacker: Attacker,
    encoder: Encoder,
    pictures: Sequence[Pixels],
    rows: NDArray[np.intp],
    conditions: Sequence[str],
    *,
    cache: EmbeddingCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DegradedEmbeddings:
    """Degraded copies of m images as an attacker sees them: what attributors learn the effect of degradation from.

    Parameters
    ----------
    attacker : Attacker
    encoder : Encoder
    pictures : sequence of ndarray, shape (height, width, 3), uint8; length m
    rows : ndarray of int, shape (m,)
        Row of each image in the background.
    conditions : sequence of str
        Degradations in their text form.
    cache, progress
        As in `embed_as`; progress begins anew with each degradation.

    Raises
    ------
    MorelliError
        As `embed_as`; InputError where there is no condition.
    """
    if not conditions:
        raise InputError("there is no degradation.", argument="conditions")
    parts = [embed_as(attacker, encoder, pictures, after=text, cache=cache, progress=progress) for text in conditions]
    vectors = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return DegradedEmbeddings(np.repeat(list(conditions), len(rows)), np.tile(rows, len(conditions)), vectors)


def _view(after: str, text: str) -> Callable[[Pixels], Pixels]:
    """A degradation, then a purifier."""
    first = parse(after) if after else check_pixels
    second = purifier(text)
    return lambda pixels: second(first(pixels))


def _oidn(pixels: Pixels) -> Pixels:
    from morelli.defence.levels import to_levels, to_pixels
    from morelli.fingerprint.denoiser import UNIT
    from morelli.fingerprint.oidn import oidn_residual

    image = to_levels(pixels)[None] / 255
    return to_pixels((image - oidn_residual(image) * UNIT)[0] * 255)
