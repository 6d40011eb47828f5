"""Attackers who know that images are protected: each is an encoder and an attributor with something done before.

*Purify*: every image, query and reference, goes through a degradation that should take the perturbation away.
*Average*: the embedding is the mean over several degradations, each of which undoes a part.
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
from morelli.images.load import from_array
from morelli.images.pixels import check_pixels

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
    retrains : bool
        Whether references and background are protected images too.
    """

    name: str
    views: tuple[str, ...] = ("",)
    retrains: bool = False


ATTACKERS: tuple[Attacker, ...] = (
    Attacker("plain"),
    Attacker("purify jpeg", ("jpeg:75",)),
    Attacker("purify blur", ("blur:1",)),
    Attacker("purify resize", ("resize:0.5",)),
    Attacker("purify median", ("median",)),
    Attacker("purify oidn", (OIDN,)),
    Attacker("average", ("", "jpeg:85", "blur:0.7", "resize:0.75")),
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
    cache, progress
        As in `morelli.encoders.embed.embed`.

    Raises
    ------
    MorelliError
        The first image that cannot be embedded.
    InputError
        There is no image.
    """
    if not pictures:
        raise InputError("there is no image to embed.", argument="pictures")
    total: Vectors = {}
    sources = [from_array(pixels, f"image {number}") for number, pixels in enumerate(pictures)]
    for number, text in enumerate(attacker.views):

        def report(done: int, _: int, before: int = number * len(pictures)) -> None:
            if progress is not None:
                progress(before + done, len(pictures) * len(attacker.views))

        transform = purifier(text) if text else None
        found = embed(encoder, sources, transform=transform, cache=cache, on_error="raise", progress=report)
        for name, values in found.vectors.items():
            share = values / np.float32(len(attacker.views))
            total[name] = total[name] + share if name in total else share
    return total


def _oidn(pixels: Pixels) -> Pixels:
    from morelli.defence.levels import to_levels, to_pixels
    from morelli.fingerprint.denoiser import UNIT
    from morelli.fingerprint.oidn import oidn_residual

    image = to_levels(pixels)[None] / 255
    return to_pixels((image - oidn_residual(image) * UNIT)[0] * 255)
