"""The ablations of paper 002's tables II–VII, one fixed budget a row.

::

    python -m benchmarks.fingerprint STORE --photos DIR --dataset DATASET [--dataset ...] --out DIR
        [--minutes 10] [--rows III,VI] [--slots 24] [--list]

Every row trains an extractor for the same processor time and is measured on datasets that no training saw:
identification with 10 references a model, and verification. Pictures of the models, spectra, weights and embeddings
are kept in DIR; an interrupted run goes on with the next call. The rows are in DIR/rows.jsonl, the table in
DIR/table.md. Table II, which needs no training, comes first (DIR/table-ii.json, DIR/table-ii.md): distances of the
models' spectra to each dataset's with each option of the synthesis taken away, as ``morelli synthesize compare``. Crops
have 128 pixels a side, of a dataset with smaller pictures as many as those have; a dataset whose pictures are too small
for it is named below the table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from benchmarks.fingerprint import fidelity
from benchmarks.fingerprint.ablation import Bench, markdown
from benchmarks.fingerprint.rows import all_rows

from morelli.fingerprint.learn.settings import LearnSettings
from morelli.fingerprint.windows import SIDE
from morelli.images.dataset import read_dataset
from morelli.synthesis.photos import read_photos
from morelli.synthesis.store import Store

MOST_MINUTES = 15.0


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fingerprint", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0, help="of processor time for each row's training")
    parser.add_argument("--rows", default="", help="tables or names of rows, with commas between them")
    parser.add_argument("--slots", type=int, default=24, help="pictures of each model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="print the rows and stop")
    asked = parser.parse_args(arguments)
    if not 0 < asked.minutes <= MOST_MINUTES:
        parser.error(f"--minutes must be above 0 and at most {MOST_MINUTES:g}")
    store = Store(asked.store)
    keys = store.keys
    rows = all_rows(len({key.architecture_id for key in keys}), len({key.seed for key in keys}))
    wanted = {part.strip() for part in asked.rows.split(",") if part.strip()}
    unknown = wanted - {row.table for row in rows} - {row.name for row in rows} - {fidelity.TABLE}
    if unknown:
        parser.error(f"no row or table is called {', '.join(sorted(unknown))}; --list shows them")
    rows = [row for row in rows if not wanted or wanted & {row.table, row.name}]
    spectra = not wanted or fidelity.TABLE in wanted
    if asked.list:
        if spectra:
            print(f"{fidelity.TABLE}\tfidelity and diversity")
        print("\n".join(f"{row.table or '-'}\t{row.name}" for row in rows))
        return
    torch.set_num_threads(1)  # processor time is then the training's own
    settings = LearnSettings(slots=asked.slots, seed=asked.seed)
    photos = read_photos(asked.photos, SIDE + 2 * settings.margin_px)
    asked.out.mkdir(parents=True, exist_ok=True)
    datasets = [read_dataset(folder) for folder in asked.dataset]
    if spectra:
        print(f"== {fidelity.TABLE}", file=sys.stderr, flush=True)
        told = fidelity.markdown(fidelity.fidelity(store, photos, datasets, asked.out))
        (asked.out / "table-ii.md").write_text(told, encoding="utf-8")
        print(told)
    bench = Bench(store, photos, datasets, asked.out, asked.minutes, settings)
    lines, table = [], ""
    for row in rows:
        print(f"== {row.table} {row.name}", file=sys.stderr, flush=True)
        lines.append(bench.row(row))
        table = markdown(lines, [data.root.name for data in datasets])
        (asked.out / "table.md").write_text(table, encoding="utf-8")
    print(table, end="")


if __name__ == "__main__":
    main()
