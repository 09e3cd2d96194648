"""Choose the face tracks to keep: one for each person before a second one of any person.

In an edited clip the longest tracks may all show one person, while another person, who may be the forged one, is left
out. Tracks of different shots share only the face, so they are assigned to people by the face recogniser of the family
``identity`` (King 2017: embeddings of one person lie within 0.6).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.arrays import F64
from features.networks.face_embedding import embeddings, suitable
from features.observation import Track

SAME_PERSON = 0.6  # maximum distance between two embeddings of one person
MAX_COMPARED = 12  # tracks, since an embedding costs 20 ms


def one_per_person(tracks: Sequence[Track], most: int) -> list[Track]:
    """Choose at most ``most`` tracks, kept in their order: the first, then each other person's first, then the rest.

    Tracks without a crop that the recogniser can use count among the rest. No embedding is computed where all tracks
    are kept anyway; people are searched in the first :data:`MAX_COMPARED` tracks.
    """
    if len(tracks) <= most:
        return list(tracks)
    people: list[F64] = []
    first: list[int] = [0]
    rest: list[int] = []
    for number, track in enumerate(tracks[:MAX_COMPARED]):
        embedded = embeddings(track, suitable(track, most=1))
        is_new = len(embedded) > 0 and all(float(np.linalg.norm(embedded[0] - face)) > SAME_PERSON for face in people)
        if is_new:
            people.append(embedded[0])
        if number:
            (first if is_new else rest).append(number)
    rest += range(min(len(tracks), MAX_COMPARED), len(tracks))
    return [tracks[number] for number in sorted([*first, *rest][:most])]
