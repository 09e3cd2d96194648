"""Training of the speech detector: equal weights, the linear part, one run from recordings to weights, and faults."""

import csv
import dataclasses
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from deepcue.cli.main import main as deepcue
from features import discovery, spec
from features.errors import DatasetError, InputError
from features.networks.speech_encoder import STATISTICS
from features.networks.speech_model import INPUTS, SpeechInputs, VoiceModel
from training import folds
from training.voice import data, fit
from training.voice.data import Voice, VoiceSamples
from training.voice.encoder import read_encoder
from training.voice.fit import VoiceRecipe
from training.voice.splits import Fold

INPUTS_OF_ALL = SpeechInputs(np.ones(len(INPUTS)), np.ones((64, 40), np.float32), np.ones(len(STATISTICS), np.float32))


def recording(seconds=1.0):
    return np.random.default_rng(0).standard_normal(int(16_000 * seconds)).astype(np.float32)


@pytest.fixture
def voices():
    """Nine people; every second one is synthesised, too: from lips by two methods and from text by one."""
    found = [Voice(f"real{number}", "", f"p{number}", recording()) for number in range(9)]
    for number in (0, 2, 4, 6):
        found += [Voice(f"{name}{number}", name, f"p{number}", recording()) for name in ("lips_a", "lips_b", "text_a")]
    return found


@pytest.fixture
def few_versions(monkeypatch):
    monkeypatch.setattr(data, "N_VERSIONS", 1)


def test_classes_systems_and_groups_weigh_alike():
    keys = [("", "p0")] * 6 + [("", "p1")] * 2 + [("a", "p0")] * 3 + [("b", "p0")] + [("b", "p1")]
    weight = fit.row_weights(keys)
    assert weight.mean() == pytest.approx(1)
    of = np.array(keys)
    assert weight[of[:, 0] == ""].sum() == pytest.approx(weight[of[:, 0] != ""].sum())
    assert weight[of[:, 0] == "a"].sum() == pytest.approx(weight[of[:, 0] == "b"].sum())
    assert weight[:6].sum() == pytest.approx(weight[6:8].sum())


def test_the_linear_model_finds_the_input_that_differs_and_ignores_gaps():
    rng = np.random.default_rng(1)
    synthetic = np.arange(400) % 2 == 1
    x = rng.standard_normal((400, len(INPUTS)))
    x[:, 3] = 50 + 8 * synthetic + x[:, 3]
    x[::7, 5] = np.nan
    model = fit.fit_linear(x, synthetic, np.ones(400))
    assert np.argmax(np.abs(model.weight)) == 3
    logits = np.array([model.logit(row) for row in x])
    assert logits[synthetic].min() > logits[~synthetic].max()


def test_missing_inputs_count_as_the_mean_in_the_scale():
    x, weight = np.array([[1.0, 0.0], [3.0, 4.0], [np.nan, 2.0]]), np.array([1.0, 1.0, 2.0])
    mean, scale = fit.standardisation(x, weight)
    np.testing.assert_allclose(mean, [2.0, 2.0])
    np.testing.assert_allclose(scale, [np.sqrt(0.5), np.sqrt(2.0)], rtol=1e-8)
    standardised = np.where(np.isfinite(x), x - mean, 0) / scale
    np.testing.assert_allclose(np.average(standardised**2, axis=0, weights=weight), 1, rtol=1e-8)


def test_a_version_does_not_stand_in_for_an_original_without_speech(voices, monkeypatch):
    silent = np.zeros(16_000, np.float32)
    monkeypatch.setattr(data, "speech_inputs", lambda audio, encoder: None if audio is silent else INPUTS_OF_ALL)
    heard = [*voices[:2], Voice("silent", "", "p9", silent)]
    samples = data.measured(heard, np.array([0, 1, 0]), read_encoder(), jobs=1, seed=0)
    n = data.N_VERSIONS
    assert np.bincount(samples.voice).tolist() == [n + 1, n + 1, n]
    assert np.bincount(samples.voice[samples.is_original], minlength=3).tolist() == [1, 1, 0]


