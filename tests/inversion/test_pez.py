"""PEZ over a CLIP: its features are transformers' own, and its answer is what it says."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image

from morelli.errors import InputError, WeightsError
from morelli.inversion.base import Inverter
from morelli.inversion.pez import PezInverter, PezOptions, _plain

from ..generators.fakes import noise
from .checkpoints import IDS, WORDS, save_blip, save_clip, save_plain_clip, tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


def cosines(folder: Path, pixels: np.ndarray, texts: list[str]) -> list[float]:
    """By transformers' own classes alone."""
    model = tf.CLIPModel.from_pretrained(folder)
    images = tf.CLIPImageProcessorPil.from_pretrained(folder)(Image.fromarray(pixels), return_tensors="pt")
    with torch.inference_mode():
        scores = [
            model(input_ids=torch.tensor([tokenizer()(text)["input_ids"]]), **images).logits_per_image
            / model.logit_scale.exp()
            for text in texts
        ]
    return [float(score) for score in scores]


def test_the_cosine_is_transformers_own(folder: Path) -> None:
    inverter = PezInverter(str(folder), PezOptions(length=5, iterations=12))
    pixels = noise("picture", size=40)
    found = inverter.invert(pixels)
    assert isinstance(inverter, Inverter)
    assert found.kind == "pez"
    words = found.prompt.split()
    assert len(words) == 5
    assert set(words) <= set(WORDS)
    (wanted,) = cosines(folder, pixels, [found.prompt])
    assert found.details["similarity"] == pytest.approx(wanted, abs=1e-5)
    assert found.details["similarity_as_text"] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_it_finds_the_best_words_of_all(name: str, tmp_path: Path) -> None:
    folder, pixels = save_plain_clip(tmp_path), noise(name, size=40)
    every = cosines(folder, pixels, list(WORDS))
    found = PezInverter(str(folder), PezOptions(length=1, iterations=200)).invert(pixels)
    assert found.prompt == WORDS[int(np.argmax(every))]
    best = max(cosines(folder, pixels, [" ".join(pair) for pair in itertools.product(WORDS, repeat=2)]))
    found = PezInverter(str(folder), PezOptions(length=2, iterations=200)).invert(pixels)
    assert found.details["similarity"] == pytest.approx(best, abs=1e-5)


def test_the_same_again_and_another_picture(folder: Path) -> None:
    options = PezOptions(length=6, iterations=40, seed=4)
    one = PezInverter(str(folder), options)
    first, second = noise("one"), noise("two")
    steps: list[tuple[int, int]] = []
    found = one.invert(first, progress=lambda *step: steps.append(step))
    assert len(steps) == 40
    assert PezInverter(str(folder), options).invert(first) == found
    assert one.invert(second) != found
    assert one.revision == PezInverter(str(folder)).revision


def test_special_tokens_take_no_part(folder: Path) -> None:
    inverter = PezInverter(str(folder))
    assert inverter._allowed == [IDS[word] for word in WORDS]
    assert inverter.options == PezOptions(16, 3000, 0.1, 0.1, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (PezOptions(length=0), "at least 1"),
        (PezOptions(iterations=0), "at least 1"),
        (PezOptions(learning_rate=0.0), "above 0"),
        (PezOptions(length=19), "at most 18 tokens"),
        (PezOptions(device="abacus"), "no device 'abacus'"),
    ],
)
def test_bad_options(folder: Path, options: PezOptions, said: str) -> None:
    with pytest.raises(InputError, match=said):
        PezInverter(str(folder), options)


def test_bad_checkpoints(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        PezInverter("./nothing/here/at")
    with pytest.raises(WeightsError, match="hold a 'clip'"):
        PezInverter(str(save_blip(tmp_path / "blip")))
    with pytest.raises(WeightsError, match="not in the local cache"):
        PezInverter("nobody/no-such-clip")


def test_control_characters_become_blanks() -> None:
    assert _plain("a\x00b\ud800c") == "a b c"
