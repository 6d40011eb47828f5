"""``morelli identify --method regeneration``: its options, and the question that they make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli import asking
from morelli.cli.output import say
from morelli.errors import InputError

if TYPE_CHECKING:
    from morelli.generators.base import Generator
    from morelli.inversion.base import Inverter

METHOD = "regeneration"
#: What a query's prompt is found by where all generators are the zoo's and no prompt is given.
ZOO_INVERTER = "blip:zoo"
_ALLOW = "Say --yes-send to allow it, or choose a local generator."
_PANEL = "Regeneration"

GeneratorsOption = Annotated[
    str | None,
    typer.Option(
        help="Models to ask for fresh images: zoo, zoo/NAME, diffusers:ID_OR_FOLDER, …, several with commas between "
        "them, or a .toml, .json or .yaml file that lists some.",
        rich_help_panel=_PANEL,
    ),
]
InverterOption = Annotated[
    str | None,
    typer.Option(
        help="Where the prompt comes from: given (by --prompt), blip:ID_OR_FOLDER, pez:ID_OR_FOLDER; blip:zoo and "
        "pez:zoo are built in.",
        rich_help_panel=_PANEL,
    ),
]
GammaOption = Annotated[
    int | None, typer.Option(min=1, help="Fresh images of each model; 10 by default.", rich_help_panel=_PANEL)
]
SimilarityOption = Annotated[
    str | None,
    typer.Option(
        help="How they are compared: fused (the default), plda, clip-cosine (as published), ssim, hybrid.",
        rich_help_panel=_PANEL,
    ),
]
YesSendOption = Annotated[
    bool,
    typer.Option(
        "--yes-send", help="Allow prompts to be sent to the hosts of hosted generators.", rich_help_panel=_PANEL
    ),
]


@dataclass(frozen=True)
class RegenerationOptions:
    """What belongs to regeneration alone; None where it was not given."""

    generators: str | None
    inverter: str | None
    gamma: int | None
    similarity: str | None
    yes_send: bool


@dataclass(frozen=True)
class Question:
    """What it shares with the other methods."""

    gallery: str | None
    prompt: str | None
    encoder: str | None
    epsilon: float
    stability: bool
    claims: bool = True
    trust: Path | None = None


def is_asked(method: str | None, options: RegenerationOptions) -> bool:
    """Whether the question is one for regeneration: its method is named, or generators are.

    Raises
    ------
    InputError
        Another method is named beside an option of regeneration's.
    """
    if method == METHOD or (method is None and options.generators is not None):
        return True
    for field in fields(options):
        if getattr(options, field.name):
            option = f"--{field.name.replace('_', '-')}"
            raise InputError(f"goes with --method {METHOD}.", argument=option, fix="Leave it out, or say that method.")
    return False


def ask(
    options: RegenerationOptions, question: Question, files: Sequence[Path], stages: asking.Stages
) -> Iterable[Any]:
    """Verdicts and failures, one a file."""
    from morelli.errors import MorelliError
    from morelli.generators.catalogue import check_consent, hosts, load_generators
    from morelli.identify import STABILITY, Failure
    from morelli.images.claims.attach import with_claims
    from morelli.images.claims.credentials import load_roots
    from morelli.regeneration.catalogue import DEFAULT_SIMILARITY, load_similarity
    from morelli.regeneration.engine import DEFAULT_GAMMA, Regeneration
    from morelli.regeneration.verdicts import Regenerator

    roots = load_roots(question.trust)
    chosen = load_generators(_required(options.generators))
    for host in hosts(chosen):
        say(f"warning: a prompt that describes the image leaves this machine for {host}, a third party.")
    check_consent(chosen, options.yes_send, _ALLOW)  # before any network is read
    inverter = _inverter(options.inverter, question.prompt, chosen)
    similarity = load_similarity(
        options.similarity or DEFAULT_SIMILARITY,
        encoder=question.encoder,
        gallery=question.gallery,
        on_learn=lambda: stages("learning", 0, 1),
    )
    regeneration = Regeneration(chosen, similarity, gamma=options.gamma or DEFAULT_GAMMA, allow_send=options.yes_send)
    steps = STABILITY if question.stability else ()
    regenerator = Regenerator(regeneration, inverter, stability=steps, epsilon=question.epsilon)
    answers: Iterable[Any] = regenerator.identify(files, progress=stages)
    if question.claims:
        answers = with_claims(files, answers, roots=roots)
    for file, answer in zip(files, answers, strict=True):
        yield Failure(str(file), answer) if isinstance(answer, MorelliError) else answer


def _required(generators: str | None) -> str:
    if not generators:
        raise InputError(
            "no generators were named, so there is nobody to ask for images.",
            argument="--generators",
            fix="Name some: --generators zoo, or a file that lists them.",
        )
    return generators


def _inverter(spec: str | None, prompt: str | None, generators: Sequence[Generator]) -> Inverter:
    from morelli.inversion.catalogue import GIVEN, load_inverter

    if spec is None and prompt is None and not all(each.id.startswith("zoo/") for each in generators):
        raise InputError(
            "no prompt is known, and nothing says how to find one.",
            argument="--inverter",
            fix="Give --prompt, or name an inverter: --inverter blip:Salesforce/blip-image-captioning-large",
        )
    return load_inverter(spec or (ZOO_INVERTER if prompt is None else GIVEN), prompt)
