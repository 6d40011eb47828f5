"""One encoder's line in the comparison of encoders: variances, D(i), and what the attacks reach with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._audit.curves import means
from morelli._audit.measured import Measured
from morelli.evaluation.bootstrap import prompt_bootstrap
from morelli.exposure.separability import Separability
from morelli.exposure.variance import Variances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from morelli.types import EncoderStamp


def encoder_row(
    stamp: EncoderStamp,
    spread: Variances,
    found: Separability,
    measured: Sequence[Measured],
    tau: float,
    seed: int,
) -> dict[str, Any]:
    """Variance within and between models, their share, mean D(i), and top-1 by method."""
    both = np.stack([spread.between, spread.within], axis=1)
    share = prompt_bootstrap(both, spread.prompts, lambda m: m[..., 0] / (m[..., 0] + m[..., 1]), seed=seed)
    return {
        "encoder": stamp.encoder,
        "within": float(spread.within.mean()),
        "between": float(spread.between.mean()),
        "ratio": spread.ratio,
        "share": share.point,
        "share_low": share.low,
        "share_high": share.high,
        "pair_auroc": spread.pair_auroc,
        "mean_d": means(found.d(tau)),
        "mean_frac": means(found.mean_frac()),
        "chance": means(found.chance().ravel()),
        "attacks": [{"method": each.method, **each.accuracy(each.rows("main"), seed)} for each in measured],
        "distances": {"edges": spread.edges.tolist(), "same": spread.same.tolist(),
                      "different": spread.different.tolist()},
    }  # fmt: skip
