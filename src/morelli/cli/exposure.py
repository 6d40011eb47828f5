"""``morelli exposure``: how exposed an anonymous leaderboard of a dataset's models is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.engines import AddressOption, EngineOption, chosen_engine
from morelli.cli.output import emit_json, plain, say
from morelli.cli.progress import staged_progress
from morelli.cli.provenance import provenance
from morelli.errors import InputError, StorageError

if TYPE_CHECKING:
    from morelli.audit import Audit, AuditSettings

REPORT, RESULT, FIGURES = "report.html", "exposure.json", "figures"


def exposure(
    dataset: Annotated[Path, typer.Argument(help="Folder of a dataset: models that answered the same prompts.")],
    encoder: Annotated[
        str, typer.Option(help="What turns pixels into embeddings; several with commas are compared.")
    ] = "efficientnet-lite0",
    tau: Annotated[
        float, typer.Option(help="A model is separable where more than this share of its images lie next to its own.")
    ] = 0.5,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="References a model; by default all images of a prompt but one.")
    ] = None,
    method: Annotated[str, typer.Option(help="The attacker's attributor; euclid is measured beside it.")] = "fused",
    price: Annotated[
        str, typer.Option(help="Of one reference image, dollars; or a CSV file with the columns model and price.")
    ] = "0.0245",
    sweeps: Annotated[
        bool, typer.Option(help="Also measure the curves over k and pool, and the prediction from references.")
    ] = True,
    raw: Annotated[bool, typer.Option("--raw", help="D(i) of embeddings as they come, not at unit length.")] = False,
    simulations: Annotated[int, typer.Option(min=1, help="How often the vote simulation draws everything.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Decides folds, draws and resamples.")] = 0,
    out: Annotated[Path | None, typer.Option(help=f"Write {REPORT}, {RESULT} and {FIGURES}/ into this folder.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote there.")] = False,
    engine: EngineOption = "local",
    ray_address: AddressOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Audit a leaderboard: which prompts give models away, what an attack reaches and costs, how many votes it takes.

    Simulation only: nothing is sent anywhere.
    """
    from morelli.audit import AuditSettings
    from morelli.encoders.catalogue import encoder_specs
    from morelli.exposure.prices import parse_price
    from morelli.exposure.simulation import VoteSettings

    names = encoder_specs(encoder)
    if out is not None:
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is no folder.", argument="--out", fix="Name a folder.")
        check_free([out / name for name in (REPORT, RESULT, FIGURES)], overwrite)
        from morelli.report.embedding_map import require_tsne

        require_tsne()
    votes = VoteSettings(simulations=simulations, seed=seed)
    settings = AuditSettings(method, tau, k, parse_price(price), sweeps, not raw, votes, seed)
    found = _measure(dataset, names, settings, engine, ray_address)
    found.result.update(provenance(found.data))
    if as_json:
        emit_json(found.result)
    else:
        from morelli.report.exposure import print_exposure

        print_exposure(found.result)
        for note in found.result["notes"]:
            say(f"note: {note}")
    if out is not None:
        _write(found, out)


def check_free(paths: list[Path], overwrite: bool) -> None:
    """Refuse to replace files, before the work, unless that is asked for.

    Raises
    ------
    InputError
    """
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]} exists already.", argument="--out", fix="Name another place, or add --overwrite.")


def _measure(dataset: Path, names: list[str], settings: AuditSettings, engine: str, ray_address: str | None) -> Audit:
    from morelli.audit import audit
    from morelli.encoders.across import place
    from morelli.encoders.cache import EmbeddingCache
    from morelli.encoders.catalogue import load_encoder
    from morelli.exposure.prices import check_priced
    from morelli.images.dataset import read_dataset

    read = read_dataset(dataset)
    check_priced(settings.price, {item.model for item in read.items})
    encoders = [load_encoder(name) for name in names]
    with chosen_engine(engine, ray_address) as work, staged_progress() as report:
        placed = [place(encoder, work) for encoder in encoders]
        return audit(read, placed, settings, cache=EmbeddingCache(), progress=report)


def _write(found: Audit, folder: Path) -> None:
    from morelli.generators.files import write_whole
    from morelli.report.exposure_figures import FIGURE_NAMES, exposure_figures
    from morelli.report.exposure_page import exposure_page
    from morelli.report.svg import svg_text

    drawn = exposure_figures(found.result)
    files: dict[Path, str] = {
        folder / REPORT: exposure_page(found.result, found.data, drawn),
        folder / RESULT: json_text(found.result),
    }
    for name, (figure, alt) in drawn.items():
        files[folder / FIGURES / f"{name}.svg"] = svg_text(figure, name=name, alt=alt, themed=False)
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot be written: {error}.", argument=str(path)) from error
        write_whole(path, text.encode())
    # Figures of an earlier report that this one does not have would be taken for its own.
    for name in FIGURE_NAMES:
        if name not in drawn:
            (folder / FIGURES / f"{name}.svg").unlink(missing_ok=True)
    say(f"wrote {folder / REPORT}")


def json_text(value: Any) -> str:
    """The value as a JSON file."""
    return json.dumps(plain(value), allow_nan=False, indent=1) + "\n"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(exposure)
