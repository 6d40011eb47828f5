"""What a perturbation is asked to be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from morelli.errors import InputError

#: Levels of 255. Above this nobody would take the picture for untouched.
LARGEST = 32.0


@dataclass(frozen=True, slots=True)
class PerturbSettings:
    """Constants of projected gradient descent.

    Attributes
    ----------
    epsilon : float
        Largest change of a sample, in levels of 255 (L∞); 1 ≤ ε ≤ 32. The paper takes 2 and 8.
    steps : int
        Gradient steps. Not published; 50 by default.
    step : float or None
        Length of a step, levels. None: the larger of ε/8 and 2.5·ε/steps (Madry et al., 2018).
    transforms : tuple of str
        Degradations of which each step draws one, in their text form, "" for none; empty: the image as it is.
    masked : bool
        Each pixel's limit is ε times `morelli.defence.masking.masking_map`, dithered to whole levels.
    shrinking : bool
        Steps become shorter, the last of n by the factor n: what is to come to rest somewhere, and not to go as far as
        it can, would be carried past it by the sign of a gradient.
    seed : int
        Decides the random start, the draws and which limits round up, for each picture anew; 0 or more. Where
        ``masked``, keep it to yourself: who knows it, and guesses the original, knows which samples of smooth ground
        stayed as they were.
    """

    epsilon: float = 2.0
    steps: int = 50
    step: float | None = None
    transforms: tuple[str, ...] = ()
    masked: bool = False
    shrinking: bool = False
    seed: int = 0

    @property
    def length(self) -> float:
        """Of the first step, levels."""
        return max(self.epsilon / 8, 2.5 * self.epsilon / self.steps) if self.step is None else self.step

    def length_of(self, number: int) -> float:
        """Of a step by its number from 0, levels."""
        return self.length * (1 - number / self.steps) if self.shrinking else self.length


def check_settings(settings: PerturbSettings) -> None:
    """Refuse what cannot be done.

    Raises
    ------
    InputError
    """
    check_epsilon(settings.epsilon)
    if settings.steps < 1:
        raise InputError(f"must be 1 or more; got {settings.steps}.", argument="steps")
    if settings.seed < 0:
        raise InputError(f"must be 0 or more; got {settings.seed}.", argument="seed")
    if settings.step is not None and not settings.step > 0:
        raise InputError(f"must be above 0; got {settings.step:g}.", argument="step")


def check_epsilon(epsilon: float) -> None:
    """Refuse an ε that is not above 0, or so large that the picture is spoilt, or too small to change 8-bit samples.

    Raises
    ------
    InputError
    """
    if not math.isfinite(epsilon) or not 1 <= epsilon <= LARGEST:
        raise InputError(
            f"must lie between 1 and {LARGEST:g} levels of 255; got {epsilon:g}.",
            argument="epsilon",
            fix="Take 2, 4 or 8: a smaller change is lost in rounding, and a larger one spoils the picture.",
        )
