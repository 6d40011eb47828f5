"""``morelli train``: extractors that learn from synthetic models, and go on learning from a dataset's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.output import emit_json, say
from morelli.cli.progress import progress
from morelli.cli.stopping import Signals

if TYPE_CHECKING:
    from morelli.fingerprint.learn.classes import Classes
    from morelli.fingerprint.learn.settings import LearnSettings

TRAINING_SCHEMA = "morelli.training/1"
#: Of a fine-tuning: the published rate.
FINETUNE_RATE = 1e-4
#: Share of the synthetic models kept for validation.
HELD_OUT = 0.1


@dataclass(frozen=True)
class _Request:
    """The command's options that are no settings."""

    store: Path | None
    photos: Path | None
    out: Path
    finetune: Path | None
    begin: Path | None
    also: Path | None
    plain: bool
    held_out: float
    centre: bool
    minutes: float | None
    steps: int | None
    checkpoint: Path
    cache: Path
    cache_gib: float
    device: str
    pretrained: Path | None
    as_json: bool


def register(app: typer.Typer) -> None:
    """Add the group ``train`` with its commands."""
    group = typer.Typer(no_args_is_help=True, help="Train the networks that Morelli learns itself.")
    group.callback()(_group)
    group.command("fingerprint")(fingerprint)
    app.add_typer(group, name="train")


def _group() -> None:
    """Train the networks that Morelli learns itself."""


