"""``morelli synthesize``: synthetic models with fingerprints of their own, and how they compare with real ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli import synthesize_compare
from morelli.cli.engines import AddressOption, EngineOption, chosen_engine
from morelli.cli.output import emit_json, say
from morelli.cli.progress import progress

if TYPE_CHECKING:
    from morelli.engine.base import Engine
    from morelli.synthesis.run import Plan
    from morelli.synthesis.settings import TrainingSettings


def register(app: typer.Typer) -> None:
    """Add the command, with ``compare`` below it, to the command line."""
    group = typer.Typer(invoke_without_command=True, callback=synthesize)
    group.command("compare")(synthesize_compare.compare)
    app.add_typer(group, name="synthesize")


def synthesize(
    context: typer.Context,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photographs that models learn to give back.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the store of models.", show_default=False)] = None,
    architectures: Annotated[
        str,
        typer.Option(help="all, six-digit ids, patterns with dots (0.1...) or without:OPTION, with commas between."),
    ] = "all",
    seeds: Annotated[int, typer.Option(min=1, help="Models of each architecture.")] = 1,
    policy: Annotated[
        str, typer.Option(help="floor: stop at an error of eta; ceiling: reject what stays above the ceiling.")
    ] = "floor",
    eta: Annotated[float, typer.Option(help="Mean squared error, images in -1 to 1.")] = 0.005,
    ceiling: Annotated[float, typer.Option(help="The same unit; for the policy ceiling.")] = 0.005,
    max_steps: Annotated[int, typer.Option(min=1, help="Steps of training a model at most.")] = 400,
    batch: Annotated[int, typer.Option(min=1, help="Crops a step.")] = 8,
    crop: Annotated[int, typer.Option(min=16, help="Side of the crops, pixels; a multiple of 4.")] = 64,
    lr: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 3e-3,
    optimiser: Annotated[str, typer.Option(help="adam or adamw.")] = "adam",
    precision: Annotated[
        str, typer.Option(help="Of convolutions in training: float32, bfloat16, or auto (bfloat16 where it is fast).")
    ] = "float32",
    workers: Annotated[int, typer.Option(min=1, help="Processes, each on one core.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    scheme: Annotated[
        str, typer.Option(help="How models are trained together: auto, loop, grouped, matmul or vmap.")
    ] = "auto",
    together: Annotated[
        int | None, typer.Option(min=1, help="Seeds of one architecture that are trained side by side.")
    ] = None,
    engine: EngineOption = "local",
    ray_address: AddressOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Train synthetic models: small autoencoders of 288 architectures, from photographs (paper 002).

    What the store holds already is not made again: an interrupted command goes on from where it stopped. The store
    also gets report.json and report.png, photographs and what some of the models make of them.
    """
    if context.invoked_subcommand is not None:
        return
    if photos is None or out is None:
        raise typer.BadParameter("is needed.", param_hint="--photos" if photos is None else "--out")
    from morelli.synthesis.architectures import select
    from morelli.synthesis.run import Plan
    from morelli.synthesis.settings import TrainingSettings

    settings = TrainingSettings(
        policy=policy,  # pyright: ignore[reportArgumentType] - the settings refuse other names
        eta=eta,
        ceiling=ceiling,
        optimiser=optimiser,  # pyright: ignore[reportArgumentType]
        lr=lr,
        batch=batch,
        crop=crop,
        max_steps=max_steps,
        precision=precision,  # pyright: ignore[reportArgumentType]
    )
    plan = Plan(select(architectures), seeds, workers, device, scheme, together)
    with chosen_engine(engine, ray_address) as where:
        _make(plan, settings, photos, out, as_json, where)


def _make(plan: Plan, settings: TrainingSettings, folder: Path, out: Path, as_json: bool, engine: Engine) -> None:
    from morelli.synthesis.photos import read_photos
    from morelli.synthesis.report import write_report
    from morelli.synthesis.run import synthesize as run
    from morelli.synthesis.store import Store

    photos = read_photos(folder, settings.crop)
    for note in photos.notes:
        say(f"note: {note}")
    try:
        with progress("models") as report:
            told = run(plan, photos, out, settings, progress=report, engine=engine)
    except KeyboardInterrupt:
        say(f"the models made so far are kept in {out}: the same command goes on from there.")
        raise
    written = write_report(Store(out), photos, told)
    if as_json:
        emit_json(written)
    else:
        print(_line(out, told))
    if told["missing"]:
        say(_missing(told))
        raise typer.Exit(1)


def _missing(told: dict[str, Any]) -> str:
    """Why models that were asked for are not there."""
    words = f"{told['missing']} models are missing"
    if not told["rejected"]:
        return f"{words}: too many of their seeds diverged."
    words += f": {told['rejected']} were above the ceiling"
    words += "" if told["missing"] <= told["rejected"] else ", the seeds of others diverged"
    words += "" if told["kept"] else "; no model was kept"
    return f"{words}. Take a new folder with more --max-steps, a higher --ceiling or the policy floor."


def _line(out: Path, told: dict[str, Any]) -> str:
    words = f"{out}: {told['kept']} models of {told['asked']}, {told['made']} trained now"
    words += f"; {told['floor_reached']} reached eta, {told['floor_not_reached']} did not"
    if told["rejected"]:
        words += f"; {told['rejected']} rejected"
    if told["replaced"]:
        words += f"; {told['replaced']} diverged and were replaced"
    return words