def test_who_speaks_behind_a_voice_is_judged_in_the_same_fold():
    """Non-regression test: a fold was trained on voices with people behind them whom it judged."""
    voices = [Voice(f"v{n}", "m" if n % 3 == 0 else "", f"p{n}", np.full(9, n, np.float32)) for n in range(30)]
    part = np.arange(30) // 10
    for seed in range(20):
        behind = data._behind(voices, part, np.random.default_rng(seed))
        heard = np.array([audio[0] for audio in behind], int)
        assert (part[heard] == part).all()
        assert all(not voices[number].synthetic for number in heard)
    assert data._behind(voices[:1], part[:1], np.random.default_rng(0))[0] is voices[0].audio


def test_who_is_judged_in_two_folds_speaks_behind_nobody():
    """One person, whose synthetic speech is on two pages."""
    one = [Voice(f"p{n}", "m" if n else "", "p", np.full(9, -1, np.float32)) for n in range(3)]
    others = [Voice(f"v{n}", "", f"v{n}", np.full(9, n, np.float32)) for n in range(4)]
    part = np.array([0, 0, 1, 0, 0, 1, 1])
    for seed in range(20):
        assert all(audio[0] >= 0 for audio in data._behind([*one, *others], part, np.random.default_rng(seed)))


def test_an_input_that_hardly_varies_is_not_blown_up():
    rng = np.random.default_rng(0)
    synthetic = np.arange(200) % 2 == 1
    x = np.stack([1e-6 * synthetic, synthetic + 0.5 * rng.standard_normal(200)], axis=1)
    model = fit.fit_linear(x, synthetic, np.ones(200), least_scale=1e-3)
    assert model.scale[0] == 1e-3
    assert model.logit(x[0] + [1e-5, 0]) == pytest.approx(model.logit(x[0]), abs=0.01)


def test_two_utterances_of_one_name_are_refused(tmp_path, monkeypatch):
    """Non-regression test: the second took the place of the first in logits.json."""
    monkeypatch.setattr(fit, "voices_of", lambda clips, progress: [Voice("a", "", "g", recording())])
    monkeypatch.setattr(fit, "voices_of_table", lambda file: [Voice("a", "m", "h", recording())])
    with pytest.raises(DatasetError, match=r"m.csv, v.parquet: 2 utterances are named a"):
        fit.train("m.csv", tmp_path, VoiceRecipe(), voices=["v.parquet"])


class Judge:
    """A model whose logits say who judged."""

    def __init__(self, value):
        self.value = value

    def parts(self, inputs):
        return {"linear": self.value, "network": inputs.x[0], "encoded": inputs.encoded[0]}


def test_each_voice_gets_the_logit_of_its_own_fold_by_its_original():
    x = np.array([[1.0], [9.0], [2.0], [9.0], [3.0]])
    voice, is_original = np.array([0, 0, 1, 1, 2]), np.array([True, False, True, False, False])
    samples = VoiceSamples(x, [np.zeros((64, 40), np.float16)] * 5, 4 * x.astype(np.float32), voice, is_original)
    first = np.array([True, False, True])
    logits = fit.fold_logits(samples, [Fold("a", ~first, first), Fold("b", first, ~first)], [Judge(10.0), Judge(20.0)])
    np.testing.assert_array_equal(logits["linear"], [10, 20, np.nan])
    np.testing.assert_array_equal(logits["network"], [1, 2, np.nan])
    np.testing.assert_array_equal(logits["encoded"], [4, 8, np.nan])
    np.testing.assert_array_equal(logits["detector"], [5, 10, np.nan])


def test_what_was_measured_is_kept_for_the_same_voices_and_seed(voices, tmp_path, monkeypatch, few_versions):
    calls = []
    monkeypatch.setattr(data, "speech_inputs", lambda audio, encoder: calls.append(audio) or INPUTS_OF_ALL)
    file, encoder, part = tmp_path / "samples.npz", read_encoder(), np.zeros(3, int)

    def kept(part=part, seed=0):
        return data.cached(file, voices[:3], part, encoder, jobs=1, seed=seed)

    one = kept()
    n = len(calls)
    again = kept()
    assert len(calls) == n == 6
    np.testing.assert_array_equal(one.x, again.x)
    np.testing.assert_array_equal(one.encoded, again.encoded)
    assert [mel.shape for mel in again.mel] == [(64, 40)] * 6
    kept(seed=1)
    kept(np.array([0, 0, 1]), seed=1)
    file.write_bytes(b"damaged")
    kept(np.array([0, 0, 1]), seed=1)
    assert len(calls) == 4 * n


