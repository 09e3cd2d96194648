"""Manipulations of the picture: swaps, transplants, self-blending, resynthesis."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from forge.clip import Clip, Image, Points
from forge.kinds import Parameters, kind
from forge.swap import Region, blend, choose_frames, eye_distance, hull_mask, match_colour, warp

MAX_DONOR_FRAMES = 96  # faces of the donor that are kept in memory
SMOOTH_FRAMES = 5  # landmarks of a good forgery are averaged over so many


def steadied(landmarks: Points, frames: int = SMOOTH_FRAMES) -> Points:
    """Landmarks [n, 68, 2] averaged over neighbouring frames; NaN stays NaN."""
    if frames < 2 or len(landmarks) < frames:
        return landmarks
    known = np.isfinite(landmarks)
    window = np.hanning(frames + 2)[1:-1].astype(np.float32)
    flat = np.where(known, landmarks, 0).reshape(len(landmarks), -1)
    weight = known.reshape(flat.shape).astype(np.float32)
    pad = frames // 2
    sums = [_slide(np.pad(x, ((pad, pad), (0, 0))), window) for x in (flat, weight)]
    mean = (sums[0] / np.maximum(sums[1], 1e-6)).reshape(landmarks.shape)
    return np.where(known, mean, np.nan).astype(np.float32)


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
        "grow": float(rng.uniform(-0.12, 0.0)),
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
    chosen = choose_frames(landmarks, places)
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
    for frame, points in zip(donor.frames, donor.landmarks, strict=False):
        if len(faces) == MAX_DONOR_FRAMES:
            break
        if not np.isfinite(points).all():
            continue
        region = Region.around(points, frame.shape)
        local = region.inside(points)
        scale = min(1.0, face_px / float(np.ptp(local[:, 0]) + 1e-6))
        faces.append(cv2.resize(frame[region.slices], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        places.append((local + 0.5) * np.float32(scale) - 0.5)
    return faces, np.stack(places)


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
