"""Values that must not change when the video is mirrored, moved, scaled or lit, or the audio amplified.

Each column says in ``invariant_to`` what it is proof against; this test takes it by its word.
"""

import functools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from people import CHEAP, build_talking_head, texture

from extract.clip import crop_reservoir
from extract.clip.square_crop import SquareCrop
from features import discovery, spec
from features.measures.geometry import MIRROR
from features.networks import face_embedding
from features.observation import RAGGED

TOLERANCE = {"mirror": 1e-3, "brightness": 1e-3, "translation": 1e-3, "scale": 0.05, "gain": 1e-3, "clock": 1e-6}
NETWORKS = {
    "cnn_embedding",
    "face_contrast",
    "forensic_cnn",
    "forensic_residual",
}  # tested with their weights, in their own module
FRAME_RATES = (15.0, 25.0)  # where 0.3 and 2.5 s are a whole number and a half of samples


def flipped(images):
    return tuple(np.ascontiguousarray(image[:, ::-1]) for image in images)


def mirror(observation):
    width = observation.frame_size[0]

    def one(track):
        box, crop_box = track.box.copy(), track.crop_box.copy()
        box[:, [0, 2]] = width - 1 - track.box[:, [2, 0]]
        crop_box[:, 0] = width - track.crop_box[:, 0] - track.crop_box[:, 2]
        points = {
            name: (getattr(track, name)[:, MIRROR] * np.float32([-1, 1]) + np.float32([width - 1, 0]))
            for name in ("landmarks", "flow")
        }
        images = {name: flipped(getattr(track, name)) for name in RAGGED}
        return replace(track, box=box, crop_box=crop_box, **points, **images)

    return replace(observation, tracks=tuple(one(track) for track in observation.tracks))


def brightness(observation):
    def one(track):
        images = {name: tuple(image + np.uint8(10) for image in getattr(track, name)) for name in RAGGED}
        return replace(track, **images)

    return replace(observation, tracks=tuple(one(track) for track in observation.tracks))


def moved_track(track, scale, shift):
    shift2 = np.float32(shift)
    return replace(
        track,
        landmarks=track.landmarks * np.float32(scale) + shift2,
        flow=track.flow * np.float32(scale) + shift2,
        box=track.box * np.float32(scale) + np.tile(shift2, 2),
        crop_box=track.crop_box * np.float32(scale) + np.append(shift2, np.float32(0)),
    )


def translated(observation, shift):
    return replace(observation, tracks=tuple(moved_track(track, 1.0, shift) for track in observation.tracks))


def filmed(observation, scale):
    """The clip with its images cut out of a frame of textures that is ``scale`` times as large, as a pass cuts them.

    The frame is really resized: an image of more pixels has other finest details. Sharpness stays, which a pass
    measures at one scale.
    """
    rows, columns = observation.frame_size[1], observation.frame_size[0]
    frame = textured_frame(rows, columns)
    size = (round(scale * columns), round(scale * rows))
    frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    luma, image = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), Textured(frame)

    def one(track):
        track = moved_track(track, scale, (0.0, 0.0))
        boxes = [track.box[index] for index in track.crop_index]
        centres = [track.landmarks[index].mean(axis=0) for index in track.crop_index]
        cut = [crop_reservoir.face_crop(image, box) for box in boxes]
        faces = [crop_reservoir.native_luma_patch(luma, box, at) for box, at in zip(boxes, centres, strict=True)]
        behind = [SquareCrop(0, 0, face.shape[0]).cut(luma) if face.size else face for face in faces]
        return replace(
            track,
            crop_box=np.array([window for window, _ in cut], np.float32),
            crops=tuple(crop for _, crop in cut),
            patch_face=tuple(faces),
            patch_background=tuple(behind),
        )

    return replace(observation, frame_size=size, tracks=tuple(one(track) for track in observation.tracks))


@functools.cache
def textured_frame(rows, columns):
    """An RGB frame whose middle, where the face is, is lighter and of another texture than the rest."""
    rng = np.random.default_rng(7)
    side = max(rows, columns)
    around, face = texture(rng, side, beta=2.0), texture(rng, side, beta=2.6, mean=160.0, sd=30.0)
    y, x = np.mgrid[:rows, :columns]
    inside = np.hypot((x - columns / 2) / 150, (y - rows / 2) / 190) < 1
    grey = np.where(inside, face[:rows, :columns], around[:rows, :columns]).astype(np.float32)
    frame = grey[..., None] * np.float32([1.0, 0.85, 0.75]) + rng.normal(0, 3, (rows, columns, 1))
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


class Textured:
    """What a pass needs of a frame to cut a crop."""

    def __init__(self, rgb):
        self.luma, self._rgb = rgb[..., 0], rgb

    def rgb(self):
        return self._rgb

    def rgb_within(self, left, top, right, bottom):
        return self._rgb[top:bottom, left:right]


