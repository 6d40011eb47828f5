"""A small encoder with gradients, one without, and embeddings whose answers can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morelli.defence.levels import to_levels
from morelli.defence.surrogate import Surrogate, load_surrogate
from morelli.encoders.base import Encoder
from morelli.types import EncoderStamp, LabelledEmbeddings

STAMP = EncoderStamp("grain", "1", "plain", {"grain/steps": 7, "colour/mean": 3})


def grain(x: Tensor) -> dict[str, Tensor]:
    """How strongly neighbours differ along both axes, and the mean colour, of an image (3, h, w).

    A constant beside the differences keeps their size in the vector's direction.
    """
    steps = [x.diff(dim=axis).square().mean(dim=(1, 2)).add(1.0).sqrt() for axis in (1, 2)]
    return {"grain/steps": torch.cat([*steps, torch.tensor([10.0])]), "colour/mean": x.mean(dim=(1, 2)) / 8}


class GrainEncoder:
    """Keeps the contract of an encoder, and brings its own differentiable form."""

    def __init__(self, stamp: EncoderStamp = STAMP) -> None:
        self.stamp = stamp

    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float()

    def encode(self, prepared: Sequence[Tensor]) -> Mapping[str, NDArray[np.float32]]:
        found = [grain(x) for x in prepared]
        return {name: np.stack([one[name].numpy() for one in found]) for name in self.stamp.dims}

    def surrogate(self) -> GrainSurrogate:
        return GrainSurrogate(self.stamp)


class GrainSurrogate:
    def __init__(self, stamp: EncoderStamp = STAMP) -> None:
        self.stamp = stamp

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        return grain(pixels)


class BlindEncoder(GrainEncoder):
    """The same without gradients."""

    surrogate = None  # type: ignore[assignment]


def scene(seed: int = 0, height: int = 48, width: int = 56) -> NDArray[np.uint8]:
    """A picture with smooth ground on the left and texture on the right."""
    rng = np.random.default_rng(seed)
    x = np.linspace(90, 130, width)[None, :, None] + np.zeros((height, width, 3))
    x[:, width // 2 :] += rng.normal(0, 25, (height, width - width // 2, 3))
    return np.clip(x, 0, 255).astype(np.uint8)


def on_circle(angles: Mapping[str, Sequence[float]], prompt: str = "p") -> LabelledEmbeddings:
    """Unit vectors at angles in degrees, by model."""
    models = np.array([name for name, values in angles.items() for _ in values])
    radians = np.radians([value for values in angles.values() for value in values])
    x = np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)
    return LabelledEmbeddings({"v": x}, models, np.full(len(models), prompt), models)


def surrogate_distances(encoder: Encoder, pixels: NDArray[np.uint8]) -> dict[str, float]:
    """How far each vector of an encoder's differentiable form lies from the encoder's own, relative to its length."""
    want = encoder.encode([encoder.prepare(pixels)])
    with torch.no_grad():
        got = load_surrogate(encoder)(to_levels(pixels))
    assert list(got) == list(encoder.stamp.dims)
    return {n: float(np.linalg.norm(got[n].numpy() - v[0]) / np.linalg.norm(v[0])) for n, v in want.items()}


def rise_and_slope(
    surrogate: Surrogate, x: Tensor, step: float, counts: Callable[[str], bool] = lambda name: True
) -> tuple[float, float]:
    """What a random linear function of the vectors rises by between two small steps along its gradient; and what the
    gradient says that it does.

    Parameters
    ----------
    surrogate : Surrogate
    x : Tensor, shape (3, h, w)
        Levels.
    step : float
        Largest change of a sample, levels.
    counts : callable
        Which vectors take part, by name.
    """
    leaf = x.detach().clone().requires_grad_()
    vectors = {name: v for name, v in surrogate(leaf).items() if counts(name)}
    weights = {name: torch.randn_like(v) / v.detach().norm() for name, v in vectors.items()}
    value = torch.stack([(vectors[name] * w).sum() for name, w in weights.items()]).sum()
    (gradient,) = torch.autograd.grad(value, leaf)
    along = step * gradient / gradient.abs().max()
    with torch.no_grad():
        ends = [surrogate(leaf + sign * along) for sign in (1, -1)]
    rise = sum(float(((ends[0][name] - ends[1][name]).double() * w).sum()) for name, w in weights.items())
    return rise, 2 * float((along * gradient).sum())
