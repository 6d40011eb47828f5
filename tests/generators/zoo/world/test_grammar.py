from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.errors import InputError
from morelli.generators.zoo.world import WORDS, Group, Scene, caption, parse_caption, sample_scene
from tests.generators.zoo.world.strategies import scenes, seeds

RED_CIRCLES = Group(2, "red", "circle", "striped")
BLUE_STAR = Group(1, "blue", "star", "plain")
CYAN_CROSSES = Group(3, "cyan", "cross", "dotted")
WHITE_HEARTS = Group(2, "white", "heart", "plain")
BY_HAND = [
    (
        "two red striped circles left of one blue star on sand at dusk",
        Scene((RED_CIRCLES, BLUE_STAR), "left of", "sand", "dusk"),
    ),
    ("one blue star on paper in daylight", Scene((BLUE_STAR,), None, "paper", "daylight")),
    (
        "three cyan dotted crosses below two white hearts on water under spotlight",
        Scene(
            (Group(3, "cyan", "cross", "dotted"), Group(2, "white", "heart", "plain")), "below", "water", "spotlight"
        ),
    ),
]
OTHER_WORDINGS = [
    "a picture of two striped red discs to the left of a plain blue star over sand in the evening",
    "on the sand at dusk two banded red circles left of one blue plain star",
    "at dusk two red striped discs to the left of a blue star on sand",
    "we see   two red banded circles\nleft of a blue star over sand at dusk",
]


@pytest.mark.parametrize(("text", "scene"), BY_HAND)
def test_captions_written_by_hand(text: str, scene: Scene) -> None:
    assert caption(scene) == text
    assert parse_caption(text) == scene


@pytest.mark.parametrize("text", OTHER_WORDINGS)
def test_other_wordings_by_hand(text: str) -> None:
    assert parse_caption(text) == BY_HAND[0][1]


@given(scenes(), seeds)
def test_every_wording_is_read_back(scene: Scene, seed: int) -> None:
    for text in (caption(scene), caption(scene, np.random.default_rng(seed))):
        assert parse_caption(text) == scene
        words = text.split(" ")
        assert len(words) <= 24
        assert set(words) <= set(WORDS)


def test_wordings_differ_and_use_every_word() -> None:
    rng = np.random.default_rng(0)
    scene = BY_HAND[0][1]
    assert len({caption(scene, rng) for _ in range(200)}) > 100
    used = {word for _ in range(3000) for word in caption(sample_scene(rng), rng).split()}
    assert used == set(WORDS)


def test_an_article_fits_the_next_word() -> None:
    scene = Scene((Group(1, "orange", "star", "plain"),), None, "sand", "night")
    texts = [caption(scene, np.random.default_rng(seed)) for seed in range(200)]
    assert any(" an orange " in f" {text}" for text in texts)
    assert any(" a plain orange " in f" {text}" for text in texts)
    assert not any(" a orange " in f" {text}" or " an plain " in f" {text}" for text in texts)


def test_words_are_plain() -> None:
    assert list(WORDS) == sorted(set(WORDS))
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ends after 0 words where a number should follow"),
        ("too red circles on sand at dusk", r"word 1, 'too', should be a number\. Did you mean .*'two'"),
        ("two rad circles on sand at dusk", r"word 2, 'rad', should be a colour\. Did you mean 'red'"),
        ("two red circle on sand at dusk", r"word 3, 'circle', should be a shape in the plural\. .*'circles'"),
        ("one red circles on sand at dusk", r"word 3, 'circles', should be a shape in the singular"),
        ("two red striped dotted circles on sand at dusk", "word 4, 'dotted', should be a shape"),
        ("two red circles near one star on sand at dusk", "word 4, 'near', should be a ground or a relation"),
        ("two red circles on mud at dusk", "word 4, 'on', should be a ground"),
        ("two red circles on sand", "ends after 5 words where a light should follow"),
        ("two red circles on sand at noon", "word 6, 'at', should be a light"),
        ("two red circles on sand at dusk today", "should end before word 8, 'today'"),
        ("on sand at dusk two red circles on sand", "should end before word 8, 'on'"),
        (
            "two red circles above one blue circle on sand at dusk",
            "word 5 shows the shape of the first group, 'circle'",
        ),
        ("Two red circles on sand at dusk", "word 1, 'Two'"),
    ],
)
def test_errors_name_the_word(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_caption(text)
    assert caught.value.argument == "prompt"


@given(scenes(), seeds, st.integers(0, 30), st.sampled_from(["banana", "red,", "9", "étoile"]))
def test_a_foreign_word_is_never_passed_over(scene: Scene, seed: int, at: int, word: str) -> None:
    words = caption(scene, np.random.default_rng(seed)).split()
    words.insert(min(at, len(words)), word)
    with pytest.raises(InputError):
        parse_caption(" ".join(words))


@given(scenes(), seeds, st.integers(0, 30))
def test_a_missing_word_never_gives_the_same_scene_by_accident(scene: Scene, seed: int, at: int) -> None:
    words = caption(scene).split()
    del words[at % len(words)]
    try:
        other = parse_caption(" ".join(words))
    except InputError:
        return
    assert other != scene  # a texture may go missing, and then the scene is another one
