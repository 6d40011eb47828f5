"""Names for many methods at once: ``all``, and ``published`` for the systems of other papers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from morelli.attribution.catalogue import attributor_names
from morelli.attribution.image import IMAGE_REGISTRY

ALL, PUBLISHED = "all", "published"
GROUPS = (ALL, PUBLISHED)
#: The rules over embeddings as they were published.
RULES = ("euclid", "cosine")
#: Processor seconds that each training of a method named by a group gets: small, and the same for all.
SECONDS = 60.0


@dataclass(frozen=True)
class Budget:
    """How a trained method is made small enough for a processor.

    Attributes
    ----------
    options : str
        For `morelli.attribution.image.load_image_attributor`, without ``steps``.
    seconds : float
        Of one processor for a step, whatever the number of models. Measured once on one core that computes in
        bfloat16; only ratios decide who gets how many steps.
    each : float
        More for each model, where the batch grows with their number.
    """

    options: str
    seconds: float = 0.0
    each: float = 0.0

    def step(self, models: int) -> float:
        """Processor seconds of a step."""
        return self.seconds + self.each * models

    def steps(self, seconds: float, models: int) -> int:
        """Steps that fit into so many processor seconds, 8 at least: fewer would learn nothing of anything."""
        return max(8, int(seconds / self.step(models)))


#: The trained methods. What is not here learns within seconds, or nothing.
BUDGETS: dict[str, Budget] = {
    # From random weights the usual rate of fine-tuning, 1e-4, learns next to nothing in so few steps.
    "resnet50": Budget("side=112+batch=16+rate=0.001", 0.61),
    "yu": Budget("batch=16", 0.38),
    # A third of the steps learn transforms, of which a batch does not grow with the models.
    "dna-det": Budget("batch=2+crops=4", seconds=0.09, each=0.036),
    "repmix": Budget("side=112+batch=16+rate=0.001", 0.57),
    # Of the published thirty pairs each would be given up before it had learnt to resemble a picture.
    "pose": Budget("batch=2+side=64+expansions=4", each=0.061),
}


def budgeted(name: str, models: int, seconds: float = SECONDS, options: str = "") -> str:
    """The spec of a method with as many steps as fit into so many processor seconds; its name if it has no training.

    Parameters
    ----------
    name : str
    models : int
        That it learns.
    seconds : float
    options : str
        More options, as they follow after ``@``.
    """
    budget = BUDGETS.get(name)
    if budget is None:
        return f"{name}@{options}" if options else name
    parts = [budget.options, options, f"steps={budget.steps(seconds, models)}"]
    return f"{name}@{'+'.join(part for part in parts if part)}"


def expand_groups(methods: Sequence[str], models: int, seconds: float = SECONDS) -> tuple[list[str], frozenset[str]]:
    """Methods with groups written out, and which of them a group named.

    Parameters
    ----------
    methods : sequence of str
        Methods and groups. A method that is named beside a group, with options of its own, takes the place of the
        group's: ``all,yu@steps=5000``.
    models : int
        That trained methods learn; decides their steps.
    seconds : float
        Processor seconds of each training.

    Returns
    -------
    methods : list of str
        None twice.
    optional : frozenset of str
        Those of a group: where one cannot be run, that is a note and no error.
    """
    own = {name.partition("@")[0] for name in methods}
    found: dict[str, bool] = {}
    for name in methods:
        if name not in GROUPS:
            found[name] = False
            continue
        rules = RULES if name == PUBLISHED else tuple(attributor_names())
        for each in (*rules, *IMAGE_REGISTRY):
            if each not in own:
                found.setdefault(budgeted(each, models, seconds), True)
    return list(found), frozenset(name for name, grouped in found.items() if grouped)
