"""Join pieces of tracks that show one person, across short gaps and across cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.clip.faces import iou
from features.networks.face_embedding import embeddings
from features.observation import CROPS_PER_TRACK, PER_CROP, RAGGED, Track

MAX_GAP_S = 1.0
MIN_IOU = 0.3
SAME_STEP = 1.5  # times another piece's step between crops: steps are rounded to frames, and else differ by 2
MAX_IDENTITY_DISTANCE = 0.5  # dlib's embedding; same person below 0.6, stricter here


def linked(
    pieces: list[Track], times: NDArray[np.float64], cuts: list[int], *, max_gap_s: float = MAX_GAP_S
) -> list[Track]:
    """Return the tracks with the pieces of one person joined, in the order in which they begin.

    Two pieces are joined when the second begins at most ``max_gap_s`` after the first ends, and their boxes meet
    with no cut between, or dlib's embeddings of their middle crops are nearer than 0.5.
    """
    tracks: list[Track] = []
    faces: list[list[NDArray[np.float64] | None]] = []  # of each track, once asked for; tracks that were joined go

    def face(known: list[NDArray[np.float64] | None], track: Track) -> NDArray[np.float64] | None:
        if not known:
            known.append(_face(track))
        return known[0]

    for piece in sorted(pieces, key=lambda track: (int(track.frame_index[0]), -len(track))):
        own: list[NDArray[np.float64] | None] = []
        for position, track in enumerate(tracks):
            first, last = int(piece.frame_index[0]), int(track.frame_index[-1])
            if first <= last or times[first] - times[last] > max_gap_s:
                continue
            near = iou(track.box[-1], piece.box[0]) >= MIN_IOU and not any(last < cut <= first for cut in cuts)
            if near or _distance(face(faces[position], track), face(own, piece)) < MAX_IDENTITY_DISTANCE:
                tracks[position], faces[position] = joined(track, piece), []
                break
        else:
            tracks.append(piece)
            faces.append(own)
    return tracks


def joined(first: Track, second: Track) -> Track:
    """Append the second track to the first; frames in between count as lost, and crops stay evenly spread.

    A short piece has more closely spaced crops than a long one: every second of the closer crops is dropped until the
    spacing matches.
    """
    first, second = _as_coarse(first, second), _as_coarse(second, first)
    gap = np.arange(first.frame_index[-1] + 1, second.frame_index[0], dtype=np.int32)
    offset = len(first) + len(gap)
    second = replace(second, crop_index=second.crop_index + np.int32(offset), flow=_without_start(second.flow))
    values = {}
    for field in fields(Track):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name in RAGGED:
            values[field.name] = a + b
        elif field.name in PER_CROP:
            values[field.name] = np.concatenate([a, b])
        else:
            values[field.name] = np.concatenate([a, _filling(field.name, a, gap), b])
    return _thinned(Track(**values))


def _without_start(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    flow = flow.copy()
    flow[0] = np.nan
    return flow


def _filling(name: str, like: NDArray[np.float32], gap: NDArray[np.int32]) -> NDArray[np.float32] | NDArray[np.int32]:
    if name == "frame_index":
        return gap
    if name == "box":  # the face is assumed to stay in place
        return np.repeat(like[-1:], len(gap), axis=0)
    return np.full((len(gap), *like.shape[1:]), 0.0 if name == "detector_score" else np.nan, like.dtype)


def _as_coarse(track: Track, other: Track) -> Track:
    """Drop every second crop of a track until its spacing matches that of the ``other`` track.

    An ``other`` track with few crops has lost some of them, so its spacing is not used.
    """
    is_whole = len(other.crops) > CROPS_PER_TRACK // 2
    while is_whole and len(track.crops) > 1 and _step(other) > SAME_STEP * _step(track):
        track = _with_crops(track, range(0, len(track.crops), 2))
    return track


def _step(track: Track) -> float:
    return float(np.median(np.diff(track.crop_index)))


def _thinned(track: Track) -> Track:
    count = len(track.crops)
    if count <= CROPS_PER_TRACK:
        return track
    return _with_crops(
        track, [int(position) for position in (np.arange(CROPS_PER_TRACK) + 0.5) * count / CROPS_PER_TRACK]
    )


def _with_crops(track: Track, chosen: Sequence[int]) -> Track:
    values: dict[str, Any] = {name: getattr(track, name) for name in PER_CROP}
    kept: dict[str, Any] = {
        name: tuple(value[i] for i in chosen) if name in RAGGED else value[list(chosen)]
        for name, value in values.items()
    }
    return replace(track, **kept)


def _face(track: Track) -> NDArray[np.float64] | None:
    if not track.crops:
        return None
    return embeddings(track, np.array([len(track.crops) // 2]))[0]


def _distance(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> float:
    return float("inf") if a is None or b is None else float(np.linalg.norm(a - b))
