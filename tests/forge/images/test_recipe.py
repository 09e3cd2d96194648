"""What the shipped networks were trained on stays what it is: forgeries of a fixed seed keep their pixels.

Means and spreads within a tenth of a grey level (libraries may round otherwise); the next random number exactly: a
draw more, less or elsewhere would change every later image of a batch. A wanted change of the recipe is entered here
by ``python tests/forge/images/test_recipe.py``, and named in the changelog.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from forge.face_ops import iod
from forge.images import augment, blend, resynthesis
from forge.images.match_appearance import match_appearance
from forge.images.super_resolution import regenerate

SEEDS = range(8)
PINNED = Path(__file__).with_name("recipe.json")


class Doubled:
    """In place of a super-resolution network."""

    scale = 2

    def __call__(self, image):
        return image.repeat(2, axis=0).repeat(2, axis=1)


def face():
    """A face of few features, with the landmarks of the mean face: image [h, w, 3], points [68, 2], box [4]."""
    import cv2

    from features.measures.geometry import FACE_MODEL

    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 226, (16, 14, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (190, 220), interpolation=cv2.INTER_CUBIC)
    image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    points = (FACE_MODEL[:, :2] * 48 + (95, 90)).astype(np.float32)
    return image, points, np.r_[points.min(axis=0), points.max(axis=0)].astype(np.float32)


def recipes():
    image, points, box = face()
    other = np.ascontiguousarray(255 - image[::-1])

    def augmented(rng):
        crop = augment.apply_geometric(image, box, augment.sample_geometric(rng), 96)
        return augment.apply_photometric(crop, augment.sample_photometric(rng), rng)

    def matched(rng):
        return np.concatenate(match_appearance(image, box, other, box, recolour_first=bool(rng.random() < 0.5)))

    return {
        "self_blend": lambda rng: blend.self_blend(image, points, rng),
        "resynthesise": lambda rng: resynthesis.resynthesise(image, points, rng),
        "resynthesise_everywhere": lambda rng: resynthesis.resynthesise(image, None, rng),
        "transplant_face": lambda rng: blend.transplant(image, points, other, points + 3, rng, region="face"),
        "transplant_mouth": lambda rng: blend.transplant(image, points, other, points + 3, rng, region="mouth"),
        "confined": lambda rng: blend.confined(other, image, points, rng),
        "match_appearance": matched,
        "augment": augmented,
        "regenerate": lambda rng: regenerate(image, box, Doubled(), rng),
    }


def measured(recipe):
    """For each seed: mean and spread of each channel, of the upper and lower half, and the next random number."""
    rows = []
    for seed in SEEDS:
        rng = np.random.default_rng([seed, 23])
        halves = np.array_split(recipe(rng).astype(float), 2)
        numbers = [float(value) for half in halves for value in (*half.mean((0, 1)), *half.std((0, 1)))]
        rows.append([*(round(number, 3) for number in numbers), int(rng.integers(1 << 31))])
    return rows


@pytest.mark.parametrize("name", recipes())
def test_forgeries_of_a_seed_are_those_that_the_networks_were_trained_on(name):
    pinned, now = (np.array(rows) for rows in (json.loads(PINNED.read_text())[name], measured(recipes()[name])))
    np.testing.assert_array_equal(now[:, -1], pinned[:, -1])
    np.testing.assert_allclose(now[:, :-1], pinned[:, :-1], atol=0.1)


def test_the_landmarks_of_the_recipe_are_plausible():
    _, points, box = face()
    assert iod(points) == pytest.approx(48, rel=0.05)
    assert blend.plausible(points, box)


if __name__ == "__main__":
    rows = {name: measured(recipe) for name, recipe in recipes().items()}
    lines = (f"  {json.dumps(name)}: [\n    " + ",\n    ".join(map(json.dumps, rows[name])) + "\n  ]" for name in rows)
    PINNED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
