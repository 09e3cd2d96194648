"""Out-of-fold columns come from the network that never saw the clip."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from deepcue.cli.main import main as deepcue
from ensemble.missingness import unmeasured_families
from features.errors import DatasetError, ModelError
from features.networks import projection
from training import crop_columns, folds, oof_columns
from training.fold_networks import FACES
from training.stacked_tables import stacked

pytest.importorskip("torch")


def feature_table(families=("forensic_cnn", "forensic_residual")):
    from features import discovery, table

    family = discovery.families(families)
    schema = table.schema(family, extractor="test")
    names = ["a/x.mp4", "b.mp4", "c.mp4", "d.mp4"]
    base = dict(
        filename=names, label=["REAL", "FAKE", "FAKE", "REAL"], group=list("pqrs"), source=list("1122"),
        status=["ok"] * 4, error=[""] * 4, duration_s=[0.08] * 4, n_frames=[2] * 4, n_faces=[1] * 4,
    )  # fmt: skip
    n_columns = len(schema.names) - len(table.BASE_COLUMNS)
    return table.build(base, np.full((4, n_columns), 7.0, np.float32), schema)


def small_observation(rng):
    from features.observation import Observation, Track

    crops = tuple(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
    grey = tuple(crop[:, :, 0].copy() for crop in crops)
    values = {one.name: np.zeros((2, 4), np.float32) for one in dataclasses.fields(Track)}
    values |= dict(frame_index=np.arange(2, dtype=np.int32), crop_index=np.arange(2, dtype=np.int32))
    values |= dict(crops=crops, patch_face=grey, patch_background=grey)
    return Observation(
        times_s=np.arange(2) / 25, frame_size=(64, 64), duration_s=0.08, duplicate=np.zeros(2, bool),
        tracks=(Track(**values),), audio=None, audio_start_s=float("nan"), n_faces=1,
    )  # fmt: skip


def test_clips_of_which_there_are_crops_alone_get_the_columns_of_their_fold(rng, fold_weights):
    import cv2

    from training.faces import index

    def crop(key, fake, side=64):
        image = cv2.imencode(".webp", rng.integers(0, 256, (side, side, 3), dtype=np.uint8))[1].tobytes()
        row = dict(key=key, frame=0, fake=fake, group=f"g {key}", source="page", original="", landmarks=[])
        return row | dict(box=[1.0, 1.0, 9.0, 9.0], jpeg=image, recut=False)

    rows = [crop("u", 1), crop("u", 1, side=200), crop("v", 0), crop("v", 0), crop("image", 1)]
    rows += [crop("panel", 1) | dict(recut=True), crop("panel", 1) | dict(recut=True)]
    crops = pa.Table.from_pylist(rows, schema=index.SCHEMA)
    source = feature_table()
    found = crop_columns.of_crops(source, crops, {"u": 0, "v": 1}, fold_weights)
    assert found.schema.equals(source.schema, check_metadata=True)
    assert found["filename"].to_pylist() == ["u", "v"]  # a single image is no clip
    assert found["label"].to_pylist() == ["FAKE", "REAL"]
    assert found["group"].to_pylist() == ["g u", "g v"]
    assert found["forensic_cnn.logit_mean"].to_numpy() == pytest.approx([1.5, -2.5], abs=1e-3)
    assert found["forensic_residual.logit_mean"].to_numpy() == pytest.approx([0.5, -0.5], abs=1e-3)
    assert found["forensic_cnn.valid_share"].to_pylist() == [1.0, 1.0]
    (fold_weights / "residual_fold1.safetensors").unlink()
    with pytest.raises(ModelError, match="lacks residual_fold1"):
        crop_columns.of_crops(source, crops, {"u": 0, "v": 1}, fold_weights)


def test_clips_of_which_there_are_crops_alone_have_the_cues_that_compare_parts_of_a_face(portrait, fold_weights):
    import cv2

    from extract import stills
    from features import discovery, measuring
    from training.faces import index

    encoded = [
        cv2.imencode(".webp", cv2.GaussianBlur(portrait[20:244, 110:334, ::-1], (0, 0), blur))[1].tobytes()
        for blur in (0.3, 1.5, 0.6)
    ]
    rows = [
        dict(key="u", frame=number, fake=1, group="g", source="page", original="", landmarks=[], jpeg=image)
        | dict(box=[40.0, 40.0, 180.0, 180.0], recut=False)
        for number, image in enumerate(encoded)
    ]
    source = feature_table((*FACES, "blending", "quality"))
    found = crop_columns.of_crops(source, pa.Table.from_pylist(rows, schema=index.SCHEMA), {"u": 0}, fold_weights)
    column = "blending.noise_core_rest_med"
    each = [
        measuring.measure_clip(stills.observe(data), discovery.families(["blending"]))[0][column] for data in encoded
    ]
    assert found[column].to_pylist() == pytest.approx([np.median(each)])
    assert len(set(each)) == 3
    for other in ("quality.iod_px", "blending.red_core_rest_med"):  # what the fusion does not read
        assert np.isnan(found[other].to_pylist()).all()


def test_cues_of_crops_are_measured_once_for_several_trainings(rng, fold_weights, monkeypatch):
    import cv2

    from training.faces import index

    image = cv2.imencode(".webp", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))[1].tobytes()
    row = dict(key="u", frame=0, fake=1, group="g", source="page", original="", landmarks=[], jpeg=image)
    crops = pa.Table.from_pylist([row | dict(box=[1.0, 1.0, 9.0, 9.0], recut=False)] * 2, schema=index.SCHEMA)
    calls = []
    monkeypatch.setattr(
        crop_columns, "_cues_of_stills", lambda encoded, names: calls.append(names) or dict.fromkeys(names, 5.0)
    )
    table, kept = feature_table((*FACES, "blending")), {}
    first, second = (crop_columns.of_crops(table, crops, {"u": fold}, fold_weights, kept=kept) for fold in (0, 1))
    assert len(calls) == 1
    for found, logit in ((first, 1.5), (second, -2.5)):
        assert found["blending.noise_core_rest_med"].to_pylist() == [5.0]
        assert found["forensic_cnn.logit_mean"].to_numpy() == pytest.approx([logit], abs=1e-3)
    other = feature_table((*FACES, "eyes_teeth"))
    crop_columns.of_crops(other, crops, {"u": 0}, fold_weights, kept=kept)
    assert len(calls) == 2  # of other cues


def test_clips_of_which_there_are_crops_alone_need_a_fold_and_a_face_network(fold_weights):
    from training.faces import index

    row = dict(key="u", frame=0, fake=1, group="g", source="page", original="", landmarks=[], jpeg=b"")
    crops = pa.Table.from_pylist([row | dict(box=[1.0, 1.0, 9.0, 9.0], recut=False)] * 2, schema=index.SCHEMA)
    with pytest.raises(DatasetError, match="the folds lack u"):
        crop_columns.of_crops(feature_table(), crops, {}, fold_weights)
    with pytest.raises(DatasetError, match="no columns of forensic_voice"):
        crop_columns.of_crops(feature_table(), crops, {"u": 0}, fold_weights, ["forensic_voice"])


def test_a_share_over_images_is_their_mean_and_one_image_is_enough():
    values = np.array([0.0, np.nan, 1.0, 0.0])
    assert crop_columns._middle("eyes_teeth.spec_missing_share", values) == pytest.approx(1 / 3)
    assert crop_columns._middle("eyes_teeth.iris_dh", values) == 0
    assert crop_columns._middle("eyes_teeth.iris_dh", np.array([np.nan, 2.0])) == 2
    assert np.isnan(crop_columns._middle("eyes_teeth.iris_dh", np.array([np.nan])))


def test_out_of_fold_columns_come_from_the_network_of_the_fold(rng, fold_weights, tmp_path):
    from features import observation

    (tmp_path / "a").mkdir()
    for name in ("a/x.mp4", "b.mp4"):
        observation.save(small_observation(rng), str(tmp_path / f"{name}.npz"))
    fold_of = {"a/x.mp4": 0, "b.mp4": 1, "c.mp4": 0}
    found = oof_columns.of_clips(feature_table(), tmp_path, fold_of, fold_weights, FACES)
    logits = found["forensic_cnn.logit_mean"].to_numpy()
    assert logits[:2] == pytest.approx([1.5, -2.5], abs=1e-3)
    assert np.isnan(logits[2])  # no observation: rather nothing than a network that saw the clip
    assert logits[3] == 7  # in no fold: kept
    assert found["forensic_residual.logit_mean"].to_numpy()[:2] == pytest.approx([0.5, -0.5], abs=1e-3)
    alone = oof_columns.of_clips(feature_table(), tmp_path, fold_of, fold_weights, ["forensic_cnn"])
    assert (alone["forensic_residual.logit_mean"].to_numpy() == 7).all()
    assert found.schema.equals(feature_table().schema, check_metadata=True)
    assigned = folds.FoldAssignment
    assert oof_columns.scores(found, {"a/x.mp4": assigned(0), "b.mp4": assigned(1)}, "forensic_cnn")["all"]["auc"] == 0
    training_label = {"a/x.mp4": assigned(0, fake=True), "b.mp4": assigned(1, fake=False)}  # whatever their labels are
    assert oof_columns.scores(found, training_label, "forensic_cnn")["all"]["auc"] == 1
    empty = found.set_column(found.column_names.index("group"), "group", pa.nulls(found.num_rows, pa.string()))
    assert oof_columns.scores(empty, training_label, "forensic_cnn")["n_groups"] == 2  # not one


ALL_FACES = (*FACES, "cnn_embedding")


@pytest.fixture
def fold_projections(fold_weights):
    """Projections beside the networks of each fold that give their first 32 numbers, in fold 1 less 100."""
    for fold in range(2):
        files = {family: fold_weights / folds.FOLD_FILES[family].format(fold) for family in projection.NETWORKS}
        plane = projection.Projection(np.full(1280, 100.0 * fold), np.eye(1280, 32), np.full((1, 32), -100.0 * fold))
        projection.save_projections(
            dict.fromkeys(files, plane), files, fold_weights / f"embedding_fold{fold}.safetensors"
        )
    return fold_weights


def test_embeddings_out_of_fold_are_those_of_the_folds_networks_and_axes(rng, fold_projections, tmp_path):
    from features import observation, table

    for name in ("b.mp4", "c.mp4"):
        observation.save(small_observation(rng), str(tmp_path / f"{name}.npz"))
    source, fold_of = feature_table(ALL_FACES), {"b.mp4": 0, "c.mp4": 1}
    found = oof_columns.of_clips(source, tmp_path, fold_of, fold_projections, ALL_FACES)
    assert found["forensic_cnn.logit_mean"].to_pylist()[1:3] == pytest.approx([1.5, -2.5], abs=1e-3)
    for network in ("cnn", "residual"):
        first = found[f"cnn_embedding.{network}_c01_mean"].to_pylist()
        assert 0 <= first[1] <= 6
        assert -100 <= first[2] <= -94
        assert first[0] == first[3] == 7  # in no fold: kept
    assert found["cnn_embedding.valid_share"].to_pylist()[1:3] == [1.0, 1.0]
    alone = oof_columns.of_clips(source, tmp_path, fold_of, fold_projections, ["cnn_embedding"])
    assert alone["cnn_embedding.cnn_c01_mean"].to_pylist() == found["cnn_embedding.cnn_c01_mean"].to_pylist()
    assert (alone["forensic_cnn.logit_mean"].to_numpy() == 7).all()
    table.write_table(source, tmp_path / "t.parquet")
    assignments = {name: folds.FoldAssignment(fold) for name, fold in fold_of.items()}
    folds.write(tmp_path / "folds.csv", assignments)
    command = ["oof", "--table", str(tmp_path / "t.parquet"), "--observations", str(tmp_path), "--families"]
    command += ["cnn_embedding", "--folds", str(tmp_path / "folds.csv"), "--weights", str(fold_projections)]
    assert deepcue([*command, "--out", str(tmp_path / "oof.parquet")]) == 0  # it has no logit that could be scored
    (fold_projections / "embedding_fold1.safetensors").unlink()
    with pytest.raises(ModelError, match="lacks embedding_fold1"):
        oof_columns.of_clips(source, tmp_path, fold_of, fold_projections, ["cnn_embedding"])


def test_embeddings_of_crops_alone_take_one_pass_of_each_network(rng, fold_projections, monkeypatch):
    from features.networks.efficientnet_lite import Detector
    from training.faces import index

    passes, predict = [], Detector.predict
    monkeypatch.setattr(Detector, "predict", lambda self, crops: passes.append(len(crops)) or predict(self, crops))
    row = dict(key="u", frame=0, fake=1, group="g", source="page", original="", landmarks=[], box=[1.0, 1.0, 9.0, 9.0])
    images = [index.encode_jpeg(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(3)]
    crops = pa.Table.from_pylist([row | dict(jpeg=image, recut=False) for image in images], schema=index.SCHEMA)
    found = crop_columns.of_crops(feature_table(ALL_FACES), crops, {"u": 1}, fold_projections, ALL_FACES)
    assert passes == [3, 3]
    assert found["forensic_residual.logit_mean"].to_pylist() == pytest.approx([-0.5], abs=1e-3)
    assert -100 <= found["cnn_embedding.residual_c32_mean"][0].as_py() <= -94
    assert found["cnn_embedding.valid_share"].to_pylist() == [1.0]


def test_tables_of_several_runs_are_stacked_and_keep_a_clip_in_one_group():
    one = feature_table()
    both = stacked([one, one])
    names = one["filename"].to_pylist()
    assert both["filename"].to_pylist() == [f"0/{name}" for name in names] + [f"1/{name}" for name in names]
    groups = both["group"].to_pylist()
    assert groups[: len(names)] == groups[len(names) :]
    assert all(groups)
    assert both.schema.equals(one.schema, check_metadata=True)


def with_weights(**digests):
    from features import table

    one = feature_table()
    described = table.description(one) | {"weights": digests}
    return one.replace_schema_metadata({table.METADATA_KEY: json.dumps(described)})


def test_columns_of_several_networks_are_of_no_ones_weights(rng, fold_weights, tmp_path):
    """Non-regression test: a model of such a table refused its own networks, and took those that it never saw."""
    from features import observation, table

    (tmp_path / "a").mkdir()
    observation.save(small_observation(rng), str(tmp_path / "a/x.mp4.npz"))
    source = with_weights(forensic_cnn="aa", forensic_residual="bb")
    found = oof_columns.of_clips(source, tmp_path, {"a/x.mp4": 0}, fold_weights, ["forensic_cnn"])
    assert table.description(found)["weights"] == {"forensic_residual": "bb"}
    both = stacked([source, with_weights(forensic_cnn="aa", forensic_residual="cc")])
    assert table.description(both)["weights"] == {"forensic_cnn": "aa"}


@pytest.mark.parametrize(
    ("tables", "all_folds", "weights", "message"),
    [
        ("t", "fg", "w", "give as many --weights as --folds"),
        ("tuv", "fg", "wx", "give one --table, or as many as --folds"),
    ],
)
def test_as_many_weights_as_folds_are_asked_for(tmp_path, monkeypatch, capsys, tables, all_folds, weights, message):
    monkeypatch.chdir(tmp_path)
    files = ["--table", *tables, "--observations", "o", "--folds", *all_folds, "--weights", *weights, "--out", "out"]
    assert deepcue(["oof", *files]) == 2
    assert message in capsys.readouterr().err


def test_a_table_for_each_run_gives_its_own_rows(rng, fold_weights, tmp_path):
    from features import observation, table

    observation.save(small_observation(rng), str(tmp_path / "b.mp4.npz"))
    (tmp_path / "folds.csv").write_text("filename,fold\nb.mp4,1\n")
    one = feature_table()
    field = one.schema.field("n_faces")
    other = one.set_column(one.column_names.index(field.name), field, pa.array([2] * 4, field.type))
    table.write_table(one, tmp_path / "one.parquet")
    table.write_table(other, tmp_path / "other.parquet")
    command = [
        "oof", "--table", *(str(tmp_path / f"{name}.parquet") for name in ("one", "other")),
        "--observations", str(tmp_path), "--folds", *[str(tmp_path / "folds.csv")] * 2,
        "--weights", *[str(fold_weights)] * 2, "--out", str(tmp_path / "both.parquet"),
    ]  # fmt: skip
    assert deepcue(command) == 0
    both = table.read_table(tmp_path / "both.parquet")
    assert both["n_faces"].to_pylist() == [1] * 4 + [2] * 4
    assert both["forensic_cnn.logit_mean"].to_numpy()[[1, 5]] == pytest.approx([-2.5, -2.5], abs=1e-3)


def test_clips_without_observations_are_counted_and_all_of_them_are_refused(
    rng, fold_weights, tmp_path, caplog, capsys
):
    """Non-regression test: a folder that does not exist gave a table without a number, and status 0."""
    from features import observation, table

    table.write_table(feature_table(), tmp_path / "t.parquet")
    (tmp_path / "folds.csv").write_text("filename,fold\nb.mp4,1\nc.mp4,0\n")
    command = ["oof", "--table", str(tmp_path / "t.parquet"), "--folds", str(tmp_path / "folds.csv")]
    command += ["--weights", str(fold_weights), "--out", str(tmp_path / "oof.parquet"), "--observations"]
    assert deepcue([*command, "/nonexistent"]) == 2
    assert "/nonexistent: no observation of these clips" in capsys.readouterr().err
    assert not (tmp_path / "oof.parquet").exists()
    observation.save(small_observation(rng), str(tmp_path / "b.mp4.npz"))
    assert deepcue([*command, str(tmp_path)]) == 0
    assert "1 of 2 clips have no observation" in caplog.text


def test_an_observation_of_another_clip_of_the_same_name_is_not_measured(rng, fold_weights, tmp_path, caplog):
    """Non-regression test: two data sets that shared a folder had columns of each other's clips."""
    from features import observation, table

    longer = dataclasses.replace(small_observation(rng), times_s=np.arange(3) / 25, duration_s=0.12)
    observation.save(longer, str(tmp_path / "b.mp4.npz"))
    with pytest.raises(DatasetError, match="1 of 1 observations are of other clips that have the same names"):
        oof_columns.of_clips(feature_table(), tmp_path, {"b.mp4": 1}, fold_weights, ["forensic_cnn"])
    observation.save(small_observation(rng), str(tmp_path / "c.mp4.npz"))
    fold_of = {"b.mp4": 1, "c.mp4": 1}
    found = oof_columns.of_clips(feature_table(), tmp_path, fold_of, fold_weights, ["forensic_cnn"])
    assert found["forensic_cnn.logit_mean"].to_pylist()[1:3] == pytest.approx([np.nan, -2.5], abs=1e-3, nan_ok=True)
    assert table.row_reasons(found)[1:3] == [{"observation": "not_kept"}, {}]
    assert "1 of 2 observations are of other clips" in caplog.text


