"""Training of the forensic network: nothing leaks between folds, batches are pairs, a killed run goes on."""

import argparse
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepcue.cli.main import main as deepcue
from features.errors import DatasetError, InputError, ModelError
from training import folds, oof_columns
from training.faces import batches, index, schedule, scores, trainer
from training.faces.batches import Batches, Mix, Pool
from training.manifest import method_family

torch = pytest.importorskip("torch")


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def manifest_row(filename, label, group, method, fake_part="picture"):
    return dict(
        filename=filename, label=label, group=group, method=method, original="",
        fake_part=fake_part if label == "FAKE" else "", fps="25", duration_s="1",
    )  # fmt: skip


@pytest.fixture
def manifest():
    rows = [manifest_row(f"swap_{i}", "FAKE", f"p{i}", f"ff++_{'ab'[i % 2]}") for i in range(6)]
    rows += [manifest_row(f"real_{i}", "REAL", f"p{i}", "real_youtube") for i in range(6)]
    rows += [manifest_row(f"more_{i}", "REAL", f"q{i}", "real_youtube") for i in range(3)]
    rows += [manifest_row(f"head_{i}", "FAKE", f"h{i % 2}", ["loopy", "vasa1"][i % 2 if i else 1]) for i in range(5)]
    rows += [manifest_row(f"link_{i}", "FAKE", "h0", "float") for i in range(2)]
    rows += [manifest_row(f"dub_{i}", "FAKE", "ted", "audio_x", "voice") for i in range(4)]
    rows += [manifest_row(f"dfdc_{i}", "FAKE", f"d{i}", "dfdc") for i in range(3)]
    rows += [manifest_row(f"stock_{i}", "REAL", f"s{i}", "real_stock") for i in range(4)]
    return rows


def index_table(rng, rows):
    """Rows of (key, fake, group, source, original) with random pictures."""
    records = []
    for number, (key, fake, group, source, original) in enumerate(rows):
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        image[:, :, 0] = 250 if fake else 5  # red tells the class
        records.append(
            dict(
                key=key, frame=number, fake=int(fake), group=group, source=source, original=original,
                box=[10.0, 10.0, 54.0, 54.0], landmarks=[], jpeg=index.encode_jpeg(image),
            )
        )  # fmt: skip
    return pa.Table.from_pylist(records, schema=index.SCHEMA)


@pytest.fixture
def pools(rng, monkeypatch):
    monkeypatch.setattr(Pool, "_points", lambda self, row, image: None)  # random pictures show no face
    stills = [(f"r{i}", False, str(i % 5), "stills", f"r{i}") for i in range(20)]
    stills += [(f"f{i}", True, str(i % 5), "stills", f"r{i}") for i in range(20)]
    faces = [(f"p{i}", False, f"p{i}", ["lfw", "ffhq"][i % 2], "") for i in range(4)]
    clips = [(f"c{i}", i % 2 == 1, f"g{i // 2}", ["real_a", "loopy"][i % 2], "") for i in range(8) for _ in range(3)]
    return tuple(Pool(index_table(rng, rows)) for rows in (stills, faces, clips))


OF_G1 = frozenset({"c2", "c3"})  # clips of the group g1


def batches_of(pools, mix, coded=None, drawn=None, **more):
    settings = dict(out=frozenset(), left_out=frozenset(), seed=3, size=64) | more
    return Batches(batches.Sources(*pools, coded, drawn), mix=mix, **settings)


def test_people_alone_may_be_left_out_and_methods_spread(manifest):
    fold_of = folds.assign_folds(manifest, 3, whole_methods=False)
    by_group, by_method = {}, {}
    for row in manifest:
        by_group.setdefault(row["group"], set()).add(fold_of[row["filename"]])
        by_method.setdefault(row["method"], set()).add(fold_of[row["filename"]])
    assert all(len(folds) == 1 for folds in by_group.values())
    assert len(by_method["ff++_a"]) > 1
    assert len(by_method["real_youtube"]) > 1


def test_no_group_and_no_family_of_forgeries_is_in_two_folds(manifest):
    fold_of = folds.assign_folds(manifest)
    assert fold_of.keys() == {row["filename"] for row in manifest}
    assert set(fold_of.values()) == {0, 1, 2}
    for name in ("group", "method"):
        seen = {}
        for row in manifest:
            if name == "group" or row["label"] == "FAKE":
                value = method_family(row[name]) if name == "method" else row[name]
                assert seen.setdefault(value, fold_of[row["filename"]]) == fold_of[row["filename"]], value


