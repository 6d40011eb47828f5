"""``morelli evaluate``: a protocol's table on a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.output import emit_json, say
from morelli.cli.progress import staged_progress
from morelli.errors import InputError

if TYPE_CHECKING:
    from morelli.evaluation.runner import Evaluation
    from morelli.evaluation.settings import Settings


@dataclass(frozen=True)
class _Request:
    """What the command line asks for: settings of the evaluation, what it is of, and what is shown."""

    settings: Settings
    dataset: Path
    references: Path | None
    encoder: str
    confusion: Path | None
    as_json: bool


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder of the dataset whose images are the queries.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="same-prompt, any-prompt, one-vs-many, open-set or robustness; by default same-prompt where the data "
            "allow it, else any-prompt."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Attributors, separated by commas; by default all that the protocol allows."),
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
        typer.Option(help='What robustness does to queries: "jpeg:80,resize:0.5+jpeg:75"; by default a fixed set.'),
    ] = None,
    confusion: Annotated[
        Path | None, typer.Option(help="Write the last method's confusion matrix as a picture (.png, .svg, .pdf).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure attributors on a dataset whose models are known, with intervals and leak tests."""
    from morelli.evaluation.settings import Settings

    methods = None if method is None else tuple(name.strip() for name in method.split(",") if name.strip())
    if methods is not None and not methods:
        raise typer.BadParameter("names no attributor.", param_hint="--method")
    steps = None if degrade is None else tuple(step.strip() for step in degrade.split(",") if step.strip())
    settings = Settings(protocol, methods, k, epsilon, seed, ablation, steps)
    _answer(_Request(settings, dataset, references, encoder, confusion, as_json))


def _answer(asked: _Request) -> None:
    from morelli.report.confusion import figure_format

    if asked.confusion is not None:
        figure_format(asked.confusion)  # a wrong ending is said before the work, not after it
        if asked.settings.protocol == "robustness":
            raise InputError("robustness has no one confusion matrix.", argument="--confusion")
    found = _measure(asked)
    # The figures first: they are not lost if the picture cannot be written.
    if asked.as_json:
        emit_json(found.result)
    else:
        _print(found.result)
    if asked.confusion is not None:
        _draw(found, asked.confusion)


def _measure(asked: _Request) -> Evaluation:
    from morelli.encoders.cache import EmbeddingCache
    from morelli.encoders.catalogue import load_encoder
    from morelli.evaluation.runner import evaluate as run
    from morelli.images.dataset import read_dataset

    first = read_dataset(asked.dataset)
    second = None if asked.references is None else read_dataset(asked.references)
    encoder = load_encoder(asked.encoder)
    with staged_progress() as report:
        return run(first, encoder, asked.settings, references=second, cache=EmbeddingCache(), progress=report)


def _draw(found: Evaluation, path: Path) -> None:
    from morelli.report.confusion import confusion_figure

    method = list(found.confusion)[-1]
    labels, matrix = found.confusion[method]
    families = [found.families[label] for label in labels]
    say(f"wrote {confusion_figure(matrix, labels, path, families=families, title=method)}")


def _print(result: dict[str, Any]) -> None:
    from morelli.report.evaluation import print_evaluation

    print_evaluation(result)
    for note in result["notes"]:
        say(f"note: {note}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)
