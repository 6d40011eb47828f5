"""What large galleries cost: adding, opening and identifying, beside FAISS and scikit-learn, in one run.

::

    python benchmarks/scale.py --references 100000 1000000 --out out/scale

Embeddings are made up: clusters, one a model, with a smaller shift for each prompt. What is measured is time and
memory; accuracy stands beside it to show that all systems answered the same question. Each stage runs in a process of
its own, whose peak memory is told, and adds its lines to ``OUT/scale.jsonl``; stages that are there are not run again.
A stage that outlasts ``--limit``, or takes more memory than ``--memory``, is ended and told as such.

Needs ``pip install faiss-cpu scikit-learn`` beside Morelli.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.gallery.store import Gallery
from morelli.images.load import from_array
from morelli.types import EncoderStamp, Reference

#: References that one add brings: as many as a team makes in a night.
BATCH = 20_000
QUERIES = 40
NEAREST = 10
PROMPTS = 50


@dataclass(frozen=True)
class Case:
    """One size: how many references, of how many models, how wide their embeddings are, and where all of it lies."""

    references: int
    models: int
    dims: int
    out: Path

    @property
    def stamp(self) -> EncoderStamp:
        half = self.dims // 2
        return EncoderStamp("made-up", "1", "none", {"first": half, "second": self.dims - half})

    @property
    def gallery(self) -> Path:
        return self.out / f"gallery-{self.references}-{self.models}-{self.dims}"

    def draw(self, numbers: NDArray[np.int64], stream: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Embeddings of shape (n, dims) and models of some rows; another stream gives other images."""
        models, prompts = numbers % self.models, numbers // self.models % PROMPTS
        habits = np.random.default_rng(1).normal(0, 1, (self.models, self.dims)).astype(np.float32)
        scenes = np.random.default_rng(2).normal(0, 0.7, (PROMPTS, self.dims)).astype(np.float32)
        noise = np.random.default_rng([3, stream, int(numbers[0])])
        own = noise.standard_normal((len(numbers), self.dims), dtype=np.float32)
        return habits[models] + scenes[prompts] + own, models

    def parts(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]]:
        """The references, a batch at a time: numbers, embeddings, models."""
        for start in range(0, self.references, BATCH):
            numbers = np.arange(start, min(start + BATCH, self.references))
            yield numbers, *self.draw(numbers, 0)

    def queries(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Embeddings that no reference has, and the models that made them."""
        return self.draw(np.arange(QUERIES, dtype=np.int64) * 7919 % self.references, 1)

    def all(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Every reference in one array, for those systems that take one."""
        x, y = np.empty((self.references, self.dims), np.float32), np.empty(self.references, np.int64)
        for numbers, vectors, models in self.parts():
            x[numbers], y[numbers] = vectors, models
        return x, y


class QueryEncoder:
    """Reads a query's number from a picture's first pixels and gives the embedding of that number."""

    def __init__(self, case: Case) -> None:
        self.stamp = case.stamp
        self.vectors = case.queries()[0]

    def prepare(self, pixels: NDArray[np.uint8]) -> int:
        return int(pixels[0, 0, 0]) * 256 + int(pixels[0, 0, 1])

    def encode(self, prepared: Sequence[int]) -> Mapping[str, NDArray[np.float32]]:
        x = self.vectors[list(prepared)]
        half = self.stamp.dims["first"]
        return {"first": x[:, :half].copy(), "second": x[:, half:].copy()}


def picture(number: int) -> Any:
    """A picture that stands for a query."""
    pixels = np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)
    pixels[0, 0, :2] = number // 256, number % 256
    return from_array(pixels, name=f"query {number}")


def reference(case: Case, number: int, model: int) -> Reference:
    """What a gallery would know of an image."""
    name = f"model-{model:04d}"
    prompt = number // case.models % PROMPTS
    digest = hashlib.sha256(b"%d" % number).hexdigest()
    return Reference(
        digest, digest, f"{number}.png", name, name, f"p{prompt:03d}", f"prompt {prompt}", number, "", "", 64, 64
    )


@dataclass
class Watch:
    """Times what it is wrapped around: by the clock, and in this process's own seconds of processor, all threads."""

    wall: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)

    def __enter__(self) -> None:
        self.wall.append(time.perf_counter())
        self.own.append(time.process_time())

    def __exit__(self, *_: object) -> None:
        self.wall[-1] = time.perf_counter() - self.wall[-1]
        self.own[-1] = time.process_time() - self.own[-1]

    def a_query(self, skip: int = 0) -> dict[str, float]:
        """Medians, ms."""
        wall, own = (1000 * float(np.median(times[skip:])) for times in (self.wall, self.own))
        return {"ms_a_query": wall, "cpu_ms_a_query": own}

    def total(self, first: int | None = None) -> dict[str, float]:
        """Sums, s."""
        return {"seconds": sum(self.wall[:first]), "cpu_seconds": sum(self.own[:first])}


Stage = Callable[[Case], Iterator[dict[str, Any]]]


