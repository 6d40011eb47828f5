"""``morelli evaluate``: a protocol's table on a dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.engines import AddressOption, EngineOption, chosen_engine
from morelli.cli.evaluate_pictures import Pictures, check_pictures, draw
from morelli.cli.output import emit_json, say
from morelli.cli.progress import staged_progress
from morelli.cli.provenance import provenance

if TYPE_CHECKING:
    from morelli.evaluation.runner import Evaluation
    from morelli.evaluation.settings import Settings


@dataclass(frozen=True)
class _Request:
    """What the command line asks for: settings of the evaluation, what it is of, and what is shown."""

    settings: Settings
    dataset: Path
    references: Path | None
    encoder: str | None
    against: str | None
    models: Path | None
    pictures: Pictures
    as_json: bool
    engine: str = "local"
    ray_address: str | None = None


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder of the dataset whose images are the queries.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="same-prompt, any-prompt, one-vs-many, open-set, robustness, identification or verification; by "
            "default same-prompt where most images allow it, else any-prompt."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Attributors, separated by commas; all: every one and every baseline, trained ones for a minute each; "
            "published: those of other papers. By default those over embeddings that the protocol allows."
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="What turns pixels into embeddings; several, with commas, are compared on the same queries. A+B joins "
            "two into one. By default efficientnet-lite0, joined with residual-lattice where all pictures have one "
            "format and one size, of 512 pixels or more."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="The row that the others' lift is over: ENCODER, ENCODER:METHOD or METHOD; what is not named is the "
            "row's own. By default euclid, and cosine for verification."
        ),
    ] = None,
    k: Annotated[int | None, typer.Option("--k", min=1, help="References a model; by default all.")] = None,
    references: Annotated[
        Path | None,
        typer.Option(help="Take references and background from this dataset; models that it lacks are unknown."),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with a row a model: model, and any of family, base, decoder that the dataset lacks."
        ),
    ] = None,
    epsilon: Annotated[float, typer.Option(help="Candidate sets aim to miss the right model this often.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Decides folds, draws and resamples.")] = 0,
    ablation: Annotated[bool, typer.Option(help="Also score without the candidates' images in the background.")] = True,
    calibrate: Annotated[
        bool, typer.Option(help="Also calibrate, for ECE, coverage and set size: most of the time goes there.")
    ] = True,
    degrade: Annotated[
        str | None,
        typer.Option(
            help='What robustness does to queries: "jpeg:80,resize:0.5+jpeg:75", strengths drawn for each picture: '
            '"crop:0.85~0.98", or sweeps: "jpeg:50-100:10"; by default a fixed set.'
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
        Path | None,
        typer.Option(help="Write the last method's confusion matrix as a picture (.png, .svg, .pdf) or .csv."),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw the curves of robustness, or example pairs of verification (.png, .svg, .pdf)."),
    ] = None,
    map_: Annotated[
        Path | None, typer.Option("--map", help="Draw a map (t-SNE) of the queries' embeddings (.png, .svg, .pdf).")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Folder for trained baselines: the same command goes on where it was interrupted, and takes finished "
            "trainings from there. A training is up to 300 MB, one for each fold."
        ),
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
    kept = None if keep is None else str(keep)
    settings = Settings(
        protocol, methods, k, epsilon, seed, ablation, steps, pairs, level, unseen, calibrate=calibrate, keep=kept
    )
    pictures = Pictures(confusion, figure, map_)
    _answer(_Request(settings, dataset, references, encoder, against, models, pictures, as_json, engine, ray_address))


def _answer(asked: _Request) -> None:
    check_pictures(asked.pictures, asked.settings)
    found = _measure(asked)
    # The figures first: they are not lost if the picture cannot be written.
    if asked.as_json:
        emit_json(found.result | provenance(found.queries))
    else:
        _print(found.result)
    draw(found, asked.pictures)


def _measure(asked: _Request) -> Evaluation:
    from morelli.encoders.across import place
    from morelli.encoders.cache import EmbeddingCache
    from morelli.encoders.catalogue import encoder_specs, load_encoder
    from morelli.encoders.usual import encoder_of_comparison
    from morelli.evaluation.against import parse_against
    from morelli.evaluation.runner import evaluate as run
    from morelli.images.dataset import read_dataset

    datasets = [read_dataset(folder) for folder in (asked.dataset, asked.references) if folder is not None]
    if asked.models is not None:
        from morelli.images.model_table import join_models, read_model_table

        datasets = join_models(datasets, read_model_table(asked.models))
    specs = encoder_specs(encoder_of_comparison(datasets) if asked.encoder is None else asked.encoder)
    loaded = {spec: load_encoder(spec) for spec in specs}
    settings = asked.settings
    if asked.against is not None:
        names = {name: each.stamp.encoder for spec, each in loaded.items() for name in (spec, each.stamp.encoder)}
        settings = replace(settings, against=parse_against(asked.against, names))
    second = datasets[1] if len(datasets) > 1 else None
    with chosen_engine(asked.engine, asked.ray_address) as engine, staged_progress() as report:
        placed = [place(encoder, engine) for encoder in loaded.values()]
        return run(datasets[0], placed, settings, references=second, cache=EmbeddingCache(), progress=report)


def _print(result: dict[str, Any]) -> None:
    from morelli.report.evaluation import print_evaluation

    print_evaluation(result)
    for note in result["notes"]:
        say(f"note: {note}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)
