"""One video and one audio track in many files: each is read as the plain file, and the row reports what was done.

Every file is made here from one plain clip, by the ffmpeg program that moviepy brings along.
"""

import subprocess
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clip_maker import frames_of, write_clip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extract.clip.decode import ClipReader
from features.errors import UnreadableError

RATE = 16_000
ENCODE = ["-c:v", "libx264", "-crf", "12", "-preset", "veryfast"]


def ffmpeg(*arguments):
    from imageio_ffmpeg import get_ffmpeg_exe

    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def read(path, **options):
    with ClipReader(str(path), **({"max_seconds": 120} | options)) as clip:
        frames = [(frame.time_s, _grey(frame)) for frame in clip.frames()]
        audio, start_s = clip.audio()
        return Read(clip, frames, audio, start_s)


def _grey(frame):
    """Black 0 to white 255, whatever the coded range."""
    black, white = frame.levels
    return ((frame.luma.astype(np.float32) - black) * (255 / (white - black))).clip(0, 255)


class Read:
    """What was read of a file: times from the first frame on, small frames, audio from the first frame on."""

    def __init__(self, clip, frames, audio, start_s):
        self.first_s = frames[0][0]
        self.times = np.array([time for time, _ in frames]) - self.first_s
        self.shape = frames[0][1].shape
        self.small = np.array([cv2.resize(luma, (32, 24), interpolation=cv2.INTER_AREA) for _, luma in frames], float)
        self.expected = clip.frames_expected
        self.notes, self.warnings = clip.notes(), clip.warnings()
        self.lead_s = self.first_s - start_s if audio is not None else 0.0
        self.audio = None
        if audio is not None:
            at = round((start_s - self.first_s) * RATE)
            self.audio = np.concatenate([np.zeros(max(0, at), np.float32), audio[max(0, -at) :]])


def assert_same_video(one, plain, *, n=None, levels=4.0):
    assert len(one.times) == (n or len(plain.times))
    assert one.expected == pytest.approx(len(one.times), abs=1)
    np.testing.assert_allclose(one.times, np.arange(len(one.times)) * plain.times[1], atol=0.04)
    assert np.abs(one.small[: len(plain.small)] - plain.small).mean() < levels
    assert one.shape == pytest.approx(plain.shape, abs=2)


def assert_same_audio(one, plain, *, correlation=0.97, lag=80):
    """Alike but for loudness, and not shifted by more than a codec's own delay."""
    n = min(len(one.audio), len(plain.audio))
    assert abs(len(one.audio) - len(plain.audio)) < 0.1 * RATE
    best = max(
        np.corrcoef(one.audio[lag + k : n - lag + k], plain.audio[lag : n - lag])[0, 1] for k in range(-lag, lag)
    )
    assert best > correlation
    power = [np.square(some.audio[:n]).mean() for some in (one, plain)]
    assert 0.1 < power[0] / power[1] < 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reading")


@pytest.fixture(scope="module")
def source(folder, portrait):
    """Two seconds of a portrait at 25 frames a second, with band-limited noise in bursts, as speech is."""
    path = folder / "source.mp4"
    silent = write_clip(folder / "silent.mp4", frames_of(portrait, 50, (192, 144)))
    rng = np.random.default_rng(0)
    burst = np.repeat(rng.uniform(0.02, 0.4, 20), 4410)[: 2 * 44_100]
    noise = np.convolve(rng.standard_normal(len(burst)), np.hanning(24) / 12, "same") * burst * 0.3
    (folder / "noise.f32").write_bytes(noise.astype("<f4").tobytes())
    audio = ["-f", "f32le", "-ar", "44100", "-ac", "1", "-i", folder / "noise.f32"]
    ffmpeg("-i", silent, *audio, "-c:v", "copy", "-c:a", "aac", "-b:a", "160k", path)
    return path


@pytest.fixture(scope="module")
def plain(source):
    return read(source)


