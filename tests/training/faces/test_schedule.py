"""The phases, who is held out of each, and runs from files to weights."""

import functools
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage.data import astronaut

from deepcue.cli.main import main as deepcue
from features.errors import DatasetError, InputError, ModelError
from training import folds
from training.faces import found_faces, run_folder, schedule, trainer
from training.faces.batches import Mix
from training.faces.data import FaceData, FaceTraining
from training.faces.pools import Pool

torch = pytest.importorskip("torch")

GROUPS = range(40)


portrait = functools.cache(astronaut)


@functools.cache
def jpeg(shade):
    buffer = io.BytesIO()
    Image.fromarray(np.roll(portrait()[20:244, 110:334], shade, axis=1)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture
def settings(tmp_path, monkeypatch, index_table):
    """Forty groups of stills, two faces, and nine clips of three groups and methods whose faces are random."""
    (tmp_path / "stills").mkdir()
    names = [(f"{kind}{group}", label, group) for group in GROUPS for kind, label in (("r", "REAL"), ("f", "FAKE"))]
    rows = {"video": [name for name, _, _ in names], "label": [label for _, label, _ in names]}
    rows |= {"original": [f"r{group}" for *_, group in names], "group": [group for *_, group in names]}
    pq.write_table(pa.table(rows | {"jpeg": [jpeg(group) for *_, group in names]}), tmp_path / "stills" / "a.parquet")
    faces = {"name": ["x", "y"], "person": ["x", "y"], "set": ["lfw", "ffhq"], "jpeg": [jpeg(1), jpeg(2)]}
    pq.write_table(pa.table(faces), tmp_path / "faces.parquet")
    lines = ["filename,label,group,method,fake_part"]
    lines += [f"real{i}.mp4,REAL,g{i % 3},real_a," for i in range(6)]
    lines += [f"fake{i}.mp4,fake,g{i},method{i},picture" for i in range(3)]
    (tmp_path / "clips.csv").write_text("\n".join(lines))

    def faces_of_clips(clips):
        found = [(c.filename, c.label == "FAKE", c.group, c.method, "") for c, _ in clips for _ in range(2)]
        yield from index_table(found).to_pylist()

    monkeypatch.setattr(found_faces, "faces_of_clips", faces_of_clips)
    monkeypatch.setattr("training.faces.recompressed._copies", lambda clips, file, seed: ((c, "") for c in clips))
    monkeypatch.setattr(trainer, "imagenet_weights", lambda net: net.state_dict())
    return FaceTraining(
        stills=tmp_path / "stills", faces=tmp_path / "faces.parquet", clips=tmp_path / "clips.csv", out=tmp_path / "out"
    )


@pytest.fixture
def asked(monkeypatch):
    """(key, group) of each face that batches ask for."""
    found = set()
    face = Pool.face

    def spy(self, row, *, with_landmarks):
        found.add((self.key[row], self.group[row]))
        return face(self, row, with_landmarks=with_landmarks)

    monkeypatch.setattr(Pool, "face", spy)
    return found


@pytest.fixture
def with_crops(settings, tmp_path):
    """The same with crops: a clip of each label, two single images; the FAKE clip shares a group with the clips."""
    keys = ["video a", "video a", "video b", "video b", "image a", "image b"]
    columns = dict(
        key=keys,
        frame=[0, 1] * 3,
        label=["FAKE", "FAKE", "REAL", "REAL", "FAKE", "REAL"],
        method=["emo", "emo", "", "", "gan", ""],
        source=["page"] * 6,
        group=["g0", "g0", "h", "h", "i", "j"],
        original=[""] * 6,
        box=[[40.0, 40.0, 180.0, 180.0]] * 6,
        recut=[False] * 6,
        image=[jpeg(number) for number in range(6)],
    )
    (tmp_path / "crops").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "crops" / "clips.parquet")
    return replace(settings, crops=tmp_path / "crops")