def test_clips_of_no_fold_and_families_of_no_column_are_refused(fold_weights, tmp_path):
    with pytest.raises(DatasetError, match="no clip of the table is in the folds"):
        oof_columns.of_clips(feature_table(), tmp_path, {"other.mp4": 0}, fold_weights, FACES)
    with pytest.raises(DatasetError, match="no column of forensic_residual"):
        oof_columns.of_clips(feature_table(["forensic_cnn"]), tmp_path, {"b.mp4": 0}, fold_weights, FACES)


def test_missing_fold_weights_and_folds_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"fold5\.safetensors"):
        oof_columns.of_clips(feature_table(), tmp_path, {"b.mp4": 5}, tmp_path, ["forensic_cnn"])
    (tmp_path / "fold5.safetensors").touch()
    with pytest.raises(ModelError, match=r"residual_fold5\.safetensors"):
        oof_columns.of_clips(feature_table(), tmp_path, {"b.mp4": 5}, tmp_path, list(folds.FOLD_FILES))


@pytest.mark.parametrize(
    ("family", "file"),
    [
        ("forensic_cnn", "fold1.safetensors"),
        ("cnn_embedding", "embedding_fold1.safetensors"),
        ("cnn_embedding", "residual_fold1.safetensors"),
        ("forensic_voice", "fold1.safetensors"),
    ],
)
def test_damaged_weights_of_a_fold_are_named_before_anything_is_measured(rng, fold_projections, tmp_path, family, file):
    """Non-regression test: every clip of that fold had NaN, and the command succeeded."""
    from features import observation

    for name in ("b.mp4", "c.mp4"):
        observation.save(small_observation(rng), str(tmp_path / f"{name}.npz"))
    (fold_projections / file).write_bytes(b"garbage")
    fold_of = {"b.mp4": 0, "c.mp4": 1} if family != "forensic_voice" else {"b.mp4": 1}
    with pytest.raises(ModelError, match=file):
        oof_columns.of_clips(feature_table([family]), tmp_path, fold_of, fold_projections, [family])


