"""The papers' tables on data sets: python -m benchmarks.papers DATASET… --out DIR

A DATASET is a folder, or the word zoo: pictures that the built-in models make. Paper 000's main table, 002's tables
VIII and IX, and 001's table. Run it again with the same --out to go on where it stopped. It ends with 0
where every cell was measured or cannot be, with 1 where one failed; the tables are written either way.
docs/comparison.md says what the columns mean.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.papers import report
from benchmarks.papers.attack_table import attack_rows
from benchmarks.papers.attacks import Attacks, attack_jobs
from benchmarks.papers.costs import embedding
from benchmarks.papers.jobs import table_jobs
from benchmarks.papers.measure import perform
from benchmarks.papers.plan import ATTACKED, RULES, Plan
from benchmarks.papers.regeneration import open_bench
from benchmarks.papers.results import Results, RunClock
from benchmarks.papers.schedule import Job, describe, run
from benchmarks.papers.sources import ZOO, Source, make_zoo, open_source, read_source
from benchmarks.papers.stored_attacks import StoredAttacks, stored_jobs
from benchmarks.papers.tables import failures, reasons

from morelli.attribution.image import IMAGE_REGISTRY
from morelli.cli.engines import chosen_engine
from morelli.encoders.across import place as placed
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.copies import SAMPLE
from morelli.engine.base import Engine
from morelli.errors import InputError, MorelliError, UnknownNameError, WeightsError
from morelli.evaluation.data import prepare
from morelli.evaluation.pictures import cut_notes
from morelli.generators.zoo.manifest import WEIGHTS

TABLES = ("000", "001", "002")


def say(line: str) -> None:
    """Talk goes to stderr."""
    print(line, file=sys.stderr, flush=True)


def open_sources(given: argparse.Namespace, plan: Plan, skipped: dict[str, str]) -> list[Source]:
    """The data sets, in the order named; a zoo without weights is skipped and said."""
    found: list[Source] = []
    for name in given.datasets:
        if name != ZOO:
            found.append(open_source(Path(name), plan.prompts))
            if found[-1].name == ZOO:
                raise InputError(
                    "has the name that the built-in models' pictures have in the tables.",
                    argument=name,
                    fix="Call the folder something else.",
                )
            continue
        try:
            folder = make_zoo(given.weights, given.out, plan.seed, given.processes, plan.prompts)
        except WeightsError as error:
            skipped[ZOO] = str(error)
            say(f"SKIPPED, the data set zoo: {error}")
        else:
            found.append(open_source(folder, None, ZOO))
    names = [source.name for source in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"two data sets are called {twice}.", argument="DATASET", fix="Give them folders of different names."
        )
    return found


def embed_all(sources: Sequence[Source], plan: Plan, out: Path, engine: Engine | None = None) -> None:
    """Fill the cache of embeddings once, so that processes find them."""
    encoder, cache = placed(load_encoder(DEFAULT_ENCODER), engine), EmbeddingCache(out / "cache")
    copies = SAMPLE if "000" in plan.tables and any(plan.wants(rule) for rule in ("plda", "lda", "fused")) else 0
    for source in sources:
        say(f"{source.name}: embedding {source.images} images with {DEFAULT_ENCODER}")
        try:
            prepare([read_source(source.folder, source.prompts)], encoder, cache=cache, copies=copies)
        except Exception as error:  # noqa: BLE001 - its cells will say so, and other data sets have theirs
            say(f"{source.name}: {describe(error)}")
    cache.close()


def measure(given: argparse.Namespace, plan: Plan, engine: Engine) -> tuple[Path, Path, list[str]]:
    """Measure what is missing, and write the tables.

    Returns
    -------
    markdown, page : Path
    failed : list of str
        Cells that failed as nobody foresaw.

    Raises
    ------
    MorelliError
        A data set or a file of results cannot be used; what was measured is kept.
    """
    skipped: dict[str, str] = {}
    clock = RunClock(given.processes)
    until = None if given.hours is None else time.monotonic() + 3600 * given.hours
    sources = open_sources(given, plan, skipped)
    jobs = table_jobs(plan, sources, given.weights)
    stored = _stored(plan, sources, given.out, skipped) if "001" in plan.tables else {}
    jobs += [job for cells, _ in stored.values() for job in cells]
    settings = {"plan": asdict(plan), "sources": [asdict(each) for each in sources]}
    results = Results(given.out / "papers.jsonl", settings, clock=clock)
    if jobs:
        costs = embedding(sources) + sum(job.seconds for job in jobs)
        say(f"all but the zoo's table 001 takes about {costs / 3600:.1f} processor hours where nothing is there yet.")
        embed_all(sources, plan, given.out, engine)
    place = str(given.out.resolve())
    run(jobs, results, perform, place, processes=given.processes, hours=_left(until), engine=engine, say=say)
    attacked: dict[str, list[dict[str, Any]]] = {
        name: attack_rows(results, cells, attacks) for name, (cells, attacks) in stored.items()
    }
    told = {
        name: (
            attacks.pictures.leaks,
            [*attacks.pictures.notes, *attacks.notes, *cut_notes(filter(plan.wants, ATTACKED), attacks.pictures.form)],
        )
        for name, (_, attacks) in stored.items()
    }
    cells: list[Job] = []
    failed: list[str] = []
    if "001" in plan.tables and ZOO in given.datasets:
        try:
            attacked[ZOO], cells, leaks = _attacked(given, plan, results, place, until)
            told[ZOO] = leaks, []
        except MorelliError as error:
            skipped["001"] = str(error)
        except Exception as error:  # noqa: BLE001 - the other tables are measured, and must not be lost
            skipped["001"] = describe(error)
            failed.append("001")
            traceback.print_exc()
        if "001" in skipped:
            say(f"SKIPPED, table 001: {skipped['001']}")
    why = reasons(results, cells)
    pages = report.write(
        results,
        plan,
        sources,
        [*jobs, *cells],
        given.out,
        skipped=skipped,
        attacked=attacked,
        told=told,
        reasons=why,
    )
    return *pages, [*failures(results, [*jobs, *cells]), *failed]


def _stored(
    plan: Plan, sources: Sequence[Source], out: Path, skipped: dict[str, str]
) -> dict[str, tuple[list[Job], StoredAttacks]]:
    """Cells of table 001 on data sets of stored images, by the data set's name; why there are none, in ``skipped``."""
    found = {}
    for source in sources:
        if source.name == ZOO:
            continue
        try:
            attacks = StoredAttacks(source.folder, source.prompts, plan.seed, str(out.resolve()))
        except MorelliError as error:
            skipped[f"001, {source.name}"] = str(error)
            say(f"SKIPPED, table 001 of {source.name}: {error}")
        else:
            found[source.name] = stored_jobs(plan, source, attacks), attacks
    return found


