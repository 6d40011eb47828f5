"""What the papers' tables measure at the documented small scale, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from morelli.attribution.image import IMAGE_REGISTRY
from morelli.encoders.catalogue import DEFAULT_ENCODER
from morelli.evaluation.groups import BUDGETS

#: Over embeddings, as published and ours; then everything that sees pictures.
RULES = ("euclid", "cosine", "plda", "lda", "fused")
#: Rules of table 002 with the encoder that they compare: no training on any model, or statistics of the seen ones.
ZERO_SHOT = (
    ("cosine", "fingerprint"),
    ("cosine", "residual-spectrum"),
    ("cosine", DEFAULT_ENCODER),
    ("plda", DEFAULT_ENCODER),
    ("lda", DEFAULT_ENCODER),
    ("fused", DEFAULT_ENCODER),
    ("plda", "fingerprint"),
    ("lda", "fingerprint"),
    ("cosine", "residual-lattice"),
    ("lda", "residual-lattice"),
    ("fused", f"{DEFAULT_ENCODER}+residual-lattice"),
)
#: Rules of table 000 over other encoders than the default.
ALSO = (("fused", f"{DEFAULT_ENCODER}+residual-lattice"),)
#: Other forms of methods, with rows of their own.
FORMS = ("marra@form=dncnn", "probe@classifier=knn")
#: Forms that embed pictures as the method itself does, so that table 002 would have the same row twice.
SAME_EMBEDDING = ("probe@classifier=knn",)
#: What is this project's; `PUBLISHED_RULES` are as published, on this project's encoder; all else is a baseline.
OURS = ("plda", "lda", "fused", "cosine, fingerprint", "cosine, residual-")
PUBLISHED_RULES = ("euclid", "cosine", f"cosine, {DEFAULT_ENCODER}")
#: Baselines over vectors of an encoder, for which this project's stands.
OVER_ENCODER = ("mlp-image", "mlp-image-text", "probe")
#: Methods of table 002 whose embeddings are drawn, in the order of the rows: theirs, then ours.
MAPPED = ("pose", "cosine, fingerprint", "cosine, residual-spectrum", f"cosine, {DEFAULT_ENCODER}")
#: Methods that table 001 attacks: those that are not told the prompt.
ATTACKED = (
    "fused", "lda", "mlp-image", "marra", "dzanic", "gram", "probe", "resnet50", "yu", "dna-det", "repmix", "pose",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """Sizes of a run.

    Attributes
    ----------
    tables : tuple of str
        Of "000", "001" and "002".
    seconds : mapping of str to float, as pairs
        Processor seconds of each training by table. Table 000 trains once a fold (5 or 7 times), so that each
        training is shorter than the single one of table 002.
    fractions : tuple of float
        Of that training, for table 002's learning curves; the last is 1.
    k : int
        References a model of table 002's identification.
    unseen : float
        Share of the models that table 002's trained methods never see.
    pairs : int
        Of each kind for table 002's verification.
    prompts : int or None
        Prompts of each data set that are used, for a trial; None: all.
    methods : tuple of str or None
        None: all.
    seed : int
    fingerprint : str
        File of the fingerprint's weights, "" for those that this version carries.
    fingerprint_sha256 : str
        Of that file.
    """

    tables: tuple[str, ...] = ("000", "002", "001")
    seconds: tuple[tuple[str, float], ...] = (("000", 30.0), ("001", 90.0), ("002", 150.0))
    fractions: tuple[float, ...] = (0.25, 0.5, 1.0)
    k: int = 10
    unseen: float = 0.5
    pairs: int = 5000
    prompts: int | None = None
    methods: tuple[str, ...] | None = None
    seed: int = 0
    fingerprint: str = ""
    fingerprint_sha256: str = ""

    def encoder(self, name: str) -> str:
        """What is loaded for an encoder that a table names."""
        return f"fingerprint@{self.fingerprint}" if name == "fingerprint" and self.fingerprint else name

    def training(self, table: str) -> float:
        """Processor seconds of a training of that table."""
        return dict(self.seconds)[table]

    def wants(self, method: str) -> bool:
        """Whether a method, or a form of one, is part of the run."""
        return self.methods is None or method.partition("@")[0] in self.methods

    def pictures_methods(self) -> list[str]:
        """Those that see pictures, and their forms: what is quick first."""
        names = [name for name in (*IMAGE_REGISTRY, *FORMS) if self.wants(name)]
        return sorted(names, key=lambda name: (name in BUDGETS, name))


def kind(method: str) -> str:
    """Whose a method is: "ours", "published rule" or "baseline"."""
    if method in PUBLISHED_RULES:
        return "published rule"
    return "ours" if method.startswith(OURS) else "baseline"