def add(case: Case) -> Iterator[dict[str, Any]]:
    """A gallery filled in commits of `BATCH`; an interrupted one goes on, for what is there is not added again."""
    gallery, half, watch = Gallery.open_or_create(case.gallery), case.dims // 2, Watch()
    for numbers, x, models in case.parts():
        known = [reference(case, int(n), int(m)) for n, m in zip(numbers, models, strict=True)]
        vectors = {"first": x[:, :half], "second": x[:, half:]}
        with watch:
            gallery.add(known, [None] * len(known), vectors, case.stamp)
    size = sum(file.stat().st_size for file in case.gallery.rglob("*") if file.is_file())
    yield {
        "system": "morelli gallery",
        **watch.total(),
        "first_add": watch.own[0],
        "last_add": watch.own[-1],
        "references": len(gallery),
        "disk_mb": size / 1e6,
    }


def identify(method: str, again: bool) -> Stage:
    """Verdicts one by one, as ``morelli identify`` and the server make them."""

    def stage(case: Case) -> Iterator[dict[str, Any]]:
        from morelli.identify import Identifier
        from morelli.types import Verdict

        watch, network, right = Watch(), QueryEncoder(case), 0
        asked = Identifier(
            case.gallery,
            method=method,
            encoder=network,
            stability=False,
            claims=False,
            keep=False,
            cache=case.out / f"cache-{case.gallery.name}",
        )
        for number, model in enumerate(case.queries()[1]):
            query = picture(number)
            with watch:
                (verdict,) = asked.identify([query])
            if not isinstance(verdict, Verdict):
                raise verdict.error
            right += verdict.ranking[0].model == f"model-{model:04d}"
        yield {
            "system": f"morelli identify, {method}" + (", learnt before" if again else ""),
            **watch.total(1),  # the first verdict: the gallery is read and learnt from
            **watch.a_query(1),
            "top1": right / QUERIES,
        }

    return stage


def faiss_flat(case: Case) -> Iterator[dict[str, Any]]:
    """FAISS's exact index: nearest references, and the model of the nearest."""
    faiss: Any = import_module("faiss")  # the benchmark's own need, installed by hand
    x, y = case.all()
    making, asking, found = Watch(), Watch(), []
    with making:
        index = faiss.IndexFlatL2(case.dims)
        index.add(x)
    queries, truth = case.queries()
    for query in queries:
        with asking:
            found.append(index.search(query[None], NEAREST)[1][0])
    np.save(case.out / f"nearest-{case.gallery.name}.npy", np.array(found))
    top1 = float((y[[row[0] for row in found]] == truth).mean())
    yield {"system": "faiss flat", **making.total(), **asking.a_query(), "top1": top1}


def nearest_centroid(case: Case) -> Iterator[dict[str, Any]]:
    """scikit-learn's NearestCentroid."""
    from sklearn.neighbors import NearestCentroid

    x, y = case.all()
    making, asking, right = Watch(), Watch(), 0
    with making:
        fitted = NearestCentroid().fit(x, y)
    queries, truth = case.queries()
    for query, model in zip(queries, truth, strict=True):
        with asking:
            said = fitted.predict(query[None])[0]
        right += int(said == model)
    yield {
        "system": "scikit-learn NearestCentroid",
        **making.total(),
        **asking.a_query(),
        "top1": right / QUERIES,
    }


