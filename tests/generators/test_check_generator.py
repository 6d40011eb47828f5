"""The published check passes a good generator, and sees each broken rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.generators.catalogue import load_generators
from morelli.testing.generators import check_generator

from .fakes import FakeGenerator, noise
from .pipelines import write_pipeline


def test_a_good_generator_passes() -> None:
    check_generator(FakeGenerator(batch=4, steps=3))


def test_diffusers_passes(tmp_path: Path) -> None:
    place = write_pipeline(tmp_path)
    (made,) = load_generators(f"diffusers:{place}", options={"steps": 1})
    check_generator(made)


def _with(change: Callable[..., Any]) -> FakeGenerator:
    """A generator whose images are changed: ``change(image, prompt, count, place)``."""
    made = FakeGenerator()
    usual = made.generate
    made.generate = lambda prompt, count, seed: [  # type: ignore[method-assign]
        change(image, prompt, count, place) for place, image in enumerate(usual(prompt, count, seed))
    ]
    return made


_CALLS: list[int] = []


def _restless(image: Any, prompt: str, count: int, place: int) -> Any:
    _CALLS.append(1)
    return replace(image, pixels=noise(len(_CALLS)))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            lambda image, prompt, count, place: replace(image, pixels=noise(prompt, image.seed, count)),
            "not on the count",
        ),
        (lambda image, prompt, count, place: replace(image, pixels=noise(prompt, place)), "not on the count"),
        (_restless, "not on the count"),
        (lambda image, prompt, count, place: replace(image, pixels=noise(prompt)), "another seed gives another"),
        (lambda image, prompt, count, place: replace(image, pixels=noise(image.seed)), "another prompt gives another"),
        (lambda image, prompt, count, place: replace(image, pixels=np.zeros((9, 9, 3), np.uint8)), "blank"),
        (lambda image, prompt, count, place: replace(image, seed=0), "the seed plus i"),
        (lambda image, prompt, count, place: replace(image, revision="r9"), "revision and settings"),
        (lambda image, prompt, count, place: replace(image, cost=1.0), "costs nothing"),
    ],
)
def test_a_broken_image_is_seen(change: Callable[..., Any], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_generator(_with(change))


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("id", "", "an id"),
        ("revision", "", "has a revision"),
        ("hosted", True, "is local"),
        ("host", "x.org", "is local"),
        ("settings", {"a": [1]}, "texts and numbers"),
        ("batch", 0, "at least 1"),
    ],
)
def test_a_broken_label_is_seen(name: str, value: Any, rule: str) -> None:
    made = FakeGenerator()
    setattr(made, name, value)
    with pytest.raises(AssertionError, match=rule):
        check_generator(made)


def test_too_few_images_and_no_generator() -> None:
    short = FakeGenerator()
    usual = short.generate
    short.generate = lambda prompt, count, seed: usual(prompt, count, seed)[:1]  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="as many images"):
        check_generator(short)
    with pytest.raises(AssertionError, match="every attribute"):
        check_generator(object())  # type: ignore[arg-type]