def test_forgeries_are_spread_and_sources_held_out_whole(manifest):
    fold_of = folds.assign_folds(manifest)
    forged = [fold_of[row["filename"]] for row in manifest if row["fake_part"] == "picture"]
    assert np.bincount(forged).tolist() == [7, 6, 3]  # heads linked by their groups, then swaps, then dfdc
    for source in ("real_youtube", "real_stock"):
        assert len({fold_of[row["filename"]] for row in manifest if row["method"] == source}) == 1


def test_folds_do_not_depend_on_the_order_of_the_manifest(manifest):
    assert folds.assign_folds(manifest[::-1]) == folds.assign_folds(manifest)


def test_held_out_groups_are_whole_and_about_large_enough(rng):
    groups = np.array([str(i) for i in rng.integers(0, 40, 5000)], dtype=object)
    out = folds.holdout_groups(groups, seed=0)
    share = np.isin(groups, list(out)).mean()
    assert folds.HOLDOUT_SHARE <= share < 2 * folds.HOLDOUT_SHARE
    assert out == folds.holdout_groups(groups[::-1], seed=0)
    assert out != folds.holdout_groups(groups, seed=1)


def test_parts_hold_every_group_once(rng):
    groups = np.array([str(i) for i in rng.integers(0, 40, 5000)], dtype=object)
    parts = [folds.part_of_groups(groups, part, 3) for part in (1, 2, 3)]
    assert frozenset.union(*parts) == set(groups)
    assert sum(len(part) for part in parts) == 40
    assert all(0.3 < np.isin(groups, list(part)).mean() < 0.37 for part in parts)


@pytest.mark.parametrize("text", ["1", "0/3", "4/3", "1/1", "a/b", "1/2/3"])
def test_a_part_that_is_none_is_refused(text, capsys):
    assert deepcue(["train-faces", "--stills", "s", "--faces", "f", "--clips", "c", "--hold-out", text]) == 2
    assert "--hold-out" in capsys.readouterr().err


def test_a_batch_is_pairs_and_depends_on_its_number_alone(pools):
    some = batches_of(pools, Mix(labels=3, made=2, clips=3))
    pixels, targets = some[7]
    assert pixels.shape == (16, 3, 64, 64)
    assert pixels.dtype == np.uint8
    assert targets.tolist() == [0, 1] * 8
    np.testing.assert_array_equal(some[7][0], pixels)
    assert (some[8][0] != pixels).any()


def test_targets_follow_the_labels(pools, monkeypatch):
    from forge.images.augment import PhotometricAugmentation

    monkeypatch.setattr(batches, "sample_photometric", lambda rng: PhotometricAugmentation())
    monkeypatch.setattr(batches, "P_ALIKE", 0.0)  # colour is these pools' label
    pixels, targets = batches_of(pools, Mix(labels=8, made=0, clips=8))[0]
    red = pixels[:, 0].mean(axis=(1, 2))
    assert ((red > 128) == (targets == 1)).all()


def test_pairs_of_clips_made_alike_keep_no_label_in_their_colour(pools, monkeypatch):
    from forge.images.augment import PhotometricAugmentation

    monkeypatch.setattr(batches, "sample_photometric", lambda rng: PhotometricAugmentation())
    monkeypatch.setattr(batches, "P_ALIKE", 1.0)
    pixels, _ = batches_of(pools, Mix(labels=0, made=0, clips=8))[0]
    red = pixels[:, 0].mean(axis=(1, 2))
    assert np.abs(red[1::2] - red[0::2]).max() < 40  # 245 as they are


def test_what_is_left_out_is_never_drawn(pools, monkeypatch):
    drawn = set()
    face = Pool.face

    def spy(self, row, *, with_landmarks):
        drawn.add((self.source[row], self.group[row]))
        return face(self, row, with_landmarks=with_landmarks)

    monkeypatch.setattr(Pool, "face", spy)
    for coded in (None, pools[2]):
        drawn.clear()
        some = batches_of(pools, Mix(4, 8, 6), coded=coded, out=frozenset({"0", "3"}), left_out=OF_G1)
        for number in range(12):
            some[number]
        assert {group for source, group in drawn if source == "stills"} == {"1", "2", "4"}
        assert {group for source, group in drawn if source in {"real_a", "loopy"}} == {"g0", "g2", "g3"}