@pytest.mark.parametrize("changed", ["data", "voice", "forensic_voice"])
def test_what_another_version_measured_is_measured_again(voices, tmp_path, monkeypatch, few_versions, changed):
    """Non-regression test: a training with other rooms or other cues went on with the numbers of the old ones."""
    calls = []
    monkeypatch.setattr(data, "speech_inputs", lambda audio, encoder: calls.append(audio) or INPUTS_OF_ALL)
    file, encoder, part = tmp_path / "samples.npz", read_encoder(), np.zeros(3, int)
    data.cached(file, voices[:3], part, encoder, jobs=1, seed=0)
    n = len(calls)
    if changed == "data":
        monkeypatch.setattr(data, "VERSION", data.VERSION + 1)
    else:
        (one,) = discovery.families([changed])
        monkeypatch.setitem(spec.registry, changed, dataclasses.replace(one, version=one.version + 1))
    data.cached(file, voices[:3], part, encoder, jobs=1, seed=0)
    assert len(calls) == 2 * n > 0


@pytest.fixture
def folder(tmp_path):
    """White and brown noise; the video-only fake, the silent clip and the broken file are no voices."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(6):
        white = rng.standard_normal(24_000)
        for label, wave in (("REAL", white), ("FAKE", np.cumsum(white) * 0.1)):
            soundfile.write(tmp_path / f"{label}{number}.wav", 0.1 * np.clip(wave, -9, 9), 16_000)
            part, method = ("voice", f"m{number % 2}") if label == "FAKE" else ("", "real_x")
            rows.append((f"{label}{number}.wav", label, f"p{number}", method, part))
    soundfile.write(tmp_path / "silent.wav", np.zeros(24_000), 16_000)
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    rows += [(name, "REAL", name, "real_x", "") for name in ("silent.wav", "broken.wav")]
    soundfile.write(tmp_path / "video.wav", 0.1 * np.clip(rng.standard_normal(24_000), -9, 9), 16_000)
    rows.append(("video.wav", "FAKE", "p0", "loopy", "picture"))
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("filename", "label", "group", "method", "fake_part"), *rows])
    write_table(tmp_path / "voices.parquet", rng)
    return tmp_path


def flac(wave, rate=16_000):
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="FLAC")
    return file.getvalue()


def write_table(file, rng, **changed):
    """Two utterances of a person of the manifest, bona fide and by a third system."""
    white = 0.1 * np.clip(rng.standard_normal(24_000), -9, 9)
    rows = {
        "key": ["v0", "v1"],
        "label": ["REAL", "FAKE"],
        "method": ["real_x", "voice:Third"],
        "source": ["page", "page"],
        "group": ["p0", "p0"],
        "flac": [flac(white), flac(0.1 * np.clip(np.cumsum(white), -9, 9))],
    }
    pq.write_table(pa.table({name: values for name, values in (rows | changed).items() if values}), file)


def run(folder, *more):
    out = folder / "voice"
    arguments = ["--clips", str(folder / "manifest.csv"), "--out", str(out), "--jobs", "1", "--steps", "4", *more]
    return deepcue(["train-voice", *arguments]), out


def test_a_run_from_recordings_to_weights(folder, few_versions, capsys):
    status, out = run(folder, "--voices", str(folder / "voices.parquet"))
    assert status == 0
    scores = json.loads((out / "scores.json").read_text())
    assert json.loads(capsys.readouterr().out) == scores
    assert set(scores) == {"detector", "linear", "network", "encoded"}
    assert set(scores["linear"]["systems"]) == {"m0", "m1", "third"}
    assert scores["linear"]["auc"]["value"] > 0.9
    assert (scores["linear"]["n_synthetic"], scores["linear"]["n_bona_fide"]) == (7, 7)
    model = VoiceModel.load(out / "forensic_voice.safetensors")
    white = np.random.default_rng(1).standard_normal(24_000)
    made, recorded = (model.linear.logit(model.inputs(one.astype(np.float32)).x) for one in (np.cumsum(white), white))
    assert made > recorded
    assignments = folds.read(out / "clip_folds.csv")
    clips = {f"{label}{number}.wav" for label in ("REAL", "FAKE") for number in range(6)}
    assert set(assignments) == clips
    assert all((out / f"fold{assignment.fold}.safetensors").is_file() for assignment in assignments.values())
    assert all(assignment.fake == name.startswith("FAKE") for name, assignment in assignments.items())
    logits = json.loads((out / "logits.json").read_text())
    assert set(logits) == clips | {"v0", "v1"}
    assert all(logits[name]["fold"] == assignment.fold for name, assignment in assignments.items())
    assert logits["v1"]["label"] == "FAKE"


def test_a_run_goes_on_with_what_is_missing_and_another_one_starts_again_when_fresh(folder, few_versions, capsys):
    _, out = run(folder)
    made = {file.name: file.read_bytes() for file in out.glob("*.safetensors")}
    assert set(made) == {"fold0.safetensors", "fold1.safetensors", "forensic_voice.safetensors"}
    kept = (out / "fold0.safetensors").stat().st_mtime_ns
    (out / "fold1.safetensors").unlink()
    run(folder)
    assert (out / "fold0.safetensors").stat().st_mtime_ns == kept
    assert {file.name: file.read_bytes() for file in out.glob("*.safetensors")} == made
    assert run(folder, "--leave-out", "people")[0] == 2
    assert "--fresh" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in out.glob("*.safetensors")} == made
    assert run(folder, "--leave-out", "people", "--fresh")[0] == 0
    assert (out / "fold0.safetensors").read_bytes() != made["fold0.safetensors"]
    assert (out / "fold3.safetensors").is_file()
    assert not [*out.glob("*.checkpoint")]


@pytest.mark.parametrize("identity", [None, '"of another run"', '"cut o'])
def test_weights_of_another_run_are_neither_deleted_nor_overwritten(folder, capsys, identity):
    """Non-regression test: networks of faces, whose folder has no identity.json, were deleted."""
    (folder / "voice").mkdir()
    weights = folder / "voice" / "fold0.safetensors"
    weights.write_bytes(b"days of work")
    if identity is not None:
        (folder / "voice" / "identity.json").write_text(identity)
    before = sorted(file.name for file in (folder / "voice").iterdir())
    status, out = run(folder)
    assert status == 2
    assert "holds weights (fold0.safetensors) of another training" in capsys.readouterr().err
    assert weights.read_bytes() == b"days of work"
    assert sorted(file.name for file in out.iterdir()) == before


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"flac": None}, "'flac'"),
        ({"label": ["REAL", "fake"]}, "v1"),
        ({"method": ["real_x", ""]}, "v1"),
        ({"method": ["real_x", None]}, "v1"),
        ({"key": ["v0", None]}, "'key'"),
        ({"flac": [flac(np.zeros(800)), b"none"]}, "v1"),
        ({"flac": [flac(np.zeros(800), 8_000), b"none"]}, "v0"),
        ({"flac": [flac(np.zeros((800, 2))), b"none"]}, "v0"),
    ],
)
def test_a_table_of_voices_that_cannot_be_used_is_refused(tmp_path, changed, what):
    write_table(tmp_path / "voices.parquet", np.random.default_rng(0), **changed)
    with pytest.raises(DatasetError, match=what):
        data.voices_of_table(tmp_path / "voices.parquet")


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "voices.parquet").write_bytes(b"no table")
    for name in ("voices.parquet", "missing.parquet"):
        with pytest.raises(DatasetError, match=name):
            data.voices_of_table(tmp_path / name)


def test_a_table_of_voices_is_read_from_a_path_that_is_no_utf_8(tmp_path):
    """Non-regression test: it ended in a traceback."""
    write_table(tmp_path / "v.parquet", np.random.default_rng(0))
    file = (tmp_path / "v.parquet").rename(tmp_path / "caf\udce9.parquet")
    assert data.voices_of_table(file)


def test_the_silent_rows_of_a_table_are_left_out(tmp_path):
    write_table(
        tmp_path / "v.parquet", np.random.default_rng(0), flac=[flac(np.zeros(9_000)), flac(0.1 * np.ones(9_000))]
    )
    assert [voice.name for voice in data.voices_of_table(tmp_path / "v.parquet")] == ["v1"]


def test_long_audio_of_a_table_is_cut_like_that_of_a_clip(tmp_path, monkeypatch):
    """Non-regression test: audio of tables was used in full, that of clips up to 10 s."""
    monkeypatch.setattr(data, "MAX_AUDIO_S", 0.5)
    write_table(tmp_path / "v.parquet", np.random.default_rng(0), flac=[flac(0.1 * np.ones(n)) for n in (9_000, 7_000)])
    assert [voice.audio.size for voice in data.voices_of_table(tmp_path / "v.parquet")] == [8_000, 7_000]


def test_an_utterance_without_a_group_is_one_by_itself_and_an_unknown_source_is_none(tmp_path):
    rng = np.random.default_rng(0)
    write_table(tmp_path / "v.parquet", rng, group=[None, None], source=[None, "page"], method=[None, "Third"])
    found = data.voices_of_table(tmp_path / "v.parquet")
    assert [(voice.method, voice.group, voice.source) for voice in found] == [
        ("", "clip:v0", ""),
        ("Third", "clip:v1", "page"),
    ]
    write_table(tmp_path / "v.parquet", rng, group=[0, 1])
    assert [voice.group for voice in data.voices_of_table(tmp_path / "v.parquet")] == ["0", "1"]


def test_audio_too_short_to_measure_is_left_out_by_name(tmp_path, caplog):
    short = flac(0.1 * np.ones(4_799))
    write_table(tmp_path / "v.parquet", np.random.default_rng(0), flac=[short, flac(0.1 * np.ones(4_800))])
    assert [voice.name for voice in data.voices_of_table(tmp_path / "v.parquet")] == ["v1"]
    assert "v0: left out, 0.30 s" in caplog.text


def test_what_cannot_be_used_is_told_in_one_sentence(tmp_path, capsys):
    assert deepcue(["train-voice", "--clips", str(tmp_path / "none.csv"), "--out", str(tmp_path)]) == 2
    assert "none.csv" in capsys.readouterr().err
    (tmp_path / "empty.csv").write_text("filename,label,group,method,fake_part,has_audio\n")
    assert deepcue(["train-voice", "--clips", str(tmp_path / "empty.csv"), "--out", str(tmp_path)]) == 2
    assert "no line after its header" in capsys.readouterr().err


def test_one_generator_alone_cannot_be_left_out(tmp_path, capsys, monkeypatch, voices):
    lips = [one for one in voices if one.method in ("", "lips_a", "lips_b")]
    monkeypatch.setattr(fit, "voices_of", lambda clips, progress: lips)
    assert deepcue(["train-voice", "--clips", "some.csv", "--out", str(tmp_path)]) == 2
    assert "--leave-out people" in capsys.readouterr().err


def test_speech_of_one_class_is_refused(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", recording() / 9, 16_000)
    (tmp_path / "m.csv").write_text("filename,label,group\na.wav,REAL,g\n")
    assert deepcue(["train-voice", "--clips", str(tmp_path / "m.csv"), "--out", str(tmp_path / "o")]) == 2
    assert "both bona fide and synthetic speech are needed" in capsys.readouterr().err


def test_tables_of_voices_are_named_where_the_voices_are_of_one_class(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "voices_of", lambda clips, progress: [Voice("a", "", "g", recording())])
    monkeypatch.setattr(fit, "voices_of_table", lambda file: [Voice("b", "", "h", recording())])
    with pytest.raises(DatasetError, match=r"m.csv, v.parquet: to train on, both"):
        fit.train("m.csv", tmp_path, VoiceRecipe(), voices=["v.parquet"])


@pytest.mark.parametrize(
    ("choice", "message"), [({"steps": 0}, "steps is 0"), ({"leave_out": "nothing"}, "methods or people")]
)
def test_a_recipe_that_cannot_be_is_refused(choice, message):
    with pytest.raises(InputError, match=message):
        VoiceRecipe(**choice)
