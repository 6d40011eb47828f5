"""Made-up pictures: a prompt is a scene of coloured shapes, a model is a way of processing it.

For tests that need many labelled pictures and no network. What these pictures show is said of these pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_CHOICES = ("ellipse", "rectangle", "polygon")


@dataclass(frozen=True, eq=False)
class Signature:
    """The habits of one made-up model.

    Attributes
    ----------
    kernel : ndarray, shape (3,), float32
        Symmetric blur or sharpening, applied along both axes; sums to 1.
    texture : ndarray, shape (period, period, 3), float32
        Tile that is added everywhere, levels of 0–255.
    tilt : ndarray, shape (3,), float32
        Gain of red, green and blue.
    grain : float
        Standard deviation of the noise, levels.
    smooth : float
        How much a noise sample takes from its neighbour to the left and above, 0–1.
    """

    kernel: NDArray[np.float32]
    texture: NDArray[np.float32]
    tilt: NDArray[np.float32]
    grain: float
    smooth: float


def make_signature(seed: int, family: str, model: str) -> Signature:
    """Signature drawn from names: models of one family share kernel and texture, as shared weights would make them."""
    shared, own = _generator(seed, "family", family), _generator(seed, "model", model)
    side = shared.uniform(-0.1, 0.16)
    kernel = np.array([side, 1 - 2 * side, side], dtype=np.float32)
    period = int(shared.integers(2, 9))
    texture = shared.standard_normal((period, period, 1)) + 0.3 * shared.standard_normal((period, period, 3))
    texture = texture - texture.mean(axis=(0, 1))
    texture *= 1.2 / max(float(texture.std()), 1e-6)
    tilt = 1 + own.uniform(-0.02, 0.02, 3)
    return Signature(
        kernel, texture.astype(np.float32), tilt.astype(np.float32), own.uniform(0.8, 2.5), own.uniform(0, 0.7)
    )


def draw_scene(seed: int, prompt: int, draw: str, size: int) -> NDArray[np.float32]:
    """The scene of one prompt: palette and layout are the prompt's, the jitter is the single drawing's.

    Parameters
    ----------
    seed, prompt : int
        Decide the scene.
    draw : str
        Decides the jitter: name it after model and image.
    size : int
        Side, pixels.

    Returns
    -------
    ndarray, shape (size, size, 3), float32
        Levels of 0–255.
    """
    layout, jitter = _generator(seed, "prompt", str(prompt)), _generator(seed, str(prompt), draw)
    ends = layout.uniform(30, 225, (2, 3)) + jitter.normal(0, 10, (2, 3))
    angle = layout.uniform(0, 2 * np.pi) + jitter.normal(0, 0.3)
    across, down = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    share = (0.5 + 0.35 * (np.cos(angle) * across + np.sin(angle) * down))[:, :, None]
    ground = np.clip(ends[0] * share + ends[1] * (1 - share), 0, 255).astype(np.uint8)
    # Drawn twice as large and reduced, so that edges are smooth as a renderer's are.
    canvas = Image.fromarray(ground).resize((2 * size, 2 * size))
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(layout.integers(5, 10))):
        centre = (layout.uniform(0.1, 0.9, 2) + jitter.normal(0, 0.05, 2)) * 2 * size
        radius = layout.uniform(0.06, 0.25, 2) * jitter.uniform(0.8, 1.2) * 2 * size
        colour = tuple(int(c) for c in np.clip(layout.uniform(0, 255, 3) + jitter.normal(0, 12, 3), 0, 255))
        kind = _CHOICES[int(layout.integers(len(_CHOICES)))]
        low, high = centre - radius, centre + radius
        if kind == "polygon":
            pen.polygon([(centre[0], low[1]), (high[0], high[1]), (low[0], centre[1])], fill=colour)
        else:
            getattr(pen, kind)([*low, *high], fill=colour)
    return np.asarray(canvas.reduce(2), dtype=np.float32)


def render(scene: NDArray[np.float32], signature: Signature, seed: int, draw: str) -> NDArray[np.uint8]:
    """The scene as the model of that signature would make it.

    Parameters
    ----------
    scene : ndarray, shape (height, width, 3), float32
        Levels of 0–255.
    signature : Signature
    seed, draw
        Decide the noise, as in `draw_scene`.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
    """
    image = scene * signature.tilt
    for axis in (0, 1):
        side, middle = signature.kernel[0], signature.kernel[1]
        edged = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        before, here, after = (np.take(edged, range(o, o + image.shape[axis]), axis) for o in range(3))
        image = side * before + middle * here + side * after
    height, width, _ = image.shape
    period = len(signature.texture)
    image = image + np.tile(signature.texture, (-(-height // period), -(-width // period), 1))[:height, :width]
    grain = _generator(seed, "grain", draw).standard_normal((height + 1, width + 1, 3), dtype=np.float32)
    near = grain[1:, 1:] + signature.smooth * (grain[1:, :-1] + grain[:-1, 1:])
    image = image + signature.grain * near / np.sqrt(1 + 2 * signature.smooth**2)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _generator(seed: int, *words: str) -> np.random.Generator:
    """Independent stream for each purpose; the words' bytes are part of the seed, so platforms agree."""
    return np.random.default_rng([seed, *"\0".join(words).encode()])
