"""What is asked of an audit, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from morelli.attribution.catalogue import DEFAULT_METHOD, load_attributor
from morelli.errors import InputError
from morelli.exposure.cost import PRICE, cost
from morelli.exposure.separability import DEFAULT_TAU, check_tau
from morelli.exposure.simulation import VoteSettings, check_settings

#: Measured beside the method that is asked for: paper 000's own rule.
PUBLISHED = "euclid"


@dataclass(frozen=True)
class AuditSettings:
    """What is asked of an audit.

    Attributes
    ----------
    method : str
        The attributor of the attacker.
    tau : float
        Of D(i): a model is separable where frac(i, j) > τ; 0 ≤ τ < 1.
    k : int or None
        References a model; None: all images of a prompt but one.
    price : float or mapping of str to float
        Of one reference image, for all models or by model.
    sweeps : bool
        Whether to measure the curves over k and over the pool, and the prediction from references alone: most of the
        time goes there.
    unit : bool
        D(i) of embeddings at unit length; False: as they come. The paper does not say which.
    votes : VoteSettings
        Of the vote simulation with the measured confusion matrix.
    seed : int
    """

    method: str = DEFAULT_METHOD
    tau: float = DEFAULT_TAU
    k: int | None = None
    price: float | Mapping[str, float] = PRICE
    sweeps: bool = True
    unit: bool = True
    votes: VoteSettings = field(default_factory=lambda: VoteSettings(simulations=200))
    seed: int = 0

    @property
    def methods(self) -> tuple[str, ...]:
        """The published rule, and the method where it is another."""
        return tuple(dict.fromkeys((PUBLISHED, self.method)))


def check_audit(settings: AuditSettings) -> None:
    """Refuse what no dataset could answer.

    Raises
    ------
    UnknownNameError, InputError
    """
    load_attributor(settings.method)
    check_tau(settings.tau)
    if settings.k is not None and settings.k < 1:
        raise InputError(f"must be 1 or more; got {settings.k}.", argument="--k")
    if settings.seed < 0:
        raise InputError(f"must be 0 or more; got {settings.seed}.", argument="--seed")
    if not isinstance(settings.price, Mapping):
        cost(1, 2, settings.price)
    check_settings(settings.votes)