def lance_index(case: Case) -> Iterator[dict[str, Any]]:
    """Nearest references by Lance itself: reading all, and with an index in a copy of the column alone."""
    import lance
    import pyarrow as pa

    source = lance.dataset(str(case.gallery / "references.lance"))
    column = next(name for name in source.schema.names if name.startswith("vectors_"))
    field = pa.field("vector", pa.list_(pa.float32(), case.dims))
    where = case.out / f"index-{case.gallery.name}.lance"
    schema = pa.schema([pa.field("number", pa.int64()), field])
    lance.write_dataset(_numbered(source, column, schema), str(where), schema=schema, mode="overwrite")
    copy = lance.dataset(str(where))
    exact = np.load(case.out / f"nearest-{case.gallery.name}.npy")
    yield {"system": "lance, no index", **Watch().total(), **_ask(copy, case, exact, {})}
    partitions = max(16, round(case.references**0.5 / 2))
    kinds: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("IVF_PQ", {"num_sub_vectors": case.dims // 8}, {"nprobes": 20, "refine_factor": 10}),
        ("IVF_HNSW_SQ", {}, {"nprobes": 20, "refine_factor": 2, "ef": 100}),
    ]
    for kind, options, asked in kinds:
        watch = Watch()
        with watch:
            made = copy.create_index("vector", index_type=kind, num_partitions=partitions, replace=True, **options)
        asking = _ask(made, case, exact, asked)
        yield {"system": f"lance, {kind}", **watch.total(), "partitions": partitions, **asking}
        copy = lance.dataset(str(where))


def _numbered(source: Any, column: str, schema: Any) -> Iterator[Any]:
    import pyarrow as pa

    for batch in source.to_batches(columns=["seed", column]):
        numbers = pa.array([int(text) for text in batch["seed"].to_pylist()], pa.int64())
        yield pa.record_batch([numbers, batch[column].cast(schema.field("vector").type)], schema=schema)


def _ask(dataset: Any, case: Case, exact: NDArray[np.int64], options: dict[str, Any]) -> dict[str, Any]:
    queries, truth = case.queries()
    watch, hits, right = Watch(), 0, 0
    for query, wanted, model in zip(queries, exact, truth, strict=True):
        near = {"column": "vector", "q": query, "k": NEAREST, **options}
        with watch:
            found = dataset.to_table(columns=["number"], nearest=near)["number"].to_pylist()
        hits += len(set(found) & set(wanted.tolist()))
        right += found[0] % case.models == model
    recall = hits / (NEAREST * len(queries))
    return {**watch.a_query(), "recall_at_10": recall, "top1": right / QUERIES}


STAGES: dict[str, Stage] = {
    "add": add,
    "faiss": faiss_flat,
    "sklearn": nearest_centroid,
    "euclid": identify("euclid", False),
    "euclid-again": identify("euclid", True),
    "fused": identify("fused", False),
    "fused-again": identify("fused", True),
    "lance": lance_index,
}


def run_stage(case: Case, name: str, limit: float, memory: float) -> list[dict[str, Any]]:
    """One stage in a process of its own: its lines, or one that says how it ended.

    Parameters
    ----------
    limit : float
        Seconds.
    memory : float
        GiB that it may take; watched where there is ``/proc``.
    """
    here = [sys.executable, __file__, "--stage", name, "--references", str(case.references), "--out", str(case.out)]
    given = [*here, "--models", str(case.models), "--dims", str(case.dims)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(given, stdout=out, stderr=err)
        try:
            failed = _watched(process, limit, memory)
        finally:
            process.kill()
            process.wait()
        for file in (out, err):
            file.seek(0)
        rows = [json.loads(line) for line in out if line.startswith("{")]
        if failed is None and process.returncode:
            failed = (err.read().strip() or f"exit status {process.returncode}").splitlines()[-1][:300]
    return rows if failed is None else [*rows, {"system": name, "failed": failed}]


def _watched(process: subprocess.Popen[bytes], limit: float, memory: float) -> str | None:
    """Wait for a process; why it must be ended, or None where it ends by itself."""
    until = time.monotonic() + limit
    while process.poll() is None:
        if time.monotonic() > until:
            return f"not done after {limit:g} s"
        if resident(process.pid) > memory * 2**30:
            return f"took more than {memory:g} GiB"
        time.sleep(0.05)
    return None


def resident(pid: int) -> int:
    """Bytes that a process has in memory; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def show(row: Mapping[str, Any]) -> None:
    """One line of the table."""
    size = f"{row['size']:>9}  {row['system']:<38}"
    if "failed" in row:
        print(f"{size}  {row['failed']}")
        return
    words = [f"{row['seconds']:8.2f} s ({row['cpu_seconds']:8.2f} of processor)"]
    if "ms_a_query" in row:
        words.append(f"{row['ms_a_query']:8.2f} ms a query ({row['cpu_ms_a_query']:8.2f})")
    words.append(f"{row['peak_mb']:6.0f} MB")
    more = ("top1", "recall_at_10", "first_add", "last_add", "disk_mb")
    words += [f"{name} {row[name]:.3g}" for name in more if name in row]
    print(size, *words)


def main() -> None:
    """Run what is missing and print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="not read: `make bench` names its folder to every benchmark")
    parser.add_argument("--references", type=int, nargs="+", default=[100_000])
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--dims", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("out/scale"))
    parser.add_argument("--stages", default=",".join(STAGES), help="with commas between")
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds a stage may take")
    parser.add_argument("--memory", type=float, default=8.0, help="GiB a stage may take")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = set(given.stages.split(",")) - set(STAGES)
    if unknown or min(given.references) < given.models * 2 or given.dims < 16 or given.models < 2:
        parser.error(f"no such stage: {', '.join(unknown)}" if unknown else "too few references, models or dimensions")
    given.out.mkdir(parents=True, exist_ok=True)
    cases = [Case(count, given.models, given.dims, given.out) for count in given.references]
    if given.stage:
        for row in STAGES[given.stage](cases[0]):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
            print(json.dumps({**row, "peak_mb": peak}), flush=True)
        return
    journal = given.out / "scale.jsonl"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {given.models} models, {given.dims} dimensions")
    for case in cases:
        for name in given.stages.split(","):
            key = {"stage": name, "size": case.references, "models": case.models, "dims": case.dims}
            lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
            rows = [json.loads(line) for line in lines]
            known = [row for row in rows if all(row.get(k) == v for k, v in key.items())]
            if not known or any("failed" in row for row in known):
                rows = [row for row in rows if row not in known]
                known = [{**key, **row} for row in run_stage(case, name, given.limit, given.memory)]
                part = journal.with_suffix(".part")
                part.write_text("".join(json.dumps(row) + "\n" for row in rows + known), encoding="utf-8")
                part.replace(journal)
            for row in known:
                show(row)


if __name__ == "__main__":
    main()
