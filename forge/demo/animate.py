"""Animate a talking portrait: mouth, eyelids and head are moved by warps of one image.

Every output pixel asks where it comes from (``cv2.remap``): first the head's motion is undone, then, near
the mouth and the eyes, the jaw's drop and the lids' fall. Lips and lids are *cuts*: the image slides on
one side of a line and stands still on the other; what opens between the lips is painted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from forge.demo.portrait import Image, Points, Portrait
from forge.speech_synthesis import MOUTH_HZ, Speech

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

COARSE = 8  # the head's map is smooth, and is computed at an eighth of the size
BLINKS_PER_MIN = 17.0  # at rest (Bentivoglio et al. 1997)
CLOSE_S, SHUT_S, OPEN_S = 0.09, 0.05, 0.15  # phases of a blink (VanderWerf et al. 2003)
LIPS_LEAD_S = (0.0, 0.06)  # the lips part this much before the voice starts
LASH = 0.02  # half the thickness of the line of lashes, in IOD
LASHES = 0.07  # how far lashes and crease reach beyond the eye's edge, in IOD
LASH_COLOUR = np.array([48.0, 32.0, 26.0], np.float32)
LID_SHADE = 0.88  # a lid is darker than the cheek under it
LID_STRETCH = 0.4  # px of that skin per px of lid
GAPE = 0.30  # gap between the lips at full opening, in IOD
NOISE_TILE_PX = 64  # the sensor's noise pattern is cut from a larger one at a random place


@dataclass(frozen=True)
class FaceMotion:
    """Movements of a face, per frame: all arrays have length n.

    ``opening`` 0-1 and ``width`` -1 to 1 of the mouth, ``lids`` 0 (open) to 1 (shut), ``shift`` [n, 2], ``yaw`` and
    ``nod`` in IOD, ``roll`` in radians, ``zoom`` about 1, ``light`` gain about 1.
    """

    opening: F64
    width: F64
    lids: F64
    shift: F64
    yaw: F64
    nod: F64
    roll: F64
    zoom: F64
    light: F64


def sample_motion(speech: Speech, *, fps: float, rng: np.random.Generator) -> FaceMotion:
    """Sample the motion for a speech: the mouth follows the voice, the rest is random."""
    n = round(speech.opening.size / MOUTH_HZ * fps)
    times = np.arange(n) / fps
    ticks = np.arange(speech.opening.size) / MOUTH_HZ
    lead_s = rng.uniform(*LIPS_LEAD_S)
    opening = np.interp(times + lead_s, ticks, speech.opening) * (1 + 0.3 * _drift(times, rng, low=0.5, high=3.0))
    sway = [_drift(times, rng) for _ in range(7)]
    beat = np.interp(times, ticks, np.convolve(speech.opening, np.hanning(31) / 15, "same"))
    return FaceMotion(
        opening=np.clip(opening * rng.uniform(0.8, 1.1) + 0.03 * (1 + sway[6]), 0.0, 1.2),
        width=np.interp(times + lead_s, ticks, speech.width),
        lids=blinks(times, rng),
        shift=np.stack([0.10 * sway[0], 0.05 * sway[1] + 0.03 * beat], axis=1),
        yaw=0.10 * sway[2],
        nod=0.05 * sway[3] + 0.03 * beat,
        roll=0.04 * sway[4],
        zoom=1.0 + 0.015 * sway[5],
        light=1.0 + rng.uniform(0.0, 0.06) * _drift(times, rng),
    )


def _drift(times: F64, rng: np.random.Generator, low: float = 0.1, high: float = 0.8) -> F64:
    """Return a slow drift with unit amplitude: a few sines between ``low`` and ``high`` Hz."""
    hertz, phase, size = rng.uniform(low, high, 4), rng.uniform(0, 2 * np.pi, 4), rng.uniform(0.3, 1.0, 4)
    return (size / size.sum()) @ np.sin(2 * np.pi * hertz[:, None] * times + phase[:, None])


def blinks(times: F64, rng: np.random.Generator) -> F64:
    """Return the closure 0-1 of the lids [n] at ``times`` [n] (s): blinks at :data:`BLINKS_PER_MIN`, gamma gaps."""
    lids = np.zeros(times.size)
    mean_s = 60.0 / BLINKS_PER_MIN
    at = times[0] + rng.uniform(0.0, 1.0) * mean_s if times.size else 0.0
    while times.size and at < times[-1]:
        t = times - at
        close, reopen = t / CLOSE_S, 1.0 - (t - CLOSE_S - SHUT_S) / OPEN_S
        lids = np.maximum(lids, np.clip(np.minimum(close, reopen), 0.0, 1.0))
        at += max(0.5, rng.gamma(4.0, mean_s / 4.0))
    return np.sin(lids * np.pi / 2) ** 2


class Puppet:
    """A portrait placed in a frame, ready to be rendered in any pose.

    Parameters
    ----------
    portrait
        Who.
    size
        Width and height of the frame in px.
    iod
        Inter-ocular distance in px of the frame.
    eyes
        Where the midpoint of the eyes rests, px.
    """

    def __init__(self, portrait: Portrait, *, size: tuple[int, int], iod: float, eyes: tuple[float, float]) -> None:
        self.size = size
        self.iod = iod
        scaled = portrait.scaled(iod)
        offset = np.round(np.array(eyes) - scaled.landmarks[36:48].mean(0)).astype(int)
        self.points: Points = scaled.landmarks + offset.astype(np.float32)
        self._premultiplied = _premultiplied(_placed(scaled.rgba, offset, size))
        self._chin, self._nose = self.points[8], self.points[30]
        self._neck = self._chin + np.array([0.0, 0.4 * iod], np.float32)
        self._mouth = _Mouth(self.points, iod)
        self._lids = [_Lids(self.points[36:42], iod), _Lids(self.points[42:48], iod)]
        visible = np.ascontiguousarray(self._premultiplied[..., :3])
        self._skins = [lids.skin(visible) for lids in self._lids]
        width, height = size
        xs = (np.arange(-(-width // COARSE) + 1, dtype=np.float32)) * COARSE
        ys = (np.arange(-(-height // COARSE) + 1, dtype=np.float32)) * COARSE
        self._coarse = np.meshgrid(xs, ys)
        fine = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._to_coarse = (fine[0] / COARSE, fine[1] / COARSE)

    def frame(self, motion: FaceMotion, frame: int) -> tuple[Image, Points]:
        """Render one frame: premultiplied RGBA [h, w, 4], and its landmarks [68, 2]."""
        coarse = self._rest(*self._coarse, motion, frame)
        x, y = (cv2.remap(c, *self._to_coarse, cv2.INTER_LINEAR) for c in coarse)
        part = self._mouth.region(self._pad, self.size)
        rest_x, rest_y = x[part], y[part].copy()
        gap = self._mouth.gap(motion, frame)
        x[part], y[part] = self._mouth.undo(rest_x, rest_y, gap, float(motion.width[frame]))
        rendered = cv2.remap(self._premultiplied, x, y, cv2.INTER_LINEAR)
        self._mouth.paint(rendered[part], rest_x, rest_y, gap)
        for lids, skin in zip(self._lids, self._skins, strict=True):
            if (shut := float(motion.lids[frame])) > 0:
                part = lids.region(self._pad, self.size)
                grown = cv2.remap(skin, x[part], y[part], cv2.INTER_LINEAR)
                lids.paint(rendered[part], grown, x[part], y[part], shut)
        return rendered, self._landmarks(motion, frame, gap)

    @property
    def _pad(self) -> int:
        return int(0.3 * self.iod) + 4

    def _rest(self, x: F32, y: F32, motion: FaceMotion, frame: int) -> tuple[F32, F32]:
        """Map points of the frame to their positions with the head at rest."""
        iod = self.iod
        nx, ny = self._nose
        head = 1.0 - _smoothstep((y - self._chin[1]) / (1.6 * iod))
        relief = np.exp(-(((x - nx) / (0.75 * iod)) ** 2) - ((y - ny) / (0.9 * iod)) ** 2)
        dx, dy = x - self._neck[0], y - self._neck[1]
        roll, zoom = float(motion.roll[frame]), float(motion.zoom[frame])
        turned_x = (dx * np.cos(roll) + dy * np.sin(roll)) / zoom - dx
        turned_y = (-dx * np.sin(roll) + dy * np.cos(roll)) / zoom - dy
        shift = motion.shift[frame] * iod
        rest_x = x + head * (turned_x - shift[0]) - relief * motion.yaw[frame] * iod
        rest_y = y + head * (turned_y - shift[1]) - relief * motion.nod[frame] * iod
        return rest_x.astype(np.float32), rest_y.astype(np.float32)

    def _landmarks(self, motion: FaceMotion, frame: int, gap: float) -> Points:
        moved = self._mouth.move(self.points.copy(), gap, float(motion.width[frame]))
        for lids, span in zip(self._lids, (slice(36, 42), slice(42, 48)), strict=True):
            moved[span] = lids.move(moved[span], float(motion.lids[frame]))
        source = moved.copy()
        for _ in range(6):  # the head's map is a small displacement: iterating inverts it
            rest = np.stack(self._rest(source[:, 0], source[:, 1], motion, frame), axis=1)
            source = source + (moved - rest)
        return source.astype(np.float32)


class _Mouth:
    """The cut along the lower lip's inner edge, the jaw below it, and the interior of the mouth."""

    def __init__(self, points: Points, iod: float) -> None:
        self._iod = iod
        lower = points[[60, 67, 66, 65, 64]]
        self._xs, self._ys = lower[:, 0], lower[:, 1] - np.array([0, 0.5, 0.5, 0.5, 0], np.float32)
        self._centre = float(points[[60, 64], 0].mean())
        self._half = float(points[64, 0] - points[60, 0]) / 2
        self._line = float(lower[1:4, 1].mean())
        self._chin = float(points[8, 1])
        self.at_rest = float(np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean()) / iod
        self._box = (
            self._centre - 1.3 * iod, points[51, 1] - 0.2 * iod, self._centre + 1.3 * iod, self._chin + 0.8 * iod
        )  # fmt: skip

    def region(self, pad: int, size: tuple[int, int]) -> tuple[slice, slice]:
        return _region(self._box, pad, size)

    def gap(self, motion: FaceMotion, frame: int) -> float:
        """Return the displacement of the lower lip in px; negative where lips that are parted in a smile close."""
        return (0.01 + GAPE * float(motion.opening[frame]) - self.at_rest * 0.9) * self._iod

    def _cut(self, x: F32) -> F32:
        return np.interp(x, self._xs, self._ys).astype(np.float32)

    def _across(self, x: F32) -> F32:
        return np.maximum(1.0 - np.square((x - self._centre) / self._half), 0.0)

    def _drop(self, x: F32, y: F32) -> F32:
        """Return the fraction of the lip's displacement that points below the cut follow."""
        down = np.clip((y - self._line) / max(1.0, self._chin - self._line), 0.0, 1.0)
        broad = 0.85 * np.exp(-(((x - self._centre) / (0.85 * self._iod)) ** 2))
        fade = 1.0 - _smoothstep((y - self._chin) / (0.55 * self._iod))
        return ((1.0 - down) * self._across(x) + down * broad) * fade

    def _widen(self, x: F32, y: F32, width: float) -> F32:
        near = np.exp(-(((x - self._centre) / (1.4 * self._half)) ** 2) - ((y - self._line) / (0.45 * self._iod)) ** 2)
        return width * (x - self._centre) * near

    def undo(self, x: F32, y: F32, gap: float, width: float) -> tuple[F32, F32]:
        x = x - self._widen(x, y, width)
        below = y > self._cut(x) + gap * self._across(x)
        return x, np.where(below, y - gap * self._drop(x, y - np.float32(gap) * self._drop(x, y)), y).astype(np.float32)

    def move(self, points: Points, gap: float, width: float) -> Points:
        jaw = np.r_[4:13, 48:68]
        lower = np.r_[4:13, 55:60, 65:68]
        points[lower, 1] += gap * self._drop(points[lower, 0], points[lower, 1])
        points[jaw, 0] += self._widen(points[jaw, 0], points[jaw, 1], width)
        return points

    def paint(self, rendered: Image, x: F32, y: F32, gap: float) -> None:
        """Draw a dark hollow and a row of teeth between the lips into premultiplied RGBA."""
        if gap < 0.5:
            return
        cut, across = self._cut(x), self._across(x)
        inside = np.clip(np.minimum(y - cut, cut + gap * across - y) + 0.5, 0.0, 1.0) * (across > 0.02)
        depth = np.clip((y - cut) / (gap * across + 1e-3), 0.0, 1.0)
        teeth = np.clip(1.0 - (y - cut) / (0.07 * self._iod), 0.0, 1.0) * np.clip(across * 1.5 - 0.4, 0, 1) * 0.7
        if self.at_rest > 0.08:  # the teeth of the portrait end at the cut
            teeth = teeth * 0.0
        hollow = np.stack([58 + 60 * depth**3, 22 + 22 * depth**3, 22 + 24 * depth**3], axis=-1)
        colour = hollow * (1 - teeth[..., None]) + np.array([205.0, 195.0, 180.0]) * teeth[..., None]
        mixed = rendered[..., :3] * (1 - inside[..., None]) + colour * inside[..., None]
        rendered[..., :3] = np.clip(mixed, 0, 255).astype(np.uint8)