def test_crops_are_labelled_beside_the_clips_and_real_images_are_faces_too(settings, with_crops):
    data = FaceData(with_crops)
    added = set(data.labelled.key) - set(data.clips.key)
    assert added == {"video a", "video b", "image a", "image b"}
    assert set(data.real_faces.key) == {"x", "y", "image b"}  # no frame of a clip, no fake
    assert data.fold_of.keys() == set(data.labelled.key)
    assert data.identity != FaceData(settings).identity
    assert FaceData(settings).labelled.key.tolist() == data.clips.key.tolist()


def test_a_groups_crops_are_held_out_with_its_clips(with_crops, asked):
    data = FaceData(with_crops)
    fold = data.fold_of["fake0.mp4"]  # of the group g0
    some = data.batches(Mix(stills=0, pseudo_fakes=2, clips=4), left_out=fold, size=64)
    for number in range(20):
        some[number]
    groups = {group for _, group in asked}
    assert "g0" not in groups
    assert groups & {"h", "i", "j"}


def test_phases_that_all_folds_go_on_from_see_no_labelled_crop(with_crops, asked):
    """Non-regression test: REAL images of every fold were among their faces."""
    data = FaceData(with_crops)
    some = data.batches(Mix(stills=0, pseudo_fakes=4, clips=0), left_out=None, size=64)
    for number in range(20):
        some[number]
    seen = {key for key, _ in asked}
    assert {"x", "y"} <= seen
    assert not seen & data.fold_of.keys()


def test_runs_of_two_seeds_share_what_takes_an_hour_to_make(settings, monkeypatch):
    """So that their networks differ in what was drawn, and can be compared and averaged."""
    one, two = FaceData(settings), FaceData(replace(settings, seed=1))
    copies = one.transcoded.key.tolist()
    monkeypatch.setattr("training.faces.recompressed.transcode", lambda *_: pytest.fail("made again"))
    assert two.transcoded.key.tolist() == copies
    assert one.holdout_groups == two.holdout_groups
    assert one.fold_of == two.fold_of


def tiny(phases):
    """The phases as they are, but small and without generated faces."""
    return tuple(
        replace(phase, input_size=64, mix=Mix(stills=1, pseudo_fakes=1, clips=min(phase.mix.clips, 1)))
        for phase in phases
    )


@pytest.mark.parametrize("left_out", [0, 1, 2, None])
def test_batches_hold_neither_the_fold_that_is_left_out_nor_the_stills_that_are_held_out(settings, asked, left_out):
    data = FaceData(settings)
    assert sorted(set(data.fold_of.values())) == [0, 1, 2]
    some = data.batches(Mix(stills=2, pseudo_fakes=2, clips=2), left_out=left_out, size=64)
    for number in range(40):
        some[number]
    seen = {key for key, _ in asked}
    out = {name for name, fold in data.fold_of.items() if fold == left_out}
    assert not seen & out
    assert {name for name in data.fold_of if name not in out} <= seen
    held_out = {data.stills.key[row] for row in data.holdout_rows()}
    assert held_out
    assert not seen & held_out
    assert {data.stills.group[row] for row in data.holdout_rows()} == data.holdout_groups


def test_people_of_the_clips_are_held_out_of_the_real_faces_too(settings, asked):
    """Non-regression test: the network of a fold was trained on REAL faces of the people whom it was scored on."""
    before = FaceData(settings).identity
    faces = pq.read_table(settings.faces)
    pq.write_table(faces.set_column(1, "person", pa.array(["g0", "y"])), settings.faces)
    data = FaceData(settings)
    assert data.identity != before
    fold = data.fold_of["fake0.mp4"]  # of the group g0
    for clips, left_out, seen in ((0, None, {"y"}), (1, fold, {"y"}), (1, None, {"x", "y"})):
        asked.clear()
        some = data.batches(Mix(stills=0, pseudo_fakes=4, clips=clips), left_out=left_out, size=32)
        for number in range(6):
            some[number]
        assert {key for key, _ in asked} & {"x", "y"} == seen