def test_half_of_the_clip_pairs_are_of_clips_that_were_sent_on(rng, pools, monkeypatch):
    coded = Pool(index_table(rng, [("c0", False, "g0", "real_a", ""), ("c1", True, "g0", "loopy", "")]))
    asked = []
    face = Pool.face

    def spy(self, row, *, with_landmarks):
        asked.append((self is coded, bool(self.fake[row])))
        return face(self, row, with_landmarks=with_landmarks)

    monkeypatch.setattr(Pool, "face", spy)
    some = batches_of(pools, Mix(labels=0, made=0, clips=8), coded=coded)
    for number in range(12):
        some[number]
    sent_on, fake = np.array(asked).reshape(-1, 2, 2).transpose(2, 0, 1)
    assert (sent_on[:, 0] == sent_on[:, 1]).all()  # both of a pair
    assert (fake == [False, True]).all()
    assert 0.35 < sent_on.mean() < 0.65


@pytest.fixture
def drawn(rng):
    rows = [(f"d{i}", True, str(i % 5), "realesrgan", f"r{i}") for i in range(20)]
    rows += [(f"d{20 + i}", True, f"g{i // 2}", "realesrgan", f"c{i} {3 * i}") for i in range(0, 8, 2)]
    rows += [("d30", True, "p1", "realesrgan", "p1"), *((f"n{i}", True, f"n{i}", "nobody", "") for i in range(4))]
    return Pool(index_table(rng, rows))


def test_a_face_drawn_anew_is_paired_with_the_real_one(pools, drawn, monkeypatch):
    monkeypatch.setattr(batches, "P_GENERATED", 0.0)
    seen = []
    face = Pool.face

    def spy(self, row, *, with_landmarks):
        seen.append(self.original[row].split(" ")[0] if self is drawn else self.key[row])
        return face(self, row, with_landmarks=with_landmarks)

    monkeypatch.setattr(Pool, "face", spy)
    mix = Mix(labels=0, made=0, clips=0, drawn=4)
    some = batches_of(pools, mix, drawn=drawn, out=frozenset({"0", "3"}), left_out=OF_G1)
    for number in range(40):
        pixels, targets = some[number]
        assert targets.tolist() == [0, 1] * 4
        assert (pixels[0::2] != pixels[1::2]).any()
    assert seen[0::2] == seen[1::2]
    assert set(seen) == {f"r{i}" for i in range(20) if i % 5 not in {0, 3}} | {"p1", "c0", "c4", "c6"}


def test_people_who_do_not_exist_are_half_of_the_drawn_pairs(pools, drawn, monkeypatch):
    asked = []
    face = Pool.face

    def spy(self, row, *, with_landmarks):
        if self is drawn:
            asked.append(self.original[row] == "")
        return face(self, row, with_landmarks=with_landmarks)

    monkeypatch.setattr(Pool, "face", spy)
    some = batches_of(pools, Mix(labels=0, made=0, clips=0, drawn=8), drawn=drawn)
    for number in range(12):
        some[number]
    assert len(asked) == 96
    assert 0.35 < np.mean(asked) < 0.65


def test_spread_rows_cover_a_clip(pools):
    rows = batches.spread_rows(pools[2], "c3", 2)
    assert set(pools[2].key[rows]) == {"c3"}
    assert len(rows) == 2
    assert len(batches.spread_rows(pools[2], "c3", 16)) == 3


@pytest.fixture
def data(pools):
    def made(phase, seed):
        return batches_of(pools, phase.mix, seed=seed, size=phase.input_size)

    return SimpleNamespace(
        stills=pools[0], clips=pools[2], batches=made, holdout_rows=lambda: np.arange(40), fold_of={}
    )


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "imagenet_weights", lambda net: net.state_dict())
    return argparse.Namespace(
        out=tmp_path,
        minutes=1.0,
        device="cpu",
        workers=0,
        resume=False,
        seed=0,
        start=None,
        leave_out="methods",
        hold_out=None,
    )


TINY = trainer.Phase("base", 1.0, 1e-3, Mix(labels=1, made=1, clips=0), input_size=64, start="")


def steps(run, numbers):
    some = run.data.batches(run.phase, run.options.seed)
    return [run._learn(*map(torch.from_numpy, some[number]), 1e-3) for number in numbers]


