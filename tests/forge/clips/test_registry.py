import json
from dataclasses import replace

import numpy as np
import pytest

from forge.clips import video
from forge.clips.audio import _at_tempo, warp_formants
from forge.clips.clip import RATE_HZ, EditableClip
from forge.clips.registry import NEEDS, kind, kinds
from forge.demo import portrait
from forge.demo.animate import Puppet, Scene, render, sample_motion
from forge.speech_synthesis import Speaker, speak

VIDEO = ("face_swap", "self_blend", "expression", "resynthesis")
AUDIO = ("desync", "dub", "voice_conversion")


def recorded(person, seed):
    rng = np.random.default_rng(seed)
    speech = speak(1.2, Speaker.sample(rng), rng)
    motion = sample_motion(speech, fps=15.0, rng=rng)
    puppet = Puppet(portrait.load(person), size=(240, 240), iod=45.0, eyes=(120, 100))
    frames, landmarks = zip(*render(puppet, motion, Scene.sample((240, 240), rng), rng), strict=True)
    return EditableClip(person, frames, np.arange(len(frames)) / 15, np.stack(landmarks), speech.audio)


@pytest.fixture(scope="module")
def clip():
    return recorded("astronaut", 0)


@pytest.fixture(scope="module")
def donor():
    return recorded("hopper", 1)


def forged(name, clip, donor, seed=0, **changes):
    rng = np.random.default_rng(seed)
    parameters = {**kinds()[name].sample(rng), **changes}
    return kinds()[name].apply(clip, parameters, rng, donor)


def test_the_registry_knows_the_kinds_of_the_brief():
    assert set(kinds()) == {*VIDEO, *AUDIO, "reencode"}
    assert all(one.needs <= NEEDS for one in kinds().values())
    with pytest.raises(ValueError, match="needs"):
        kind("odd", part="picture", needs={"luck"}, sample=lambda rng: {})


