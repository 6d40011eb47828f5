"""``morelli protect``: images that give their model away less."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli import asking
from morelli.cli.output import emit_json, plain, say
from morelli.cli.progress import staged_progress
from morelli.cli.protecting import check_sheet, dataset_of, protect_dataset, refuse, spoken, tell, write_sheet
from morelli.errors import InputError, MorelliError

if TYPE_CHECKING:
    from morelli.protect import Protected, Protector

SHEET = "sheet.png"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(protect)


def protect(
    context: typer.Context,
    images: asking.ImagesArgument,
    out: Annotated[Path, typer.Option(help="Folder for the protected images (PNG).", show_default=False)],
    gallery: asking.GalleryOption = None,
    epsilon: Annotated[float, typer.Option(help="Largest change of a sample, in levels of 255.")] = 2.0,
    defence: Annotated[
        str,
        typer.Option(
            help="pgd: as published; eot: stronger, marks models for who learns from it; collide: weaker, leaves no "
            "such mark; canonical: one form"
        ),
    ] = "pgd",
    model: Annotated[
        str | None, typer.Option(help="The model that made the images. By default found out with the gallery.")
    ] = None,
    prompt: asking.PromptOption = None,
    surrogate: Annotated[
        str | None, typer.Option(help="Encoders to optimise against, with commas. By default all that the gallery has.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Gradient steps.")] = 50,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Decides the draws. By default a secret one, which the report keeps.", show_default=""
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Of canonical: median, resize:F, blur:S, jpeg:Q …, joined by +.")
    ] = None,
    method: asking.MethodOption = None,
    encoder: Annotated[
        str | None, typer.Option(help="Of the report. By default one of the gallery's that is no surrogate, if any.")
    ] = None,
    lpips: Annotated[
        Path | None,
        typer.Option(help="AlexNet's weights (torchvision's file): the report also has LPIPS.", show_default=False),
    ] = None,
    sheet: Annotated[
        bool, typer.Option("--sheet", help="Also write a picture of before, after, and the difference × 16.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run wrote there.")] = False,
    as_json: asking.JsonOption = False,
) -> None:
    """Change images a little so that their model is recognised less, and say how much that helped.

    The images themselves are never touched; protected ones are written as PNG, without the originals' metadata, and
    the reports beside them: those are yours, and say what an attacker should not know.
    A dataset (a folder with a metadata.csv, or with a sub-folder a model) becomes a dataset: its rows are carried
    over, and an interrupted run goes on with the same command.
    """
    where = asking.required_gallery(gallery)
    options: dict[str, Any] = asking.method_options(method, encoder) | ({} if recipe is None else {"recipe": recipe})
    options["lpips"] = lpips
    if surrogate is not None:
        options["surrogates"] = _surrogates(surrogate)
    from morelli.defence.store import seed_of
    from morelli.protect import PerturbSettings, Protector

    _check_parts(context, defence)
    dataset = dataset_of(images)
    known = None if dataset is None or overwrite else seed_of(out)
    drawn = known if known is not None else secrets.randbits(63)
    settings = PerturbSettings(epsilon=epsilon, steps=steps, seed=drawn if seed is None else seed)
    protector = Protector(where, defence=defence, settings=settings, **options)
    if dataset is not None:
        refuse({"model": model, "prompt": prompt})
        if sheet:
            check_sheet(out, overwrite)
        failed = protect_dataset(protector, dataset, out, overwrite, as_json)
        if sheet:
            write_sheet(dataset, out, overwrite)
    else:
        asked = {"model": model, "prompt": prompt}
        failed = _protect_pictures(protector, images, asked, out, sheet, overwrite, as_json)
    if failed:
        raise typer.Exit(1)


def _surrogates(text: str) -> list[str]:
    from morelli.encoders.catalogue import encoder_specs

    try:
        return encoder_specs(text)
    except InputError as error:
        raise InputError(error.message, argument="--surrogate", fix=error.fix) from error


def _check_parts(context: typer.Context, defence: str) -> None:
    """Refuse options that the defence has no use for: who gives one expects it to do something."""
    from morelli.protect import DEFENCES

    idle = dict.fromkeys(DEFENCES, ("recipe",)) | {"canonical": ("epsilon", "steps", "seed", "surrogate")}
    for name in idle.get(defence, ()):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(f"plays no part in {defence}.", argument=f"--{name}", fix="Leave it out.")


def _protect_pictures(
    protector: Protector,
    images: list[Path],
    asked: dict[str, str | None],
    out: Path,
    sheet: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Pictures one by one; how many failed."""
    files, empty = asking.pictures(images)
    outputs = _plan(files, out, sheet, overwrite)
    for name, error in empty:
        tell(name, error, as_json)
    return len(empty) + (_run(protector, files, outputs, asked, out, sheet, overwrite, as_json) if files else 0)


