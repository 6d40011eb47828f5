"""RepMix's network, its compound head and its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class RepMixNetwork(nn.Module):
    """A convolutional body, feature maps mixed before they are pooled, and the compound head.

    Parameters
    ----------
    body : Module
        Gives ``last_hidden_state`` (n, width, h, w).
    width, embedding, classes : int
    real : int or None
        The class of photographs; None: no detection head.
    """

    def __init__(self, body: nn.Module, width: int, embedding: int, classes: int, real: int | None) -> None:
        super().__init__()
        self.body, self.real = body, real
        self.embed = nn.Linear(width, embedding)
        self.attribute = nn.Linear(embedding, classes)
        self.detect = None if real is None else nn.Linear(embedding, 2)

    def forward(
        self, x: Tensor, partner: Tensor | None = None, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Embeddings (n, 256), compound logits (n, classes) and detection logits (n, 2) or None.

        With ``partner`` (n,) and ``share`` (n,), picture i's map becomes share·map(i) + (1 − share)·map(partner(i)).
        """
        maps = self.body(x).last_hidden_state
        if partner is not None and share is not None:
            maps = mix(maps, partner, share)
        embedding = self.embed(maps.mean(dim=(2, 3)))
        logits = self.attribute(embedding)
        if self.detect is None or self.real is None:
            return embedding, logits, None
        detection = self.detect(embedding)
        return embedding, compound(logits, detection, self.real), detection


def mix(maps: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """Maps (n, c, h, w) mixed with their partners'."""
    weight = share.to(maps.dtype)[:, None, None, None]
    return weight * maps + (1 - weight) * maps[partner]


def compound(logits: Tensor, detection: Tensor, real: int) -> Tensor:
    """The real class's logit times p(real), the others' times p(generated); detection (n, 2) is (real, generated)."""
    chance = detection.float().softmax(1)
    factor = chance[:, 1:].expand(-1, logits.shape[1]).clone()
    factor[:, real] = chance[:, 0]
    return logits * factor


def mixed_loss(
    logits: Tensor, detection: Tensor | None, mine: Tensor, other: Tensor, share: Tensor, real: int | None
) -> dict[str, Tensor]:
    """Cross-entropies of both heads, each of the two labels counted by its share; "loss" is their sum.

    Detection's classes count 1 (real) and 1/(classes − 1) (generated), as there are that many more generated models.
    """
    pairs = ((mine, share), (other, 1 - share))
    parts = {"attribution": sum_shares([(cross_entropy(logits, y, reduction="none"), w) for y, w in pairs])}
    if detection is not None and real is not None:
        weights = logits.new_tensor([1.0, 1.0 / (logits.shape[1] - 1)])
        found = detection.float()
        parts["detection"] = sum_shares(
            [(cross_entropy(found, (y != real).long(), weights, reduction="none"), w) for y, w in pairs]
        )
    return {"loss": torch.stack(list(parts.values())).sum(), **parts}


def sum_shares(losses: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean over the pictures of the losses weighted by their shares."""
    return torch.stack([loss * weight for loss, weight in losses]).sum(0).mean()
