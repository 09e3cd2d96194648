"""Write the committed numbers of cue families: ``python tests/add_baseline.py [FAMILY ...]``, all without a name.

``tests/baselines/FAMILY.json`` holds what a family measures on four synthetic clips: a talking head, two people, no
audio, a low frame rate; a family that looks for things in the video has cases of its own. The names of the cases are
keys of the files. ``tests/test_baselines.py`` compares. Where a value moved, raise the family's version first
(``@family(..., version=...)``): models and tables that hold the old numbers are then refused rather than misread.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parent
BASELINES = TESTS / "baselines"
sys.path[:0] = [str(TESTS.parent), str(TESTS / "support")]  # as pytest does it; this is run as a script as well

from drawn_faces import Look, person  # noqa: E402
from people import build_observation, build_talking_head  # noqa: E402

from features import discovery, measuring, spec  # noqa: E402
from features.observation import Observation, Track  # noqa: E402

SEED = 20191211


def talking_head() -> Observation:
    """Ten seconds of one person who nods, blinks and speaks, 30 frames a second."""
    return build_talking_head(np.random.default_rng(SEED))


def two_people() -> Observation:
    """The same with a second person beside the first."""
    second = build_talking_head(np.random.default_rng(SEED + 1), blinks=(2.0, 6.1), noise_px=0.8)
    first = talking_head()
    return replace(first, tracks=(*first.tracks, *second.tracks), n_faces=2)


def no_sound() -> Observation:
    """Six seconds without an audio stream, of a smaller face."""
    return build_talking_head(np.random.default_rng(SEED + 2), duration_s=6.0, audio=False, patch=64, blinks=(3.0,))


def low_frame_rate() -> Observation:
    """Ten seconds at 12 frames a second."""
    return build_talking_head(np.random.default_rng(SEED + 3), fps=12.0)


CASES: dict[str, Callable[[], Observation]] = {
    case.__name__: case for case in (talking_head, two_people, no_sound, low_frame_rate)
}


def drawn_face() -> Observation:
    """Four seconds of a still face with eyes, highlights and teeth, where the others have random textures."""
    look = Look(
        irises=((70.0, 95.0, 120.0), (80.0, 95.0, 110.0)),
        lights=((0.3, -0.2), (0.2, -0.2)),
        teeth=(215.0, 210.0, 200.0),
        teeth_noise=12.0,
    )
    return build_observation(person(look, np.random.default_rng(SEED + 4)))


OWN_CASES: dict[str, dict[str, Callable[[], Observation]]] = {"eyes_teeth": {"drawn_face": drawn_face}}
"""Further cases of single families."""

NETWORKS = frozenset(
    {"cnn_embedding", "face_contrast", "forensic_cnn", "forensic_residual", "forensic_voice", "identity"}
)


def tolerance(family: str, column: spec.Column) -> tuple[float, float]:
    """Relative and absolute tolerance of a column's value.

    Networks run in single precision, whose sums depend on the machine's instructions; what is counted in whole frames
    or crops must be equal; the rest is double precision behind landmarks and correlations in single.
    """
    if family in NETWORKS:
        return 0.0, 2e-3
    if column.name.endswith(("valid_share", ".count")):
        return 0.0, 1e-9
    return 1e-5, 1e-6


def same(family: str, column: spec.Column, a: float | None, b: float | None) -> bool:
    """True where two values of a column are equal within its tolerance; None stands for NaN."""
    if a is None or b is None:
        return a is None and b is None
    relative, absolute = tolerance(family, column)
    return math.isclose(a, b, rel_tol=relative, abs_tol=absolute)


def measured(one: spec.Family, observation: Observation) -> dict[str, float | None]:
    """Every table column of a family on a clip, None for NaN.

    Raises
    ------
    RuntimeError
        The family fails.
    """
    values, failures = measuring.measure_clip(observation, [one])
    if failures:
        raise RuntimeError(f"{one.name} failed: {failures[one.name]}")
    return {name: float(f"{value:.9g}") if math.isfinite(value) else None for name, value in values.items()}


def digest(observation: Observation) -> str:
    """SHA-256 of what a clip holds, to tell a clip that changed from a family that did; numbers to three decimals."""
    total = hashlib.sha256()
    for part in (observation, *observation.tracks):
        for name in sorted(one.name for one in fields(part) if one.name != "schema_version"):
            value = getattr(part, name)
            total.update(name.encode())
            for piece in value if isinstance(value, tuple) else (value,):
                if not isinstance(piece, Track):
                    total.update(_content(piece))
    return total.hexdigest()


def _content(value: Any) -> bytes:
    array = np.asarray(value)
    if array.dtype.kind == "f":
        array = np.round(array.astype(np.float64), 3) + 0.0  # no negative zeros
    return f"{array.dtype.kind}{array.shape}".encode() + (
        array.tobytes() if array.dtype.kind in "fiub" else repr(value).encode()
    )


def baseline(one: spec.Family, clips: Mapping[str, Observation]) -> dict[str, Any]:
    """What is written for a family, of these clips and those of its own cases."""
    clips = {**clips, **{case: make() for case, make in OWN_CASES.get(one.name, {}).items()}}
    return {
        "family": one.name,
        "version": one.version,
        "cases": {case: {"input_sha256": digest(clip), "values": measured(one, clip)} for case, clip in clips.items()},
    }


def moved(one: spec.Family, before: Mapping[str, Any], now: Mapping[str, Any], *, same_clip: bool = False) -> list[str]:
    """Sentences on values that differ between two baselines; with ``same_clip`` of unchanged clips only."""
    columns = {column.name: column for column in one.table_columns}
    found = []
    for case, new in now["cases"].items():
        old = before["cases"].get(case, {"values": {}, "input_sha256": ""})
        equal = old["input_sha256"] == new["input_sha256"]
        if same_clip and not equal:
            continue
        for name in columns.keys() & old["values"].keys() & new["values"].keys():
            a, b = old["values"][name], new["values"][name]
            if not same(one.name, columns[name], a, b):
                found.append(f"{case}: {name} was {a}, is {b}{'' if equal else ' (the clip changed, too)'}")
    return sorted(found)


def read(family: str) -> dict[str, Any]:
    """A committed baseline."""
    content: dict[str, Any] = json.loads((BASELINES / f"{family}.json").read_text(encoding="utf-8"))
    return content


def main(names: Sequence[str]) -> int:
    """Write the files; 2 where a value moved and the family's version did not."""
    clips = {case: make() for case, make in CASES.items()}
    BASELINES.mkdir(exist_ok=True)
    refused = 0
    for one in discovery.families(names or None):
        file, now = BASELINES / f"{one.name}.json", baseline(one, clips)
        before = read(one.name) if file.exists() else None
        if before and before["version"] == now["version"] and (lines := moved(one, before, now, same_clip=True)):
            print(
                f"error: {one.name} is still version {one.version}, but {lines[0]} ({len(lines)} values moved); "
                "raise its version, then run this again",
                file=sys.stderr,
            )
            refused = 2
            continue
        file.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        print(file)
    return refused


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