CONTAINERS = {
    "mp4": [*ENCODE, "-c:a", "aac"],
    "mkv": [*ENCODE, "-c:a", "aac"],
    "mov": ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"],
    "ts": [*ENCODE, "-c:a", "aac"],
    "avi": ["-c:v", "mpeg4", "-q:v", "2", "-c:a", "pcm_s16le"],
    "webm": ["-c:v", "libvpx", "-b:v", "3M", "-c:a", "libopus", "-b:a", "128k"],
    "flv": [*ENCODE, "-c:a", "aac"],
    "mpg": ["-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2", "-b:a", "256k"],
}
LAYOUTS = {
    "mono": "anull",
    "stereo": "pan=stereo|c0=c0|c1=c0",
    "left only": "pan=stereo|c0=c0|c1=0*c0",
    "opposite": "pan=stereo|c0=c0|c1=-1*c0",
    "nearly opposite": "pan=stereo|c0=c0|c1=-0.98*c0",
}


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    container=st.sampled_from(sorted(CONTAINERS)),
    aspect=st.sampled_from(["1", "4/3", "3/4", "16/11"]),
    layout=st.sampled_from(sorted(LAYOUTS)),
    offset_s=st.sampled_from([0, 36_000]),
    turned=st.sampled_from([0, 90, 180, 270]),
    pixels=st.sampled_from(["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"]),
    rate_hz=st.sampled_from([44_100, 48_000, 22_050]),
    mute_first=st.booleans(),
)
def test_any_file_of_the_clip_is_read_as_the_plain_one(
    folder, source, plain, *, container, aspect, layout, offset_s, turned, pixels, rate_hz, mute_first
):
    path = folder / f"any.{container}"
    options = ["-vf", f"scale=w=trunc(iw/({aspect})/2)*2:h=ih,setsar={aspect}", "-af", LAYOUTS[layout]]
    if container in {"mkv", "ts"}:
        options += ["-output_ts_offset", offset_s]
    if container in {"avi", "flv"}:  # they hold no aspect, or players ignore it
        options[1] = "null"
    if container in {"mp4", "mkv", "ts"}:
        options += ["-pix_fmt", pixels, "-ar", rate_hz]
    streams = ["-i", source]
    if mute_first and container in {"mp4", "mkv", "mov", "ts"}:
        streams += [
            "-f",
            "lavfi",
            "-i",
            "anullsrc=r=44100:cl=mono",
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-map",
            "0:a",
            "-t",
            2,
        ]
    ffmpeg(*streams, *options, *CONTAINERS[container], path)
    if turned and container in {"mp4", "mov"}:
        upright, path = path, folder / f"turned.{container}"
        ffmpeg("-display_rotation", turned, "-i", upright, "-c", "copy", path)
    one = read(path)
    if turned and container in {"mp4", "mov"}:
        assert one.shape == pytest.approx(plain.shape if turned == 180 else plain.shape[::-1], abs=2)
        assert len(one.times) == len(plain.times)
    else:
        assert_same_video(one, plain, levels=5.0)
    assert_same_audio(one, plain, correlation=0.95)
    assert not one.warnings


def test_a_browsers_recording_without_a_length_is_expected_to_be_as_long_as_it_is(folder, source, plain):
    path = folder / "live.webm"
    ffmpeg("-i", source, *CONTAINERS["webm"], "-live", "1", path)
    one = read(path)
    assert one.expected == 50
    assert_same_video(one, plain)


def test_frames_of_a_raw_stream_are_counted_and_come_at_its_own_rate(folder, source):
    path = folder / "raw.h264"
    ffmpeg("-i", source, "-r", 30, *ENCODE, "-an", path)
    one = read(path)
    assert one.expected == len(one.times) == 60
    np.testing.assert_allclose(one.times, np.arange(60) / 30, atol=0.001)


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi", "mov"])
def test_tags_in_any_encoding_are_no_obstacle(folder, source, plain, container):
    path = folder / f"tag.{container}"
    ffmpeg("-i", source, "-c", "copy", "-metadata", "title=XXcafeXX", path)
    path.write_bytes(path.read_bytes().replace(b"XXcafeXX", b"caf\xe9 \xff\xfe "))
    assert_same_video(read(path), plain)


