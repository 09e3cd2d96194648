"""Whether the face networks' scores over time peak where a clip was forged for two seconds.

    python -m benchmarks.short_swap manifest.csv --clips 20

Of genuine clips of six seconds or more, two seconds are forged and the rest is left as it is. Two kinds: ``face_swap``
puts another clip's face there (:mod:`forge.clips.picture`); ``spliced`` puts the same moments of a FAKE clip there that
the manifest says was made from the genuine one. The clip as it was and the forged one are written by one encoder and
measured as for a page, two faces a second. Prints JSON: how often the largest score, mean of the networks, lies inside
the forged part, beside chance, with 95 % intervals by bootstrap over groups; among all, and among those that the
networks notice: scores inside at least one log-odd above those of the clip as it was.
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

from extract.clip.face_recorder import FaceRecorder
from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.run import worker
from features.clip_series import person_series
from features.discovery import families
from features.errors import ClipError, InputError
from features.evidence import Series
from forge.clips.clip import Clip, Frames
from forge.clips.read import read_clip
from forge.clips.registry import MIN_FACE_FRACTION, kinds
from forge.clips.swap import choose_frames
from forge.clips.write import Encoder, write_clip
from forge.face_ops import Image

NETWORKS = ("forensic_cnn", "forensic_residual")
LOGITS = {f"{network}.logit" for network in NETWORKS}
FAMILIES = (*NETWORKS, "identity", "landmark_jitter")
"""Those whose series are looked at."""
MIN_S, MARGIN_S = 6.0, 1.0  # of a clip; between the forged part and its ends
DONORS, DONOR_S = 2, 4.0  # clips read for each swap, and how much of them
NOTICED = 1.0  # log-odds, as in benchmarks.face_map
RESAMPLES = 2000

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A genuine clip of which two seconds are forged."""

    filename: str
    group: str
    kind: str
    method: str
    start_s: float
    end_s: float
    genuine: Clip
    forged: Clip


@dataclass(frozen=True)
class Outcome:
    """What the scores of a case show; times in seconds of the clip."""

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
    """Whether the peak lies in the forged part."""
    chance: float
    """Fraction of the judged faces that lie there."""
    rise: float
    """Mean score there less that of the same moments of the clip as it was."""
    genuine_peak: float
    """Largest score of the clip as it was."""
    inside_by: dict[str, bool]
    """The same of each network and of other series; what is undefined is left out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 0 done, 2 the clips can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", metavar="MANIFEST", help="clips with labels, groups and originals")
    parser.add_argument("--clips", type=int, default=20, help="how many of each kind (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the forged part (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of clips, places and swaps (default: %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        found = find_clips(arguments.manifest)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    outcomes = []
    try:
        for case in cases(found, n=arguments.clips, seconds=arguments.seconds, seed=arguments.seed):
            if (outcome := judged(case)) is not None:
                outcomes.append(outcome)
                where = "inside" if outcome.inside else "outside"
                print(f"{outcome.filename} {outcome.kind}: {where}, rise {outcome.rise:+.2f}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped early: the figures are of what was done", file=sys.stderr)
    print(json.dumps(summary(outcomes) | {"clips": [asdict(one) for one in outcomes]}))
    return 0


def cases(found: Sequence[ClipEntry], *, n: int, seconds: float, seed: int) -> Iterator[Case]:
    """At most ``n`` cases of each kind, by turns; a group's second clip only when every group has had its first."""
    genuine = {one.filename: one for one in found if one.label == "REAL"}
    pairs: dict[str, list[tuple[ClipEntry, ClipEntry | None]]] = {
        "face_swap": [(one, None) for one in genuine.values()],
        "spliced": [(genuine[one.original], one) for one in found if one.label == "FAKE" and one.original in genuine],
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
    """The pairs in random order: the first of every group, then every group's second."""
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
    """None where the clip is too short, shows no face, or can't be forged so."""
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


def _read(listed: ClipEntry, **options: float) -> Clip | None:
    """A clip with a face in most frames, or None."""
    try:
        clip = read_clip(listed.path, **options)  # type: ignore[arg-type]  # max_seconds alone
    except (ClipError, OSError):
        return None
    return clip if clip.face_fraction >= MIN_FACE_FRACTION else None


def _swapped(
    clip: Clip, real: ClipEntry, every: Sequence[ClipEntry], part: NDArray[np.bool_], rng: np.random.Generator
) -> Clip | None:
    """The clip with another's face in a part of its frames: that clip of a few whose poses fit best."""
    others = [one for one in every if one.group != real.group]
    chosen = [others[int(number)] for number in rng.choice(len(others), min(DONORS, len(others)), replace=False)]
    donors = [donor for one in chosen if (donor := _read(one, max_seconds=DONOR_S)) is not None]
    if not donors:
        return None
    hidden = replace(clip, landmarks=np.where(part[:, None, None], clip.landmarks, np.nan).astype(np.float32))
    donor = min(donors, key=lambda one: choose_frames(clip.landmarks[part], one.landmarks)[1])
    kind = kinds()["face_swap"]  # which leaves frames without landmarks as they are: they cost nothing
    return _combined(clip, kind.apply(hidden, kind.sample(rng), rng, donor), part)


def _spliced(clip: Clip, fake: ClipEntry, part: NDArray[np.bool_]) -> Clip | None:
    """The clip with the frames of a FAKE one in a part; None where they are not the same frames."""
    other = _read(fake)
    if other is None or not np.allclose(other.times_s[: len(part)], clip.times_s[: len(other.times_s)], atol=0.01):
        return None
    last = int(np.flatnonzero(part)[-1])
    if len(other.times_s) <= last or next(iter(other.frames)).shape != next(iter(clip.frames)).shape:
        return None
    return _combined(clip, other, part)


def _combined(clip: Clip, other: Clip, part: NDArray[np.bool_]) -> Clip:
    def frames() -> Iterator[Image]:
        others = iter(other.frames)
        for genuine, is_forged in zip(clip.frames, part, strict=False):
            forged = next(others, genuine)
            yield forged if is_forged else genuine

    return replace(clip, frames=Frames(frames))


def judged(case: Case) -> Outcome | None:
    """Measure a case; None where its face is not judged inside and outside the forged part."""
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
        genuine_peak=float(before.max()),
        inside_by=_by_series(forged, case),
    )