@pytest.mark.parametrize("name", [*VIDEO, *AUDIO, "reencode"])
def test_parameters_are_plain_json_and_follow_the_seed(name):
    first, again, other = (kinds()[name].sample(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert json.loads(json.dumps(first)) == first == again
    assert first != other


@pytest.mark.parametrize("name", VIDEO)
def test_video_forgery_changes_the_face_alone(name, clip, donor):
    made = forged(name, clip, donor)
    assert np.array_equal(made.audio, clip.audio)
    before, after = (np.stack(list(one.frames)).astype(int) for one in (clip, made))
    changed = np.abs(after - before).max(-1)
    x, y = np.round(clip.landmarks[:, 62].mean(0)).astype(int)
    assert changed[:, y - 6 : y + 6, x - 8 : x + 8].mean() > 1.0
    assert changed[:, :20].max() == changed[:, :, :20].max() == 0


@pytest.mark.parametrize("name", VIDEO)
def test_a_forgery_can_be_gone_through_twice(name, clip, donor):
    made = forged(name, clip, donor)
    assert all(np.array_equal(a, b) for a, b in zip(made.frames, made.frames, strict=True))


@pytest.mark.parametrize("name", VIDEO)
def test_frames_without_a_face_stay_as_they_are(name, clip, donor):
    landmarks = clip.landmarks.copy()
    landmarks[6:] = np.nan
    made = list(forged(name, replace(clip, landmarks=landmarks), donor).frames)
    assert np.array_equal(made[-1], list(clip.frames)[-1])
    assert not np.array_equal(made[2], list(clip.frames)[2])


@pytest.mark.parametrize("blend", ["poisson", "feather"])
def test_a_swap_looks_more_like_the_donor(clip, donor, blend):
    """dlib's embedding of the swapped face is nearer the donor's than the face it replaced."""
    from features.networks.face_recogniser import embedding as embed

    def embedding(one, number=3):
        import dlib

        frame, points = list(one.frames)[number], clip.landmarks[number] if one is not donor else one.landmarks[number]
        left, top, right, bottom = (int(v) for v in (*points.min(0), *points.max(0)))
        shape = dlib.full_object_detection(
            dlib.rectangle(left, top, right, bottom), [dlib.point(int(x), int(y)) for x, y in points]
        )
        return embed(dlib.get_face_chip(np.ascontiguousarray(frame), shape, 150, 0.25))

    swapped = embedding(forged("face_swap", clip, donor, blend=blend, quality="good", colour=0.9, face_px=200))
    assert np.linalg.norm(swapped - embedding(donor)) < np.linalg.norm(embedding(clip) - embedding(donor))


def test_the_mouth_of_another_moment_is_so_much_later_as_is_said():
    """Non-regression test: the offset was counted in usable faces, so that a gap in them made it longer."""
    times_s = np.arange(60) / 25
    face = portrait.load("astronaut").landmarks
    landmarks = np.repeat(face[None], 60, axis=0).astype(np.float32)
    landmarks[10:30] = np.nan
    still = EditableClip("a", [], times_s, landmarks, None)
    chosen = video._moments(still, 0.8)
    later = chosen[:40] - np.arange(40)
    assert set(later[31:]) == {20}
    assert set(chosen[:10]) == {31}, "the nearest after the gap: a face that has just come may move"
    assert set(chosen[10:31]) == {31}, "a frame without a face asks for none of its own"
    assert chosen[40:].tolist() == [*range(58, 38, -1)], "backwards, where the clip ends"


def test_faces_of_another_moment_come_in_the_order_asked_for(clip):
    chosen = np.array([3, 4, 4, 9, 8, 3])
    found = list(video._chosen_faces(clip, chosen))
    frames = list(clip.frames)
    for number, (face, place) in zip(chosen, found, strict=True):
        expected, points = video._face(frames[number], clip.landmarks[number], video.FULL_FACE_PX)
        assert np.array_equal(face, expected)
        assert np.array_equal(place, points)


@pytest.mark.parametrize("shift_s", [-0.25, 0.3])
def test_desync_shifts_the_audio_by_the_given_time(clip, shift_s):
    made = forged("desync", clip, None, shift_s=shift_s, rate=1.0)
    lags = np.fft.irfft(np.fft.rfft(made.audio) * np.conj(np.fft.rfft(clip.audio)))
    found = int(np.argmax(lags))
    found -= clip.audio.size if found > clip.audio.size // 2 else 0
    assert found / RATE_HZ == pytest.approx(shift_s, abs=1e-3)


def test_stretched_audio_keeps_its_length_and_pitch(clip):
    tone = np.sin(2 * np.pi * 300 * np.arange(clip.audio.size) / RATE_HZ).astype(np.float32)
    made = forged("desync", clip.with_audio(tone), None, shift_s=0.0, rate=1.1)
    assert made.audio.size == clip.audio.size
    peak = np.argmax(np.abs(np.fft.rfft(made.audio[2000:12000] * np.hanning(10000)))) * RATE_HZ / 10000
    assert peak == pytest.approx(300, abs=5)


def test_dub_brings_the_donors_voice_at_the_same_level(clip, donor):
    made = forged("dub", clip, donor, voice="donor")
    assert abs(np.corrcoef(made.audio, donor.audio[: made.audio.size])[0, 1]) > 0.95
    assert np.sqrt(np.mean(made.audio**2)) == pytest.approx(np.sqrt(np.mean(clip.audio**2)), rel=0.05)


def test_dub_without_a_donor_is_a_synthetic_voice(clip):
    made = forged("dub", clip, None)
    assert made.audio.size == clip.audio.size
    assert abs(np.corrcoef(made.audio, clip.audio)[0, 1]) < 0.3


def vowel(pitch_hz, formant_hz):
    """A pulse train through one resonance."""
    from scipy.signal import lfilter

    pulses = (np.diff(np.floor(np.arange(RATE_HZ + 1) * pitch_hz / RATE_HZ)) > 0).astype(float)
    pole = 0.97 * np.exp(2j * np.pi * formant_hz / RATE_HZ)
    return lfilter([0.1], np.real([1, -(pole + pole.conj()), abs(pole) ** 2]), pulses).astype(np.float32)


@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_formants_move_and_the_pitch_stays(ratio):
    moved = warp_formants(vowel(100.0, 1600.0), ratio)
    power = np.abs(np.fft.rfft(moved * np.hanning(moved.size)))
    freq = np.fft.rfftfreq(moved.size, 1 / RATE_HZ)
    envelope = np.convolve(power, np.hanning(300), "same")
    band = freq > 500
    assert freq[band][np.argmax(envelope[band])] == pytest.approx(1600 * ratio, rel=0.08)
    harmonics = power[100::100][:40].sum() / power[150::100][:40].sum()
    assert harmonics > 10


def test_voice_conversion_moves_the_pitch(clip):
    made = forged("voice_conversion", clip.with_audio(vowel(120.0, 900.0)[: clip.audio.size]), None,
                  pitch_semitones=5.0, formant_ratio=1.1)  # fmt: skip
    middle = made.audio[4000:14000]
    power = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    first = 80 + np.argmax(power[round(80 / 1.6) : round(230 / 1.6)]) * 1.6
    assert first == pytest.approx(120 * 2 ** (5 / 12), abs=6)


@pytest.mark.parametrize(("rate", "sped_up"), [(1.12, 1.0), (0.88, 1.0), (2**0.5, 0.5**0.5), (0.5**0.5, 2**0.5)])
def test_audio_at_another_tempo_is_whole_and_in_time(rate, sped_up):
    """Non-regression test: it was 6 to 15 ms early, and the start of the clip filled the end."""
    at_s, rng = np.arange(5 * RATE_HZ) / RATE_HZ, np.random.default_rng(0)
    loudness = np.interp(at_s, np.arange(0, 5.2, 0.12), rng.normal(size=44)).clip(0)
    voice = sum(np.sin(2 * np.pi * n * 130 * at_s + 6 * n * np.sin(4 * at_s)) / n for n in range(1, 12))
    made = _at_tempo((0.1 * loudness * voice).astype(np.float32), rate, sped_up=sped_up)
    assert made.size == round(at_s.size / (rate * sped_up))
    wanted = np.interp(np.arange(made.size) * rate * sped_up, np.arange(at_s.size), loudness)
    heard = np.convolve(np.abs(made), np.hanning(400), "same")
    lags = np.fft.irfft(np.fft.rfft(heard, 2**17) * np.conj(np.fft.rfft(wanted, 2**17)))
    assert (np.argmax(np.roll(lags, 800)) - 800) / RATE_HZ == pytest.approx(0, abs=0.003)


@pytest.mark.parametrize("n", [0, 1, 266])
def test_a_single_frame_of_audio_can_be_changed(n):
    """Non-regression test: below 32 ms, as with one frame at 60 fps, "need at least one array to concatenate"."""
    assert _at_tempo(np.zeros(n, np.float32), 0.75, sped_up=1 / 0.75).size == n


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"audio": None}, "desync", "no audio"),
        ({"landmarks": np.full((18, 68, 2), np.nan, np.float32)}, "self_blend", "no face"),
    ],
)
def test_what_is_missing_is_said_in_words(clip, changes, name, words):
    assert words in kinds()[name].missing(replace(clip, **changes), None)
    assert kinds()[name].missing(clip, None) == ""


def test_a_swap_without_a_donor_is_refused(clip):
    assert "no other clip" in kinds()["face_swap"].missing(clip, None)


def test_reencode_halves_the_frame_to_even_sides(clip):
    made = next(iter(forged("reencode", clip, None, scale=0.5).frames))
    assert made.shape == (120, 120, 3)
