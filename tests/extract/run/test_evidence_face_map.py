"""A person's evidence has the face map: of the faces that were judged, and without a pixel when faces stay hidden."""

import cv2
import numpy as np
import pytest
from people import build_talking_head

from extract.run import evidence
from features import discovery
from features.networks.face_map import MAP_PX, MAX_FACES, NEAR, REGIONS
from features.networks.weights import use_weights

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def observed():
    return build_talking_head(np.random.default_rng(0), duration_s=2.0)


def person(observed, *, show_faces=True):
    families = discovery.families(("forensic_cnn", "forensic_residual"))
    return evidence._person(observed, observed.tracks[0], families, show_faces)


def test_regions_and_their_image(observed):
    found = person(observed)
    assert set(found.face_regions) == set(REGIONS)
    assert max(map(abs, found.face_regions.values())) > 0.01
    logits = [np.mean(list(face.logits.values())) for face in found.faces]
    mapped = [logits[[face.time_s for face in found.faces].index(t)] for t in found.face_map_times_s]
    assert mapped == sorted((z for z in logits if z >= max(logits) - NEAR), reverse=True)[:MAX_FACES]
    image = cv2.imdecode(np.frombuffer(found.face_map_jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (MAP_PX, MAP_PX, 3)


def test_no_image_when_faces_are_not_shown(observed):
    found = person(observed, show_faces=False)
    assert found.face_map_jpeg == b""
    assert found.face_regions == person(observed).face_regions


def test_no_map_without_weights(observed, tmp_path):
    with use_weights({name: tmp_path / name for name in ("forensic_cnn", "forensic_residual")}):
        found = person(observed)
    assert found.face_map_jpeg == b""
    assert (found.face_regions, found.face_map_times_s) == ({}, ())


def test_maps_count_among_the_images_of_a_page(observed):
    found = person(observed)
    faces = sum(len(face.jpeg) for face in found.faces)
    (whole,) = evidence._thinned([found], faces + len(found.face_map_jpeg))
    assert all(face.jpeg for face in whole.faces)
    (fewer,) = evidence._thinned([found], faces + len(found.face_map_jpeg) - 1)
    assert not all(face.jpeg for face in fewer.faces)
