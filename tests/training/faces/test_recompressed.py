"""Transcoded clips: smaller and coarser, and otherwise the same; the same seed gives the same bytes."""

import csv
import os

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from features.errors import ClipError
from forge.clips.clip import EditableClip
from forge.clips.read import read_clip
from forge.clips.write import Encoder, write_clip
from training.faces import found_faces, recompressed
from training.manifest import training_clips


@pytest.fixture
def clips(tmp_path):
    """Two clips of a portrait, one of them FAKE, and one that can't be read."""
    face = cv2.resize(astronaut(), (360, 360), interpolation=cv2.INTER_AREA)
    frames = [np.roll(face, shift, axis=1) for shift in range(12)]
    clip = EditableClip("a.mp4", frames, np.arange(12) / 25, np.full((12, 68, 2), np.nan, np.float32), None)
    for name in ("a.mp4", "b.mp4"):
        write_clip(clip, tmp_path / name, Encoder(crf=18))
    (tmp_path / "c.mp4").write_bytes(b"no clip")
    file = tmp_path / "manifest.csv"
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["filename", "label", "group", "method", "original", "fake_part"])
        rows.writerow(["a.mp4", "REAL", "g", "real_a", "", ""])
        rows.writerow(["b.mp4", "FAKE", "g", "loopy", "a.mp4", "picture"])
        rows.writerow(["c.mp4", "FAKE", "g", "loopy", "", "picture"])
    return training_clips(file)


def test_rows_are_those_of_the_clips_and_an_unreadable_one_is_left_out(clips, caplog):
    transcoded, plain = (
        {(r["key"], r["frame"]): r for r in rows(clips)} for rows in (recompressed.rows, found_faces.clips_rows)
    )
    assert transcoded.keys() == plain.keys()
    assert {key for key, _ in transcoded} == {"a.mp4", "b.mp4"}
    for place, row in transcoded.items():
        for name in ("fake", "group", "source", "original"):
            assert row[name] == plain[place][name]
        assert row["jpeg"] != plain[place]["jpeg"]
    assert "c.mp4" in caplog.text


@pytest.mark.parametrize("rows", [recompressed.rows, found_faces.clips_rows])
def test_two_readings_give_the_same_rows(clips, rows):
    assert list(rows(clips)) == list(rows(clips))


@pytest.mark.parametrize("preset", recompressed.PRESETS)
def test_transcoding_twice_gives_the_same_bytes(clips, tmp_path, monkeypatch, preset):
    """Non-regression test: x264's macroblock-tree rate control gave other bytes from run to run."""
    monkeypatch.setattr(recompressed, "PRESETS", (preset,))
    contents = set()
    for number in range(6):
        recompressed.transcode(clips[0].path, tmp_path / f"{number}.mp4", np.random.default_rng(1))
        contents.add((tmp_path / f"{number}.mp4").read_bytes())
    assert len(contents) == 1


def test_the_seed_chooses_the_encoder(clips):
    first, second = (list(recompressed.rows(clips, seed)) for seed in (0, 1))
    assert [row["jpeg"] for row in first] != [row["jpeg"] for row in second]


def test_a_copy_keeps_its_times_and_never_grows(clips, tmp_path):
    source, copy = clips[0].path, tmp_path / "copy.mp4"
    before = read_clip(source, faces=False)
    sides, sizes = set(), []
    for seed in range(12):
        recompressed.transcode(source, copy, np.random.default_rng(seed))
        after = read_clip(copy, faces=False)
        np.testing.assert_allclose(after.times_s, before.times_s, atol=1e-3)
        sides.add(next(iter(after.frames)).shape[0])
        sizes.append(copy.stat().st_size)
    assert sides == {360, 270, 180}
    assert max(sizes) < os.path.getsize(source)


def test_small_images_are_not_reduced(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(recompressed, "MIN_SIDE_PX", 400)
    for seed in range(6):
        recompressed.transcode(clips[0].path, tmp_path / "copy.mp4", np.random.default_rng(seed))
        assert next(iter(read_clip(tmp_path / "copy.mp4", faces=False).frames)).shape[:2] == (360, 360)


def test_what_is_no_clip_is_refused(clips, tmp_path):
    with pytest.raises(ClipError):
        recompressed.transcode(clips[2].path, tmp_path / "copy.mp4", np.random.default_rng(0))
