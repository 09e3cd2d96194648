"""Manipulations of the video: swaps, transplants, self-blending, resynthesis, transcoding.

Self-blending and resynthesis are those that the face networks are trained on (:mod:`forge.images`), with one set of
parameters for all frames of a clip, which drift slowly like a tracker's errors.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from features.measures.geometry import RIGID
from forge.clips.clip import EditableClip, Frames
from forge.clips.registry import Parameters, kind
from forge.clips.swap import Region, blend, choose_frames, hull_mask, warp
from forge.clips.temporal import SMOOTH_FRAMES, smoothed_landmarks, stationary_ar1, usable_frames
from forge.face_ops import Image, Mask, Points, iod, similarity, to_bytes
from forge.images.blend import SELF_BLENDED, Area, Edge, Move, SelfBlend, Statistics, mix, recoloured
from forge.images.resynthesis import (
    RESYNTHESISED,
    STEPS,
    Bottleneck,
    Decoder,
    sampled_sharpening,
)

MAX_DONOR_FRAMES = 96  # faces of the donor that are kept in memory
WIDE_MARGIN_IOD = 1.5  # margin around the landmarks, which no mask of :mod:`forge.images.blend` exceeds
FORGETTING = (0.01, 0.08)  # forgetting per frame of the processes that let parameters drift
BEND_DRIFT = 0.3  # drift of a mask's bends, in their standard deviations
SHIFT_DRIFT_IOD, ZOOM_DRIFT, RATIO_DRIFT = 0.02, 0.01, 0.05  # drift of a blended face's position, size and opacity
MIN_REDUCTION = 1.25  # smallest reduction, for a face that is hardly larger than the generator's
FACE_WIDTH_IOD = 3.2  # width of a generator's image: the face with its margins
MOUTH = np.r_[31:36, 48:68, 6:11]  # landmarks that a transplanted mouth must cover
INSIDE_JAW_IOD = 0.10  # its distance from the jaw's edge, where the two faces differ
FULL_FACE_PX = 256  # largest width of stored whole faces


def _sample_swap(rng: np.random.Generator) -> dict[str, Any]:
    good = bool(rng.random() < 0.5)
    return {
        "quality": "good" if good else "poor",
        "blend": str(rng.choice(["poisson", "feather"])),
        "colour": float(rng.uniform(0.85, 1.0) if good else rng.uniform(0.3, 0.8)),
        "grow": float(rng.uniform(-0.15, -0.05) if good else rng.uniform(-0.10, 0.0)),
        "soft": float(rng.uniform(0.05, 0.12) if good else rng.uniform(0.02, 0.05)),
        "face_px": int(rng.integers(160, 257) if good else rng.integers(48, 97)),
        "jitter_iod": float(0.004 if good else rng.uniform(0.01, 0.025)),
        "flicker": float(0.004 if good else rng.uniform(0.01, 0.03)),
    }


@kind("face_swap", part="picture", needs={"face", "donor_face"}, sample=_sample_swap)
def face_swap(
    clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
) -> EditableClip:
    """The donor's face on the clip's head, with the best-fitting donor frame for each frame."""
    assert donor is not None
    faces, places = _faces(donor, int(parameters["face_px"]))
    landmarks = smoothed_landmarks(clip.landmarks, SMOOTH_FRAMES if parameters["quality"] == "good" else 1)
    chosen, _ = choose_frames(landmarks, places)
    n = len(landmarks)
    shake = rng.standard_normal((n, 1, 2)) * parameters["jitter_iod"]
    gain = 1.0 + parameters["flicker"] * rng.standard_normal((n, 3))

    def change(index: int, frame: Image) -> Image:
        points = landmarks[index]
        if not np.isfinite(points).all():
            return frame
        points = points + (shake[index] * iod(points)).astype(np.float32)
        region = Region.around(points, frame.shape)
        target, local = frame[region.slices], region.inside(points)
        face = warp(faces[chosen[index]], places[chosen[index]], local, target.shape)
        mask = hull_mask(local, target.shape, grow=parameters["grow"], soft=parameters["soft"])
        face = recoloured(face, target, mask, strength=parameters["colour"])
        face = to_bytes(face * gain[index])
        return _pasted(frame, region, blend(face, target, mask, parameters["blend"]))

    return clip.with_frames(change)


def _pasted(frame: Image, region: Region, part: Image) -> Image:
    changed = frame.copy()
    changed[region.slices] = part
    return changed


def _faces(donor: EditableClip, face_px: int) -> tuple[list[Image], Points]:
    """Return the first :data:`MAX_DONOR_FRAMES` usable faces, at most ``face_px`` wide, and landmarks [m, 68, 2]."""
    faces: list[Image] = []
    places: list[Points] = []
    usable = usable_frames(donor.landmarks)
    for frame, points, fit in zip(donor.frames, donor.landmarks, usable, strict=False):
        if len(faces) == MAX_DONOR_FRAMES:
            break
        if not fit:
            continue
        face, place = _face(frame, points, face_px)
        faces.append(face)
        places.append(place)
    return faces, np.stack(places)


def _face(frame: Image, points: Points, face_px: int) -> tuple[Image, Points]:
    """Cut the face at landmarks [68, 2] of a frame, at most ``face_px`` wide, and return it with its landmarks."""
    region = Region.around(points, frame.shape)
    local = region.inside(points)
    scale = min(1.0, face_px / float(np.ptp(local[:, 0]) + 1e-6))
    face = cv2.resize(frame[region.slices], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return face, (local + 0.5) * np.float32(scale) - 0.5


def _plain(parameters: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as after a round trip through JSON: lists instead of tuples."""
    return dict(json.loads(json.dumps(asdict(parameters))))


