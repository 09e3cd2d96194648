"""The map of face regions: known answers of made-up networks, geometry, drawing, and Adebayo's sanity check."""

import dataclasses

import numpy as np
import pytest
from skimage.data import astronaut

from features.measures.geometry import FACE_MODEL, MIRROR, crop_landmarks
from features.networks import face_map
from features.networks.crop_views import middle, middle_points
from features.networks.face_map import REGIONS
from features.networks.logit_columns import ready_detector
from features.networks.weights import use_weights, weights_file

torch = pytest.importorskip("torch")

SIDE = 200  # of the crops here; their IOD is a quarter of it
FAMILIES = ("forensic_cnn", "forensic_residual")


class Brightness:
    """In place of a network: a logit for each white pixel that is left in the image."""

    def __init__(self, *, margin=1.25, size=128, sign=1.0):
        from features.networks.efficientnet_lite import WeightsMetadata

        self.metadata = WeightsMetadata(input_size=size, margin=margin)
        self.sign = sign

    def logits_without(self, crops, masks):
        white = (crops[..., 0] > 128) * self.sign * 100.0 / crops.shape[1] ** 2
        return white.sum(axis=(1, 2)), (white[:, None] * ~masks).sum(axis=(2, 3))


def upright_face(side=SIDE):
    """Landmarks of the mean face in the middle of a crop."""
    return side / 4 * FACE_MODEL[:, :2] + (side / 2, 0.4 * side)


def spot(points, *, radius=4, side=SIDE):
    """A black crop with white squares at the points."""
    crop = np.zeros((side, side, 3), np.uint8)
    for x, y in np.round(points).astype(int):
        crop[y - radius : y + radius + 1, x - radius : x + radius + 1] = 255
    return crop


@pytest.mark.parametrize(
    ("region", "where"),
    [
        ("eyes", [37, 44]),
        ("eyes", [19, 24]),
        ("nose", [29, 30]),
        ("mouth", [51, 57, 66]),
    ],
)
@pytest.mark.parametrize("turn_deg", [0.0, 25.0, -60.0])
def test_the_region_that_a_network_looks_at_is_found(region, where, turn_deg):
    angle = np.radians(turn_deg)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = (upright_face() - SIDE / 2) @ rotation + SIDE / 2
    found = face_map.face_map([spot(points[where])], [points], [Brightness(), Brightness(margin=1.4, size=96)])
    assert found.strongest == region
    others = [value for name, value in found.scores.items() if name != region]
    assert found.scores[region] > 10 * max(others) >= 0


def test_cheeks_chin_forehead_and_surroundings():
    points = upright_face()
    places = {
        "cheeks": (points[[2, 14]] + points[[36, 45]]) / 2 + (0, 12),
        "chin": (points[[8]] + points[[57]]) / 2 + (0, 6),
        "forehead": points[[21]] + (5, -24),
        "surroundings": np.array([[30.0, 30.0]]),
    }
    for region, where in places.items():
        found = face_map.face_map([spot(where, radius=3)], [points], [Brightness()])
        assert found.strongest == region


def test_scores_are_log_odds_that_go_and_add_up():
    points = upright_face()
    crop = np.full((SIDE, SIDE, 3), 255, np.uint8)
    logits, scores = face_map.region_scores([crop], [points], [Brightness()])
    assert logits == pytest.approx([100.0])  # a whole white crop
    assert scores.sum() == pytest.approx(100.0)
    areas = face_map.region_masks(middle_points(points, SIDE, margin=1.25, size=128), 128).mean(axis=(1, 2))
    np.testing.assert_allclose(scores[0], 100 * areas)


def test_scores_are_means_over_networks_and_faces():
    points, mouth = upright_face(), spot(upright_face()[[51, 57]])
    once = face_map.face_map([mouth], [points], [Brightness()]).scores["mouth"]
    against = face_map.face_map([mouth], [points], [Brightness(sign=-1.0)])
    assert against.scores["mouth"] == pytest.approx(-once)
    assert against.strongest != "mouth"
    both = face_map.face_map([mouth], [points], [Brightness(), Brightness(sign=3.0)])
    assert both.scores["mouth"] == pytest.approx(2 * once)
    two = face_map.face_map([mouth, np.zeros_like(mouth)], [points] * 2, [Brightness()])
    assert two.scores["mouth"] == pytest.approx(once / 2)


def test_a_region_outside_the_crop_is_nan_and_the_rest_is_drawn():
    points = upright_face() + np.array([0, 0.45 * SIDE])  # mouth and chin below the edge
    found = face_map.face_map([spot(points[[37, 44]])], [points], [Brightness()])
    assert np.isnan(found.scores["mouth"])
    assert found.strongest == "eyes"
    seen = upright_face()
    both = face_map.face_map([spot(points[[37, 44]]), spot(seen[[51]])], [points, seen], [Brightness()])
    assert both.scores["mouth"] > 0  # of the one face in which it shows


