"""Faces drawn on the crops of a synthetic track: eyes, irises with highlights, teeth, of known colours and places."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from people import build_track, pose_points

from features.measures.geometry import LEFT_EYE, RIGHT_EYE, crop_landmarks
from features.measures.outlines import inside_convex

SKIN, SCLERA, CAVITY = (190.0, 150.0, 130.0), (225.0, 222.0, 220.0), (50.0, 25.0, 25.0)
IRIS_IOD = 0.093  # radius: 5.9 mm where the eyes are 63 mm apart


@dataclass(frozen=True)
class Look:
    """What is drawn; the right eye first."""

    irises: tuple = ((70.0, 95.0, 120.0), (70.0, 95.0, 120.0))
    """RGB of each."""
    lights: tuple = (None, None)
    """Place of each highlight from the iris's centre in its radii; None for none."""
    light_radius: float = 0.3
    teeth: tuple | None = None
    """RGB of the upper half of the mouth; None for none."""
    teeth_noise: float = 0.0
    skin_noise: float = 4.0
    gaze: tuple = (0.0, 0.0)
    """Across, in widths of an eye, of each eye."""


def draw(side, points, look, rng):
    """An RGB crop [side, side, 3] with a face at landmarks [68, 2]."""
    rows, columns = np.mgrid[:side, :side].astype(float)
    image = np.zeros((side, side, 3)) + SKIN + rng.normal(0.0, look.skin_noise, (side, side, 1))
    iod = np.hypot(*(points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0)))
    for k, eye in enumerate((RIGHT_EYE, LEFT_EYE)):
        lids = inside_convex(points[eye], size=(side, side))
        image[lids] = SCLERA
        x, y = points[eye].mean(axis=0)
        x += look.gaze[k] * np.hypot(*(points[eye[3]] - points[eye[0]]))
        radius = IRIS_IOD * iod
        _disc(image, lids, rows, columns, (x, y), radius, look.irises[k])
        _disc(image, lids, rows, columns, (x, y), 0.3 * radius, (15.0, 15.0, 15.0))
        if look.lights[k] is not None:
            place = (x + look.lights[k][0] * radius, y + look.lights[k][1] * radius)
            _disc(image, lids, rows, columns, place, look.light_radius * radius, (250.0, 250.0, 250.0))
    mouth = inside_convex(points[60:68], size=(side, side))
    image[mouth] = CAVITY
    if look.teeth is not None:
        upper = mouth & (rows < points[60:68, 1].mean())
        image[upper] = look.teeth + rng.normal(0.0, look.teeth_noise, (int(upper.sum()), 1))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _disc(image, lids, rows, columns, centre, radius, colour):
    """A disc with a soft edge of 1 px, between the lids."""
    cover = np.clip(radius + 0.5 - np.hypot(columns - centre[0], rows - centre[1]), 0.0, 1.0) * lids
    image += cover[..., None] * (np.asarray(colour) - image)


def person(look, rng, *, mouth_open=0.3, seconds=4.0, scale_px=85.0, closed=0.0):
    """A still person as a Track of eight crops, all of one drawing."""
    t = np.arange(round(30 * seconds)) / 30.0
    points = pose_points(
        t, pose_deg=np.zeros((3, len(t))), closed=np.full(len(t), closed), mouth_open=np.full(len(t), mouth_open),
        scale_px=scale_px,
    )  # fmt: skip
    track = build_track(points, rng=rng, patch=0, crops=8)
    drawn = draw(len(track.crops[0]), crop_landmarks(track, 0), look, rng)
    return replace(track, crops=(drawn,) * len(track.crops))
