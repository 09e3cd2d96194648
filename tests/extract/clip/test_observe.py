from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
from clip_maker import frames_of, write_clip

from extract.clip.decode import ClipReader
from extract.clip.face_recorder import FaceRecorder
from extract.clip.frame import Frame
from extract.clip.observe import Observer, _lasting
from features import observation


@pytest.fixture(scope="module")
def observer():
    return Observer()


def observe(observer, path):
    with ClipReader(str(path), max_seconds=60) as clip:
        return observer.observe(clip)


def same(a, b):
    return observation.dumps(a) == observation.dumps(b)


def test_one_face_gives_one_track_that_covers_every_frame(observer, make_clip):
    observed = observe(observer, make_clip("one.mp4", n=40, tone_s=1.6))
    (track,) = observed.tracks
    assert observed.n_faces == 1
    np.testing.assert_array_equal(track.frame_index, np.arange(40))
    assert np.isfinite(track.landmarks).all()
    eyes = track.landmarks[:, 36:48].mean(axis=1)
    assert np.ptp(eyes[:, 0]) == pytest.approx(6, abs=3)  # the portrait sways by 3 px each way
    assert np.ptp(eyes[:, 1]) < 2
    assert len(track.crops) == 16
    assert (np.diff(track.crop_index) > 0).all()


def test_flow_follows_the_landmarks(observer, make_clip):
    (track,) = observe(observer, make_clip("flow.mp4", n=40)).tracks
    assert np.isnan(track.flow[0]).all()
    moved = np.nanmedian(track.flow[1:] - track.landmarks[:-1], axis=1)
    drift = 3 * np.sin(np.arange(40) / 5).astype(float)
    assert np.corrcoef(moved[:, 0], np.diff(np.trunc(drift)))[0, 1] > 0.8


def test_crops_and_landmarks_agree(observer, make_clip):
    """A face detector run on a stored crop finds the face where the landmarks say."""
    from extract.clip.faces import FaceDetector

    (track,) = observe(observer, make_clip("crop.mp4", n=20, size=(640, 480))).tracks
    for number in (0, len(track.crops) - 1):
        crop, (left, top, side) = track.crops[number], track.crop_box[number]
        points = (track.landmarks[track.crop_index[number]] - (left, top)) * crop.shape[0] / side
        (face, *_) = FaceDetector().detect(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), thorough=False)
        inside = (points > np.array(face.box[:2]) - 5) & (points < np.array(face.box[2:]) + 15)
        assert inside[17:].all()


def test_two_people_are_two_tracks_and_neither_jumps(observer, portrait, tmp_path):
    left = frames_of(portrait[:260, 100:360], 30, (320, 320))
    frames = [np.concatenate([a, cv2.flip(a, 1)], axis=1) for a in left]
    observed = observe(observer, write_clip(tmp_path / "two.mp4", frames))
    assert observed.n_faces == 2
    for track in observed.tracks:
        centre = track.landmarks.mean(axis=1)[:, 0]
        assert np.ptp(centre) < 20
    assert abs(observed.tracks[0].landmarks[0].mean() - observed.tracks[1].landmarks[0].mean()) > 50


def beside_a_photo(portrait):
    """Frames of a portrait of 240 px that moves, with a still one of 320 px on its right."""
    photo = cv2.resize(portrait, (320, 320), interpolation=cv2.INTER_AREA)
    images = []
    for moving in frames_of(portrait, 40, (320, 240)):
        image = np.full((320, 640, 3), 90, np.uint8)
        image[:240, :320], image[:, 320:] = moving, photo
        images.append(image)
    return images


def test_the_main_face_is_not_a_photo_beside_a_person(observer, portrait):
    """Non-regression test: a face printed on a shirt, a little larger than the speaker's, was the main face."""
    observed = observer.observe(Resized(beside_a_photo(portrait)))
    person, photo = observed.tracks
    assert np.nanmean(person.landmarks[:, :, 0]) < 320 < np.nanmean(photo.landmarks[:, :, 0])
    assert _lasting([photo, person], observed.times_s, least_s=1.0) == [person, photo]
    large = replace(photo, box=2.5 * photo.box)  # more than four times the area of the person's face
    assert _lasting([person, large], observed.times_s, least_s=1.0) == [large, person]


def test_a_photo_alone_is_the_main_face(observer, portrait):
    image = cv2.resize(portrait, (320, 320), interpolation=cv2.INTER_AREA)
    assert len(observer.observe(Resized([image] * 40)).tracks) == 1


def test_a_face_that_leaves_is_not_believed_any_longer(observer, portrait, tmp_path):
    frames = frames_of(portrait, 30, (320, 240)) + frames_of(None, 30, (320, 240))
    (track,) = observe(observer, write_clip(tmp_path / "leaves.mp4", frames)).tracks
    seen = np.isfinite(track.landmarks[:, 0, 0])
    assert seen[:20].all()
    assert track.frame_index[seen].max() <= 30
    assert np.isnan(track.sharpness[~seen]).all()
    assert np.isfinite(track.sharpness[seen][:, 0]).all()


def test_no_face_gives_no_track(observer, make_clip):
    observed = observe(observer, make_clip("nobody.mp4", face=False))
    assert observed.tracks == ()
    assert observed.n_faces == 0
    assert observed.audio is None