@pytest.mark.parametrize("size", [64, 128, 320])
def test_every_pixel_belongs_to_one_region(size):
    masks = face_map.region_masks(upright_face(size), size)
    assert (masks.sum(axis=0) == 1).all()
    assert masks.any(axis=(1, 2)).all()
    assert len(masks) == len(REGIONS)


def test_regions_of_a_mirrored_face_are_mirrored():
    points = upright_face(127)
    mirrored = (points * (-1, 1) + (126, 0))[MIRROR]
    wrong = face_map.region_masks(mirrored, 127) != face_map.region_masks(points, 127)[:, :, ::-1]
    assert wrong.mean() < 0.005


def test_points_move_with_the_pixels_into_the_middle():
    points = upright_face()
    for margin, size in ((1.25, 128), (1.0, 77)):
        small = middle(spot(points[[30]], radius=1), margin=margin, size=size)[..., 0]
        y, x = (np.average(axis, weights=small) for axis in np.indices(small.shape))
        expected = middle_points(np.round(points[[30]]), SIDE, margin=margin, size=size)[0]
        np.testing.assert_allclose((x, y), expected, atol=0.3)


def drawn(scores, size=320):
    grey = np.full((size, size, 3), 128, np.uint8)
    return face_map.draw(grey, upright_face(size), dict.fromkeys(REGIONS, 0.0) | scores)


def test_for_and_against_are_told_apart_without_colour():
    luma = np.array([0.299, 0.587, 0.114])
    for_fake, for_real, calm = (drawn({"cheeks": value}) @ luma for value in (2.0, -2.0, 0.0))
    cheeks = face_map.region_masks(upright_face(320), 320)[REGIONS.index("cheeks")]
    lines, dots, plain = (np.abs(one[cheeks] - np.median(one[cheeks])) > 8 for one in (for_fake, for_real, calm))
    assert (lines != dots).mean() > 0.15
    assert lines.mean() > plain.mean() + 0.1
    assert dots.mean() > plain.mean() + 0.05


def test_only_what_moves_the_logit_is_marked():
    masks = face_map.region_masks(upright_face(320), 320)
    image, plain = drawn({"mouth": 1.5}), drawn({})
    changed = (image != plain).any(axis=2)
    written = (plain == 0).all(axis=2)  # the black behind a number is the same
    assert changed[masks[REGIONS.index("mouth")] & ~written].mean() > 0.9
    for region in ("eyes", "forehead", "surroundings"):
        assert not changed[masks[REGIONS.index(region)]].any()
    weak = np.abs(drawn({"mouth": 0.04}).astype(int) - plain).mean()
    assert 0 < weak < 0.2 * np.abs(image.astype(int) - plain).mean()  # a calm face looks calm


def test_numbers_stand_on_black_whatever_lies_below():
    """Non-regression: their outline, drawn as thicker text, is wider than the text in OpenCV 5 and showed as a second
    number beside the first."""
    image = np.full((40, 60, 3), 170, np.uint8)
    face_map._write(image, "+0.4", (30, 20))
    changed = (image != 170).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_a_track_s_most_fake_faces_are_measured(make_track, rng):
    track = make_track(upright_face(400)[None].repeat(30, 0) + np.array([400, 100]))
    k = len(track.crops)
    logits = rng.standard_normal(k)
    logits[3] = np.nan
    found = face_map.of_track(track, logits, FAMILIES)
    ranked = [int(number) for number in np.argsort(-logits)[: face_map.MAX_FACES]]  # NaN comes last
    chosen = [number for number in ranked if logits[number] > logits[ranked[0]] - face_map.NEAR]
    assert found.crops == tuple(chosen)
    landmarks = [crop_landmarks(track, number) for number in chosen]
    detectors = [ready_detector(family) for family in FAMILIES]
    expected = face_map.face_map([track.crops[number] for number in chosen], landmarks, detectors)
    assert found.scores == pytest.approx(expected.scores)
    assert (found.image == expected.image).all()
    assert found.image.shape == (320, 320, 3)
    assert face_map.of_track(track, np.full(k, np.nan), FAMILIES) is None
    lost = dataclasses.replace(track, landmarks=np.full_like(track.landmarks, np.nan))
    assert face_map.of_track(lost, logits, FAMILIES) is None