def _sample_area(rng: np.random.Generator, shares: dict[str, float]) -> dict[str, Any]:
    """Sample parameters of an :class:`~forge.images.blend.Area`; the clip's generator determines its outline."""
    area = Area.sample(rng, shares)
    edge = {"kernel_iod": area.edge.kernel_iod, "core": area.edge.core}
    return {"region": area.region, "grow_iod": area.grow_iod, **edge}


def _areas(parameters: Parameters, n: int, rng: np.random.Generator, *, pace: float) -> Callable[[int], Area]:
    """Return the area for each of ``n`` frames: one outline whose bends drift around their first positions."""
    bend = rng.standard_normal((2, 5, 5))
    drifts = np.stack([stationary_ar1(n, rng, forgetting=pace) for _ in range(bend.size)], axis=1)
    bends = (bend + BEND_DRIFT * drifts.reshape(n, *bend.shape)).astype(np.float32)
    edge = Edge(bends[0], parameters["kernel_iod"], parameters["core"])
    area = Area(parameters["region"], parameters["grow_iod"], edge)
    return lambda index: replace(area, edge=replace(edge, bend=bends[index]))


def _sample_resynthesis(rng: np.random.Generator) -> dict[str, Any]:
    second = str(rng.choice([name for name in STEPS if name != "bottleneck"])) if rng.random() < 0.4 else ""
    return {
        "face_px": int(rng.integers(40, 97)),
        "interpolation": int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4])),
        "deconvolved": bool(rng.random() < 0.4),
        "second_step": second,
        "second": _plain(STEPS[second].sample(rng)) if second else {},
        "sharpening": sampled_sharpening(rng),
        "flicker": float(rng.uniform(0.005, 0.03)),
        "wobble_iod": float(rng.uniform(0.0, 0.015)),
        "pace": float(rng.uniform(*FORGETTING)),
        **_sample_area(rng, RESYNTHESISED),
    }


@kind("resynthesis", part="picture", needs={"face"}, sample=_sample_resynthesis)
def resynthesis(
    clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
) -> EditableClip:
    """The face as a generator of limited size renders it: reduced, upsampled, smooth, unsteady.

    The steps are those of :mod:`forge.images.resynthesis`. Here every clip has the bottleneck, and its factor depends
    on the size of the face: a generator has one size, whatever the size of the frame. The periodic marks are those of a
    deconvolution in the reduced image, because compression removes single-pixel marks of the full-size image.
    """
    n = len(clip.landmarks)
    gain = 1.0 + parameters["flicker"] * rng.standard_normal((n, 3))
    wobble = rng.standard_normal((n, 68, 2)).astype(np.float32) * np.float32(parameters["wobble_iod"])
    wobble[:, :17] = 0.0
    area = _areas(parameters, n, rng, pace=parameters["pace"])

    def change(part: Image, local: Points, index: int) -> tuple[Image, Mask]:
        face = _decoder(parameters, max(MIN_REDUCTION, FACE_WIDTH_IOD * iod(local) / parameters["face_px"])).apply(part)
        if parameters["wobble_iod"] > 0:
            face = warp(face, local, local + wobble[index] * iod(local), part.shape)
        return to_bytes(face * gain[index]), area(index).mask(local, part.shape)

    return _in_the_face(clip, clip.landmarks, change)


