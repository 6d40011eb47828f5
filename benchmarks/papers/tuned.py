"""The fingerprint fine-tuned on the seen models (paper 002, "Ours (Fine-tune)"), and the same network as it is shipped.

Published: one epoch over the seen models' images at 1e-4, nine windows of each. Of the shipped fingerprint's two
networks the one over the median's residual is tuned, and stands beside itself untuned. What is tuned has seen pictures
without a licence: it stays below ``--out`` and must not be shipped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.one_form import one_form
from benchmarks.papers.costs import zero_shot_cell
from benchmarks.papers.methods import versions
from benchmarks.papers.plan import Plan
from benchmarks.papers.schedule import Job
from benchmarks.papers.sources import Source, read_source
from benchmarks.papers.work import perform as measure

from morelli.cli.train import FINETUNE_RATE
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.weights import short_hash
from morelli.evaluation.data import prepare
from morelli.evaluation.model_split import split_models
from morelli.fingerprint.denoiser import WEIGHTS
from morelli.fingerprint.encoders import SHIPPED
from morelli.fingerprint.extractor import load_extractor
from morelli.fingerprint.learn.classes import dataset_classes
from morelli.fingerprint.learn.run import Place, learn, one_epoch
from morelli.fingerprint.learn.settings import LearnSettings

if TYPE_CHECKING:
    from morelli.types import Item

#: The network that is tuned, and the methods' names in the tables by whether it is.
PART = "fingerprint"
NAMES = {False: "cosine, fingerprint (median)", True: "cosine, fingerprint (median, fine-tuned)"}


def tuned_jobs(plan: Plan, source: Source) -> Iterator[Job]:
    """Both cells of a data set."""
    if not plan.wants("cosine"):
        return
    for tuned, name in NAMES.items():
        words = {
            "kind": "tuned",
            "tuned": tuned,
            "rate": FINETUNE_RATE,
            "versions": versions("tuned", "cosine", DEFAULT_ENCODER) | {"network": SHIPPED[PART]},
            "source": asdict(source),
            "method": name,
            "spec": "cosine",
            "part": 1.0,
            "k": plan.k,
            "unseen": plan.unseen,
            "pairs": plan.pairs,
            "seed": plan.seed,
        }
        # A picture's windows are embedded once for each, and to learn costs about as much.
        cost = zero_shot_cell("cosine", source, plan.unseen, 0.3 * source.images * source.megapixels * (1 + tuned))
        yield Job(f"002/{source.name}/{name}", words, cost)


def perform(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """Tune, or not, and measure as any encoder of table 002.

    Raises
    ------
    MorelliError
        The data set has too few models or images for it.
    """
    shipped = WEIGHTS / f"{PART}.safetensors"
    weights = _tuned(words, Path(out), shipped) if words["tuned"] else shipped
    found = measure({**words, "kind": "zero-shot", "encoder": f"fingerprint@{weights}"}, out)
    return {**found, "encoder": PART}


def _tuned(words: Mapping[str, Any], out: Path, shipped: Path) -> Path:
    """The file of the tuned network; one that is there is taken."""
    items = _training(words, out)
    settings = LearnSettings(lr=words["rate"], seed=words["seed"], validate_every=10**9)
    key = short_hash(
        [[[item.name, item.model] for item in items], words["source"]["state"], words["versions"], words["rate"]]
    )
    file = (out / "trained" / f"fingerprint-{key}.safetensors").resolve()
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        classes = dataset_classes(items, settings)
        place = Place(file.with_suffix(".training"), out / "trained" / "spectra")
        begin = load_extractor(shipped, SHIPPED[PART])
        learn(classes, one_epoch(classes, settings), file, place, begin=begin, say=_say)
    return file


def _training(words: Mapping[str, Any], out: Path) -> list[Item]:
    """The seen models' training images, those of every trained method, as files of one form."""
    source = words["source"]
    formed = one_form(read_source(source["folder"], source["prompts"]), out / "form")
    cache = EmbeddingCache(out / "cache")
    (data,) = prepare([formed], load_encoder(DEFAULT_ENCODER), cache=cache, copies=0)
    split = split_models(data.embeddings, words["unseen"], words["seed"])
    by_path = {item.path: item for item in formed.items}
    return [by_path[path] for path in data.paths[split.training]]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
