"""The encoders that there are, and how a name becomes one.

A *spec* is what the command line's ``--encoder`` takes and what a gallery writes down:

- a name of the registry: ``efficientnet-lite0``, or what an installed package adds; where what is registered takes an
  argument, ``NAME@ARGUMENT``: ``fingerprint@weights.safetensors``;
- ``hf:ORG/NAME``, a vision tower by hub id;
- the path of a folder that holds ``config.json`` and safetensors weights;
- ``default``, which is ``efficientnet-lite0``;
- ``A+B``, the encoders of several specs joined into one.

Hub ids and folders may end in ``@layer,layer``: ``hf:facebook/dinov2-small@block4/mean,pooled``.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from morelli.encoders.base import Encoder
from morelli.encoders.specs import split_joined, split_list
from morelli.errors import InputError, MorelliError, UnknownNameError, WeightsError
from morelli.registry import Registry

DEFAULT_ENCODER = "efficientnet-lite0"
#: What stands for it in a spec.
DEFAULT = "default"
GROUP = "morelli.encoders"


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """What one should know before choosing an encoder.

    Attributes
    ----------
    id : str
        What ``load_encoder`` takes.
    description : str
        One sentence.
    licence : str
        Of the weights.
    megabytes : int
        To fetch or to hold, about.
    offline : bool
        Installed with Morelli; nothing is fetched.
    """

    id: str
    description: str
    licence: str
    megabytes: int
    offline: bool = False


CATALOGUE: tuple[EncoderInfo, ...] = (
    EncoderInfo(
        "efficientnet-lite0",
        "The embedded default: statistics of middle blocks over several views of the image.",
        "Apache-2.0",
        19,
        offline=True,
    ),
    EncoderInfo(
        "efficientnet-lite2",
        "A second embedded network, wider and deeper, independent of the first.",
        "Apache-2.0",
        25,
        offline=True,
    ),
    EncoderInfo(
        "residual-spectrum",
        "A fingerprint without training: the mean spectrum of what a median filter takes away.",
        "Apache-2.0",
        1,
        offline=True,
    ),
    EncoderInfo(
        "residual-lattice",
        "A fingerprint without training: what blurs leave of a picture, by place in blocks of 16 pixels.",
        "Apache-2.0",
        1,
        offline=True,
    ),
    EncoderInfo(
        "hf:laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
        "The large CLIP of published centroid attribution; wants a GPU.",
        "MIT",
        10_160,
    ),
    EncoderInfo("hf:laion/CLIP-ViT-H-14-laion2B-s32B-b79k", "CLIP of the second size.", "MIT", 3_940),
    EncoderInfo("hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79k", "A small CLIP, quick on a CPU.", "MIT", 605),
    EncoderInfo("hf:google/siglip2-base-patch16-224", "SigLIP 2, base size.", "Apache-2.0", 1_500),
    EncoderInfo("hf:google/siglip2-so400m-patch14-384", "SigLIP 2, large, 384 pixels.", "Apache-2.0", 4_540),
    EncoderInfo("hf:facebook/dinov2-small", "DINOv2, small: low blocks are good at traces.", "Apache-2.0", 88),
    EncoderInfo("hf:facebook/dinov2-large", "DINOv2, large.", "Apache-2.0", 1_220),
    EncoderInfo(
        "hf:facebook/dinov3-vits16-pretrain-lvd1689m",
        "DINOv3, small; its licence must be accepted on the hub.",
        "DINOv3 License",
        86,
    ),
)

REGISTRY: Registry[Callable[[], Encoder]] = Registry(
    "encoder",
    {
        "efficientnet-lite0": "morelli.encoders.embedded:lite0",
        "efficientnet-lite2": "morelli.encoders.embedded:lite2",
    },
    GROUP,
)

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def encoder_names() -> tuple[str, ...]:
    """Names of the registry, sorted: built-in encoders and those of installed packages."""
    return tuple(REGISTRY)


def encoder_specs(text: str) -> list[str]:
    """The specs that an option names with commas between them, none twice; layers keep their commas.

    Raises
    ------
    InputError
        Nothing is named.
    """
    return split_list(text, lambda name: name == DEFAULT or name in REGISTRY)


def load_encoder(spec: str) -> Encoder:
    """The encoder of a spec, with its weights read.

    Parameters
    ----------
    spec : str
        A registered name, ``hf:ORG/NAME``, a folder, or several with "+" between them; see the module's text.

    Raises
    ------
    UnknownNameError
        Nothing is called that; the nearest names are suggested.
    InputError
        A spec that is malformed, or joins an encoder with itself.
    WeightsError
        The weights are absent or not those expected.
    MissingExtraError
        A transformers encoder, and transformers is not installed.
    """
    parts = split_joined(spec)
    if len(parts) == 1:
        return _load_one(spec)
    if not all(parts):
        raise InputError(f"must name an encoder on either side of +, and is {spec!r}.", argument="encoder")
    from morelli.encoders.joined import JoinedEncoder

    return JoinedEncoder([_load_one(part) for part in parts])


def _load_one(spec: str) -> Encoder:
    if spec == DEFAULT and DEFAULT not in REGISTRY:
        spec = DEFAULT_ENCODER
    name, _, argument = spec.partition("@")
    if name in REGISTRY:
        encoder = _make(name, argument)
        if not isinstance(encoder, Encoder):
            raise MorelliError(
                "what is registered under this name does not make an encoder (stamp, prepare, encode).", argument=spec
            )
        return encoder
    source, layers = _split(spec)
    if source.startswith("hf:"):
        if not _HUB_ID.fullmatch(source[3:]):
            raise InputError(f"must be hf:ORG/NAME, and is {source!r}.", argument="encoder")
    elif not _is_checkpoint(source):
        known = dict.fromkeys([*REGISTRY, *(info.id for info in CATALOGUE)])
        error = UnknownNameError("encoder", spec, known)
        if _HUB_ID.fullmatch(source):
            error.fix = f"For a network on the hub write hf:{spec}."
        raise error
    from morelli.encoders.transformers_vision import TransformersEncoder

    return TransformersEncoder(source, layers)


def _make(name: str, argument: str) -> object:
    """What a registered name makes, with the text after ``@`` where it takes one."""
    maker = cast("Callable[..., object]", REGISTRY.get(name))
    if not argument:
        return maker()
    if not inspect.signature(maker).parameters:
        raise InputError(f"takes nothing after @, and {argument!r} came.", argument=name)
    return maker(argument)


def _split(spec: str) -> tuple[str, list[str] | None]:
    """Source and layers; an ``@`` inside a folder's name is no separator."""
    if "@" not in spec or Path(spec).expanduser().is_dir():
        return spec, None
    source, _, names = spec.rpartition("@")
    layers = [name.strip() for name in names.split(",")]
    if not all(layers):
        raise InputError(f"must name layers after @, separated by commas, and is {spec!r}.", argument="encoder")
    return source, layers


def _is_checkpoint(source: str) -> bool:
    """Whether it names a folder with a checkpoint; a path that leads nowhere is an error of its own."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise WeightsError(
                "the folder has no config.json.", argument=source, fix="Name a folder that save_pretrained wrote."
            )
        return True
    if folder.is_absolute() or source.startswith((".", "~")) or (os.sep != "/" and os.sep in source):
        raise WeightsError("no such folder.", argument=source)
    return False