def fingerprint(
    out: Annotated[Path, typer.Option(help="File of the weights (.safetensors).")],
    store: Annotated[
        Path | None, typer.Argument(help="A store of synthetic models (morelli synthesize).", show_default=False)
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photographs that the models are shown.", show_default=False)
    ] = None,
    preset: Annotated[str, typer.Option(help="default or as-published; other options change it.")] = "default",
    architecture: Annotated[str | None, typer.Option(help="small or resnet50.")] = None,
    chain: Annotated[
        str | None, typer.Option(help="default, whole, published, median, denoiser, denoiser-17x64, wavelet, oidn.")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="ce+triplet, ce, triplet or supcon.")] = None,
    triplet: Annotated[str | None, typer.Option(help="batch-hard or semi-hard.")] = None,
    margin: Annotated[float | None, typer.Option(help="Of triplets.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of supcon.")] = None,
    sampler: Annotated[str | None, typer.Option(help="pk: models x images; random: as published.")] = None,
    p: Annotated[int | None, typer.Option(help="Models of a batch.")] = None,
    k: Annotated[int | None, typer.Option(help="Images of each.")] = None,
    siblings: Annotated[int | None, typer.Option(help="Models of a batch that share an architecture.")] = None,
    same_photos: Annotated[
        bool | None, typer.Option("--same-photos/--no-same-photos", help="One batch, the same photographs.")
    ] = None,
    augment: Annotated[str | None, typer.Option(help="none or immunised (JPEG, WebP, crops, blur, noise).")] = None,
    quantise: Annotated[
        bool | None,
        typer.Option("--quantise/--no-quantise", help="Clamp and round models' outputs to 8 bits, as files are."),
    ] = None,
    slots: Annotated[int | None, typer.Option(help="Crops of photographs that are cached of each model.")] = None,
    cache_kind: Annotated[
        str | None, typer.Option("--cache-kind", help="What is cached: spectra, pixels or none.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="0: the untrained network, as a control.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Plan the steps for so long instead.", show_default=False)
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps.")] = None,
    keep: Annotated[str | None, typer.Option(help="last weights, or the best of the validations.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
    shuffle_labels: Annotated[bool, typer.Option("--shuffle-labels", help="The control: labels say nothing.")] = False,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    held_out: Annotated[
        float | None, typer.Option(help="Share of synthetic models kept for validation; 0.1.", show_default=False)
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain-photos", help="The photographs themselves as one more class.")
    ] = False,
    also: Annotated[Path | None, typer.Option(help="A dataset whose models are further classes.")] = None,
    finetune: Annotated[Path | None, typer.Option(help="Go on with a dataset's models as classes.")] = None,
    begin: Annotated[Path | None, typer.Option("--from", help="The weights to go on from, for --finetune.")] = None,
    centre: Annotated[
        bool, typer.Option("--centre", help="Datasets: centres of images, not windows all over.")
    ] = False,
    pretrained: Annotated[Path | None, typer.Option(help="Folder of a ResNet-50 to begin from.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder to go on from. Default: OUT.training.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of what is cached. Default: in the checkpoint's.")] = None,
    cache_gib: Annotated[
        float, typer.Option(min=0.001, help="What the cache may take, GiB, the validation's part included.")
    ] = 8.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Train a fingerprint extractor: synthetic models as classes (paper 002), or --finetune on a dataset's.

    An interrupted command, also one that was terminated, goes on with the next call to the same weights.
    """
    from morelli.devices import choose_device
    from morelli.fingerprint.learn.settings import preset as make

    if finetune is None:
        _check_new(store, photos, begin)
    else:
        _check_finetuning(begin, [store, photos, architecture, chain, pretrained, also, held_out, quantise])
        _check_plain(plain, keep)
    if minutes is not None and steps is not None:
        raise typer.BadParameter("plans the steps itself: leave --steps out.", param_hint="--minutes")
    if centre and finetune is None and also is None:
        raise typer.BadParameter("is about the images of --finetune or --also.", param_hint="--centre")
    settings = make(
        preset, architecture=architecture, chain=chain, loss=loss, triplet=triplet, margin=margin,
        temperature=temperature, sampler=sampler, p=p, k=k, siblings=siblings, same_photos=same_photos, augment=augment,
        quantise=quantise, slots=slots, cache=cache_kind, steps=steps,
        lr=FINETUNE_RATE if finetune is not None and lr is None else lr, validate_every=validate_every,
        keep=keep, precision=precision, shuffle_labels=shuffle_labels or None, seed=seed,
    )  # fmt: skip
    folder = checkpoint or out.with_suffix(".training")
    asked = _Request(
        store, photos, out, finetune, begin, also, plain, HELD_OUT if held_out is None else held_out, centre, minutes,
        steps, folder, cache or folder / "cache", cache_gib, choose_device(device), pretrained, as_json,
    )  # fmt: skip
    _train(asked, settings)


def _check_new(store: Path | None, photos: Path | None, begin: Path | None) -> None:
    if store is None or photos is None:
        raise typer.BadParameter("is needed.", param_hint="STORE" if store is None else "--photos")
    if begin is not None:
        raise typer.BadParameter("goes with --finetune.", param_hint="--from")


def _check_finetuning(begin: Path | None, others: list[Any]) -> None:
    if begin is None:
        raise typer.BadParameter("needs the weights to go on from: --from FILE.", param_hint="--finetune")
    if any(each is not None for each in others):
        raise typer.BadParameter(
            "takes network and chain from --from, and no STORE, --photos, --architecture, --chain, --pretrained, "
            "--also, --held-out or --quantise.",
            param_hint="--finetune",
        )


def _check_plain(plain: bool, keep: str | None) -> None:
    if plain:
        raise typer.BadParameter("shows no photographs with --finetune.", param_hint="--plain-photos")
    if keep == "best":
        raise typer.BadParameter("needs held-out models, and --finetune has none.", param_hint="--keep")


def _train(asked: _Request, settings: LearnSettings) -> None:
    from morelli.fingerprint.extractor import load_extractor
    from morelli.fingerprint.learn.bank import GIB
    from morelli.fingerprint.learn.run import Budget, Place, learn, one_epoch

    begin = None if asked.begin is None else load_extractor(asked.begin)
    classes = _classes(asked, settings)
    if asked.finetune is not None and asked.steps is None and asked.minutes is None:
        settings = one_epoch(classes, settings)
    place = Place(asked.checkpoint, asked.cache, int(asked.cache_gib * GIB), asked.device)
    signals = Signals()
    with progress("pictures") as report:
        told = learn(
            classes, settings, asked.out, place, budget=Budget(asked.minutes), begin=begin,
            pretrained=asked.pretrained, stopping=signals.heeded, progress=report, say=say,
        )  # fmt: skip
    if told is None:
        say(f"stopped; the same command goes on from {asked.checkpoint}.")
        raise typer.Exit(128 + signals.number)
    if asked.as_json:
        emit_json({"schema": TRAINING_SCHEMA, "file": asked.out, **told})
    else:
        print(_line(asked.out, told))


def _classes(asked: _Request, settings: LearnSettings) -> Classes:
    from morelli.fingerprint.learn.classes import dataset_classes, synthetic_classes
    from morelli.fingerprint.windows import SIDE
    from morelli.images.dataset import read_dataset

    where = "centre" if asked.centre else "windows"
    if asked.store is None or asked.photos is None:
        return dataset_classes(_items(asked.finetune), settings, where)
    from morelli.synthesis.photos import read_photos
    from morelli.synthesis.store import Store

    store = Store(asked.store)  # a folder that is none is said before the photographs are read
    photos = read_photos(asked.photos, SIDE + 2 * settings.margin_px)
    for note in photos.notes:
        say(f"note: {note}")
    return synthetic_classes(
        store, photos, settings, held_out=asked.held_out, plain=asked.plain,
        also=() if asked.also is None else read_dataset(asked.also).items, also_where=where, device=asked.device,
    )  # fmt: skip


def _items(folder: Path | None) -> Any:
    from morelli.images.dataset import read_dataset

    return () if folder is None else read_dataset(folder).items


def _line(out: Path, told: dict[str, Any]) -> str:
    words = f"{out}: {told['classes']} classes, {told['steps']} steps"
    figures = told["validation"]
    if figures:
        words += f"; unseen models: AUC {figures['auc']:.3f}, accuracy {figures['accuracy']:.3f}"
        words += f" (chance {figures['chance']:.3f})"
    return words + (f"; control: {told['control']}" if told["control"] else "")
