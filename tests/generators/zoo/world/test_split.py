from __future__ import annotations

import pytest

from morelli.errors import InputError, UnknownNameError
from morelli.generators.zoo.world import caption, parse_caption, prompts
from morelli.generators.zoo.world.scene import key_of


def test_prompts_are_distinct_canonical_and_disjoint() -> None:
    train, test = prompts("train", 1500, 0), prompts("test", 300, 0)
    assert len(set(train)) == 1500
    assert len(set(test)) == 300
    assert all(caption(parse_caption(text)) == text for text in [*train[:100], *test[:100]])
    keys = [{key_of(parse_caption(text)) for text in side} for side in (train, test)]
    assert keys[0].isdisjoint(keys[1])
    assert all(key % 10 == 0 for key in keys[1])


def test_a_longer_list_begins_with_the_shorter() -> None:
    assert prompts("test", 40, 7)[:15] == prompts("test", 15, 7)
    assert prompts("test", 15, 7) != prompts("test", 15, 8)
    assert prompts("test", 0, 7) == []


def test_bad_arguments() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        prompts("trian", 3, 0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="count"):
        prompts("train", -1, 0)
    with pytest.raises(InputError, match="count"):
        prompts("train", 2_000_000, 0)
    with pytest.raises(InputError, match="seed"):
        prompts("train", 1, -1)
