"""cnn_embedding: planted embeddings, one pass of each network, projections that belong to their weights."""

import dataclasses
import gc
import json
import shutil

import numpy as np
import pytest

from deepcue.cli.main import main as deepcue
from extract.run import worker
from features import discovery, measuring
from features.errors import ModelError
from features.families import cnn_embedding
from features.networks import logit_columns, projection
from features.networks.crop_views import VIEWS
from features.networks.weights import PRETRAINED, WEIGHTS_VARIABLE, save_arrays, use_weights

torch = pytest.importorskip("torch")

FAMILIES = ("cnn_embedding", "forensic_cnn", "forensic_residual")
D = 1280


@pytest.fixture
def plane(rng):
    """A projection on random axes, with two prototypes."""
    axes, _ = np.linalg.qr(rng.standard_normal((D, projection.DIMENSIONS)))
    return projection.Projection(rng.uniform(0, 1, D), axes, 3.0 * rng.standard_normal((2, projection.DIMENSIONS)))


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Files of two small networks of random weights, and their projections, by family."""
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    folder, rng, planes = tmp_path_factory.mktemp("networks"), np.random.default_rng(3), {}
    for seed, name in enumerate(projection.NETWORKS):
        torch.manual_seed(seed)
        net = LiteNet(dropout=0.0).train()
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # one batch sets the statistics, as training would in many
        with torch.no_grad():
            net(torch.randn(8, 3, 64, 64))
        save_weights(net, folder / f"{name}.safetensors", WeightsMetadata(input_size=64))
        axes, _ = np.linalg.qr(rng.standard_normal((D, projection.DIMENSIONS)))
        planes[name] = projection.Projection(rng.uniform(0, 1, D), axes, rng.standard_normal((4, 32)))
    files = {name: folder / f"{name}.safetensors" for name in FAMILIES}
    projection.save_projections(planes, files, files["cnn_embedding"])
    return files


@pytest.fixture
def predicted(monkeypatch):
    """Number of crops of each pass of a network."""
    from features.networks.efficientnet_lite import Detector

    passes, predict = [], Detector.predict

    def spy(self, crops):
        passes.append(len(crops))
        return predict(self, crops)

    monkeypatch.setattr(Detector, "predict", spy)
    return passes


def measure(clip, names=FAMILIES):
    return measuring.measure_clip(clip, discovery.families(names))


def test_planted_embeddings_give_their_components(plane, rng):
    z = rng.standard_normal((5, projection.DIMENSIONS))
    beside = rng.standard_normal((5, D))
    beside -= beside @ plane.axes @ plane.axes.T  # what the axes do not see
    embeddings = plane.centre + z @ plane.axes.T + beside
    values = cnn_embedding.summarise(embeddings, plane)
    for k in range(projection.DIMENSIONS):
        assert values[f"c{k + 1:02}_mean"] == pytest.approx(z[:, k].mean())
        assert values[f"c{k + 1:02}_std"] == pytest.approx(z[:, k].std())
    assert values["step_mean"] == pytest.approx(np.mean([np.linalg.norm(z[i + 1] - z[i]) for i in range(4)]))
    nearest = [min(np.linalg.norm(row - p) for p in plane.prototypes) for row in z]
    assert values["real_dist_mean"] == pytest.approx(np.mean(nearest))
    on_it = plane.centre + plane.prototypes[[1, 1]] @ plane.axes.T
    assert cnn_embedding.summarise(on_it, plane)["real_dist_mean"] == pytest.approx(0, abs=1e-9)


def test_one_crop_has_no_spread_and_what_is_undefined_is_left_out(plane):
    one = np.ones((1, D))
    values = cnn_embedding.summarise(one, plane)
    undefined = {name for name, value in values.items() if np.isnan(value)}
    assert undefined == {"step_mean", *(f"c{k:02}_std" for k in range(1, 33))}
    assert cnn_embedding.summarise(np.concatenate([one, np.full((1, D), np.nan)]), plane) == pytest.approx(
        values, nan_ok=True
    )
    assert cnn_embedding.summarise(np.full((2, D), np.nan), plane) == {}


def test_columns_are_those_of_both_networks_and_lie_in_their_range(talking_head, networks):
    clip = talking_head(duration_s=2.0)
    with use_weights(networks):
        values = cnn_embedding.measure(clip, clip.tracks[0])
        judged = logit_columns.score_crops(
            clip.tracks[0].crops, "forensic_residual", logit_columns.chosen(16), views=VIEWS
        )
        plane = projection.projection_of("forensic_residual")
    spans = {column.name: column.range for column in cnn_embedding.COLUMNS}
    assert values.keys() == spans.keys()
    assert len(values) == 2 * (32 + 32 + 2) + 1
    assert all(spans[name][0] <= value <= spans[name][1] for name, value in values.items())
    found = [values[f"cnn_embedding.residual_c{k:02}_mean"] for k in range(1, 33)]
    assert found == pytest.approx(plane.project(judged.embeddings).mean(axis=0).tolist())
    assert values["cnn_embedding.valid_share"] == 1


def test_crops_that_are_too_small_are_left_out(talking_head, networks):
    clip = talking_head(duration_s=2.0)
    track = clip.tracks[0]
    tiny = [crop[:8, :8] for crop in track.crops]
    with use_weights(networks):
        some = cnn_embedding.measure(clip, dataclasses.replace(track, crops=(*track.crops[:8], *tiny[8:])))
        none = cnn_embedding.measure(clip, dataclasses.replace(track, crops=tuple(tiny)))
    assert some["cnn_embedding.valid_share"] == 0.5
    assert none.pop("cnn_embedding.valid_share") == 0
    assert np.isnan(list(none.values())).all()


@pytest.mark.parametrize("missing", ["cnn_embedding", "forensic_cnn"])
def test_what_has_no_weights_is_nan(talking_head, networks, tmp_path, missing):
    with use_weights(networks | {missing: tmp_path / "none.safetensors"}):
        values, failures = measure(talking_head(duration_s=2.0), ["cnn_embedding"])
    assert not failures
    defined = {name.split(".")[1].split("_")[0] for name, value in values.items() if np.isfinite(value)}
    assert defined == ({"valid"} if missing == "cnn_embedding" else {"valid", "residual"})
    assert values["cnn_embedding.valid_share"] == (missing == "forensic_cnn")


def test_each_network_runs_once_for_all_families(talking_head, networks, predicted):
    clip, other = talking_head(duration_s=2.0), talking_head(duration_s=2.0)
    clip = dataclasses.replace(clip, tracks=(*clip.tracks, *other.tracks), n_faces=2)
    with use_weights(networks):
        together, failures = measure(clip)
        assert not failures
        assert predicted == [8] * 4  # two networks, two faces
        alone = {}
        for name in FAMILIES:
            apart = dataclasses.replace(clip, tracks=tuple(dataclasses.replace(track) for track in clip.tracks))
            alone |= measure(apart, [name])[0]
    assert len(predicted) == 4 + 2 + 2 + 2  # nothing is shared between tracks, however alike
    assert together == pytest.approx(alone, nan_ok=True)


def test_a_still_that_is_held_is_judged_once(talking_head, networks, predicted):
    track = talking_head(duration_s=2.0).tracks[0]
    with use_weights(networks):
        held = logit_columns.score_crops((track.crops[0],) * 4 + track.crops[1:3], "forensic_cnn", range(6))
        each = logit_columns.score_crops(track.crops[:3], "forensic_cnn", range(3))
    assert predicted == [3, 3]
    assert held.logits.tolist() == each.logits[[0, 0, 0, 0, 1, 2]].tolist()
    assert (held.embeddings == each.embeddings[[0, 0, 0, 0, 1, 2]]).all()
    assert held.crops.tolist() == list(range(6))


def test_a_still_that_is_held_is_judged_in_every_view(talking_head, networks, predicted):
    track = talking_head(duration_s=2.0).tracks[0]
    held = dataclasses.replace(track, crops=(track.crops[0],) * 8)
    with use_weights(networks):
        logits = logit_columns.score_track(held, "forensic_cnn").logits
    assert predicted == [8]
    assert len(set(logits.tolist())) == 8


def test_each_crop_has_its_own_logit_also_where_some_are_the_same(talking_head, networks):
    first, second = talking_head(duration_s=2.0).tracks[0].crops[0], np.zeros((160, 160, 3), np.uint8)
    with use_weights(networks):
        logits = logit_columns.score_crops([first, second, first], "forensic_cnn", [0, 1, 2]).logits
    assert logits[0] == logits[2] != logits[1]


def test_what_was_judged_is_forgotten_with_its_track_and_never_another_tracks(talking_head, networks, rng):
    clip = talking_head(duration_s=2.0)
    before = len(logit_columns._scores_of_tracks)
    with use_weights(networks):
        for _ in range(3):  # a track of other crops, perhaps where the last one lay in memory
            crops = tuple(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
            track = dataclasses.replace(clip.tracks[0], crops=crops)
            shared = logit_columns.score_track(track, "forensic_cnn")
            assert logit_columns.score_track(track, "forensic_cnn") is shared
            judged = logit_columns.score_crops(crops, "forensic_cnn", [0, 1], views=VIEWS)
            assert shared.logits.tolist() == judged.logits.tolist()
            assert len(logit_columns._scores_of_tracks) == before + 1
            del track
            gc.collect()
            assert len(logit_columns._scores_of_tracks) == before
    with pytest.raises(ValueError, match="read-only"):
        shared.logits[0] = 0


def test_other_weights_judge_the_same_track_anew(talking_head, networks):
    track = talking_head(duration_s=2.0).tracks[0]
    with use_weights(networks):
        first = logit_columns.score_track(track, "forensic_cnn").logits
        with use_weights(networks | {"forensic_cnn": networks["forensic_residual"]}):
            other = logit_columns.score_track(track, "forensic_cnn").logits
        again = logit_columns.score_track(track, "forensic_cnn").logits
    assert first is again
    assert np.abs(first - other).max() > 1e-3


def test_a_projection_of_other_weights_is_refused(talking_head, networks):
    swapped = networks | {"forensic_cnn": networks["forensic_residual"]}
    with use_weights(swapped):
        with pytest.raises(ModelError, match=r"other weights of forensic_cnn .*deepcue fit-projection"):
            projection.projection_of("forensic_cnn")
        values, failures = measure(talking_head(duration_s=2.0))
    assert failures.keys() == {"cnn_embedding"}
    assert np.isfinite(values["forensic_cnn.logit_mean"])


def test_a_row_names_projections_that_are_missing_of_other_weights_or_without_their_networks(
    talking_head, networks, tmp_path
):
    absent = tmp_path / "absent.safetensors"
    for changes, reason in (
        ({"cnn_embedding": absent}, "not_installed"),
        (dict.fromkeys(projection.NETWORKS, absent), "not_installed"),
        ({"forensic_cnn": networks["forensic_residual"]}, "failed"),
    ):
        weights = {name: str(file) for name, file in (networks | changes).items()}
        row = worker.row("a.mp4", talking_head(duration_s=2.0), worker.Settings(("cnn_embedding",), weights=weights))
        assert row.reasons == {"cnn_embedding": reason}


def test_an_extraction_with_such_a_projection_is_refused_before_the_work(networks, tmp_path, monkeypatch, capsys):
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(networks["cnn_embedding"], own)
    shutil.copy(networks["forensic_residual"], own / "forensic_cnn.safetensors")
    shutil.copy(networks["forensic_residual"], own)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"no clip")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(own))
    out = tmp_path / "t.parquet"
    assert deepcue(["extract", str(tmp_path / "clips"), "--families", "cnn_embedding", "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "fitted for other weights of forensic_cnn" in line
    assert not out.exists()


def test_the_shipped_projection_says_nothing_of_ones_own_network(networks, tmp_path, monkeypatch):
    shutil.copy(networks["forensic_cnn"], tmp_path)
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    assert projection.known_networks() == ["forensic_residual"]


def test_files_that_are_no_projections_are_refused(networks, tmp_path):
    file = tmp_path / "cnn_embedding.safetensors"
    shutil.copy(networks["forensic_cnn"], file)
    with pytest.raises(ModelError, match=r"cnn_embedding\.safetensors: .*deepcue fit-projection"):
        projection.read_projections(file)
    metadata = projection.ProjectionMetadata(networks={"forensic_cnn": "0" * 64})
    arrays = {"cnn.centre": np.zeros(D), "cnn.axes": np.zeros((D, 3)), "cnn.prototypes": np.zeros((2, 32))}
    save_arrays(arrays, file, metadata)
    with pytest.raises(ModelError, match="shapes"):
        projection.read_projections(file)
    save_arrays(arrays | {"cnn.axes": np.zeros((D, 32)), "cnn.prototypes": np.zeros((0, 32))}, file, metadata)
    with pytest.raises(ModelError, match="shapes"):
        projection.read_projections(file)


def test_the_file_comes_back_as_it_was_saved(networks):
    metadata, planes = projection.read_projections(networks["cnn_embedding"])
    assert metadata.networks.keys() == planes.keys() == projection.NETWORKS.keys()
    for one in planes.values():
        np.testing.assert_allclose(one.axes.T @ one.axes, np.eye(32), atol=1e-6)
    from safetensors import safe_open

    with safe_open(str(networks["cnn_embedding"]), framework="np") as file:
        header = json.loads(file.metadata()["card"])
    assert header["networks"]["forensic_cnn"] == metadata.networks["forensic_cnn"]
    assert (PRETRAINED / "cnn_embedding.safetensors").is_file()
