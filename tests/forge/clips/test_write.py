import hashlib
import json
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from forge.clips.clip import RATE_HZ, EditableClip, Frames
from forge.clips.read import even, read_clip
from forge.clips.write import Encoder, random_name, write_clip, write_labels, write_metadata


def made_clip(n=20, size=(64, 48), times=None, audio=True):
    rng = np.random.default_rng(0)
    small = rng.integers(40, 210, (n, 6, 8, 3), np.uint8)
    frames = [np.kron(one, np.ones((size[1] // 6, size[0] // 8, 1), np.uint8)) for one in small]
    times = np.arange(n) / 20.0 if times is None else times
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(RATE_HZ * n / 20)) / RATE_HZ).astype(np.float32)
    return EditableClip("made", frames, times, np.full((n, 68, 2), np.nan, np.float32), tone if audio else None)


def test_what_was_written_is_read_back(tmp_path):
    clip = made_clip()
    write_clip(clip, tmp_path / "a.mp4", Encoder(crf=10))
    back = read_clip(tmp_path / "a.mp4", faces=False)
    assert np.allclose(back.times_s, clip.times_s, atol=1e-4)
    for before, after in zip(clip.frames, back.frames, strict=True):
        assert before.shape == after.shape
        assert np.abs(before.astype(int) - after).mean() < 12
        assert np.abs(before.mean((0, 1)) - after.mean((0, 1))).max() < 4  # colours are not shifted
    cut = slice(2000, 12000)
    assert np.corrcoef(back.audio[cut], clip.audio[cut])[0, 1] > 0.98  # and the audio is in its place


def test_uneven_times_are_kept(tmp_path):
    times = np.cumsum(np.r_[0, np.random.default_rng(1).uniform(0.02, 0.1, 19)])
    write_clip(made_clip(times=times), tmp_path / "a.mp4", Encoder())
    assert np.allclose(read_clip(tmp_path / "a.mp4", faces=False).times_s, times, atol=1e-3)


def test_clip_without_audio_has_no_audio_stream(tmp_path):
    write_clip(made_clip(audio=False), tmp_path / "a.mp4", Encoder())
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264"]


def moving_clip(side, n=40):
    """Soft texture that drifts, with noise: what made an encoder's macroblock tree read undefined memory."""
    rng = np.random.default_rng(1)
    still = cv2.GaussianBlur(rng.integers(0, 256, (side + 60, side + 60, 3), dtype=np.uint8), (0, 0), 2)
    still = np.clip((still.astype(float) - 127) * 4 + 127, 0, 255)
    shifts = [2 * (number % 15) for number in range(n)]
    frames = [still[s : s + side, s : s + side] + rng.integers(-4, 5, (side, side, 1)) for s in shifts]
    frames = [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames]
    return EditableClip("moving", frames, np.arange(n) / 25, np.full((n, 68, 2), np.nan, np.float32), None)


@pytest.mark.parametrize("side", [180, 270, 360])
@pytest.mark.parametrize("preset", ["superfast", "veryfast", "fast"])
def test_the_same_clip_and_encoder_give_the_same_bytes(tmp_path, preset, side):
    clip = moving_clip(side)
    digests = set()
    for turn in range(5):
        junk = [np.random.default_rng(turn).bytes(size) for size in (1 << 12, 1 << 16, 1 << 20)]
        del junk  # what the encoder gets as new memory differs
        write_clip(clip, tmp_path / "a.mp4", Encoder(preset=preset))
        digests.add(hashlib.sha256((tmp_path / "a.mp4").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_clip_that_fails_on_the_way_leaves_the_older_file_and_nothing_else(tmp_path):
    write_clip(made_clip(), tmp_path / "a.mp4", Encoder())
    before = (tmp_path / "a.mp4").read_bytes()

    def breaks():
        yield from list(made_clip().frames)[:5]
        raise RuntimeError("damaged")

    with pytest.raises(RuntimeError, match="damaged"):
        write_clip(replace(made_clip(), frames=Frames(breaks)), tmp_path / "a.mp4", Encoder())
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == before


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 40)])
def test_the_smallest_frames_are_written(tmp_path, size):
    image = np.full((*size[::-1], 3), 90, np.uint8)
    clip = EditableClip("tiny", [even(image)] * 3, np.arange(3) / 25, np.full((3, 68, 2), np.nan, np.float32), None)
    write_clip(clip, tmp_path / "a.mp4", Encoder())
    assert len(list(read_clip(tmp_path / "a.mp4", faces=False).frames)) == 3


def test_a_clip_without_frames_is_refused(tmp_path):
    with pytest.raises(ValueError, match="without frames"):
        write_clip(made_clip(n=0), tmp_path / "a.mp4", Encoder())


def test_large_and_odd_frames_are_reduced_to_even_sides(tmp_path):
    write_clip(made_clip(size=(160, 120)), tmp_path / "a.mp4", Encoder())
    clip = read_clip(tmp_path / "a.mp4", faces=False, max_side=101)
    assert next(iter(clip.frames)).shape == (76, 100, 3)


def test_only_the_first_seconds_are_read(tmp_path):
    write_clip(made_clip(), tmp_path / "a.mp4", Encoder())
    clip = read_clip(tmp_path / "a.mp4", faces=False, max_seconds=0.5)
    assert len(list(clip.frames)) == len(clip.times_s) == 11
    assert clip.audio.size == round(11 / 20 * RATE_HZ)


def test_metadata_and_labels_have_the_challenges_form(tmp_path):
    write_metadata(tmp_path / "part", {"b.mp4": {"label": "FAKE", "original": "a.mp4"}, "a.mp4": {"label": "REAL"}})
    assert list(json.loads((tmp_path / "part" / "metadata.json").read_text())) == ["a.mp4", "b.mp4"]
    write_labels(tmp_path / "s.csv", [("b.mp4", 0.5), ("a.mp4", 0.5)])
    assert (tmp_path / "s.csv").read_text() == "filename,label\na.mp4,0.5\nb.mp4,0.5\n"
    assert len(random_name(np.random.default_rng(0))) == 14
