"""What families show over time: planted moments are found there, and the columns are made of the same values."""

import dataclasses

import numpy as np
import pytest
from people import build_talking_head, speech
from registry import own_registry

from features import discovery, spec
from features.clip_series import audio_series, person_series
from features.families import (
    blink,
    forensic_cnn,
    forensic_voice,
    head_pose,
    identity,
    landmark_jitter,
    lip_sync,
    quality,
    spectrum,
)
from features.measures import speech_series
from features.measures.robust import median
from features.networks import logit_columns
from features.networks.crop_views import View
from features.networks.face_embedding import MAX_CHIPS, suitable
from features.networks.weights import use_weights

BLINKS = (1.5, 4.2, 7.7)
CHANGED = (6, 7)  # crops whose image a test replaces


@pytest.fixture
def person(talking_head):
    observation = talking_head()
    return observation, observation.tracks[0]


def without_face(track, first, last):
    """The track with the face lost from sample ``first`` to before ``last``."""
    landmarks, flow = track.landmarks.copy(), track.flow.copy()
    landmarks[first:last] = flow[first : last + 1] = np.nan
    return dataclasses.replace(track, landmarks=landmarks, flow=flow)


def test_planted_blinks_are_events_and_openness_is_low_there(person):
    found = blink.lid_series(*person)["blink.openness"]
    assert [(event.start_s + event.end_s) / 2 for event in found.events] == pytest.approx(BLINKS, abs=0.05)
    assert {event.name for event in found.events} == {"blink"}
    shut = np.min(np.abs(found.times_s[:, None] - np.array(BLINKS)), axis=1) < 0.03
    assert found.values[shut].max() < 0.5
    assert np.median(found.values[~shut]) == pytest.approx(1.0, abs=0.15)


def test_blink_columns_are_those_of_the_events(person):
    events = blink.lid_series(*person)["blink.openness"].events
    values = blink.measure(*person)
    assert values["blink.count"] == len(events)
    assert values["blink.rate_per_min"] == pytest.approx(len(events) / 10 * 60)
    assert values["blink.dur_med_s"] == pytest.approx(np.median([event.length_s for event in events]), abs=1e-6)


def test_series_break_where_the_face_is_lost(person):
    observation, track = person
    holed = without_face(track, 60, 90)
    for name, found in person_series(
        observation, holed, discovery.families(["blink", "landmark_jitter", "lip_sync"])
    ).items():
        lost = (found.times_s > 60 / 30) & (found.times_s < 89 / 30)
        assert not np.isfinite(found.values[lost]).any(), name
        if name not in {"lip_sync.lag", "lip_sync.agreement"}:  # windows that meet the gap are left out
            assert lost.any(), name


def test_a_face_that_is_never_seen_has_no_series(person):
    observation, track = person
    nowhere = without_face(track, 0, len(track))
    assert not person_series(observation, nowhere, discovery.families(["blink", "landmark_jitter", "lip_sync"]))


@pytest.mark.parametrize("late_s", [-0.2, 0.0, 0.2])
def test_the_lag_over_windows_is_that_of_the_audio(person, late_s):
    observation, track = person
    later = dataclasses.replace(observation, audio_start_s=observation.audio_start_s + late_s)
    series = lip_sync.lip_series(later, track)
    lags = series["lip_sync.lag"].values
    assert np.nanmedian(lags) == pytest.approx(late_s, abs=0.03)
    assert np.isfinite(lags).mean() > 0.7
    np.testing.assert_array_equal(np.isfinite(lags), series["lip_sync.agreement"].values > 0.3)


def test_lip_sync_columns_follow_from_the_shown_opening_and_loudness(person):
    observation, track = person
    opening = lip_sync.lip_series(observation, track)["lip_sync.opening"]
    loudness = lip_sync.lip_series(observation, None)["lip_sync.loudness"]
    grid_s = loudness.times_s[loudness.times_s <= opening.times_s[-1]]
    opened = np.interp(grid_s, opening.times_s, opening.values)
    speaking = speech_series.speech_mask(speech_series.short_time_series(observation.audio)["level"])[: len(grid_s)]
    values = lip_sync.measure(observation, track)
    low, high = np.quantile(opened, [0.05, 0.95])
    assert values["lip_sync.mouth_range_iod"] == pytest.approx(high - low, rel=1e-9)
    closed = lip_sync.voiced_closed_share(opened, speech=speaking)
    assert values["lip_sync.voiced_closed_share"] == pytest.approx(closed, rel=1e-9)
    pair = lip_sync.pair_columns(mouth=opened, voice=loudness.values[: len(grid_s)])
    for name, value in pair.items():
        assert values[f"lip_sync.open_rms_{name}"] == pytest.approx(value, rel=1e-6), name


