"""Specs of inverters: what they become, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from morelli.errors import InputError, MorelliError, UnknownNameError, WeightsError
from morelli.generators.zoo import manifest
from morelli.inversion.base import Inverted
from morelli.inversion.catalogue import inverter_names, load_inverter
from morelli.inversion.checkpoint import find_zoo_part

from ..generators.fakes import noise
from ..test_light_import import loaded_by
from .checkpoints import save_blip, save_clip


def test_given() -> None:
    inverter = load_inverter("given", "  a red \n cat ")
    assert inverter.invert(noise("x")) == Inverted("a red cat", "given")
    assert (inverter.id, inverter.revision) == ("given", "")


def test_options_follow_an_at(tmp_path: Path) -> None:
    clip, blip = save_clip(tmp_path / "clip"), save_blip(tmp_path / "a@b")
    pez = load_inverter(f"pez:{clip}@iterations=7, length=3,learning_rate=0.5")
    assert (pez.options.iterations, pez.options.length, pez.options.learning_rate) == (7, 3, 0.5)
    assert load_inverter(f"blip:{blip}").options.beams == 3  # the folder's own @
    assert load_inverter(f"blip:{blip}@beams=2").options.beams == 2
    assert inverter_names() == ("given", "blip", "pez")


@pytest.mark.parametrize(
    ("spec", "prompt", "error", "said"),
    [
        ("given", None, InputError, "no prompt was given"),
        ("given", " ", InputError, "empty"),
        ("bilp:x", None, UnknownNameError, "Did you mean 'blip'"),
        ("blip:", None, InputError, "must be blip:SOURCE"),
        ("pez:x", "a cat", InputError, "takes no prompt"),
        ("pez:x@length", None, InputError, "NAME=VALUE"),
        ("pez:x@lenght=3", None, UnknownNameError, "Did you mean 'length'"),
        ("pez:x@length=three", None, InputError, "whole number"),
        ("blip:./nowhere", None, WeightsError, "no such folder"),
        ("blip:org/name-that-is-not-cached", None, WeightsError, "not in the local cache"),
    ],
)
def test_bad_specs(spec: str, prompt: str | None, error: type[MorelliError], said: str) -> None:
    with pytest.raises(error) as caught:
        load_inverter(spec, prompt)
    assert said in str(caught.value)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of a zoo that carries both networks, and nothing else."""
    save_clip(tmp_path / "clip")
    save_blip(tmp_path / "captioner")
    files = manifest.list_files(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": manifest.SCHEMA, "models": {}, "files": files}))
    found = manifest.read_manifest(tmp_path)
    monkeypatch.setattr(manifest, "read_manifest", lambda: found)
    return tmp_path


def test_the_zoo_s_own(zoo: Path) -> None:
    assert find_zoo_part("clip") == zoo / "clip"
    assert load_inverter("blip:zoo").invert(noise("x")).kind == "blip"
    assert load_inverter("pez:zoo@iterations=2,length=3").id == "pez:zoo"
    (zoo / "captioner" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(WeightsError, match="must have"):
        load_inverter("blip:zoo")


def test_a_zoo_that_carries_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "read_manifest", lambda: manifest.Manifest(tmp_path, {}, {}))
    with pytest.raises(WeightsError, match="carries no captioner of the zoo"):
        load_inverter("blip:zoo")


def test_the_catalogue_is_light() -> None:
    assert loaded_by("from morelli.inversion import base, blip, catalogue, checkpoint, given, pez") == []
