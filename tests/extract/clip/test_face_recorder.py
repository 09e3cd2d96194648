"""More faces in the same pass: evenly spread, as a batch run would have cut them, and nothing of the pass changes."""

import cv2
import numpy as np
import pytest
from clip_maker import frames_of, write_clip

from extract.clip import face_recorder
from extract.clip.decode import ClipReader
from extract.clip.face_recorder import FaceRecorder
from extract.clip.observe import Observer
from features import observation


@pytest.fixture(scope="module")
def observer():
    return Observer(identities=False)


def observe(observer, path, recorder=None):
    with ClipReader(str(path), max_seconds=60) as clip:
        return observer.observe(clip, recorder)


@pytest.fixture(scope="module")
def seen(observer, make_clip):
    """A clip of 3.2 s with one face; its observation, and what was recorded on the way."""
    recorder = FaceRecorder(faces_per_second=4)
    path = make_clip("recorded.mp4", n=80)
    return path, observe(observer, path, recorder), recorder


def test_recording_changes_nothing_of_the_pass(observer, seen):
    path, observed, _ = seen
    assert observation.dumps(observe(observer, path)) == observation.dumps(observed)


def test_faces_are_evenly_spread(seen):
    _, observed, recorder = seen
    times_s = observed.crop_times_s(recorder.with_faces(observed.tracks[0]))
    assert times_s == pytest.approx(0.125 + 0.25 * np.arange(13), abs=0.041)
    assert len(observed.tracks[0].crops) == 16  # the row's own stay as they are


def test_a_recorded_face_is_the_one_that_a_batch_run_keeps_there(seen):
    _, observed, recorder = seen
    own, more = observed.tracks[0], recorder.with_faces(observed.tracks[0])
    both = set(own.crop_index.tolist()) & set(more.crop_index.tolist())
    assert both
    for sample in both:
        a, b = (int(np.flatnonzero(track.crop_index == sample)[0]) for track in (own, more))
        np.testing.assert_array_equal(own.crops[a], more.crops[b])
        np.testing.assert_array_equal(own.crop_box[a], more.crop_box[b])
        np.testing.assert_array_equal(own.patch_face[a], more.patch_face[b])


def test_what_is_kept_per_crop_has_one_entry_a_crop(seen):
    _, observed, recorder = seen
    more = recorder.with_faces(observed.tracks[0])
    assert {len(getattr(more, name)) for name in observation.PER_CROP} == {len(more.crops)}
    assert np.isnan(more.embedding).all()


