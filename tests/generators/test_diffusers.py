"""A tiny Stable Diffusion in a local folder, through the real code paths of diffusers."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.errors import (
    HostError,
    InputError,
    MissingExtraError,
    MorelliError,
    RefusedContentError,
    UnknownModelError,
    UnknownNameError,
    WeightsError,
)
from morelli.generators.base import Generated, Generator
from morelli.generators.catalogue import load_generators

from .pipelines import write_pipeline


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place, tmp_path / "sd"))


def load(place: Path | str, **options: Any) -> Generator:
    (made,) = load_generators(f"diffusers:{place}", options={"steps": 2, **options})
    return made


def image(place: Path | str, seed: int = 0, **options: Any) -> Generated:
    return load(place, **options).generate("a red cat", 1, seed)[0]


def test_it_keeps_the_contract(place: Path) -> None:
    made = load(place, device="cpu")
    assert isinstance(made, Generator)
    assert (made.model, made.family, made.hosted, made.host) == ("sd", "", False, None)
    images = made.generate("a red  cat", 3, 7)
    assert [each.seed for each in images] == [7, 8, 9]
    assert [each.pixels.shape for each in images] == [(16, 16, 3)] * 3
    assert images[0].prompt == "a red cat"
    assert images[0].settings == {"pipeline": "StableDiffusionPipeline", "steps": 2, "dtype": "float32"}
    assert len({each.pixels.tobytes() for each in images}) == 3
    alone = load(place, device="cpu").generate("a red cat", 1, 9)[0]
    np.testing.assert_array_equal(alone.pixels, images[2].pixels)
    assert (made.generate("a blue dog", 1, 7)[0].pixels != images[0].pixels).any()


def test_it_is_what_diffusers_itself_makes(place: Path) -> None:
    import torch
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(place, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(3)
    expected = pipeline("a red cat", num_inference_steps=2, guidance_scale=4.0, generator=noise).images[0]
    np.testing.assert_array_equal(image(place, 3, guidance=4.0, device="cpu").pixels, np.asarray(expected))


def test_every_option_changes_the_image(place: Path) -> None:
    usual = image(place)
    lora = str(place.parent / "style.safetensors")
    for options in (
        {"steps": 3},
        {"guidance": 2.0},
        {"scheduler": "EulerAncestralDiscreteScheduler"},
        {"negative_prompt": "blue"},
        {"lora": lora},
        {"dtype": "bfloat16"},
    ):
        other = image(place, **options)
        assert (other.pixels != usual.pixels).any(), options
        assert other.settings != usual.settings
    assert image(place, width=24, height=16).pixels.shape == (16, 24, 3)
    np.testing.assert_array_equal(image(place, lora=lora, lora_scale=0.0).pixels, usual.pixels)
    assert (image(place, lora=lora, lora_scale=2.0).pixels != image(place, lora=lora).pixels).any()


def test_lora_weights_are_part_of_name_and_revision(place: Path, tmp_path: Path) -> None:
    plain, styled = load(place), load(place, lora=str(place.parent / "style.safetensors"))
    assert (styled.model, styled.settings["lora"], styled.settings["lora_scale"]) == (
        "sd+style",
        "style.safetensors",
        1.0,
    )
    assert plain.revision != styled.revision
    assert len(plain.revision) == len(styled.revision) == 12
    assert load(place, lora=str(place.parent / "style.safetensors"), model="mine").model == "mine"


def test_the_revision_is_the_weights(place: Path, copy: Path) -> None:
    before = load(copy).revision
    assert before == load(place).revision
    file = copy / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert load(copy).revision != before


def _pickled(copy: Path) -> None:
    import torch
    from safetensors.torch import load_file

    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()


def _own_pipeline(copy: Path) -> None:
    _edit_index(copy, lambda index: index.update(_class_name=["mine", "Mine"]))
    (copy / "mine.py").write_text("raise SystemExit('this was run')")


def _own_part(copy: Path) -> None:
    _edit_index(copy, lambda index: index.update(unet=["mine", "Mine"]))
    for folder in (copy, copy / "unet"):
        (folder / "mine.py").write_text("raise SystemExit('this was run')")


def _edit_index(copy: Path, change: Callable[[dict[str, Any]], None]) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    change(index)
    (copy / "model_index.json").write_text(json.dumps(index))


def _cut(copy: Path) -> None:
    file = copy / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def _no_index(copy: Path) -> None:
    (copy / "model_index.json").unlink()


def _no_part(copy: Path) -> None:
    shutil.rmtree(copy / "vae")


@pytest.mark.parametrize("spoil", [_pickled, _own_pipeline, _own_part, _cut, _no_index, _no_part])
def test_folders_that_are_refused(spoil: Callable[[Path], None], copy: Path) -> None:
    spoil(copy)
    with pytest.raises(WeightsError) as caught:
        image(copy)
    assert caught.value.argument == f"diffusers:{copy}"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"scheduler": "DDIMSheduler"}, UnknownNameError, "Did you mean 'DDIMScheduler'"),
        ({"steps": 0}, InputError, "steps must be from 1"),
        ({"width": 64}, InputError, "both width and height"),
        ({"width": 17, "height": 17}, InputError, "refuses an option"),
        ({"guidance": -1.0}, InputError, "guidance"),
        ({"dtype": "float8"}, InputError, "dtype must be"),
        ({"device": "abacus"}, InputError, "no device 'abacus'"),
        ({"revision": "main"}, InputError, "no revisions"),
        ({"lora": "nowhere/else.safetensors"}, MorelliError, "nowhere/else"),
        ({"lora": "."}, WeightsError, "no safetensors file"),
        ({"trust_remote_code": True}, UnknownNameError, "no option is called 'trust_remote_code'"),
    ],
)
def test_bad_options(options: dict[str, Any], kind: type[MorelliError], said: str, place: Path) -> None:
    with pytest.raises(kind) as caught:
        image(place, **options)
    assert said in str(caught.value)
    assert caught.value.argument == f"diffusers:{place}"


@pytest.mark.parametrize(("count", "seed"), [(1, -1), (1, 2**32), (2, 2**32 - 1)])
def test_seeds_that_the_generator_cannot_tell_apart(count: int, seed: int, place: Path) -> None:
    # PyTorch's CPU generator drops all bits above the 32nd: 2**32 would give the image of 0.
    with pytest.raises(InputError, match="seed: must be at least 0 and below"):
        load(place).generate("a red cat", count, seed)


def test_lora_weights_of_another_model(place: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    for layer in ("unet.nothing", "transformer.blocks.0.attn1.to_q", "unet.mid_block.attentions.0.proj_in"):
        weights = {f"{layer}.lora_A.weight": torch.ones(2, 3), f"{layer}.lora_B.weight": torch.ones(3, 2)}
        save_file(weights, tmp_path / "other.safetensors")
        with pytest.raises(InputError, match=r"other.safetensors do not fit"):
            image(place, lora=str(tmp_path / "other.safetensors"))


def test_a_model_that_is_not_here_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(HostError, match=r"diffusers:nobody/nothing: nobody/nothing is not on this machine"):
        image("nobody/nothing")
    with pytest.raises(UnknownModelError, match="no such folder"):
        image(tmp_path / "nothing")
    with pytest.raises(UnknownModelError, match="no such folder"):
        image("./nothing")


def test_a_safety_checker_that_blanks(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import StableDiffusionPipeline

    def check(self: Any, image: Any, device: Any, dtype: Any) -> tuple[Any, list[bool]]:
        return image * 0, [True]

    monkeypatch.setattr(StableDiffusionPipeline, "run_safety_checker", check)
    with pytest.raises(RefusedContentError, match="safety checker blanked the image for seed 4"):
        image(place, 4)


def test_without_diffusers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load(place)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"morelli\[generators\]"):
        made.generate("a", 1, 0)
