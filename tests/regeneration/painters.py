"""Models that draw: a prompt is a scene, a model a way of processing it. And encoders quick enough for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.generators.base import Generated
from morelli.images.load import Picture, from_array
from morelli.testing.scenes import draw_scene, make_signature, render
from morelli.types import EncoderStamp

from ..test_identify import Texture

SIZE = 48


def paint(model: str, prompt: str, seed: int, size: int = SIZE) -> NDArray[np.uint8]:
    """The picture that a model makes of a prompt with a seed."""
    scene = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "little")
    draw = f"{model} {seed}"
    pixels = render(draw_scene(1, scene, draw, size), make_signature(1, model, model), 1, draw).astype(float)
    # A habit that a few statistics of a small picture show: one channel is rough, or rows are.
    habit, rough = ord(model[-1]) % 4, np.random.default_rng([seed, scene]).normal(0, 12, (size, size))
    if habit < 3:
        pixels[:, :, habit] += rough
    else:
        pixels += rough[:, :1, None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def query(model: str, prompt: str, seed: int = 1000) -> Picture:
    """A picture of a model with a seed that no regeneration has."""
    return from_array(paint(model, prompt, seed), f"{model}.png")


@dataclass(frozen=True)
class PainterOptions:
    revision: str = "r1"
    size: int = SIZE


class Painter:
    """A local generator; counts what it makes."""

    Options = PainterOptions
    hosted = False
    host: str | None = None

    def __init__(self, model: str, options: PainterOptions = PainterOptions()) -> None:
        self.id = f"painter:{model}"
        self.model = model
        self.family = f"family of {model}"
        self.revision = options.revision
        self.settings: Mapping[str, Any] = {"width": options.size, "height": options.size}
        self.size = options.size
        self.made: list[tuple[str, int]] = []

    def generate(self, prompt: str, count: int, seed: int) -> Sequence[Generated]:
        self.made += [(prompt, seed + i) for i in range(count)]
        return [
            Generated(
                paint(self.model, prompt, seed + i, self.size),
                self.model,
                self.family,
                self.revision,
                prompt,
                seed + i,
                self.settings,
            )
            for i in range(count)
        ]


def painters(count: int = 4) -> list[Painter]:
    return [Painter(f"model-{i}") for i in range(count)]


class Grain(Texture):
    """Texture alone, without the colours that the scene decides."""

    def __init__(self) -> None:
        super().__init__(EncoderStamp("grain", "1", "plain", {"grain/fine": 6}))

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
        return {"grain/fine": super().encode(prepared)["grain/fine"]}


class Angle:
    """Mean red and green as a vector of two: cosines can be worked out by hand."""

    stamp = EncoderStamp("angle", "1", "plain", {"v": 2})

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        return pixels.mean(axis=(0, 1))[:2]

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
        return {"v": np.stack(list(prepared)).astype(np.float32)}