class _Lids:
    """The upper lid of one eye: a cut that moves from its edge to that of the lower lid."""

    def __init__(self, eye: Points, iod: float) -> None:
        self._iod = iod
        upper, lower = eye[:4], eye[[0, 5, 4, 3]]
        fine = np.linspace(eye[0, 0], eye[3, 0], 17)
        self._xs = fine.astype(np.float32)
        self._upper, self._lower = (_bow(part, fine) for part in (upper, lower))
        x, y = eye.mean(0)
        self._box = (x - 0.45 * iod, y - 0.5 * iod, x + 0.45 * iod, y + 0.3 * iod)

    def region(self, pad: int, size: tuple[int, int]) -> tuple[slice, slice]:
        return _region(self._box, pad, size)

    def _edges(self, x: F32) -> tuple[F32, F32]:
        upper = np.interp(x, self._xs, self._upper).astype(np.float32)
        lower = np.interp(x, self._xs, self._lower).astype(np.float32)
        return upper, np.maximum(lower, upper)

    def skin(self, image: Image) -> Image:
        """Return the skin of a closed lid: that under the eye, mirrored, since glasses may hide the lid itself."""
        height, width = image.shape[:2]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        _, lower = self._edges(x)
        from_below = lower + LASHES * self._iod + LID_STRETCH * (lower - y)
        return cv2.GaussianBlur(cv2.remap(image, x, from_below, cv2.INTER_LINEAR), (0, 0), 0.02 * self._iod)

    def paint(self, rendered: Image, skin: Image, x: F32, y: F32, shut: float) -> None:
        """Draw the lowered lid and its lashes into premultiplied RGBA; ``x``, ``y`` [h, w] are positions at rest."""
        upper, lower = self._edges(x)
        edge = upper + shut * (lower - upper)
        open_here = np.clip(lower - upper, 0.0, 1.0)
        lid = np.clip(edge - y + 0.5, 0.0, 1.0) * np.clip(y - upper + LASHES * self._iod, 0.0, 1.0) * open_here
        lash = 0.75 * np.exp(-(((y - edge) / (LASH * self._iod)) ** 2)) * open_here
        for alpha, colour in ((lid, skin[..., :3] * np.float32(LID_SHADE)), (lash, LASH_COLOUR)):
            rendered[..., :3] = rendered[..., :3] * (1 - alpha[..., None]) + colour * alpha[..., None]

    def move(self, eye: Points, shut: float) -> Points:
        eye[1, 1] += shut * max(0.0, eye[5, 1] - eye[1, 1])
        eye[2, 1] += shut * max(0.0, eye[4, 1] - eye[2, 1])
        return eye


