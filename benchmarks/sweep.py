"""Fingerprint extractors for a grid of settings: python -m benchmarks.sweep STORE --photos DIR --out DIR --set lr=1,2

Every combination of the values is trained into a file of its own in --out, and a table says what each is worth on
models that none of them has seen. Run it again with the same --out to go on: what is finished is not trained again,
and an interrupted training goes on from its last checkpoint. A combination that fails is told and stops no other; the
command then ends with 1, and the next run tries it again. --engine ray trains in the processes of a Ray cluster.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.papers.results import Results, fingerprint
from benchmarks.papers.schedule import FAILED, Job, reason, run

from morelli._version import __version__
from morelli.cli.engines import chosen_engine
from morelli.encoders.weights import file_sha256, short_hash
from morelli.errors import InputError, MorelliError, UnknownNameError
from morelli.fingerprint.learn.settings import LearnSettings, preset
from morelli.report.table import Column, render_rows

if TYPE_CHECKING:
    from morelli.engine.base import Engine
    from morelli.synthesis.photos import Photos

SCHEMA = "morelli.sweep/1"
COLUMNS = (
    Column("setting"),
    Column("auc", "AUC, unseen models", "number"),
    Column("accuracy", "accuracy, unseen models, %", "percent"),
    Column("steps", form="count"),
    Column("seconds", form="count"),
    Column("file"),
    Column("failed", "why there is none"),
)


@dataclass(frozen=True)
class Sweep:
    """What is trained.

    Attributes
    ----------
    store : Path
        Of synthetic models.
    photos : Path
        Folder of photographs.
    grid : mapping of str to sequence
        Values of fields of `LearnSettings`; all combinations are trained. Those with several values name a combination.
    preset : str
        The settings that the grid does not have.
    held_out : float
        Share of the models that are kept for validation.
    cache_gib : float
        What the cache of one training may take.
    """

    store: Path
    photos: Path
    grid: Mapping[str, Sequence[Any]]
    preset: str = "default"
    held_out: float = 0.1
    cache_gib: float = 8.0


@dataclass(frozen=True)
class Trainer:
    """Trains one combination: what `benchmarks.papers.schedule.run` performs, here or at a worker.

    Attributes
    ----------
    device : str
    shares : bool
        Whether trainings come one after the other, so that one cache serves all.
    """

    device: str = "auto"
    shares: bool = True

    def __call__(self, words: Mapping[str, Any], out: str) -> dict[str, Any]:
        """Train into a file.

        Raises
        ------
        MorelliError
            The settings cannot be, or the training cannot go on.
        """
        from morelli.devices import choose_device
        from morelli.fingerprint.learn.bank import GIB
        from morelli.fingerprint.learn.classes import synthetic_classes
        from morelli.fingerprint.learn.run import Place, learn
        from morelli.fingerprint.windows import SIDE
        from morelli.synthesis.store import Store

        name, device = words["name"], choose_device(self.device)
        settings = preset(words["preset"], **words["changes"])
        photos = _photos(words["photos"], SIDE + 2 * settings.margin_px)
        classes = synthetic_classes(Store(words["store"]), photos, settings, held_out=words["held_out"], device=device)
        # By all that decides the training: the checkpoint of another one is not gone on from.
        folder = Path(out) / "trainings" / f"{name}-{fingerprint(words)}"
        cache = Path(out) / "cache" if self.shares else folder / "cache"
        place = Place(folder, cache, int(words["cache_gib"] * GIB), device)
        told = learn(classes, settings, _file(out, name), place, say=lambda line: say(f"{name}: {line}"))
        assert told is not None  # nothing can stop it but an end of the process
        if not self.shares:
            shutil.rmtree(cache, ignore_errors=True)
        return {"sha256": told["sha256"], "steps": told["steps"], "classes": told["classes"], **told["validation"]}


def sweep(
    asked: Sweep,
    out: Path,
    *,
    device: str = "auto",
    processes: int = 1,
    engine: Engine | None = None,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Train every combination that is not trained yet.

    Parameters
    ----------
    asked : Sweep
    out : Path
        Gets a file of weights a combination, and ``sweep.jsonl`` with what became of each.
    device : str
        Where a process trains.
    processes : int
        Of this machine, without a remote engine.
    engine : Engine, optional
        As `benchmarks.papers.schedule.run` takes it; ``RayEngine(gpus=1)`` gives each training a GPU.
    say : callable

    Returns
    -------
    list of dict
        A row a combination, in the grid's order: ``setting``, and ``auc``, ``accuracy``, ``steps``, ``seconds`` and
        ``file``, or ``failed``.

    Raises
    ------
    UnknownNameError, InputError
        A setting that there is not, or a grid of nothing.
    DatasetError, StorageError
        The store or the folder cannot be used.
    """
    jobs = list(_jobs(asked))
    place = out.resolve()
    results = Results(place / "sweep.jsonl", {"grid": dict(asked.grid), "preset": asked.preset}, SCHEMA)
    for job in jobs:
        known = results.get(job.key, job.words)
        file = _file(place, job.words["name"])
        if known and FAILED not in known and not (file.is_file() and file_sha256(file) == known["sha256"]):
            results.add(job.key, job.words, {FAILED: f"{file.name} is not what was trained any more."})
    alone = processes == 1 and (engine is None or not engine.remote)
    run(jobs, results, Trainer(device, alone), str(place), processes=processes, engine=engine, say=say)
    return [_row(job, results.get(job.key, job.words) or {}, place) for job in jobs]


