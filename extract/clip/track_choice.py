"""Which of a clip's face tracks are kept: of every person one, before a second one of anybody.

In an edited clip the longest tracks may be shots of one person, and those of another, who may be the forged one, be
left out. Tracks of different shots have nothing in common but the face: the recogniser of the family ``identity`` says
whose they are (King 2017: embeddings of one person lie within 0.6).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.geometry import F64
from features.networks.face_embedding import embeddings, suitable
from features.observation import Track

SAME_PERSON = 0.6  # largest distance of two embeddings
MAX_COMPARED = 12  # tracks: an embedding costs 20 ms


def one_per_person(tracks: Sequence[Track], most: int) -> list[Track]:
    """At most ``most`` of the tracks, in the order given: the first, then others' first ones, then the rest.

    Tracks without a crop that the recogniser can use belong to nobody and count among the rest. No embedding is
    computed where all tracks are kept anyway; people are sought in the first :data:`MAX_COMPARED`.
    """
    if len(tracks) <= most:
        return list(tracks)
    people: list[F64] = []
    first: list[int] = [0]
    rest: list[int] = []
    for number, track in enumerate(tracks[:MAX_COMPARED]):
        found = embeddings(track, suitable(track, most=1))
        is_new = len(found) > 0 and all(float(np.linalg.norm(found[0] - one)) > SAME_PERSON for one in people)
        if is_new:
            people.append(found[0])
        if number:
            (first if is_new else rest).append(number)
    rest += range(min(len(tracks), MAX_COMPARED), len(tracks))
    return [tracks[number] for number in sorted([*first, *rest][:most])]
