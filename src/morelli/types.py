"""Frozen records that cross layers. Arrays are numpy; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERDICT_SCHEMA = "morelli.verdict/1"
EVALUATION_SCHEMA = "morelli.evaluation/1"
CHECK_SCHEMA = "morelli.check/1"
VERIFICATION_SCHEMA = "morelli.verification/1"
CLAIMS_SCHEMA = "morelli.claims/1"
ERROR_SCHEMA = "morelli.error/1"
EXPOSURE_SCHEMA = "morelli.exposure/1"
VOTES_SCHEMA = "morelli.votes/1"
PROTECT_SCHEMA = "morelli.protect/1"
LINEAGE_SCHEMA = "morelli.lineage/1"


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a dataset: a file and what is known about it.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        ``file_name`` as the dataset gives it, POSIX separators.
    model : str
        The generator that made it.
    family : str
        Models that share weights or lineage; the model's own name where nothing is known.
    prompt_id, prompt : str
        Empty where not known. Where only the text is known, ``prompt_id`` is the text.
    seed : int or None
        Random seed of the generation.
    source, licence : str
        Where the picture came from and under what terms.
    base : str
        The model that ``model`` was derived from, or its own name; empty where not known.
    decoder : str
        What turns the model's latents into pixels (often shared by models); empty where not known.
    category : str
        Kind of prompt ("portrait", "text"); empty where not known.
    """

    path: Path
    name: str
    model: str
    family: str
    prompt_id: str = ""
    prompt: str = ""
    seed: int | None = None
    source: str = ""
    licence: str = ""
    base: str = ""
    decoder: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """One row of a gallery, without its embeddings.

    Attributes
    ----------
    content : str
        SHA-256 of the decoded pixels (64 hexadecimal digits): the reference's identity.
    sha256 : str
        SHA-256 of the file's bytes.
    name, model, family, prompt_id, prompt, seed, source, licence, base
        As in `Item`.
    width, height : int
        Pixels, after orientation.
    """

    content: str
    sha256: str
    name: str
    model: str
    family: str
    prompt_id: str = ""
    prompt: str = ""
    seed: int | None = None
    source: str = ""
    licence: str = ""
    width: int = 0
    height: int = 0
    base: str = ""


@dataclass(frozen=True)
class EncoderStamp:
    """What must be equal for two embeddings to be comparable.

    Attributes
    ----------
    encoder : str
        Id in the catalogue, or hub id, or local path.
    revision : str
        Short hash of the weights.
    preprocessing : str
        Short hash of everything between decoded pixels and the network: views, sizes, resamplers, scaling, layers.
    dims : mapping of str to int
        Named vectors of one embedding, in order, with their lengths.
    """

    encoder: str
    revision: str
    preprocessing: str
    dims: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class DegradedEmbeddings:
    """Embeddings of degraded copies of some of n images: what compression and resizing do to embeddings is learnt here.

    Attributes
    ----------
    names : ndarray of str, shape (m,)
        The degradation of each copy in its text form ("jpeg:80"); see `morelli.images.degrade`.
    rows : ndarray of int, shape (m,)
        The image each is a copy of, 0 … n − 1.
    vectors : mapping of str to ndarray, shape (m, d), float32
        Named as those of the images.
    """

    names: NDArray[np.str_]
    rows: NDArray[np.intp]
    vectors: Mapping[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: NDArray[Any], count: int) -> DegradedEmbeddings | None:
        """The copies of chosen images, of ``count`` in all; None where none is left."""
        import numpy as np  # here, as the records alone are no reason to load it

        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        place = np.full(count, -1, dtype=np.intp)
        place[chosen] = np.arange(len(chosen))
        kept = place[self.rows] >= 0
        if not kept.any():
            return None
        vectors = {name: values[kept] for name, values in self.vectors.items()}
        return DegradedEmbeddings(self.names[kept], place[self.rows[kept]], vectors)


