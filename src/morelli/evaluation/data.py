"""A dataset made ready for an honest evaluation: one form for all images, no duplicates, leaks measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.encoders.common import in_common
from morelli.encoders.copies import SAMPLE, choose_sample, embed_copies
from morelli.encoders.embed import Embedded, embed
from morelli.errors import DatasetError, NotEnoughReferencesError
from morelli.evaluation.leaks import find_duplicates, leak_test
from morelli.images.degrade import Degradation
from morelli.images.load import load_image
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
    paths : ndarray of object, shape (n,)
        The files, for methods that see pictures.
    form : Uniform or None
        The form that pictures were brought to; None: untouched.
    degradation : Degradation or None
        What was done to the pictures after that.
    bases, decoders : ndarray of str, shape (n,), or None
        The model that each image's model was derived from, and what decodes its latents; "" where not known. None:
        the dataset does not say.
    texts : ndarray of str, shape (n,), or None
        The prompts themselves, "" where not known. None: the dataset has none.
    """

    embeddings: LabelledEmbeddings
    contents: NDArray[np.str_]
    leaks: dict[str, Any]
    notes: tuple[str, ...]
    paths: NDArray[np.object_]
    form: Uniform | None = None
    degradation: Degradation | None = None
    bases: NDArray[np.str_] | None = None
    decoders: NDArray[np.str_] | None = None
    texts: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.contents)

    def take(self, rows: NDArray[Any]) -> EvaluationSet:
        """The chosen rows."""
        return replace(
            self,
            embeddings=self.embeddings.take(rows),
            contents=self.contents[rows],
            paths=self.paths[rows],
            bases=None if self.bases is None else self.bases[rows],
            decoders=None if self.decoders is None else self.decoders[rows],
            texts=None if self.texts is None else self.texts[rows],
        )

    def pictures(self, rows: NDArray[np.intp], *, resized: bool = True) -> list[NDArray[np.uint8]]:
        """Pixels of the chosen rows, in the form that was embedded; not ``resized``: cut to its size instead."""
        loaded = (load_image(path).pixels for path in self.paths[rows])
        form = None if self.form is None else self.form.apply if resized else self.form.cut
        formed = (pixels if form is None else form(pixels) for pixels in loaded)
        return [pixels if self.degradation is None else self.degradation(pixels) for pixels in formed]


def prepare(
    datasets: Sequence[Dataset],
    encoder: Encoder,
    *,
    cache: EmbeddingCache | None = None,
    progress: Callable[[int, int], None] | None = None,
    copies: int = SAMPLE,
) -> list[EvaluationSet]:
    """Embed datasets that will be compared with each other; see `prepare_each`, here with one encoder."""
    return prepare_each(datasets, [encoder], cache=cache, progress=progress, copies=copies)[0]


def prepare_each(
    datasets: Sequence[Dataset],
    encoders: Sequence[Encoder],
    *,
    cache: EmbeddingCache | None = None,
    progress: Callable[[int, int], None] | None = None,
    copies: int = SAMPLE,
) -> list[list[EvaluationSet]]:
    """Embed datasets that will be compared with each other, and degraded copies of ``copies`` images of the last.

    All of them are brought to one form together: unless every image has the same format and size, each becomes the
    centre square, area-resampled to the smallest side in all sets. Duplicates are left out: second copies of a
    picture, and every copy of one that carries two models' names.

    Returns
    -------
    list of list of EvaluationSet
        For each encoder its sets, one a dataset. Those of all encoders have the same images in the same order: what
        one encoder cannot embed is left out of all.

    Raises
    ------
    DatasetError
        Where nothing of a dataset is readable.
    """
    infos = [[_probe(item) for item in dataset.items] for dataset in datasets]
    readable = [info for part in infos for info in part if info is not None]
    form = plan_uniform(readable) if readable else None
    prompts = _prompt_keys(datasets)
    count = sum(len(dataset.items) for dataset in datasets)
    total = count * len(encoders)
    done = 0
    by_dataset = []
    for dataset, part, keys in zip(datasets, infos, prompts, strict=True):
        made = []
        for encoder in encoders:
            offset = done

            def report(finished: int, _: int, offset: int = offset) -> None:
                if progress is not None:
                    progress(offset + finished, total)

            paths = [item.path for item in dataset.items]
            transform = None if form is None else form.apply
            made.append(embed(encoder, paths, transform=transform, cache=cache, progress=report))
            done += len(dataset.items)
        by_dataset.append(_prepare_one(dataset, part, keys, form, in_common(made)))
    out = [list(sets) for sets in zip(*by_dataset, strict=True)]
    for sets, encoder in zip(out, encoders, strict=True):
        # Of two datasets the second is what is learnt from.
        sets[-1] = _with_copies(sets[-1], encoder, cache, copies, progress)
    return out


