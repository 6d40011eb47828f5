"""The object of schema ``morelli.exposure/1``, put together from what was measured with one encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._audit.attacks import AttackPlan
from morelli._audit.curves import category_rows, k_rows, means, one_vs_many_rows, pool_rows, tau_rows
from morelli._audit.filtering import filtered_confusion, filtered_rows
from morelli._audit.measured import Measured, battle, confusion
from morelli._audit.prediction import (
    Prediction,
    band_rows,
    chosen_rows,
    correlations,
    held_out_rows,
    predict,
)
from morelli._audit.settings import AuditSettings
from morelli._version import __version__
from morelli.errors import InputError
from morelli.evaluation.data import EvaluationSet
from morelli.exposure.confusion import Confusion, from_counts
from morelli.exposure.cost import cost
from morelli.exposure.separability import Separability
from morelli.exposure.simulation import simulate_votes, typical, undefended
from morelli.types import EXPOSURE_SCHEMA, EncoderStamp

if TYPE_CHECKING:
    from morelli.images.dataset import Dataset
    from morelli.types import Item


@dataclass(frozen=True, eq=False)
class Seen:
    """One encoder's measurements: images, attacks, D(i), answers by method (the asked one last), comparison line."""

    stamp: EncoderStamp
    data: EvaluationSet
    plan: AttackPlan
    found: Separability
    measured: tuple[Measured, ...]
    row: dict[str, Any]


def exposure_result(dataset: Dataset, seen: Seen, asked: AuditSettings) -> dict[str, Any]:
    """All but ``encoders`` and ``seconds``."""
    data, attack = seen.data.embeddings, seen.measured[-1]
    texts, torn = prompt_labels(dataset.items)
    categories = {name: category for name, (_, category) in texts.items()}
    d = dict(zip(seen.found.prompts.tolist(), seen.found.d(asked.tau).tolist(), strict=True))
    held = predict(data, seen.plan, attack, asked.tau, unit=asked.unit)
    vs_many, notes = one_vs_many_rows(data, seen.plan, seen.measured, asked.seed)
    filtered, left_out = filtered_rows(held, asked.seed)
    table = confusion(attack)
    votes, vote_notes = _votes(table, *filtered_confusion(held, attack), asked)
    models, seed = attack.scored.models.tolist(), asked.seed
    stamp = seen.stamp
    return {
        "schema": EXPOSURE_SCHEMA,
        "version": __version__,
        "dataset": str(dataset.root),
        "encoder": {"id": stamp.encoder, "revision": stamp.revision, "preprocessing": stamp.preprocessing},
        "method": attack.method,
        "tau": asked.tau,
        "unit": asked.unit,
        "k": seen.plan.k,
        "k_expected": seen.plan.inner_k,
        "seed": seed,
        "n_models": len(models),
        "n_prompts": len(seen.found.prompts),
        "n_images": len(data),
        "prompts": _prompts(texts, seen, held, d),
        "models": _models(seen, asked.tau),
        "correlation": [row for each in reversed(seen.measured) for row in _correlations(seen, each, asked)],
        "curves": {
            "k": [row for each in seen.measured for row in k_rows(each, seen.plan.k, seed)],
            "pool": [row for each in seen.measured for row in pool_rows(each, len(models), seed)],
            "tau": tau_rows(seen.found),
            "band": band_rows(held, seed),
            "category": category_rows(attack, categories, d, seed),
            "chosen": chosen_rows(held, seed),
            "filtered": filtered,
        },
        "battle": [{"method": each.method, **found} for each in seen.measured if (found := battle(each, seed))],
        "one_vs_many": vs_many,
        "confusion": table,
        "cost": _cost(seen.plan.k, models, asked, votes, len(seen.found.prompts)),
        "votes": votes,
        "leaks": seen.data.leaks,
        "notes": list(
            dict.fromkeys(
                [*seen.data.notes, *torn, *seen.plan.notes, *seen.found.notes, *notes, *left_out, *vote_notes]
            )
        ),
    }


