"""Measure whether the face networks' scores over time peak where two seconds of a clip were forged.

    python -m benchmarks.short_swap manifest.csv --clips 20

Two seconds of genuine clips of six seconds or more are forged, and the rest is unchanged. There are two kinds:
``face_swap`` pastes another clip's face (:mod:`forge.clips.video`); ``spliced`` inserts the same moments of a FAKE
clip whose original, according to the manifest, is the genuine clip. The genuine and the forged clip are written with
the same encoder, and measured as for a page, with two faces per second. Prints JSON: how often the largest score (mean
of the networks) lies inside the forged part, and chance, with 95 % intervals over groups; for all clips,
and for those that the networks notice, whose scores inside the part are at least 1 (log-odds) above those of the
genuine clip.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rates import interval
from extract.clip.face_recorder import FaceRecorder
from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.run import worker
from features.clip_series import person_series
from features.discovery import families
from features.errors import ClipError, InputError
from features.evidence import Series
from forge.clips.clip import EditableClip, Frames
from forge.clips.read import read_clip
from forge.clips.registry import MIN_FACE_FRACTION, kinds
from forge.clips.swap import choose_frames
from forge.clips.write import Encoder, write_clip
from forge.face_ops import Image

NETWORKS = ("forensic_cnn", "forensic_residual")
LOGITS = {f"{network}.logit" for network in NETWORKS}
FAMILIES = (*NETWORKS, "identity", "landmark_jitter")
"""Families whose series are evaluated."""
MIN_S, MARGIN_S = 6.0, 1.0  # shortest clip; margin between the forged part and the ends of the clip
DONORS, DONOR_S = 2, 4.0  # donors that are read for each swap, and seconds of each
NOTICED = 1.0  # log-odds, as in benchmarks.face_map

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A genuine clip, and a copy with two forged seconds."""

    filename: str
    group: str
    kind: str
    method: str
    start_s: float
    end_s: float
    genuine: EditableClip
    forged: EditableClip


@dataclass(frozen=True)
class Outcome:
    """Scores of a case; times are in seconds of the clip."""

    filename: str
    group: str
    kind: str
    method: str
    start_s: float
    end_s: float
    peak_s: float
    peak: float
    """Largest score, log-odds."""
    inside: bool
    """True when the peak lies in the forged part."""
    chance: float
    """Fraction of the scored faces that lie in the forged part."""
    rise: float
    """Mean score in the forged part, minus that of the same moments of the genuine clip."""
    inside_by: dict[str, bool]
    """``inside`` for each network and other series; undefined series are left out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; return 0, or 2 when the clips can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", metavar="MANIFEST", help="clips with labels, groups and originals")
    parser.add_argument("--clips", type=int, default=20, help="number of clips of each kind (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the forged part (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        listed = find_clips(arguments.manifest)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    outcomes = []
    try:
        for case in cases(listed, n=arguments.clips, seconds=arguments.seconds, seed=arguments.seed):
            if (outcome := judged(case)) is not None:
                outcomes.append(outcome)
                where = "inside" if outcome.inside else "outside"
                print(f"{outcome.filename} {outcome.kind}: {where}, rise {outcome.rise:+.2f}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped early: the figures cover the clips that are done", file=sys.stderr)
    print(json.dumps(summary(outcomes) | {"clips": [asdict(outcome) for outcome in outcomes]}))
    return 0


def cases(listed: Sequence[ClipEntry], *, n: int, seconds: float, seed: int) -> Iterator[Case]:
    """Yield at most ``n`` cases of each kind, in turn; a group's second clip comes after all groups' first clips."""
    genuine = {clip.filename: clip for clip in listed if clip.label == "REAL"}
    pairs: dict[str, list[tuple[ClipEntry, ClipEntry | None]]] = {
        "face_swap": [(clip, None) for clip in genuine.values()],
        "spliced": [
            (genuine[clip.original], clip) for clip in listed if clip.label == "FAKE" and clip.original in genuine
        ],
    }
    every = list(genuine.values())
    streams = [itertools.islice(_cases(kind, pairs[kind], every, seconds, seed), n) for kind in pairs]
    for turn in itertools.zip_longest(*streams):
        yield from (case for case in turn if case is not None)


def _cases(
    kind: str,
    pairs: Sequence[tuple[ClipEntry, ClipEntry | None]],
    every: Sequence[ClipEntry],
    seconds: float,
    seed: int,
) -> Iterator[Case]:
    for number, (real, fake) in enumerate(_in_turn(pairs, np.random.default_rng(seed))):
        case = _case(kind, real, fake, every, np.random.default_rng([seed, number]), seconds)
        if case is not None:
            yield case


def _in_turn(
    pairs: Sequence[tuple[ClipEntry, ClipEntry | None]], rng: np.random.Generator
) -> list[tuple[ClipEntry, ClipEntry | None]]:
    """Return the pairs in random order: the first pair of every group, then the second of every group."""
    order = [pairs[int(number)] for number in rng.permutation(len(pairs))]
    seen: dict[str, int] = {}
    turns = []
    for real, _ in order:
        turns.append(seen.get(real.group, 0))
        seen[real.group] = turns[-1] + 1
    return [order[number] for number in sorted(range(len(order)), key=lambda number: turns[number])]


def _case(
    kind: str,
    real: ClipEntry,
    fake: ClipEntry | None,
    every: Sequence[ClipEntry],
    rng: np.random.Generator,
    seconds: float,
) -> Case | None:
    """Return a case, or None where the clip is too short, shows no face, or can't be forged in this kind."""
    clip = _read(real)
    if clip is None or clip.duration_s < max(MIN_S, seconds + 2 * MARGIN_S):
        return None
    start_s = float(rng.uniform(MARGIN_S, clip.duration_s - MARGIN_S - seconds))
    part = (clip.times_s >= start_s) & (clip.times_s < start_s + seconds)
    if not np.isfinite(clip.landmarks[part, 0, 0]).all():
        return None
    forged = _spliced(clip, fake, part) if fake is not None else _swapped(clip, real, every, part, rng)
    if forged is None:
        return None
    method = fake.method if fake is not None else kind
    return Case(real.filename, real.group, kind, method, start_s, start_s + seconds, clip, forged)


