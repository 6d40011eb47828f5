"""Every recipe makes steps: shapes fit, losses are finite, and what is to learn gets gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training.zoo.context import Context
from training.zoo.data import draw_set
from training.zoo.loop import Trainer
from training.zoo.plan import COURSES
from training.zoo.recipes.clip import clip_config
from training.zoo.recipes.picture_teacher import PictureTeacher, load_picture_teacher
from training.zoo.recipes.segmenter import make_segmenter
from training.zoo.recipes.teacher import Teacher, load_teacher
from training.zoo.recipes.vae import Vae

COUNT = 64


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A run whose frozen parts are as their first weights are."""
    from transformers import CLIPModel, CLIPTextModel

    folder = tmp_path_factory.mktemp("run")
    made = Context(folder, draw_set(folder / "data", COUNT), torch.device("cpu"))
    model = CLIPModel(clip_config())
    model.save_pretrained(folder / "export" / "clip")
    parts: dict[str, torch.nn.Module] = {
        "text_tower": CLIPTextModel.from_pretrained(folder / "export" / "clip"),
        "segmenter": make_segmenter("segmenter"),
        "latent_segmenter": make_segmenter("latent-segmenter"),
        "teacher": Teacher(),
        "picture_teacher": PictureTeacher(),
    }
    made.__dict__.update({name: part.bfloat16().eval().requires_grad_(False) for name, part in parts.items()})
    vae: Any = Vae(made).build()["vae"]
    vae.register_to_config(scaling_factor=0.5)
    for name in ("vae", "vae-b"):
        vae.save_pretrained(folder / "export" / name)
    return made


# The rest needs a trained part to begin from; `test_export` and the oracle's tests go through their parts.
BUILT = [name for name in COURSES if name not in ("latent-tuned", "latent-lora", "vq")]


@pytest.mark.parametrize("name", BUILT)
def test_a_recipe_takes_steps(name: str, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = COURSES[name].recipe(context)
    monkeypatch.setattr(type(recipe), "batch", 4)
    if name == "vq-ar":
        recipe.codes = np.random.default_rng(0).integers(0, 512, (COUNT, 256)).astype(np.uint16)  # type: ignore[attr-defined]
    else:
        recipe.before()
    trainer = Trainer(recipe)
    before = {key: value.clone() for net in trainer.masters.values() for key, value in net.state_dict().items()}
    for _ in range(2):
        seen = trainer._one(1.0)
        assert all(torch.isfinite(value) for value in seen.values()), seen
    after = {key: value for net in trainer.masters.values() for key, value in net.state_dict().items()}
    moved = [key for key in before if not torch.equal(before[key], after[key])]
    assert len(moved) > len(before) / 4


@pytest.mark.parametrize(("name", "load"), [("teacher", load_teacher), ("picture-teacher", load_picture_teacher)])
def test_a_teacher_is_read_back(name: str, load: Any, context: Context, tmp_path: Path) -> None:
    recipe = COURSES[name].recipe(context)
    nets = recipe.build()
    assert recipe.save(nets, tmp_path) == {}
    read = load(tmp_path / name).state_dict()
    assert all(torch.equal(read[key], value) for key, value in nets["teacher"].state_dict().items())