def _row(job: Job, found: Mapping[str, Any], place: Path) -> dict[str, Any]:
    if FAILED in found:
        return {"setting": job.key, "failed": reason(found)}
    figures = {name: found.get(name) for name in ("auc", "accuracy", "steps", "sha256")}
    return {"setting": job.key, **figures, "seconds": round(found["seconds"]), "file": _file(place, job.words["name"])}


def _jobs(asked: Sweep) -> Iterator[Job]:
    """One a combination, in the grid's order."""
    known = [each.name for each in fields(LearnSettings)]
    for name, values in asked.grid.items():
        if name not in known:
            raise UnknownNameError("setting", name, known)
        if not values:
            raise InputError("has no value.", argument=name)
    inputs = {name: {"folder": str(each.resolve()), "state": _state(each)}
              for name, each in (("store", asked.store), ("photos", asked.photos))}  # fmt: skip
    names: set[str] = set()
    for values in product(*asked.grid.values()):
        changes = dict(zip(asked.grid, values, strict=True))
        varied = [f"{name}={value}" for name, value in changes.items() if len(asked.grid[name]) > 1]
        key = " ".join(varied) or asked.preset
        name = re.sub(r"[^A-Za-z0-9._]+", "-", key.replace(" ", "_"))
        if name in names:
            raise InputError(f"the grid has {key} twice.", argument="grid")
        names.add(name)
        words = {"name": name, "preset": asked.preset, "changes": changes, "held_out": asked.held_out,
                 "cache_gib": asked.cache_gib, "version": __version__, "inputs": inputs,
                 **{kind: each["folder"] for kind, each in inputs.items()}}  # fmt: skip
        yield Job(key, words, float(changes.get("steps") or 1))


def _state(folder: Path) -> str:
    """A short hash of the names, sizes and times of a folder's files."""
    found = sorted((path.relative_to(folder).as_posix(), path.stat()) for path in folder.rglob("*") if path.is_file())
    return short_hash([[name, info.st_size, info.st_mtime_ns] for name, info in found])


def _file(out: Path | str, name: str) -> Path:
    return Path(out) / f"{name}.safetensors"


@lru_cache(maxsize=1)
def _photos(folder: str, side: int) -> Photos:
    from morelli.synthesis.photos import read_photos

    return read_photos(folder, side)


def say(line: str) -> None:
    """Talk goes to stderr."""
    print(line, file=sys.stderr, flush=True)


def read_grid(given: Sequence[str]) -> dict[str, list[Any]]:
    """``["lr=1e-3,2e-3", "normalise=true"]`` as names and values of the settings' types.

    Raises
    ------
    UnknownNameError, InputError
    """
    usual = {each.name: each.default for each in fields(LearnSettings)}
    grid: dict[str, list[Any]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if name not in usual:
            raise UnknownNameError("setting", name, usual)
        if not equals or name in grid:
            raise InputError(f"must name each setting once, as NAME=VALUE,VALUE; got {text!r}.", argument="--set")
        grid[name] = [_value(name, usual[name], part.strip()) for part in values.split(",") if part.strip()]
    return grid


def _value(name: str, usual: Any, text: str) -> Any:
    kinds: dict[type, Callable[[str], Any]] = {bool: {"true": True, "false": False}.__getitem__}
    try:
        return kinds.get(type(usual), type(usual))(text)
    except (ValueError, KeyError) as error:
        kind = "true or false" if isinstance(usual, bool) else f"of the type {type(usual).__name__}"
        raise InputError(f"{name} must be {kind}; got {text!r}.", argument="--set") from error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, metavar="STORE", help="synthetic models (morelli synthesize)")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs that the models are shown")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, trainings and results")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE,VALUE", help="may be repeated")
    parser.add_argument("--preset", default="default", help="the settings that no --set names")
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the models kept for validation")
    parser.add_argument("--cache-gib", type=float, default=8.0, help="what the cache of a training may take")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--processes", type=int, default=1, help="of this machine, without --engine ray")
    parser.add_argument("--engine", default="local", help="where extractors are trained: local or ray")
    parser.add_argument("--ray-address", default=os.environ.get("MORELLI_RAY_ADDRESS"),
                        help="a Ray cluster that runs already; by default Ray is started here")  # fmt: skip
    given = parser.parse_args(arguments)
    if given.processes < 1:
        parser.error("--processes must be 1 or more")
    try:
        asked = Sweep(given.store, given.photos, read_grid(given.set), given.preset, given.held_out, given.cache_gib)
        with chosen_engine(given.engine, given.ray_address) as engine:
            rows = sweep(asked, given.out, device=given.device, processes=given.processes, engine=engine, say=say)
    except MorelliError as error:
        say(f"error: {error}")
        return 1
    kept = [each for each in COLUMNS if any(row.get(each.key) is not None for row in rows)]
    print(render_rows(rows, kept))
    failed = [row["setting"] for row in rows if row.get("failed")]
    if failed:
        say(f"error: {len(failed)} trainings failed and are tried again by the next run: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    from benchmarks.sweep import main as named  # under its own name, by which workers can import it

    sys.exit(named())
