import gc
import itertools
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clip_maker import write_clip

from extract.clip import container as containers
from extract.clip import decode
from extract.clip.audio import AudioClock
from extract.clip.clock import OffsetReader, VideoClock
from extract.clip.decode import ClipReader
from extract.clip.wave_header import announced_share
from features.errors import UnreadableError


def read(path, **options):
    with ClipReader(str(path), **({"max_seconds": 60} | options)) as clip:
        return clip, list(clip.frames()), clip.audio()


def test_frames_come_with_their_times_and_audio_at_16_khz(make_clip):
    _, frames, (audio, start_s) = read(make_clip("plain.mp4", n=30, tone_s=1.2))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(30) / 25, abs=1e-3)
    assert start_s == pytest.approx(0.0, abs=0.05)
    assert len(audio) == pytest.approx(1.2 * 16_000, rel=0.05)
    spectrum = np.abs(np.fft.rfft(audio[2000:18000]))
    assert np.argmax(spectrum) == 440  # 1 s at 16 kHz: one bin a hertz


def test_audio_keeps_its_offset_to_the_video(make_clip):
    _, _, (_, start_s) = read(make_clip("late.mkv", tone_s=1.0, tone_start_s=0.5))
    assert start_s == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("gap_s", "silence_s"), [(0.5, 0.5), (0.01, 0.0), (40.0, 0.0)])
