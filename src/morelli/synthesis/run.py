"""Train what a store lacks: every architecture gets its first seeds that train well, over one or several processes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from morelli.devices import choose_device
from morelli.engine.base import Engine
from morelli.engine.processes import ProcessEngine
from morelli.errors import EngineError, InputError, MorelliError, WorkerLostError
from morelli.synthesis.architectures import Architecture, ModelKey
from morelli.synthesis.photos import Photos
from morelli.synthesis.records import Record
from morelli.synthesis.settings import TrainingSettings
from morelli.synthesis.stacked import choose_scheme
from morelli.synthesis.train import Pool, Trained, train
from morelli.synthesis.writing import StoreWriter

#: Seeds that an architecture may use up beyond those that were asked for.
SPARES = 5
#: Groups of models, spread over all, of which the policy "ceiling" must keep one, or the run ends.
TRIAL = 6

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made, and with what.

    Attributes
    ----------
    architectures : tuple of Architecture
    seeds : int
        Models of each.
    workers : int
        Processes, each with one thread; 1 is this process.
    device : str
        "auto", or a torch device. Several processes can share a GPU.
    scheme : str
        See `stacked`.
    together : int or None
        Seeds of one architecture that are trained side by side and share a shard; by default 5 on a CPU and 20
        elsewhere.

    Raises
    ------
    InputError, UnknownNameError
        A number below 1, or no such device or scheme.
    """

    architectures: tuple[Architecture, ...]
    seeds: int
    workers: int = 1
    device: str = "auto"
    scheme: str = "auto"
    together: int | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "workers", "together"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"must be 1 or more; got {value}.", argument=name)
        choose_scheme(self.scheme, torch.device(choose_device(self.device)))