@pytest.mark.parametrize("jump_s", [3600, 60, -3600])
def test_a_timestamp_discontinuity_is_joined(folder, source, plain, jump_s):
    first, second, path = folder / "p1.ts", folder / "p2.ts", folder / "jump.ts"
    before, after = (0, jump_s) if jump_s > 0 else (-jump_s, 0)
    ffmpeg("-i", source, "-t", 1, *ENCODE, "-bf", 0, "-c:a", "aac", "-output_ts_offset", before, first)
    ffmpeg("-ss", 1, "-i", source, *ENCODE, "-bf", 0, "-c:a", "aac", "-output_ts_offset", after, second)
    path.write_bytes(first.read_bytes() + second.read_bytes())
    one = read(path)
    assert_same_video(one, plain, levels=5.0)
    assert one.notes == ("the file's timestamps jump; they were joined",)
    assert not one.warnings
    assert len(one.audio) == pytest.approx(2 * RATE, abs=0.15 * RATE)


def test_a_paused_recording_goes_on_at_once(folder, source, plain):
    """Both clocks stand 200 s further after the pause."""
    path = folder / "paused.mkv"
    delay = "setpts=PTS+gt(T\\,0.99)*200/TB"
    ffmpeg("-i", source, "-vf", delay, "-af", f"a{delay}", "-fps_mode", "passthrough", *ENCODE, "-c:a", "flac", path)
    one = read(path)
    assert_same_video(one, plain, levels=5.0)
    assert "the file's timestamps jump" in one.notes[0]


@pytest.mark.parametrize(("container", "pause_s"), [("mp4", 3), ("mp4", 200), ("mkv", 3), ("webm", 30)])
def test_a_pause_between_reordered_frames_is_joined(folder, source, plain, container, pause_s):
    """Frames are coded in another order than they are shown in; MP4 counts the pause to the frame before it."""
    path = folder / f"reordered.{container}"
    delay = f"setpts=PTS+gt(T\\,0.99)*{pause_s}/TB"
    coding = [*ENCODE, "-bf", 3, "-c:a", "aac"] if container != "webm" else CONTAINERS["webm"]
    ffmpeg("-i", source, "-vf", delay, "-af", f"a{delay}", "-fps_mode", "passthrough", *coding, path)
    one = read(path)
    assert_same_video(one, plain, levels=5.0)
    assert_same_audio(one, plain, correlation=0.9)
    assert one.notes == ("the file's timestamps jump; they were joined",)
    assert not one.warnings


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_a_frozen_video_with_ongoing_audio_keeps_its_times(folder, source, plain, container):
    """As in a recording of a screen."""
    path = folder / f"still.{container}"
    tone = ["-f", "lavfi", "-i", "sine=f=300:r=44100:d=12"]
    delay = ["-vf", "setpts=PTS+gt(T\\,0.99)*10/TB", "-fps_mode", "passthrough"]
    ffmpeg("-i", source, *tone, "-map", "0:v", "-map", "1:a", *delay, *ENCODE, "-bf", 3, "-c:a", "aac", path)
    one = read(path)
    expected = np.arange(50) * plain.times[1]
    np.testing.assert_allclose(one.times, expected + np.where(expected > 0.99, 10, 0), atol=0.05)
    assert len(one.audio) == pytest.approx(12 * RATE, abs=0.15 * RATE)
    assert one.notes == one.warnings == ()


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_slow_video_of_reordered_frames_has_no_jumps(folder, source, container):
    path = folder / f"slow.{container}"
    slow = ["-t", 30, "-vf", "setpts=PTS*75", "-r", "1/3"]
    ffmpeg("-i", source, *slow, *ENCODE, "-bf", 3, "-an", path)
    one = read(path)
    np.testing.assert_allclose(one.times, np.arange(10) * 3, atol=0.1)
    assert one.notes == one.warnings == ()


