"""Twenty-two models to tell apart: the zoo's eight, and deployments of them that differ in how they sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from morelli.errors import InputError, WeightsError
from morelli.generators.base import Generator, Setting
from morelli.generators.zoo import catalogue
from morelli.generators.zoo.manifest import WEIGHTS, read_manifest


@dataclass(frozen=True)
class Variant:
    """One candidate.

    Attributes
    ----------
    name : str
        What tables call it.
    model : str
        Of the zoo: whose weights it runs.
    base : str
        The model that those weights were trained from; its own name where it was trained from nothing.
    settings : mapping of str to str, int or float
        In place of the model's own.
    """

    name: str
    model: str
    base: str
    settings: Mapping[str, Setting] = field(default_factory=dict)


def _own(name: str, base: str | None = None) -> Variant:
    return Variant(name, name, base or name)


def _deployed(name: str, model: str, **settings: Setting) -> Variant:
    return Variant(name, model, model, settings)


#: The eight, a LoRA and a full fine-tune among them, then one model's deployments after another's.
VARIANTS: tuple[Variant, ...] = (
    _own("unet"),
    _own("unet-b"),
    _own("dit"),
    _own("latent"),
    _own("latent-tuned", "latent"),
    _own("latent-lora", "latent"),
    _own("vq-ar"),
    _own("gan"),
    _deployed("unet@steps=8", "unet", steps=8),
    _deployed("unet@guidance=3", "unet", guidance=3.0),
    _deployed("unet@guidance=5", "unet", guidance=5.0),
    _deployed("unet@dpm", "unet", scheduler="dpm", steps=12),
    _deployed("unet-b@unipc", "unet-b", scheduler="unipc", steps=12),
    _deployed("dit@steps=8", "dit", steps=8),
    _deployed("dit@guidance=1.5", "dit", guidance=1.5),
    _deployed("dit@guidance=5", "dit", guidance=5.0),
    _deployed("latent@steps=8", "latent", steps=8),
    _deployed("latent@guidance=1.5", "latent", guidance=1.5),
    _deployed("latent@guidance=5", "latent", guidance=5.0),
    _deployed("latent@dpm", "latent", scheduler="dpm", steps=12),
    _deployed("vq-ar@temperature=1", "vq-ar", temperature=1.0),
    _deployed("vq-ar@guidance=1.5", "vq-ar", guidance=1.5),
)


@dataclass(frozen=True)
class Lineup:
    """The candidates of an experiment.

    Attributes
    ----------
    generators : sequence of Generator
        Of different models.
    bases : mapping of str to str
        Model → base.
    absent : tuple of str
        Variants whose weights are not there.
    """

    generators: Sequence[Generator]
    bases: Mapping[str, str]
    absent: tuple[str, ...] = ()

    @property
    def models(self) -> list[str]:
        """Names of the candidates, in order."""
        return [each.model for each in self.generators]

    @property
    def revisions(self) -> dict[str, str]:
        """Revision and settings of each candidate: what makes images of one run unlike those of another."""
        return {each.model: f"{each.revision} {sorted(each.settings.items())}" for each in self.generators}


def line_up(folder: Path = WEIGHTS, *, deployments: bool = True) -> Lineup:
    """The variants whose weights a folder holds.

    Parameters
    ----------
    folder : Path
        Weights in the layout of the package's own.
    deployments : bool
        Whether to have other settings of a model beside its own.

    Raises
    ------
    WeightsError
        Fewer than two are there.
    InputError
        Two variants come to the same weights and settings: what could not be told apart would count as an error.
    """
    known = read_manifest(folder).models
    wanted = [each for each in VARIANTS if deployments or not each.settings]
    there = [each for each in wanted if each.model in known]
    if len(there) < 2:
        raise WeightsError(
            f"{len(there)} of the {len(wanted)} variants have their weights in {folder}; two are the least.",
            argument="zoo",
            fix="Train the zoo (training/zoo/README.md), or name another folder of weights: --weights FOLDER.",
        )
    made = [catalogue.load(each.model, settings=each.settings, model=each.name, folder=folder) for each in there]
    seen: dict[str, str] = {}
    for variant, generator in zip(there, made, strict=True):
        other = seen.setdefault(f"{variant.model} {sorted(generator.settings.items())}", variant.name)
        if other != variant.name:
            raise InputError(f"{other} and {variant.name} are one and the same.", argument="variants")
    absent = tuple(each.name for each in wanted if each.model not in known)
    return Lineup(made, {each.name: each.base for each in there}, absent)
