"""face_contrast: the texture of the middle of a face against that of its edge, and of what lies above it.

The first layers of a network that reads high-pass residuals describe texture: how much, how directed, how regular. For
each of their channels, the centre of the face is compared, within one crop, with the edge of the face, and with hair
and background above it (:mod:`features.networks.region_contrast`). Camera, light and codec are the same in both regions
and cancel. Fixed axes, found without labels, reduce the 576 contrasts to 32 components, in order of the variance that
they explain; only a model that was fitted to the components can say what each of them means. The layers were trained
without labelled clips, so the columns need not be out of fold.

Confounds: hair, hats and glasses, depth of focus, make-up, and a plain background. Where a face touches the frame's
upper edge, the crop repeats the last row, which has no texture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.evidence import Series
from features.networks.logit_columns import MIN_CROP_PX, chosen
from features.networks.region_contrast import DIMENSIONS, FAMILY, read_contrast, texture_ratios
from features.networks.weights import weights_file
from features.observation import Observation, Track
from features.spec import Column, family

LARGEST = 4.0 * np.sqrt(576.0)  # of a component: 576 contrasts, each at most 4 from its median
_SOURCE = "after Chai et al. 2020"

COLUMNS = (
    *(
        Column(
            f"{FAMILY}.c{k:02}_mean",
            range=(-LARGEST, LARGEST),
            reference=_SOURCE,
            description=f"Component {k} of the differences in texture between the centre of the face and its edge, and "
            "between the centre and what lies above the face; mean over the face crops.",
        )
        for k in range(1, DIMENSIONS + 1)
    ),
    Column(
        f"{FAMILY}.valid_share",
        range=(0.0, 1.0),
        direction="covariate",
        description="Fraction of the analysed face crops that were large enough.",
    ),
)


def of_crops(crops: Sequence[NDArray[np.uint8]]) -> dict[str, float]:
    """Columns of a face from some of its crops; all NaN without weights.

    Parameters
    ----------
    crops
        RGB squares [s, s, 3], ``CROP_SCALE`` times as wide as the face box; smaller ones than ``MIN_CROP_PX`` are left
        out.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    row = {column.name: float("nan") for column in COLUMNS} | {f"{FAMILY}.valid_share": 0.0}
    file = weights_file(FAMILY)
    numbers = chosen(len(crops))
    usable = [crops[number] for number in numbers if min(crops[number].shape[:2]) >= MIN_CROP_PX]
    if not usable or not file.exists():
        return row
    distinct = list({id(crop): crop for crop in usable}.values())  # a still that is held has one crop again and again
    of_distinct = dict(zip(map(id, distinct), read_contrast(file).components(distinct), strict=True))
    means = np.mean([of_distinct[id(crop)] for crop in usable], axis=0)
    row |= {f"{FAMILY}.c{k:02}_mean": float(mean) for k, mean in enumerate(means, 1)}
    return row | {f"{FAMILY}.valid_share": len(usable) / len(numbers)}


def texture_series(observation: Observation, track: Track) -> dict[str, Series]:
    """``face_contrast.edge`` and ``face_contrast.above``: texture of the centre against that of both, of every crop.

    The logarithm of the ratio, mean over the channels: the plainest of what the components say. NaN for a crop too
    small; empty without weights, or where every crop is.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    file = weights_file(FAMILY)
    numbers = [number for number, crop in enumerate(track.crops) if min(crop.shape[:2]) >= MIN_CROP_PX]
    if not numbers or not file.exists():
        return {}
    ratios = np.full((len(track.crops), 2), np.nan)
    ratios[numbers] = texture_ratios(read_contrast(file).layers.contrasts([track.crops[number] for number in numbers]))
    times_s = observation.crop_times_s(track)
    titles = {"edge": "Texture, centre of the face against its edge", "above": "Texture, centre against above the face"}
    return {
        f"{FAMILY}.{name}": Series(times_s, values, unit="1", title=title)
        for (name, title), values in zip(titles.items(), ratios.T, strict=True)
    }


@family(FAMILY, version=1, needs={"crops", "weights"}, columns=COLUMNS, series=texture_series)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Columns of one face track, from at most eight of its crops; all NaN without weights.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    return of_crops(track.crops)