def test_a_clock_that_returns_to_times_it_showed_before_is_joined(folder, source):
    """Three parts of a second each; the third has the times of the first."""
    path, parts = folder / "returns.ts", []
    for number, offset_s in enumerate((0, 100, 0)):
        parts.append(folder / f"part{number}.ts")
        audio = ["-c:a", "aac", "-output_ts_offset", offset_s]
        ffmpeg("-i", source, "-t", 1, *ENCODE, "-bf", 0, *audio, parts[-1])
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    one = read(path)
    np.testing.assert_allclose(one.times, np.arange(75) / 25, atol=0.04)
    assert len(one.audio) == pytest.approx(3 * RATE, abs=0.15 * RATE)


@pytest.mark.parametrize(
    ("early_ms", "n_early", "words"), [(1000, 30, "30 frames have"), (33, 1, "frame has")], ids=["second", "frame"]
)
def test_frames_without_a_time_come_before_the_first_with_one(folder, early_ms, n_early, words):
    """Non-regression test: the video of a file that begins before 0 was as late against the audio as it is early."""
    path = folder / "negative.mkv"
    with av.open(str(path), "w", container_options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "2"})
        stream.width, stream.height, stream.time_base = 64, 48, Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * number, np.uint8))
            frame.pts, frame.time_base = round(number * 1000 / 30) - early_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with ClipReader(str(path), max_seconds=120) as clip:
        times = [frame.time_s for frame in clip.frames()]
    assert len(times) == 60
    assert times == pytest.approx(np.arange(60) / 30 - early_ms / 1000, abs=0.02)
    assert times[n_early] == 0
    assert clip.notes() == (f"the first {words} no timestamp; times are counted back from the first timestamp",)


def test_what_an_edit_list_cuts_is_not_expected(folder, source):
    path = folder / "cut.mp4"
    ffmpeg("-ss", 1.02, "-i", source, "-c", "copy", path)
    one = read(path)
    assert one.expected == len(one.times) < 30
    assert not one.warnings


