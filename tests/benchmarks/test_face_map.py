"""The figures about the face map: known hits and chance, faces read and swapped, errors."""

import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from skimage.data import astronaut

from features.networks.face_map import REGIONS

pytest.importorskip("torch")

from benchmarks import face_map


def measured(strongest, *, rise=0.0):
    """Maps whose strongest regions are those named, [n][4]; a swap raises the logit by ``rise``."""
    scores = np.zeros((len(strongest), 4, len(REGIONS)))
    for face, names in enumerate(strongest):
        for number, name in enumerate(names):
            scores[face, number, REGIONS.index(name)] = 1.0
    logits = np.zeros((len(strongest), 4))
    logits[:, 1:] = rise
    return face_map.Measured(logits, scores)


AREAS = np.full((20, len(REGIONS)), 1 / len(REGIONS))


def test_a_map_that_follows_the_swap():
    found = face_map.figures(measured([["cheeks", "mouth", "eyes", "nose"]] * 20, rise=2.0), AREAS, seed=0)
    assert found["hit_rate_minus_untouched"] == [1.0, 1.0, 1.0]
    assert found["hit_rate"] == found["noticed"]["hit_rate"] == [1.0, 0.832, 1.0]  # 0.025 ** (1 / 20)
    assert found["chance"]["by_frequency"] == pytest.approx(1 / 3)
    assert found["chance"]["same_face_untouched"] == [0.0, 0.0, 0.168]
    assert found["noticed"]["n_swaps"] == 60


def test_a_map_that_always_shows_the_mouth_is_chance():
    found = face_map.figures(measured([["mouth"] * 4] * 20, rise=0.5), AREAS, seed=0)
    assert found["hit_rate"][0] == pytest.approx(found["chance"]["by_frequency"], abs=1e-3)
    assert found["hit_rate"][0] == pytest.approx(1 / 3, abs=1e-3)
    assert found["hit_rate_by_region"]["mouth"][0] == 1.0
    assert found["hit_rate_minus_untouched"] == [0.0, 0.0, 0.0]
    assert found["noticed"]["n_swaps"] == 0


def test_intervals_hold_the_rate_and_narrow_with_more_faces():
    names = np.random.default_rng(0).choice(["mouth", "eyes", "nose", "chin"], (400, 4))
    few, many = (
        face_map.figures(measured(names[:n]), np.full((n, len(REGIONS)), 1 / 7), seed=0)["hit_rate"] for n in (25, 400)
    )
    for rate, low, high in (few, many):
        assert low < rate < high
    assert many[1] < 0.25 < many[2]
    assert few[2] - few[1] > 2.5 * (many[2] - many[1])


@pytest.fixture(scope="module")
def file_of_faces(tmp_path_factory):
    """Three images of one face, one of none, and one that is called FAKE."""
    image = cv2.cvtColor(np.ascontiguousarray(astronaut()[:300, 80:380]), cv2.COLOR_RGB2BGR)
    images = [image, image[:, ::-1], (image * 0.8).astype(np.uint8), np.zeros_like(image), image[::1, ::1]]
    jpeg = [cv2.imencode(".jpg", one)[1].tobytes() for one in images]
    file = tmp_path_factory.mktemp("faces") / "faces.parquet"
    pq.write_table(pa.table({"jpeg": jpeg, "label": ["REAL"] * 4 + ["FAKE"], "key": ["a", "b", "c", "d", "e"]}), file)
    return file


def test_real_faces_are_read_and_swapped(file_of_faces):
    faces = face_map.read_faces(file_of_faces, 10, seed=0)
    assert len(faces) == 3
    crop, points = faces[0]
    images = face_map._with_swaps(faces, 0, np.random.default_rng(0))
    assert (images[0] == crop).all()
    for region, image in zip(face_map.SWAPPED, images[1:], strict=True):
        changed = np.abs(image.astype(int) - crop).max(axis=2) > 8
        masks = face_map.region_masks(points, len(crop))
        assert changed[masks[REGIONS.index(region)]].mean() > 4 * changed[masks[REGIONS.index("surroundings")]].mean()


def test_a_run_prints_figures(file_of_faces, capsys, monkeypatch):
    monkeypatch.setattr(face_map, "SHUFFLES", 1)
    assert face_map.main(["--faces", str(file_of_faces), "--n", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_swaps"] == 9
    assert 0 <= found["hit_rate"][1] <= found["hit_rate"][0] <= found["hit_rate"][2] <= 1
    assert abs(found["shuffled_weights"]["rank_correlation_with_true_map"][0]) <= 1
    assert face_map.main(["--faces", str(file_of_faces), "--n", "3"]) == 0
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.parametrize("broken", ["missing", "text", "columns", "no faces"])
def test_unusable_files_are_refused(broken, tmp_path, capsys):
    file = tmp_path / "faces.parquet"
    if broken == "text":
        file.write_text("no Parquet")
    elif broken == "columns":
        pq.write_table(pa.table({"name": ["a"]}), file)
    elif broken == "no faces":
        pq.write_table(pa.table({"jpeg": [b"no jpeg", b""]}), file)
    assert face_map.main(["--faces", str(file)]) == 2
    assert str(file) in capsys.readouterr().err
