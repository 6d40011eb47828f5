"""D(i) at paper 000's full size, beside scikit-learn's NearestNeighbors.

::

    python benchmarks/exposure.py [PROMPTS] [--threads 1]

280 prompts × 22 models × 30 images × 1280 numbers (float32), made up: a centre for each prompt and model, and noise.
Both sides see the same points in the same run, prompt by prompt in turns, so that a busy machine slows both alike;
BLAS and OpenMP have the same number of threads for either. Prints that number, the time of each (wall clock and
processor), their ratio, how many neighbours are the same, and the peak memory; then what the rest of an audit by the
published rule takes on the same points with 15 references a model, what is foretold first.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_info, threadpool_limits

from morelli._audit.attacks import plan_attacks
from morelli._audit.measured import measure
from morelli.exposure.neighbours import nearest
from morelli.exposure.separability import separability
from morelli.types import LabelledEmbeddings

PROMPTS, MODELS, IMAGES, DIMS = 280, 22, 30, 1280
# References a model, so that as many images judge what is foretold; what an audit's attacks are for.
REFERENCES = 15
ATTACKS = {
    "expected accuracy and accuracy of all prompts": ("main", "inner"),
    "accuracy against k": ("k",),
    "accuracy against the pool": ("pool",),
}


def cells(prompts: int) -> Iterator[np.ndarray]:
    """Points of one prompt after another, shape (660, 1280), at unit length."""
    rng = np.random.default_rng(0)
    common = 2 * rng.standard_normal(DIMS)
    for _ in range(prompts):
        centres = common + rng.standard_normal(DIMS) + 0.16 * rng.standard_normal((MODELS, DIMS))
        x = np.repeat(centres, IMAGES, axis=0) + 0.8 * rng.standard_normal((MODELS * IMAGES, DIMS))
        yield (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def clock() -> np.ndarray:
    """Wall-clock and processor seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def peak() -> float:
    """Largest memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", nargs="?", type=int, default=PROMPTS, help=f"how many; {PROMPTS} by default")
    parser.add_argument("--threads", type=int, default=1, help="of each pool of threads, on both sides; 1 by default")
    asked = parser.parse_args()
    if min(asked.prompts, asked.threads) < 1:
        parser.error("prompts and --threads must be 1 or more")
    with threadpool_limits(limits=asked.threads):
        compare(asked.prompts)


def threads() -> str:
    """The pools of threads that were found, each with its number: "blas 1, openmp 1"."""
    pools = {(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()}
    return ", ".join(f"{name} {count}" for name, count in sorted(pools))


def compare(prompts: int) -> None:
    """Measure both and print."""
    n = prompts * MODELS * IMAGES
    x = np.empty((n, DIMS), dtype=np.float32)
    ours, theirs, same = np.zeros(2), np.zeros(2), 0
    warm = np.random.default_rng(1).standard_normal((MODELS * IMAGES, DIMS)).astype(np.float32)
    nearest(warm)
    NearestNeighbors(n_neighbors=1).fit(warm).kneighbors(return_distance=False)
    for number, points in enumerate(cells(prompts)):
        start = clock()
        found = nearest(points)
        middle = clock()
        wanted = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)[:, 0]
        theirs += clock() - middle
        ours += middle - start
        same += int((found.index == wanted).sum())
        x[number * len(points) : (number + 1) * len(points)] = points
    print(f"{prompts} prompts × {MODELS} models × {IMAGES} images × {DIMS} numbers; threads: {threads()}")
    for name, took in (("morelli", ours), ("scikit-learn", theirs)):
        print(f"{name:<13} {took[0]:7.1f} s wall clock  {took[1]:7.1f} s processor")
    print(f"ratio         {theirs[0] / ours[0]:7.2f}               {theirs[1] / ours[1]:7.2f}")
    print(f"identical neighbours: {same} of {n}")
    models = np.tile(np.repeat([f"m{j:02}" for j in range(MODELS)], IMAGES), prompts)
    names = np.repeat([f"p{i:03}" for i in range(prompts)], MODELS * IMAGES)
    before, start = peak(), clock()
    data = LabelledEmbeddings({"v": x}, models, names, models)
    found = separability(data)
    took = clock() - start
    print(f"frac and D(i) of all prompts: {took[0]:.1f} s wall clock, {took[1]:.1f} s processor")
    print(f"mean D(i) at τ = 0.5: {found.d().mean():.3f}")
    print(
        f"peak memory: {peak():.0f} MiB, of which {x.nbytes / 2**20:.0f} MiB embeddings; {before:.0f} MiB before D(i)"
    )
    attack(data)
    print(f"peak memory with the attacks: {peak():.0f} MiB")


def attack(data: LabelledEmbeddings) -> None:
    """Run an audit's attacks by the published rule and print what each kind took."""
    plan = plan_attacks(data, REFERENCES, 0)
    for name, kinds in ATTACKS.items():
        part = tuple(each for each in plan.attacks if each.kind in kinds)
        start = clock()
        found = measure("euclid", data, replace(plan, attacks=part))
        took = clock() - start
        print(f"{name}: {len(found.hit):,} answers in {took[0]:.1f} s wall clock, {took[1]:.1f} s processor")


if __name__ == "__main__":
    main()
