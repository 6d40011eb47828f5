"""BLIP's caption is that of transformers' own generate under the published settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image

from morelli.errors import InputError, WeightsError
from morelli.inversion.base import Inverter
from morelli.inversion.blip import BlipInverter, BlipOptions

from ..generators.fakes import noise
from .checkpoints import save_blip, save_clip, tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip(tmp_path_factory.mktemp("blip"))


def caption(folder: Path, pixels: np.ndarray, **settings: int) -> str:
    """With transformers' own processor and model."""
    model = tf.BlipForConditionalGeneration.from_pretrained(folder)
    processor = tf.BlipProcessor(tf.BlipImageProcessorPil.from_pretrained(folder), tokenizer())
    inputs = processor(images=Image.fromarray(pixels), return_tensors="pt")
    with torch.inference_mode():
        ids = model.generate(pixel_values=inputs["pixel_values"], do_sample=False, **settings)
    return processor.decode(ids[0], skip_special_tokens=True).strip()


def test_captions_are_those_of_generate(folder: Path) -> None:
    inverter = BlipInverter(str(folder))
    assert isinstance(inverter, Inverter)
    found = []
    for name in range(6):
        pixels = noise("picture", name, size=48)
        wanted = caption(folder, pixels, num_beams=3, min_length=5, max_length=24)
        made = inverter.invert(pixels)
        assert made.prompt == wanted
        assert made.kind == "blip"
        assert len(made.prompt.split()) >= 4  # five tokens with the start
        found.append(made.prompt)
    assert len(set(found)) > 1
    # The settings matter here: one beam, or no least length, would say other things.
    greedy = [caption(folder, noise("picture", n, size=48), num_beams=1, max_length=24) for n in range(6)]
    assert greedy != found


def test_options(folder: Path) -> None:
    pixels = noise("picture", 1, size=48)
    short = BlipInverter(str(folder), BlipOptions(beams=1, min_length=1, max_length=4)).invert(pixels)
    assert short.prompt == caption(folder, pixels, num_beams=1, min_length=1, max_length=4)
    assert BlipOptions() == BlipOptions(3, 5, 60, 3)
    for bad in (
        BlipOptions(beams=0),
        BlipOptions(captions=0),
        BlipOptions(min_length=9, max_length=8),
        BlipOptions(min_length=0),
    ):
        with pytest.raises(InputError, match="needs beams"):
            BlipInverter(str(folder), bad)


def test_further_captions_are_those_of_the_beams(folder: Path) -> None:
    """Against transformers' own sequences; the published best one stays the first."""
    pixels = noise("picture", 2, size=48)
    model = tf.BlipForConditionalGeneration.from_pretrained(folder)
    processor = tf.BlipProcessor(tf.BlipImageProcessorPil.from_pretrained(folder), tokenizer())
    inputs = processor(images=Image.fromarray(pixels), return_tensors="pt")
    with torch.inference_mode():
        ids = model.generate(
            pixel_values=inputs["pixel_values"], do_sample=False, num_beams=3, num_return_sequences=3, min_length=5,
            max_length=24,
        )  # fmt: skip
    wanted = [processor.decode(row, skip_special_tokens=True).strip() for row in ids]
    found = BlipInverter(str(folder)).invert(pixels)
    assert found.prompts == tuple(dict.fromkeys(wanted))
    assert len(found.prompts) > 1
    alone = BlipInverter(str(folder), BlipOptions(captions=1)).invert(pixels)
    assert alone.prompts == (found.prompt,)
    assert alone.details == found.details


def test_no_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inverter = BlipInverter(str(folder))
    monkeypatch.setattr(inverter._tokenizer, "decode", lambda *args, **more: "  ")
    with pytest.raises(InputError, match="found no words"):
        inverter.invert(noise("x"))


def test_bad_checkpoints(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="hold a 'blip'"):
        BlipInverter(str(save_clip(tmp_path / "clip")))
    for name, said in (("tokenizer.json", "no tokenizer"), ("model.safetensors", "must hold config.json")):
        broken = shutil.copytree(folder, tmp_path / name)
        (broken / name).unlink()
        with pytest.raises(WeightsError, match=said):
            BlipInverter(str(broken))
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(WeightsError, match="cannot be read"):
        BlipInverter(str(damaged))
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    torch.save({}, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="safetensors"):
        BlipInverter(str(pickled))


def test_weights_that_the_file_lacks_are_an_error(folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(folder, tmp_path / "b")
    said = json.loads((broken / "config.json").read_text())
    said["vision_config"]["num_hidden_layers"] = 3
    (broken / "config.json").write_text(json.dumps(said))
    with pytest.raises(WeightsError, match="not in the file"):
        BlipInverter(str(broken))
