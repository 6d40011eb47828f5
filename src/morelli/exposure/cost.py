"""What it costs to de-anonymise battles: every candidate is asked for k images of the prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from morelli.errors import InputError

#: Paper 000: $5.40 for 10 images of each of 22 models.
PRICE = 5.40 / 220


@dataclass(frozen=True)
class Cost:
    """Money for references, in the currency of the prices.

    Attributes
    ----------
    images_per_battle : int
        k images of every model. Both images of a battle are compared with the same references.
    per_battle : float
    prompts : int or None
        Different prompts of the leaderboard; None: every battle has its own.
    """

    images_per_battle: int
    per_battle: float
    prompts: int | None = None

    def campaign(self, battles: float) -> float:
        """Money for so many battles; once every prompt was paid for, further battles cost nothing."""
        if battles < 0:
            raise InputError(f"must not be negative; got {battles:g}.", argument="battles")
        return self.per_battle * self.asked(battles)

    def asked(self, battles: float) -> float:
        """Prompts that are paid for, on average, when battles draw them evenly: P(1 − (1 − 1/P)^battles)."""
        if self.prompts is None:
            return battles
        return self.prompts * float(-np.expm1(battles * np.log1p(-1 / self.prompts))) if self.prompts > 1 else min(
            1.0, battles
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """images_per_battle, per_battle, prompts."""
        return {"images_per_battle": self.images_per_battle, "per_battle": self.per_battle, "prompts": self.prompts}


def cost(k: int, models: int, price: float | Mapping[str, float] = PRICE, prompts: int | None = None) -> Cost:
    """Cost of one battle.

    Parameters
    ----------
    k : int
        References a model, ≥ 1.
    models : int
        Candidates, ≥ 2.
    price : float or mapping of str to float
        Of one image, ≥ 0: one for all models, or by model (as many as ``models``).
    prompts : int, optional
        Different prompts of the leaderboard.

    Raises
    ------
    InputError
        A number out of its range.
    """
    if k < 1 or models < 2:
        raise InputError(f"needs k ≥ 1 and two models; got k = {k} and {models} models.", argument="k")
    if prompts is not None and prompts < 1:
        raise InputError(f"must be 1 or more; got {prompts}.", argument="prompts")
    prices = list(price.values()) if isinstance(price, Mapping) else [price] * models
    if len(prices) != models:
        raise InputError(f"needs a price for each of {models} models; got {len(prices)}.", argument="price")
    if not all(np.isfinite(each) and each >= 0 for each in prices):
        raise InputError("a price must be a number from 0 on.", argument="price")
    return Cost(k * models, k * float(sum(prices)), prompts)
