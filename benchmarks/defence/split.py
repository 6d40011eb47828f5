"""Who has which images: the leaderboard, and the attacker."""

from __future__ import annotations

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


def split(items: Sequence[Item], images: int, prompts: int, background: int) -> Split:
    """Queries of as few prompts as asked, models in turn; the attacker's background is of other prompts."""
    names = sorted({item.prompt_id for item in items if item.prompt_id})
    shown = names[:prompts]
    rest = names[prompts : prompts + background]
    if not rest or len(shown) < prompts:
        raise SystemExit(f"{len(names)} prompts are too few for {prompts} with queries and a background")
    first: dict[tuple[str, str], Item] = {}
    for item in sorted(items, key=lambda item: (item.seed is None, item.seed, item.name)):
        first.setdefault((item.prompt_id, item.model), item)
    models = sorted({item.model for item in items})
    # Diagonals of the table prompts × models: each takes its turn, and any number is spread evenly.
    order = [(shown[(j + turn) % prompts], model) for turn in range(prompts) for j, model in enumerate(models)]
    queries = [first[key] for key in order if key in first][:images]
    own = {id(item) for item in first.values()}
    others = [item for item in items if id(item) not in own]
    return Split(
        queries,
        [first[key] for key in sorted(first) if key[0] in {*shown, *rest}],
        [item for item in others if item.prompt_id in {q.prompt_id for q in queries}],
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
