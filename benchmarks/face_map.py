"""Measure how often the map of face regions finds a swapped region.

    python -m benchmarks.face_map --faces FACES.parquet

In real faces the mouth, the eyes or the nose are replaced by another face's, and the region with the strongest evidence
for a fake is compared with the swapped region. FACES.parquet has a column ``jpeg`` or ``image``; if it has a column
``label``, only REAL rows are used, and if it has a column ``key``, one row per key. Prints JSON: rates with 95 %
intervals over faces, several chance levels, and rates of networks with shuffled weights (Adebayo et al.
2018, "Sanity checks for saliency maps").
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.rates import interval
from extract.clip.faces import FaceDetector, landmarks
from extract.clip.square_crop import SquareCrop
from features.networks.crop_views import middle_points
from features.networks.efficientnet_lite import Detector, LiteNet, read_weights, save_weights
from features.networks.face_map import REGIONS, region_masks, region_scores
from features.networks.weights import weights_file
from features.observation import CROP_MAX_PX, CROP_SCALE
from features.threads import opencv_on_one_thread
from forge.images.blend import plausible, shape_distance, transplant

FAMILIES = ("forensic_cnn", "forensic_residual")
SWAPPED = ("mouth", "eyes", "nose")  # keys of forge.images.blend.REGIONS and of face_map.REGIONS
TRUTH = np.array([REGIONS.index(region) for region in SWAPPED])
DONORS = 6  # candidates, of which the donor with the most similar landmarks is taken
NOTICED = 1.0  # a swap is noticed by the networks when it raises the logit by this much (log-odds)
SHUFFLES, SHUFFLED_FACES = 4, 50  # networks with shuffled weights, and faces on which each is measured


class CroppedFace(NamedTuple):
    """A real face as in an observation: RGB crop [s, s, 3], and landmarks [68, 2] in px of the crop."""

    crop: NDArray[np.uint8]
    points: NDArray[np.float32]


class Measured(NamedTuple):
    """Maps of n faces: untouched, then with each of ``SWAPPED``."""

    logits: NDArray[np.float64]
    """Logits [n, 4]."""
    scores: NDArray[np.float64]
    """Scores of regions [n, 4, 7], without NaN: a region outside the crop has 0."""

    @property
    def strongest(self) -> NDArray[np.int64]:
        """Number [n, 4] of the region with the strongest evidence for a fake."""
        return np.asarray(self.scores.argmax(axis=2))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; return 0, or 2 when the faces can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", metavar="FILE", required=True, help="Parquet file of faces, with one JPEG per row")
    parser.add_argument("--n", type=int, default=200, help="number of faces (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        with opencv_on_one_thread():
            faces = read_faces(Path(arguments.faces), arguments.n, seed=arguments.seed)
            print(json.dumps(compare(faces, seed=arguments.seed)))
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        print(f"error: {arguments.faces}: {error}; give a Parquet file with a column jpeg or image", file=sys.stderr)
        return 2
    return 0


def read_faces(file: Path, n: int, *, seed: int) -> list[CroppedFace]:
    """Read at most ``n`` real faces with plausible landmarks from a Parquet file.

    Raises
    ------
    ValueError
        There are fewer than two such faces.
    """
    table = pq.read_table(file)
    rows = np.arange(table.num_rows)
    if "label" in table.column_names:
        rows = rows[np.array(table["label"].to_pylist()) == "REAL"]
    if "key" in table.column_names:
        keys = np.array(table["key"].to_pylist())[rows]
        rows = rows[np.unique(keys, return_index=True)[1]]
    images = table["jpeg" if "jpeg" in table.column_names else "image"]
    detector, faces = FaceDetector(), list[CroppedFace]()
    for row in np.random.default_rng(seed).permutation(rows).tolist():
        if (face := _face(images[row].as_py(), detector)) is not None:
            faces.append(face)
        if len(faces) == n:
            break
    if len(faces) < 2:
        raise ValueError(f"{len(faces)} faces found, a swap needs two")
    return faces


def _face(encoded: bytes, detector: FaceDetector) -> CroppedFace | None:
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
    if decoded is None:
        return None
    image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    detector.reset()
    faces = detector.detect(grey, thorough=False)
    if not faces:
        return None
    box = np.array(max(faces, key=lambda face: face.side).box, np.float32)
    points = landmarks(grey, box)
    if not plausible(points, box):
        return None
    square = SquareCrop.around(box, CROP_SCALE)
    size = min(square.side, CROP_MAX_PX)
    return CroppedFace(square.cut(image, size), square.to_crop(points, size))


def compare(faces: Sequence[CroppedFace], *, seed: int) -> dict[str, Any]:
    """Return the figures of the networks, and of the same networks with shuffled weights."""
    variants = [_with_swaps(faces, number, np.random.default_rng([seed, number])) for number in range(len(faces))]
    files = [weights_file(family) for family in FAMILIES]
    true = measure(faces, variants, [Detector(file) for file in files])
    few = slice(SHUFFLED_FACES)
    shuffled = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(SHUFFLES):
            detectors = [shuffled_detector(file, Path(folder), seed=seed + number) for file in files]
            shuffled.append(measure(faces[few], variants[few], detectors))
    true_few = Measured(true.logits[few], true.scores[few])
    areas = np.array([_areas(face) for face in faces])
    return {
        "n_faces": len(faces),
        "n_swaps": len(faces) * len(SWAPPED),
        "networks": {family: Detector(file).metadata.version for family, file in zip(FAMILIES, files, strict=True)},
        **figures(true, areas, seed=seed),
        "shuffled_weights": {
            "n_networks": SHUFFLES,
            "n_faces": len(true_few.logits),
            "hit_rate": _interval(np.hstack([_hits(of_network) for of_network in shuffled]), seed=seed, is_rate=True),
            "same_face_untouched": _interval(
                np.hstack([_untouched_hits(of_network) for of_network in shuffled]), seed=seed, is_rate=True
            ),
            "rank_correlation_with_true_map": _interval(
                np.hstack([rank_correlations(true_few.scores, of_network.scores) for of_network in shuffled]), seed=seed
            ),
        },
    }


def _with_swaps(faces: Sequence[CroppedFace], number: int, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Return the crop of a face, and copies with each region of ``SWAPPED`` from another face."""
    crop, points = faces[number]
    others = np.delete(np.arange(len(faces)), number)
    images = [crop]
    for region in SWAPPED:
        candidates = rng.choice(others, min(DONORS, len(others)), replace=False).tolist()
        donor = faces[min(candidates, key=lambda other: shape_distance(points, faces[other].points))]
        images.append(transplant(crop, points, donor.crop, donor.points, rng, region=region))
    return images


