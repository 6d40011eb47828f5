"""The zoo's models behind the generators' contract."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from morelli.errors import InputError, MissingExtraError, UnknownNameError, WeightsError
from morelli.generators.base import Generator
from morelli.generators.zoo import catalogue
from morelli.generators.zoo.manifest import list_files
from tests.test_light_import import loaded_by

KINDS = ("pixel", "flow", "latent", "lora", "tokens", "gan")
PROMPT = "two red striped circles left of one blue star on sand at dusk"
OTHER = "one green heart on grass at night"


def test_names_and_contract_load_nothing_heavy() -> None:
    code = "from morelli.generators.zoo import catalogue as c; [c.load(n).settings for n in c.names()]"
    assert loaded_by(code) == []


@pytest.mark.parametrize("name", KINDS)
def test_an_image_depends_on_prompt_and_seed_alone(tiny_zoo: Path, name: str) -> None:
    generator = catalogue.load(name, folder=tiny_zoo)
    several = generator.generate(PROMPT, 3, 10)
    alone = catalogue.load(name, folder=tiny_zoo).generate(PROMPT, 1, 11)
    assert [each.seed for each in several] == [10, 11, 12]
    assert np.array_equal(several[1].pixels, alone[0].pixels)
    assert not np.array_equal(several[0].pixels, several[1].pixels)
    assert several[0].pixels.shape == (64, 64, 3)
    assert several[0].pixels.dtype == np.uint8
    other = generator.generate(OTHER, 1, 10)[0]
    assert not np.array_equal(other.pixels, several[0].pixels)


def test_the_number_of_threads_changes_nothing(tiny_zoo: Path) -> None:
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            made.append(catalogue.load("pixel", folder=tiny_zoo).generate(PROMPT, 1, 0)[0].pixels)
            assert torch.get_num_threads() == threads  # put back
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*made)


def test_what_an_image_says_of_itself(tiny_zoo: Path) -> None:
    generator = catalogue.load("lora", folder=tiny_zoo)
    assert isinstance(generator, Generator)
    made = generator.generate(PROMPT, 1, 4)[0]
    assert (made.model, made.family, made.prompt, made.seed, made.cost) == ("lora", "latent", PROMPT, 4, 0.0)
    assert generator.base == "latent"
    assert made.revision == generator.revision
    assert made.settings["steps"] == 2
    assert (generator.id, generator.hosted, generator.host) == ("zoo/lora", False, None)


def test_a_lora_changes_its_base_and_leaves_it_alone(tiny_zoo: Path) -> None:
    base = catalogue.load("latent", folder=tiny_zoo)
    before = base.generate(PROMPT, 1, 0)[0].pixels
    with_lora = catalogue.load("lora", folder=tiny_zoo).generate(PROMPT, 1, 0)[0].pixels
    assert not np.array_equal(before, with_lora)
    fresh = catalogue.load("latent", folder=tiny_zoo).generate(PROMPT, 1, 0)[0].pixels
    assert np.array_equal(before, fresh)


def test_a_deployment_has_other_settings_and_a_name(tiny_zoo: Path) -> None:
    plain = catalogue.load("pixel", folder=tiny_zoo)
    deployed = catalogue.load("pixel", settings={"steps": 5, "scheduler": "dpm"}, model="pixel-dpm", folder=tiny_zoo)
    made = deployed.generate(PROMPT, 1, 0)[0]
    assert (made.model, made.settings["steps"], made.settings["scheduler"]) == ("pixel-dpm", 5, "dpm")
    assert deployed.revision == plain.revision
    assert not np.array_equal(made.pixels, plain.generate(PROMPT, 1, 0)[0].pixels)


@pytest.mark.parametrize("settings", [{"step": 3}, {"width": 32}])
def test_a_setting_that_there_is_not_is_refused(tiny_zoo: Path, settings: dict[str, int]) -> None:
    with pytest.raises(UnknownNameError, match="zoo/pixel"):
        catalogue.load("pixel", settings=settings, folder=tiny_zoo)


@pytest.mark.parametrize("settings", [{"steps": 0}, {"guidance": "high"}, {"guidance": float("nan")}])
def test_a_setting_out_of_range_is_refused(tiny_zoo: Path, settings: dict[str, float | str]) -> None:
    with pytest.raises(InputError, match="must be"):
        catalogue.load("pixel", settings=settings, folder=tiny_zoo)


@pytest.mark.parametrize(("name", "wrong", "said"), [("pixel", "dmp", "'dpm'"), ("flow", "ddim", "euler-flow")])
def test_an_unknown_scheduler_is_refused(tiny_zoo: Path, name: str, wrong: str, said: str) -> None:
    generator = catalogue.load(name, settings={"scheduler": wrong}, folder=tiny_zoo)
    with pytest.raises(UnknownNameError, match=said):
        generator.generate(PROMPT, 1, 0)


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "dpm", "unipc"])
@pytest.mark.parametrize("name", ["pixel", "latent"])
def test_every_sampler_runs(tiny_zoo: Path, name: str, scheduler: str) -> None:
    generator = catalogue.load(name, settings={"scheduler": scheduler, "steps": 3}, folder=tiny_zoo)
    assert generator.generate(PROMPT, 1, 0)[0].pixels.std() > 1


def test_files_that_a_library_does_not_read_are_named(tiny_zoo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_zoo, folder)
    (folder / "gan" / "config.json").write_text("{")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = list_files(folder)  # as published: the hashes fit
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(WeightsError, match="GanGenerator does not read"):
        catalogue.load("gan", folder=folder).generate(OTHER, 1, 0)


def test_a_missing_library_is_named(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"morelli\[generators\]"):
        catalogue.load("lora", folder=tiny_zoo).generate(PROMPT, 1, 0)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("one red elephant on sand by day", "'elephant'"),
        ("one red cirkle on sand by day", "'circle'"),
        ("", "1 to 22 words"),
        (" ".join(["red"] * 23), "came 23"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_refused(tiny_zoo: Path, prompt: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        catalogue.load("gan", folder=tiny_zoo).generate(prompt, 1, 0)


def test_capitals_and_commas_are_read_over(tiny_zoo: Path) -> None:
    generator = catalogue.load("gan", folder=tiny_zoo)
    plain, dressed = (generator.generate(text, 1, 0)[0] for text in (OTHER, "One green heart, on grass at  night."))
    assert np.array_equal(plain.pixels, dressed.pixels)
    assert dressed.prompt == "One green heart, on grass at  night."


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (1, -1), (2, 2**32 - 1)])
def test_counts_and_seeds_out_of_range_are_refused(tiny_zoo: Path, count: int, seed: int) -> None:
    with pytest.raises(InputError):
        catalogue.load("gan", folder=tiny_zoo).generate(OTHER, count, seed)


def test_changed_weights_are_refused_before_they_are_read(tiny_zoo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_zoo, folder)
    path = folder / "gan" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(WeightsError, match="gan/diffusion_pytorch_model"):
        catalogue.load("gan", folder=folder).generate(OTHER, 1, 0)
    catalogue.load("pixel", folder=folder).generate(OTHER, 1, 0)