def test_a_killed_run_goes_on_as_if_it_had_not_stopped(data, options):
    run = trainer.Run(TINY, data, options)
    steps(run, range(2))
    run.seconds = 12.0
    run._save()
    options.resume = True
    again = trainer.Run(TINY, data, options)
    assert (again.step, again.seconds) == (2, 12.0)
    for name, value in run.average.state_dict().items():
        torch.testing.assert_close(again.average.state_dict()[name], value)
    losses = []
    for one in (run, again):
        torch.manual_seed(4)  # dropout
        losses.append(steps(one, [2, 3]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_training_learns_what_tells_the_classes(data, options):
    run = trainer.Run(TINY, data, options)
    losses = steps(run, [0] * 12)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.slow
def test_a_phase_ends_in_weights_a_log_and_scores(data, options):
    from features.networks.efficientnet_lite import Detector

    options.minutes = 3 / 60
    run = trainer.Run(TINY, data, options)
    run.go()
    detector = Detector(options.out / "base.safetensors")
    assert detector.metadata.version == "1-base"
    assert detector.metadata.logit_positive == "fake"
    assert not list(options.out.glob("*.checkpoint"))
    assert (options.out / "base.csv").read_text().splitlines()[0] == ",".join(trainer.LOG_COLUMNS)
    measured = run.measured()
    assert measured["stills"]["n"] == 40
    assert measured["clips"]["methods"]["loopy"]["n"] == 4
    json.dumps(measured)


def test_a_network_that_learned_from_clips_goes_halfway_back(data, options):
    from features.networks.efficientnet_lite import LiteNet, read_weights, save_weights

    torch.manual_seed(1)
    save_weights(LiteNet(), options.out / "base.safetensors", trainer.Run(TINY, data, options).metadata)
    options.minutes = 1 / 600
    run = trainer.Run(trainer.Phase("final", 1.0, 1e-3, Mix(labels=0, made=0, clips=1), input_size=64), data, options)
    before = {name: value.clone() for name, value in run.average.state_dict().items()}
    with torch.no_grad():
        run.average.logit.bias += 4.0
    run.budget_s = 0.0
    run.go()
    _, written = read_weights(options.out / "final.safetensors")
    assert float(written["logit.bias"] - before["logit.bias"]) == pytest.approx(2.0, abs=1e-2)
    torch.testing.assert_close(written["stem.1.weight"], before["stem.1.weight"], atol=1e-3, rtol=1e-2)


def test_fine_tuning_without_a_base_says_so(data, options):
    with pytest.raises(ModelError, match=r"base\.safetensors is missing"):
        trainer.Run(schedule.PHASES[1], data, options)


def test_every_phase_goes_on_from_one_before_it_and_sees_as_it_does():
    before = {"": None}
    for phase in schedule.PHASES:
        assert phase.start in before
        if phase.mix.clips:
            assert phase.front == before[phase.start].front
        before[phase.name] = phase
    assert sum(phase.share for phase in schedule.PHASES) == pytest.approx(1)
    left_out = [phase.left_out for phase in schedule.PHASES if phase.name.startswith("residual_")]
    assert left_out == [*range(folds.N_FOLDS), None]


def test_user_errors_end_with_status_2(tmp_path, capsys):
    common = ["--stills", str(tmp_path), "--faces", "none", "--clips", "none", "--out", str(tmp_path / "o")]
    assert deepcue(["train-faces", *common, "--phases", "base,nonsense"]) == 2
    assert deepcue(["train-faces", *common]) == 2
    with pytest.raises(InputError, match="no Parquet file"):
        index.stills(tmp_path)


def test_stills_get_the_central_box(tmp_path):
    rows = dict(video=["a", "b"], label=["REAL", "FAKE"], original=["a", "a"], group=[7, 7], jpeg=[b"1", b"2"])
    pq.write_table(pa.table(rows), tmp_path / "part.parquet")
    table = index.stills(tmp_path)
    assert table["fake"].to_pylist() == [0, 1]
    assert table["group"].to_pylist() == ["7", "7"]
    left, top, right, bottom = table["box"][0].as_py()
    assert left + right == top + bottom == 224
    assert (right - left) / 224 == pytest.approx(index.STILL_SHARE)


def test_scores_of_known_logits():
    fake = np.array([True, True, False, False])
    assert scores.binary_scores(np.array([2.0, 1.0, -1.0, -2.0]), fake)[0] == 1
    assert scores.log_loss(np.zeros(4), fake) == pytest.approx(np.log(2))
    factor, loss = scores.best_scale(np.array([3.0, -3.0, -3.0, 3.0]), fake)
    assert factor == pytest.approx(0, abs=1e-3)  # logits that say nothing are scaled away
    assert loss == pytest.approx(np.log(2), abs=1e-4)


def test_summary_pairs_within_groups():
    logits = np.array([1.0, -1.0, 0.5, 2.0, 9.0])
    fake = np.array([True, False, True, False, True])
    source = np.array(["m", "real", "n", "real", "n"], dtype=object)
    group = np.array(["a", "a", "b", "b", "c"], dtype=object)
    found = scores.summary(logits, fake, source, group)
    assert found["paired"] == [1.0, 2]
    assert {name: (one["n"], one["auc"][0]) for name, one in found["methods"].items()} == {
        "m": (1, 0.5),
        "n": (2, 0.75),
    }
    assert found["methods"]["m"]["own"][0] == 1.0  # against the REAL of its group alone
    assert found["methods"]["n"]["own"][0] == 0.5  # group c has no REAL: its fake is above, the other below
    assert found["median"]["real"] == 0.5


@pytest.fixture
def fold_weights(tmp_path):
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    for name, logit in {"fold0": 1.5, "fold1": -2.5, "residual_fold0": 0.5, "residual_fold1": -0.5}.items():
        net = LiteNet()
        torch.nn.init.zeros_(net.logit.weight)
        torch.nn.init.constant_(net.logit.bias, logit)
        save_weights(net, tmp_path / f"{name}.safetensors", WeightsMetadata())
    return tmp_path


def feature_table():
    from features import spec, table

    family = spec.families(["forensic_cnn", "forensic_residual"])
    schema = table.schema(family, extractor="test")
    names = ["a/x.mp4", "b.mp4", "c.mp4", "d.mp4"]
    base = dict(
        filename=names, label=["REAL", "FAKE", "FAKE", "REAL"], group=list("pqrs"), source=list("1122"),
        status=["ok"] * 4, error=[""] * 4, duration_s=[1.0] * 4, n_frames=[25] * 4, n_faces=[1] * 4,
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


def test_out_of_fold_columns_come_from_the_network_of_the_fold(rng, fold_weights, tmp_path):
    from features import observation

    (tmp_path / "a").mkdir()
    for name in ("a/x.mp4", "b.mp4"):
        observation.save(small_observation(rng), str(tmp_path / f"{name}.npz"))
    fold_of = {"a/x.mp4": 0, "b.mp4": 1, "c.mp4": 0}
    found = oof_columns.out_of_fold(feature_table(), tmp_path, fold_of, fold_weights, list(oof_columns.FOLD_FILES))
    logits = found["forensic_cnn.logit_mean"].to_numpy()
    assert logits[:2] == pytest.approx([1.5, -2.5], abs=1e-3)
    assert np.isnan(logits[2])  # no observation: rather nothing than a network that saw the clip
    assert logits[3] == 7  # in no fold: kept
    assert found["forensic_residual.logit_mean"].to_numpy()[:2] == pytest.approx([0.5, -0.5], abs=1e-3)
    alone = oof_columns.out_of_fold(feature_table(), tmp_path, fold_of, fold_weights, ["forensic_cnn"])
    assert (alone["forensic_residual.logit_mean"].to_numpy() == 7).all()
    assert found.schema.equals(feature_table().schema, check_metadata=True)
    place = folds.FoldAssignment
    assert oof_columns.scores(found, {"a/x.mp4": place(0), "b.mp4": place(1)}, "forensic_cnn")["all"]["auc"] == 0
    learned_as = {"a/x.mp4": place(0, fake=True), "b.mp4": place(1, fake=False)}  # whatever their labels are
    assert oof_columns.scores(found, learned_as, "forensic_cnn")["all"]["auc"] == 1


def test_tables_of_several_runs_are_stacked_and_keep_a_clip_in_one_group():
    one = feature_table()
    both = oof_columns.stacked([one, one])
    names = one["filename"].to_pylist()
    assert both["filename"].to_pylist() == [f"0/{name}" for name in names] + [f"1/{name}" for name in names]
    groups = both["group"].to_pylist()
    assert groups[: len(names)] == groups[len(names) :]
    assert all(groups)
    assert both.schema.equals(one.schema, check_metadata=True)


def test_as_many_weights_as_folds_are_asked_for(tmp_path, capsys):
    places = ["--table", "t", "--observations", "o", "--folds", "f", "g", "--weights", "w", "--out", "x"]
    assert deepcue(["oof", *places]) == 2
    places = ["--table", *"tuv", "--observations", "o", "--folds", *"fg", "--weights", *"wx", "--out", "x"]
    assert deepcue(["oof", *places]) == 2


def test_a_table_for_each_run_gives_its_own_rows(rng, fold_weights, tmp_path):
    from features import observation, table

    observation.save(small_observation(rng), str(tmp_path / "b.mp4.npz"))
    (tmp_path / "folds.csv").write_text("filename,fold\nb.mp4,1\n")
    one = feature_table()
    place = one.column_names.index("duration_s")
    other = one.set_column(place, one.schema.field(place), pa.array([2.0] * 4, one.schema.field(place).type))
    table.write_table(one, tmp_path / "one.parquet")
    table.write_table(other, tmp_path / "other.parquet")
    command = [
        "oof", "--table", *(str(tmp_path / f"{name}.parquet") for name in ("one", "other")),
        "--observations", str(tmp_path), "--folds", *[str(tmp_path / "folds.csv")] * 2,
        "--weights", *[str(fold_weights)] * 2, "--out", str(tmp_path / "both.parquet"),
    ]  # fmt: skip
    assert deepcue(command) == 0
    both = table.read_table(tmp_path / "both.parquet")
    assert both["duration_s"].to_pylist() == [1.0] * 4 + [2.0] * 4
    assert both["forensic_cnn.logit_mean"].to_numpy()[[1, 5]] == pytest.approx([-2.5, -2.5], abs=1e-3)


def test_missing_fold_weights_and_folds_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"fold5\.safetensors"):
        oof_columns.out_of_fold(feature_table(), tmp_path, {"b.mp4": 5}, tmp_path, ["forensic_cnn"])
    (tmp_path / "fold5.safetensors").touch()
    with pytest.raises(ModelError, match=r"residual_fold5\.safetensors"):
        oof_columns.out_of_fold(feature_table(), tmp_path, {"b.mp4": 5}, tmp_path, list(oof_columns.FOLD_FILES))
    with pytest.raises(DatasetError, match=r"clip_folds"):
        folds.read(tmp_path / "folds.csv")


def test_scores_command_uses_the_network_that_left_the_clip_out(rng, fold_weights, pools, capsys):
    rows = [(f"c{i}", i % 2 == 1, f"g{i}", ["real_a", "loopy"][i % 2], "") for i in range(4)]
    for name in ("clips", "coded"):
        index.cached(fold_weights / "cache" / f"{name}.parquet", iter(index_table(rng, rows).to_pylist()))
    (fold_weights / "clip_folds.csv").write_text("filename,fold\nc0,0\nc1,1\nc2,0\nc3,1\n")
    assert deepcue(["face-scores", "--out", str(fold_weights), "--frames", "1"]) == 0
    found = json.loads((fold_weights / "scores.json").read_text())
    assert list(found) == ["as it is", "half size, CRF 32", "sent on"]
    assert found["as it is"]["logit"] == {"c0": 1.5, "c1": -2.5, "c2": 1.5, "c3": -2.5}
    assert found["as it is"]["all"]["auc"] == 0
    assert "4 clips: AUC 0.000" in capsys.readouterr().out


def test_averaged_weights_lie_between_those_of_the_runs(tmp_path):
    import torch

    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, read_weights, save_weights

    files = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for seed, file in enumerate(files):
        torch.manual_seed(seed)
        save_weights(LiteNet(), file, WeightsMetadata(version=f"1-{seed}"))
    out = tmp_path / "mean.safetensors"
    assert deepcue(["average", *map(str, files), "--out", str(out)]) == 0
    first, second, mean = (read_weights(file)[1]["logit.weight"] for file in (*files, out))
    torch.testing.assert_close(mean, (first + second) / 2, atol=1e-3, rtol=1e-3)
    assert deepcue(["average", str(files[0]), str(tmp_path / "none.safetensors"), "--out", str(out)]) == 2
