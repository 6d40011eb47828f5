"""Table 001: methods and regeneration under attacks, with and without the plug-in, on the zoo's models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.papers.learnt import Known, attacked, scorer
from benchmarks.papers.methods import versions
from benchmarks.papers.plan import ATTACKED
from benchmarks.papers.plan import Plan as Papers
from benchmarks.papers.schedule import Job
from benchmarks.papers.stored_attacks import StoredAttacks
from benchmarks.zoo.bench import Bench
from benchmarks.zoo.images import BACKGROUND, images
from benchmarks.zoo.measure import ranks
from benchmarks.zoo.plan import ATTACKS, Plan, Query

from morelli.evaluation.groups import BUDGETS, budgeted
from morelli.evaluation.leaks import leak_test
from morelli.images.load import Picture, load_image
from morelli.images.probe import probe
from morelli.regeneration.fusion import fit_fusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Scores = NDArray[np.float64]

#: The likenesses that methods are fused with: the paper's, and ours.
MEASURES = ("clip-cosine", "fused")
NAME = "zoo"


def small_plan(plan: Papers) -> Plan:
    """The sizes of the experiment: each prompt costs (queries + γ) images of every model."""
    prompts = plan.prompts or 24
    return Plan(prompts=prompts, queries=2, subset=6 * prompts, gamma=5, background=prompts, background_images=3,
                seed=plan.seed)  # fmt: skip


class Attacks:
    """Queries, what they are compared with, and what methods learn from: two thirds of the background prompts.

    The weight of the plug-in is learnt from the others, of which a method has seen nothing.

    Parameters
    ----------
    bench : Bench
        Made and prepared.
    out : str
        Folder for trained methods.
    """

    def __init__(self, bench: Bench, out: str) -> None:
        self.bench, self.out = bench, out
        order = np.random.default_rng([bench.plan.seed, 4]).permutation(len(bench.background_prompts))
        learns = {bench.background_prompts[i] for i in order[: max(1, 2 * len(order) // 3)]}
        known = [self._known(row) for row in range(len(bench.background.references))]
        self.training = [each for each in known if each.prompt in learns]
        # One image of each prompt and model says as much for a weight as three that depend on each other.
        first = [reference.seed == BACKGROUND for reference in bench.background.references]
        self.weighing = [each for each, one in zip(known, first, strict=True) if each.prompt not in learns and one]

    def _known(self, row: int) -> Known:
        reference = self.bench.background.references[row]
        generator = next(each for each in self.bench.lineup.generators if each.model == reference.model)
        assert reference.seed is not None
        made = images(generator, reference.prompt, 1, reference.seed, self.bench.folder)
        return Known(made[0].path, reference.model, reference.family, reference.prompt)

    def leaks(self) -> dict[str, Any]:
        """The leak test, over images that are learnt from and queries alike."""
        shown = [(each.path, each.model, each.prompt) for each in self.training]
        shown += [(self.bench.path(each), each.model, self.bench.prompts[each.prompt]) for each in self.queries]
        paths, models, prompts = zip(*shown, strict=True)
        return leak_test([probe(path) for path in paths], models, prompts).to_json()

    def perform(self, words: Mapping[str, Any], out: str) -> dict[str, Any]:
        """Measure a cell: likenesses, or a method."""
        return self._likeness(words) if words["kind"] == "likeness" else self._method(words)

    def _likeness(self, words: Mapping[str, Any]) -> dict[str, Any]:
        """Likeness of queries (or of images for the plug-in's weight) and candidates of their prompt, by measure."""
        values: dict[str, list[Any]] = {name: [] for name in MEASURES}
        for prompt, pictures in self._groups(words["attack"]):
            candidates = self.bench.candidates(prompt, self.bench.plan.gamma)
            assert candidates.models.tolist() == self.models
            for name in MEASURES:
                values[name] += self.bench.likeness(name, pictures, candidates).tolist()
        return {"values": values}

    @property
    def models(self) -> list[str]:
        """Columns."""
        return sorted(self.bench.lineup.models)

    def _groups(self, attack: str | None) -> list[tuple[str, list[Picture]]]:
        """Pictures by prompt, in the order of `truth`; None: the plug-in's."""
        if attack is None:
            prompts = list(dict.fromkeys(each.prompt for each in self.weighing))
            return [(p, [load_image(each.path) for each in self.weighing if each.prompt == p]) for p in prompts]
        text = ATTACKS[attack]
        return [
            (prompt, [self._attacked(query, text) for query in self.queries if query.prompt == number])
            for number, prompt in enumerate(self.bench.prompts)
        ]

    measures: tuple[str, ...] = MEASURES

    @property
    def prompts(self) -> list[int]:
        """The prompt of each query."""
        return [query.prompt for query in self.queries]

    @property
    def queries(self) -> list[Query]:
        """The queries, by prompt."""
        return sorted(self.bench.subset, key=lambda query: query.prompt)

    def truth(self, attack: str | None) -> list[str]:
        """The right models of `_groups`."""
        if attack is not None:
            return [query.model for query in self.queries]
        prompts = list(dict.fromkeys(each.prompt for each in self.weighing))
        return [each.model for prompt in prompts for each in self.weighing if each.prompt == prompt]

    def _attacked(self, query: Query, text: str) -> Picture:
        return attacked(self.bench.picture(query), text, query.key)

    def _method(self, words: Mapping[str, Any]) -> dict[str, Any]:
        score, models, under_trained = scorer(words["spec"], self.training, self.bench.encoder, self.out)
        assert models == self.models
        attacks = [None, *ATTACKS]
        pictures = {attack: [each for _, some in self._groups(attack) for each in some] for attack in attacks}
        return {"scores": {str(attack): score(some).tolist() for attack, some in pictures.items()},
                "under_trained": under_trained}  # fmt: skip


def attack_jobs(plan: Papers, bench: Bench) -> list[Job]:
    """Likenesses first, then methods."""
    stamp = bench.encoder.stamp
    settings = {"plan": asdict(bench.plan), "models": bench.lineup.revisions, "prompts": list(bench.prompts),
                "encoder": f"{stamp.encoder}/{stamp.revision}/{stamp.preprocessing}"}  # fmt: skip
    jobs = []
    for attack in (None, *ATTACKS):
        words = {"kind": "likeness", "attack": attack, "versions": versions("attack", "", ""), **settings}
        jobs.append(Job(f"001/likeness/{attack or 'plug-in'}", words, 2.0 * len(bench.subset)))
    for method in filter(plan.wants, ATTACKED):
        spec = budgeted(method, len(bench.lineup.models), plan.training("001"))
        words = {"kind": "method", "method": method, "spec": spec, "versions": versions("attack", spec, ""), **settings}
        trained = plan.training("001") if method in BUDGETS else 0.0
        jobs.append(Job(f"001/{NAME}/{method}", words, 20 + len(bench.subset) + trained))
    return jobs


def fused_ranks(
    attacks: Attacks | StoredAttacks, likeness: Mapping[str, Any], scores: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Ranks of the right model: of a method alone and with each measure as a plug-in, by attack.

    Parameters
    ----------
    likeness : mapping
        Values of `Attacks._likeness` by attack; "None" has the plug-in's. Where one is missing, so is the plug-in.
    scores : mapping
        Of a method, by attack.
    """
    models, out = attacks.models, {}
    weighed = np.array([models.index(name) for name in attacks.truth(None)], dtype=np.intp)
    weights = likeness.get("None", {})
    own = np.array(scores["None"] if weights else [], dtype=np.float64)
    fusions = {name: fit_fusion(own, np.array(values, dtype=np.float64), weighed) for name, values in weights.items()}
    for attack in ATTACKS:
        truth, mine = attacks.truth(attack), np.array(scores[attack], dtype=np.float64)
        found = {"alone": ranks(mine, models, truth)}
        for name, fusion in fusions.items():
            if attack in likeness:
                found[f"with {name}"] = ranks(fusion(mine, np.array(likeness[attack][name])), models, truth)
        out[attack] = found
    return out