def _plan(files: list[Path], out: Path, sheet: bool, overwrite: bool) -> list[Path]:
    from morelli.defence.files import plan_outputs
    from morelli.defence.store import PICTURE_REPORTS, check_reports

    check_reports(out / PICTURE_REPORTS)
    outputs = plan_outputs(files, out, overwrite=overwrite)
    if sheet and out / SHEET in outputs:
        raise InputError(
            f"an image is called {SHEET} too.", argument="--sheet", fix="Leave it out, or rename the image."
        )
    if sheet and (out / SHEET).exists() and not overwrite:
        raise InputError(
            f"{out / SHEET} exists already.", argument="--out", fix="Name another place, or add --overwrite."
        )
    return outputs


def _run(
    protector: Protector,
    files: list[Path],
    outputs: list[Path],
    asked: dict[str, str | None],
    out: Path,
    sheet: bool,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Protect, write and tell one image after another; how many failed."""
    from morelli.defence.files import png_bytes, write_file
    from morelli.defence.sheet import side_by_side
    from morelli.defence.store import PICTURE_REPORTS, keep_report, last_reports

    failed, pairs = 0, []
    with staged_progress() as bars:
        for source, path, found in zip(
            files, outputs, protector.protect(files, **asked, progress=spoken(bars)), strict=True
        ):
            if isinstance(found, MorelliError):
                failed += 1
                tell(str(source), found, as_json)
                continue
            data = png_bytes(found.after)
            write_file(path, data, overwrite=overwrite)
            done = replace(found, output=str(path), output_sha256=hashlib.sha256(data).hexdigest())
            keep_report(out / PICTURE_REPORTS, plain(done.to_json()))
            emit_json(done.to_json()) if as_json else show(done)
            if sheet:
                pairs.append((found.before, found.after))
    last_reports(out / PICTURE_REPORTS)
    if pairs:
        write_file(out / SHEET, png_bytes(side_by_side(pairs)), overwrite=overwrite)
        say(f"wrote {out / SHEET}")
    return failed


def show(found: Protected) -> None:
    """A report for people."""
    report, quality = found.report, found.report["quality"]
    print(f"{found.image} → {found.output}")
    print(f"{'model':9} {report['model']['name']} ({report['model']['from']})")
    print(f"{'judge':9} {judged_by(report)}")
    for when in ("before", "after", "noise"):
        if when in report:
            print(f"{when:9} {_line(report[when])}")
    decibel = "equal" if quality["psnr"] is None else f"{quality['psnr']:.1f} dB"
    learnt = "" if quality["lpips"] is None else f", LPIPS {quality['lpips']:.4f}"
    print(
        f"{'quality':9} PSNR {decibel}, MS-SSIM {quality['ms_ssim']:.4f}{learnt},"
        f" at most {quality['largest_change']} levels"
    )
    for note in report["notes"]:
        print(f"{'note':9} {note}")
    print()


def judged_by(report: dict[str, Any]) -> str:
    """The attributor and encoder of the report, and whether the defence knew the encoder."""
    from morelli.defence.overlap import share_a_name

    used, defence = report["method"], report["defence"]
    if defence["name"] == "canonical":
        word = "no encoder is optimised against"
    elif used["unseen_encoder"]:
        word = "an unseen encoder"
    elif any(share_a_name(used["encoder"], each["encoder"]) for each in defence["surrogates"]):
        word = "a surrogate: the best case"
    else:
        word = "it shares its front end with a surrogate: near the best case"
    return f"{used['name']} with {used['encoder']} ({word})"


def _line(judged: dict[str, Any]) -> str:
    rank = "" if judged["rank"] is None else f", the true model is in place {judged['rank']}"
    return f"{judged['decision']} (first {judged['first']}, {100 * judged['probability']:.1f} %{rank})"
