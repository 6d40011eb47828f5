"""Pictures become verdicts by regeneration; no gallery is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._version import __version__
from morelli.attribution.decision import conclude
from morelli.errors import InputError, MorelliError
from morelli.images.degrade import parse
from morelli.images.load import Picture, from_array, load_image
from morelli.inversion.base import Inverted, Inverter
from morelli.inversion.given import GivenInverter
from morelli.regeneration.candidates import OF_THE_PROMPT
from morelli.regeneration.engine import Progress, Regenerated, Regeneration
from morelli.regeneration.stopwatch import Stopwatch
from morelli.types import Degradation, Evidence, Verdict

if TYPE_CHECKING:
    from morelli.attribution.calibration import CalibrationPair
    from morelli.encoders.embed import Source

#: Nearest regenerated images that are told.
EVIDENCE = 5


class Regenerator:
    """Says which of some models made an image, by asking each for images of the same prompt.

    Parameters
    ----------
    regeneration : Regeneration
    inverter : Inverter
        Finds the prompt.
    stability : sequence of str
        Degradations under which the first place is asked for again, such as "jpeg:85"; without a calibration and
        without these a verdict is always "unsure".
    epsilon : float
        Candidate sets hold the models with a conformal p-value above it; between 0 and 1.

    Raises
    ------
    InputError
        ``epsilon`` is not between 0 and 1, or a degradation cannot be read.
    UnknownNameError
        No degradation of that name.
    """

    def __init__(
        self,
        regeneration: Regeneration,
        inverter: Inverter,
        *,
        stability: Sequence[str] = (),
        epsilon: float = 0.1,
    ) -> None:
        if not 0.0 < epsilon < 1.0:
            raise InputError(f"must lie between 0 and 1; got {epsilon:g}.", argument="epsilon")
        self.regeneration = regeneration
        self.inverter = inverter
        self.epsilon = epsilon
        self._steps = [parse(text) for text in stability]

    def identify(
        self, sources: Sequence[Source], *, progress: Progress | None = None
    ) -> Iterator[Verdict | MorelliError]:
        """One answer a source, in order: its verdict, or what is wrong with that picture or its prompt.

        Parameters
        ----------
        sources : sequence of Path, str, bytes or Picture
        progress : callable, optional
            ``progress(stage, done, total)``.

        Raises
        ------
        GeneratorError, WeightsError, StorageError
            A host, a generator or the disk refuses, whatever the picture. Images made so far are kept.
        """
        for source in sources:
            try:
                yield self.attribute(source if isinstance(source, Picture) else load_image(source), progress=progress)
            except (InputError, *OF_THE_PROMPT) as error:  # anything else would befall every other picture too
                yield error

    def attribute(self, picture: Picture, *, progress: Progress | None = None) -> Verdict:
        """The verdict on one picture; raises what `identify` raises and yields."""
        watch = Stopwatch()
        with watch("invert"):
            found = self.inverter.invert(
                picture.pixels,
                progress=None if progress is None else lambda done, total: progress("inverting", done, total),
            )
        copies = [from_array(step(picture.pixels), f"{picture.name} after {step.name}") for step in self._steps]
        made = self.regeneration.compare([picture, *copies], found.prompts, progress=progress, watch=watch)
        return self._verdict(picture, found, made, watch)

    def _verdict(self, picture: Picture, found: Inverted, made: Regenerated, watch: Stopwatch) -> Verdict:
        candidates, compared = made.candidates, made.compared
        calibration = compared.calibration if self._natural else None
        said = conclude(
            candidates.models.tolist(),
            candidates.families,
            compared.scores,
            calibration,
            degraded=compared.degraded is not None and bool(compared.degraded[0]),
            epsilon=self.epsilon,
        )
        near = np.argsort(compared.distances, kind="stable")[:EVIDENCE].tolist()
        images = [candidates.images[i] for i in near]
        return Verdict(
            image=picture.name,
            sha256=picture.sha256,
            version=__version__,
            decision=said.decision,
            calibrated=calibration is not None,
            ranking=said.ranking,
            candidates=said.candidates,
            epsilon=self.epsilon,
            p_value=said.p_value,
            rejected=said.rejected,
            agreement=said.agreement,
            degradations=[Degradation(step.name, m) for step, m in zip(self._steps, said.firsts, strict=True)],
            method=self._method(found, watch),
            evidence=[
                Evidence(str(image.path), image.model, float(compared.distances[i]))
                for i, image in zip(near, images, strict=True)
            ],
            notes=[
                *([f"{said.decision}: {said.reason}"] if said.reason else []),
                *self._notes(picture, made, calibration),
            ],
        )

    @property
    def _natural(self) -> bool:
        """Whether the prompt is the one that the image was made from, as far as anybody knows."""
        return isinstance(self.inverter, GivenInverter)

    def _notes(self, picture: Picture, made: Regenerated, calibration: CalibrationPair | None) -> list[str]:
        notes = [*made.candidates.notes, *made.compared.notes]
        if made.compared.calibration is not None and calibration is None:
            notes.append(
                "Not calibrated: the gallery's images of a prompt share its very words, and this query's prompt was "
                "inverted. Probabilities are a softmax of the scores, and there is no candidate set."
            )
        elif calibration is None:
            notes.append("Not calibrated: probabilities are a softmax of the scores, and there is no candidate set.")
        height, width, _ = picture.pixels.shape
        if (width, height) not in {(image.width, image.height) for image in made.candidates.images}:
            notes.append(
                f"No regenerated image has this picture's size, {width}×{height}: resizing or cropping may weigh more "
                "than the model."
            )
        return notes

    def _method(self, found: Inverted, watch: Stopwatch) -> dict[str, Any]:
        engine = self.regeneration
        stamp, gallery = engine.similarity.stamp, engine.similarity.gallery or (None, None)
        return {
            "name": "regeneration",
            "encoder": None if stamp is None else stamp.encoder,
            "encoder_revision": None if stamp is None else stamp.revision,
            "gallery": gallery[0],
            "gallery_version": gallery[1],
            "k": engine.gamma,
            "prompt_used": found.prompt,
            "inverter": self.inverter.id,
            "inverter_revision": self.inverter.revision,
            "inversion": {**found.details, **({"other_prompts": list(found.others)} if found.others else {})},
            "gamma": engine.gamma,
            "seed": engine.seed,
            "similarity": engine.similarity.name,
            "generators": [
                {"id": each.id, "model": each.model, "revision": each.revision, "host": each.host}
                for each in engine.generators
            ],
            "seconds": {stage: round(seconds, 4) for stage, seconds in watch.seconds.items()},
        }
