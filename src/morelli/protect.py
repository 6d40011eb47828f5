"""The facade for defences: images and a gallery become protected images, and what each still gives away."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution.catalogue import DEFAULT_METHOD
from morelli.defence.canonical import RECIPE, canonical, check_recipe
from morelli.defence.judge import Judge, Judged
from morelli.defence.overlap import IN, OUTSIDE, SHARED, Overlap, overlap, overlap_with, share_a_name
from morelli.defence.protected import Protected
from morelli.defence.quality import ms_ssim, psnr
from morelli.defence.settings import PerturbSettings, check_settings
from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.variants import source_name
from morelli.errors import ImageTooSmallError, MorelliError, NotEnoughReferencesError, UnknownNameError
from morelli.gallery.prompts import find_prompt
from morelli.gallery.view import GalleryView
from morelli.images.load import Picture, from_array, load_image
from morelli.images.small import SMALL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.compare import Comparison
    from morelli.defence.ensemble import Ensemble
    from morelli.defence.lpips import Lpips
    from morelli.encoders.base import Encoder
    from morelli.encoders.embed import Source
    from morelli.types import Item, LabelledEmbeddings, Reference

    #: Called with the stage, how much is done and how much there is.
    Progress = Callable[[str, int, int], None]

__all__ = ["DEFENCES", "PerturbSettings", "Protected", "Protector"]

#: As published; with transformations, masking and every layer; onto another model's image; one common form without
#: gradients.
DEFENCES = ("pgd", "eot", "collide", "canonical")
_WITHOUT_PROMPT = "The gallery has no reference of this picture's prompt: it was compared without the prompt."


class Protector:
    """Protects images of a leaderboard, and tells how recognisable they were and are.

    Parameters
    ----------
    gallery : str, Path or GalleryView
        References of the leaderboard's models, two models at least.
    defence : {"pgd", "eot", "collide", "canonical"}
    settings : PerturbSettings
        ε, steps, seed; for "canonical" they play no part.
    surrogates : sequence of Encoder or str, optional
        What all but "canonical" optimise against; each needs embeddings in the gallery and gradients. By default all
        of the gallery's encoders that have gradients.
    recipe : str
        Of "canonical".
    encoder : Encoder or str, optional
        Of the report. By default one of the gallery's that is no surrogate and begins as none does, which is the
        honest test (`morelli.defence.overlap`); where there is none, the one that has least in common with them, and
        a note says so.
    method : str
        The report's attributor.
    cache : str or Path, optional
        Folder for embeddings and what is learnt.
    keep : bool
        Keep the embeddings of the images that come in the cache; what is learnt is kept in any case.
    lpips : str or Path, optional
        AlexNet's weights, as `morelli.defence.lpips.Lpips` takes them: the report also has LPIPS.
    load : callable, optional
        How an encoder's name becomes one; a server gives those that all its requests share.

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
        load: Callable[[str], Encoder] | None = None,
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
        self.load = load

    def beside(self, *, defence: str, settings: PerturbSettings) -> Protector:
        """Another defence with the same gallery, networks and method: what was read and learnt is shared, not copied.

        Parameters
        ----------
        defence, settings
            As in `Protector`.

        Raises
        ------
        NotDifferentiableError, MissingGalleryError, EmptyGalleryError, GalleryMismatchError, UnknownNameError
            As `protect`: what is shared is read here where it was not before.
        """
        _ = self._judge
        if defence != "canonical":
            _ = self._loaded
        other = copy.copy(self)
        for name in ("_notes", "_ensembles"):  # they depend on the defence
            other.__dict__.pop(name, None)
        other.defence, other.settings = defence, settings
        if self.encoder is None and (self.defence == "canonical") != (defence == "canonical"):
            other.__dict__.pop("_judge", None)  # a judge is no network that the attack used
        return other

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
        judge = self._checked([] if model is None else [model])
        prompts = () if prompt is None else find_prompt(judge.references, prompt)
        setting = self._set(prompts, judge.compare(prompts, _learning(progress)))
        return self._each(sources, model, setting, progress)

    def protect_items(
        self, items: Sequence[Item], *, progress: Progress | None = None
    ) -> Iterator[tuple[Item, Protected | MorelliError]]:
        """Images of a dataset, each with its own model and prompt: as they are ready, one prompt after another.

        The comparison leaves the prompt out, with a note, where the gallery lacks it for some model.

        Parameters
        ----------
        items : sequence of Item
        progress : callable, optional
            ``progress(stage, done, total)``: "protecting" counts images.

        Raises
        ------
        MorelliError
            As `protect`; UnknownNameError where the gallery has no reference of one of the models.
        """
        judge = self._checked(sorted({item.model for item in items}))
        groups: dict[tuple[str, ...], list[Item]] = {}
        known: dict[tuple[str, str], tuple[str, ...]] = {}
        for item in items:
            said = (item.prompt_id, item.prompt)
            if said not in known:
                known[said] = prompts_of(judge.references, item)
            groups.setdefault(known[said], []).append(item)
        return self._each_item(groups, len(items), progress)

    def _each_item(
        self, groups: dict[tuple[str, ...], list[Item]], total: int, progress: Progress | None
    ) -> Iterator[tuple[Item, Protected | MorelliError]]:
        done = 0
        for prompts, items in groups.items():
            try:
                setting = self._set(prompts, self._judge.compare(prompts, _learning(progress), fall_back=True))
            except NotEnoughReferencesError as error:  # not of any prompt, so none of these can be judged
                yield from ((item, error) for item in items)
                continue
            for item in items:
                lacks = not prompts and bool(item.prompt_id or item.prompt)
                own = replace(setting, notes=(_WITHOUT_PROMPT,)) if lacks else setting
                yield item, next(self._each([item.path], item.model, own, None))
                done += 1
                if progress is not None:
                    progress("protecting", done, total)

    def describe(self, items: Sequence[Item] = ()) -> dict[str, Any]:
        """What protected images and reports depend on beside the images themselves; raises as `protect_items`."""
        self._checked(sorted({item.model for item in items}))
        return {"defence": self._described(), "method": self._method(), "lpips": self.lpips is not None}

    def _checked(self, models: Sequence[str]) -> Judge:
        """The judge, where everything that was asked for can be had."""
        if self.defence not in DEFENCES:
            raise UnknownNameError("defence", self.defence, DEFENCES)
        if self.defence == "canonical":
            check_recipe(self.recipe)
        else:
            check_settings(self.settings)
        _ = self._lpips
        judge = self._judge
        for model in models:
            if model not in judge.families:
                raise UnknownNameError("model", model, judge.families)
        if self.defence != "canonical":
            _ = self._references
        return judge

    def _set(self, prompts: tuple[str, ...], comparison: Comparison) -> _Setting:
        ensemble = None if self.defence == "canonical" else self._ensemble(prompts)
        return _Setting(prompts[0] if prompts else None, ensemble, comparison)

    def _each(
        self, sources: Sequence[Source], model: str | None, setting: _Setting, progress: Progress | None
    ) -> Iterator[Protected | MorelliError]:
        for source in sources:
            name = source_name(source)
            try:
                picture = source if isinstance(source, Picture) else load_image(source)
                yield self._one(picture, name, model, setting, partial(progress, name) if progress else None)
            except MorelliError as error:
                yield error

    def _one(
        self,
        picture: Picture,
        name: str,
        told: str | None,
        setting: _Setting,
        progress: Callable[[int, int], None] | None,
    ) -> Protected:
        judge, notes = self._judge, [*self._notes, *setting.notes, *setting.comparison.notes]
        if min(picture.pixels.shape[:2]) < SMALL:
            notes.append(
                f"It is smaller than {SMALL} pixels a side, and was enlarged for encoders: they see less of it."
            )
        (before,) = judge.versions(setting.comparison, [picture])
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
        if setting.ensemble is None:
            after = canonical(picture.pixels, self.recipe)
        else:
            after = setting.ensemble.protect(picture.pixels, model, setting.prompt, progress)
        judged = {"before": before, **self._versions(setting, picture, after)}
        report = self._report(judged, model if known != "attributed" else None, notes)
        report["model"] = {"name": model, "from": known}
        change = np.abs(after.astype(np.int16) - picture.pixels)
        db = psnr(picture.pixels, after)
        report["quality"] = {
            "psnr": db if math.isfinite(db) else None,
            "ms_ssim": ms_ssim(picture.pixels, after),
            "lpips": self._learnt_distance(picture.pixels, after, notes),
            "largest_change": int(change.max()),
            "changed": float((change > 0).mean()),
        }
        return Protected(name, picture.sha256, picture.pixels, after, report)

    def _learnt_distance(self, before: NDArray[np.uint8], after: NDArray[np.uint8], notes: list[str]) -> float | None:
        """LPIPS; None without its weights, and, with a note, of a picture that is too small for it."""
        if self._lpips is None:
            return None
        try:
            return self._lpips(before, after)
        except ImageTooSmallError as error:
            notes.append(f"It has no LPIPS: {error.message}")
            return None

    def _versions(self, setting: _Setting, picture: Picture, after: NDArray[np.uint8]) -> dict[str, Judged]:
        """What is said of the protected image and, for a perturbation, of the control: random signs of the same ε."""
        pictures = [picture, from_array(after, f"{picture.name} protected")]
        if setting.ensemble is not None:
            from morelli.defence.perturb import sign_noise

            # Signs of its own for every picture.
            seed = int(picture.content[:8], 16) ^ self.settings.seed
            control = sign_noise(picture.pixels, self.settings.epsilon, seed)
            pictures.append(from_array(control, f"{picture.name} with noise"))
        return dict(zip(("after", "noise"), self._judge.versions(setting.comparison, pictures)[1:], strict=False))

    def _report(self, judged: dict[str, Judged], model: str | None, notes: list[str]) -> dict[str, Any]:
        return {
            "defence": self._described(),
            **{when: found.to_json(model) for when, found in judged.items()},
            "method": self._method(),
            "notes": notes,
        }

    def _described(self) -> dict[str, Any]:
        if self.defence == "canonical":
            return {"name": self.defence, "recipe": self.recipe}
        used = self.settings
        surrogates = [{"encoder": each.stamp.encoder, "revision": each.stamp.revision} for each in self._loaded[0]]
        return {"name": self.defence, "epsilon": used.epsilon, "steps": used.steps, "step": used.length,
                "seed": used.seed, "surrogates": surrogates}  # fmt: skip

    def _method(self) -> dict[str, Any]:
        stamp = self._judge.encoder.stamp
        return {
            "name": self.method,
            "encoder": stamp.encoder,
            "encoder_revision": stamp.revision,
            "gallery": self._view.path,
            "gallery_version": self._view.version,
            "unseen_encoder": self._overlap(self._judge.encoder) == OUTSIDE,
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
        given = self._least_known() if self.encoder is None else self.encoder
        loaded = self._encoder(given) if isinstance(given, str) else given
        folder = default_folder() if self.cache is None else Path(self.cache)
        return Judge(self._view, loaded, self.method, folder, EmbeddingCache(folder) if self.keep else None)

    @cached_property
    def _loaded(self) -> tuple[list[Any], list[str]]:
        """Surrogates, and the names of the gallery's encoders that cannot be any."""
        from morelli.defence.surrogate import load_surrogate, load_surrogates

        if self.surrogates is None:
            return load_surrogates([self._encoder(stamp.encoder) for stamp in self._view.stamps()])
        # One that was asked for is not left out in silence.
        named = [self._encoder(each) if isinstance(each, str) else each for each in self.surrogates]
        return ([load_surrogate(each) for each in named] if named else load_surrogates([])[0]), []

    def _encoder(self, name: str) -> Encoder:
        return load_encoder(name) if self.load is None else self.load(name)

    def _least_known(self) -> Encoder | str:
        """The gallery's encoder that the surrogates know least of; of several its default, else the first."""
        known = sorted((stamp.encoder for stamp in self._view.stamps()), key=lambda name: name != DEFAULT_ENCODER)
        shared = None
        for name in known:
            if self._is_named(name):  # known without loading it
                continue
            loaded = self._encoder(name)
            found = self._overlap(loaded)
            if found == OUTSIDE:
                return loaded
            shared = loaded if found == SHARED and shared is None else shared
        return shared or next(iter(known), DEFAULT_ENCODER)

    def _is_named(self, name: str) -> bool:
        """Whether an id names a surrogate, or a part of one."""
        return self.defence != "canonical" and any(share_a_name(name, each.stamp.encoder) for each in self._loaded[0])

    def _overlap(self, encoder: Encoder) -> Overlap:
        """What an encoder has in common with those that images are optimised against."""
        return OUTSIDE if self.defence == "canonical" else overlap_with(encoder, self._loaded[0])

    @cached_property
    def _notes(self) -> list[str]:
        without = [] if self.defence == "canonical" else self._loaded[1]
        notes = [f"No gradient flows through {name}: it is no surrogate." for name in without]
        if self._wastes_a_share():
            epsilon = self.settings.epsilon
            notes.append(f"Samples are whole levels: of ε = {epsilon:g} no more than {int(epsilon)} is used.")
        encoder = self._judge.encoder
        judge, found = encoder.stamp.encoder, self._overlap(encoder)
        if found == IN:
            notes.append(
                f"Judged with {judge}, which the images were optimised against: the best case. "
                "An encoder that is no surrogate would say more."
            )
        elif found == SHARED:
            like = next(each.stamp.encoder for each in self._loaded[0] if overlap(encoder, each) == SHARED)
            notes.append(
                f"Judged with {judge}, which shares its front end with the surrogate {like}: near the best case. "
                "An encoder that looks at something else would say more."
            )
        return notes

    def _wastes_a_share(self) -> bool:
        """Whether ε has a share of a level that the defence, which does not dither its limits, has no use for."""
        from morelli.defence.ensemble import GRADIENT_DEFENCES

        parts = GRADIENT_DEFENCES.get(self.defence)
        return parts is not None and not parts.masked and self.settings.epsilon % 1 != 0

    def _ensemble(self, prompts: tuple[str, ...]) -> Ensemble:
        """For images of a prompt; one for all prompts that have one id, as they learn the same."""
        from morelli.defence.ensemble import Ensemble

        key = prompts if len(prompts) > 1 else ()
        if key not in self._ensembles:
            references = self._references
            if key:  # one wording under several ids
                references = {
                    name: replace(data, prompts=np.where(np.isin(data.prompts, key), key[0], data.prompts))
                    for name, data in references.items()
                }
            self._ensembles[key] = Ensemble(self._loaded[0], references, self.defence, self.settings)
        return self._ensembles[key]

    @cached_property
    def _ensembles(self) -> dict[tuple[str, ...], Ensemble]:
        return {}

    @cached_property
    def _references(self) -> dict[str, LabelledEmbeddings]:
        """The gallery's, under each surrogate."""
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
            references[surrogate.stamp.encoder] = data
        return references


@dataclass(frozen=True, eq=False)
class _Setting:
    """What images of one prompt have in common."""

    prompt: str | None
    ensemble: Ensemble | None
    comparison: Comparison
    notes: tuple[str, ...] = ()


def _learning(progress: Progress | None) -> Callable[[], None]:
    return partial(progress, "learning", 0, 1) if progress else (lambda: None)


def prompts_of(references: Sequence[Reference], item: Item) -> tuple[str, ...]:
    """Ids in the gallery of an item's prompt, by its wording where that is known, else by its id; none: it has none.

    Ids such as "001" stand for other prompts elsewhere, so that one alone says little where wordings differ.
    """
    same_id = {each.prompt for each in references if each.prompt_id and each.prompt_id == item.prompt_id}
    by_id = item.prompt_id if same_id and (not item.prompt or same_id <= {item.prompt, ""}) else ""
    for text in (by_id, item.prompt):
        if text:
            try:
                return find_prompt(references, text)
            except MorelliError:  # not there, or not clear which one is meant
                continue
    return ()
