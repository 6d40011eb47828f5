"""What the server stands: many clients, hostile files, and being killed.

::

    python benchmarks/serve.py                    # made-up pictures
    python benchmarks/serve.py FOLDER             # real ones, of FOLDER/visor and FOLDER/sdnext
    python benchmarks/serve.py --seconds 10 --hostile 100 --kills 3 --parts clients,hostile,killed

The server is the program itself, in a process of its own, with the default encoder and default limits but for the rate,
and listens on this machine alone. Parts, each a line of the table and a failure where something was wrong:

clients
    64 clients of eight tokens ask for a minute: verdicts, 503 with ``Retry-After`` and nothing else, and memory stays.
greedy
    63 clients of one token and one of another: the one is never refused.
hostile
    1,000 hostile files: each gets a verdict or is told what is wrong with it, within ten seconds, and no process takes
    more memory than the settings allow.
killed
    ``kill -9`` amid adds and batches, 20 times: nothing lost, nothing double, nothing left behind. Needs the page.

It reads memory from ``/proc``: Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import combine
from benchmarks.serving.hostile import LONGEST, besiege
from benchmarks.serving.killed import Ground, kill_again_and_again
from benchmarks.serving.load import FULL, GREEDY, Client, flat, form, load
from benchmarks.serving.program import PROGRAM, Program, Watch, serving, write_tokens

from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import Item

CLIENTS, CALLERS, QUERIES, ADDED = 64, 8, 16, 8
PARTS = ("clients", "greedy", "hostile", "killed")


@dataclass(frozen=True)
class Stage:
    """What all parts have.

    Attributes
    ----------
    scratch, gallery : Path
        A folder of this run's own, and the gallery that is asked.
    queries : sequence of Item
        Images that the gallery does not have.
    sound : sequence of bytes
        Files that hostile ones are made from.
    """

    scratch: Path
    gallery: Path
    queries: Sequence[Item]
    sound: Sequence[bytes]

    @property
    def bodies(self) -> list[bytes]:
        """A request for each query."""
        return [form([(item.path.name, item.path.read_bytes())]) for item in self.queries]


def prepare(scratch: Path, folder: Path | None) -> Stage:
    """A gallery of the default encoder, and queries that it does not have."""
    if folder is None:
        dataset, copies = read_dataset(write_dataset(scratch / "pictures", 3, 6, 3, 128)), 6
    else:
        dataset, copies = read_dataset(folder / "visor"), 72
    held_out = dataset.items[:: max(1, len(dataset.items) // QUERIES)][:QUERIES]
    references = combine(scratch / "references", [item for item in dataset.items if item not in held_out])
    gallery = scratch / "references.morelli"
    command = [*PROGRAM, "gallery", "add", str(gallery), str(references.root), "--copies", str(copies)]
    subprocess.run(command, check=True)
    more = [] if folder is None else sorted((folder / "sdnext").rglob("*.*g"))
    sound = [*(item.path for item in held_out), *[path for path in more if path.stat().st_size < 2**21][:8]]
    return Stage(scratch, gallery, held_out, [path.read_bytes() for path in sound])


def ready(program: Program, body: bytes, token: str) -> None:
    """Wait until the server has learnt what its gallery teaches, before the clock runs."""
    client = Client(program.url, token, 600)
    while client.post("/v1/identify", body)[0] == FULL:
        time.sleep(1)
    client.close()


def row(*cells: str) -> None:
    """A line of the table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def many_clients(stage: Stage, seconds: float) -> list[str]:
    """64 clients of eight tokens."""
    tokens = write_tokens(stage.scratch / "tokens", [f"caller{n}" for n in range(CALLERS)], "read")
    with serving(stage.gallery, "--tokens", stage.scratch / "tokens", "--no-page") as program:
        ready(program, stage.bodies[0], tokens["caller0"])
        with Watch(program.pid).watching() as watch:
            found = load(program.url, stage.bodies, CLIENTS, seconds, tokens=list(tokens.values()))
    middle, last, stays = flat(watch.curve)
    p50, p90, p99 = found.percentiles()
    row(f"{CLIENTS} clients of {CALLERS} tokens, {seconds:.0f} s",
        f"{found.seen[200] / seconds:.1f} verdicts a second, {found.seen[FULL]} × 503, no other"
        if not found.wrong else f"{dict(found.seen)}",
        f"p50 {p50:.2f} s, p90 {p90:.2f} s, p99 {p99:.2f} s",
        f"{middle:.0f} MiB in the middle third, {last:.0f} in the last")  # fmt: skip
    wrong = [*found.wrong, *([] if found.seen[200] else ["no verdict at all"])]
    return wrong if stays else [*wrong, f"memory grew from {middle:.0f} to {last:.0f} MiB"]


