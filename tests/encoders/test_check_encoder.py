"""The published contract check passes a good encoder and fails each kind of broken one."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from morelli.encoders.embed import checked
from morelli.errors import ArrayError, ImageTooSmallError
from morelli.testing.encoders import check_encoder
from morelli.types import EncoderStamp
from tests.encoders.toys import STAMP, ToyEncoder

Arrays = Mapping[str, NDArray[Any]]


class BatchNorm(ToyEncoder):
    def encode(self, prepared: Sequence[Any]) -> Arrays:
        out = super().encode(prepared)
        return {"mean": out["mean"] - 0.01 * out["mean"].mean(axis=0), "shape": out["shape"]}


class Unordered(ToyEncoder):
    def encode(self, prepared: Sequence[Any]) -> Arrays:
        return {name: np.sort(values, axis=0) for name, values in super().encode(prepared).items()}


class Double(ToyEncoder):
    def encode(self, prepared: Sequence[Any]) -> Arrays:
        return {name: values.astype(np.float64) for name, values in super().encode(prepared).items()}


class NotFinite(ToyEncoder):
    def encode(self, prepared: Sequence[Any]) -> Arrays:
        out = super().encode(prepared)
        out["mean"][0, 1] = np.inf
        return out


class Random(ToyEncoder):
    def encode(self, prepared: Sequence[Any]) -> Arrays:
        out = super().encode(prepared)
        return {"mean": out["mean"] + np.random.default_rng().random((1, 3), np.float32), "shape": out["shape"]}


class Constant(ToyEncoder):
    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        return np.ones(5)


class Writes(ToyEncoder):
    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        out = super().prepare(pixels)
        if pixels.flags.writeable:
            pixels[0, 0] = 0
        return out


class SquareOnly(ToyEncoder):
    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        if pixels.shape[0] != pixels.shape[1]:
            raise ValueError("not square")
        return super().prepare(pixels)


class NoPixel(ToyEncoder):
    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        if pixels.shape[0] == 1:
            raise ZeroDivisionError
        return super().prepare(pixels)


class Refuses(ToyEncoder):
    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        if pixels.shape[0] < 8:
            raise ImageTooSmallError("too small.")
        return super().prepare(pixels)


class Shared(ToyEncoder):
    """Keeps the picture at hand in itself, so that threads get each other's."""

    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        self._at_hand = pixels
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.002)
        return super().prepare(self._at_hand)


class ReadsMemory(ToyEncoder):
    """Takes the bytes from the array's buffer as if it were contiguous."""

    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        base = pixels if pixels.base is None else pixels.base
        return np.array([*base.mean(axis=(0, 1)), *pixels.shape[:2]])


class Moving(ToyEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    @property
    def stamp(self) -> EncoderStamp:
        self.asked += 1
        return EncoderStamp("toy", str(self.asked), "plain", STAMP.dims)


@pytest.mark.parametrize("good", [ToyEncoder, Refuses])
def test_good_encoders_pass(good: type[ToyEncoder]) -> None:
    check_encoder(good())


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (BatchNorm, "does not depend on the rest of its batch"),
        (Unordered, "does not depend on the rest of its batch"),
        (Double, "is float32"),
        (NotFinite, "is finite"),
        (Random, "same embedding again"),
        (Constant, "different images"),
        (Writes, "leaves the pixels"),
        (Shared, "several threads"),
        (ReadsMemory, "view of a larger one"),
        (Moving, "same whenever"),
        (lambda: ToyEncoder(EncoderStamp("toy", "", "plain", STAMP.dims)), "revision"),
        (lambda: ToyEncoder(EncoderStamp("toy", "1", "plain", {})), "one vector"),
        (lambda: ToyEncoder(EncoderStamp("toy", "1", "plain", {"mean": 2, "shape": 2})), "has shape"),
        (lambda: ToyEncoder(EncoderStamp("toy", "1", "plain", {"shape": 2, "mean": 3})), "in that order"),
        (object, "stamp, prepare and encode"),
    ],
)
def test_broken_encoders_are_seen(broken: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_encoder(broken())


@pytest.mark.parametrize(("broken", "error"), [(SquareOnly, ValueError), (NoPixel, ZeroDivisionError)])
def test_what_an_encoder_raises_comes_through(broken: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_encoder(broken())


def test_tolerance_is_relative() -> None:
    class Wobbly(ToyEncoder):
        def encode(self, prepared: Sequence[Any]) -> Arrays:
            out = super().encode(prepared)
            return {name: values * np.float32(1 + 3e-4 * len(prepared)) for name, values in out.items()}

    check_encoder(Wobbly(), tolerance=1e-2)
    with pytest.raises(AssertionError):
        check_encoder(Wobbly(), tolerance=1e-4)


def test_checked_orders_names_as_the_stamp_does() -> None:
    arrays = {"shape": np.zeros((2, 2)), "mean": np.zeros((2, 3))}
    assert list(checked(arrays, STAMP, 2)) == ["mean", "shape"]
    with pytest.raises(ArrayError):
        checked(arrays, STAMP, 3)
