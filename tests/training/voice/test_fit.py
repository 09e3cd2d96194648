"""Training of the voice model: what a fold is trained on, equal weights, damage, one run from sounds to weights."""

import csv
import json

import numpy as np
import pytest
import soundfile

from deepcue.cli.main import main as deepcue
from features.errors import InputError
from features.families.forensic_voice import VoiceModel
from features.families.voice import CUES
from features.voice_measures import cues
from training import folds
from training.voice import data, fit
from training.voice.data import Cues, Voice


def sound(seconds=1.0):
    return np.random.default_rng(0).standard_normal(int(16_000 * seconds)).astype(np.float32)


@pytest.fixture
def voices():
    """Nine people; every second one is synthesised, too: from lips by two methods and from text by one."""
    found = [Voice(f"real{number}", "", f"p{number}", sound()) for number in range(9)]
    for number in (0, 2, 4, 6):
        found += [Voice(f"{name}{number}", name, f"p{number}", sound()) for name in ("lips_a", "lips_b", "text_a")]
    return found


@pytest.mark.parametrize("by_method", [False, True])
def test_a_fold_shares_no_person_and_no_generator_with_what_it_was_trained_on(voices, by_method):
    fold_of = fit.assign_folds(voices, by_method=by_method)
    assert len(np.unique(fold_of)) == fit.N_PARTS * (2 if by_method else 1)
    for fold in np.unique(fold_of):
        out = [one for one, number in zip(voices, fold_of, strict=True) if number == fold]
        mask = fit.training_mask(voices, fold_of == fold, by_method=by_method)
        kept = [one for one, is_kept in zip(voices, mask, strict=True) if is_kept]
        assert not {one.group for one in out} & {one.group for one in kept}
        assert {bool(one.method) for one in kept} == {True, False}
        if by_method:
            assert not ({one.generator for one in out} - {""}) & {one.generator for one in kept}


def test_classes_methods_and_groups_weigh_alike():
    keys = [("", "p0")] * 6 + [("", "p1")] * 2 + [("a", "p0")] * 3 + [("b", "p0")] + [("b", "p1")]
    weight = fit.row_weights(keys)
    assert weight.mean() == pytest.approx(1)
    of = np.array(keys)
    assert weight[of[:, 0] == ""].sum() == pytest.approx(weight[of[:, 0] != ""].sum())
    assert weight[of[:, 0] == "a"].sum() == pytest.approx(weight[of[:, 0] == "b"].sum())
    assert weight[:6].sum() == pytest.approx(weight[6:8].sum())


def test_a_model_finds_the_cue_that_differs_and_ignores_gaps(voices):
    rng = np.random.default_rng(1)
    number = np.repeat(np.arange(len(voices)), 20)
    x = rng.standard_normal((number.size, len(CUES)))
    x[:, 3] = 50 + 8 * np.array([bool(voices[one].method) for one in number]) + x[:, 3]
    x[::7, 5] = np.nan
    measured = Cues(x, number, np.diff(number, prepend=-1) > 0)
    model = fit.fit(voices, measured, np.ones(len(voices), bool))
    assert np.argmax(np.abs(model.weight)) == 3
    made = np.array([bool(one.method) for one in voices])
    logits = fit.original_logits(model, measured, np.arange(len(voices)))
    assert logits[made].min() > logits[~made].max()


def test_a_codec_copy_does_not_stand_in_for_an_original_without_cues(voices, monkeypatch):
    pair, silent = voices[:2], np.zeros(16_000, np.float32)
    voice = Voice("silent", "", "p9", silent)
    monkeypatch.setattr(data, "cues", lambda sound: {} if sound is silent else dict.fromkeys(CUES, 1.0))
    cues_of = data.measured([*pair, voice], jobs=1, seed=0)
    assert np.bincount(cues_of.voice).tolist() == [12, 12, 11]
    assert np.bincount(cues_of.voice[cues_of.is_original], minlength=3).tolist() == [1, 1, 0]
    model = VoiceModel(np.zeros(len(CUES)), np.ones(len(CUES)), np.ones(len(CUES)), 0.0)
    logits = fit.original_logits(model, cues_of, np.arange(3))
    assert np.isnan(logits).tolist() == [False, False, True]


def test_a_model_is_scored_on_what_it_was_not_trained_on(voices, monkeypatch):
    """Also where no voice falls into a fold: here one of six is empty."""
    few = [one for one in voices if one.group in ("p0", "p2", "p4") and one.name not in ("real4", "text_a4")]
    fold_of = fit.assign_folds(few, by_method=True)
    present = np.unique(fold_of).tolist()
    assert len(present) == 5
    kept = {fold: fit.training_mask(few, fold_of == fold, by_method=True) for fold in present}
    judged_by = {fold: [] for fold in present}

    def original_logits(model, data, numbers):
        judged_by[model] += numbers.tolist()
        return np.zeros(len(numbers))

    monkeypatch.setattr(fit, "original_logits", original_logits)
    scores = fit.summary(few, None, fold_of, {fold: fold for fold in present}, kept, by_method=True)
    made = np.array([bool(one.method) for one in few])
    assert not any(kept[fold][judged].any() for fold, judged in judged_by.items())
    assert sum(one["n_synthetic"] for one in scores.values()) == made.sum()
    judged = [number for numbers in judged_by.values() for number in numbers if made[number]]
    assert sorted(judged) == np.flatnonzero(made).tolist()


