"""Audio-only files: a row of the voice, whatever the header says; evidence and a page without images."""

import json
import struct

import av
import cv2
import numpy as np
import pytest
from audio_maker import speech, write_wave

import deepcue
from deepcue.cli.main import main
from ensemble.store import default_model, load_model
from ensemble.verdict import judge
from ensemble.wording import NO_VIDEO, NOTE, NOTE_AUDIO_ONLY, NOTE_NO_SPEECH
from extract.entries import ClipEntry
from extract.pipeline import examine
from extract.run import worker
from features.reasons import Reason
from reports.clip_report import ClipFacts, clip_page

SETTINGS = worker.Settings(families=("blink", "lip_sync", "voice"))
ALONE = "no video in the file, only its audio was measured"


def measured(path, settings=SETTINGS):
    """The row of a file, its voice columns, and its Observation."""
    row, observed = worker.measured(path.name, str(path), settings)
    values = dict(zip(worker.column_names(settings.families), row.values.tolist(), strict=True))
    return row, {name: value for name, value in values.items() if name.startswith("voice.")}, observed


def encoded(path, samples, codec):
    """One channel at 16 kHz in a lossy file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def mp3(tmp_path_factory):
    return encoded(tmp_path_factory.mktemp("mp3") / "speech.mp3", speech(6), "libmp3lame").read_bytes()


def test_speech_has_voice_columns_and_cues_of_the_video_have_a_reason(tmp_path):
    row, voice, _ = measured(write_wave(tmp_path / "a.wav", speech(6)))
    assert (row.status, row.error) == ("no_face", ALONE)
    assert (row.n_frames, row.n_faces, row.duration_s) == (0, 0, pytest.approx(6.0))
    assert np.isfinite(list(voice.values())).all()
    assert row.reasons == {"blink": Reason.NO_VIDEO.value, "lip_sync": Reason.NO_VIDEO.value}


def test_a_video_container_without_video_is_read_as_audio(tmp_path):
    row, voice, _ = measured(encoded(tmp_path / "a.mp4", speech(6), "aac"))
    assert (row.status, row.error) == ("no_face", ALONE)
    assert np.isfinite(list(voice.values())).all()


@pytest.mark.parametrize(
    "samples",
    [np.zeros(48000), np.full(48000, np.nan, np.float32), speech(6)[8000:8400], np.array([0.1])],
    ids=["silent", "nan", "short", "one sample"],
)
def test_audio_without_speech_has_a_row_without_numbers(tmp_path, samples):
    row, voice, observed = measured(write_wave(tmp_path / "a.wav", samples))
    assert (row.status, row.error) == ("no_face", ALONE)
    assert row.duration_s == pytest.approx(len(samples) / 16000)
    assert np.isfinite(observed.audio).all()
    assert voice.pop("voice.valid_share") == 0
    assert np.isnan(list(voice.values())).all()
    assert row.reasons["voice"] == Reason.UNUSABLE.value


def test_samples_that_are_no_numbers_are_silence_among_the_others(tmp_path):
    samples = speech(6)
    samples[::7] = np.nan
    samples[3::700] = np.inf
    _, voice, observed = measured(write_wave(tmp_path / "a.wav", samples))
    whole = np.isfinite(samples)
    assert observed.audio[whole] == pytest.approx(samples[whole], abs=1e-6)
    assert not observed.audio[~whole].any()
    assert np.isfinite(list(voice.values())).all()


@pytest.mark.parametrize(("rate", "seconds"), [(1, 100), (1_000_000, 3)])
def test_a_rate_of_any_size_is_resampled(tmp_path, rate, seconds):
    samples = 0.1 * np.random.default_rng(0).standard_normal(100) if rate == 1 else speech(seconds, rate)
    row, _, observed = measured(write_wave(tmp_path / "a.wav", samples, rate=rate))
    assert (row.status, row.error) == ("no_face", ALONE)
    assert len(observed.audio) == pytest.approx(seconds * 16000, rel=0.01)


def test_a_rate_that_no_recorder_has_is_refused_in_words(tmp_path):
    row, _, _ = measured(write_wave(tmp_path / "a.wav", speech(1), rate=2_000_000_000))
    assert row.status == "unreadable"
    assert "audio of 2000000000 samples per second, above the limit" in row.error


@pytest.mark.parametrize("channels", [8, 9, 64, 300])
def test_many_channels_are_heard_as_their_mean(tmp_path, channels):
    mono = speech(2).astype(np.float64)
    row, _, observed = measured(write_wave(tmp_path / "a.wav", mono[:, None] * np.linspace(0, 2, channels)))
    assert (row.status, row.error) == ("no_face", ALONE)
    assert observed.audio == pytest.approx(mono, abs=1e-3)


@pytest.mark.parametrize("channels", [2, 64])
def test_of_channels_that_cancel_each_other_one_is_heard(tmp_path, channels):
    mono = speech(2).astype(np.float64)
    signs = np.where(np.arange(channels) % 2, -1, 1)
    row, _, observed = measured(write_wave(tmp_path / "a.wav", mono[:, None] * signs))
    assert "the channels cancel each other" in row.error
    assert observed.audio == pytest.approx(mono, abs=1e-3)


@pytest.mark.parametrize("content", [b"", "head"])
def test_nothing_in_a_file_is_unreadable(tmp_path, content):
    path = write_wave(tmp_path / "a.wav", np.zeros(0))
    if content != "head":
        path.write_bytes(content)
    row, voice, _ = measured(path)
    assert row.status == "unreadable"
    assert "\n" not in row.error
    assert "Traceback" not in row.error
    assert row.reasons == {"clip": "unreadable"}
    assert not voice.pop("voice.valid_share")
    assert np.isnan(list(voice.values())).all()


@pytest.mark.parametrize("content", [np.random.default_rng(0).bytes(200), b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0"])
def test_damaged_audio_is_not_refused_only_as_video(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    row, _, _ = measured(tmp_path / "a.wav")
    assert row.status == "unreadable"
    assert row.error.startswith("no video or audio that FFmpeg can open: ")


def test_a_truncated_mp3_is_judged_by_what_is_left(tmp_path, mp3):
    (tmp_path / "a.mp3").write_bytes(mp3[: len(mp3) // 2 + 7])
    row, voice, observed = measured(tmp_path / "a.mp3")
    assert row.status == "no_face"
    assert "of 6.00 s: the rest is missing" in row.error
    assert row.duration_s == pytest.approx(3.0, abs=0.1)
    assert len(observed.audio) == pytest.approx(16000 * row.duration_s)
    assert np.isfinite(list(voice.values())).all()


@pytest.mark.parametrize("kind", ["float", "16 bits"])
def test_a_wave_file_that_was_cut_says_so(tmp_path, kind):
    """Non-regression test: FFmpeg corrects the header by the file's length, and nothing was said."""
    path = write_wave(tmp_path / "a.wav", speech(6).astype(np.float32 if kind == "float" else np.float64))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 + 1])
    row, _, observed = measured(path)
    assert row.error == f"{ALONE}; ends at 3.00 of 6.00 s: the rest is missing"
    assert len(observed.audio) == pytest.approx(48000, abs=20)


