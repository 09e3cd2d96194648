"""A decoded frame as the analysis uses it: upright, with square pixels and known black and white levels."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

LUMA_FIRST = frozenset(
    {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv411p", "yuv410p", "yuva420p"}
    | {"nv12", "nv21", "gray", "yuv440p", "yuvj440p"}
)  # 8-bit formats whose first plane is the luma
DEEP_LUMA_FIRST = re.compile(r"(?:yuva?4\d\dp|gray)(9|10|12|14|16)(le|be)")  # the same with more bits, stored as 16
QUARTERED_CHROMA = frozenset({"yuv420p", "yuvj420p"})  # a luma plane and two chroma planes of half the width and height
LIMITED_LEVELS, FULL_LEVELS = (16, 235), (0, 255)
FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG
NEARLY_SQUARE = 0.01  # tolerance for headers that round the frame size
MAX_ASPECT = 4  # of a pixel, wide or tall; more means a damaged header


class Frame:
    """A decoded frame. ``luma`` is a view where the format allows it; colour is made on demand.

    ``levels`` are the luma's black and white: 16 and 235 in ordinary video, 0 and 255 in full range.

    Parameters
    ----------
    pixel_aspect
        Width of a pixel over its height; frames of such video are scaled to square pixels, keeping their height.
    orientation
        The orientation of the clip's frames, shared between them.
    """

    def __init__(
        self,
        frame: av.VideoFrame,
        *,
        index: int,
        time_s: float,
        pixel_aspect: Fraction | None = None,
        orientation: Orientation | None = None,
    ) -> None:
        self.index = index
        self.time_s = time_s
        self._frame = frame
        self._aspect = pixel_aspect if is_stretched(pixel_aspect) else None
        self._rgb: NDArray[np.uint8] | None = None
        self._mirrored, self._turns = (orientation or Orientation()).of(frame)
        self.luma: NDArray[np.uint8] = self._shown(_luma(frame))
        self.levels = FULL_LEVELS if _is_full_range(frame) else LIMITED_LEVELS

    def turn(self, quarters: int) -> None:
        """Turn the frame counter-clockwise by quarter turns, before anything else is done with it."""
        self._turns = (self._turns + quarters) % 4
        self.luma = np.ascontiguousarray(np.rot90(self.luma, quarters))

    def fit(self, size: tuple[int, int]) -> None:
        """Scale the frame to fit into ``size`` (width, height), keeping its shape; black bars fill the rest."""
        self._rgb = _fitted(self.rgb(), size, black=0)
        self.luma = _fitted(self.luma, size, black=self.levels[0])

    def rgb(self) -> NDArray[np.uint8]:
        """Return the whole frame as [h, w, 3], converted once."""
        if self._rgb is None:
            self._rgb = self._shown(self._frame.to_ndarray(format="rgb24"))
        return self._rgb

    def rgb_within(self, left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
        """Return a part of :meth:`rgb` inside the frame, [bottom - top, right - left, 3].

        Only that part is converted where the format allows it.
        """
        upright = self._aspect is None and not self._turns and not self._mirrored
        as_coded = upright and self._frame.format.name in QUARTERED_CHROMA
        if self._rgb is not None or not as_coded or self._frame.width % 2 or self._frame.height % 2:
            return self.rgb()[top:bottom, left:right]
        x, y = left - left % 2, top - top % 2  # four pixels share a colour
        part = _part(self._frame, x, y, right + right % 2, bottom + bottom % 2).to_ndarray(format="rgb24")
        return part[top - y : bottom - y, left - x : right - x]

    def _shown(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Scale, mirror and turn an image of the frame as a player shows it."""
        if self._aspect is not None:
            height, width = image.shape[:2]
            wide = max(1, round(width * self._aspect))
            smaller = wide < width
            image = cv2.resize(image, (wide, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        if not (self._turns or self._mirrored):
            return image
        return np.ascontiguousarray(np.rot90(image[:, ::-1] if self._mirrored else image, self._turns))


def _fitted(image: NDArray[np.uint8], size: tuple[int, int], *, black: int) -> NDArray[np.uint8]:
    (height, width), (whole_width, whole_height) = image.shape[:2], size
    scale = min(whole_width / width, whole_height / height)
    bars_x, bars_y = whole_width - max(1, round(width * scale)), whole_height - max(1, round(height * scale))
    if max(bars_x, bars_y) <= 1:  # of rounding
        bars_x = bars_y = 0
    scaled = cv2.resize(image, (whole_width - bars_x, whole_height - bars_y), interpolation=cv2.INTER_AREA)
    left, top = bars_x // 2, bars_y // 2
    value = (black,) * 3
    return cv2.copyMakeBorder(scaled, top, bars_y - top, left, bars_x - left, cv2.BORDER_CONSTANT, value=value)


def is_stretched(pixel_aspect: Fraction | None) -> bool:
    """Return whether a plausible header says that pixels are not square."""
    if not pixel_aspect or abs(pixel_aspect - 1) < NEARLY_SQUARE:
        return False
    return Fraction(1, MAX_ASPECT) <= pixel_aspect <= MAX_ASPECT


class Orientation:
    """Rotation and mirroring of a clip's frames; the display matrix is read once for each angle.

    In PyAV, reading a frame's side data creates a reference cycle, so the frame stays in memory until the garbage
    collector runs, hundreds of frames later: gigabytes for large frames. A change of mirroring at the same angle is
    therefore not noticed.
    """

    def __init__(self) -> None:
        self._by_angle: dict[int, tuple[bool, int]] = {}

    def of(self, frame: av.VideoFrame) -> tuple[bool, int]:
        """Return whether a frame is mirrored left-right, and the counter-clockwise quarter turns to make it upright."""
        angle = frame.rotation
        if angle not in self._by_angle:
            matrix = frame.side_data.get("DISPLAYMATRIX")
            self._by_angle[angle] = _orientation(bytes(matrix)) if matrix is not None else (False, 0)
        return self._by_angle[angle]


def _orientation(matrix: bytes) -> tuple[bool, int]:
    """Return mirroring and quarter turns from a display matrix.

    The matrix maps column x and row y to (a x + c y, b x + d y). A negative determinant means a mirror image, which
    the angle alone does not tell.
    """
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    mirrored = a * d < b * c
    angle = math.atan2(-b, -a) if mirrored else math.atan2(b, a)
    return mirrored, round(-angle / (math.pi / 2)) % 4


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return 8-bit luma, rounded from deeper formats: FFmpeg's own reduction dithers in a pattern of 2 px."""
    name, plane = frame.format.name, frame.planes[0]
    if name in LUMA_FIRST:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        return rows[: plane.height, : plane.width]
    if deep := DEEP_LUMA_FIRST.fullmatch(name):
        order = "<u2" if deep[2] == "le" else ">u2"
        deep_rows: NDArray[np.uint16] = np.frombuffer(plane, order).reshape(-1, plane.line_size // 2)
        return _rounded(deep_rows[: plane.height, : plane.width], bits=int(deep[1]), full_range=_is_full_range(frame))
    if max(component.bits for component in frame.format.components) > 8:
        return _rounded(frame.to_ndarray(format="gray16le"), bits=16, full_range=True)
    return frame.to_ndarray(format="gray")


def _rounded(values: NDArray[np.uint16], *, bits: int, full_range: bool) -> NDArray[np.uint8]:
    """Round values of ``bits`` bits to 8 bits, keeping the black and white levels of the range."""
    if full_range:
        return np.rint(values * np.float32(255 / (2**bits - 1))).astype(np.uint8)
    return np.minimum(((values >> (bits - 9)) + 1) >> 1, 255).astype(np.uint8)


def _part(frame: av.VideoFrame, left: int, top: int, right: int, bottom: int) -> av.VideoFrame:
    """Cut a part with even sides out of a frame with quartered chroma."""
    part = av.VideoFrame(right - left, bottom - top, frame.format.name)
    for name in ("colorspace", "color_range", "color_trc", "color_primaries"):
        setattr(part, name, getattr(frame, name))
    for number, (source, target) in enumerate(zip(frame.planes, part.planes, strict=True)):
        step = 2 if number else 1
        rows, columns = slice(top // step, bottom // step), slice(left // step, right // step)
        pixels = np.frombuffer(source, np.uint8).reshape(-1, source.line_size)[rows, columns]
        height, width = pixels.shape
        np.frombuffer(target, np.uint8).reshape(-1, target.line_size)[:height, :width] = pixels
    return part


def _is_full_range(frame: av.VideoFrame) -> bool:
    name = frame.format.name
    if name not in LUMA_FIRST and not DEEP_LUMA_FIRST.fullmatch(name):  # converted
        return True
    of_grey = name.startswith("gray") and not frame.color_range
    return name.startswith("yuvj") or frame.color_range == FULL_RANGE or of_grey
