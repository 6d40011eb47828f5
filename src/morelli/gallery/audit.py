"""Whether a gallery is sound, and what it holds."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import GalleryError, InputError, StorageError
from morelli.gallery import rows, table
from morelli.gallery import schema as layout
from morelli.gallery.copies import whole
from morelli.gallery.records import CheckReport, EncoderCount, ModelCount, Summary
from morelli.types import Reference

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

EXAMPLES = 3


class _Findings:
    """Problems by kind, each with a count and a few examples."""

    def __init__(self) -> None:
        self.examples: dict[str, list[str]] = defaultdict(list)
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(example)

    def sentences(self) -> tuple[str, ...]:
        out = []
        for kind, count in self.counts.items():
            more = f" and {count - EXAMPLES} more" if count > EXAMPLES else ""
            out.append(f"{kind}: {'; '.join(self.examples[kind])}{more}")
        return tuple(out)


def check(dataset: lance.LanceDataset) -> CheckReport:
    """Read every row and every vector.

    Looked for: parts that cannot be read, hashes that are none, references without a model or with one whose name
    verdicts give to no model, two rows of one picture, vectors that are not finite, columns of vectors without a
    fitting stamp, references without any embedding, thumbnails that do not decode, a model with two families.
    """
    findings = _Findings()
    for name in layout.vector_columns(dataset.schema):
        try:
            layout.field_stamp(dataset.schema.field(name))
        except GalleryError as error:
            findings.add("embeddings of an unknown encoder", error.message)
    seen: Counter[str] = Counter()
    families: dict[str, set[str]] = defaultdict(set)
    for fragment in dataset.get_fragments():
        try:
            with table.storage(dataset.uri, f"reading part {fragment.fragment_id}"):
                for batch in fragment.to_batches(batch_size=1024):
                    _check_batch(batch, findings, seen, families)
        except StorageError as error:
            findings.add("unreadable", error.message)
    for content, count in seen.items():
        if count > 1:
            findings.add("one picture in several rows", f"{content[:16]}… in {count}")
    for model, names in sorted(families.items()):
        if len(names) > 1:
            findings.add("a model with several families", f"{model}: {', '.join(sorted(names))}")
    return CheckReport(findings.sentences(), seen.total(), int(dataset.version))


def _check_batch(batch: pa.RecordBatch, findings: _Findings, seen: Counter[str], families: dict[str, set[str]]) -> None:
    import pyarrow as pa

    part = pa.Table.from_batches([batch])
    references = rows.to_references(part)
    seen.update(reference.content for reference in references)
    for reference in references:
        families[reference.model].add(reference.family)
        try:
            rows.check_reference(reference)
        except InputError as error:
            findings.add("a reference with a bad field", str(error))
    embedded = np.zeros(len(part), dtype=bool)
    for name in layout.vector_columns(part.schema):
        valid = np.asarray(part[name].is_valid())
        embedded |= valid
        finite = np.isfinite(rows.to_block(part[name].filter(part[name].is_valid()))).all(axis=1)
        for row in np.flatnonzero(valid)[~finite]:
            findings.add("an embedding that is not finite", f"{references[row].name} in {name}")
    for name in layout.copies_columns(part.schema):
        try:
            sound = whole(part[name], layout.copies_stamp(part.schema, name))
        except GalleryError as error:
            findings.add("degraded copies without a readable stamp", f"{name}: {error.message}")
            continue
        for row in np.flatnonzero(~sound):
            findings.add("degraded copies that are cut off or not finite", f"{references[row].name} in {name}")
    for row in np.flatnonzero(~embedded):
        findings.add("a reference without embeddings", references[row].name)
    for reference, thumbnail in zip(references, part[layout.THUMBNAIL].to_pylist(), strict=True):
        if thumbnail is not None and not _decodes(thumbnail):
            findings.add("a thumbnail that is no picture", reference.name)


def _decodes(data: bytes) -> bool:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


def summarise(path: str, dataset: lance.LanceDataset, references: tuple[Reference, ...]) -> Summary:
    """Counts of one version."""
    grouped: dict[str, list[Reference]] = defaultdict(list)
    for reference in references:
        grouped[reference.model].append(reference)
    models = tuple(
        ModelCount(
            model,
            ", ".join(sorted({r.family for r in group})),
            len(group),
            len({r.prompt_id for r in group if r.prompt_id}),
        )
        for model, group in sorted(grouped.items())
    )
    encoders = tuple(
        EncoderCount(stamp, len(table.scan(path, dataset, ["content"], table.embedded(name))))
        for name, stamp in layout.stamps(dataset.schema).items()
    )
    prompts = len({reference.prompt_id for reference in references if reference.prompt_id})
    return Summary(path, int(dataset.version), len(references), prompts, models, encoders, _size(path))


def _size(path: str) -> int | None:
    if table.is_remote(path):
        return None
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
