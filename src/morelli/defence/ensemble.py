"""A named defence as a function of an image: surrogates, what each minimises, and the settings that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from morelli.defence.levels import to_levels
from morelli.defence.objective import TEMPERATURE, collision, contrastive, fit_statistics, likelihood_ratio
from morelli.defence.perturb import Target, balanced, perturb, stream
from morelli.defence.settings import PerturbSettings
from morelli.defence.transforms import TRANSFORMS
from morelli.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.bank import Bank
    from morelli.defence.surrogate import Surrogate
    from morelli.types import LabelledEmbeddings

    Pixels = NDArray[np.uint8]

# Of a picture's draws, the stream that decides which model it collides with.
_DRAWN = 1


@dataclass(frozen=True)
class Parts:
    """What a defence has beyond the published one.

    Attributes
    ----------
    transforms : bool
        The image is degraded before each step.
    masked : bool
        Smooth ground is spared.
    likelihood : bool
        The loss also counts what likelihood-based attributors use.
    collision : bool
        In place of all losses: how far the embedding is from that of an image of a model drawn at random.
    """

    transforms: bool = False
    masked: bool = False
    likelihood: bool = False
    collision: bool = False


#: Defences that follow gradients: as published, with all that we add, onto another model's image, and the published
#: one with one addition alone.
GRADIENT_DEFENCES: dict[str, Parts] = {
    "pgd": Parts(),
    "eot": Parts(transforms=True, masked=True, likelihood=True),
    "collide": Parts(collision=True),
    "pgd-transforms": Parts(transforms=True),
    "pgd-masked": Parts(masked=True),
    "pgd-likelihood": Parts(likelihood=True),
}


def defence_settings(defence: str, settings: PerturbSettings) -> PerturbSettings:
    """The settings with what belongs to a defence.

    Raises
    ------
    UnknownNameError
        There is no such defence.
    InputError
        The settings ask for what the defence does not have.
    """
    if defence not in GRADIENT_DEFENCES:
        raise UnknownNameError("defence", defence, GRADIENT_DEFENCES)
    parts = GRADIENT_DEFENCES[defence]
    for name, asked, there in (
        ("transforms", bool(settings.transforms), parts.transforms),
        ("masked", settings.masked, parts.masked),
        ("shrinking", settings.shrinking, parts.collision),
    ):
        if asked and not there:
            raise InputError(
                f"is no part of {defence}.", argument=name, fix="Leave it out, or take a defence that has it."
            )
    transforms = (settings.transforms or TRANSFORMS) if parts.transforms else ()
    return replace(settings, transforms=transforms, masked=parts.masked, shrinking=parts.collision)


@dataclass(eq=False)
class Ensemble:
    """Surrogates with references under each: protects one image after another.

    Parameters
    ----------
    surrogates : sequence of Surrogate
    references : mapping of str to LabelledEmbeddings
        Of each surrogate, by the id of its encoder. What the defender has; no image of the attacker's.
    defence : str
        One of `GRADIENT_DEFENCES`.
    settings : PerturbSettings
        Masking is that of the defence; so are transforms that are not named.
    temperature : float
        Of the contrastive loss.

    Raises
    ------
    UnknownNameError
        No such defence.
    InputError
        No surrogate, or one without references.
    """

    surrogates: Sequence[Surrogate]
    references: Mapping[str, LabelledEmbeddings]
    defence: str = "pgd"
    settings: PerturbSettings = field(default_factory=PerturbSettings)
    temperature: float = TEMPERATURE
    _banks: dict[str, Bank] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.settings = defence_settings(self.defence, self.settings)
        if not self.surrogates:
            raise InputError("names no encoder.", argument="surrogate")
        for surrogate in self.surrogates:
            if surrogate.stamp.encoder not in self.references:
                raise InputError(
                    f"there are no references under {surrogate.stamp.encoder}.",
                    argument="surrogate",
                    fix="Embed the references with it, or take another surrogate.",
                )

    def targets(self, pixels: Pixels, model: str, prompt: str | None = None) -> list[Target]:
        """What each surrogate minimises for one image; arguments and errors as `protect`."""
        return [self._target(surrogate, pixels, model, prompt) for surrogate in self.surrogates]

    def protect(
        self,
        pixels: Pixels,
        model: str,
        prompt: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Pixels:
        """The image, perturbed.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3), uint8
        model : str
            That made it.
        prompt : str, optional
            Id of its prompt: other models' images of the same prompt are then the positives, where there are any.
        progress : callable, optional
            Called with the steps done and their number.

        Raises
        ------
        NotEnoughReferencesError
            The references are of one model, or, where the likelihood counts or images collide, one image a model.
        UnknownNameError
            Where the likelihood counts, or images collide: the references have none of that model.
        InputError, ImageTooSmallError, DivergedError
            As `morelli.defence.perturb.perturb`.
        """
        return perturb(pixels, self.targets(pixels, model, prompt), self.settings, progress)

    def _target(self, surrogate: Surrogate, pixels: Pixels, model: str, prompt: str | None) -> Target:
        held = self.references[surrogate.stamp.encoder]
        with torch.no_grad():
            own = {name: values.numpy()[None] for name, values in surrogate(to_levels(pixels)).items()}
        parts, name = GRADIENT_DEFENCES[self.defence], surrogate.stamp.encoder
        if (parts.likelihood or parts.collision) and name not in self._banks:
            self._banks[name] = fit_statistics(held)
        if parts.collision:
            # A stream of its own, alike for all surrogates: all move the image to one model.
            draws = np.random.default_rng([stream(pixels, self.settings.seed), _DRAWN])
            return Target(surrogate, collision(self._banks[name], held, own, model, prompt, draws))
        inside = (held.prompts == prompt) if prompt else np.zeros(len(held), dtype=np.bool_)
        rivals = inside & (held.models != model)
        loss = contrastive(own, held.take(inside) if rivals.any() else held, model, temperature=self.temperature)
        if not parts.likelihood:
            return Target(surrogate, loss)
        return Target(surrogate, balanced([loss, likelihood_ratio(self._banks[name], held, model, prompt)]))