def test_jitter_columns_are_summaries_of_the_series(person):
    series, values = landmark_jitter.jitter_series(*person), landmark_jitter.measure(*person)
    for region in ("mouth", "jaw"):
        found = series[f"landmark_jitter.{region}"].values
        assert values[f"landmark_jitter.{region}_jitter_med_iod"] == np.median(found)
        assert values[f"landmark_jitter.{region}_jitter_q90_iod"] == np.quantile(found, 0.9)


def test_jitter_is_high_where_the_mouth_shakes(person, rng):
    observation, track = person
    landmarks = track.landmarks.copy()
    landmarks[150:180, 48:] += rng.normal(0, 4.0, (30, 20, 2)).astype(np.float32)
    shaken = dataclasses.replace(track, landmarks=landmarks)
    series = landmark_jitter.jitter_series(observation, shaken)
    for name, least in (("landmark_jitter.mouth", 2.0), ("landmark_jitter.jaw", 0.0)):
        found = series[name]
        inside = (found.times_s >= 5.0) & (found.times_s < 6.0)
        rise = np.median(found.values[inside]) / np.median(found.values[~inside])
        assert (rise > 2.0) == (least > 0), name


@pytest.fixture
def weights(tmp_path):
    """A network with random weights, whose batch statistics are those of noise."""
    torch = pytest.importorskip("torch")
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    torch.manual_seed(0)
    net = LiteNet(dropout=0.0).train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net(torch.randn(8, 3, 64, 64))
    save_weights(net, tmp_path / "net.safetensors", WeightsMetadata())
    return tmp_path / "net.safetensors"


def test_logits_peak_at_the_faces_whose_images_are_replaced(person, weights):
    observation, track = person
    with use_weights({"forensic_cnn": weights}):
        scores = logit_columns.score_crops(track.crops, "forensic_cnn", range(16)).logits
        low, high = track.crops[int(scores.argmin())], track.crops[int(scores.argmax())]
        crops = tuple(high if number in CHANGED else low for number in range(16))
        found = forensic_cnn.series(observation, dataclasses.replace(track, crops=crops))["forensic_cnn.logit"]
    assert found.times_s.tolist() == observation.crop_times_s(track).tolist()
    above = found.values > (scores.min() + scores.max()) / 2
    assert np.flatnonzero(above).tolist() == list(CHANGED)
    assert found.values[above] == pytest.approx(float(scores.max()), abs=1e-4)


def test_logit_columns_are_summaries_of_the_series_but_for_the_views(person, weights, monkeypatch):
    """The series shows every crop in one view; so would the columns, if there were no others."""
    observation, track = person
    monkeypatch.setattr(logit_columns, "VIEWS", (View(),))
    with use_weights({"forensic_cnn": weights}):
        found = forensic_cnn.series(observation, track)["forensic_cnn.logit"].values
        values = forensic_cnn.measure(observation, track)
    judged = found[logit_columns.chosen(16)]
    assert len(found) == 16 > len(judged) == 8
    assert values["forensic_cnn.logit_mean"] == pytest.approx(judged.mean(), abs=1e-5)
    assert values["forensic_cnn.logit_max"] == pytest.approx(judged.max(), abs=1e-5)
    assert values["forensic_cnn.logit_step_mean"] == pytest.approx(np.abs(np.diff(judged)).mean(), abs=1e-5)


def test_without_weights_there_is_no_series(person, tmp_path):
    with use_weights({name: tmp_path / "none" for name in ("forensic_cnn", "forensic_voice")}):
        assert forensic_cnn.series(*person) == {}
        assert forensic_voice.window_series(person[0], None) == {}


