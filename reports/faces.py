"""The scored faces of a person that a page shows, and their order."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ensemble.learners.late_fusion import LOGIT_SUFFIX
from features.evidence import ClipEvidence, JudgedFace, Person
from reports.cue_titles import family_title
from reports.series_words import moments, stretches_in_words
from reports.timeline import person_name

STRONGEST = 6
MAX_FACES = 60  # on a page, over all people
SEEN_GAP_S = 1.0  # between two boxes of people who are taken to be seen all the time
MAX_BYTES = 1_500_000  # of their images; base64 makes them a third larger


@dataclass(frozen=True)
class FaceView:
    """One scored face on a page."""

    time_s: float
    image: str
    """A ``data:`` URI; empty when faces are not shown."""
    scores: tuple[tuple[str, float], ...]
    """Title of a network, and its log-odds that this face is fake."""
    mean: float
    """Of the scores."""


@dataclass(frozen=True)
class PersonView:
    """One tracked person on a page."""

    key: str
    name: str
    main: bool
    image: str
    """A ``data:`` URI of the scored face in the middle of the clip; empty when faces are not shown."""
    seen: str
    """When the person is tracked, in words; empty where not."""
    n_judged: int
    means: tuple[tuple[str, float, float, float], ...]
    """Title of a network, and the lowest, the mean and the highest of its scores."""
    cue_means: tuple[tuple[str, float], ...]
    """Title of a network, and the cue: the mean logit of the person's faces, on other views than the scores."""
    strongest: tuple[FaceView, ...]
    """The faces most like a fake to the networks, the highest mean score first."""
    others: tuple[FaceView, ...]
    """Further faces, spread over the clip, in order of time."""
    face_map: str
    """A ``data:`` URI; empty without one."""
    regions: tuple[tuple[str, float], ...]
    """Regions of the face and the log-odds that it loses without each, the largest first; empty without a map."""
    mapped: str
    """The faces over which these are a mean, in words: ``2 faces, at 2.3 and 2.8 s``."""


def people(evidence: ClipEvidence) -> list[PersonView]:
    """Return the people of a clip as a page shows them, the main one first."""
    left, views = MAX_BYTES, []
    share = MAX_FACES // max(1, len(evidence.people))
    for number, person in enumerate(evidence.people):
        cues = {} if number else evidence.cues  # a table holds the main person's
        view, used = _person(person, cues, number, len(evidence.people), most=share, max_bytes=left)
        views.append(view)
        left -= used
    return views


def covered_s(evidence: ClipEvidence) -> float:
    """Return the seconds of the clip with at least one tracked person; gaps of up to :data:`SEEN_GAP_S` count."""
    times = np.unique(np.concatenate([[], *(person.boxes_times_s for person in evidence.people)]))
    steps = np.diff(times)
    return float(steps[steps <= SEEN_GAP_S].sum())


def seen_together(evidence: ClipEvidence) -> bool:
    """Whether two of the tracked people appear in one frame; otherwise they may be one person in several shots."""
    times = [np.unique(person.boxes_times_s) for person in evidence.people]  # times of frames, on one time axis
    every = np.concatenate([[], *times])
    return len(np.unique(every)) < len(every)


def data_uri(jpeg: bytes) -> str:
    """Return a data URI of an image; empty without one."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii") if jpeg else ""


def _person(
    person: Person, cues: Mapping[str, float], number: int, total: int, *, most: int, max_bytes: int
) -> tuple[PersonView, int]:
    ranked = sorted(person.faces, key=lambda face: (-_mean(face), face.time_s))
    strongest = [face for face in ranked[:STRONGEST] if face.logits]
    with_image = [face for face in person.faces if face.jpeg]
    rest = [face for face in (with_image or person.faces) if face not in strongest]
    chosen = within(_spread(rest, max(0, most - len(strongest))), max_bytes - sum(len(face.jpeg) for face in strongest))
    middle = with_image[len(with_image) // 2].jpeg if with_image else b""
    view = PersonView(
        key=f"p{number}",
        name=person_name(number, total),
        main=number == 0 and total > 1,
        image=data_uri(middle),
        seen=_followed(person.boxes_times_s),
        n_judged=len(person.faces),
        means=_means(person.faces),
        cue_means=_cue_means(cues),
        strongest=tuple(map(_view, strongest)),
        others=tuple(map(_view, chosen)),
        face_map=data_uri(person.face_map_jpeg),
        regions=tuple(sorted(person.face_regions.items(), key=lambda region: -region[1])),
        mapped=_mapped(person.face_map_times_s),
    )
    shown = (*strongest, *chosen)
    return view, sum(len(face.jpeg) for face in shown) + len(middle) + len(person.face_map_jpeg)


def _mapped(times_s: Sequence[float]) -> str:
    """Return which faces a map is of.

    >>> _mapped((2.83, 2.33)), _mapped((0.5,)), _mapped(())
    ('the mean of 2 faces, at 2.3 and 2.8 s', 'one face, at 0.5 s', 'the mean of the highest-scoring faces')
    """
    if not times_s:  # evidence of an earlier version
        return "the mean of the highest-scoring faces"
    faces = f"the mean of {len(times_s)} faces" if len(times_s) > 1 else "one face"
    return f"{faces}, {moments(sorted(times_s))}"


def _followed(times_s: NDArray[np.float64]) -> str:
    """Return when a face is tracked: ``Tracked from 0.0 to 9.8 s``; below a second to the hundredth."""
    if not len(times_s):
        return ""
    first, last = float(times_s[0]), float(times_s[-1])
    digits = 1 if last - first >= 1.0 else 2
    seen = "Tracked" if len(times_s) > 1 else "Seen in one frame,"
    return f"{seen} {stretches_in_words([(first, last)], digits)}"


def within(faces: Sequence[JudgedFace], max_bytes: int) -> list[JudgedFace]:
    """Return as many faces as the size limit allows, spread evenly over those given."""
    faces = list(faces)
    while faces and sum(len(face.jpeg) for face in faces) > max_bytes:
        faces = _spread(faces, len(faces) // 2)
    return faces


def _spread(faces: Sequence[JudgedFace], most: int) -> list[JudgedFace]:
    """At most so many, evenly chosen."""
    if len(faces) <= most:
        return list(faces)
    return [faces[(2 * k + 1) * len(faces) // (2 * most)] for k in range(most)]


def _mean(face: JudgedFace) -> float:
    return sum(face.logits.values()) / len(face.logits) if face.logits else float("-inf")


def _view(face: JudgedFace) -> FaceView:
    scores = tuple((family_title(name), z) for name, z in sorted(face.logits.items()))
    return FaceView(face.time_s, data_uri(face.jpeg), scores, _mean(face))


def _cue_means(cues: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Return the networks whose mean logit is among the cues, whether or not the page shows single faces."""
    means = {name.removesuffix(LOGIT_SUFFIX): z for name, z in cues.items() if name.endswith(LOGIT_SUFFIX)}
    return tuple((family_title(name), z) for name, z in sorted(means.items()) if math.isfinite(z))


def _means(faces: Sequence[JudgedFace]) -> tuple[tuple[str, float, float, float], ...]:
    result = []
    for name in sorted({name for face in faces for name in face.logits}):
        scores = [face.logits[name] for face in faces if name in face.logits]
        result.append((family_title(name), min(scores), sum(scores) / len(scores), max(scores)))
    return tuple(result)
