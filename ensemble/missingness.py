"""From clips to predictions with a trained model: what ``predict`` and ``submission`` share.

``ensemble`` knows no pixel: measuring is a step of its own, run through the extraction command as a Makefile
would.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ensemble.training_set import VALID_SHARE, family_of, matrix
from features.table import feature_columns


def unmeasured_families(table: pa.Table) -> list[dict[str, str]]:
    """For each row, the families without a single defined cue, each with the reason in words."""
    names = feature_columns(table)
    cues: dict[str, list[str]] = {}
    for name in names:
        if not name.endswith(f".{VALID_SHARE}"):
            cues.setdefault(family_of(name), []).append(name)
    absent: dict[str, NDArray[np.bool_]] = {
        family: np.all(np.isnan(matrix(table, tuple(columns))), axis=1) for family, columns in cues.items()
    }
    shares = {family: _shares(table, family) for family in cues}
    needs = _needs()
    return [
        {
            family: _reason(family, needs.get(family, frozenset()), row, shares[family][number])
            for family in sorted(cues)
            if absent[family][number]
        }
        for number, row in enumerate(table.select(["status", "error", "n_faces"]).to_pylist())
    ]


def unavailable_families() -> dict[str, str]:
    """Families that can't measure anything in this installation, with the reason."""
    from features.networks.weights import weights_file

    missing = [name for name, needs in _needs().items() if "weights" in needs and not weights_file(name).is_file()]
    return dict.fromkeys(missing, "the network's weights are not installed")


def _shares(table: pa.Table, family: str) -> list[float]:
    name = f"{family}.{VALID_SHARE}"
    return table.column(name).to_pylist() if name in table.column_names else [0.0] * table.num_rows


def _needs() -> dict[str, frozenset[str]]:
    from features import spec

    return {one.name: one.needs for one in spec.families()}


def _reason(family: str, needs: frozenset[str], row: dict[str, object], share: float) -> str:
    from features.spec import SOUND_ALONE

    error, status = str(row["error"] or ""), row["status"]
    if family in unavailable_families():
        return unavailable_families()[family]
    own = [remark for remark in error.split("; ") if remark.startswith(f"{family} failed")]
    told = {
        error or f"the clip is {status}": status in {"unreadable", "timeout", "crashed"},
        "".join(own[:1]): bool(own),
        "the clip has no sound": "sound" in needs and (status == "no_audio" or "no sound" in error),
        "no face was found": not row["n_faces"] and not needs <= SOUND_ALONE,
        "the clip is too short": status == "too_short",
        f"too little to go by: {share:.0%} of the clip was usable": share > 0,
    }
    return next((text for text, holds in told.items() if holds), "nothing in the clip was usable for it")