def with_embeddings(track, rows):
    return dataclasses.replace(track, embedding=np.asarray(rows, np.float32))


def test_identity_stands_out_where_another_face_is_seen(person, rng):
    observation, track = person
    rows = 0.02 * rng.standard_normal((16, 128))
    rows[list(CHANGED)] += 0.1
    found = identity.medoid_series(observation, with_embeddings(track, rows))["identity.distance"]
    assert np.flatnonzero(found.values > 0.6).tolist() == list(CHANGED)
    assert found.times_s.tolist() == observation.crop_times_s(track).tolist()


def test_identity_columns_are_summaries_of_the_series(person, rng):
    observation, track = person
    numbers = suitable(track, most=MAX_CHIPS)
    names = ("crop_index", "crop_box", "embedding")
    few = {name: getattr(track, name)[numbers] for name in names}
    few |= {
        name: tuple(getattr(track, name)[n] for n in numbers) for name in ("crops", "patch_face", "patch_background")
    }
    few["embedding"] = rng.standard_normal((len(numbers), 128)).astype(np.float32)
    fewer = dataclasses.replace(track, **few)
    found = identity.medoid_series(observation, fewer)["identity.distance"].values
    values = identity.measure(observation, fewer)
    assert values["identity.medoid_med"] == np.median(found)
    assert values["identity.medoid_max"] == found.max()


def test_sharpness_and_light_are_context_and_their_medians_are_columns(person):
    observation, track = person
    series, values = quality.patch_series(observation, track), quality.measure(observation, track)
    assert not any(one.evidence for one in series.values())
    assert values["quality.blur_lap_face_med"] == median(series["quality.sharpness"].values)
    assert values["quality.expo_med_face_med"] == median(series["quality.light"].values)


