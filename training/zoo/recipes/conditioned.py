"""What the recipes of generators share: captions that are sometimes dropped, and catalogue entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from training.zoo.recipe import Recipe, Step

DROPPED = 0.1
"""Part of the pictures that are shown without their caption, for classifier-free guidance."""
TEXT = {"text_encoder": "clip", "tokenizer": "clip"}
SIZES = {"width": 64, "height": 64}


class Conditioned(Recipe):
    """A generator's recipe."""

    needs = ("text",)

    def captions(self, step: Step) -> tuple[Any, Any]:
        """Token ids of the step's captions, and which of them are dropped."""
        tokens = self.context.pictures.wording(step.rng, step.rows)
        return tokens, step.rng.random(len(tokens)) < DROPPED

    def states(self, step: Step) -> Tensor:
        """Text states of the step's captions, some dropped."""
        return self.context.states(*self.captions(step))


def entry(
    kind: str,
    name: str,
    architecture: str,
    net: nn.Module | int,
    components: Mapping[str, str],
    settings: Mapping[str, Any],
    base: str | None = None,
) -> dict[str, Any]:
    """A catalogue's entry, without the training record."""
    count = net if isinstance(net, int) else sum(p.numel() for p in net.parameters())
    return {
        "model": {
            "kind": kind,
            "family": base or name,
            "base": base or name,
            "architecture": architecture,
            "parameters": count,
            "components": dict(components),
            "settings": {**settings, **SIZES},
        }
    }