def _bow(points: Points, at: F64) -> F64:
    """Return the ordinates of a lid's edge through four points (corner, two on the lid, corner) at abscissae ``at``."""
    from scipy.interpolate import PchipInterpolator

    order = np.argsort(points[:, 0])
    return np.asarray(PchipInterpolator(points[order, 0], points[order, 1])(at))


def _smoothstep(x: F32) -> F32:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _region(box: tuple[float, ...], pad: int, size: tuple[int, int]) -> tuple[slice, slice]:
    width, height = size
    return (
        slice(max(0, int(box[1]) - pad), min(height, int(box[3]) + pad)),
        slice(max(0, int(box[0]) - pad), min(width, int(box[2]) + pad)),
    )


def _placed(rgba: Image, offset: NDArray[np.int_], size: tuple[int, int]) -> Image:
    """Place the image in an empty frame; extend its lower edge and shoulders to the edge of the frame."""
    width, height = size
    left, top = int(offset[0]), int(offset[1])
    right, bottom = width - left - rgba.shape[1], height - top - rgba.shape[0]
    grown = cv2.copyMakeBorder(
        rgba, 0, max(0, bottom), max(0, left), max(0, right), cv2.BORDER_REPLICATE
    )  # shoulders are cut at the portrait's sides
    canvas = np.zeros((height, width, 4), np.uint8)
    x0, y0 = min(left, 0), top
    part = grown[max(0, -y0) : max(0, height - y0), -x0 : -x0 + width]
    canvas[max(0, y0) : max(0, y0) + part.shape[0], : part.shape[1]] = part
    return canvas