@pytest.mark.parametrize("size", [0, 0x7FFF0000, 0x80000000, 0xFFFFFFFF])
def test_a_length_that_nobody_knew_when_it_was_written_promises_nothing(tmp_path, size):
    path = write_wave(tmp_path / "a.wav", speech(2))
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    row, _, observed = measured(path)
    assert row.error == ALONE
    assert len(observed.audio) == 32000


def test_music_with_a_cover_is_distinguished_from_a_recording(tmp_path, mp3):
    _, png = cv2.imencode(".png", np.full((64, 64, 3), 90, np.uint8))
    body = b"\0image/png\0\x03\0" + png.tobytes()
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    (tmp_path / "a.mp3").write_bytes(b"ID3\x03\0\0" + size + frame + mp3[mp3.index(b"\xff\xf3") :])
    row, _, _ = measured(tmp_path / "a.mp3")
    assert (row.status, row.error) == ("unreadable", "no video stream in the file but a cover image")


def test_audio_is_analysed_for_as_long_as_a_clip(tmp_path):
    path = write_wave(tmp_path / "a.wav", speech(4))
    row, _, observed = measured(path, worker.Settings(("voice",), max_seconds=2))
    assert row.error == f"{ALONE}; only the first 2 s were analysed"
    assert (row.duration_s, len(observed.audio)) == (2.0, 32000)