def test_audio_after_a_gap_stays_at_its_time(tmp_path, gap_s, silence_s):
    """A second of tone, a gap, and a second of another; an implausibly long gap is a timestamp discontinuity."""
    rate, path = 16_000, tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for _ in range(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(video.encode(None))
        for start_s, hertz in ((0.0, 440), (1.0 + gap_s, 1000)):
            for piece in np.split(np.arange(rate), 10):
                tone = (8000 * np.sin(2 * np.pi * hertz * piece / rate)).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
                frame.sample_rate, frame.pts = rate, round(start_s * rate) + int(piece[0])
                container.mux(track.encode(frame))
        container.mux(track.encode(None))
    clip, _, (audio, _) = read(path)
    assert len(audio) == pytest.approx((2 + silence_s) * rate, abs=800)
    second = audio[round((1.05 + silence_s) * rate) :][: rate // 2]
    assert np.argmax(np.abs(np.fft.rfft(second))) == 500  # 2 Hz a bin
    assert np.abs(audio[rate + 400 : round((0.97 + silence_s) * rate)]).max(initial=0) < 0.01
    assert clip.warnings() == ((f"{silence_s:.2f} s of audio are missing in between",) if silence_s else ())


def test_a_damaged_timestamp_moves_no_audio():
    """The second frame is 20 s late, the third on time again; the fourth and all that follow are 0.3 s late."""

    class Heard:
        samples, sample_rate = 1600, 16_000

        def __init__(self, time):
            self.time, self.pts = time, None

    times = [0.5, 20.6, 0.7, 1.1, 1.2, None, 1.4]
    frames = [*map(Heard, times), None]
    clock = AudioClock(OffsetReader({}))
    gaps = [clock.gap_before(*pair) for pair in itertools.pairwise(frames)]
    assert gaps == pytest.approx([0, 0, 0, 0.3, 0, 0, 0], abs=1e-9)
    assert (clock.start_s, clock.silence_s) == pytest.approx((0.5, 0.3))


def test_audio_begins_where_its_first_timestamp_says():
    clock = AudioClock(OffsetReader({}))

    class Heard:
        samples, sample_rate, time, pts = 1600, 16_000, None, None

    late = Heard()
    late.time = 2.1
    assert clock.gap_before(Heard(), late) == clock.gap_before(late, None) == 0
    assert clock.start_s == pytest.approx(2.0)


class Played:
    """A tenth of a second of audio with a timestamp."""

    samples, sample_rate, pts = 1600, 16_000, None

    def __init__(self, time):
        self.time = time


@pytest.mark.parametrize(
    ("rate", "longest_s"),
    [(1.0, 0.001), (0.99, 0.041), (0.9, 0.041), (1.01, 0.041)],
    ids=["even", "slow", "slower", "fast"],
)
def test_audio_stays_with_its_timestamps_whichever_way_they_drift(rate, longest_s):
    """Non-regression test: where timestamps advance slower than the samples, the audio came later and later."""
    frames = [Played(n * 0.1 * rate) for n in range(100)]
    clock, heard_s, late_s = AudioClock(OffsetReader({})), 0.0, []
    for frame, after in itertools.pairwise([*frames, None]):
        heard_s += clock.gap_before(frame, after)
        late_s.append(heard_s - frame.time)
        heard_s += 0.1
    assert np.abs(late_s[:-1]).max() <= longest_s


def test_one_timestamp_that_goes_back_cuts_no_audio():
    times = [0.0, 0.1, 0.2, 0.0, 0.4, 0.5, 0.6]
    clock = AudioClock(OffsetReader({}))
    assert [clock.gap_before(*pair) for pair in itertools.pairwise([*map(Played, times), None])] == [0.0] * 7


@pytest.mark.parametrize(
    ("moved", "last"),
    [
        ({5: 6}, [9, 0.36]),  # as late as the one after it
        ({5: 6, 6: 5}, [8, 0.32]),  # the two swapped
        ({5: 6.5}, [9, 0.36]),
        ({20: 27.5}, [36, 1.44]),
        ({0: 5}, [11, 0.44]),
        ({20: 12}, [22, 0.88]),
        ({5: 4}, [6, 0.24]),  # the same time twice
    ],
)
@pytest.mark.parametrize("header_s", [0.04, 0.001])
def test_a_frame_with_a_wrong_time_moves_only_those_next_to_it(moved, last, header_s):
    """Non-regression test: the whole rest of the clip came later and slower."""
    stamps = 0.04 * np.arange(50)
    for number, other in moved.items():
        stamps[number] = 0.04 * other
    clock = VideoClock(OffsetReader({}), header_s)
    times = np.array([clock.time_s(None, stamp) for stamp in stamps])
    number, at_s = last
    assert times[number] == pytest.approx(at_s)
    np.testing.assert_array_equal(times[number:], stamps[number:])
    assert np.diff(times).min() > 0.2 * header_s


@pytest.mark.parametrize("n_alike", [2, 4, 100])
def test_frames_with_one_timestamp_are_evenly_spread(n_alike):
    """Non-regression test: of timestamps of a coarse clock, the second frame came early and the next ones crowded."""
    clock = VideoClock(OffsetReader({}), 0.04)
    times = [clock.time_s(None, 0.04 * (number - number % n_alike)) for number in range(100)]
    np.testing.assert_allclose(times, 0.04 * np.arange(100), atol=1e-9)


def test_audio_with_coarse_timestamps_is_not_cut():
    """Non-regression test: audio that arrives in bursts was cut within them, with silence put between them."""

    class Short(Played):
        samples = 320

    clock = AudioClock(OffsetReader({}))
    bursts = [Short(0.1 * (number // 5)) for number in range(50)]
    assert [clock.gap_before(*pair) for pair in itertools.pairwise([*bursts, None])] == [0.0] * 50


@pytest.mark.parametrize("audio", ["pcm_s16le", "libmp3lame"])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("mpeg4", {}),
        ("mpeg4", {"bf": "2"}),
        ("libx264", {"bf": "0"}),
        ("libx264", {"bf": "2", "x264-params": "b-adapt=0:b-pyramid=none"}),
        ("libx264", {"bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal"}),
    ],
    ids=["mpeg4", "mpeg4 bf=2", "h264", "h264 bf=2", "h264 pyramid"],
)
def test_an_avi_begins_with_its_first_packet(tmp_path, codec, options, audio):
    """Non-regression test: H.264 came a frame or two late, since FFmpeg guesses when frames of an AVI are shown.

    FFmpeg's muxer delays all frames but the first by one, where it has to make room for the encoder delay of MP3.
    """
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = 64, 48
        track = container.add_stream(audio, rate=44_100, layout="mono")
        for number in range(20):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1764), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = 44_100, 1764 * number, Fraction(1, 44_100)
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * number, np.uint8))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux([*stream.encode(frame), *track.encode(silence)])
        container.mux([*stream.encode(None), *track.encode(None)])
    _, frames, (_, start_s) = read(path)
    delayed = audio == "libmp3lame" and options.get("bf", "0") == "0"
    assert [frame.time_s for frame in frames] == pytest.approx([0, *((np.arange(1, 20) + delayed) / 25)])
    assert start_s == 0


