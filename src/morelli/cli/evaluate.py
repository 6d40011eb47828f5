"""``morelli evaluate``: a protocol's table on a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.engines import AddressOption, EngineOption, chosen_engine
from morelli.cli.output import emit_json, say
from morelli.cli.progress import staged_progress
from morelli.errors import InputError

if TYPE_CHECKING:
    from morelli.evaluation.runner import Evaluation
    from morelli.evaluation.settings import Settings


@dataclass(frozen=True)
class _Pictures:
    """Where pictures of the result are written; None: not asked for."""

    confusion: Path | None = None
    figure: Path | None = None
    map: Path | None = None


@dataclass(frozen=True)
class _Request:
    """What the command line asks for: settings of the evaluation, what it is of, and what is shown."""

    settings: Settings
    dataset: Path
    references: Path | None
    encoder: str
    pictures: _Pictures
    as_json: bool
    engine: str = "local"
    ray_address: str | None = None


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder of the dataset whose images are the queries.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="same-prompt, any-prompt, one-vs-many, open-set, robustness, identification or verification; by "
            "default same-prompt where the data allow it, else any-prompt."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Attributors, separated by commas; all: every one and every baseline, trained ones for a minute each; "
            "published: those of other papers. By default those over embeddings that the protocol allows."
        ),
    ] = None,
    encoder: Annotated[str, typer.Option(help="What turns pixels into embeddings.")] = "efficientnet-lite0",
    k: Annotated[int | None, typer.Option("--k", min=1, help="References a model; by default all.")] = None,
    references: Annotated[
        Path | None,
        typer.Option(help="Take references and background from this dataset; models that it lacks are unknown."),
    ] = None,
    epsilon: Annotated[float, typer.Option(help="Candidate sets aim to miss the right model this often.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Decides folds, draws and resamples.")] = 0,
    ablation: Annotated[bool, typer.Option(help="Also score without the candidates' images in the background.")] = True,
    degrade: Annotated[
        str | None,
        typer.Option(
            help='What robustness does to queries: "jpeg:80,resize:0.5+jpeg:75", or sweeps: "jpeg:50-100:10"; by '
            "default a fixed set."
        ),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each kind that verification draws.")] = 5000,
    level: Annotated[
        str, typer.Option(help="What is attributed: model, or base (the models that they derive from).")
    ] = "model",
    unseen: Annotated[
        float | None,
        typer.Option(
            help="Share of the models that trained methods never see, for identification and verification; seen and "
            "unseen models have rows of their own."
        ),
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="Write the last method's confusion matrix as a picture (.png, .svg, .pdf).")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw the curves of robustness, or example pairs of verification (.png, .svg, .pdf)."),
    ] = None,
    map_: Annotated[
        Path | None, typer.Option("--map", help="Draw a map (t-SNE) of the queries' embeddings (.png, .svg, .pdf).")
    ] = None,
    engine: EngineOption = "local",
    ray_address: AddressOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure attributors on a dataset whose models are known, with intervals and leak tests."""
    from morelli.evaluation.settings import Settings

    methods = None if method is None else tuple(name.strip() for name in method.split(",") if name.strip())
    if methods is not None and not methods:
        raise typer.BadParameter("names no attributor.", param_hint="--method")
    steps = None if degrade is None else tuple(step.strip() for step in degrade.split(",") if step.strip())
    settings = Settings(protocol, methods, k, epsilon, seed, ablation, steps, pairs, level, unseen)
    pictures = _Pictures(confusion, figure, map_)
    _answer(_Request(settings, dataset, references, encoder, pictures, as_json, engine, ray_address))


def _answer(asked: _Request) -> None:
    _check_pictures(asked)
    found = _measure(asked)
    # The figures first: they are not lost if the picture cannot be written.
    if asked.as_json:
        emit_json(found.result)
    else:
        _print(found.result)
    _draw(found, asked.pictures)


def _check_pictures(asked: _Request) -> None:
    """What is wrong with the pictures is said before the work, not after it."""
    from morelli.report.confusion import figure_format

    wanted, protocol = asked.pictures, asked.settings.protocol
    for path in (wanted.confusion, wanted.figure, wanted.map):
        if path is not None:
            figure_format(path)
    if asked.settings.unseen is not None and (wanted.confusion or wanted.figure):
        raise InputError(
            "seen and unseen models have no one such picture.",
            argument="--confusion" if wanted.confusion else "--figure",
            fix="Leave it out, or ask for --map.",
        )
    if wanted.confusion is not None and protocol in ("robustness", "verification"):
        raise InputError(f"{protocol} has no one confusion matrix.", argument="--confusion")
    if wanted.figure is not None and protocol not in ("robustness", "verification"):
        raise InputError(
            "only robustness and verification have one.",
            argument="--figure",
            fix="Ask for --confusion or --map.",
        )
    if wanted.map is not None:
        from morelli.report.embedding_map import require_tsne

        require_tsne()


def _measure(asked: _Request) -> Evaluation:
    from morelli.encoders.across import place
    from morelli.encoders.cache import EmbeddingCache
    from morelli.encoders.catalogue import load_encoder
    from morelli.evaluation.runner import evaluate as run
    from morelli.images.dataset import read_dataset

    first = read_dataset(asked.dataset)
    second = None if asked.references is None else read_dataset(asked.references)
    encoder = load_encoder(asked.encoder)
    with chosen_engine(asked.engine, asked.ray_address) as engine, staged_progress() as report:
        placed = place(encoder, engine)
        return run(first, placed, asked.settings, references=second, cache=EmbeddingCache(), progress=report)


def _draw(found: Evaluation, wanted: _Pictures) -> None:
    if wanted.confusion is not None:
        say(f"wrote {_draw_confusion(found, wanted.confusion)}")
    if wanted.figure is not None:
        say(f"wrote {_draw_figure(found, wanted.figure)}")
    if wanted.map is not None and found.queries is not None:
        from morelli.report.embedding_map import embedding_map

        data = found.queries.embeddings
        say(f"wrote {embedding_map(data, wanted.map, seen=found.seen, title=found.result['encoder']['id'])}")


def _draw_confusion(found: Evaluation, path: Path) -> Path:
    from morelli.report.confusion import confusion_figure

    method = list(found.confusion)[-1]
    labels, matrix = found.confusion[method]
    families = [found.families[label] for label in labels]
    return confusion_figure(matrix, labels, path, families=families, title=method)


def _draw_figure(found: Evaluation, path: Path) -> Path:
    if found.result["protocol"] == "robustness":
        from morelli.report.curves import robustness_figure

        return robustness_figure(found.result["rows"], path, title=found.result["encoder"]["id"])
    import numpy as np

    from morelli.report.cases import Example, cases_figure

    queries = found.queries
    if queries is None or not found.cases:
        raise InputError("no pair was judged by a threshold of other models.", argument="--figure")
    examples = [
        Example(
            tuple(queries.pictures(np.array([case.first, case.second]))),
            tuple(str(queries.embeddings.models[row]) for row in (case.first, case.second)),
            case.same,
            case.score,
            case.threshold,
        )
        for case in found.cases
    ]
    return cases_figure(examples, path, title=found.result["rows"][-1]["method"])


def _print(result: dict[str, Any]) -> None:
    from morelli.report.evaluation import print_evaluation

    print_evaluation(result)
    for note in result["notes"]:
        say(f"note: {note}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)
