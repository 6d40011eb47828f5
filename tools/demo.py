"""The main job on a dataset: make a gallery from most of it, identify a few held-out images, show how it went.

    python tools/demo.py DATASET [--out out/demo] [--queries 14]

Every step is a command of ``morelli`` and is printed before it runs. No held-out image, and no copy of one, is among
the references.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from morelli.errors import DatasetError, MorelliError
from morelli.images.dataset import read_dataset
from morelli.types import Item

PROMPTS_HELD_OUT = 2


def _order(item: Item) -> tuple[str, int, str]:
    return item.model, -1 if item.seed is None else item.seed, item.name


def _take(groups: Iterable[Sequence[Item]], count: int) -> list[Item]:
    """The last item of each group, every model in turn, up to ``count``."""
    by_model: dict[str, list[Item]] = defaultdict(list)
    for group in groups:
        by_model[group[-1].model].append(group[-1])
    rounds = max((len(items) for items in by_model.values()), default=0)
    turns = [items[i] for i in range(rounds) for _, items in sorted(by_model.items()) if i < len(items)]
    return sorted(turns[:count], key=lambda item: (item.prompt_id, *_order(item)))


def split(items: Sequence[Item], count: int) -> tuple[list[Item], list[Item], bool]:
    """References and queries.

    Where most prompts have several images of a model, the last seed of the last prompts is held out; where they have
    one, the last prompt is, with all its images; where no prompt is known, the last image of each model.

    Returns
    -------
    references, queries : list of Item
    same_prompt : bool
        Whether the references hold other images of the queries' prompts.

    Raises
    ------
    DatasetError
        Fewer than two models, or nothing that can be held out.
    """
    if len({item.model for item in items}) < 2:
        raise DatasetError("a demonstration needs images of two models at least.", argument="DATASET")
    groups: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in sorted(items, key=_order):
        groups[item.prompt_id, item.model].append(item)
    prompts = sorted({prompt for prompt, _ in groups})
    several = {key: group for key, group in groups.items() if len(group) > 1}
    same_prompt = len(several) * 2 >= len(groups)
    if same_prompt:
        queries = _take((g for (p, _), g in several.items() if p in prompts[-PROMPTS_HELD_OUT:]), count)
        left_out = {item.name for item in queries}
    else:
        last = [group for (prompt, _), group in groups.items() if prompt == prompts[-1]]
        queries = _take(last, count)
        left_out = {item.name for group in last for item in group}
    references = [item for item in items if item.name not in left_out]
    if not queries or len({item.model for item in references}) < 2:
        raise DatasetError("too few images to hold some out.", argument="DATASET", fix="Add images of each model.")
    return references, queries, same_prompt and prompts != [""]


def without_copies(references: Sequence[Item], queries: Sequence[Item]) -> list[Item]:
    """The references whose file is not, byte for byte, one of the queries."""
    sizes = {item.path.stat().st_size for item in queries}
    held_out = {hashlib.sha256(item.path.read_bytes()).digest() for item in queries}
    return [
        item
        for item in references
        if item.path.stat().st_size not in sizes or hashlib.sha256(item.path.read_bytes()).digest() not in held_out
    ]


def write_references(references: Sequence[Item], folder: Path) -> None:
    """A dataset of links to the references; it is complete once its metadata file is there."""
    rows = []
    for item in references:
        link = folder / item.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(item.path.resolve())
        known = {"file_name": item.name, "model": item.model, "family": item.family, "prompt_id": item.prompt_id}
        known |= {"prompt": item.prompt, "seed": item.seed, "source": item.source, "licence": item.licence}
        rows.append(json.dumps({key: value for key, value in known.items() if value not in ("", None)}))
    (folder / "metadata.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def place_for(out: Path, references: Sequence[Item], root: Path) -> Path:
    """A folder of its own for this set of references, so that a gallery never holds a later run's queries."""
    digest = hashlib.sha256("\n".join(sorted(str(item.path.resolve()) for item in references)).encode())
    return out / f"{root.resolve().name}-{digest.hexdigest()[:8]}"