def test_repeated_frames_are_marked(observer, portrait, tmp_path):
    frames = [frame for frame in frames_of(portrait, 10, (320, 240)) for _ in range(2)]
    path = write_clip(tmp_path / "twice.mkv", frames, codec="ffv1")  # lossless: a repeat is a repeat
    np.testing.assert_array_equal(observe(observer, path).duplicate[1::2], True)


def test_an_observation_depends_on_the_clip_alone(observer, make_clip):
    path = make_clip("again.mp4", tone_s=1.0)
    first = observe(observer, path)
    observe(observer, make_clip("between.mp4", n=12, size=(240, 320)))
    assert same(first, observe(observer, path))


@pytest.mark.parametrize("size", [(240, 320), (322, 242), (64, 48), (16, 16), (1920, 16)])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_any_size_and_length_is_observed(observer, make_clip, size, n):
    observed = observe(observer, make_clip(f"s{size[0]}x{size[1]}n{n}.mp4", n=n, size=size))
    assert observed.frame_size == size
    assert len(observed.times_s) == n


def test_the_same_person_after_a_cut_stays_one_track(observer, portrait, tmp_path):
    before = frames_of(portrait, 30, (640, 240), at=(0.1, 0))
    after = frames_of(portrait, 30, (640, 240), at=(0.9, 0))
    for frame in after:
        frame[:, :380] = 255 - frame[:, :380] // 3  # another scene
    observed = observe(observer, write_clip(tmp_path / "cut.mp4", before + after))
    assert observed.n_faces == 1
    assert len(observed.tracks[0]) == 60
    seen = np.isfinite(observed.tracks[0].landmarks[:, 0, 0])
    assert seen.mean() > 0.95  # to the end of the first scene, too, whose last detection is some frames before the cut


class Resized:
    """A clip of frames that are decoded already, whose size changes."""

    frames_expected, frames_per_second = 30, 25.0

    def __init__(self, images):
        self._images = images

    def frames(self):
        for number, image in enumerate(self._images):
            yield Frame(av.VideoFrame.from_ndarray(image), index=number, time_s=number / 25)

    def audio(self):
        return None, float("nan")

    def warnings(self):
        return ()

    notes = warnings


@pytest.mark.parametrize(("n_small", "side"), [(3, 320), (16, 160)])
def test_a_clip_has_the_size_of_most_of_its_frames(observer, portrait, n_small, side):
    """Non-regression test: the first frame's size held, so that a face was lost after a start of low resolution."""
    large = frames_of(portrait, 30, (320, 320))
    small = [cv2.resize(image, (160, 160), interpolation=cv2.INTER_AREA) for image in large[:n_small]]
    recorder = FaceRecorder(faces_per_second=25)
    observed = observer.observe(Resized([*small, *large[n_small:]]), recorder)
    assert observed.frame_size == (side, side)
    assert len(observed.times_s) == 30
    note = f"the frame size changes midway; frames were scaled to {side} x {side} px, the size of most frames"
    assert observed.notes == (note,)
    assert {image.shape[:2] for _, image in recorder.filmstrip()} == {(160, 160)}
    assert len(observed.tracks) == 1


def test_a_note_says_how_faces_are_counted():
    from extract.clip.observe import _notes

    again = "a face that reappears after more than 1 s counts again"
    assert _notes(3, 5) == [f"5 faces detected, 3 tracked ({again})"]
    assert _notes(3, 3) == _notes(0, 2) == []


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_clip_that_lies_on_its_side_is_measured_upright(observer, portrait, quarters):
    """Non-regression test: landmarks were fitted to lying faces, and a real speaker upside down had P(FAKE) 0.78."""
    images = frames_of(portrait, 40, (320, 240))
    upright = observer.observe(Resized(images))
    recorder = FaceRecorder(faces_per_second=25)
    turned = observer.observe(Resized([np.ascontiguousarray(np.rot90(image, quarters)) for image in images]), recorder)
    note = f"faces are not upright; frames were turned by {360 - 90 * quarters} degrees counter-clockwise"
    assert (turned.notes, upright.notes) == ((note,), ())
    assert (turned.quarters_turned, upright.quarters_turned) == (4 - quarters, 0)
    assert turned.frame_size == upright.frame_size == (320, 240)
    assert recorder.filmstrip()[0][1].shape[:2] == (120, 160)
    np.testing.assert_array_equal(turned.tracks[0].landmarks, upright.tracks[0].landmarks)
    np.testing.assert_array_equal(turned.tracks[0].crops[0], upright.tracks[0].crops[0])


def test_a_clip_of_short_shots_has_the_face_that_every_shot_shows(observer, portrait):
    """Non-regression test: with a cut a second between two people, neither had a track: no face was found."""
    person, empty = frames_of(portrait, 15, (320, 320)), [np.full((320, 320, 3), 250, np.uint8)] * 30
    observed = observer.observe(Resized([*person, *empty, *person, *empty]))
    (track,) = observed.tracks
    assert observed.n_faces == 1
    np.testing.assert_array_equal(np.isfinite(track.landmarks[:, 0, 0]), [True] * 15 + [False] * 30 + [True] * 15)


def test_a_person_who_was_away_is_counted_anew(observer, portrait, tmp_path):
    there, away = frames_of(portrait, 30, (320, 240)), frames_of(None, 40, (320, 240))
    observed = observe(observer, write_clip(tmp_path / "returns.mp4", there + away + there))
    assert observed.n_faces == 2
    assert len(observed.tracks) == 2
