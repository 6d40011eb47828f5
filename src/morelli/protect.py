"""The facade for defences: images and a gallery become protected images, and what each still gives away."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._version import __version__
from morelli.attribution.catalogue import DEFAULT_METHOD
from morelli.defence.canonical import RECIPE, canonical, check_recipe
from morelli.defence.judge import Judge, Judged
from morelli.defence.quality import ms_ssim, psnr
from morelli.defence.settings import PerturbSettings, check_settings
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.variants import source_name
from morelli.errors import MorelliError, NotEnoughReferencesError, UnknownNameError
from morelli.gallery.prompts import find_prompt
from morelli.gallery.view import GalleryView
from morelli.images.load import Picture, from_array, load_image
from morelli.types import PROTECT_SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.compare import Comparison
    from morelli.defence.ensemble import Ensemble
    from morelli.defence.lpips import Lpips
    from morelli.encoders.base import Encoder
    from morelli.encoders.embed import Source

    #: Called with the stage, how much is done and how much there is.
    Progress = Callable[[str, int, int], None]

__all__ = ["DEFENCES", "PerturbSettings", "Protected", "Protector"]

#: As published; with transformations, masking and every layer; one common form without gradients.
DEFENCES = ("pgd", "eot", "canonical")


@dataclass(frozen=True, eq=False)
class Protected:
    """One image, protected. JSON schema ``morelli.protect/1``.

    Attributes
    ----------
    image : str
    sha256 : str
        Of the file as it came.
    before, after : ndarray, shape (height, width, 3), uint8
    report : dict
        The other fields of the schema.
    output, output_sha256 : str or None
        Where it was written, and of that file; None: not written.
    """

    image: str
    sha256: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    report: dict[str, Any]
    output: str | None = None
    output_sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object of schema ``morelli.protect/1``."""
        return {
            "image": self.image,
            "sha256": self.sha256,
            "schema": PROTECT_SCHEMA,
            "version": __version__,
            "output": self.output,
            "output_sha256": self.output_sha256,
            **self.report,
        }


