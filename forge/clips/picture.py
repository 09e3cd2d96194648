"""Manipulations of the picture: swaps, transplants, self-blending, resynthesis."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from forge.clips.clip import Clip, Image, Points
from forge.clips.registry import Parameters, kind
from forge.clips.swap import Region, blend, choose_frames, eye_distance, hull_mask, match_colour, warp

MAX_DONOR_FRAMES = 96  # faces of the donor that are kept in memory
MIN_DONOR_SIZE = 0.6  # of the donor's largest face: after a cut the face may be far away
MAX_DONOR_STEP = 0.03  # eye distances a frame that a donor's face may move
SMOOTH_FRAMES = 5  # landmarks of a good forgery are averaged over so many


def steadied(landmarks: Points, frames: int = SMOOTH_FRAMES) -> Points:
    """Landmarks [n, 68, 2] averaged over neighbouring frames, which also bridges gaps of one or two."""
    if frames < 2 or len(landmarks) < frames:
        return landmarks
    known = np.isfinite(landmarks)
    window = np.hanning(frames + 2)[1:-1].astype(np.float32)
    flat = np.where(known, landmarks, 0).reshape(len(landmarks), -1)
    weight = known.reshape(flat.shape).astype(np.float32)
    pad = frames // 2
    sums = [_slide(np.pad(x, ((pad, pad), (0, 0))), window) for x in (flat, weight)]
    mean = (sums[0] / np.maximum(sums[1], 1e-6)).reshape(landmarks.shape)
    return np.where(sums[1].reshape(mean.shape) > 0, mean, np.nan).astype(np.float32)


def _slide(padded: np.ndarray, window: np.ndarray) -> np.ndarray:
    n = len(padded) - len(window) + 1
    return sum(w * padded[i : i + n] for i, w in enumerate(window))


def wander(n: int, rng: np.random.Generator, *, step: float) -> np.ndarray:
    """A slow random walk [n] of unit spread that is drawn back to 0; ``step`` is how fast it forgets (0-1)."""
    noise = rng.standard_normal(n) * np.sqrt(2 * step - step**2)
    values = np.empty(n)
    last = rng.standard_normal()
    for i in range(n):
        last = (1 - step) * last + noise[i]
        values[i] = last
    return values


def _draw_swap(rng: np.random.Generator) -> dict[str, Any]:
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


@kind("face_swap", part="picture", needs={"face", "donor_face"}, draw=_draw_swap)
def face_swap(clip: Clip, parameters: Parameters, rng: np.random.Generator, donor: Clip | None) -> Clip:
    """The donor's face on the clip's head, its expression chosen frame by frame to fit."""
    assert donor is not None
    faces, places = _faces(donor, int(parameters["face_px"]))
    landmarks = steadied(clip.landmarks, SMOOTH_FRAMES if parameters["quality"] == "good" else 1)
    chosen, _ = choose_frames(landmarks, places)
    n = len(landmarks)
    shake = rng.standard_normal((n, 1, 2)) * parameters["jitter_iod"]
    gain = 1.0 + parameters["flicker"] * rng.standard_normal((n, 3))

    def change(index: int, frame: Image) -> Image:
        points = landmarks[index]
        if not np.isfinite(points).all():
            return frame
        points = points + (shake[index] * eye_distance(points)).astype(np.float32)
        region = Region.around(points, frame.shape)
        target, local = frame[region.slices], region.inside(points)
        face = warp(faces[chosen[index]], places[chosen[index]], local, target.shape)
        mask = hull_mask(local, target.shape, grow=parameters["grow"], soft=parameters["soft"])
        face = match_colour(face, target, mask, strength=parameters["colour"])
        face = np.clip(face * gain[index], 0, 255).astype(np.uint8)
        return _pasted(frame, region, blend(face, target, mask, parameters["blend"]))

    return clip.with_frames(change)


def _pasted(frame: Image, region: Region, part: Image) -> Image:
    changed = frame.copy()
    changed[region.slices] = part
    return changed


def _faces(donor: Clip, face_px: int) -> tuple[list[Image], Points]:
    """Up to :data:`MAX_DONOR_FRAMES` neighbouring faces, at most ``face_px`` wide, and their landmarks [m, 68, 2]."""
    faces: list[Image] = []
    places: list[Points] = []
    steady = _steady(donor.landmarks)
    for frame, points, still in zip(donor.frames, donor.landmarks, steady, strict=False):
        if len(faces) == MAX_DONOR_FRAMES:
            break
        if not still:
            continue
        region = Region.around(points, frame.shape)
        local = region.inside(points)
        scale = min(1.0, face_px / float(np.ptp(local[:, 0]) + 1e-6))
        faces.append(cv2.resize(frame[region.slices], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        places.append((local + 0.5) * np.float32(scale) - 0.5)
    return faces, np.stack(places)


def _steady(landmarks: Points) -> np.ndarray:
    """Which frames [n] show a large face that holds still: small and blurred ones make poor donors."""
    iod = np.linalg.norm(landmarks[:, 36:42].mean(1) - landmarks[:, 42:48].mean(1), axis=-1)
    step = np.linalg.norm(np.gradient(landmarks, axis=0), axis=-1).mean(-1) / iod if len(iod) > 1 else 0 * iod
    known = np.isfinite(landmarks).all((1, 2))
    step = np.where(known, np.where(np.isfinite(step), step, 1.0), np.inf)
    limit = max(MAX_DONOR_STEP, float(np.median(step[known]))) if known.any() else 0.0
    largest = float(iod[known].max()) if known.any() else 0.0
    large = known & (iod >= MIN_DONOR_SIZE * largest)
    good = large & (step <= limit)
    return good if good.any() else large  # a face that is never both: rather a large one that moves


def _draw_resynthesis(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "face_px": int(rng.integers(40, 97)),
        "upsampling": str(rng.choice(["cubic", "checkerboard", "nearest"])),
        "smoothing": float(rng.uniform(0.0, 1.0)),
        "sharpen": float(rng.uniform(0.0, 0.8)),
        "flicker": float(rng.uniform(0.005, 0.03)),
        "wobble_iod": float(rng.uniform(0.0, 0.015)),
        "soft": float(rng.uniform(0.06, 0.15)),
    }


@kind("resynthesis", part="picture", needs={"face"}, draw=_draw_resynthesis)
def resynthesis(clip: Clip, parameters: Parameters, rng: np.random.Generator, donor: Clip | None) -> Clip:
    """The face as a generator of limited size would give it back: small, upsampled, smooth, unsteady."""
    n = len(clip.landmarks)
    gain = 1.0 + parameters["flicker"] * rng.standard_normal((n, 3))
    wobble = rng.standard_normal((n, 68, 2)).astype(np.float32) * np.float32(parameters["wobble_iod"])
    wobble[:, :17] = 0.0

    def change(index: int, frame: Image) -> Image:
        points = clip.landmarks[index]
        if not np.isfinite(points).all():
            return frame
        region = Region.around(points, frame.shape, margin=0.4)
        part, local = frame[region.slices], region.inside(points)
        mask = hull_mask(local, part.shape, grow=0.0, soft=parameters["soft"])
        face = resynthesised(part, parameters)
        if parameters["wobble_iod"] > 0:
            face = warp(face, local, local + wobble[index] * eye_distance(points), part.shape)
        face = np.clip(face * gain[index], 0, 255).astype(np.uint8)
        return _pasted(frame, region, blend(face, part, mask, "feather"))

    return clip.with_frames(change)


def resynthesised(face: Image, parameters: Parameters) -> Image:
    """A face through a bottleneck: down to ``face_px``, smoothed, up again, sharpened."""
    height, width = face.shape[:2]
    scale = min(0.8, parameters["face_px"] / max(height, width))
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if parameters["smoothing"] > 0:
        smooth = cv2.bilateralFilter(small, 5, 30, 2)
        small = cv2.addWeighted(smooth, parameters["smoothing"], small, 1 - parameters["smoothing"], 0)
    if parameters["upsampling"] == "checkerboard":
        small = _zero_inserted(small)
    way = cv2.INTER_NEAREST if parameters["upsampling"] == "nearest" else cv2.INTER_CUBIC
    large = cv2.resize(small, (width, height), interpolation=way)
    if parameters["upsampling"] == "nearest":
        large = cv2.GaussianBlur(large, (0, 0), 0.5 / scale * 0.6)
    if parameters["sharpen"] > 0:
        large = cv2.addWeighted(large, 1 + parameters["sharpen"], cv2.GaussianBlur(large, (0, 0), 1.5),
                                -parameters["sharpen"], 0)  # fmt: skip
    return large


def _zero_inserted(small: Image) -> Image:
    """Twice the size by a transposed convolution whose kernel does not divide by its stride.

    Pixels are spread with zeros between and filtered by a 3x3 kernel: even and odd rows and columns get
    different sums, the checkerboard of Odena et al. 2016.
    """
    height, width = small.shape[:2]
    spread = np.zeros((2 * height, 2 * width, 3), np.float32)
    spread[::2, ::2] = small
    line = np.array([0.54, 1.0, 0.54], np.float32)
    return np.clip(cv2.sepFilter2D(spread, -1, line, line), 0, 255).astype(np.uint8)


def _draw_self_blend(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "shift_iod": float(rng.uniform(0.0, 0.06)),
        "scale": float(rng.uniform(0.0, 0.05)),
        "colour": [float(v) for v in rng.uniform(-14, 14, 3)],
        "gain": [float(v) for v in rng.uniform(-0.08, 0.08, 3)],
        "sharpness": float(rng.uniform(-1.0, 0.6)),
        "outline_iod": float(rng.uniform(0.02, 0.10)),
        "grow": float(rng.uniform(-0.2, 0.1)),
        "soft": float(rng.uniform(0.03, 0.20)),
        "opacity": float(rng.choice([0.5, 0.75, 1.0])),
        "pace": float(rng.uniform(0.01, 0.08)),
    }


@kind("self_blend", part="picture", needs={"face"}, draw=_draw_self_blend)
def self_blend(clip: Clip, parameters: Parameters, rng: np.random.Generator, donor: Clip | None) -> Clip:
    """The face, a little moved, recoloured and resharpened, blended over itself (Shiohara & Yamasaki 2022).

    Mask and parameters wander smoothly through the clip, so that only the seam and the statistics tell.
    """
    n = len(clip.landmarks)
    pace = parameters["pace"]
    move = np.stack([wander(n, rng, step=pace) for _ in range(2)], axis=1) * parameters["shift_iod"]
    zoom = 1.0 + parameters["scale"] * wander(n, rng, step=pace)
    tone = 1.0 + 0.3 * wander(n, rng, step=pace)
    opacity = np.clip(parameters["opacity"] * (1.0 + 0.05 * wander(n, rng, step=pace)), 0.0, 1.0)
    shape = rng.standard_normal((27, 2)) * parameters["outline_iod"]
    bend = np.stack([wander(n, rng, step=pace) for _ in range(27)], axis=1)[..., None] * (0.3 * shape)
    landmarks = steadied(clip.landmarks)

    def change(index: int, frame: Image) -> Image:
        points = landmarks[index]
        if not np.isfinite(points).all():
            return frame
        region = Region.around(points, frame.shape)
        part, local = frame[region.slices], region.inside(points)
        iod = eye_distance(points)
        middle = local.mean(0)
        matrix = np.array([[zoom[index], 0, 0], [0, zoom[index], 0]])
        matrix[:, 2] = middle * (1 - zoom[index]) + move[index] * iod
        size = (part.shape[1], part.shape[0])
        face = cv2.warpAffine(part, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        face = _recoloured(_resharpened(face, parameters["sharpness"]), parameters, float(tone[index]))
        outline = local.copy()
        outline[:27] += ((shape + bend[index]) * iod).astype(np.float32)
        mask = hull_mask(outline, part.shape, grow=parameters["grow"], soft=parameters["soft"])
        return _pasted(frame, region, blend(face, part, mask * np.float32(opacity[index]), "feather"))

    return clip.with_frames(change)


def _resharpened(face: Image, sharpness: float) -> Image:
    """Blurred for negative ``sharpness`` (sd in px), unsharp-masked for positive."""
    if sharpness < 0:
        return cv2.GaussianBlur(face, (0, 0), max(0.3, -sharpness))
    return cv2.addWeighted(face, 1 + sharpness, cv2.GaussianBlur(face, (0, 0), 1.2), -sharpness, 0)


def _recoloured(face: Image, parameters: Parameters, tone: float) -> Image:
    levels = np.arange(256)[:, None] * (1 + np.array(parameters["gain"])) + tone * np.array(parameters["colour"])
    return cv2.LUT(face, np.clip(np.round(levels), 0, 255).astype(np.uint8).reshape(1, 256, 3))


RIGID = np.r_[27:36, 36, 39, 42, 45]  # nose and corners of the eyes: they don't move with the mouth
MOUTH = np.r_[31:36, 48:68, 6:11]  # what a transplanted mouth must cover
INSIDE_JAW = 0.10  # eye distances that it stays off the jaw's edge, where the two faces part


def _draw_expression(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "source": str(rng.choice(["moment", "donor"])),
        "offset_s": float(rng.uniform(0.6, 2.5)),
        "blend": str(rng.choice(["poisson", "feather"])),
        "colour": float(rng.uniform(0.7, 1.0)),
        "grow": float(rng.uniform(0.0, 0.06)),
        "soft": float(rng.uniform(0.05, 0.12)),
    }


@kind("expression", part="picture", needs={"face"}, draw=_draw_expression)
def expression(clip: Clip, parameters: Parameters, rng: np.random.Generator, donor: Clip | None) -> Clip:
    """The mouth of another moment, or of another person, on the face: the lips say something else.

    The other frame is laid on by its nose and eyes alone, so the mouth keeps its own expression.
    """
    other = donor if parameters["source"] == "donor" and donor is not None and donor.face_share > 0 else clip
    faces, places = _faces(other, FULL_FACE_PX)
    steps = np.diff(clip.times_s)
    ahead = round(parameters["offset_s"] / float(np.median(steps))) if other is clip and steps.size else 0
    landmarks = steadied(clip.landmarks)

    def change(index: int, frame: Image) -> Image:
        points = landmarks[index]
        if not np.isfinite(points).all():
            return frame
        region = Region.around(points, frame.shape)
        part, local = frame[region.slices], region.inside(points)
        chosen = _to_and_fro(index + ahead, len(faces))
        matrix = _similarity(places[chosen][RIGID], local[RIGID])
        size = (part.shape[1], part.shape[0])
        face = cv2.warpAffine(faces[chosen], matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        moved = places[chosen] @ matrix[:, :2].T + matrix[:, 2]
        mask = _mouth_mask(local, moved.astype(np.float32), part.shape, parameters)
        face = match_colour(face, part, mask, strength=parameters["colour"])
        return _pasted(frame, region, blend(face, part, mask, parameters["blend"]))

    return clip.with_frames(change)


FULL_FACE_PX = 256  # width at which whole faces are kept


def _to_and_fro(index: int, n: int) -> int:
    """A place in a sequence of ``n`` that is played forwards, then backwards, without end."""
    turn = index % max(1, 2 * n - 2)
    return min(turn, 2 * n - 2 - turn) if n > 1 else 0


def _similarity(source: Points, target: Points) -> np.ndarray:
    """Least-squares shift, turn and scale [2, 3] from ``source`` to ``target`` [k, 2]."""
    a, b = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    turn = np.vdot(a - a.mean(), b - b.mean()) / (np.vdot(a - a.mean(), a - a.mean()).real + 1e-9)
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _mouth_mask(here: Points, there: Points, shape: tuple[int, ...], parameters: Parameters) -> np.ndarray:
    """Mask 0-1 that covers the mouth's surroundings of both faces, inside the outline of both."""
    iod = eye_distance(here)
    mouths, insides = [], []
    for points in (here, there):
        mouth = np.zeros(shape[:2], np.uint8)
        cv2.fillConvexPoly(mouth, cv2.convexHull(np.round(points[MOUTH]).astype(np.int32)), 255)
        mouths.append(mouth)
        insides.append(hull_mask(points, shape, grow=-INSIDE_JAW, soft=0.0))
    side = 2 * round(parameters["grow"] * iod) + 1
    mask = cv2.dilate(cv2.bitwise_or(*mouths), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    mask = mask.astype(np.float32) / 255.0 * np.minimum(*insides)
    return cv2.GaussianBlur(mask, (0, 0), max(0.3, parameters["soft"] * iod)) * (cv2.blur(mask, (3, 3)) > 0)


def _draw_reencode(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "scale": float(rng.choice([1.0, 0.75, 0.5])),
        "crf": int(rng.integers(27, 37)),
        "rounds": int(rng.integers(1, 4)),
    }


@kind("reencode", part="none", needs=(), draw=_draw_reencode)
def reencode(clip: Clip, parameters: Parameters, rng: np.random.Generator, donor: Clip | None) -> Clip:
    """The clip sent on: reduced, and compressed ``rounds`` times at ``crf``; the writer does the latter."""
    scale = parameters["scale"]

    def change(index: int, frame: Image) -> Image:
        height, width = frame.shape[:2]
        size = (max(2, round(width * scale) & ~1), max(2, round(height * scale) & ~1))
        return cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame

    return clip.with_frames(change)