def test_damage_keeps_a_sound_a_sound():
    rng = np.random.default_rng(0)
    one, other = sound(), rng.standard_normal(5_000).astype(np.float32)
    found = [data.damaged(one, other, rng) for _ in range(40)]
    assert all(each.shape == one.shape and np.isfinite(each).all() for each in found)
    correlation = [np.corrcoef(each, one)[0, 1] for each in found]
    assert min(correlation) > 0.2
    assert min(correlation) < 0.95


def test_versions_go_through_codecs():
    found = list(data.versions(Voice("a", "", "p", 0.1 * sound()), np.random.default_rng(0)))
    assert len(found) == 1 + data.N_CODECS
    assert not any(np.array_equal(one.sound[:1000], found[0].sound[:1000]) for one in found[1:])


def test_a_run_from_sounds_to_weights(tmp_path):
    """White and brown noise; the picture-only fake, the silent clip and the broken file are no voices."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(6):
        white = rng.standard_normal(24_000)
        for label, wave in (("REAL", white), ("FAKE", np.cumsum(white) * 0.1)):
            soundfile.write(tmp_path / f"{label}{number}.wav", 0.1 * np.clip(wave, -9, 9), 16_000)
            part, method = ("voice", f"m{number % 2}") if label == "FAKE" else ("", "real_x")
            rows.append((f"{label}{number}.wav", label, f"p{number}", method, part))
    soundfile.write(tmp_path / "silent.wav", np.zeros(24_000), 16_000)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    rows += [(name, "REAL", name, "real_x", "") for name in ("silent.wav", "broken.wav")]
    soundfile.write(tmp_path / "picture.wav", 0.1 * np.clip(rng.standard_normal(24_000), -9, 9), 16_000)
    rows.append(("picture.wav", "FAKE", "p0", "loopy", "picture"))
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("filename", "label", "group", "method", "fake_part"), *rows])
    out = tmp_path / "voice"
    assert deepcue(["train-voice", "--clips", str(tmp_path / "manifest.csv"), "--out", str(out), "--jobs", "1"]) == 0
    scores = json.loads((out / "scores.json").read_text())
    assert set(scores) == {"m0", "m1"}
    assert scores["m0"]["n_bona_fide"] == 3  # the other three were trained on
    assert scores["m0"]["auc"] > 0.9
    model = VoiceModel.load(out / "forensic_voice.safetensors")
    white = rng.standard_normal(24_000)
    made, recorded = (model.logit(cues(one.astype(np.float32))) for one in (np.cumsum(white), white))
    assert made > recorded
    assignments = folds.read(out / "clip_folds.csv")
    assert set(assignments) == {row[0] for row in rows} - {"silent.wav", "broken.wav", "picture.wav"}
    assert all((out / f"fold{assignment.fold}.safetensors").is_file() for assignment in assignments.values())
    assert all(assignment.fake == name.startswith("FAKE") for name, assignment in assignments.items())


def test_what_cannot_be_used_is_told_in_one_sentence(tmp_path, capsys):
    assert deepcue(["train-voice", "--clips", str(tmp_path / "none.csv"), "--out", str(tmp_path)]) == 2
    assert "none.csv" in capsys.readouterr().err
    (tmp_path / "empty.csv").write_text("filename,label,group,method,fake_part,has_audio\n")
    assert deepcue(["train-voice", "--clips", str(tmp_path / "empty.csv"), "--out", str(tmp_path)]) == 2
    assert "no clip in it" in capsys.readouterr().err


def test_one_generator_alone_cannot_be_left_out(tmp_path, capsys, monkeypatch, voices):
    lips = [one for one in voices if one.method in ("", "lips_a", "lips_b")]
    monkeypatch.setattr(fit, "voices_of", lambda clips: lips)
    assert deepcue(["train-voice", "--clips", "some.csv", "--out", str(tmp_path)]) == 2
    assert "--leave-out people" in capsys.readouterr().err


def test_speech_of_one_class_is_refused(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", sound() / 9, 16_000)
    (tmp_path / "m.csv").write_text("filename,label,group\na.wav,REAL,g\n")
    assert deepcue(["train-voice", "--clips", str(tmp_path / "m.csv"), "--out", str(tmp_path / "o")]) == 2
    assert "both bona fide and synthetic speech are needed" in capsys.readouterr().err


def test_leaving_out_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="methods or people"):
        fit.train(tmp_path / "m.csv", tmp_path, leave_out="nothing")


def test_missing_cues_count_as_the_mean_in_the_scale():
    x, weight = np.array([[1.0, 0.0], [3.0, 4.0], [np.nan, 2.0]]), np.array([1.0, 1.0, 2.0])
    mean, scale = fit.standardisation(x, weight)
    np.testing.assert_allclose(mean, [2.0, 2.0])
    np.testing.assert_allclose(scale, [np.sqrt(0.5), np.sqrt(2.0)], rtol=1e-8)
    standardised = np.where(np.isfinite(x), x - mean, 0) / scale
    np.testing.assert_allclose(np.average(standardised**2, axis=0, weights=weight), 1, rtol=1e-8)
