"""Pictures become spectra for the network: on the fly, or from a file that was filled once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morelli.encoders.weights import short_hash
from morelli.fingerprint.chain import SignalChain
from morelli.fingerprint.learn.augment import draw_degradation
from morelli.fingerprint.learn.pictures import Pictures

Integers = NDArray[np.int64]
_AUGMENT = 105


class Views(Protocol):
    """What a training reads: spectra of classes and slots.

    Attributes
    ----------
    names, groups : sequence of str
        As in `Pictures`.
    limit : int or None
    digest : str
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def groups(self) -> Sequence[str]: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def digest(self) -> str: ...

    def spectra(self, classes: Integers, slots: Integers, step: int = 0) -> Tensor:
        """Spectra (n, c, h, w), float32; ``step`` decides degradations where they are drawn anew."""
        ...


class LiveViews:
    """Spectra computed when they are asked for.

    Parameters
    ----------
    pictures : Pictures
    chain : SignalChain
    augment : bool
        Degrade the 8-bit pictures before the residual. Pictures of one slot get the same degradation in all classes,
        so that it tells nothing of the class.
    seed : int
    fresh : bool
        Draw degradations anew in every step.
    device : str, optional
        Where residuals and spectra are computed (of the residuals "wavelet" and "oidn" the spectra alone); by default
        where the pictures are.
    """

    def __init__(
        self,
        pictures: Pictures,
        chain: SignalChain,
        *,
        augment: bool = False,
        seed: int = 0,
        fresh: bool = False,
        device: str | None = None,
    ) -> None:
        self.pictures, self.chain, self.augment, self.seed, self.fresh = pictures, chain, augment, seed, fresh
        self.device = device
        self.names, self.groups, self.limit = pictures.names, pictures.groups, pictures.limit
        self.digest = short_hash([pictures.digest, chain.describe(), [augment, seed, fresh]])

    def spectra(self, classes: Integers, slots: Integers, step: int = 0) -> Tensor:
        """See `Views.spectra`."""
        pixels = self.pictures.pixels(classes, slots)
        if self.augment:
            pixels = self._degraded(pixels, slots, step if self.fresh else 0)
        if self.device is not None:
            pixels = pixels.to(self.device)
        # Inside inference mode a tensor could not be part of a gradient later.
        return self.chain(pixels.float() / 255).clone()

    def _degraded(self, pixels: Tensor, slots: Integers, step: int) -> Tensor:
        chains = {
            slot: draw_degradation(np.random.default_rng([self.seed, _AUGMENT, step, slot]))
            for slot in np.unique(slots).tolist()
        }
        pictures = pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        done = [chains[slot](picture) for slot, picture in zip(slots.tolist(), pictures, strict=True)]
        return torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2).to(pixels.device)