def summarise(verdicts: Sequence[dict[str, Any]], truth: dict[str, str]) -> list[str]:
    """A line for each verdict, then how many were right.

    Parameters
    ----------
    verdicts : sequence of dict
        Objects of schema ``morelli.verdict/1`` or ``morelli.error/1``.
    truth : dict of str to str
        Image → the model that made it.
    """
    lines, first, decided, right, failed = [], 0, 0, 0, 0
    width = max((len(model) for model in truth.values()), default=0)
    for verdict in verdicts:
        name = truth[verdict["image"]]
        if "ranking" not in verdict:
            failed += 1
            lines.append(f"  {name:{width}}  failed: {verdict['message']}")
            continue
        top = verdict["ranking"][0]
        first += top["model"] == name
        decided += verdict["decision"] not in ("unsure", "none")
        right += verdict["decision"] == name
        mark = "ok   " if top["model"] == name else "WRONG"
        lines.append(f"  {name:{width}}  {mark} {top['model']} ({top['probability']:.2f}), says: {verdict['decision']}")
    chance = 1 / max(len({r["model"] for v in verdicts for r in v.get("ranking", ())}), 1)
    lines.append(
        f"{first} of {len(verdicts)} held-out images have their model in first place (by chance: "
        f"{chance * len(verdicts):.1f}); {decided} decisions, {right} of them right"
        + (f"; {failed} failed." if failed else ".")
    )
    return lines


def run_morelli(
    arguments: Sequence[str], *, capture: bool = False, shown: Sequence[str] | None = None
) -> tuple[int, str]:
    """Run a command of the program beside this interpreter; what it prints on stdout where ``capture`` is set.

    Parameters
    ----------
    shown : sequence of str, optional
        Printed in place of the arguments.
    """
    line = shlex.join(arguments if shown is None else shown)
    print(f"\n$ morelli {line if len(line) < 300 else line[:300] + ' …'}", flush=True)
    program = str(Path(sys.executable).with_name("morelli"))
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE if capture else None, text=True)
    return done.returncode, done.stdout or ""


def identify(queries: Sequence[Item], gallery: Path, with_prompt: bool) -> tuple[int, list[dict[str, Any]]]:
    """The verdicts of the queries, one call for each prompt; the worst exit status."""
    by_prompt: dict[str, list[Item]] = defaultdict(list)
    for item in queries:
        by_prompt[(item.prompt or item.prompt_id) if with_prompt else ""].append(item)
    status, verdicts = 0, []
    for prompt, items in by_prompt.items():
        options = ["--gallery", str(gallery), *(["--prompt", prompt] if prompt else [])]
        if not verdicts:
            code, _ = run_morelli(["identify", str(items[0].path), *options])
            status = max(status, code)
        code, text = run_morelli(["identify", *(str(item.path) for item in items), *options, "--json"], capture=True)
        status = max(status, code)
        verdicts += [json.loads(line) for line in text.splitlines()]
    return status, verdicts


def run(folder: Path, out: Path, count: int) -> int:
    """The whole demonstration; its exit status.

    Raises
    ------
    MorelliError
        The folder is no dataset, or one that leaves nothing to hold out.
    """
    dataset = read_dataset(folder)
    references, queries, same_prompt = split(dataset.items, count)
    references = without_copies(references, queries)
    place = place_for(out, references, dataset.root)
    models = Counter(item.model for item in references)
    print(f"{folder}: {len(references)} references of {len(models)} models, {len(queries)} images held out.")
    write_references(references, place / "references")
    gallery = place / "gallery.morelli"
    status, _ = run_morelli(["gallery", "add", str(gallery), str(place / "references")])
    if status:
        return status
    status, verdicts = identify(queries, gallery, same_prompt)
    print()
    print("\n".join(summarise(verdicts, {str(item.path): item.model for item in queries})))
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description="Identify held-out images of a dataset.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    parser.add_argument("--queries", type=int, default=14, help="how many images to hold out")
    given = parser.parse_args()
    try:
        return run(given.dataset, given.out, given.queries)
    except MorelliError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