def synthesize(
    plan: Plan,
    photos: Photos,
    out: str | Path,
    settings: TrainingSettings,
    *,
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Train models into a store; what is there already is not made again.

    A model that diverges, or whose output is constant, is recorded, and the architecture's next seed takes its place,
    up to `SPARES` times.

    Parameters
    ----------
    plan : Plan
    photos : Photos
    out : str or Path
        The store.
    settings : TrainingSettings
    progress : callable, optional
        Called with how many models are done and how many there will be.
    engine : Engine, optional
        Where groups of models are trained, in the place of the plan's processes. By default here.

    Returns
    -------
    dict
        As `counts`, with ``made`` (models trained now) and ``seconds``.

    Raises
    ------
    InputError, DatasetError, StorageError
        As `StoreWriter`; and what `choose_device` and `choose_scheme` refuse. With the policy "ceiling" also where the
        first `TRIAL` groups and the store have no model under the ceiling, and more are to be trained.
    EngineError
        Some models could not be trained by other processes; all others were, and the store has them.
    """
    device = torch.device(choose_device(plan.device))
    scheme = choose_scheme(plan.scheme, device)
    together = plan.together or (5 if device.type == "cpu" else 20)
    start, made, groups = time.perf_counter(), 0, 0
    with StoreWriter(out, settings, photos.digest) as writer:
        pool = Pool(photos, settings, device)
        show = progress or (lambda done, total: None)
        lost: dict[ModelKey, MorelliError] = {}
        while jobs := [job for job in _jobs(plan, writer, together) if not lost.keys() & set(job)]:
            if settings.policy == "ceiling":
                jobs = _spread_first(jobs)
            there = _answered(plan, writer)
            total = there + sum(map(len, jobs))
            show(there, total)
            tell = partial(_tell, show, there, total)
            # Closed at once when the disk or the user stops the run, so that no process goes on.
            remote = engine if engine is not None and engine.remote else None
            if remote is None and plan.workers > 1 and len(jobs) > 1:
                remote = ProcessEngine(min(plan.workers, len(jobs)), _alone)
            if remote is not None:
                # What fails in a process of this machine would fail here, and ends the run as it would here.
                borne = EngineError if remote is engine else WorkerLostError
                found = _on_engine(jobs, remote, _Kit(photos, settings, str(device), scheme), tell, lost, borne)
            else:
                found = _trained(jobs, settings, pool, scheme, tell)
            with closing(found) as results:
                for trained in results:
                    writer.add(trained, pool.check)
                    made, groups = made + len(trained), groups + 1
                    if groups == TRIAL < len(jobs) and settings.policy == "ceiling":
                        _refuse_hopeless(writer.records.values(), settings)
        told = counts(plan.architectures, plan.seeds, writer.records)
    if lost:
        key, error = next(iter(lost.items()))
        raise EngineError(
            f"{len(lost)} models could not be trained; {made} others were, and are kept. {key.architecture_id}, seed "
            f"{key.seed}: {error.message}",
            argument="engine" if engine is not None and engine.remote else "workers",
            fix="The same command trains what is missing.",
        )
    return {**told, "made": made, "seconds": time.perf_counter() - start}


def counts(architectures: Sequence[Architecture], seeds: int, records: dict[ModelKey, Record]) -> dict[str, Any]:
    """What a store holds of what was asked.

    Returns
    -------
    dict
        ``asked``, ``kept``, ``floor_reached`` and ``floor_not_reached`` (of the kept), ``rejected``, ``replaced``
        (diverged), ``missing`` (asked and not to be had, the rejected included), and ``troubles``: reason → count.
    """
    ids = {each.id for each in architectures}
    mine = [record for record in records.values() if record.architecture in ids]
    status = Counter(record.status for record in mine)
    reached = sum(record.floor_reached for record in mine if record.status == "kept")
    had = Counter(record.architecture for record in mine if record.status == "kept")
    return {
        "asked": len(ids) * seeds,
        "kept": status["kept"],
        "floor_reached": reached,
        "floor_not_reached": status["kept"] - reached,
        "rejected": status["rejected"],
        "replaced": status["diverged"],
        "missing": sum(max(seeds - had[name], 0) for name in ids),
        "troubles": dict(Counter(record.trouble for record in mine if record.trouble)),
    }


def _tell(show: Progress, there: int, total: int, done: int) -> None:
    show(there + done, total)


def _answered(plan: Plan, writer: StoreWriter) -> int:
    ids = {each.id for each in plan.architectures}
    return sum(record.status != "diverged" and record.architecture in ids for record in writer.records.values())


def _jobs(plan: Plan, writer: StoreWriter, together: int) -> list[list[ModelKey]]:
    """Groups of keys to train next: the first seeds that were not tried, as many as the architecture lacks."""
    jobs: list[list[ModelKey]] = []
    for architecture in plan.architectures:
        tried = {key.seed: record for key, record in writer.records.items() if key.architecture_id == architecture.id}
        lacks = plan.seeds - sum(record.status != "diverged" for record in tried.values())
        untried = [seed for seed in range(plan.seeds + SPARES) if seed not in tried]
        keys = [ModelKey(architecture.id, seed) for seed in untried[: max(lacks, 0)]]
        jobs += [keys[at : at + together] for at in range(0, len(keys), together)]
    return jobs


def _spread_first(jobs: list[list[ModelKey]]) -> list[list[ModelKey]]:
    """The groups with `TRIAL` of them in front that are spread over all: neighbours are of like architectures."""
    if len(jobs) <= TRIAL:
        return jobs
    first = [round(number * (len(jobs) - 1) / (TRIAL - 1)) for number in range(TRIAL)]
    return [jobs[at] for at in first] + [job for at, job in enumerate(jobs) if at not in first]


def _refuse_hopeless(records: Collection[Record], settings: TrainingSettings) -> None:
    """End a run whose models are all above the ceiling."""
    errors = [record.mse for record in records if record.status == "rejected" and record.mse is not None]
    if not errors or any(record.status == "kept" for record in records):
        return
    raise InputError(
        f"none of the first {len(records)} models was kept: their errors after {settings.max_steps} steps are "
        f"{min(errors):.4f} to {max(errors):.4f}, and {settings.ceiling:g} is the ceiling.",
        argument="ceiling",
        fix="Name a new folder with a higher ceiling, more steps (--max-steps) or the policy floor; the same command "
        "tries some more.",
    )


def _trained(
    jobs: Sequence[list[ModelKey]],
    settings: TrainingSettings,
    pool: Pool,
    scheme: str,
    show: Callable[[int], None],
) -> Generator[list[Trained], None, None]:
    done = 0
    for job in jobs:
        yield train(job, pool, settings, scheme=scheme, progress=lambda n, before=done: show(before + n))
        done += len(job)


def _on_engine(
    jobs: Sequence[list[ModelKey]],
    engine: Engine,
    kit: _Kit,
    show: Callable[[int], None],
    lost: dict[ModelKey, MorelliError],
    borne: type[EngineError],
) -> Generator[list[Trained], None, None]:
    """Groups that an engine's workers trained; keys whose errors are ``borne`` go into ``lost`` and stop no other."""
    done = 0
    with closing(engine.map(_train_group, jobs, shared=kit, ordered=False)) as answers:
        for answer in answers:
            job = jobs[answer.index]
            if isinstance(answer.error, borne):
                lost.update(dict.fromkeys(job, answer.error))
                continue
            # Copies: what comes from Ray's memory may only be read, and goes with it.
            yield [
                replace(each, weights=_as_tensors({name: value.copy() for name, value in each.weights.items()}))
                for each in answer.get()
            ]
            done += len(job)
            show(done)


@dataclass(frozen=True)
class _Kit:
    """What every group is trained with; a worker cuts its crops from the photographs once."""

    photos: Photos
    settings: TrainingSettings
    device: str
    scheme: str

    @cached_property
    def pool(self) -> Pool:
        return Pool(self.photos, self.settings, torch.device(self.device))


def _train_group(kit: _Kit, keys: list[ModelKey]) -> list[Any]:
    """What a worker does; weights as numpy, which cross processes as bytes."""
    return _as_numpy(train(keys, kit.pool, kit.settings, scheme=kit.scheme))


def _alone() -> None:
    """Each process computes with one thread."""
    torch.set_num_threads(1)


def _as_tensors(weights: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(each) for name, each in weights.items()}


def _as_numpy(done: list[Any]) -> list[Any]:
    return [replace(each, weights={name: value.numpy() for name, value in each.weights.items()}) for each in done]