def test_variable_rate_times_are_kept(make_clip):
    times = [0.0, 0.04, 0.08, 0.3, 0.34, 0.5, 0.9]
    _, frames, _ = read(make_clip("vfr.mp4", n=7, times_s=times))
    assert [frame.time_s for frame in frames] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("turn", [90, -90, 180])
def test_rotation_metadata_is_applied(make_clip, turn):
    upright = read(make_clip("upright.mp4", n=2, size=(160, 96)))[1][0].luma.astype(float)
    turned = read(make_clip(f"turned{turn}.mp4", n=2, size=(160, 96), rotation=turn))[1][0]
    expected = np.rot90(upright, turn // 90)
    assert turned.luma.shape == expected.shape
    assert np.abs(turned.luma - expected).mean() < 1.0
    assert turned.rgb().shape[:2] == expected.shape


@pytest.mark.parametrize(("name", "most"), [("MAX_FRAMES", 12), ("MAX_PIXELS", 12 * 320 * 240 + 1)])
def test_of_more_frames_than_time_allows_the_first_are_looked_at(make_clip, monkeypatch, name, most):
    """Non-regression test: 4K at 60 frames a second took longer than a clip may, and had no row of its own."""
    monkeypatch.setattr(decode, name, most)
    clip, frames, (audio, _) = read(make_clip("many.mp4", n=30, size=(320, 240), tone_s=1.2))
    assert len(frames) == clip.frames_expected == 12
    assert clip.frames_per_second == pytest.approx(25, rel=0.05)
    assert len(audio) > 16_000
    assert clip.warnings() == ("only the first 0.5 s of the video were analysed: it has too many frames",)
    monkeypatch.undo()
    assert read(make_clip("many.mp4", n=30, size=(320, 240), tone_s=1.2))[0].warnings() == ()


@pytest.mark.parametrize("rotation", [0, 90])
def test_frames_that_were_looked_at_take_no_more_memory(make_clip, rotation):
    """Non-regression test: each stayed until the garbage collector ran, and large clips were out of memory."""
    with ClipReader(str(make_clip(f"kept{rotation}.mp4", n=30, rotation=rotation)), max_seconds=60) as clip:
        gc.collect()
        gc.disable()
        try:
            before = n_alive()
            n_frames = len([frame.rgb().size for frame in clip.frames()])
            left = n_alive() - before
        finally:
            gc.enable()
    assert n_frames == 30
    assert left < 5


def n_alive():
    return sum(type(one) is av.VideoFrame for one in gc.get_objects())  # of dead proxies, isinstance raises


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_luma_is_eight_bit_whatever_the_format(make_clip, pix_fmt):
    plain = read(make_clip("f420.mp4", n=2))[1][0]
    frame = read(make_clip(f"{pix_fmt}.mp4", n=2, pix_fmt=pix_fmt))[1][0]
    assert frame.luma.dtype == np.uint8
    assert frame.levels == plain.levels
    assert np.abs(frame.luma.astype(int) - plain.luma).mean() < 2  # what coding it anew changes
    assert abs(frame.luma.mean() - plain.luma.mean()) < 0.2
    assert np.corrcoef(frame.luma.ravel(), plain.luma.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "levels"),
    [
        ("yuv420p", "libx264", (16, 235)),
        ("yuvj420p", "mjpeg", (0, 255)),
        ("yuv420p10le", "libx264", (16, 235)),
        ("gray", "ffv1", (0, 255)),
        ("gray10le", "ffv1", (0, 255)),
        ("gbrp10le", "ffv1", (0, 255)),
    ],
)
def test_black_and_white_of_the_luma_are_known(tmp_path, pix_fmt, codec, levels):
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    frame = read(write_clip(tmp_path / "half.mkv", [image] * 2, codec=codec, pix_fmt=pix_fmt))[1][0]
    assert frame.levels == levels
    assert np.median(frame.luma[:, :28]) == pytest.approx(levels[0], abs=2)
    assert np.median(frame.luma[:, 36:]) == pytest.approx(levels[1], abs=2)


