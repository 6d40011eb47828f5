"""The second kind of attributor: it sees pictures, not embeddings. For systems that bring their own features."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from morelli.errors import InputError, UnknownNameError
from morelli.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Feature = NDArray[np.float32]


class ImageAttributor(ABC):
    """Pictures of known models in, one score per model out; a higher score is better.

    Learnt state ends in ``_``; ``__init__`` only stores its arguments. A query's scores do not depend on the other
    queries.

    Attributes
    ----------
    models_ : ndarray of str, shape (m,)
        Columns of `scores`, sorted; set by `fit`.
    under_trained : str
        What a fitted attributor lacks of its published training, as a phrase ("300 of 12,000 published steps"), or that
        nobody has published one; "" where it lacks nothing, or nothing is trained. Tables label such a method.
    resizes : bool
        Whether pictures of several sizes may be resized to one. Where not, evaluations cut their middle instead.
    """

    models_: NDArray[np.str_]
    under_trained: str = ""
    resizes: bool = True

    @abstractmethod
    def fit(self, images: Sequence[Pixels], models: NDArray[np.str_]) -> Self:
        """Learn from pictures.

        Parameters
        ----------
        images : sequence of ndarray, shape (height, width, 3), uint8
            sRGB; sizes may differ unless the method says that it needs one.
        models : ndarray of str, shape (n,)
            Who made each.
        """

    @abstractmethod
    def scores(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Scores of n pictures under every model: shape (n, m), columns in the order of ``models_``."""

    def embed(self, images: Sequence[Pixels]) -> NDArray[np.float32]:
        """What the method compares pictures by, for models that it was not fitted on: shape (n, d).

        Raises
        ------
        InputError
            The method has no such thing.
        """
        raise InputError("gives scores and no embeddings.", argument=type(self).__name__)


class FeatureAttributor(ImageAttributor):
    """An image attributor in two parts: features of each picture alone, and what is learnt from them.

    Features are computed once and learnt from as often as a protocol asks.
    """

    #: Whether `features` needs the prompts' texts.
    uses_texts: bool = False
    #: Whether references of the query's own prompt join what is learnt from: quick methods are fitted for each prompt.
    joins_references: bool = True

    @abstractmethod
    def features(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> list[Feature]:
        """What the method sees of each picture, nothing learnt: one array a picture, float32.

        Parameters
        ----------
        images : sequence of ndarray, shape (height, width, 3), uint8
        texts : sequence of str, optional
            The prompts, where ``uses_texts``.
        """

    @abstractmethod
    def fit_features(self, features: Sequence[Feature], models: NDArray[np.str_]) -> Self:
        """Learn from features of pictures whose models are known."""

    @abstractmethod
    def scores_features(self, features: Sequence[Feature]) -> NDArray[np.float64]:
        """Scores under every model, shape (n, m)."""

    def embed_features(self, features: Sequence[Feature]) -> NDArray[np.float32]:
        """Embeddings, shape (n, d)."""
        raise InputError("gives scores and no embeddings.", argument=type(self).__name__)

    def fit(self, images: Sequence[Pixels], models: NDArray[np.str_], texts: Sequence[str] | None = None) -> Self:
        """Learn from pictures, and their prompts where ``uses_texts``."""
        return self.fit_features(self.features(images, texts), models)

    def scores(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> NDArray[np.float64]:
        """Scores of n pictures under every model: shape (n, m)."""
        return self.scores_features(self.features(images, texts))

    def embed(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> NDArray[np.float32]:
        """What the method compares pictures by: shape (n, d)."""
        return self.embed_features(self.features(images, texts))


#: ``IMAGE_REGISTRY.get(name)()`` is a fresh image attributor. The baselines are entry points of the package itself, as
#: attribution knows nothing of the layers above it.
IMAGE_REGISTRY: Registry[Callable[..., ImageAttributor]] = Registry("image attributor", {}, "morelli.image_attributors")


def is_image_attributor(spec: str) -> bool:
    """Whether a spec, ``NAME`` or ``NAME@option=value+option=value``, names an image attributor."""
    return spec.partition("@")[0] in IMAGE_REGISTRY


def load_image_attributor(spec: str, folders: Mapping[str, str] | None = None) -> ImageAttributor:
    """A fresh image attributor.

    Parameters
    ----------
    spec : str
        ``NAME``, or ``NAME@option=value+option=value`` with arguments of its class: ``resnet50@steps=300+batch=16``.
        Of an option that takes several numbers they are joined with dashes: ``depths=3-4-6-3``.
    folders : mapping of str to str, optional
        Where methods keep what they compute, by option ("checkpoint": trainings, "cache": embeddings): for those that
        have the option, unless the spec gives it.

    Raises
    ------
    UnknownNameError
        No such name or option; the nearest are suggested.
    InputError
        A value that is not what the option takes.
    """
    name, _, text = spec.partition("@")
    maker = IMAGE_REGISTRY.get(name)
    given = _options(name, maker, text) if text else {}
    known = inspect.signature(maker).parameters if folders else {}
    return maker(**{option: folder for option, folder in (folders or {}).items() if option in known} | given)


def _options(name: str, maker: Callable[..., ImageAttributor], text: str) -> dict[str, Any]:
    known = inspect.signature(maker).parameters
    out: dict[str, Any] = {}
    for part in text.split("+"):
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if option not in known:
            raise UnknownNameError(f"option of {name}", option, known)
        if not equals or not value:
            raise InputError("needs a value: option=value.", argument=f"{name}@{option}")
        out[option] = _value(value, known[option], f"{name}@{option}")
    return out


def _value(text: str, option: inspect.Parameter, argument: str) -> Any:
    """A value of the option's type: of its default or, where that is None, of its annotation."""
    default = option.default
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise InputError(f"must be true or false; got {text!r}.", argument=argument)
        return text == "true"
    if isinstance(default, tuple):
        kinds: tuple[type, ...] = (type(default[0]) if default else str,)
        parts = text.split("-")
    else:
        kinds, parts = _kinds(option), [text]
    for kind in kinds:
        try:
            found = tuple(kind(part) for part in parts)
        except (TypeError, ValueError):
            continue
        return found if isinstance(default, tuple) else found[0]
    several = ", several joined with dashes" if isinstance(default, tuple) else ""
    raise InputError(f"must be {kinds[0].__name__}{several}; got {text!r}.", argument=argument)


def _kinds(option: inspect.Parameter) -> tuple[type, ...]:
    """Types to try, the strictest first."""
    if option.default is not None:
        return (type(option.default),)
    # As text where the annotations of a module are not evaluated.
    named = {part.strip() for part in str(getattr(option.annotation, "__name__", option.annotation)).split("|")}
    return tuple(kind for kind in (int, float, str) if kind.__name__ in named) or (int, float, str)