@pytest.mark.usefixtures("measured_here")
@pytest.mark.parametrize(("samples", "spoken"), [(speech(6), True), (np.zeros(48000), False)], ids=["speech", "silent"])
def test_the_page_shows_the_audio_and_no_image(tmp_path, samples, spoken):
    path = write_wave(tmp_path / "a.wav", samples)
    table, evidence = examine(ClipEntry("a.wav", str(path)), families=load_model(default_model()).layout.families)
    assert (evidence.people, evidence.filmstrip, evidence.n_faces_detected) == ((), (), 0)
    assert (evidence.width, evidence.height, evidence.duration_s) == (0, 0, pytest.approx(len(samples) / 16000))
    finite = [one for one in evidence.audio.values() if np.isfinite(one.values).any()]
    assert bool(finite) == spoken
    model = load_model(default_model())
    (verdict,) = judge(model, table)
    assert verdict.notes[0] == (NOTE_AUDIO_ONLY.format(why=NO_VIDEO) if spoken else NOTE_NO_SPEECH)
    page = clip_page(verdict, model.manifest, tmp_path, facts=ClipFacts.of_row(table), evidence=evidence)
    assert verdict.notes[0].split(":")[0].lower() in page.lower()
    assert "s of audio" in page
    assert "data:image/jpeg" not in page
    assert ('class="plot"' in page) == spoken


@pytest.mark.usefixtures("measured_here")
def test_predict_reports_in_json_that_only_the_audio_was_evaluated(tmp_path, capsys):
    path = write_wave(tmp_path / "a.wav", speech(6))
    assert main(["predict", str(path), "--json", "--quiet", "--jobs", "1"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["clips"]
    assert (one["status"], one["n_frames"], one["n_faces"], one["face_width_px"]) == ("no_face", 0, 0, None)
    assert list(one["log_odds_by_family"]) == ["forensic_voice"]
    assert one["unmeasured"]["forensic_cnn"] == "the file holds no video"
    assert one["notes"] == [NOTE_AUDIO_ONLY.format(why=NO_VIDEO), NOTE]


def test_a_frame_of_a_day_is_not_resampled_to_its_end(tmp_path):
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=1, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.full((1, 86400), 1000, np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 1, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    row, _, observed = measured(path)
    assert row.error.startswith(ALONE)
    assert len(observed.audio) == 120 * 16000


def test_audio_of_eight_planes_is_read(tmp_path):
    """PyAV reads past the end of a frame of eight planes: the process used to die."""
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="7.1")
        samples = np.repeat((speech(2, 48000) * 32767).astype(np.int16), 8)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="7.1")
        frame.sample_rate, frame.pts = 48000, 0
        for one in av.AudioResampler(format="fltp", layout="7.1", rate=48000).resample(frame):
            container.mux(stream.encode(one))
        container.mux(stream.encode(None))
    row, _, observed = measured(path)
    assert row.status == "no_face"
    assert np.abs(observed.audio).max() == pytest.approx(0.3, abs=0.1)


@pytest.mark.usefixtures("measured_here")
def test_evidence_of_audio_has_its_cues_and_no_person(tmp_path):
    found = deepcue.evidence(write_wave(tmp_path / "a.wav", speech(6)))
    assert (found.people, found.n_faces_detected) == ((), 0)
    assert {name.split(".")[0] for name, value in found.cues.items() if np.isfinite(value) and value} == {
        "forensic_voice",
        "voice",
    }