def test_genuine_faces_of_a_clip_with_a_short_forgery_are_left_out(make_track):
    """Non-regression: six faces were mapped whatever they scored, and the map of two forged ones showed the others."""
    track = make_track(upright_face(400)[None].repeat(30, 0) + np.array([400, 100]))
    logits = np.full(len(track.crops), 0.05)
    logits[[2, 4]] = 2.5, 3.1
    assert face_map.of_track(track, logits, FAMILIES[:1]).crops == (4, 2)
    assert len(face_map.of_track(track, np.full_like(logits, -2.0), FAMILIES[:1]).crops) == face_map.MAX_FACES


def test_regions_with_the_same_number_have_the_same_hatching():
    """Non-regression: of two regions with "+0.1", one had lines."""
    cheeks = face_map.region_masks(upright_face(320), 320)[REGIONS.index("cheeks")]
    for low, high in ((0.06, 0.14), (0.16, 0.24)):
        both = [drawn({"cheeks": value})[cheeks].astype(int) for value in (low, high)]
        marked = [(np.abs(one - np.median(one, axis=0)) > 8).mean() for one in both]
        assert marked[0] == pytest.approx(marked[1], abs=0.01)


def test_without_weights_there_is_no_map(make_track, tmp_path):
    track = make_track(upright_face(400)[None].repeat(12, 0) + np.array([400, 100]))
    with use_weights({family: tmp_path / family for family in FAMILIES}):
        assert face_map.of_track(track, np.zeros(len(track.crops)), FAMILIES) is None


@pytest.fixture(scope="module")
def real_face():
    """The astronaut as an observation keeps her: crop and landmarks."""
    import cv2

    from extract.clip.faces import landmarks
    from extract.clip.square_crop import SquareCrop

    image = np.ascontiguousarray(astronaut())
    box = np.array([175, 70, 275, 190], np.float32)
    points = landmarks(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), box)
    square = SquareCrop.around(box, 1.6)
    return square.cut(image), square.to_crop(points, square.side)


def test_without_no_region_the_logit_is_the_network_s(real_face):
    from features.networks.efficientnet_lite import Detector

    detector = Detector(weights_file("forensic_cnn"))
    crop = middle(real_face[0], margin=1.25, size=detector.metadata.input_size)
    crops = np.stack([crop, crop[:, ::-1], crop[::-1]])
    masks = np.zeros((3, 2, *crop.shape[:2]), bool)
    masks[0, 0, 40:80, 40:80] = True
    logits, without = detector.logits_without(crops, masks)
    np.testing.assert_allclose(logits, detector.predict(crops)[0], atol=1e-4)
    np.testing.assert_allclose(without[1:], logits[1:, None].repeat(2, 1), atol=1e-4)
    assert abs(without[0, 0] - logits[0]) > 0.01
    assert without[0, 1] == pytest.approx(logits[0], abs=1e-4)
    again = detector.logits_without(crops[::-1].copy(), masks[::-1].copy())
    np.testing.assert_allclose(again[1][::-1], without, atol=1e-4)


def test_without_everything_each_feature_is_its_mean(real_face):
    from features.networks.efficientnet_lite import BLOCKS_BEFORE_CELLS, Detector, LiteNet, normalised, read_weights

    file = weights_file("forensic_residual")
    metadata, state = read_weights(file)
    net = LiteNet().eval()
    net.load_state_dict(state)
    crops = middle(real_face[0], margin=1.25, size=metadata.input_size)[None]
    with torch.inference_mode():
        features = net.stem(normalised(torch.from_numpy(crops).permute(0, 3, 1, 2), metadata))
        features = net.blocks[:BLOCKS_BEFORE_CELLS](features)
        flat = features.mean(dim=(2, 3), keepdim=True).expand_as(features)
        expected = net.logit(net.head(net.blocks[BLOCKS_BEFORE_CELLS:](flat)).mean(dim=(2, 3)))
    _, without = Detector(file).logits_without(crops, np.ones((1, 1, *crops.shape[1:3]), bool))
    assert without.item() == pytest.approx(expected.item(), abs=1e-3)


def test_shuffled_weights_give_another_map(real_face, tmp_path):
    """Adebayo et al. 2018, "Sanity checks for saliency maps": a map that survives random weights explains nothing."""
    from benchmarks.face_map import rank_correlations, shuffled_detector
    from features.networks.efficientnet_lite import Detector

    crop, points = real_face
    file = weights_file("forensic_cnn")

    def scores(image, detector):
        return face_map.region_scores([image], [points], [detector])[1][0]

    true = scores(crop, Detector(file))
    shuffled = [scores(crop, shuffled_detector(file, tmp_path, seed=seed)) for seed in range(8)]
    correlations = rank_correlations(true[None], np.array(shuffled))
    assert abs(np.nanmean(correlations)) < 0.5  # of independent ones: 0 +- 0.15
    darker = (crop * 0.95).astype(np.uint8)
    assert rank_correlations(true, scores(darker, Detector(file))) > 0.8
