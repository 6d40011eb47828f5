"""A dataset made ready for an honest evaluation: one form for all images, no duplicates, leaks measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.encoders.embed import embed
from morelli.errors import DatasetError, NotEnoughReferencesError
from morelli.evaluation.leaks import find_duplicates, leak_test
from morelli.images.probe import FileInfo, probe
from morelli.images.uniform import Uniform, plan_uniform
from morelli.types import Item, LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.images.dataset import Dataset

# Files named in one message; a dataset with thousands of broken ones still gives a message that fits a screen.
_NAMED = 5


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """Images of one dataset, embedded.

    Attributes
    ----------
    embeddings : LabelledEmbeddings
    contents : ndarray of str, shape (n,)
        Content hash of each image.
    leaks : dict
        What the leak test found, for the result's ``leaks``.
    notes : tuple of str
        What was left out or brought to one form, as plain sentences.
    """

    embeddings: LabelledEmbeddings
    contents: NDArray[np.str_]
    leaks: dict[str, Any]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.contents)

    def take(self, rows: NDArray[Any]) -> EvaluationSet:
        """The chosen rows."""
        return replace(self, embeddings=self.embeddings.take(rows), contents=self.contents[rows])


def prepare(
    datasets: Sequence[Dataset],
    encoder: Encoder,
    *,
    cache: EmbeddingCache | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[EvaluationSet]:
    """Embed datasets that will be compared with each other.

    All of them are brought to one form together: unless every image has the same format and size, each becomes the
    centre square, area-resampled to the smallest side in all sets. Duplicates are left out: second copies of a
    picture, and every copy of one that carries two models' names.

    Raises
    ------
    DatasetError
        Where nothing is readable.
    NotEnoughReferencesError
        Where a dataset that is evaluated on its own has one model only.
    """
    infos = [[_probe(item) for item in dataset.items] for dataset in datasets]
    form = plan_uniform([info for part in infos for info in part if info is not None])
    total = sum(len(dataset.items) for dataset in datasets)
    done = 0
    out = []
    for dataset, part in zip(datasets, infos, strict=True):
        offset = done

        def report(finished: int, _: int, offset: int = offset) -> None:
            if progress is not None:
                progress(offset + finished, total)

        out.append(_prepare_one(dataset, part, form, encoder, cache, report))
        done += len(dataset.items)
    return out


def _probe(item: Item) -> FileInfo | None:
    # A file that cannot be probed cannot be decoded either: embedding reports it by name.
    try:
        return probe(item.path)
    except ValueError:
        return None


def _prepare_one(
    dataset: Dataset,
    infos: Sequence[FileInfo | None],
    form: Uniform | None,
    encoder: Encoder,
    cache: EmbeddingCache | None,
    report: Callable[[int, int], None],
) -> EvaluationSet:
    embedded = embed(
        encoder,
        [item.path for item in dataset.items],
        transform=None if form is None else form.apply,
        cache=cache,
        progress=report,
    )
    notes = list(dataset.notes)
    if embedded.errors:
        named = "; ".join(f"{dataset.items[i].name}: {error}" for i, error in embedded.errors[:_NAMED])
        notes.append(f"{len(embedded.errors)} images could not be read and were left out: {named}")
    if not len(embedded):
        raise DatasetError("no image of it could be read.", argument=str(dataset.root))
    items = [dataset.items[i] for i in embedded.rows]
    kept_infos = [infos[i] for i in embedded.rows]
    contents = np.array([picture.content for picture in embedded.pictures])
    models = np.array([item.model for item in items])
    duplicates = find_duplicates(contents, models)
    if not duplicates.keep.all():
        notes.append(
            f"{int((~duplicates.keep).sum())} duplicates were left out "
            f"({len(duplicates.across)} pictures carry two models' names)."
        )
    if form is not None:
        notes.append(f"Formats or sizes differ; all images were brought to one form: {form}.")
    keep = np.flatnonzero(duplicates.keep)
    embeddings = LabelledEmbeddings(
        embedded.vectors,
        models,
        np.array([item.prompt_id for item in items]),
        np.array([item.family for item in items]),
    ).take(keep)
    leaks: dict[str, Any] = {}
    if len(np.unique(embeddings.models)) >= 2:
        probed = [info for i in keep if (info := kept_infos[i]) is not None]
        leaks = leak_test(probed, embeddings.models, embeddings.prompts).to_json()
    leaks["form"] = "untouched" if form is None else str(form)
    return EvaluationSet(embeddings, contents[keep], leaks, tuple(notes))


def require_models(data: EvaluationSet, least: int = 2) -> None:
    """Refuse a set with fewer models than a comparison needs."""
    count = len(np.unique(data.embeddings.models))
    if count < least:
        raise NotEnoughReferencesError(
            f"a comparison needs {least} models, and the dataset has {count}.",
            argument="dataset",
            fix="Add images of other models.",
        )
