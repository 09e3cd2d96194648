"""Columns of a network that judges a clip piece by piece: its faces, or stretches of its voice.

Logits, not probabilities, positive for a forgery: the stack weighs them.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from features.spec import Column

MAX_LOGIT = 12.0
VALID_SHARE = "valid_share"

_LOGIT = (-MAX_LOGIT, MAX_LOGIT)
_QUANTITIES: dict[str, tuple[tuple[float, float], str]] = {
    "logit_mean": (_LOGIT, "up"),
    "logit_med": (_LOGIT, "up"),
    "logit_q10": (_LOGIT, "up"),
    "logit_q90": (_LOGIT, "up"),
    "logit_std": ((0.0, MAX_LOGIT), "either"),
    "logit_max": (_LOGIT, "up"),
    "logit_top4_mean": (_LOGIT, "up"),
    "logit_conf_mean": (_LOGIT, "up"),
    "logit_step_mean": ((0.0, 2 * MAX_LOGIT), "either"),
    "share_over_0": ((0.0, 1.0), "up"),
    VALID_SHARE: ((0.0, 1.0), "covariate"),
}
"""Range and direction."""


def columns(family: str, source: str, *, worst: Collection[str] = ()) -> tuple[Column, ...]:
    """Columns of a family; ``source`` is told in the catalogue.

    The worst of several people gets a column of its own for the quantities in ``worst``.
    """
    return tuple(
        Column(
            f"{family}.{name}",
            range=range,
            reference=source,
            direction=direction,
            worst="max" if name in worst else "",
        )
        for name, (range, direction) in _QUANTITIES.items()
    )


def summarise(logits: NDArray[np.float32], *, n_pieces: int) -> dict[str, float]:
    """Columns from the logits [n] of pieces in order of time; NaN logits are left out.

    Returns
    -------
    dict
        ``logit_conf_mean`` is the mean weighted by ``abs(sigmoid - 0.5)``; ``logit_top4_mean`` that of the
        largest quarter; ``logit_step_mean`` that of the absolute steps between neighbours (NaN for one piece);
        ``valid_share`` the share of ``n_pieces`` that gave a logit, alone where none did.
    """
    finite = logits[np.isfinite(logits)].astype(np.float64)
    z = np.clip(finite, -MAX_LOGIT, MAX_LOGIT)
    if not z.size:
        return {VALID_SHARE: 0.0}
    confidence = np.abs(1 / (1 + np.exp(-z)) - 0.5) + 1e-6
    values = {
        "logit_mean": z.mean(),
        "logit_med": np.median(z),
        "logit_q10": np.quantile(z, 0.1),
        "logit_q90": np.quantile(z, 0.9),
        "logit_std": z.std(),
        "logit_max": z.max(),
        "logit_top4_mean": np.sort(z)[-max(1, z.size // 4) :].mean(),
        "logit_conf_mean": np.average(z, weights=confidence),
        "logit_step_mean": np.abs(np.diff(z)).mean() if z.size > 1 else np.nan,
        "share_over_0": (z > 0).mean(),
        VALID_SHARE: z.size / max(n_pieces, 1),
    }
    return {name: float(value) for name, value in values.items()}
