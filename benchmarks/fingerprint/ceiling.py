"""How far the zero-shot extractor is from one that has seen the test models' own images (paper 002, "Fine-tune").

::

    python -m benchmarks.fingerprint.ceiling DATASET --out DIR [--weights FILE] [--minutes 5] [--models CSV] [--seed 0]
        [--rate 5e-4] [--maps]

Three extractors, of which the fine-tuned ones begin with the weights of the first:

- *zero-shot*: the shipped one of the median's residual, or that of ``--weights``, as it is;
- *fine-tuned on other models, one epoch*: after the published recipe, as many steps as nine windows of each image of
  half of the models are, at 1e-4 (windows are drawn, so that each is seen once on average), tested on the other half.
  Families stay whole. What the halves may share is prompts and, where families share one, a decoder;
- *fine-tuned on these models*: images of half of the prompts of all models, for ``--minutes`` of processor time, tested
  on the other half of the prompts. It is the ceiling of this network, this recipe and these few images, and no bound:
  more images could lift it.

Both designs have two folds that change places, so that every image is tested once by each, and never by an extractor
that was trained on it. Zero-shot is measured beside each on the very same images, queries, references and pairs; its
figures differ between the designs because candidates and references do, so only differences inside one design say what
training did. Each stands with the features alone (``mean``) and with all vectors that the encoder gives by default; of
these ``input`` is the spectrum, which no training changes.

Measured are identification (cosine, 10 references or all images but one), any-prompt (cosine and ``lda``) and
verification (cosine). Half of the prompts may be few images of a model, so that identification has few queries: then
any-prompt, where every image is a query, is the surer figure. ``lda`` learns from images as they are, without the
degraded copies that ``morelli evaluate`` adds.

How the folds are put together: each image is a query of one fold, so that hits are pooled query by query and intervals
are by bootstrap over prompts, as everywhere in `morelli.evaluation`; differences are paired. Scores of two networks
have no common scale, so pairs are not pooled: the area under the curve is the mean of the folds', and each fold's own
interval (over models) stands beside it. No interval holds how another training, or another cut, would come out.

Pictures, spectra, weights and embeddings are kept in DIR; an interrupted run goes on with the next call. The rows are
in DIR/rows.jsonl, all figures in DIR/ceiling.json, the table in DIR/ceiling.md. ``--maps`` draws the fingerprints of
some models by t-SNE before (DIR/zero-shot.png) and after they were learnt from (DIR/ceiling.png): images of the prompts
that the training did not see, models drawn by the seed.

The weights in DIR have seen pictures that have no licence. They are for measuring alone and must never be shipped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from benchmarks.fingerprint.ceiling_bench import RATE, Bench, read_whole
from benchmarks.fingerprint.ceiling_folds import all_folds
from benchmarks.fingerprint.ceiling_table import markdown, plain, pooled

from morelli.encoders.cache import EmbeddingCache
from morelli.fingerprint.encoders import own_fingerprint, shipped_parts
from morelli.generators.files import write_whole
from morelli.images.dataset import read_dataset
from morelli.images.model_table import join_models, read_model_table
from morelli.report.embedding_map import embedding_map, require_tsne

MOST_MINUTES = 15.0


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Raises
    ------
    MorelliError
        No dataset, no weights, or a dataset that cannot be cut in halves; before anything is trained.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fingerprint.ceiling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="an extractor in place of the shipped one")
    parser.add_argument("--minutes", type=float, default=5.0, help="of processor time for each fold on these models")
    parser.add_argument("--models", type=Path, help="table of families, bases and decoders, as for morelli evaluate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=RATE, help="highest learning rate on these models")
    parser.add_argument("--maps", action="store_true", help="draw fingerprints before and after (needs scikit-learn)")
    asked = parser.parse_args(arguments)
    if not 0 < asked.minutes <= MOST_MINUTES:
        parser.error(f"--minutes must be above 0 and at most {MOST_MINUTES:g}")
    if asked.maps:
        require_tsne()
    torch.set_num_threads(1)  # processor time is then the training's own
    dataset = read_dataset(asked.dataset)
    if asked.models is not None:
        (dataset,) = join_models([dataset], read_model_table(asked.models))
    shipped = shipped_parts()["fingerprint"] if asked.weights is None else own_fingerprint(asked.weights)
    asked.out.mkdir(parents=True, exist_ok=True)
    cache = EmbeddingCache(asked.out / "embeddings")
    whole, items = read_whole(dataset, shipped, asked.out, cache)
    folds = all_folds(items, asked.seed)
    bench = Bench(whole, items, shipped, asked.out, cache, asked.minutes, asked.rate, asked.seed)
    lines = []
    for fold in folds:
        print(f"== {fold.design}, fold {fold.number + 1}", file=sys.stderr, flush=True)
        lines += bench.rows(fold)
    rows = pooled(lines, asked.seed)
    told = {
        "dataset": str(asked.dataset), "encoder": shipped.stamp.encoder, "revision": shipped.stamp.revision,
        "minutes": asked.minutes, "rate": asked.rate, "seed": asked.seed, "notes": list(whole.notes),
        "leaks": whole.leaks, "rows": rows,
        "folds": [{key: value for key, value in line.items() if key != "queries"} for line in lines],
    }  # fmt: skip
    table = markdown(rows)
    write_whole(asked.out / "ceiling.json", json.dumps(plain(told), indent=1, allow_nan=False).encode() + b"\n")
    write_whole(asked.out / "ceiling.md", table.encode())
    if asked.maps:
        for name, data in bench.mapped(next(fold for fold in folds if fold.design == "prompts")).items():
            embedding_map(data, asked.out / f"{name}.png", title=name, seed=asked.seed)
    print(table, end="")


if __name__ == "__main__":
    main()