def _read(listed: ClipEntry, **options: float) -> EditableClip | None:
    """Read a clip with a face in most frames, else return None."""
    try:
        clip = read_clip(listed.path, **options)  # type: ignore[arg-type]  # max_seconds alone
    except (ClipError, OSError):
        return None
    return clip if clip.face_fraction >= MIN_FACE_FRACTION else None


def _swapped(
    clip: EditableClip, real: ClipEntry, every: Sequence[ClipEntry], part: NDArray[np.bool_], rng: np.random.Generator
) -> EditableClip | None:
    """Swap the face in a part of the frames, with the donor, of a few clips, whose poses fit best."""
    others = [clip for clip in every if clip.group != real.group]
    chosen = [others[int(number)] for number in rng.choice(len(others), min(DONORS, len(others)), replace=False)]
    donors = [donor for entry in chosen if (donor := _read(entry, max_seconds=DONOR_S)) is not None]
    if not donors:
        return None
    hidden = replace(clip, landmarks=np.where(part[:, None, None], clip.landmarks, np.nan).astype(np.float32))
    donor = min(donors, key=lambda other: choose_frames(clip.landmarks[part], other.landmarks)[1])
    kind = kinds()["face_swap"]  # leaves frames without landmarks unchanged, at no cost
    return _combined(clip, kind.apply(hidden, kind.sample(rng), rng, donor), part)


def _spliced(clip: EditableClip, fake: ClipEntry, part: NDArray[np.bool_]) -> EditableClip | None:
    """Replace a part of the frames by those of a FAKE clip; None where the frames do not correspond."""
    other = _read(fake)
    if other is None or not np.allclose(other.times_s[: len(part)], clip.times_s[: len(other.times_s)], atol=0.01):
        return None
    last = int(np.flatnonzero(part)[-1])
    if len(other.times_s) <= last or next(iter(other.frames)).shape != next(iter(clip.frames)).shape:
        return None
    return _combined(clip, other, part)


def _combined(clip: EditableClip, other: EditableClip, part: NDArray[np.bool_]) -> EditableClip:
    def frames() -> Iterator[Image]:
        others = iter(other.frames)
        for genuine, is_forged in zip(clip.frames, part, strict=False):
            forged = next(others, genuine)
            yield forged if is_forged else genuine

    return replace(clip, frames=Frames(frames))


