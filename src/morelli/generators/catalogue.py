"""The generators that there are, and how a text or a file becomes some.

A *spec* is what the command line's ``--generator`` takes:

- ``zoo``, all built-in models, or ``zoo/NAME``, one of them;
- ``diffusers:ID_OR_FOLDER``, ``hub-inference:MODEL``, ``openai:MODEL``, ``folder:PATH``, or ``NAME:…`` of an
  installed package;
- several of these, separated by commas;
- a file, ``.toml``, ``.json`` or ``.yaml``, that lists generators with their options, see `generators_file`.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from morelli.errors import ConsentError, InputError, UnknownNameError, WeightsError
from morelli.generators.base import Generator
from morelli.generators.generators_file import SUFFIXES, read_generators_file
from morelli.generators.options import read_options
from morelli.names import refuse_reserved
from morelli.registry import Registry

GROUP = "morelli.generators"
ZOO = "zoo"

#: Kind → class with ``Options``, a dataclass. Made by ``load(argument, options)``, which gives several, where the
#: class has that, else by the class itself.
REGISTRY: Registry[Any] = Registry(
    "generator",
    {
        "diffusers": "morelli.generators.diffusers_pipeline:DiffusersGenerator",
        "hub-inference": "morelli.generators.hub_inference:HubInferenceGenerator",
        "openai": "morelli.generators.openai_images:OpenAIGenerator",
        "folder": "morelli.generators.folder:FolderGenerator",
    },
    GROUP,
)


def load_generators(
    spec: str, *, options: Mapping[str, Any] | None = None, price: float | None = None
) -> list[Generator]:
    """The generators of a spec, in order. Weights are read when the first image is asked for.

    Parameters
    ----------
    spec : str
        See the module's text.
    options : mapping, optional
        For every generator of the spec, before those that its file gives.
    price : float, optional
        Of one image, for hosted generators whose file gives none.

    Raises
    ------
    UnknownNameError
        No generator, model of the zoo, or option is called that; the nearest are suggested.
    InputError
        An empty spec, a wrong option, a file that cannot be read, or two generators of one model name.
    ReservedNameError
        A generator's model has a name that verdicts give to no model.
    WeightsError
        A built-in model is asked for, and this installation carries none.
    """
    given = dict(options or {})
    if Path(spec).suffix.lower() in SUFFIXES and spec.partition(":")[0] not in REGISTRY:
        listed = [(name, {**given, **own}) for name, own in read_generators_file(Path(spec).expanduser())]
    else:
        # A comma may also stand in a path, so that what is there as a whole is one generator.
        kind, _, rest = spec.partition(":")
        place = rest.partition("#")[0]
        whole = kind in REGISTRY and bool(place) and Path(place).expanduser().exists()
        listed = [(name.strip(), given) for name in ([spec] if whole else spec.split(","))]
    made = [each for name, own in listed for each in _load(name, own, price)]
    for each in made:  # before anything is made, and paid for, under it
        refuse_reserved(each.model, each.id)
        refuse_reserved(getattr(each, "base", None) or "", each.id, "base")
    _check_distinct(made)
    return made


def _check_distinct(made: Sequence[Generator]) -> None:
    twice = [name for name, count in Counter(each.model for each in made).items() if count > 1]
    if twice:
        ids = ", ".join(each.id for each in made if each.model == twice[0])
        raise InputError(
            f"{ids} are all called {twice[0]!r}.",
            argument="generator",
            fix="List each once; to compare settings of one model, give each a name by the option model.",
        )


def generator_names() -> tuple[str, ...]:
    """What a spec may begin with, sorted: kinds, and the models of the zoo."""
    return tuple(sorted([*REGISTRY, ZOO, *(f"{ZOO}/{name}" for name in _zoo().names())]))


def _load(name: str, options: Mapping[str, Any], price: float | None) -> list[Generator]:
    if not name:
        raise InputError("names no generator.", argument="generator", fix="Try zoo.")
    kind, colon, argument = name.partition(":")
    if kind == ZOO or kind.startswith(f"{ZOO}/"):
        return _load_zoo(name, options)
    if kind not in REGISTRY:
        raise UnknownNameError("generator", name if not colon else kind, [*REGISTRY, *_zoo_names()])
    if not argument:
        raise InputError(f"must be {kind}:…", argument=name, fix=f"Say which: for example {kind}:NAME.")
    factory = REGISTRY.get(kind)
    wanted = dict(options)
    if price is not None and any(each.name == "price" for each in fields(factory.Options)):
        wanted.setdefault("price", price)
    record = read_options(factory.Options, wanted, name)
    made = factory.load(argument, record) if hasattr(factory, "load") else [factory(argument, record)]
    return list(made)


def _load_zoo(name: str, options: Mapping[str, Any]) -> list[Generator]:
    if options:
        error = UnknownNameError("option", next(iter(options)), [])
        error.argument, error.fix = name, "The built-in models take none."
        raise error
    zoo = _zoo()
    if not zoo.names():
        raise WeightsError(
            "this installation carries no built-in model.",
            argument=name,
            fix="Train some (training/zoo/README.md), or name other generators.",
        )
    if name == ZOO:
        return [zoo.load(each) for each in zoo.names()]
    wanted = name.removeprefix(f"{ZOO}/")
    if wanted not in zoo.names():
        raise UnknownNameError("generator", name, [*REGISTRY, *_zoo_names()])
    return [zoo.load(wanted)]


def _zoo() -> Any:
    return importlib.import_module("morelli.generators.zoo.catalogue")


def _zoo_names() -> list[str]:
    return [ZOO, *(f"{ZOO}/{each}" for each in _zoo().names())]


def hosts(generators: Iterable[Generator]) -> list[str]:
    """Where prompts would go, each once."""
    return list(dict.fromkeys(str(each.host) for each in generators if each.hosted))


def check_consent(generators: Sequence[Generator], allowed: bool, fix: str) -> list[str]:
    """Where prompts go, if they may.

    Parameters
    ----------
    allowed : bool
        Whether the user said that they may leave this machine.
    fix : str
        How to say it.

    Raises
    ------
    ConsentError
        They may not, and a generator is hosted; it and its host are named.
    """
    for each in generators:
        if each.hosted and not allowed:
            raise ConsentError(f"would send prompts to {each.host}.", argument=each.id, fix=fix)
    return hosts(generators)
