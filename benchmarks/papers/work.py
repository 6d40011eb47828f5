"""How one cell of tables 000 and 002 is measured; runs in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.papers.methods import kept_in
from benchmarks.papers.plan import MAPPED
from benchmarks.papers.records import pair_record, queries
from benchmarks.papers.sources import read_source
from benchmarks.papers.training import describe

from morelli.attribution.image import is_image_attributor
from morelli.cli.output import plain
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import load_encoder
from morelli.evaluation.data import EvaluationSet, prepare
from morelli.evaluation.identification import f1_interval
from morelli.evaluation.model_split import ModelSplit, split_models
from morelli.evaluation.pair_scores import METHODS as PAIR_METHODS
from morelli.evaluation.pictures import cut_notes
from morelli.evaluation.runner import evaluate
from morelli.evaluation.scored import figures
from morelli.evaluation.settings import DEFAULT_EPSILON, Settings
from morelli.evaluation.zero_shot import Learnt, identify, learn
from morelli.evaluation.zero_shot_pairs import draw_group_pairs, pair_rows

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder


def perform(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """Measure a cell.

    Raises
    ------
    MorelliError
        The method cannot be run there.
    """
    return _KINDS[words["kind"]](words, out)


def _main(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """Table 000: top-1 to top-3 under the protocol that the data allow."""
    source = words["source"]
    dataset = read_source(source["folder"], source["prompts"])
    spec, kept = words["spec"], kept_in(out)
    settings = Settings(methods=(spec,), seed=words["seed"], ablate=False, calibrate=False, keep=kept["checkpoint"])
    found = evaluate(dataset, load_encoder(words["encoder"]), settings, cache=EmbeddingCache(kept["cache"]))
    result, (row,) = found.result, found.result["rows"]
    kept = ("protocol", "k", "n_queries", "n_models", "n_prompts", "leaks", "notes")
    assert found.queries is not None
    (scored,) = (each for (_, name), each in found.scored.items() if name == spec)
    asked = queries(scored, found.queries.contents)
    row = row | {"method": words["method"]}
    return plain({"row": row, "queries": asked, **{name: result[name] for name in kept}})


def _zero_shot(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """Table 002: identification and verification of seen and unseen models after one training."""
    data, encoder = _prepared(words, out)
    split = split_models(data.embeddings, words["unseen"], words["seed"])
    spec = words["spec"]
    learnt = learn(spec, data, split, folders=kept_in(out))
    families = dict(zip(data.embeddings.models.tolist(), data.embeddings.families.tolist(), strict=True))
    # A group may say less with one rule than another: plda has pairs alone, lda and fused none.
    rows = {group: _identified(learnt, data, split, group, words, families) for group in split.tested}
    pairs: dict[str, dict[str, Any]] = {group: {} for group in split.tested}
    if learnt.rule in PAIR_METHODS:
        drawn = draw_group_pairs(data.embeddings, split, words["pairs"], words["seed"])
        pairs = pair_rows(learnt, split, drawn, words["seed"])
        for group, found in pairs.items() if words["part"] == 1 else ():
            found["pairs"] = pair_record(learnt, split, drawn[group], data.contents)
    if words["part"] == 1 and words["method"] in MAPPED:
        _keep(learnt, split, Path(out), words)
    members = {group: np.unique(data.embeddings.models[rows]).tolist() for group, rows in split.tested.items()}
    encoded = None if is_image_attributor(spec) else encoder.stamp.encoder
    return plain(
        {
            "groups": {group: {"identification": rows[group], "verification": pairs[group]} for group in split.tested},
            "models": {group: len(names) for group, names in members.items()},
            "members": members,
            "training_images": len(split.training),
            "under_trained": learnt.under_trained,
            "training": describe(learnt),
            "encoder": encoded,
            "leaks": data.leaks,
            "notes": [*data.notes, *split.notes, *cut_notes([words["method"]], data.form)],
        }
    )


def _identified(
    learnt: Learnt,
    data: EvaluationSet,
    split: ModelSplit,
    group: str,
    words: Mapping[str, Any],
    families: Mapping[str, str],
) -> dict[str, Any]:
    if learnt.rule == "plda":
        return {}
    scored, plan = identify(learnt, split, group, words["k"], words["seed"])
    row = figures(scored, families, baseline=None, epsilon=DEFAULT_EPSILON, seed=words["seed"])
    f1 = f1_interval(scored, words["seed"])
    asked = queries(scored, data.contents[split.tested[group]]) if words["part"] == 1 else None
    return row | {
        "f1": f1.point, "f1_low": f1.low, "f1_high": f1.high, "notes": list(plan.notes), "queries": asked,
    }  # fmt: skip


def _prepared(words: Mapping[str, Any], out: str) -> tuple[EvaluationSet, Encoder]:
    source = words["source"]
    encoder = load_encoder(words["encoder"])
    dataset = read_source(source["folder"], source["prompts"])
    (data,) = prepare([dataset], encoder, cache=EmbeddingCache(Path(out) / "cache"), copies=0)
    # Deformed copies teach an attributor that is asked of deformed queries, which these are not.
    return replace(data, embeddings=replace(data.embeddings, degraded=None)), encoder


def _keep(learnt: Learnt, split: ModelSplit, out: Path, words: Mapping[str, Any]) -> None:
    """Embeddings of the tested images, for the maps."""
    rows = np.concatenate(list(split.tested.values()))
    labels = learnt.embeddings.take(rows)
    vectors = np.concatenate([np.asarray(values, np.float32) for values in labels.vectors.values()], axis=1)
    group = np.concatenate([np.full(len(part), name) for name, part in split.tested.items()])
    path = map_path(out, words["source"]["name"], words["method"])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")  # a cell may be ended amid it
    with part.open("wb") as file:
        np.savez_compressed(file, vectors=vectors, models=labels.models, families=labels.families, group=group)
    part.replace(path)


def map_path(out: Path, source: str, method: str) -> Path:
    """Where the embeddings of a method are kept."""
    return out / "embeddings" / source / f"{method.replace(', ', '-')}.npz"


_KINDS = {"main": _main, "zero-shot": _zero_shot}