@dataclass(frozen=True, eq=False)
class LabelledEmbeddings:
    """Embeddings of n images with what is known of each, for attributors.

    Attributes
    ----------
    vectors : mapping of str to ndarray, shape (n, d), float32
        One entry per named vector of the encoder ("native/4").
    models, prompts, families : ndarray of str, shape (n,)
        Labels; ``prompts`` holds ids, "" where not known.
    degraded : DegradedEmbeddings or None
        Of degraded copies of some of the images.
    """

    vectors: Mapping[str, NDArray[np.float32]]
    models: NDArray[np.str_]
    prompts: NDArray[np.str_]
    families: NDArray[np.str_]
    degraded: DegradedEmbeddings | None = None

    def __len__(self) -> int:
        return len(self.models)

    def take(self, rows: NDArray[Any]) -> LabelledEmbeddings:
        """The rows chosen by a boolean mask or an array of indices, in that order."""
        return LabelledEmbeddings(
            {name: values[rows] for name, values in self.vectors.items()},
            self.models[rows],
            self.prompts[rows],
            self.families[rows],
            None if self.degraded is None else self.degraded.take(rows, len(self)),
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What a file says of itself; never mixed into the pixels' verdict.

    Attributes
    ----------
    source : str
        Where it stands, or who is said to say it.
    statement : str
        One line, cleaned of control characters.
    signed : bool
        A valid signature over this very file covers it, by a certificate that chains to a root that the user named;
        else anyone could have written it.
    """

    source: str
    statement: str
    signed: bool

    def to_json(self) -> dict[str, Any]:
        """The object that verdicts list under ``claims``."""
        return {"source": self.source, "statement": self.statement, "signed": self.signed}


@dataclass(frozen=True)
class FileClaims:
    """All that one file says of itself. JSON schema ``morelli.claims/1``.

    Attributes
    ----------
    claims : sequence of Claim
        Signed ones first.
    notes : sequence of str
        What was not read, and why.
    """

    image: str
    sha256: str
    version: str
    claims: Sequence[Claim] = ()
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of schema ``morelli.claims/1``."""
        return {
            "image": self.image,
            "sha256": self.sha256,
            "schema": CLAIMS_SCHEMA,
            "version": self.version,
            "claims": [claim.to_json() for claim in self.claims],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Ranked:
    """One line of a ranking. ``score`` is the attributor's own number, higher is better; ``probability`` is in 0–1."""

    model: str
    family: str
    probability: float
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """A reference near the query. ``distance`` is in the attributor's space, smaller is nearer."""

    reference: str
    model: str
    distance: float


@dataclass(frozen=True, slots=True)
class Degradation:
    """What the ranking says after one degradation of the query."""

    name: str
    model: str


@dataclass(frozen=True)
class Verdict:
    """The answer to "which model made this image", with its evidence. JSON schema ``morelli.verdict/1``.

    Attributes
    ----------
    decision : str
        A model's name, "none" (it fits no known model) or "unsure" (the answer flips or the candidates are many).
    calibrated : bool
        False where the data did not allow calibration; probabilities are then a softmax and no more.
    candidates : sequence of str
        Models whose conformal p-value exceeds ``epsilon``.
    p_value : float or None
        Conformal p-value of "one of the known models made it"; ``rejected`` says that it is too small.
    agreement : float or None
        Fraction of the degradations that keep the first place; None where stability was not asked for.
    method : mapping
        name, encoder, encoder_revision, gallery, gallery_version, k, prompt_used.
    claims : sequence of Claim
        What the file says of itself.
    claims_read : bool
        Whether it was asked, and could be.
    notes : sequence of str
        What the reader must know: fall-backs, missing calibration.
    """

    image: str
    sha256: str
    version: str
    decision: str
    calibrated: bool
    ranking: Sequence[Ranked]
    candidates: Sequence[str]
    epsilon: float
    p_value: float | None
    rejected: bool
    agreement: float | None
    degradations: Sequence[Degradation]
    method: Mapping[str, Any]
    evidence: Sequence[Evidence]
    claims: Sequence[Claim] = ()
    claims_read: bool = False
    notes: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The object of schema ``morelli.verdict/1``."""
        return {
            "image": self.image,
            "sha256": self.sha256,
            "schema": VERDICT_SCHEMA,
            "version": self.version,
            "decision": self.decision,
            "calibrated": self.calibrated,
            "ranking": [
                {"model": r.model, "family": r.family, "probability": r.probability, "score": r.score}
                for r in self.ranking
            ],
            "candidates": list(self.candidates),
            "epsilon": self.epsilon,
            "unknown": {"p_value": self.p_value, "rejected": self.rejected},
            "stability": {
                "agreement": self.agreement,
                "degradations": [{"name": d.name, "model": d.model} for d in self.degradations],
            },
            "method": dict(self.method),
            "evidence": [{"reference": e.reference, "model": e.model, "distance": e.distance} for e in self.evidence],
            "claims": [claim.to_json() for claim in self.claims],
            "claims_read": self.claims_read,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class CheckVerdict:
    """The answer to "is this image from that model". JSON schema ``morelli.check/1``.

    Attributes
    ----------
    model, family : str
        The model that was asked about.
    decision : str
        "yes", "no" or "unsure".
    alpha : float
        Nominal share of the model's own images that are accepted.
    case_1 : mapping or None
        With the references of all models: first, top_model, probability, p_value, known_p_value, calibrated, accepted.
    case_2 : mapping or None
        With the references of that model alone: references, published: {accepted, ratio}, conformal: {accepted,
        p_value, attainable}.
    method, notes
        As in `Verdict`.
    """

    image: str
    sha256: str
    version: str
    model: str
    family: str
    decision: str
    alpha: float
    case_1: Mapping[str, Any] | None
    case_2: Mapping[str, Any] | None
    method: Mapping[str, Any]
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of schema ``morelli.check/1``."""
        return {
            "image": self.image,
            "sha256": self.sha256,
            "schema": CHECK_SCHEMA,
            "version": self.version,
            "model": self.model,
            "family": self.family,
            "decision": self.decision,
            "alpha": self.alpha,
            "case_1": None if self.case_1 is None else dict(self.case_1),
            "case_2": None if self.case_2 is None else dict(self.case_2),
            "method": dict(self.method),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """One of the two images of a verification: its path, and the SHA-256 of the file's bytes."""

    image: str
    sha256: str


@dataclass(frozen=True)
class VerificationVerdict:
    """The answer to "did one model make both". JSON schema ``morelli.verification/1``.

    Attributes
    ----------
    images : sequence of VerifiedImage
        Two.
    decision : str
        "same", "different" or "unsure".
    probability : float or None
        That one model made both, 0–1, where a share ``prior`` of such pairs is of one model; None where nothing was
        calibrated.
    calibrated : bool
        Whether there is such a probability.
    prior : float
        0–1.
    score : float or None
        Log-likelihood ratio, nats; None where no gallery taught one.
    similarity : float or None
        Cosine of the two embeddings, −1 to 1; None where nothing was compared.
    method, notes
        As in `Verdict`.
    """

    images: Sequence[VerifiedImage]
    version: str
    decision: str
    probability: float | None
    calibrated: bool
    prior: float
    score: float | None
    similarity: float | None
    method: Mapping[str, Any]
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of schema ``morelli.verification/1``."""
        return {
            "images": [{"image": each.image, "sha256": each.sha256} for each in self.images],
            "schema": VERIFICATION_SCHEMA,
            "version": self.version,
            "decision": self.decision,
            "probability": self.probability,
            "calibrated": self.calibrated,
            "prior": self.prior,
            "score": self.score,
            "similarity": self.similarity,
            "method": dict(self.method),
            "notes": list(self.notes),
        }