def test_a_crop_that_has_the_name_of_a_clip_is_refused(with_crops):
    """Non-regression test: the two were one clip, with the label of one of them."""
    crops = pq.read_table(with_crops.crops / "clips.parquet")
    keys = ["real0.mp4", "real0.mp4", *crops["key"].to_pylist()[2:]]
    pq.write_table(crops.set_column(0, "key", pa.array(keys)), with_crops.crops / "clips.parquet")
    with pytest.raises(DatasetError, match=r"'real0\.mp4' is also a clip of .*clips\.csv"):
        FaceData(with_crops)


def test_what_cannot_be_trained_is_refused_before_faces_are_cut(settings, monkeypatch):
    """Non-regression test: it ended in a traceback, after the faces were cut."""
    monkeypatch.setattr(found_faces, "faces_rows", lambda *_: pytest.fail("cut"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="finds no GPU"):
        replace(settings, device="cuda")
    with pytest.raises(DatasetError, match="the stills have only 40 groups"):
        FaceData(replace(settings, hold_out=(1, 41)))


def test_folds_of_the_stills_are_held_out_in_turn(settings):
    parts = [FaceData(replace(settings, hold_out=(fold, 4))).holdout_groups for fold in (1, 2, 3, 4)]
    assert frozenset.union(*parts) == {str(group) for group in GROUPS}
    assert sum(map(len, parts)) == len(GROUPS)


def test_the_identity_tells_data_and_settings_but_not_the_processes(settings):
    before = FaceData(settings).identity
    assert FaceData(replace(settings, workers=3, resume=True)).identity == before
    assert FaceData(replace(settings, seed=1)).identity != before
    assert FaceData(replace(settings, leave_out="people")).identity != before
    settings.clips.write_text(settings.clips.read_text().replace("method0", "method9"))
    assert FaceData(settings).identity != before


def test_faces_are_read_again_when_a_label_changes(settings):
    before = FaceData(settings).clips
    settings.clips.write_text(settings.clips.read_text().replace("real0.mp4,REAL", "real0.mp4,FAKE"))
    settings.clips.write_text(settings.clips.read_text().replace("real_a,\n", "real_a,picture\n", 1))
    after = FaceData(settings).clips
    assert not before.fake[before.key == "real0.mp4"].any()
    assert after.fake[after.key == "real0.mp4"].all()


def test_every_phase_goes_on_from_one_before_it_and_sees_as_it_does():
    before = {"": None}
    for phase in schedule.PHASES:
        assert phase.start in before
        if phase.mix.clips:
            assert phase.input_representation == before[phase.start].input_representation
        before[phase.name] = phase
    assert sum(phase.share for phase in schedule.PHASES) == pytest.approx(1)
    left_out = [phase.left_out for phase in schedule.PHASES if phase.name.startswith("residual_")]
    assert left_out == [*range(folds.N_FOLDS), None]


def arguments(settings, *more):
    places = ("stills", "faces", "clips", "out")
    return ["train-faces", *(word for name in places for word in (f"--{name}", str(getattr(settings, name)))), *more]


def test_the_command_trains_phases_of_so_many_steps(settings, monkeypatch, capsys):
    monkeypatch.setattr(schedule, "PHASES", tiny(schedule.PHASES))
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    assert deepcue(arguments(settings, "--phases", "base,fold1", "--steps", "2")) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["phase"], one["steps"]) for one in results] == [("base", 2), ("fold1", 2)]
    assignments = folds.read(settings.out / "clip_folds.csv")
    scores = json.loads((settings.out / "fold1.scores.json").read_text())
    assert scores["clips"]["logit"].keys() == {name for name, place in assignments.items() if place.fold == 1}
    assert results[1]["clips"] == scores["clips"]["all"]
    assert all(place.fake == name.startswith("fake") for name, place in assignments.items())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), random)


