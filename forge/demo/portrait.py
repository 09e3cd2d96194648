"""Two public-domain portraits from dependencies, cut out and measured.

``skimage.data.astronaut()`` (Eileen Collins, NASA) and matplotlib's sample ``grace_hopper.jpg`` (US Navy) are
works of the US government. Nothing is downloaded or copied: they are read from the installed packages.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from features.measures.geometry import MIRROR
from forge.face_ops import Image, Points, iod

NAMES = ("astronaut", "hopper")
# fmt: off
LANDMARK_ZOOM = 3  # dlib returns whole pixels; an image of three times the size gives thirds of a pixel
MATTE_BLUR_PX = 1.2
# Hopper's eyelids, in px of the portrait: her glasses cause errors of some pixels in the predictor.
HOPPER_EYES = np.array(
    [[207, 193], [215, 185], [226, 185], [238, 194], [228, 196], [216, 196.5],
     [289, 193], [300, 181], [311, 181], [322, 190], [311, 193.5], [300, 193.5]],
    np.float32,
)
# Outlines of the two people, in px, traced by hand: cleaner and cheaper than automatic matting.
OUTLINES = {
    "astronaut": np.array(
        [[20, 515], [22, 440], [25, 380], [35, 330], [45, 290], [60, 260], [88, 238], [112, 222], [114, 195],
         [120, 183], [133, 166], [150, 155], [170, 150], [183, 151], [184, 137], [179, 132], [174, 121], [166, 115],
         [157, 102], [154, 88], [154, 73], [160, 60], [172, 49], [188, 42], [196, 29], [212, 20], [233, 17],
         [255, 19], [272, 28], [286, 43], [297, 62], [301, 80], [300, 96], [293, 112], [281, 127], [277, 138],
         [268, 139], [265, 152], [256, 178], [272, 188], [291, 208], [302, 230], [305, 250], [330, 262], [345, 280],
         [356, 315], [362, 352], [380, 345], [420, 350], [465, 376], [493, 425], [500, 480], [503, 515]],
        np.int32,
    ),
    "hopper": np.array(
        [[15, 605], [22, 500], [33, 425], [45, 392], [80, 370], [130, 352], [175, 340], [196, 320], [194, 304],
         [178, 290], [163, 270], [159, 246], [152, 222], [152, 200], [160, 184], [166, 160], [150, 168], [147, 150],
         [148, 112], [154, 96], [172, 84], [175, 72], [184, 58], [202, 45], [217, 41], [221, 30], [240, 24],
         [280, 25], [299, 32], [305, 43], [330, 52], [347, 68], [353, 85], [366, 90], [371, 108], [370, 150],
         [367, 180], [375, 187], [376, 206], [369, 236], [360, 262], [358, 284], [346, 304], [331, 309], [333, 320],
         [385, 350], [440, 368], [484, 388], [499, 408], [512, 450], [515, 605]],
        np.int32,
    ),
}
# fmt: on


@dataclass(frozen=True)
class Portrait:
    """A cut-out person: ``rgba`` [h, w, 4] with straight alpha, and ``landmarks`` [68, 2] in px."""

    name: str
    rgba: Image
    landmarks: Points

    def scaled(self, iod_px: float) -> Portrait:
        """Return the portrait with an inter-ocular distance of ``iod_px``."""
        scale = iod_px / iod(self.landmarks)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        rgba = cv2.resize(self.rgba, None, fx=scale, fy=scale, interpolation=way)
        return replace(self, rgba=rgba, landmarks=(self.landmarks + 0.5) * np.float32(scale) - 0.5)

    def mirrored(self) -> Portrait:
        """Return the mirrored portrait, with its landmarks renumbered."""
        turned = self.landmarks[MIRROR].copy()
        turned[:, 0] = self.rgba.shape[1] - 1 - turned[:, 0]
        return replace(self, rgba=np.ascontiguousarray(self.rgba[:, ::-1]), landmarks=turned)


@functools.cache
def load(name: str) -> Portrait:
    """Load the portrait ``name`` (one of :data:`NAMES`)."""
    image = _astronaut() if name == "astronaut" else _hopper()
    points = _landmarks(image)
    if name == "hopper":
        points[36:48] = HOPPER_EYES
    return Portrait(name, np.dstack([image, _matte(image.shape, OUTLINES[name])]), points)


def _astronaut() -> Image:
    from skimage.data import astronaut

    return np.asarray(astronaut(), np.uint8)


def _hopper() -> Image:
    from PIL import Image as PilImage

    spec = importlib.util.find_spec("matplotlib")
    folder = Path((spec.submodule_search_locations or [""])[0]) if spec else Path()
    return np.asarray(PilImage.open(folder / "mpl-data" / "sample_data" / "grace_hopper.jpg").convert("RGB"), np.uint8)


def _landmarks(image: Image) -> Points:
    from extract.clip.faces import FaceDetector, landmarks

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    box = FaceDetector().detect(grey, thorough=True)[0].box
    large = cv2.resize(grey, None, fx=LANDMARK_ZOOM, fy=LANDMARK_ZOOM, interpolation=cv2.INTER_CUBIC)
    enlarged = landmarks(large, tuple(side * LANDMARK_ZOOM for side in box))
    return ((enlarged + 0.5) / LANDMARK_ZOOM - 0.5).astype(np.float32)


def _matte(shape: tuple[int, ...], outline: NDArray[np.int32]) -> Image:
    """Return the alpha [h, w] of a person: the filled outline, with an edge as soft as those of the image."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [outline], 255, lineType=cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), MATTE_BLUR_PX)