def _decoder(parameters: Parameters, factor: float) -> Decoder:
    """Return the steps of a clip's resynthesis for a face that is reduced by ``factor``."""
    bottleneck = Bottleneck(factor, parameters["interpolation"], deconvolved=parameters["deconvolved"])
    if not parameters["second_step"]:
        return Decoder((bottleneck,), parameters["sharpening"])
    second = STEPS[parameters["second_step"]](**parameters["second"])
    return Decoder((bottleneck, second), parameters["sharpening"])


def _in_the_face(
    clip: EditableClip, landmarks: Points, change: Callable[[Image, Points, int], tuple[Image, Mask]]
) -> EditableClip:
    """Mix ``change(part, landmarks in it, frame number)`` -> (forged part, mask) into each face of a clip."""

    def changed(index: int, frame: Image) -> Image:
        points = landmarks[index]
        if not np.isfinite(points).all():
            return frame
        region = Region.around(points, frame.shape, margin=WIDE_MARGIN_IOD)
        part = frame[region.slices]
        forged, mask = change(part, region.inside(points), index)
        return _pasted(frame, region, mix(forged, part, mask))

    return clip.with_frames(changed)


def _sample_self_blend(rng: np.random.Generator) -> dict[str, Any]:
    blended = SelfBlend.sample(rng)
    return {
        "statistics": _plain(blended.statistics),
        "move": _plain(blended.move),
        "ratio": blended.ratio,
        "pace": float(rng.uniform(*FORGETTING)),
        **_sample_area(rng, SELF_BLENDED),
    }


@kind("self_blend", part="picture", needs={"face"}, sample=_sample_self_blend)
def self_blend(
    clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
) -> EditableClip:
    """The face, slightly shifted, recoloured and resharpened, blended over itself (Shiohara & Yamasaki 2022).

    As :func:`forge.images.blend.self_blend`, but the changed image always lies inside the mask. Otherwise the whole
    frame would differ from the real clip, and its colour would reveal the label.
    """
    n, pace = len(clip.landmarks), parameters["pace"]
    statistics, move = Statistics(**parameters["statistics"]), Move(**parameters["move"])
    drift = functools.partial(stationary_ar1, n, rng, forgetting=pace)
    shift = np.array(move.shift_iod) + SHIFT_DRIFT_IOD * np.stack([drift(), drift()], axis=1)
    zoom = move.zoom + ZOOM_DRIFT * drift()
    ratio = np.clip(parameters["ratio"] * (1.0 + RATIO_DRIFT * drift()), 0.0, 1.0)
    area = _areas(parameters, n, rng, pace=pace)

    def change(part: Image, local: Points, index: int) -> tuple[Image, Mask]:
        moved = replace(move, zoom=float(zoom[index]), shift_iod=tuple(shift[index]))
        mask = area(index).mask(local, part.shape) * np.float32(ratio[index])
        return moved.apply(statistics.apply(part), local), mask

    return _in_the_face(clip, smoothed_landmarks(clip.landmarks), change)


def _sample_expression(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "source": str(rng.choice(["moment", "donor"])),
        "offset_s": float(rng.uniform(0.6, 2.5)),
        "blend": str(rng.choice(["poisson", "feather"])),
        "colour": float(rng.uniform(0.7, 1.0)),
        "grow": float(rng.uniform(0.0, 0.06)),
        "soft": float(rng.uniform(0.05, 0.12)),
    }