def measure(
    faces: Sequence[CroppedFace], variants: Sequence[Sequence[NDArray[np.uint8]]], detectors: Sequence[Detector]
) -> Measured:
    """Measure the maps of all variants of all faces."""
    maps = [
        region_scores(images, [face.points] * len(images), detectors)
        for face, images in zip(faces, variants, strict=True)
    ]
    return Measured(np.array([logits for logits, _ in maps]), np.nan_to_num([scores for _, scores in maps]))


def shuffled_detector(file: Path, folder: Path, *, seed: int) -> Detector:
    """Return the network of a weights file with the values of each tensor shuffled; it is written to ``folder``."""
    import torch

    metadata, state = read_weights(file)
    generator = torch.Generator().manual_seed(seed)
    net = LiteNet()
    net.load_state_dict(
        {
            name: tensor.flatten()[torch.randperm(tensor.numel(), generator=generator)].reshape(tensor.shape)
            for name, tensor in state.items()
        }
    )
    shuffled = folder / f"shuffled-{seed}-{file.name}"
    save_weights(net, shuffled, metadata)
    return Detector(shuffled)


def figures(measured: Measured, areas: NDArray[np.float64], *, seed: int) -> dict[str, Any]:
    """Return rates of hits with intervals, and chance levels.

    Parameters
    ----------
    measured
        Maps of n faces.
    areas
        Fraction [n, 7] of the crop that each region covers.
    """
    hits, strongest = _hits(measured), measured.strongest
    untouched = _untouched_hits(measured)
    noticed = measured.logits[:, 1:] - measured.logits[:, :1] > NOTICED
    return {
        "hit_rate": _interval(hits, seed=seed, is_rate=True),
        "hit_rate_by_region": {
            region: _interval(hits[:, [number]], seed=seed, is_rate=True) for number, region in enumerate(SWAPPED)
        },
        "chance": {
            "one_region_in_seven": 1 / len(REGIONS),
            "by_area": float(areas[:, TRUTH].mean()),
            "by_frequency": float(np.mean([(strongest[:, 1:] == region).mean() for region in TRUTH])),
            "same_face_untouched": _interval(untouched, seed=seed, is_rate=True),
        },
        "hit_rate_minus_untouched": _interval(hits.astype(float) - untouched, seed=seed),
        "noticed": {
            "n_swaps": int(noticed.sum()),
            "hit_rate": _interval(np.where(noticed, hits, np.nan), seed=seed, is_rate=True),
            "same_face_untouched": _interval(np.where(noticed, untouched, np.nan), seed=seed, is_rate=True),
        },
        "mean_logit": dict(zip(("untouched", *SWAPPED), measured.logits.mean(axis=0).round(3).tolist(), strict=True)),
    }


def _hits(measured: Measured) -> NDArray[np.bool_]:
    """Return True [n, 3] where the strongest region is the swapped one."""
    return np.asarray(measured.strongest[:, 1:] == TRUTH)


def _untouched_hits(measured: Measured) -> NDArray[np.bool_]:
    """Return True [n, 3] where the region is the strongest one already before the swap."""
    return np.asarray(measured.strongest[:, :1] == TRUTH)


def rank_correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Spearman's correlation [...] over the regions of two maps [..., 7]; NaN where a map is constant.

    >>> rank_correlations(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 20.0, 40.0, 30.0])).round(2).item()
    0.8
    """
    ranks = [rankdata(scores, axis=-1) for scores in (a, b)]
    first, second = (rank - rank.mean(axis=-1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        return np.asarray((first * second).sum(axis=-1) / np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1)))


def _areas(face: CroppedFace) -> NDArray[np.float64]:
    size = 128
    points = middle_points(face.points, face.crop.shape[0], margin=1.25, size=size)
    return np.asarray(region_masks(points, size).mean(axis=(1, 2)))


def _interval(values: NDArray[Any], *, seed: int, is_rate: bool = False) -> list[float]:
    """Return the mean of the defined ``values`` [n, k] and the ends of its 95 % interval over the n faces.

    The interval is that of :func:`benchmarks.rates.interval` with faces as observations.
    """
    values = np.asarray(values, np.float64)
    sums, counts = np.nansum(values, axis=1), np.isfinite(values).sum(axis=1)
    if not counts.any():
        return [float("nan")] * 3
    ends = interval(sums, counts, seed=seed, is_rate=is_rate)
    return [round(float(value), 3) for value in (sums.sum() / counts.sum(), *ends)]


if __name__ == "__main__":
    sys.exit(main())