@pytest.mark.parametrize("late", ["audio", "video"])
def test_streams_that_start_at_different_times_miss_nothing(folder, source, late):
    """Matroska says how long the file is, and of no stream how long that is."""
    path = folder / "apart.mkv"
    offsets = [["-itsoffset", 5], []]
    first, second = offsets if late == "video" else reversed(offsets)
    ffmpeg(*first, "-i", source, *second, "-i", source, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    assert not read(path).warnings


def test_a_damaged_first_audio_track_is_passed_over(folder, source, plain):
    """Its decoder answers with the number of a permission that is lacking: no fault of the machine."""
    path = folder / "damaged_first.mkv"
    maps = ["-map", "0:v", "-map", "0:a", "-map", "0:a"]
    ffmpeg("-i", source, *maps, "-c:v", "copy", "-c:a", "aac", "-bsf:a:0", "noise=amount=1", path)
    one = read(path)
    assert_same_audio(one, plain, correlation=0.95)
    assert one.notes == ("2 audio tracks, number 2 was used, since those before it are silent",)


def test_pixels_that_change_their_shape_on_the_way_are_made_square(folder, source, plain):
    first, second, path = folder / "s1.ts", folder / "s2.ts", folder / "shapes.ts"
    coding = [*ENCODE, "-bf", 0, "-c:a", "aac"]
    ffmpeg("-i", source, "-t", 1, *coding, first)
    squeezed = ["-vf", "scale=iw*3/4:ih,setsar=4/3", "-output_ts_offset", 1]
    ffmpeg("-ss", 1, "-i", source, *squeezed, *coding, second)
    path.write_bytes(second.read_bytes() + first.read_bytes())
    with ClipReader(str(path), max_seconds=120) as clip:
        shapes = {frame.luma.shape for frame in clip.frames()}
    assert shapes == {plain.shape}
    assert "the pixel aspect ratio changes midway; pixels were made square" in clip.notes()


@pytest.mark.parametrize("gap_s", [8, 40])
def test_audio_that_pauses_while_the_video_goes_on_is_silence(folder, gap_s):
    """A muted microphone: what comes after it stays at its time."""
    path = folder / "mute.mkv"
    ffmpeg(
        *["-f", "lavfi", "-i", f"testsrc=s=64x64:r=5:d={gap_s + 6}"],
        *["-f", "lavfi", "-i", f"sine=f=440:r=48000:d={gap_s + 6}"],
        *["-filter_complex", f"[1:a]aselect='lt(t,3)+gt(t,{gap_s + 3})'[x]", "-map", "0:v", "-map", "[x]"],
        *[*ENCODE, "-c:a", "libopus", path],
    )
    one = read(path)
    assert len(one.audio) == pytest.approx((gap_s + 6) * RATE, abs=RATE // 4)
    assert np.abs(one.audio[4 * RATE : (gap_s + 2) * RATE]).max() < 0.01
    assert np.abs(one.audio[(gap_s + 4) * RATE :]).max() > 0.05
    assert "s of audio are missing in between" in one.warnings[0]
    assert not one.notes


@pytest.mark.parametrize(
    ("second", "name"), [(["-ac", "6"], "layout"), (["-ar", "22050"], "rate")], ids=["layout", "rate"]
)
def test_audio_that_changes_midway_is_read_to_its_end(folder, source, plain, second, name):
    first, last, path = folder / "c1.ts", folder / "c2.ts", folder / f"changes_{name}.ts"
    audio = ["-c:a", "ac3", "-b:a", "96k"] if name == "layout" else ["-c:a", "mp2", "-b:a", "96k"]
    rate = [] if name == "layout" else ["-ar", "44100"]
    ffmpeg("-i", source, "-t", 1, *ENCODE, "-bf", 0, *audio, "-ac", 2, *rate, first)
    ffmpeg("-ss", 1, "-i", source, *ENCODE, "-bf", 0, *audio, *second, "-output_ts_offset", 1, last)
    path.write_bytes(first.read_bytes() + last.read_bytes())
    one = read(path)
    assert len(one.audio) == pytest.approx(2 * RATE, abs=0.15 * RATE)
    assert np.square(one.audio[RATE:]).mean() > 0.3 * np.square(plain.audio[RATE:]).mean()


def test_a_cover_image_is_not_the_clip(folder, source, plain):
    cover, path = folder / "cover.jpg", folder / "cover_first.mkv"
    cv2.imwrite(str(cover), np.full((600, 600, 3), 90, np.uint8))
    ffmpeg("-i", cover, "-i", source, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:0", "attached_pic", path)
    assert_same_video(read(path), plain)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_black_first_video_stream_is_passed_over(folder, source, plain, container):
    path = folder / f"black_first.{container}"
    black = ["-f", "lavfi", "-i", "color=black:s=192x144:r=25:d=2"]
    maps = ["-map", "0:v", "-map", "1:v", "-map", "1:a", "-disposition:v:0", "default", "-disposition:v:1", "0"]
    ffmpeg(*black, "-i", source, *maps, *ENCODE, "-c:a", "copy", path)
    one = read(path)
    assert_same_video(one, plain)
    assert one.notes == ("2 video streams, number 2 was used",)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_silent_first_audio_track_is_passed_over(folder, source, plain, container):
    path = folder / f"mute_first.{container}"
    mute = ["-f", "lavfi", "-i", "anullsrc=r=44100:cl=stereo"]
    maps = ["-map", "1:v", "-map", "0:a", "-map", "1:a", "-disposition:a:0", "default", "-disposition:a:1", "0"]
    ffmpeg(*mute, "-i", source, *maps, "-c:v", "copy", "-c:a", "aac", "-shortest", path)
    one = read(path)
    assert_same_audio(one, plain, correlation=0.95)
    assert one.notes == ("2 audio tracks, number 2 was used, since those before it are silent",)


def test_the_default_of_two_audio_tracks_is_used_and_noted(folder, source, plain):
    path = folder / "two_tracks.mkv"
    tone = ["-f", "lavfi", "-i", "sine=f=300:r=44100:d=2"]
    maps = ["-map", "1:v", "-map", "0:a", "-map", "1:a", "-disposition:a:0", "0", "-disposition:a:1", "default"]
    ffmpeg(*tone, "-i", source, *maps, "-c:v", "copy", "-c:a", "aac", path)
    one = read(path)
    assert_same_audio(one, plain, correlation=0.95)
    assert one.notes == ("2 audio tracks, number 2 was used",)


def test_channels_that_cancel_in_a_part_only_are_heard_there_too(folder, source, plain):
    first, second, path = folder / "ph1.ts", folder / "ph2.ts", folder / "phases.ts"
    coding = [*ENCODE, "-bf", 0, "-c:a", "ac3"]
    ffmpeg("-i", source, "-t", 1, "-af", LAYOUTS["opposite"], *coding, first)
    ffmpeg("-ss", 1, "-i", source, "-ac", 1, *coding, "-output_ts_offset", 1, second)
    path.write_bytes(first.read_bytes() + second.read_bytes())
    one = read(path)
    assert np.square(one.audio[:RATE]).mean() > 0.3 * np.square(plain.audio[:RATE]).mean()
    assert "the channels cancel each other; the louder one was used" in one.notes


def test_channels_that_cancel_are_said(folder, source):
    path = folder / "opposite.mp4"
    ffmpeg("-i", source, "-af", LAYOUTS["opposite"], "-c:v", "copy", "-c:a", "aac", path)
    assert read(path).notes == ("the channels cancel each other; the louder one was used",)


@pytest.mark.parametrize("container", ["mkv", "webm", "avi", "flv"])
def test_a_file_cut_off_says_so(folder, source, container):
    whole, path = folder / f"whole.{container}", folder / f"cut.{container}"
    ffmpeg("-stream_loop", 1, "-i", source, "-g", "10", *CONTAINERS[container], whole)
    content = whole.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert not read(whole).warnings
    assert any("the rest is missing" in line for line in read(path).warnings)


def test_audio_that_outlasts_the_video_is_no_damage(folder, source):
    path = folder / "outlasts.mkv"
    tone = ["-f", "lavfi", "-i", "sine=f=300:r=44100:d=9"]
    ffmpeg("-i", source, *tone, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", path)
    assert not read(path).warnings


def test_encoder_delay_is_no_audio(folder, source, plain):
    """The same packets in a transport stream, which doesn't say that the first of them are encoder delay."""
    path = folder / "packets.ts"
    ffmpeg("-i", source, "-c", "copy", path)
    one = read(path)
    assert one.lead_s == pytest.approx(0, abs=1e-4)
    assert_same_audio(one, plain, correlation=0.97, lag=20)


def test_audio_before_the_video_that_is_no_encoder_delay_is_kept(folder, source):
    """Opus declares its encoder delay, and half a second is too long for one."""
    opus, early = folder / "early_opus.mkv", folder / "early_aac.mkv"
    for path, delay, codec in ((opus, 0.05, "libopus"), (early, 0.5, "aac")):
        ffmpeg(
            "-itsoffset", delay, "-i", source, "-i", source, "-map", "0:v", "-map", "1:a", *ENCODE, "-c:a", codec, path
        )
        assert read(path).lead_s == pytest.approx(delay, abs=0.03)


@pytest.mark.parametrize("jump_s", [3600, 8])
def test_a_timestamp_discontinuity_is_joined_without_audio(folder, source, plain, jump_s):
    path = folder / "silent_jump.mkv"
    delay = f"setpts=PTS+gt(T\\,0.99)*{jump_s}/TB"
    ffmpeg("-i", source, "-vf", delay, "-fps_mode", "passthrough", *ENCODE, "-an", path)
    one = read(path)
    assert_same_video(one, plain, levels=5.0)
    assert "the file's timestamps jump" in one.notes[0]


def test_video_without_a_decodable_frame_is_unreadable(folder, source):
    """As in an encrypted file: the header is in order, the packets are noise."""
    path = folder / "noise.mp4"
    ffmpeg("-i", source, "-c", "copy", "-movflags", "+faststart", path)
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    path.write_bytes(content[:start] + np.random.default_rng(0).bytes(len(content) - start))
    with pytest.raises(UnreadableError, match="no frame could be decoded"):
        read(path)


def test_music_with_a_cover_is_no_video(folder, source):
    cover, path = folder / "cover.png", folder / "music.m4a"
    cv2.imwrite(str(cover), np.full((60, 60, 3), 90, np.uint8))
    maps = ["-map", "0", "-map", "1:a", "-disposition:v:0", "attached_pic"]
    ffmpeg("-i", cover, "-i", source, *maps, "-c", "copy", path)
    with pytest.raises(UnreadableError, match="no video stream in the file but a cover image"):
        read(path)


def test_a_file_that_may_not_be_read_is_a_fault_of_the_machine(monkeypatch, source):
    """Root may read everything, so FFmpeg's answer is played."""
    import av

    def refused(*_, **__):
        raise av.error.PermissionError(13, "Permission denied", "clip.mp4")

    monkeypatch.setattr(av, "open", refused)
    with pytest.raises(OSError, match="Permission denied"):
        read(source)


VARIANTS = {
    "squeezed pixels": ["-vf", "scale=360:360,setsar=4/3", *ENCODE, "-c:a", "aac"],
    "opposite channels": ["-af", LAYOUTS["opposite"], *ENCODE, "-c:a", "aac"],
    "a transport stream that starts at 10 h": [*ENCODE, "-c:a", "aac", "-output_ts_offset", 36_000, "-f", "mpegts"],
    "a browser's recording": ["-c:v", "libvpx", "-b:v", "3M", "-c:a", "libopus", "-live", "1", "-f", "webm"],
    "audio of half the rate": [*ENCODE, "-c:a", "pcm_s16le", "-ar", "22050", "-f", "matroska"],
}
CUES = {
    "quality.iod_px": 1.0,
    "quality.face_area_share": 0.01,
    "landmark_jitter.mouth_jitter_med_iod": 0.01,
    "forensic_cnn.logit_mean": 0.35,
    "forensic_residual.logit_mean": 0.6,
    "forensic_voice.logit": 0.5,
}
"""Columns, and by how much encoding the clip once more may move them at least."""


@pytest.mark.slow
def test_cues_of_an_odd_file_are_those_of_the_plain_clip_encoded_once_more(folder, portrait):
    """As numbers: no further from the plain clip's than twice what the encoder alone does, or its usual part."""
    import deepcue

    def cues(path):
        return deepcue.features(path, families=sorted({name.split(".")[0] for name in CUES}))

    silent = write_clip(folder / "large.mp4", frames_of(portrait, 50, (480, 360)))
    audio = ["-f", "f32le", "-ar", "44100", "-ac", "1", "-i", folder / "noise.f32"]
    plain, again = folder / "large_plain.mp4", folder / "large_again.mp4"
    ffmpeg("-i", silent, *audio, "-c:v", "copy", "-c:a", "aac", "-b:a", "160k", plain)
    ffmpeg("-i", plain, *ENCODE, "-c:a", "aac", again)
    known, encoded = cues(plain), cues(again)
    for name, options in VARIANTS.items():
        path = folder / "variant.bin"
        ffmpeg("-i", plain, *options, *([] if "-f" in options else ["-f", "mp4"]), path)
        odd = cues(path)
        for column, usual in CUES.items():
            allowed = max(usual, 2 * abs(encoded[column] - known[column]))
            assert odd[column] == pytest.approx(known[column], abs=allowed), (name, column)


def test_the_plain_clip_has_nothing_to_tell(plain):
    assert plain.notes == plain.warnings == ()
    assert plain.first_s == pytest.approx(0, abs=0.01)