def _premultiplied(rgba: Image) -> Image:
    alpha = rgba[..., 3:].astype(np.uint16)
    return np.dstack([((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8), rgba[..., 3]])


@dataclass(frozen=True)
class Scene:
    """Room and camera: ``background`` [h, w, 3], colour gains [3], standard deviation of the noise in grey levels."""

    background: Image
    gains: F64
    noise: float

    @classmethod
    def sample(cls, size: tuple[int, int], rng: np.random.Generator) -> Scene:
        """Sample a room."""
        return cls(_room(size, rng), rng.uniform(0.93, 1.07, 3) * rng.uniform(0.75, 1.05), float(rng.uniform(0.8, 3.5)))


def _room(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Return a blurred wall with furniture: a gradient, rectangles and texture."""
    width, height = size
    wall = rng.uniform(60, 200) + rng.uniform(-28, 28, 3)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    slope = rng.uniform(-45, 45, 2)
    room = wall + (slope[0] * (x / width - 0.5) + slope[1] * (y / height - 0.5))[..., None]
    for _ in range(int(rng.integers(2, 9))):
        left, top = rng.uniform(-0.1, 0.95) * width, rng.uniform(-0.1, 0.8) * height
        right, bottom = left + rng.uniform(0.08, 0.4) * width, top + rng.uniform(0.1, 0.7) * height
        colour = np.clip(wall + rng.uniform(-70, 70) + rng.uniform(-30, 30, 3), 10, 245)
        cv2.rectangle(room, (int(left), int(top)), (int(right), int(bottom)), colour.tolist(), -1)
    coarse = rng.standard_normal((height // 6 + 2, width // 6 + 2, 1)).astype(np.float32)
    grain = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC) * rng.uniform(2, 10)
    room = cv2.GaussianBlur(room.astype(np.float32), (0, 0), float(rng.uniform(1.0, 5.0))) + grain[..., None]
    return np.clip(room, 0, 255).astype(np.uint8)


def render(
    puppet: Puppet, motion: FaceMotion, scene: Scene, rng: np.random.Generator
) -> Iterator[tuple[Image, Points]]:
    """Yield RGB frames [h, w, 3] with their landmarks [68, 2]: person over room, light, sensor noise."""
    width, height = puppet.size
    tile = rng.standard_normal((height + NOISE_TILE_PX, width + NOISE_TILE_PX, 3)) * scene.noise
    noise = np.clip(np.round(tile) + 128, 0, 255).astype(np.uint8)
    table = np.clip(np.arange(256)[:, None] * scene.gains, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    background = cv2.LUT(scene.background, table)
    puppet_table = np.dstack([table, np.arange(256, dtype=np.uint8).reshape(1, 256, 1)])
    for frame in range(motion.opening.size):
        rendered, landmarks = puppet.frame(motion, frame)
        rendered = cv2.LUT(rendered, puppet_table)
        room = cv2.cvtColor(255 - rendered[..., 3], cv2.COLOR_GRAY2RGB)
        composed = cv2.add(cv2.cvtColor(rendered, cv2.COLOR_RGBA2RGB), cv2.multiply(background, room, scale=1 / 255))
        top, left = rng.integers(0, NOISE_TILE_PX, 2)
        grain = noise[top : top + height, left : left + width]
        yield cv2.addWeighted(composed, float(motion.light[frame]), grain, 1.0, -128.0), landmarks