def test_reading_stops_at_the_limit_and_says_so(make_clip):
    clip, frames, (audio, _) = read(make_clip("long.mp4", n=60, tone_s=2.4), max_seconds=1.0)
    assert len(frames) == 26
    assert len(audio) == 16_000
    assert clip.warnings() == ("only the first 1 s were analysed",)


def test_a_damaged_clip_gives_the_frames_that_are_left(make_clip, tmp_path):
    content = bytearray(make_clip("whole.mpg", n=60, codec="mpeg2video").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    path = tmp_path / "damaged.mpg"
    path.write_bytes(content)
    _, frames, _ = read(path)
    assert 20 < len(frames) <= 62
    assert (np.diff([frame.time_s for frame in frames]) > 0).all()


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x00" * 5000, b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"])
def test_what_is_no_video_is_unreadable(tmp_path, content):
    path = tmp_path / "odd.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="no video or audio that FFmpeg can open"):
        read(path)


def test_a_playlist_cannot_make_other_files_be_opened(make_clip, tmp_path):
    secret = make_clip("secret.mp4")
    path = tmp_path / "list.mp4"
    path.write_text(f"ffconcat version 1.0\nfile {secret}\n")
    with pytest.raises(UnreadableError):
        read(path)


def write_audio(path, samples, codec="aac"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        wave = (samples * 32767).astype(np.int16) if codec.startswith("pcm") else samples
        kind = "s16" if codec.startswith("pcm") else "fltp"
        frame = av.AudioFrame.from_ndarray(wave[None], format=kind, layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("kind", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_an_image_is_called_one_whatever_its_name(tmp_path, kind):
    """Non-regression test: it was "no video or audio that FFmpeg can open: Invalid argument"."""
    assert cv2.imwrite(str(tmp_path / f"a{kind}"), np.full((64, 64, 3), 90, np.uint8))
    path = (tmp_path / f"a{kind}").rename(tmp_path / "a.mp4")
    for source in (str(path), path.read_bytes()):
        refused = pytest.raises(UnreadableError, match="an image, not a video")
        with refused, containers.opened(source):
            pass


def test_an_animated_webp_is_called_one(tmp_path):
    """Non-regression test: it was "an image, not a video"."""
    animated = b"RIFF" + bytes(4) + b"WEBPVP8X" + bytes([10, 0, 0, 0, 0x02, 0, 0, 0, 63, 0, 0, 63, 0, 0])
    (path := tmp_path / "a.gif").write_bytes(animated)
    for source in (str(path), animated):
        refused = pytest.raises(UnreadableError, match="an animated WebP, which deepcue does not read; convert it")
        with refused, containers.opened(source):
            pass


@pytest.mark.parametrize("suffix", [".mjpeg", ".MJPG"])
@pytest.mark.parametrize("side", [64, 256])  # of noise, JPEGs of 4 and 60 kB: FFmpeg sees the first 2 kB
def test_jpegs_in_a_row_are_a_video(rng, tmp_path, suffix, side):
    """Non-regression test: folders are searched for these, and they were called an image."""
    images = rng.integers(0, 255, (30, side, side, 3), np.uint8)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"".join(cv2.imencode(".jpg", image)[1].tobytes() for image in images))
    _, frames, _ = read(path)
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(30) / 25, abs=1e-3)


def test_of_a_damaged_animation_damage_is_the_reason(tmp_path):
    """Non-regression test: it was called an image, because it begins as PNG does."""
    path = tmp_path / "a.apng"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("apng", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        for grey in (0, 90):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), grey, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"fcTL", b"fcTX"))  # what says how long a frame is shown
    with pytest.raises(UnreadableError, match="can open: damaged, or neither video nor audio"):
        read(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"hello", "damaged, or neither video nor audio"),
        (b"\0\0\0\x20ftypisom" + bytes(500), "an MP4 or MOV file whose index"),
    ],
)
def test_why_a_file_is_refused_is_said_in_plain_words(content, why, tmp_path):
    """Non-regression test: it was FFmpeg's "Invalid data found when processing input", also on the page."""
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UnreadableError, match=f"no video or audio that FFmpeg can open: {why}"):
        read(tmp_path / "a.mp4")