def test_a_row_says_why_it_has_no_number_by_the_network_of_its_fold(rng, fold_weights, tmp_path):
    from features import observation, table

    (tmp_path / "a").mkdir()
    observation.save(small_observation(rng), str(tmp_path / "a/x.mp4.npz"))
    blind = dataclasses.replace(small_observation(rng), tracks=())
    observation.save(blind, str(tmp_path / "b.mp4.npz"))
    damaged = {"observation": "damaged", "forensic_cnn": "no_face", "voice": "no_sound"}
    before = [{"forensic_cnn": "not_installed", "voice": "no_sound"}, {}, damaged, {"clip": "unreadable"}]
    source = table.with_reasons(feature_table(), before)
    fold_of = dict.fromkeys(source["filename"].to_pylist(), 0)
    found = oof_columns.of_clips(source, tmp_path, fold_of, fold_weights, ["forensic_cnn"])
    assert table.row_reasons(found) == [
        {"voice": "no_sound"},
        {"forensic_cnn": "no_face"},
        {"observation": "not_kept", "voice": "no_sound"},
        {"clip": "unreadable"},
    ]
    assert found["forensic_cnn.valid_share"].to_pylist() == [1.0, 0.0, 0.0, 0.0]
    in_words = [reasons.get("forensic_cnn") for reasons in unmeasured_families(found)]
    assert in_words[1:3] == ["no face was found", "its observation was not kept"]
