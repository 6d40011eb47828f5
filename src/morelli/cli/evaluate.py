"""``morelli evaluate``: a protocol's table on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.output import emit_json, say
from morelli.cli.progress import staged_progress

if TYPE_CHECKING:
    from morelli.evaluation.runner import Evaluation


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder of the dataset whose images are the queries.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="same-prompt, any-prompt, one-vs-many or open-set; by default same-prompt where the data allow it, "
            "else any-prompt."
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
    confusion: Annotated[
        Path | None, typer.Option(help="Write the last method's confusion matrix as a picture (.png, .svg, .pdf).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure attributors on a dataset whose models are known, with intervals and leak tests."""
    from morelli.encoders.cache import EmbeddingCache
    from morelli.encoders.catalogue import load_encoder
    from morelli.evaluation.runner import Settings
    from morelli.evaluation.runner import evaluate as run
    from morelli.images.dataset import read_dataset
    from morelli.report.confusion import figure_format

    methods = None if method is None else [name.strip() for name in method.split(",") if name.strip()]
    if methods is not None and not methods:
        raise typer.BadParameter("names no attributor.", param_hint="--method")
    settings = Settings(protocol, methods, k, epsilon, seed, ablation)
    if confusion is not None:
        figure_format(confusion)  # a wrong ending is said before the work, not after it
    first = read_dataset(dataset)
    second = None if references is None else read_dataset(references)
    with staged_progress() as report:
        found = run(first, load_encoder(encoder), settings, references=second, cache=EmbeddingCache(), progress=report)
    # The figures first: they are not lost if the picture cannot be written.
    if as_json:
        emit_json(found.result)
    else:
        _print(found.result)
    if confusion is not None:
        _draw(found, confusion)


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