class Protector:
    """Protects images of a leaderboard, and tells how recognisable they were and are.

    Parameters
    ----------
    gallery : str, Path or GalleryView
        References of the leaderboard's models, two models at least.
    defence : {"pgd", "eot", "canonical"}
    settings : PerturbSettings
        ε, steps, seed; for "canonical" they play no part.
    surrogates : sequence of Encoder or str, optional
        What "pgd" and "eot" optimise against; each needs embeddings in the gallery and gradients. By default all
        of the gallery's encoders that have gradients.
    recipe : str
        Of "canonical".
    encoder : Encoder or str, optional
        Of the report; by default the gallery's. One that is no surrogate is the honest test.
    method : str
        The report's attributor.
    cache : str or Path, optional
        Folder for embeddings and what is learnt.
    keep : bool
        Keep the embeddings of the images that come in the cache; what is learnt is kept in any case.
    lpips : str or Path, optional
        AlexNet's weights, as `morelli.defence.lpips.Lpips` takes them: the report also has LPIPS.

    Examples
    --------
    >>> protector = Protector("references.morelli", defence="eot")  # doctest: +SKIP
    >>> for found in protector.protect(["image.png"], model="model-a"):  # doctest: +SKIP
    ...     print(found.report["after"]["rank"])
    """

    def __init__(
        self,
        gallery: GalleryView | str | Path,
        *,
        defence: str = "pgd",
        settings: PerturbSettings = PerturbSettings(),
        surrogates: Sequence[Encoder | str] | None = None,
        recipe: str = RECIPE,
        encoder: Encoder | str | None = None,
        method: str = DEFAULT_METHOD,
        cache: str | Path | None = None,
        keep: bool = True,
        lpips: str | Path | None = None,
    ) -> None:
        self.gallery = gallery
        self.defence = defence
        self.settings = settings
        self.surrogates = surrogates
        self.recipe = recipe
        self.encoder = encoder
        self.method = method
        self.cache = cache
        self.keep = keep
        self.lpips = lpips

    def protect(
        self,
        sources: Sequence[Source],
        *,
        model: str | None = None,
        prompt: str | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Protected | MorelliError]:
        """One answer a source, in order, as they are ready; a source that cannot be protected gives its error.

        Parameters
        ----------
        sources : sequence of Path, str, bytes or Picture
        model : str, optional
            That made them all. Default: what the gallery says of an image that is a reference, else the model that it
            is attributed to.
        prompt : str, optional
            Id or wording of their prompt in the gallery.
        progress : callable, optional
            ``progress(stage, done, total)``.

        Raises
        ------
        InputError
            ε, steps or recipe cannot be.
        NotDifferentiableError
            No surrogate has gradients, or one that was named has none.
        MissingGalleryError, EmptyGalleryError, GalleryMismatchError, NotEnoughReferencesError
            The gallery does not allow it: absent, empty, of other encoders, one model only.
        UnknownNameError
            No such defence, method, encoder, model or prompt.
        WeightsError
            LPIPS has no weights in what was named.
        """
        # Here and not at the first answer: what is wrong is told before any image is read.
        if self.defence not in DEFENCES:
            raise UnknownNameError("defence", self.defence, DEFENCES)
        if self.defence == "canonical":
            check_recipe(self.recipe)
        else:
            check_settings(self.settings)
        _ = self._lpips
        judge = self._judge
        if model is not None and model not in judge.families:
            raise UnknownNameError("model", model, judge.families)
        prompts = () if prompt is None else find_prompt(judge.references, prompt)
        ensemble = None if self.defence == "canonical" else self._ensemble(prompts)
        on_learn = partial(progress, "learning", 0, 1) if progress else (lambda: None)
        comparison = judge.compare(prompts, on_learn)
        return self._each(sources, model, prompts, ensemble, comparison, progress)

    def _each(
        self,
        sources: Sequence[Source],
        model: str | None,
        prompts: tuple[str, ...],
        ensemble: Ensemble | None,
        comparison: Comparison,
        progress: Progress | None,
    ) -> Iterator[Protected | MorelliError]:
        for source in sources:
            name = source_name(source)
            try:
                picture = source if isinstance(source, Picture) else load_image(source)
                steps = partial(progress, name) if progress else None
                yield self._one(picture, name, model, prompts[0] if prompts else None, ensemble, comparison, steps)
            except MorelliError as error:
                yield error

    def _one(
        self,
        picture: Picture,
        name: str,
        told: str | None,
        prompt: str | None,
        ensemble: Ensemble | None,
        comparison: Comparison,
        progress: Callable[[int, int], None] | None,
    ) -> Protected:
        judge, notes = self._judge, list(self._notes)
        (before,) = judge.versions(comparison, [picture])
        row = judge.rows.get(picture.content)
        model, known = (told, "told") if told else (before.first, "attributed")
        if told is None and row is not None:
            model, known = judge.references[row].model, "gallery"
        if row is not None:
            notes.append(
                f"This very picture is a reference ({judge.references[row].name}); it was left out when judged."
            )
            if told and told != judge.references[row].model:
                notes.append(f"The gallery has this picture as {judge.references[row].model}'s, and {told} was told.")
        if known == "attributed":
            notes.append(f"The model was not told: the image counts as {model}'s, to which it is attributed.")
        if ensemble is None:
            after = canonical(picture.pixels, self.recipe)
        else:
            after = ensemble.protect(picture.pixels, model, prompt, progress)
        judged = {"before": before, **self._versions(comparison, picture, after, ensemble)}
        report = self._report(judged, model if known != "attributed" else None, notes)
        report["model"] = {"name": model, "from": known}
        change = np.abs(after.astype(np.int16) - picture.pixels)
        db = psnr(picture.pixels, after)
        report["quality"] = {
            "psnr": db if math.isfinite(db) else None,
            "ms_ssim": ms_ssim(picture.pixels, after),
            "lpips": None if self._lpips is None else self._lpips(picture.pixels, after),
            "largest_change": int(change.max()),
            "changed": float((change > 0).mean()),
        }
        return Protected(name, picture.sha256, picture.pixels, after, report)

    def _versions(
        self, comparison: Comparison, picture: Picture, after: NDArray[np.uint8], ensemble: Ensemble | None
    ) -> dict[str, Judged]:
        """What is said of the protected image and, for a perturbation, of the control: random signs of the same ε."""
        pictures = [picture, from_array(after, f"{picture.name} protected")]
        if ensemble is not None:
            from morelli.defence.perturb import sign_noise

            # Signs of its own for every picture.
            seed = int(picture.content[:8], 16) ^ self.settings.seed
            control = sign_noise(picture.pixels, self.settings.epsilon, seed)
            pictures.append(from_array(control, f"{picture.name} with noise"))
        return dict(zip(("after", "noise"), self._judge.versions(comparison, pictures)[1:], strict=False))

    def _report(self, judged: dict[str, Judged], model: str | None, notes: list[str]) -> dict[str, Any]:
        stamp, gradient = self._judge.encoder.stamp, self.defence != "canonical"
        used = replace(self.settings, step=self.settings.length)
        described: dict[str, Any] = {"name": self.defence}
        if gradient:
            described |= {"epsilon": used.epsilon, "steps": used.steps, "step": used.step, "seed": used.seed}
            described["surrogates"] = [
                {"encoder": each.stamp.encoder, "revision": each.stamp.revision} for each in self._loaded[0]
            ]
        else:
            described["recipe"] = self.recipe
        return {
            "defence": described,
            **{when: found.to_json(model) for when, found in judged.items()},
            "method": {
                "name": self.method,
                "encoder": stamp.encoder,
                "encoder_revision": stamp.revision,
                "gallery": self._view.path,
                "gallery_version": self._view.version,
                "unseen_encoder": not gradient or all(e.stamp.encoder != stamp.encoder for e in self._loaded[0]),
            },
            "notes": notes,
        }

    # -- gallery, encoders --------------------------------------------------------------------------------------------

    @cached_property
    def _view(self) -> GalleryView:
        return self.gallery if isinstance(self.gallery, GalleryView) else GalleryView.open(self.gallery)

    @cached_property
    def _lpips(self) -> Lpips | None:
        if self.lpips is None:
            return None
        from morelli.defence.lpips import Lpips

        return Lpips(self.lpips)

    @cached_property
    def _judge(self) -> Judge:
        known = [stamp.encoder for stamp in self._view.stamps()]
        given = self.encoder
        if given is None:
            given = DEFAULT_ENCODER if DEFAULT_ENCODER in known or not known else known[0]
        loaded = load_encoder(given) if isinstance(given, str) else given
        folder = default_folder() if self.cache is None else Path(self.cache)
        return Judge(self._view, loaded, self.method, folder, EmbeddingCache(folder) if self.keep else None)

    @cached_property
    def _loaded(self) -> tuple[list[Any], list[str]]:
        """Surrogates, and the names of the gallery's encoders that cannot be any."""
        from morelli.defence.surrogate import load_surrogate, load_surrogates

        if self.surrogates is None:
            return load_surrogates([load_encoder(stamp.encoder) for stamp in self._view.stamps()])
        # One that was asked for is not left out in silence.
        named = [load_encoder(each) if isinstance(each, str) else each for each in self.surrogates]
        return ([load_surrogate(each) for each in named] if named else load_surrogates([])[0]), []

    @cached_property
    def _notes(self) -> list[str]:
        without = [] if self.defence == "canonical" else self._loaded[1]
        return [f"No gradient flows through {name}: it is no surrogate." for name in without]

    def _ensemble(self, prompts: tuple[str, ...]) -> Ensemble:
        from morelli.defence.ensemble import Ensemble

        references = {}
        for surrogate in self._loaded[0]:
            self._view.require(surrogate.stamp)
            _, data = self._view.embeddings(surrogate.stamp.encoder)
            if len(np.unique(data.models)) < 2:
                raise NotEnoughReferencesError(
                    f"holds references of one model only under {surrogate.stamp.encoder}.",
                    argument=self._view.path,
                    fix="Add references of another model.",
                )
            if len(prompts) > 1:  # one wording under several ids
                data = replace(data, prompts=np.where(np.isin(data.prompts, prompts), prompts[0], data.prompts))
            references[surrogate.stamp.encoder] = data
        return Ensemble(self._loaded[0], references, self.defence, self.settings)
