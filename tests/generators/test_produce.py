"""A run over prompts and generators: every image checked and kept, and a failure stops nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.errors import (
    ArrayError,
    BadGenerationError,
    CredentialsError,
    HostError,
    MissingExtraError,
    MorelliError,
    RefusedContentError,
    StorageError,
)
from morelli.generators.base import Generator, check_generated
from morelli.generators.produce import Outcome, Step, produce, run
from morelli.generators.prompts import Prompt
from morelli.generators.store import ImageStore
from morelli.images.dataset import read_dataset

from .fakes import FakeGenerator, noise

BLACK = np.zeros((32, 32, 3), np.uint8)


def raiser(error: BaseException) -> Callable[[], Any]:
    def throw() -> Any:
        raise error

    return throw


def test_the_fake_keeps_the_contract() -> None:
    assert isinstance(FakeGenerator(), Generator)


@given(count=st.integers(1, 12), batch=st.integers(1, 5), there=st.sets(st.integers(0, 11)))
@settings(deadline=None, max_examples=30)
def test_seeds_come_in_order_whatever_the_batch_and_whatever_is_there(
    count: int, batch: int, there: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    generator = FakeGenerator(batch=batch)
    with ImageStore(tmp_path_factory.mktemp("s")) as store:
        for seed in there:
            list(produce(generator, "a", 1, seed, store=store))
        generator.calls.clear()
        found = list(produce(generator, "a", count, store=store))
    assert [each.image.seed for each in found] == list(range(count))
    assert [each.fresh for each in found] == [seed not in there for seed in range(count)]
    assert all((each.image.pixels == noise("fake", "a", each.image.seed)).all() for each in found)
    assert generator.made == len(set(range(count)) - there)
    assert all(size <= batch for _, size, _ in generator.calls)


def test_a_hosted_generator_is_asked_for_one_at_a_time() -> None:
    generator = FakeGenerator(batch=4)
    generator.hosted = True
    assert len(list(produce(generator, "a", 3))) == 3
    assert [count for _, count, _ in generator.calls] == [1, 1, 1]


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (BLACK, "blank image for seed 1"),
        (BLACK + np.array([9, 200, 30], np.uint8), "blank image"),
        (noise(1) % 2 + 100, "blank image"),
        (noise(1, size=16), "16×16 pixels for seed 1; 32×32 were asked for"),
        (noise("fake", "a", 0), "the same image for the seeds 0 and 1"),
    ],
)
def test_an_image_that_cannot_be_one(pixels: np.ndarray, said: str, tmp_path: Path) -> None:
    generator = FakeGenerator(batch=3, width=32, height=32)
    generator.break_at[1] = lambda: pixels
    with ImageStore(tmp_path) as store:
        with pytest.raises(BadGenerationError, match=said) as caught:
            list(produce(generator, "a", 3, store=store))
        assert caught.value.argument == "test:fake"
        assert len(store) == 1


def test_a_dark_image_with_something_in_it_passes() -> None:
    generator = FakeGenerator()
    dark = BLACK.copy()
    dark[3, 3, 1] = 3
    generator.break_at[0] = lambda: dark
    assert check_generated(generator.generate("a", 1, 0)[0], generator).seed == 0


def test_pixels_that_are_none() -> None:
    generator = FakeGenerator()
    generator.break_at[0] = lambda: np.zeros((32, 32, 3))
    with pytest.raises(ArrayError, match="float64"):
        list(produce(generator, "a", 1))


def test_too_few_images_and_wrong_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = FakeGenerator(batch=2)
    usual = generator.generate
    monkeypatch.setattr(generator, "generate", lambda prompt, count, seed: usual(prompt, count - 1, seed))
    with pytest.raises(BadGenerationError, match="gave 1 images where 2 were asked for"):
        list(produce(generator, "a", 2))
    monkeypatch.setattr(generator, "generate", lambda prompt, count, seed: usual(prompt, count, seed + 1))
    with pytest.raises(BadGenerationError, match="of the seed 1 where 0"):
        list(produce(generator, "a", 1))


@pytest.mark.parametrize(
    ("error", "first_made"),
    [
        (RefusedContentError("no.", argument="test:one"), 2),
        (HostError("gone.", argument="test:one"), 1),
        (CredentialsError("no.", argument="test:one"), 1),
        (MissingExtraError("generators", "it"), 1),
    ],
)
def test_a_failure_stops_its_prompt_or_its_generator_and_nothing_else(
    error: MorelliError, first_made: int, tmp_path: Path
) -> None:
    one, two = FakeGenerator("one"), FakeGenerator("two")
    usual = one.generate

    def generate(prompt: str, count: int, seed: int):
        if prompt == "b":
            raise error
        return usual(prompt, count, seed)

    one.generate = generate  # type: ignore[method-assign]
    with ImageStore(tmp_path) as store:
        found = run([one, two], [Prompt("a"), Prompt("b"), Prompt("c")], 1, store)
    assert found.failed == [("one", "b", error)]
    assert found.made == {"one": first_made, "two": 3}
    assert len(read_dataset(tmp_path).items) == 3 + first_made


def test_a_disk_that_refuses_ends_the_run(tmp_path: Path) -> None:
    generator = FakeGenerator()
    generator.break_at[1] = raiser(StorageError("full."))
    outcome = Outcome()
    with ImageStore(tmp_path) as store, pytest.raises(StorageError):
        run([generator, FakeGenerator("two")], [Prompt("a")], 3, store, outcome=outcome)
    assert outcome.made == {"fake": 1}


def test_progress_counts_everything(tmp_path: Path) -> None:
    steps: list[Step] = []
    one, two = FakeGenerator("one"), FakeGenerator("two")

    def refuse_once() -> Any:
        one.break_at.clear()
        raise RefusedContentError("no.")

    one.break_at[0] = refuse_once
    with ImageStore(tmp_path) as store:
        run([one, two], [Prompt("a"), Prompt("b")], 2, store, progress=steps.append)
    assert [step.done for step in steps] == [3, 4, 5, 6, 7, 8]
    assert {step.total for step in steps} == {8}