def test_a_kind_of_file_that_is_not_opened_is_called_one(tmp_path):
    path = write_audio(tmp_path / "audio.w64", np.zeros(3200, np.float32), "pcm_s16le")
    with pytest.raises(UnreadableError, match="a kind of file that deepcue does not read"):
        read(path)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("audio.wav", "pcm_s16le"),
        ("audio.m4a", "aac"),
        ("audio.flac", "flac"),
        ("audio.caf", "pcm_s16le"),
        ("audio.aiff", "pcm_s16be"),
        ("audio.au", "pcm_s16be"),
    ],
)
def test_an_audio_only_file_has_its_audio_and_no_frame(tmp_path, name, codec):
    if codec == "flac":
        pytest.importorskip("soundfile").write(tmp_path / name, 0.5 * np.sin(np.arange(32000) / 9), 16000)
    else:
        write_audio(tmp_path / name, 0.5 * np.sin(np.arange(32000) / 9).astype(np.float32), codec)
    with ClipReader(str(tmp_path / name), max_seconds=120) as clip:
        assert not clip.has_video
        assert list(clip.frames()) == []
        samples, start_s = clip.audio()
    assert len(samples) == pytest.approx(32000, abs=2100)  # AAC pads a frame or two
    assert start_s == pytest.approx(0.0, abs=0.1)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.1)
    assert clip.warnings() == ()


def test_speech_as_telephones_record_it_is_read(tmp_path):
    frames = 100 * (b"\x04" + bytes(12))  # of 20 ms, at 4.75 kbit/s
    (tmp_path / "a.amr").write_bytes(b"#!AMR\n" + frames)
    with ClipReader(str(tmp_path / "a.amr"), max_seconds=120) as clip:
        samples, _ = clip.audio()
    assert len(samples) == pytest.approx(32_000, abs=400)


def test_audio_beyond_the_limit_is_cut_and_reported(tmp_path):
    path = write_audio(tmp_path / "long.wav", np.full(48000, 0.1, np.float32), "pcm_s16le")
    with ClipReader(str(path), max_seconds=2) as clip:
        samples, _ = clip.audio()
    assert len(samples) == 32000
    assert clip.warnings() == ("only the first 2 s were analysed",)


def test_an_audio_file_of_a_header_alone_is_unreadable(tmp_path):
    path = write_audio(tmp_path / "head.wav", np.full(16000, 0.1, np.float32), "pcm_s16le")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"data") + 8])
    assert announced_share(path.read_bytes()) == 1.0  # of nothing held there is no share: the refusal says it
    with (
        ClipReader(str(path), max_seconds=2) as clip,
        pytest.raises(UnreadableError, match="no audio could be decoded"),
    ):
        clip.audio()


@pytest.mark.parametrize("name", ["text.wav", "text.mp3", "text.aac", "text.flac"])
def test_text_named_as_audio_is_unreadable(tmp_path, name):
    path = tmp_path / name
    path.write_text("hello\n" * 500)
    refused = pytest.raises(UnreadableError, match=r"no video or audio that FFmpeg can open|no video stream")
    with refused, ClipReader(str(path), max_seconds=2) as clip:
        clip.audio()


def test_a_header_without_frames_is_unreadable(make_clip, tmp_path):
    content = make_clip("head.mkv", n=30).read_bytes()
    path = tmp_path / "headonly.mkv"
    path.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75") + 40])  # into the first frame
    with pytest.raises(UnreadableError, match="no frame"):
        read(path)


@pytest.mark.parametrize(
    ("x264", "notes"),
    [
        ("", ()),
        ("transfer=bt709", ()),
        ("transfer=arib-std-b67", ("HDR video (HLG): colours and contrast are not comparable with ordinary video",)),
        ("transfer=smpte2084", ("HDR video (PQ): colours and contrast are not comparable with ordinary video",)),
        ("tff=1", ("interlaced video: lines of two moments are mixed",)),
    ],
)
def test_video_of_another_kind_is_noted(tmp_path, x264, notes):
    frames = [np.full((64, 64, 3), 40 * k, np.uint8) for k in range(4)]
    clip, read_frames, _ = read(write_clip(tmp_path / "kind.mp4", frames, x264=x264))
    assert len(read_frames) == 4
    assert clip.notes() == notes