def _left(until: float | None) -> float | None:
    """Hours until the end that was asked for; a data set's making and embedding count, too."""
    return None if until is None else max(0.0, until - time.monotonic()) / 3600


def _attacked(
    given: argparse.Namespace, plan: Plan, results: Results, place: str, until: float | None
) -> tuple[list[dict[str, Any]], list[Job], dict[str, Any]]:
    """Rows, cells and leak test of table 001.

    Its images lie in folders that one process at a time may hold: this one.
    """
    bench = open_bench(plan, given.weights, given.out / "regeneration", given.processes)
    attacks, cells = Attacks(bench, place), attack_jobs(plan, bench)
    leaks = attacks.leaks()
    run(cells, results, attacks.perform, place, hours=_left(until), say=say)
    return attack_rows(results, cells, attacks), cells, leaks


def read_arguments(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Plan]:
    """The command line, and the plan that it asks for."""
    usual = {each.name: each.default for each in fields(Plan)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="folder, or zoo")
    parser.add_argument("--out", type=Path, required=True, help="folder for cells, embeddings, trainings and tables")
    parser.add_argument("--table", action="append", choices=TABLES, help="only this one; may be repeated")
    parser.add_argument("--hours", type=float, help="begin no cell that would end later")
    parser.add_argument("--processes", type=int, default=2, help="of this machine, without --engine ray")
    parser.add_argument(
        "--engine", default="local", help="where cells are measured, but for the zoo's table 001: local or ray"
    )
    parser.add_argument(
        "--ray-address",
        default=os.environ.get("MORELLI_RAY_ADDRESS"),
        help="a Ray cluster that runs already: auto, host:6379 or ray://host:10001; by default Ray is started here",
    )
    parser.add_argument("--method", help="only these, separated by commas")
    parser.add_argument("--prompts", type=int, help="use so many prompts of each data set: a trial")
    parser.add_argument("--seconds", type=float, help="processor seconds of each training in place of the usual ones")
    parser.add_argument("--k", type=int, default=usual["k"], help="references a model of 002's identification")
    parser.add_argument("--unseen", type=float, default=usual["unseen"], help="share of models that 002 never shows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fingerprint", type=Path, metavar="FILE", help="weights of the encoder fingerprint")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the zoo's weights")
    given = parser.parse_args(arguments)
    for name in ("hours", "processes", "prompts", "seconds", "k"):
        value = getattr(given, name)
        if value is not None and value <= 0:
            parser.error(f"--{name} must be above 0")
    for name in ("out", "weights"):
        if "+" in str(getattr(given, name).resolve()):
            parser.error(f"--{name} may have no + in it, for options of methods are joined by it")
    methods = None if given.method is None else tuple(part.strip() for part in given.method.split(",") if part.strip())
    seconds = Plan.seconds if given.seconds is None else tuple((name, given.seconds) for name in TABLES)
    fingerprint = ("", "") if given.fingerprint is None else _weights(given.fingerprint)
    plan = Plan(
        tables=tuple(dict.fromkeys(given.table or TABLES)),
        seconds=seconds,
        k=given.k,
        unseen=given.unseen,
        prompts=given.prompts,
        methods=methods,
        seed=given.seed,
        fingerprint=fingerprint[0],
        fingerprint_sha256=fingerprint[1],
    )
    for name in methods or ():
        if name not in (*RULES, *IMAGE_REGISTRY):
            raise UnknownNameError("method", name, [*RULES, *IMAGE_REGISTRY])
    return given, plan


def _weights(file: Path) -> tuple[str, str]:
    """The file in full and its SHA-256; it is loaded once, so that a wrong one is said at once.

    Raises
    ------
    WeightsError
        It is absent, or no extractor.
    """
    path = str(file.expanduser().resolve())
    load_encoder(f"fingerprint@{path}")
    return path, hashlib.sha256(Path(path).read_bytes()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        given, plan = read_arguments(arguments)
        with chosen_engine(given.engine, given.ray_address) as engine:
            markdown, page, failed = measure(given, plan, engine)
    except MorelliError as error:
        say(f"error: {error}")
        return 1
    print(markdown.read_text(encoding="utf-8"))
    say(f"wrote {markdown} and {page}")
    if failed:
        say(f"error: {len(failed)} cells failed and are tried again by the next run: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
