"""Who has which images: the leaderboard, and the attacker.

The leaderboard has ``seeds`` images of each model and prompt, one by default. The published loss moves a query towards
the farthest other model's images of its prompt: with one seed these positives are a single image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.images.load import load_image
from morelli.types import DegradedEmbeddings, Item, LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Split:
    """Queries, the leaderboard's own, references of the queries' prompts, and background of other prompts."""

    queries: list[Item]
    leaderboard: list[Item]
    references: list[Item]
    background: list[Item]

    @property
    def positives(self) -> tuple[int, int]:
        """The fewest and the most images that the leaderboard has of a model and a prompt with queries."""
        shown = {query.prompt_id for query in self.queries}
        counts = Counter((item.prompt_id, item.model) for item in self.leaderboard if item.prompt_id in shown)
        return min(counts.values()), max(counts.values())


def split(items: Sequence[Item], images: int, prompts: int, background: int, seeds: int = 1) -> Split:
    """Queries of as few prompts as asked, models in turn; the attacker's background is of other prompts.

    Parameters
    ----------
    items : sequence of Item
    images : int
        Queries: the first seed of a prompt and model.
    prompts, background : int
    seeds : int
        Images of a model and prompt that the leaderboard has; the attacker has the others.

    Raises
    ------
    SystemExit
        Too few prompts, or no image of a query's model and prompt is left to the attacker.
    """
    names = sorted({item.prompt_id for item in items if item.prompt_id})
    shown = names[:prompts]
    rest = names[prompts : prompts + background]
    if not rest or len(shown) < prompts:
        raise SystemExit(f"{len(names)} prompts are too few for {prompts} with queries and a background")
    held: dict[tuple[str, str], list[Item]] = {}
    for item in sorted(items, key=lambda item: (item.seed is None, item.seed, item.name)):
        held.setdefault((item.prompt_id, item.model), []).append(item)
    models = sorted({item.model for item in items})
    # Diagonals of the table prompts × models: each takes its turn, and any number is spread evenly.
    order = [(shown[(j + turn) % prompts], model) for turn in range(prompts) for j, model in enumerate(models)]
    chosen = [key for key in order if key in held][:images]
    for prompt, model in chosen:
        if len(held[prompt, model]) <= seeds:
            raise SystemExit(f"{model} has {len(held[prompt, model])} images of {prompt}: none is left to the attacker")
    board = [item for key in sorted(held) for item in held[key][:seeds]]
    own = {id(item) for item in board}
    others = [item for item in items if id(item) not in own]
    return Split(
        [held[key][0] for key in chosen],
        [item for item in board if item.prompt_id in {*shown, *rest}],
        [item for item in others if item.prompt_id in {prompt for prompt, _ in chosen}],
        [item for item in others if item.prompt_id in rest],
    )


def not_blank(items: Sequence[Item]) -> list[Item]:
    """The images that are not of one colour, such as a safety filter gives: no encoder can tell whose those are."""
    return [item for item, pixels in zip(items, pixels_of(items), strict=True) if np.ptp(pixels, axis=(0, 1)).any()]


def pixels_of(items: Sequence[Item]) -> list[Pixels]:
    """The images as they are."""
    return [load_image(item.path).pixels for item in items]


def labelled(
    items: Sequence[Item], vectors: dict[str, NDArray[np.float32]], degraded: DegradedEmbeddings | None = None
) -> LabelledEmbeddings:
    """Embeddings with their items' models, prompts and families."""
    columns = [np.array([getattr(item, name) for item in items]) for name in ("model", "prompt_id", "family")]
    return LabelledEmbeddings(vectors, columns[0], columns[1], columns[2], degraded)
