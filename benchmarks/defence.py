"""The defence table: python -m benchmarks.defence DATASET --out FILE [--images N] …

DATASET holds models that answered the same prompts with several seeds each. The first seed's images are what the
leaderboard shows: some of them are protected and attacked. The leaderboard knows those images of all its models and
nothing of the attacker's; the attacker has the other seeds. Every cell (defence, ε, attacker, encoder, attributor) is
one line of FILE; a second run does what is missing. Protected images lie beside it in FILE.images and are kept too.
Attackers who purify do so to queries and to the references of the queries' prompts; the background from which
attributors learn holds degraded copies.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from morelli.attribution.base import Attributor
from morelli.attribution.catalogue import load_attributor
from morelli.defence.attackers import Attacker, attacker_names, embed_as, load_attacker
from morelli.defence.canonical import RECIPE, canonical
from morelli.defence.ensemble import Ensemble
from morelli.defence.files import png_bytes, write_file
from morelli.defence.perturb import sign_noise
from morelli.defence.quality import ms_ssim, psnr
from morelli.defence.settings import PerturbSettings
from morelli.defence.surrogate import load_surrogate
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import load_encoder
from morelli.encoders.copies import CONDITIONS as USUAL
from morelli.encoders.copies import SAMPLE, embed_copies
from morelli.encoders.embed import embed
from morelli.evaluation.metrics import confusion_matrix
from morelli.exposure.confusion import Confusion, from_counts
from morelli.exposure.simulation import VoteSettings, simulate_votes, typical
from morelli.images.dataset import read_dataset
from morelli.images.load import load_image
from morelli.types import Item, LabelledEmbeddings

Pixels = NDArray[np.uint8]

EPSILONS = (2, 4, 8)
METHODS = ("euclid", "cosine", "fused")
#: Top-1 that paper 000 reports for its own 22 models: unprotected, and at ε = 2 and 8.
PAPER = {0: 0.90, 2: 0.75, 8: 0.46}
#: What attributors know of degraded queries: what any gallery's copies teach, random noise of two levels among it, and
#: what the attackers' purifiers do.
CONDITIONS = (*USUAL, "jpeg:75", "blur:1", "resize:0.5+resize:2")


@dataclass(frozen=True)
class Cell:
    """One cell of the table."""

    defence: str
    epsilon: float
    attacker: str
    encoder: str
    method: str


@dataclass(frozen=True)
class Split:
    """Who has which images: queries, the leaderboard's own, references of the queries' prompts, and background."""

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


def pixels_of(items: Sequence[Item]) -> list[Pixels]:
    return [load_image(item.path).pixels for item in items]


def labelled(
    items: Sequence[Item], vectors: dict[str, NDArray[np.float32]], degraded: Any = None
) -> LabelledEmbeddings:
    columns = [np.array([getattr(item, name) for item in items]) for name in ("model", "prompt_id", "family")]
    return LabelledEmbeddings(vectors, columns[0], columns[1], columns[2], degraded)


class Bench:
    """Encoders, attributors and images, each made when it is first needed."""

    def __init__(self, parts: Split, folder: Path, arguments: argparse.Namespace) -> None:
        self.parts, self.folder, self.arguments = parts, folder, arguments
        self.cache = EmbeddingCache()
        self.encoders: dict[str, Encoder] = {}
        self.fitted: dict[tuple[str, str, str], Attributor] = {}
        self.ensembles: dict[str, Ensemble] = {}
        self.originals = pixels_of(parts.queries)

    def encoder(self, name: str) -> Encoder:
        if name not in self.encoders:
            self.encoders[name] = load_encoder(name)
        return self.encoders[name]

    def ensemble(self, defence: str, epsilon: float) -> Ensemble:
        key = f"{defence} {epsilon:g}"
        if key not in self.ensembles:
            names = self.arguments.surrogates
            own = self.parts.leaderboard
            known = {
                name: labelled(own, embed(self.encoder(name), [i.path for i in own], cache=self.cache).vectors)
                for name in names
            }
            settings = PerturbSettings(epsilon=epsilon, steps=self.arguments.steps)
            self.ensembles[key] = Ensemble([load_surrogate(self.encoder(n)) for n in names], known, defence, settings)
        return self.ensembles[key]

    def protect(self, item: Item, pixels: Pixels, defence: str, epsilon: float) -> Pixels:
        """One image under a defence, from the folder where it is there."""
        if defence == "none":
            return pixels
        if defence == "canonical":
            return canonical(pixels, self.arguments.recipe)
        if defence == "noise":
            return sign_noise(pixels, epsilon, seed=crc32(item.name.encode()))  # a pattern of its own for each
        path = self.folder / f"{defence}-{epsilon:g}" / f"{item.name.replace('/', '_')}.png"
        if path.is_file():
            return load_image(path).pixels
        started = time.process_time()
        made = self.ensemble(defence, epsilon).protect(pixels, item.model, item.prompt_id)
        print(
            f"{defence} ε = {epsilon:g} {item.name}: {time.process_time() - started:.1f} s processor", file=sys.stderr
        )
        write_file(path, png_bytes(made))
        return made

    def protected(self, defence: str, epsilon: float) -> list[Pixels]:
        pairs = zip(self.parts.queries, self.originals, strict=True)
        return [self.protect(item, pixels, defence, epsilon) for item, pixels in pairs]

    def attributor(self, encoder: str, method: str, defence: str, epsilon: float, retrains: bool) -> Attributor:
        """Fitted on the attacker's background; for one who retrains on protected images, on those."""
        key = (encoder, method, f"{defence} {epsilon:g}" if retrains else "")
        if key not in self.fitted:
            items, network = self.parts.background, self.encoder(encoder)
            if retrains:
                vectors = embed_as(load_attacker("plain"), network, self.shielded(items, defence, epsilon))
                data = labelled(items, vectors)
            else:
                paths = [item.path for item in items]
                vectors = embed(network, paths, cache=self.cache).vectors
                rows = np.linspace(0, len(items) - 1, min(SAMPLE, len(items))).astype(np.intp)
                copied = embed_copies(network, [paths[i] for i in rows], rows, conditions=CONDITIONS, cache=self.cache)
                data = labelled(items, vectors, copied)
            made = load_attributor(method)
            self.fitted[key] = made.fit(data if made.uses_background else None)
        return self.fitted[key]

    def shielded(self, items: Sequence[Item], defence: str, epsilon: float) -> list[Pixels]:
        """The attacker's own images, protected as the leaderboard does."""
        pairs = zip(items, pixels_of(items), strict=True)
        return [self.protect(item, pixels, defence, epsilon) for item, pixels in pairs]

    def cells(self, defence: str, epsilon: float, attacker: Attacker, encoder: str) -> Iterator[dict[str, Any]]:
        """One row an attributor."""
        network, retrains = self.encoder(encoder), attacker.retrains
        shown = self.protected(defence, epsilon)
        queries = labelled(self.parts.queries, embed_as(attacker, network, shown, cache=self.cache))
        held = self.parts.references
        theirs = self.shielded(held, defence, epsilon) if retrains else pixels_of(held)
        references = labelled(held, embed_as(attacker, network, theirs, cache=self.cache))
        look = [(psnr(a, b), ms_ssim(a, b)) for a, b in zip(self.originals, shown, strict=True)]
        db, structure = (float(np.mean(column)) for column in zip(*look, strict=True))
        for method in METHODS:
            judge = self.attributor(encoder, method, defence, epsilon, retrains)
            said, ranks, margins = attack(judge, queries, references)
            labels = np.unique(references.models)
            counts = confusion_matrix(queries.models, said, labels.tolist())
            cell = Cell(defence, epsilon, attacker.name, encoder, method)
            yield vars(cell) | {
                "n": len(ranks),
                "top1": float((ranks == 1).mean()),
                "rank": float(ranks.mean()),
                "margin": float(margins.mean()),
                "psnr": db if np.isfinite(db) else None,
                "ms_ssim": structure,
                "confusion": {"labels": labels.tolist(), "matrix": counts.tolist()},
                "references": len(held) / len({(i.prompt_id, i.model) for i in held}),
                "steps": self.arguments.steps if defence in ("pgd", "eot") else None,
            }


