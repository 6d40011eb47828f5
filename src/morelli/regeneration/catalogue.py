"""The measures of likeness that there are, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from morelli.attribution.catalogue import attributor_names
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.catalogue import DEFAULT_ENCODER, REGISTRY, load_encoder
from morelli.errors import InputError, UnknownNameError
from morelli.gallery.view import GalleryView
from morelli.inversion.checkpoint import ZOO, find_zoo_part
from morelli.regeneration.by_attributor import ByAttributor, read_background
from morelli.regeneration.pairwise import ClipCosine, Hybrid, Ssim
from morelli.regeneration.similarity import Similarity

DEFAULT_SIMILARITY = "fused"
PAIRWISE = (ClipCosine.name, Ssim.name, Hybrid.name)


def similarity_names() -> tuple[str, ...]:
    """Names that `load_similarity` takes: the published ones, then the attributors."""
    return (*PAIRWISE, *attributor_names())


def load_similarity(
    name: str = DEFAULT_SIMILARITY,
    *,
    encoder: Encoder | str | None = None,
    gallery: str | Path | None = None,
    cache: str | Path | None = None,
    on_learn: Callable[[], None] = lambda: None,
) -> Similarity:
    """A measure of likeness, with its network read.

    Parameters
    ----------
    name : str
        One of `similarity_names`.
    encoder : Encoder or str, optional
        For ``clip-cosine`` and ``hybrid`` a CLIP, by default the zoo's own; its projected features unless the text
        names layers. For attributors by default the gallery's, or the default encoder.
    gallery : str or Path, optional
        Background for an attributor.
    cache : str or Path, optional
        Folder for embeddings and statistics; by default `default_folder`.
    on_learn : callable
        Called before something is learnt from the gallery.

    Raises
    ------
    UnknownNameError
        No measure or encoder is called that.
    InputError
        An encoder for ``ssim``, or a gallery for a measure that is no attributor.
    WeightsError, MissingExtraError
        The network cannot be read.
    MissingGalleryError, EmptyGalleryError, GalleryMismatchError
        The gallery cannot serve.
    """
    if name not in similarity_names():
        raise UnknownNameError("similarity", name, similarity_names())
    folder = default_folder() if cache is None else Path(cache)
    kept = EmbeddingCache(folder)
    if name in PAIRWISE:
        if gallery is not None:
            fix = f"Leave the gallery out, or take {DEFAULT_SIMILARITY}."
            raise InputError(f"{name} learns nothing from a gallery.", argument="gallery", fix=fix)
        if name == Ssim.name:
            if encoder is not None:
                raise InputError("ssim compares pixels, without an encoder.", argument="encoder", fix="Leave it out.")
            return Ssim()
        cosine = ClipCosine(_clip(encoder), kept)
        return cosine if name == ClipCosine.name else Hybrid(cosine)
    chosen = _encoder(encoder, gallery)
    background = None if gallery is None else read_background(gallery, chosen)
    return ByAttributor(name, chosen, background, cache=kept, folder=folder, on_learn=on_learn)


def _clip(encoder: Encoder | str | None) -> Encoder:
    if encoder is not None and not isinstance(encoder, str):
        return encoder
    spec = str(find_zoo_part("clip")) if encoder in (None, ZOO) else str(encoder)
    layered = "@" in spec and not Path(spec).expanduser().is_dir()
    return load_encoder(spec if layered or spec in REGISTRY else f"{spec}@projected")


def _encoder(encoder: Encoder | str | None, gallery: str | Path | None) -> Encoder:
    if encoder is None and gallery is not None:
        encoder = GalleryView.open(gallery).usual_encoder(DEFAULT_ENCODER)
    if encoder is None or isinstance(encoder, str):
        return load_encoder(encoder or DEFAULT_ENCODER)
    return encoder