def greedy(stage: Stage, seconds: float) -> list[str]:
    """One who asks with 63 clients, and one who asks with one."""
    names = write_tokens(stage.scratch / "tokens", ["greedy", "modest"], "read")
    with serving(stage.gallery, "--tokens", stage.scratch / "tokens", "--no-page") as program:
        ready(program, stage.bodies[0], names["modest"])
        with ThreadPoolExecutor(2) as pool:
            ask = lambda who, count: pool.submit(  # noqa: E731
                load, program.url, stage.bodies, count, seconds, tokens=[names[who]], told=frozenset({FULL, GREEDY})
            )
            many, one = ask("greedy", CLIENTS - 1), ask("modest", 1)
            many, one = many.result(), one.result()
    row(f"{CLIENTS - 1} clients of one token and 1 of another, {seconds:.0f} s",
        f"the many: {many.seen[200]} verdicts, {many.seen[GREEDY]} × 429, {many.seen[FULL]} × 503; "
        f"the one: {one.seen[200]}, {one.seen[GREEDY]} and {one.seen[FULL]}",
        f"median of the many {many.percentiles()[0]:.2f} s, of the one {one.percentiles()[0]:.2f} s", "")  # fmt: skip
    refused = one.seen[GREEDY] + one.seen[FULL]
    wrong = [*many.wrong, *one.wrong, *([] if one.seen[200] else ["the one had no verdict"])]
    return [*wrong, f"the one was refused {refused} times"] if refused else wrong


def hostile(stage: Stage, count: int) -> list[str]:
    """Hostile files one by one."""
    names = write_tokens(stage.scratch / "tokens", ["one"], "read")
    with serving(stage.gallery, "--tokens", stage.scratch / "tokens", "--no-page") as program:
        ready(program, stage.bodies[0], names["one"])
        found = besiege(program, stage.sound, count, token=names["one"])
    told = ", ".join(f"{number} × {status}" for status, number in sorted(found.seen.items()))
    row(f"{count} hostile files", told, f"slowest {found.slowest:.1f} s of {LONGEST:.0f}",
        f"server {found.before:.0f} MiB before, at most {found.server:.0f}; a decoding process at most "
        f"{found.decoder:.0f}")  # fmt: skip
    return found.wrong


def killed(stage: Stage, kills: int) -> list[str]:
    """``kill -9`` amid adds and batches."""
    token = write_tokens(stage.scratch / "tokens", ["one"])["one"]
    audit = stage.scratch / "audit.jsonl"
    audit.touch()
    folder = write_dataset(stage.scratch / "added", models=kills + 2, prompts=1, seeds=ADDED, size=128, seed=7)
    adds: dict[str, list[Path]] = {}
    for item in read_dataset(folder).items:
        adds.setdefault(f"new-{item.model}", []).append(item.path)
    options = ["--tokens", stage.scratch / "tokens", "--audit", audit, "--page"]
    batch = [(item.path.name, item.path.read_bytes()) for item in stage.queries[:4]]
    ground = Ground(
        lambda: serving(f"own={stage.gallery}", *options), stage.gallery, audit, "own", token,
        form(batch, {"stability": "false"}), len(batch),
    )  # fmt: skip
    found = kill_again_and_again(ground, list(adds.items()))
    row(f"kill -9 amid adds and batches, {found.kills} times",
        f"{found.before} adds not made, {found.after} made; {found.answers} images answered; "
        f"{len(found.wrong)} lost, double or left behind", f"an add takes {found.span:.2f} s", "")  # fmt: skip
    return found.wrong


def main() -> None:
    """Run the parts that are asked for, one after the other, each with a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="holds visor and sdnext; made-up pictures without it")
    parser.add_argument("--seconds", type=float, default=60.0, help="of clients and greedy")
    parser.add_argument("--hostile", type=int, default=1000, help="hostile files")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas between")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if not set(parts) <= set(PARTS) or min(given.seconds, given.hostile, given.kills) < 1:
        parser.error(f"parts are {', '.join(PARTS)}, and numbers 1 or more")
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        stage = prepare(Path(scratch), given.folder)
        print("| what | answers | seconds | memory |\n| --- | --- | --- | --- |", flush=True)
        for part in parts:
            if part in ("clients", "greedy"):
                found = (many_clients if part == "clients" else greedy)(stage, given.seconds)
            else:
                found = hostile(stage, given.hostile) if part == "hostile" else killed(stage, given.kills)
            wrong += [f"{part}: {each}" for each in found]
    if wrong:
        raise SystemExit("\n".join(["WRONG:", *wrong[:20]]))


if __name__ == "__main__":
    main()