def test_each_of_two_people_gets_his_own_faces(observer, portrait, tmp_path):
    left = frames_of(portrait[:260, 100:360], 30, (320, 320))
    right = [np.ascontiguousarray(frame[:, ::-1]) // 2 for frame in left]
    path = write_clip(tmp_path / "two.mp4", [np.hstack(pair) for pair in zip(left, right, strict=True)])
    recorder = FaceRecorder(faces_per_second=5)
    observed = observe(observer, path, recorder)
    assert len(observed.tracks) == 2
    for track in observed.tracks:
        more = recorder.with_faces(track)
        assert len(more.crops) == 6
        is_left = track.box[0, 2] < 320
        brightness = [crop.mean() for crop in more.crops]
        assert (min(brightness) > 80) if is_left else (max(brightness) < 80)


def test_a_face_that_is_not_believed_is_not_judged(seen):
    """As after the last detection that confirmed the track."""
    import dataclasses

    _, observed, recorder = seen
    track = observed.tracks[0]
    landmarks = track.landmarks.copy()
    landmarks[40:] = np.nan
    more = recorder.with_faces(dataclasses.replace(track, landmarks=landmarks))
    assert len(more.crops) == 6
    assert more.crop_index.max() < 40


@pytest.mark.parametrize("n", [1, 2])
def test_a_clip_that_ends_before_the_first_moment_has_the_faces_that_the_row_has(observer, make_clip, n):
    """Non-regression: a page said that no face was judged, where the networks judged those of the row."""
    recorder = FaceRecorder()
    observed = observe(observer, make_clip(f"{n}_frames.mp4", n=n), recorder)
    (track,) = observed.tracks
    assert len(track.crops) > 0
    assert recorder.with_faces(track) is track


def test_the_filmstrip_is_small_and_spread(seen):
    _, _, recorder = seen
    strip = recorder.filmstrip()
    assert [time_s for time_s, _ in strip] == pytest.approx(0.25 + 0.5 * np.arange(6), abs=0.041)
    assert {image.shape for _, image in strip} == {(120, 160, 3)}


def test_without_a_filmstrip_no_frame_is_kept(observer, make_clip):
    recorder = FaceRecorder(filmstrip=False)
    observe(observer, make_clip("bare.mp4", n=20), recorder)
    assert recorder.filmstrip() == []


class Frames:
    """Grey frames of a clip as a recorder sees them, a little brighter each."""

    def __init__(self, index, time_s):
        self.index, self.time_s = index, time_s
        self.luma = np.full((90, 160), index % 250, np.uint8)

    def rgb(self):
        return cv2.cvtColor(self.luma, cv2.COLOR_GRAY2RGB)

    def rgb_within(self, left, top, right, bottom):
        return self.rgb()[top:bottom, left:right]


class Builder:
    box = np.array([40, 20, 100, 80], np.float32)
    last_landmarks = np.full((68, 2), 50, np.float32)


def watched(recorder, *, seconds, fps, faces=1):
    for index in range(round(seconds * fps)):
        recorder.see(Frames(index, 100 + index / fps), [Builder()] * faces)
    return recorder


@pytest.mark.parametrize(("seconds", "first_s"), [(0.1, 100.0), (0.2, 100.0), (0.6, 100.3), (1.0, 100.3)])
def test_a_short_clip_has_a_filmstrip(seconds, first_s):
    """Non-regression test: a clip of less than 0.25 s had none."""
    strip = watched(FaceRecorder(), seconds=seconds, fps=10).filmstrip()
    assert [time_s for time_s, _ in strip][:1] == pytest.approx([first_s])
    assert len(strip) == max(1, round(seconds / 0.5))


def test_a_long_clip_keeps_its_memory_and_its_ends(monkeypatch):
    monkeypatch.setattr(face_recorder, "MAX_FACES", 40)
    recorder = watched(FaceRecorder(), seconds=100, fps=10)
    kept = [moment.frame_index for moment in recorder._moments.all()]
    assert 20 < len(kept) <= 40
    assert len(set(np.diff(kept))) == 1
    assert kept[0] < 50
    assert kept[-1] > 950
    strip = [time_s for time_s, _ in recorder.filmstrip()]
    assert face_recorder.STRIP_FRAMES // 2 < len(strip) <= face_recorder.STRIP_FRAMES
    assert strip[0] < 110
    assert strip[-1] > 190


def test_more_people_count_against_the_same_memory(monkeypatch):
    monkeypatch.setattr(face_recorder, "MAX_FACES", 40)
    recorder = watched(FaceRecorder(), seconds=40, fps=10, faces=3)
    assert sum(len(moment.faces) for moment in recorder._moments.all()) <= 40


@pytest.mark.parametrize("fps", [10, 24, 29.97, 60])
def test_the_pace_is_kept_at_any_frame_rate(fps):
    recorder = watched(FaceRecorder(faces_per_second=2), seconds=20, fps=fps)
    assert len(recorder._moments.all()) == 40


def test_a_pace_above_the_frame_rate_keeps_every_frame_and_one_slow_frame_costs_no_other():
    assert (
        len(watched(FaceRecorder(faces_per_second=30), seconds=2, fps=10)._moments.all()) == 19
    )  # the first is too early
    recorder = FaceRecorder(faces_per_second=2)
    for index, time_s in enumerate([0.0, 0.3, 3.0, 3.1, 3.3, 3.8]):
        recorder.see(Frames(index, time_s), [Builder()])
    assert [moment.frame_index for moment in recorder._moments.all()] == [1, 2, 4, 5]


def test_frames_without_a_face_keep_none():
    assert watched(FaceRecorder(), seconds=3, fps=10, faces=0)._moments.all() == []