@kind("expression", part="picture", needs={"face"}, sample=_sample_expression)
def expression(
    clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
) -> EditableClip:
    """The mouth of another moment, or of another person, on the face: the lips say something else.

    The other frame is aligned by nose and eyes only, so the mouth keeps its expression. The other moment is the usable
    face nearest to ``offset_s`` later; where the clip ends before, time runs backwards.
    """
    if parameters["source"] == "donor" and donor is not None and donor.face_fraction > 0:
        faces = functools.partial(_to_and_fro, *_faces(donor, FULL_FACE_PX))
    else:
        faces = functools.partial(_chosen_faces, clip, _moments(clip, parameters["offset_s"]))
    landmarks = smoothed_landmarks(clip.landmarks)

    def change(points: Points, frame: Image, face: Image, place: Points) -> Image:
        if not np.isfinite(points).all():
            return frame
        region = Region.around(points, frame.shape)
        part, local = frame[region.slices], region.inside(points)
        matrix = similarity(place[RIGID], local[RIGID])
        size = (part.shape[1], part.shape[0])
        face = cv2.warpAffine(face, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        moved = place @ matrix[:, :2].T + matrix[:, 2]
        mask = _mouth_mask(local, moved.astype(np.float32), part.shape, parameters)
        face = recoloured(face, part, mask, strength=parameters["colour"])
        return _pasted(frame, region, blend(face, part, mask, parameters["blend"]))

    def frames() -> Iterator[Image]:
        for points, frame, (face, place) in zip(landmarks, clip.frames, faces(), strict=False):
            yield change(points, frame, face, place)

    return replace(clip, frames=Frames(frames))


def _to_and_fro(faces: Sequence[Image], places: Points) -> Iterator[tuple[Image, Points]]:
    """Yield faces with their landmarks forwards and backwards, endlessly, without repeating the first and last."""
    order = [*range(len(faces)), *range(len(faces) - 2, 0, -1)]
    return ((faces[number], places[number]) for number in itertools.cycle(order))


def _moments(clip: EditableClip, offset_s: float) -> NDArray[np.int64]:
    """Return for each frame [n] the number of the frame whose usable face is nearest to ``offset_s`` later.

    Beyond the last usable face, time runs backwards, and forwards again from the first. A frame without a usable face
    gets the number of the previous frame, so that no face is stored for it.
    """
    is_usable = usable_frames(clip.landmarks)
    usable = np.flatnonzero(is_usable)
    times_s = clip.times_s[usable]
    span = max(float(times_s[-1] - times_s[0]), 1e-9)
    turn = np.mod(clip.times_s + offset_s - times_s[0], 2 * span)
    wanted = times_s[0] + np.minimum(turn, 2 * span - turn)
    chosen = usable[np.abs(wanted[:, None] - times_s).argmin(1)]
    last_usable = np.maximum.accumulate(np.where(is_usable, np.arange(len(chosen)), usable[0]))
    return np.asarray(chosen[last_usable])


def _chosen_faces(clip: EditableClip, chosen: NDArray[np.int64]) -> Iterator[tuple[Image, Points]]:
    """Yield the faces of the frames ``chosen`` with their landmarks, in that order.

    A face is stored from its frame until its last use.
    """
    last = {number: place for place, number in enumerate(chosen.tolist())}
    kept: dict[int, tuple[Image, Points]] = {}
    coming = enumerate(clip.frames)
    for place, number in enumerate(chosen.tolist()):
        while number not in kept:
            at, frame = next(coming)
            if at in last:
                kept[at] = _face(frame, clip.landmarks[at], FULL_FACE_PX)
        yield kept[number]
        if last[number] == place:
            del kept[number]


def _mouth_mask(here: Points, there: Points, shape: tuple[int, ...], parameters: Parameters) -> Mask:
    """Return a mask 0-1 of the region around both faces' mouths, inside the outline of both faces."""
    scale = iod(here)
    mouths, insides = [], []
    for points in (here, there):
        mouth = np.zeros(shape[:2], np.uint8)
        cv2.fillConvexPoly(mouth, cv2.convexHull(np.round(points[MOUTH]).astype(np.int32)), 255)
        mouths.append(mouth)
        insides.append(hull_mask(points, shape, grow=-INSIDE_JAW_IOD, soft=0.0))
    side = 2 * round(parameters["grow"] * scale) + 1
    mask = cv2.dilate(cv2.bitwise_or(*mouths), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    mask = mask.astype(np.float32) / 255.0 * np.minimum(*insides)
    return cv2.GaussianBlur(mask, (0, 0), max(0.3, parameters["soft"] * scale)) * (cv2.blur(mask, (3, 3)) > 0)


def _sample_reencode(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "scale": float(rng.choice([1.0, 0.75, 0.5])),
        "crf": int(rng.integers(27, 37)),
        "rounds": int(rng.integers(1, 4)),
    }


@kind("reencode", part="none", needs=(), sample=_sample_reencode)
def reencode(
    clip: EditableClip, parameters: Parameters, rng: np.random.Generator, donor: EditableClip | None
) -> EditableClip:
    """The clip transcoded, REAL and FAKE alike: reduced, and compressed one to three times.

    What is left to the writer is the compressing, ``rounds`` times at ``crf``.
    """
    scale = parameters["scale"]

    def change(index: int, frame: Image) -> Image:
        height, width = frame.shape[:2]
        size = (max(2, round(width * scale) & ~1), max(2, round(height * scale) & ~1))
        return cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame

    return clip.with_frames(change)