def test_minutes_become_steps_that_are_said_and_kept(settings, monkeypatch, caplog):
    monkeypatch.setattr(schedule, "PHASES", tiny(schedule.PHASES))
    monkeypatch.setattr(schedule, "seconds_per_step", lambda phase, data, settings: 2.0)
    monkeypatch.setattr(trainer.Trainer, "run", lambda self, progress: self.save())
    monkeypatch.setattr(trainer.Trainer, "load", lambda self: None)
    monkeypatch.setattr(trainer.Trainer, "scores", lambda self: {})
    caplog.set_level("INFO")
    (found,) = schedule.train(settings, phases=["base"], minutes=1.0)
    assert found == {"phase": "base", "steps": 7}  # 22 % of 60 s
    assert "7 steps fit" in caplog.text
    monkeypatch.setattr(schedule, "seconds_per_step", lambda phase, data, settings: 0.1)
    (found,) = schedule.train(replace(settings, resume=True), phases=["base"], minutes=1.0)
    assert found["steps"] == 7


def test_a_folder_is_of_one_training(settings, monkeypatch, capsys):
    """Folds of other clips beside networks that were trained before would call clips unseen that were seen."""
    monkeypatch.setattr(schedule, "PHASES", tiny(schedule.PHASES))
    command = arguments(settings, "--phases", "base", "--steps", "1")
    assert deepcue(command) == 0
    before = (settings.out / "clip_folds.csv").read_text()
    settings.clips.write_text(settings.clips.read_text().replace("fake0.mp4,fake,g0", "fake0.mp4,fake,g1"))
    assert deepcue(command) == 2
    assert "holds a training on other data" in capsys.readouterr().err
    assert (settings.out / "clip_folds.csv").read_text() == before
    assert deepcue([*command, "--fresh"]) == 0


@pytest.fixture(scope="module")
def base_of_one_step(tmp_path_factory):
    """Where the first test that needs one leaves a folder with a base of one step for the others, which copy it."""
    return tmp_path_factory.mktemp("base") / "out"


@pytest.fixture
def trained(settings, monkeypatch, base_of_one_step):
    """Settings of a run that goes on in a folder with a base of one step."""
    monkeypatch.setattr(schedule, "PHASES", tiny(schedule.PHASES))
    if not base_of_one_step.exists():
        list(schedule.train(settings, phases=["base"], steps=1))
        shutil.copytree(settings.out, base_of_one_step)
    else:
        shutil.copytree(base_of_one_step, settings.out)
    return replace(settings, resume=True)


def test_phases_that_are_done_are_not_trained_again(trained):
    assert not list(schedule.train(trained, phases=["base"], steps=1))
    assert not list(schedule.train(trained, phases=["base"]))  # of as many steps as fit into some minutes


@pytest.mark.parametrize("scores", [None, '{"phase": '])
def test_a_phase_that_was_stopped_while_it_was_scored_is_scored(trained, monkeypatch, scores):
    """Non-regression test: its weights were there, and it was never scored."""
    file = trained.out / "base.scores.json"
    before, weights = json.loads(file.read_text()), (trained.out / "base.safetensors").read_bytes()
    file.unlink()
    if scores:
        file.write_text(scores)
    monkeypatch.setattr(trainer.Trainer, "run", lambda self: pytest.fail("trained again"))
    (found,) = schedule.train(trained, phases=["base"], steps=1)
    assert found == before == json.loads(file.read_text())
    assert (trained.out / "base.safetensors").read_bytes() == weights


@pytest.mark.parametrize("content", [b"", b"done"])
def test_weights_that_are_damaged_are_trained_again(trained, caplog, content):
    file = trained.out / "base.safetensors"
    weights = file.read_bytes()
    file.write_bytes(content)
    (found,) = schedule.train(trained, phases=["base"], steps=1)
    assert found["steps"] == 1
    assert file.read_bytes() == weights
    assert "the phase is trained again" in caplog.text


def test_weights_of_other_steps_are_not_taken_for_done(trained):
    with pytest.raises(InputError, match="has 1 steps, not 2; give --steps 1"):
        list(schedule.train(trained, phases=["base"], steps=2))
    (found,) = schedule.train(replace(trained, resume=False), phases=["base"], steps=2)
    assert found["steps"] == 2