def attack(
    judge: Attributor, queries: LabelledEmbeddings, references: LabelledEmbeddings
) -> tuple[NDArray[np.str_], NDArray[np.intp], NDArray[np.float64]]:
    """What is said of each query among references of its prompt, the right model's place, and by how much it leads."""
    said = queries.models.copy()
    ranks, margins = np.zeros(len(queries), np.intp), np.zeros(len(queries))
    for prompt in np.unique(queries.prompts):
        rows = np.flatnonzero(queries.prompts == prompt)
        inside = references.take(references.prompts == prompt)
        scores = judge.scores(queries.take(rows).vectors, inside, str(prompt))
        candidates = judge.candidates(inside)
        said[rows] = candidates[scores.argmax(axis=1)]
        truth = np.searchsorted(candidates, queries.models[rows])
        own = scores[np.arange(len(rows)), truth]
        ranks[rows] = 1 + (scores > own[:, None]).sum(axis=1)
        scores[np.arange(len(rows)), truth] = -np.inf
        margins[rows] = own - scores.max(axis=1)
    return said, ranks, margins


def _confusion(found: dict[str, Any]) -> Confusion:
    return from_counts(found["labels"], found["labels"], found["matrix"])


def votes(rows: Sequence[dict[str, Any]], method: str) -> str:
    """Markdown: votes to move a model one place, by what the plain attacker still recognises under each defence."""
    matrices = {
        (row["defence"], row["epsilon"]): _confusion(row["confusion"])
        for row in rows
        if (row["attacker"], row["method"]) == ("plain", method) and row["encoder"] == rows[0]["encoder"]
    }
    lines = ["| defence | ε | recognised | votes to move the median model one place |", "|---|---|---|---|"]
    for (defence, epsilon), matrix in matrices.items():
        found = simulate_votes(matrix, VoteSettings(simulations=40, most=10_000))
        needed = typical(found["rows"], "votes")
        text = "more than 10,000 battles" if needed is None else f"{needed:.0f}"
        lines.append(f"| {defence} | {epsilon:g} | {matrix.accuracy:.2f} | {text} |")
    return "\n".join(lines)