def _with_copies(
    data: EvaluationSet,
    encoder: Encoder,
    cache: EmbeddingCache | None,
    count: int,
    progress: Callable[[int, int], None] | None,
) -> EvaluationSet:
    if not count:
        return data
    sample = choose_sample(data.embeddings.models.tolist(), data.contents.tolist(), count)
    transform = None if data.form is None else data.form.apply
    sources = data.paths[sample].tolist()
    made = embed_copies(encoder, sources, sample, transform=transform, cache=cache, progress=progress)
    return replace(data, embeddings=replace(data.embeddings, degraded=made))


def _probe(item: Item) -> FileInfo | None:
    # A file that cannot be probed cannot be decoded either: embedding reports it by name.
    try:
        return probe(item.path)
    except ValueError:
        return None


def _prompt_keys(datasets: Sequence[Dataset]) -> list[NDArray[np.str_]]:
    """What names each item's prompt: its id. Across datasets the text, where every prompt has one.

    Two datasets may number their prompts alike ("000", "001") without sharing a single one.
    """
    named = [item for dataset in datasets for item in dataset.items if item.prompt_id]
    if len(datasets) > 1 and all(item.prompt.strip() for item in named):
        return [np.array([" ".join(item.prompt.split()) for item in dataset.items]) for dataset in datasets]
    return [np.array([item.prompt_id for item in dataset.items]) for dataset in datasets]


def _prepare_one(
    dataset: Dataset,
    infos: Sequence[FileInfo | None],
    prompts: NDArray[np.str_],
    form: Uniform | None,
    made: Sequence[Embedded],
) -> list[EvaluationSet]:
    """A dataset's sets, one an encoder; ``made`` has the same rows and errors under each."""
    embedded = made[0]
    notes = list(dataset.notes)
    if embedded.errors:
        named = "; ".join(f"{dataset.items[i].name}: {error}" for i, error in embedded.errors[:_NAMED])
        notes.append(f"{len(embedded.errors)} images could not be read and were left out: {named}")
    if not len(embedded):
        first, error = embedded.errors[0]
        raise DatasetError(
            f"none of its {len(dataset.items)} images could be read; {dataset.items[first].name}: {error}",
            argument=str(dataset.root),
        )
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
    paths = np.array([item.path for item in items], dtype=object)
    families = np.array([item.family for item in items])
    embeddings = [
        LabelledEmbeddings(each.vectors, models, prompts[embedded.rows], families).take(keep) for each in made
    ]
    leaks: dict[str, Any] = {}
    if len(np.unique(embeddings[0].models)) >= 2:
        probed = [info for i in keep if (info := kept_infos[i]) is not None]
        leaks = leak_test(probed, embeddings[0].models, embeddings[0].prompts).to_json()
    leaks["form"] = "untouched" if form is None else str(form)
    bases, decoders, texts = (
        _column([getattr(items[i], name) for i in keep]) for name in ("base", "decoder", "prompt")
    )
    first = EvaluationSet(
        embeddings[0],
        contents[keep],
        leaks,
        tuple(notes),
        paths[keep],
        form,
        bases=bases,
        decoders=decoders,
        texts=texts,
    )
    return [replace(first, embeddings=each) for each in embeddings]


def _column(values: list[str]) -> NDArray[np.str_] | None:
    return np.array(values) if any(values) else None


def require_models(data: EvaluationSet, least: int = 2) -> None:
    """Refuse a set with fewer models than a comparison needs."""
    count = len(np.unique(data.embeddings.models))
    if count < least:
        raise NotEnoughReferencesError(
            f"a comparison needs {least} models, and the dataset has {count}.",
            argument="dataset",
            fix="Add images of other models.",
        )
