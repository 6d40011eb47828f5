"""The contract of an encoder, as a check that a plug-in's own tests can call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.encoders.base import Encoder
from morelli.errors import ImageTooSmallError
from morelli.types import EncoderStamp

# Height and width: square, wide, tall, smaller than most networks' input.
_SIZES = ((256, 256), (120, 333), (301, 96), (47, 33))
_THREADS = 8
_ROUNDS = 3


def check_encoder(encoder: Encoder, *, tolerance: float = 1e-4) -> None:
    """Hold an encoder to the contract of `morelli.encoders.base.Encoder`.

    Parameters
    ----------
    encoder : Encoder
        Weights read, ready to run.
    tolerance : float
        How much two embeddings of one image may differ, as a fraction of the largest absolute value in the vector:
        matrix libraries add up in another order for another batch size.

    Raises
    ------
    AssertionError
        Names the first rule that is broken: the stamp names the encoder and its vectors; arrays are float32, finite
        and of the stamp's sizes; the same image gives the same embedding again, whatever its batch, its place in it
        and the layout of its array, and different images different ones; images that are not square or smaller than
        the network's input work, and a single pixel works or raises `ImageTooSmallError`; ``prepare`` does not
        change the pixels and may be called from several threads.

    Examples
    --------
    >>> from morelli.encoders.catalogue import load_encoder
    >>> check_encoder(load_encoder("efficientnet-lite0"))  # doctest: +SKIP
    """
    _check_stamp(encoder)
    images = [_image(seed, height, width) for seed, (height, width) in enumerate(_SIZES)]
    prepared = [encoder.prepare(image) for image in images]
    alone = [_encode(encoder, [one]) for one in prepared]
    for i, vectors in enumerate(alone):
        _check_arrays(vectors, encoder.stamp, f"an image of {images[i].shape[1]} × {images[i].shape[0]} pixels")
    _check_distinct(alone)
    _check_repeatable(encoder, images, alone, tolerance)
    _check_batches(encoder, prepared, alone, tolerance)
    _check_threads(encoder, images, alone, tolerance)
    _check_one_pixel(encoder)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(rule)


def _image(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Smooth colours with noise on them; read-only, as the loader's pixels are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 90 * np.sin(x / rng.uniform(3, 40) + y / rng.uniform(3, 40)) for _ in range(3)]
    pixels = np.clip(np.stack(waves, axis=2) + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    pixels.flags.writeable = False
    return pixels


def _encode(encoder: Encoder, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
    """The encoder's own arrays, copied, since it may reuse its buffers."""
    return {name: np.array(values) for name, values in encoder.encode(prepared).items()}


def _check_stamp(encoder: Encoder) -> None:
    _require(isinstance(encoder, Encoder), "an encoder has stamp, prepare and encode")
    stamp = encoder.stamp
    _require(isinstance(stamp, EncoderStamp), "encoder.stamp is an EncoderStamp")
    for part in ("encoder", "revision", "preprocessing"):
        value = getattr(stamp, part)
        _require(isinstance(value, str) and bool(value), f"stamp.{part} is a string that is not empty")
    _require(bool(stamp.dims), "stamp.dims names one vector at least")
    _require(all(isinstance(d, int) and d > 0 for d in stamp.dims.values()), "stamp.dims holds positive integers")
    _require(encoder.stamp == stamp, "stamp is the same whenever it is asked")


def _check_arrays(arrays: Mapping[str, NDArray[Any]], stamp: EncoderStamp, what: str, n: int = 1) -> None:
    _require(list(arrays) == list(stamp.dims), f"{what}: encode names its vectors as stamp.dims does, in that order")
    for name, d in stamp.dims.items():
        values = arrays[name]
        _require(values.shape == (n, d), f"{what}: {name} has shape {(n, d)}, not {values.shape}")
        _require(values.dtype == np.float32, f"{what}: {name} is float32, not {values.dtype}")
        _require(bool(np.isfinite(values).all()), f"{what}: {name} is finite")


def _check_same(
    found: Mapping[str, NDArray[Any]], row: int, expected: Mapping[str, NDArray[Any]], tolerance: float, rule: str
) -> None:
    for name, values in expected.items():
        scale = max(float(np.abs(values).max()), np.finfo(np.float32).tiny)
        apart = float(np.abs(found[name][row] - values[0]).max()) / scale
        _require(bool(apart <= tolerance), f"{rule}: {name} is {apart:.2g} apart, more than {tolerance:.2g}")


def _check_distinct(alone: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    # All vectors together: one coarse vector may well be equal for two images.
    whole = [np.concatenate([values[0] for values in vectors.values()]) for vectors in alone]
    equal = any(bool(np.array_equal(whole[i], whole[j])) for i in range(len(whole)) for j in range(i))
    _require(not equal, "different images have different embeddings")


def _check_repeatable(
    encoder: Encoder, images: Sequence[NDArray[np.uint8]], alone: Sequence[Mapping[str, NDArray[Any]]], tolerance: float
) -> None:
    for image, expected in zip(images, alone, strict=True):
        copy = image.copy()
        before = copy.copy()
        again = _encode(encoder, [encoder.prepare(copy)])
        _require(np.array_equal(copy, before), "prepare leaves the pixels as they are")
        _check_same(again, 0, expected, tolerance, "the same image gives the same embedding again")
        padded = np.zeros((image.shape[0] + 3, image.shape[1] + 5, 3), np.uint8)
        padded[1:-2, 2:-3] = image
        view = _encode(encoder, [encoder.prepare(padded[1:-2, 2:-3])])
        _check_same(view, 0, expected, tolerance, "an array that is a view of a larger one gives the same embedding")


def _check_batches(
    encoder: Encoder, prepared: Sequence[Any], alone: Sequence[Mapping[str, NDArray[Any]]], tolerance: float
) -> None:
    orders = (range(len(prepared)), range(len(prepared))[::-1], [2, 0, 0, 1], [1, 3])
    for order in orders:
        found = _encode(encoder, [prepared[i] for i in order])
        _check_arrays(found, encoder.stamp, f"a batch of {len(order)}", n=len(order))
        for row, i in enumerate(order):
            _check_same(found, row, alone[i], tolerance, "an embedding does not depend on the rest of its batch")


def _check_threads(
    encoder: Encoder, images: Sequence[NDArray[np.uint8]], alone: Sequence[Mapping[str, NDArray[Any]]], tolerance: float
) -> None:
    which = [i for i in range(len(images)) for _ in range(_ROUNDS)] * 2
    with ThreadPoolExecutor(_THREADS) as pool:
        prepared = list(pool.map(lambda i: encoder.prepare(images[i]), which))
    for i, one in zip(which, prepared, strict=True):
        _check_same(_encode(encoder, [one]), 0, alone[i], tolerance, "prepare may be called from several threads")


def _check_one_pixel(encoder: Encoder) -> None:
    try:
        prepared = encoder.prepare(np.full((1, 1, 3), 200, np.uint8))
    except ImageTooSmallError:
        return
    _check_arrays(_encode(encoder, [prepared]), encoder.stamp, "a single pixel")