def test_weights_that_went_on_from_others_are_not_taken_for_done(trained, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes((trained.out / "base.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"started from weights other than .*other\.safetensors"):
        list(schedule.train(replace(trained, start=other), phases=["base"], steps=1))


def test_weights_that_nothing_tells_of_are_not_taken_for_done(trained):
    (trained.out / "fold0.safetensors").write_bytes((trained.out / "base.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"run\.json beside it does not say how it was trained"):
        list(schedule.train(trained, phases=["fold0"], steps=1))


def test_starting_a_phase_again_keeps_what_is_known_of_the_others(trained):
    list(schedule.train(replace(trained, resume=False), phases=["fold0"], steps=1))
    assert not list(schedule.train(trained, phases=["base", "fold0"], steps=1))


def test_a_phase_that_starts_from_weights_of_another_training_is_warned_of(tmp_path, caplog):
    """They may have seen the people that this one holds out; `--fresh` with some phases took them silently."""
    phases = [phase for phase in schedule.PHASES if phase.name in ("base", "fold0")]
    settings = FaceTraining(stills=tmp_path, faces=tmp_path, clips=tmp_path, out=tmp_path, resume=False)
    run_folder.claim(settings, "new", phases)
    assert not caplog.text
    run_folder.claim(settings, "other people", phases[1:])
    assert "does not say on which data and people base was trained" in caplog.text


def test_a_damaged_record_of_the_run_is_told_in_a_sentence(trained, capsys):
    (trained.out / "run.json").write_text('{"identity": "0')
    assert deepcue(arguments(trained, "--phases", "base", "--steps", "1")) == 2
    assert "does not say which training the folder belongs to" in capsys.readouterr().err
    assert deepcue(arguments(trained, "--phases", "base", "--steps", "1", "--fresh")) == 0


@pytest.mark.parametrize(
    ("old", "new", "said"), [("fake,", "REAL,", "no forged face"), ("REAL,", "fake,", "is empty for")]
)
def test_clips_of_one_class_are_refused_before_anything_is_trained(settings, monkeypatch, old, new, said):
    monkeypatch.setattr(schedule, "PHASES", tiny(schedule.PHASES))
    settings.clips.write_text(settings.clips.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=said):
        next(schedule.train(settings, phases=["base", "final"], steps=1))
    assert not settings.out.exists() or not list(settings.out.glob("*.safetensors"))


def test_networks_that_generate_faces_are_missed_before_anything_is_read(settings, monkeypatch):
    """Non-regression test: it was said after all clips were read and transcoded."""

    def missing():
        raise ModelError("the package x is missing")

    monkeypatch.setattr("training.faces.generated.check_installed", missing)
    with pytest.raises(ModelError, match="x is missing"):
        next(schedule.train(settings, phases=["base"], steps=1))
    assert not list(settings.out.glob("cache/clips*"))


@pytest.mark.parametrize("text", ["1", "0/3", "4/3", "1/1", "a/b", "1/2/3"])
def test_a_fold_that_is_none_is_refused(settings, text, capsys):
    assert deepcue(arguments(settings, "--hold-out", text)) == 2
    assert "--hold-out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--phases", "base,nonsense"], "no phase is called 'nonsense'"),
        (["--steps", "0"], "--steps"),
        (["--minutes", "nan"], "--minutes"),
        (["--steps", "3", "--minutes", "3"], "not allowed with"),
        (["--stills", "nowhere"], "no Parquet file of stills"),
        (["--faces", "nowhere.parquet"], "nowhere.parquet can't be read"),
        (["--clips", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_user_errors_end_with_status_2(settings, options, said, capsys):
    assert deepcue(arguments(settings, *options)) == 2
    assert said in capsys.readouterr().err


def test_leaving_out_something_else_is_refused(settings):
    with pytest.raises(InputError, match="methods or people"):
        replace(settings, leave_out="nothing")