def judged(case: Case) -> Outcome | None:
    """Measure a case; None where no face is scored inside, or none outside the forged part."""
    with tempfile.TemporaryDirectory() as folder:
        genuine, forged = (_series(clip, Path(folder)) for clip in (case.genuine, case.forged))
    if not (genuine.keys() >= LOGITS and forged.keys() >= LOGITS):
        return None
    times_s, scores = _scores(forged)
    inside = (times_s >= case.start_s) & (times_s < case.end_s)
    before_s, before = _scores(genuine)
    inside_before = (before_s >= case.start_s) & (before_s < case.end_s)
    if not (inside.any() and inside_before.any()) or inside.all():
        return None
    peak = int(scores.argmax())
    return Outcome(
        filename=case.filename,
        group=case.group,
        kind=case.kind,
        method=case.method,
        start_s=case.start_s,
        end_s=case.end_s,
        peak_s=float(times_s[peak]),
        peak=float(scores[peak]),
        inside=bool(inside[peak]),
        chance=float(inside.mean()),
        rise=float(scores[inside].mean() - before[inside_before].mean()),
        inside_by=_by_series(forged, case),
    )


def _series(clip: EditableClip, folder: Path) -> dict[str, Series]:
    """Return the series of the main face of a clip that is written and measured as for a page; empty without a face."""
    file, recorder = folder / "clip.mp4", FaceRecorder(filmstrip=False)
    write_clip(clip, file, Encoder())
    _, observed = worker.measured(file.name, str(file), worker.Settings(()), recorder)
    if observed is None or not observed.tracks:
        return {}
    return person_series(observed, recorder.with_faces(observed.tracks[0]), families(FAMILIES))


def _scores(series: Mapping[str, Series]) -> tuple[F64, F64]:
    """Return times and scores of the scored faces, as means over the networks."""
    logits = [series[f"{network}.logit"] for network in NETWORKS]
    scores = np.mean([of_network.values for of_network in logits], axis=0)
    known = np.isfinite(scores)
    return logits[0].times_s[known], scores[known]


def _by_series(series: Mapping[str, Series], case: Case) -> dict[str, bool]:
    defined = {name: scores for name, scores in series.items() if np.isfinite(scores.values).any()}
    peaks = {name: scores.times_s[np.nanargmax(scores.values)] for name, scores in defined.items()}
    return {name: bool(case.start_s <= peak_s < case.end_s) for name, peak_s in peaks.items()}


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return rates over the outcomes of each kind."""
    figures: dict[str, Any] = {}
    for kind in sorted({outcome.kind for outcome in outcomes}):
        of_kind = [outcome for outcome in outcomes if outcome.kind == kind]
        noticed = [outcome for outcome in of_kind if outcome.rise >= NOTICED]
        figures[kind] = {
            "n": len(of_kind),
            "groups": len({outcome.group for outcome in of_kind}),
            "inside": _rate(of_kind, lambda outcome: outcome.inside),
            "chance": float(np.mean([outcome.chance for outcome in of_kind])),
            "noticed": len(noticed),
            "inside_of_noticed": _rate(noticed, lambda outcome: outcome.inside),
            "inside_by": {
                name: _rate_by(of_kind, name)
                for name in sorted({name for outcome in of_kind for name in outcome.inside_by})
            },
        }
    return figures


def _rate_by(outcomes: Sequence[Outcome], name: str) -> dict[str, Any] | None:
    return _rate(
        [outcome for outcome in outcomes if name in outcome.inside_by], lambda outcome: outcome.inside_by[name]
    )


def _rate(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> dict[str, Any] | None:
    """Return the rate and its 95 % interval; None without outcomes.

    The interval is that of :func:`benchmarks.rates.interval` with groups as observations.
    """
    if not outcomes:
        return None
    groups: dict[str, list[bool]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.group, []).append(holds(outcome))
    sums, sizes = (np.array([function(values) for values in groups.values()]) for function in (sum, len))
    low, high = interval(sums, sizes, seed=0)
    return {"value": float(sums.sum() / sizes.sum()), "interval": [low, high], "n": len(outcomes)}


if __name__ == "__main__":
    sys.exit(main())