def prompt_labels(items: Iterable[Item]) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Text and category of each prompt, the first of each that is not empty; and notes of prompts with several."""
    texts: dict[str, tuple[str, str]] = {}
    others: dict[str, dict[str, str]] = {"text": {}, "category": {}}
    for item in items:
        if not item.prompt_id:
            continue
        first, new = texts.get(item.prompt_id, ("", "")), (item.prompt, item.category)
        for what, old, value in zip(others, first, new, strict=True):
            if old and value and old != value:
                others[what].setdefault(item.prompt_id, f"{old!r} and {value!r}")
        texts[item.prompt_id] = first[0] or new[0], first[1] or new[1]
    return texts, [
        f"More than one {what} is given for {len(torn)} of the prompts, and the first was taken: {name!r} has {values}."
        for what, torn in others.items()
        for name, values in list(torn.items())[:1]
    ]


def _per_prompt(seen: Seen, each: Measured) -> np.ndarray:
    return each.by(each.rows("main"), each.scored.prompts, seen.found.prompts)


def _prompts(
    texts: Mapping[str, tuple[str, str]], seen: Seen, held: Prediction, d: Mapping[str, float]
) -> list[dict[str, Any]]:
    expected = dict(zip(held.prompts.tolist(), [means(column) for column in held.expected.T], strict=True))
    published, asked = (_per_prompt(seen, each).tolist() for each in (seen.measured[0], seen.measured[-1]))
    apart = held_out_rows(held)
    names, frac = seen.found.prompts.tolist(), seen.found.mean_frac().tolist()
    return [
        {
            "prompt_id": name,
            "prompt": texts.get(name, ("", ""))[0],
            "category": texts.get(name, ("", ""))[1],
            "d": d[name],
            "mean_frac": mean,
            "accuracy": hit,
            "accuracy_published": plain,
            "expected_accuracy": expected.get(name),
            "held_out": apart.get(name, []),
        }
        for name, mean, hit, plain in zip(names, frac, asked, published, strict=True)
    ]


def _models(seen: Seen, tau: float) -> list[dict[str, Any]]:
    attack, data = seen.measured[-1], seen.data.embeddings
    names = attack.scored.models
    recalls = attack.by(attack.rows("main"), attack.truth_names(), names)
    families = dict(zip(data.models.tolist(), data.families.tolist(), strict=True))
    separable = dict(zip(seen.found.models.tolist(), seen.found.separable(tau).tolist(), strict=True))
    return [
        {"model": name, "family": families[name], "separable": separable.get(name), "accuracy": float(recall)}
        for name, recall in zip(names.tolist(), recalls, strict=True)
    ]


def _correlations(seen: Seen, each: Measured, asked: AuditSettings) -> list[dict[str, Any]]:
    held = predict(seen.data.embeddings, seen.plan, each, asked.tau, unit=asked.unit)
    d, frac = seen.found.d(asked.tau), seen.found.mean_frac()
    return correlations(held, each, d, frac, _per_prompt(seen, each), asked.seed)


def _votes(
    table: Mapping[str, Any], filtered: Mapping[str, Confusion], left_out: Sequence[str], asked: AuditSettings
) -> tuple[dict[str, Any] | None, list[str]]:
    """The vote simulation, among the models that were queries: on all prompts, and without the most exposing."""
    labels, counts, images = table["labels"], np.array(table["matrix"]), np.array(table["images"])
    known = np.flatnonzero(images).tolist()
    if len(known) < 2:
        return None, ["Votes were not simulated: fewer than two models have images that could be held out."]
    measured = from_counts([labels[i] for i in known], labels, counts[known], images=images[known])
    found = simulate_votes(measured, asked.votes, defended=filtered)
    found["notes"] = [*left_out, *found["notes"]]
    return found, [f"Votes: {note}" for note in found["notes"]]


def _cost(
    k: int, models: Sequence[str], asked: AuditSettings, votes: Mapping[str, Any] | None, prompts: int
) -> dict[str, Any]:
    """Of one battle, and of a campaign that moves the median target of the simulation."""
    prices = asked.price
    if isinstance(prices, Mapping):
        prices = {name: prices[name] for name in models}
    found, reused = cost(k, len(models), prices), cost(k, len(models), prices, prompts)
    battles = typical(undefended((votes or {}).get("rows", ())), "battles")
    return found.to_json() | {
        "price": prices,
        "campaign_battles": battles,
        "campaign": None if battles is None else found.campaign(battles),
        "leaderboard_prompts": prompts,
        "campaign_of_these_prompts": None if battles is None else reused.campaign(battles),
    }


def check_prices(asked: AuditSettings, models: Sequence[str]) -> None:
    """Refuse prices that lack a model, before the work.

    Raises
    ------
    InputError
    """
    if isinstance(asked.price, Mapping):
        missing = [name for name in models if name not in asked.price]
        if missing:
            raise InputError(f"has no price for {missing[0]!r}.", argument="price")
