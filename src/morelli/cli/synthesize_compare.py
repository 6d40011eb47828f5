"""``morelli synthesize compare``: fidelity and diversity of synthetic models."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from morelli.cli.output import emit_json
from morelli.cli.progress import progress
from morelli.errors import UnknownNameError

if TYPE_CHECKING:
    from morelli.synthesis.model_spectra import Spectra
    from morelli.synthesis.photos import Photos
    from morelli.synthesis.spectra import Residual, SpectrumSettings

COMPARE_SCHEMA = "morelli.synthesis-compare/1"


class _Asked(NamedTuple):
    """How spectra are made."""

    residual: Residual
    settings: SpectrumSettings
    side: int
    images: int


def compare(
    store: Annotated[Path, typer.Argument(help="A store of synthetic models.")],
    other: Annotated[Path, typer.Argument(help="Another store, or a dataset of real models' images.")],
    photos: Annotated[Path, typer.Option(help="Folder of photographs that synthetic models are shown.")],
    without: Annotated[
        bool, typer.Option("--without", help="Also with each option of the synthesis taken away in turn.")
    ] = False,
    images: Annotated[int, typer.Option(min=1, help="Images of each model.")] = 100,
    side: Annotated[int, typer.Option(min=16, help="Side of the crops that are compared, pixels.")] = 128,
    residual: Annotated[
        str, typer.Option(help="What takes the content away: median, denoiser, denoiser-17x64, wavelet or oidn.")
    ] = "median",
    recipe: Annotated[str, typer.Option(help="How a spectrum becomes a vector: default or grip.")] = "default",
    bins: Annotated[int | None, typer.Option(min=2, help="Rings of frequencies, instead of the recipe's.")] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="Draws of models that bring the rows of --without to one number of models.")
    ] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of those draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Distance between two sets of models' spectra (FFD), and the room that the first takes (log-volume).

    The first must be a store. Both depend on the number of models, so that all rows are also measured over as many
    models as the smallest has.
    """
    from morelli.fingerprint.residual import load_residual
    from morelli.synthesis.compare import compare as measure
    from morelli.synthesis.photos import read_photos
    from morelli.synthesis.store import Store

    asked = _Asked(load_residual(residual), _settings(recipe, bins), side, images)
    Store(store)  # a folder that is none is said before the photographs are read
    held = read_photos(photos, side)
    with progress(f"spectra of {store.name}") as report:
        one = _spectra(store, held, asked, report)
    with progress(f"spectra of {other.name}") as report:
        two = _spectra(other, held, asked, report)
    rows = measure(one, two, ("K", "L", "S", "U", "A", "N", "seed") if without else (), draws=draws, seed=seed)
    if as_json:
        emit_json(
            {
                "schema": COMPARE_SCHEMA,
                "store": store,
                "other": other,
                "models": len(one.names),
                "other_models": len(two.names),
                "recipe": asdict(asked.settings),
                "residual": residual,
                "images": images,
                "side": side,
                "draws": draws,
                "seed": seed,
                "rows": rows,
            }
        )
    else:
        _print(rows, other)


def _settings(recipe: str, bins: int | None) -> SpectrumSettings:
    from dataclasses import replace

    from morelli.synthesis.spectra import RECIPES

    if recipe not in RECIPES:
        raise UnknownNameError("recipe", recipe, RECIPES)
    return RECIPES[recipe] if bins is None else replace(RECIPES[recipe], bins=bins)


def _spectra(path: Path, photos: Photos, asked: _Asked, report: Any) -> Spectra:
    from morelli.synthesis.model_spectra import dataset_spectra, is_store, store_spectra
    from morelli.synthesis.store import Store

    options = {"side": asked.side, "images": asked.images, "progress": report}
    if is_store(path):
        return store_spectra(Store(path), photos, asked.residual, asked.settings, **options)
    return dataset_spectra(path, asked.residual, asked.settings, **options)


def _print(rows: list[dict[str, Any]], other: Path) -> None:
    equal = rows[0]["equal"]
    print(f"FFD of {rows[0]['models']} models to {rows[0]['other_models']} of {other}")
    heads = f"{'':<12}{'models':>8}{'FFD, all':>12}"
    if len(rows) > 1:
        heads += f"{_of('FFD', equal['ffd_models']):>22}"
    heads += f"{_of('log volume', equal['volume_models']):>22}{'share':>10}"
    print(heads)
    for row in rows:
        name = "all" if row["without"] is None else f"without {row['without']}"
        line = f"{name:<12}{row['models']:>8}{_number(row['ffd']):>12}"
        if len(rows) > 1:
            line += f"{_mean(row['equal'], 'ffd'):>22}"
        line += f"{_mean(row['equal'], 'log_volume'):>22}{_number(row['equal']['volume_share']):>10}"
        print(line.rstrip() + ("  " + "; ".join(row["why"]) if row["why"] else ""))
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        print(f"note: {note}")


def _of(what: str, models: int | None) -> str:
    return what if models is None else f"{what}, {models} each"


def _mean(figures: dict[str, Any], name: str) -> str:
    spread = figures[f"{name}_spread"]
    return _number(figures[name]) + (f" ± {_number(spread)}" if spread else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