def _series(clip: Clip, folder: Path) -> dict[str, Series]:
    """Series of the main face of a clip that was written and judged as for a page; empty without a face."""
    file, recorder = folder / "clip.mp4", FaceRecorder(filmstrip=False)
    write_clip(clip, file, Encoder())
    _, observed = worker.measured(file.name, str(file), worker.Settings(()), recorder)
    if observed is None or not observed.tracks:
        return {}
    return person_series(observed, recorder.with_faces(observed.tracks[0]), families(FAMILIES))


def _scores(series: Mapping[str, Series]) -> tuple[F64, F64]:
    """Times and scores of the judged faces, mean over the networks."""
    logits = [series[f"{network}.logit"] for network in NETWORKS]
    scores = np.mean([one.values for one in logits], axis=0)
    known = np.isfinite(scores)
    return logits[0].times_s[known], scores[known]


def _by_series(series: Mapping[str, Series], case: Case) -> dict[str, bool]:
    known = {name: one for name, one in series.items() if np.isfinite(one.values).any()}
    peaks = {name: one.times_s[np.nanargmax(one.values)] for name, one in known.items()}
    return {name: bool(case.start_s <= peak_s < case.end_s) for name, peak_s in peaks.items()}


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Rates over the outcomes of each kind."""
    figures: dict[str, Any] = {}
    for kind in sorted({one.kind for one in outcomes}):
        mine = [one for one in outcomes if one.kind == kind]
        noticed = [one for one in mine if one.rise >= NOTICED]
        figures[kind] = {
            "n": len(mine),
            "groups": len({one.group for one in mine}),
            "inside": _rate(mine, lambda one: one.inside),
            "chance": float(np.mean([one.chance for one in mine])),
            "noticed": len(noticed),
            "inside_of_noticed": _rate(noticed, lambda one: one.inside),
            "inside_by": {
                name: _rate_by(mine, name) for name in sorted({name for one in mine for name in one.inside_by})
            },
        }
    return figures


def _rate_by(outcomes: Sequence[Outcome], name: str) -> dict[str, Any] | None:
    return _rate([one for one in outcomes if name in one.inside_by], lambda one: one.inside_by[name])


def _rate(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> dict[str, Any] | None:
    """Share and its 95 % interval by bootstrap over groups; None of nothing."""
    if not outcomes:
        return None
    groups: dict[str, list[bool]] = {}
    for one in outcomes:
        groups.setdefault(one.group, []).append(holds(one))
    sums, sizes = (np.array([function(values) for values in groups.values()]) for function in (sum, len))
    drawn = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    shares = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return {"value": float(sums.sum() / sizes.sum()), "interval": [float(low), float(high)], "n": len(outcomes)}


if __name__ == "__main__":
    sys.exit(main())