def plan(arguments: argparse.Namespace) -> Iterator[tuple[str, float, Attacker, str]]:
    """Defences under attack, what is cheap and what matters most first."""
    same, unseen = arguments.encoders[0], arguments.encoders[1:]
    epsilons = arguments.epsilons
    defences = [("none", 0.0), ("canonical", 0.0), *(("noise", e) for e in epsilons)]
    defences += [(d, e) for e in epsilons for d in ("pgd", "eot")]
    for defence, epsilon in defences:
        for encoder in (same, *unseen):
            yield defence, float(epsilon), load_attacker("plain"), encoder
    for defence, epsilon in defences:
        for name in attacker_names():
            attacker = load_attacker(name)
            # Protecting the attacker's images by gradients takes as long again for each of them.
            costly = attacker.retrains and defence in ("pgd", "eot") and not arguments.retrain
            if name != "plain" and not costly and not (attacker.retrains and defence == "none"):
                yield defence, float(epsilon), attacker, same


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: one line a defence, attacker and encoder; drops are net of random signs of the same ε."""
    found = {(r["defence"], r["epsilon"], r["attacker"], r["encoder"], r["method"]): r for r in rows}
    head = "| defence | ε | PSNR | MS-SSIM | attacker | encoder | " + " | ".join(METHODS) + " |"
    lines = [head, "|" + "---|" * (6 + len(METHODS))]
    for defence, epsilon, attacker, encoder in dict.fromkeys(key[:4] for key in found):
        row = found[defence, epsilon, attacker, encoder, METHODS[0]]
        look = "–" if row["psnr"] is None else f"{row['psnr']:.1f}"
        figures = [_figure(found, defence, epsilon, attacker, encoder, method) for method in METHODS]
        lines.append(
            f"| {defence} | {epsilon:g} | {look} | {row['ms_ssim']:.4f} | {attacker} | {encoder} | "
            + " | ".join(figures)
            + " |"
        )
    paper = ", ".join(f"{value:.2f} at ε = {epsilon}" for epsilon, value in PAPER.items())
    return "\n".join([*lines, "", f"Paper 000, 22 other models, encoder not stated: {paper}."])


def _figure(found: dict[Any, Any], defence: str, epsilon: float, attacker: str, encoder: str, method: str) -> str:
    """Top-1 of a cell, and what the defence takes from this attacker beyond what random signs take."""
    here = found.get((defence, epsilon, attacker, encoder, method))
    if here is None:
        return "–"
    text = f"{here['top1']:.2f}"
    control = found.get(("noise", epsilon, attacker, encoder, method))
    if defence in ("pgd", "eot") and control is not None:
        text += f" (net {here['top1'] - control['top1']:+.2f})"
    return text


def read_rows(file: Path, header: dict[str, Any]) -> list[dict[str, Any]]:
    """Cells that an earlier run of the same settings left."""
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if not lines or lines[0] != header:
        raise SystemExit(f"{file} is of another run: {lines[:1]}; name another file")
    return lines[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60, help="queries")
    parser.add_argument("--prompts", type=int, default=10, help="prompts that queries are of")
    parser.add_argument("--background", type=int, default=24, help="prompts that attributors learn from")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--epsilons", type=float, nargs="+", default=list(EPSILONS))
    parser.add_argument("--surrogates", nargs="+", default=["efficientnet-lite0"])
    parser.add_argument("--encoders", nargs="+", default=["efficientnet-lite0", "efficientnet-lite2"])
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--retrain", action="store_true", help="also attackers who retrain on pgd and eot")
    arguments = parser.parse_args()
    parts = split(read_dataset(arguments.dataset).items, arguments.images, arguments.prompts, arguments.background)
    names = ("images", "prompts", "background", "steps", "surrogates", "recipe")
    header = {"dataset": arguments.dataset.name} | {name: getattr(arguments, name) for name in names}
    rows = read_rows(arguments.out, header)
    done = {(r["defence"], r["epsilon"], r["attacker"], r["encoder"]) for r in rows}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    bench = Bench(parts, arguments.out.with_name(arguments.out.name + ".images"), arguments)
    with arguments.out.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write(json.dumps(header) + "\n")
        for defence, epsilon, attacker, encoder in plan(arguments):
            if (defence, epsilon, attacker.name, encoder) in done:
                continue
            fresh = list(bench.cells(defence, epsilon, attacker, encoder))
            # All attributors of a cell at once: a run that ends between them leaves nothing half.
            file.write("".join(json.dumps(row) + "\n" for row in fresh))
            file.flush()
            rows += fresh
            last = " ".join(f"{row['method']} {row['top1']:.2f}" for row in fresh)
            print(f"{defence} {epsilon:g} · {attacker.name} · {encoder}: {last}", file=sys.stderr)
    print(table(rows))
    shown = np.array(next(row["confusion"]["matrix"] for row in rows)).sum(axis=1)
    if shown.min() > 0:
        print(f"\n{votes(rows, METHODS[-1])}")
    else:
        print("\nNo votes: a model has no query; ask for more --images.", file=sys.stderr)


if __name__ == "__main__":
    main()