def test_a_face_that_is_dark_for_a_moment_is_dark_there(person):
    observation, track = person
    patches = tuple(patch // 4 if n in CHANGED else patch for n, patch in enumerate(track.patch_face))
    patches = (*patches[:-1], np.empty((0, 0), np.uint8))  # too small for a patch
    light = quality.patch_series(observation, dataclasses.replace(track, patch_face=patches))["quality.light"].values
    assert np.flatnonzero(light < 60).tolist() == list(CHANGED)
    assert np.isnan(light[-1])


def a_voice(rng, seconds):
    times = np.arange(int(seconds * 30)) / 30.0
    mouth = 0.5 + 0.4 * np.sin(2 * np.pi * 3 * times)
    return speech(rng, mouth, times, seconds).astype(np.float32)


def test_the_speech_models_score_of_short_audio_is_the_column(person, rng):
    clip = dataclasses.replace(person[0], audio=a_voice(rng, 2.5))
    (found,) = forensic_voice.window_series(clip, None).values()
    assert found.times_s == pytest.approx([1.25])
    assert found.window_s == 2.5
    assert found.values[0] == forensic_voice.measure(clip, None)["forensic_voice.logit"]


def test_each_window_has_the_score_of_its_own_audio(person, rng):
    audio = a_voice(rng, 8.0)
    audio[4 * 16_000 :] = 0.0
    audio[0] = audio[-1] = 0.01  # what follows is silence, not audio that ends
    clip = dataclasses.replace(person[0], audio=audio, audio_start_s=0.5)
    (found,) = forensic_voice.window_series(clip, None).values()
    assert found.times_s == pytest.approx(0.5 + 1.5 + np.arange(6))
    assert found.window_s == forensic_voice.WINDOW_S
    first = dataclasses.replace(clip, audio=audio[: 3 * 16_000])
    assert found.values[0] == forensic_voice.measure(first, None)["forensic_voice.logit"]
    assert np.isfinite(found.values[:4]).all()
    assert np.isnan(found.values[4:]).all()


def test_without_a_face_only_the_audio_has_series(person):
    chosen = discovery.families(["blink", "forensic_voice", "lip_sync", "quality"])
    clip = dataclasses.replace(person[0], tracks=())
    assert sorted(audio_series(clip, chosen)) == ["forensic_voice.logit", "lip_sync.loudness"]
    assert not audio_series(dataclasses.replace(clip, audio=None), chosen)


def test_faces_and_audio_have_series_of_their_own(person):
    chosen = discovery.families()
    of_face, of_audio = person_series(*person, chosen), audio_series(person[0], chosen)
    assert not of_face.keys() & of_audio.keys()
    assert all(name.split(".")[0] in {one.name for one in chosen} for name in [*of_face, *of_audio])
    assert all(one.title and one.unit for one in [*of_face.values(), *of_audio.values()])


@pytest.fixture
def registry(monkeypatch):
    own_registry(monkeypatch)


@pytest.mark.parametrize("gives", ["raises", "a stranger"])
def test_a_family_whose_series_fail_loses_its_own_only(person, registry, caplog, gives):
    def series(observation, track):
        return 1 / 0 if gives == "raises" else {"blink.more": None}

    columns = [spec.Column("theirs.valid_share", description="Share.")]
    spec.family("theirs", version=1, needs={"track"}, columns=columns, series=series)(lambda *_: {})
    found = person_series(*person, discovery.families(["blink", "theirs"]))
    assert list(found) == ["blink.openness"]
    assert "series of family theirs failed" in caplog.text


def test_series_do_not_depend_on_when_the_clocks_begin(rng):
    observation = build_talking_head(rng)
    later = dataclasses.replace(observation, times_s=observation.times_s + 7.0, audio_start_s=7.0)
    chosen = discovery.families(["blink", "landmark_jitter", "lip_sync", "quality"])
    for name, one in person_series(observation, observation.tracks[0], chosen).items():
        other = person_series(later, later.tracks[0], chosen)[name]
        np.testing.assert_allclose(other.times_s - 7.0, one.times_s, atol=1e-9)
        np.testing.assert_allclose(other.values, one.values, atol=1e-6)


def shown(person, source, display_fps):
    """The clip in which a display shows these frames [n] of a person's, a number in a row being a repeat."""
    (track,) = person.tracks
    per_frame = ("landmarks", "flow", "box", "detector_score", "sharpness")
    again = dataclasses.replace(
        track,
        frame_index=np.arange(len(source), dtype=np.int32),
        crop_index=np.minimum(np.searchsorted(source, track.crop_index), len(source) - 1).astype(np.int32),
        **{name: getattr(track, name)[source] for name in per_frame},
    )
    times_s, repeated = np.arange(len(source)) / display_fps, np.diff(source, prepend=-1) == 0
    return dataclasses.replace(person, times_s=times_s, duplicate=repeated, tracks=(again,))


@pytest.mark.parametrize("family", [head_pose, landmark_jitter, spectrum])
def test_motion_is_the_same_when_a_display_repeats_frames(rng, family):
    """Non-regression test: of 24 frames a second shown at 30, jerk and jitter were eight times what they are."""
    n, fps, display_fps = 240, 24, 30
    person = build_talking_head(rng, duration_s=n / fps, fps=fps, audio=False, noise_px=0.1)
    source = np.floor(np.arange(n * display_fps // fps) * fps / display_fps + 1e-6).astype(int)
    converted = shown(person, source, display_fps)
    wanted, values = (family.measure(one, one.tracks[0]) for one in (person, converted))
    assert sum(np.isfinite(list(values.values()))) > 10
    for name, value in values.items():
        if not name.endswith("valid_share"):
            assert value == pytest.approx(wanted[name], rel=0.01, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize(("n", "every"), [(60, 60), (60, 30), (180, 25), (180, 10), (180, 5)])
def test_motion_is_about_the_same_where_frames_were_lost(rng, n, every):
    """Non-regression test: with each 25th lost, jerk of the head was three times what it is, with one of 30 eight."""
    person = build_talking_head(rng, duration_s=n / 30, fps=30.0, audio=False, noise_px=0.1)
    source = np.arange(n)
    source[every // 2 :: every] -= 1
    whole, lossy = (
        landmark_jitter.measure(one, one.tracks[0]) | head_pose.measure(one, one.tracks[0])
        for one in (person, shown(person, source, 30))
    )
    for name in ("landmark_jitter.jerk_q90", "head_pose.jerk_q90_deg_s3", "head_pose.acc_q90_deg_s2"):
        assert lossy[name] == pytest.approx(whole[name], rel=0.25), name
