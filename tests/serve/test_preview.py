"""Which clips browsers play, and the small copies of those that they don't."""

import av
import numpy as np
import pytest
from clip_maker import frames_of, write_clip

from extract.clip.decode import ClipReader
from extract.run.sandbox import Limits, Sandbox
from extract.run.worker import Settings
from features.errors import UnreadableError
from serve.preview import LONGEST_PX, make, media_type

N = 25


def made(path, codec="libx264", pix_fmt="yuv420p", *, size=(160, 120), n=N, **options):
    return str(write_clip(path, frames_of(None, n, size), codec=codec, pix_fmt=pix_fmt, **options))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "kind"),
    [
        ("a.mp4", "libx264", "yuv420p", "video/mp4"),
        ("a.mov", "libx264", "yuv420p", "video/mp4"),
        ("a.webm", "libvpx", "yuv420p", "video/webm"),
        ("a.webm", "libvpx-vp9", "yuv420p", "video/webm"),
        ("a.mkv", "libx264", "yuv420p", ""),
        ("a.mp4", "libx264", "yuv422p", ""),
        ("a.mp4", "libx264", "yuv420p10le", ""),
        ("a.mp4", "libx265", "yuv420p", ""),
        ("a.mp4", "mpeg4", "yuv420p", ""),
        ("a.avi", "mpeg4", "yuv420p", ""),
        ("a.mov", "prores_ks", "yuv422p10le", ""),
        ("a.ts", "libx264", "yuv420p", ""),
    ],
)
def test_what_browsers_play(tmp_path, name, codec, pix_fmt, kind):
    assert media_type(made(tmp_path / name, codec, pix_fmt))[0] == kind


def test_a_file_that_is_none_is_no_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"text")
    with pytest.raises(UnreadableError):
        media_type(str(tmp_path / "a.mp4"))


def test_the_timeline_counts_from_the_first_frame(tmp_path):
    late = made(tmp_path / "a.mp4", times_s=[0.08 + n / 25 for n in range(N)])
    assert media_type(late) == ("video/mp4", pytest.approx(-0.08, abs=0.001))


def test_audio_that_browsers_do_not_play_needs_a_copy(tmp_path):
    file = tmp_path / "a.mov"
    with av.open(str(file), "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream("pcm_s16le", rate=16000)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        for image in frames_of(None, N, (160, 120)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        samples.sample_rate = 16000
        container.mux(audio.encode(samples))
        container.mux([*video.encode(None), *audio.encode(None)])
    assert media_type(str(file))[0] == ""


@pytest.mark.parametrize("size", [(160, 120), (121, 1001), (1602, 161)])
def test_a_copy_is_small_upright_h264_with_the_audio_at_its_time(tmp_path, size):
    source, out = made(tmp_path / "a.mkv", "ffv1", "yuv444p", size=size, tone_s=1.0), tmp_path / "preview.mp4"
    shares = []
    make(source, out, shares.append)
    assert media_type(str(out))[0] == "video/mp4"
    assert shares == sorted(shares)
    with av.open(str(out)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        width, height = video.codec_context.width, video.codec_context.height
        assert max(width, height) <= LONGEST_PX
        assert width / height == pytest.approx(size[0] / size[1], rel=0.05)
        assert audio.codec_context.name == "aac"
    with ClipReader(str(out), max_seconds=60) as copy, ClipReader(source, max_seconds=60) as clip:
        times, before = ([frame.time_s for frame in one.frames()] for one in (copy, clip))
        assert times == pytest.approx(np.array(before) - before[0], abs=0.001)
        assert copy.audio()[0].std() == pytest.approx(clip.audio()[0].std(), rel=0.1)


def test_a_copy_that_can_not_be_made_leaves_nothing(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"text")
    with pytest.raises(UnreadableError):
        make(str(tmp_path / "a.mp4"), tmp_path / "preview.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_child_process_tells_the_type_and_writes_the_copy_beside(tmp_path):
    told = []
    sandbox = Sandbox(Settings(()), Limits(), program=("serve.preview",), tell=told.append)
    (tmp_path / "text").write_bytes(b"text")
    try:
        assert sandbox.measure("plays", made(tmp_path / "a.mp4")).status == "ok"
        assert told == [{"media_type": "video/mp4", "start_s": 0.0}]
        assert not (tmp_path / "preview.mp4").exists()
        assert sandbox.measure("plays not", made(tmp_path / "a.mkv")).status == "ok"
        assert told[1] == {"media_type": "", "start_s": 0.0}
        assert (tmp_path / "preview.mp4").stat().st_size > 0
        broken = sandbox.measure("text", str(tmp_path / "text"))
        assert (broken.status, "no video or audio that FFmpeg can open" in broken.error) == ("unreadable", True)
    finally:
        sandbox.close()