CHANGES = {
    "mirror": [mirror],
    "brightness": [brightness],
    "translation": [lambda o: translated(o, (37.0, -21.0))],
    "scale": [lambda o: filmed(o, 0.5), lambda o: filmed(o, 2.0)],
    "gain": [
        lambda o: replace(o, audio=o.audio * np.float32(0.5)),
        lambda o: replace(o, audio=o.audio * np.float32(-2.0)),
    ],
    "clock": [lambda o: replace(o, times_s=o.times_s + 7.3, audio_start_s=o.audio_start_s + 7.3)],
}


def test_every_change_that_a_column_may_name_is_made():
    assert set(CHANGES) == spec.EVERY_CHANGE


@pytest.fixture
def stand_in(monkeypatch):
    """In place of the recogniser: numbers that depend on image and landmarks, and cost nothing."""

    def embed(crop, points):
        grey = np.resize(crop[::7, ::7].astype(float).ravel(), 128)
        return grey / 100.0 + (points.ravel()[:128] - points.mean()) / 1000.0

    monkeypatch.setattr(face_embedding, "embed", embed)


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("family", [f for f in discovery.families() if f.name not in NETWORKS], ids=lambda f: f.name)
def test_declared_invariances_hold(stand_in, talking_head, family, change):
    names = [column.name for column in family.columns if change in column.invariant_to]
    if not names:
        pytest.skip(f"{family.name} declares nothing proof against {change}")
    observation = filmed(talking_head(), 1.0) if change == "scale" else talking_head()
    before = family.measure(observation, observation.tracks[0])
    for apply in CHANGES[change]:
        other = apply(observation)
        after = family.measure(other, other.tracks[0])
        wrong = {
            name: (before[name], after[name])
            for name in names
            if before[name]
            != pytest.approx(after[name], rel=TOLERANCE[change], abs=TOLERANCE[change] / 10, nan_ok=True)
        }
        assert not wrong


@pytest.fixture(scope="module", params=FRAME_RATES)
def short_clip(request):
    return build_talking_head(np.random.default_rng(5), duration_s=6.0, fps=request.param, blinks=(1.2, 4.1))


@pytest.mark.parametrize("name", [*CHEAP, "head_pose"])
def test_a_later_start_changes_nothing_at_other_frame_rates(short_clip, name):
    """Non-regression test: windows of n + 1/2 samples (2.5 s at 25 fps) were rounded as the clock's last digit fell."""
    (family,) = discovery.families([name])
    names = [column.name for column in family.columns if "clock" in column.invariant_to]

    def measured_at(start_s):
        times_s, audio_start_s = short_clip.times_s + start_s, short_clip.audio_start_s + start_s
        row = family.measure(replace(short_clip, times_s=times_s, audio_start_s=audio_start_s), short_clip.tracks[0])
        return {name: row[name] for name in names}

    at_start = measured_at(0.0)
    for start_s in (0.04, 1.0):
        assert measured_at(start_s) == pytest.approx(
            at_start, rel=TOLERANCE["clock"], abs=TOLERANCE["clock"] / 10, nan_ok=True
        )


@pytest.mark.parametrize(
    "column", ["residual.kb_std_med", "quality.noise_imm_face_med", "texture.glcm_contrast_d1_med"]
)
def test_a_frame_of_other_size_has_other_finest_details(talking_head, column):
    """What the change of scale is for: a column of native pixels moves by more than its tolerance, or is missing."""
    (family,) = discovery.families([column.partition(".")[0]])
    clips = [filmed(talking_head(), scale) for scale in (1.0, 0.5)]
    before, after = (family.measure(clip, clip.tracks[0])[column] for clip in clips)
    assert after != pytest.approx(before, rel=TOLERANCE["scale"])


@pytest.mark.parametrize("family", [f for f in discovery.families() if f.name not in NETWORKS], ids=lambda f: f.name)
def test_values_lie_in_their_declared_range(stand_in, talking_head, family):
    observation = talking_head()
    values = family.measure(observation, observation.tracks[0])
    spans = {column.name: column.range for column in family.columns}
    outside = {n: v for n, v in values.items() if np.isfinite(v) and not spans[n][0] <= v <= spans[n][1]}
    assert not outside
    assert not np.isinf(list(values.values())).any()


@pytest.mark.parametrize("family", [f for f in discovery.families() if f.name not in NETWORKS], ids=lambda f: f.name)
@pytest.mark.parametrize("case", ["lost", "one_frame", "no_crops"])
def test_degenerate_tracks_give_nan_not_errors(stand_in, talking_head, family, case):
    observation = talking_head()
    track = observation.tracks[0]
    if case == "lost":
        nothing = np.full_like(track.landmarks, np.nan)
        track = replace(track, landmarks=nothing, flow=nothing)
    if case == "one_frame":
        arrays = ("frame_index", "landmarks", "flow", "box", "detector_score", "sharpness")
        track = replace(track, crop_index=track.crop_index[:0], **{n: getattr(track, n)[:1] for n in arrays})
    if case != "lost":
        track = replace(
            track, crop_index=track.crop_index[:0], crop_box=track.crop_box[:0],
            crops=(), patch_face=(), patch_background=(),
        )  # fmt: skip
    values = family.measure(replace(observation, tracks=(track,)), track)
    assert 0.0 <= values[f"{family.name}.valid_share"] <= 1.0
    assert not np.isinf(list(values.values())).any()
