"""What is decoded, against what another build of FFmpeg decodes: the program that comes with moviepy.

The clips of these tests are written and read by PyAV, so an error that its encoder and its decoder share would go
unseen. Decoding is exact by the standards, and so is the comparison of luma and times. Conversion to RGB and resampling
may round differently on other machines: up to 2 of 255 levels, and 1e-4 of full scale.
"""

import struct
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from extract.clip.decode import ClipReader

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

VARIABLE_S = [0.0, 0.04, 0.08, 0.3, 0.34, 0.5, 0.9, 1.0, 1.2, 1.21, 1.25, 1.3]
KINDS = {
    "h264.mp4": {},
    "mpeg4.avi": {"codec": "mpeg4"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "full_chroma.mp4": {"pix_fmt": "yuv444p"},
    "turned.mp4": {"rotation": 90},
    "variable.mp4": {"times_s": VARIABLE_S},
}

ORIENTATIONS = {
    "as coded": (1, 0, 0, 1),
    "turned left": (0, -1, 1, 0),
    "turned right": (0, 1, -1, 0),
    "upside down": (-1, 0, 0, -1),
    "mirrored left-right": (-1, 0, 0, 1),
    "mirrored top-bottom": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed about the other diagonal": (0, -1, -1, 0),
}  # a, b, c, d of the display matrix: x, y of the file go to a x + c y, b x + d y


def reference(path, *options):
    """What the program writes of a clip, every frame once."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough", *options]
    return subprocess.run([*command, "-"], check=True, capture_output=True).stdout


def decoded(path):
    with ClipReader(str(path), max_seconds=60) as clip:
        return list(clip.frames()), clip.audio()


@pytest.fixture(params=sorted(KINDS))
def path(request, make_clip):
    return make_clip(f"reference/{request.param}", n=12, size=(160, 96), **KINDS[request.param])


def test_luma_and_colour_are_the_reference_s(path):
    frames, _ = decoded(path)
    height, width = frames[0].luma.shape
    planes = "yuv444p" if path.name == "full_chroma.mp4" else "yuv420p"  # as coded, so that nothing is converted
    coded = np.frombuffer(reference(path, "-f", "rawvideo", "-pix_fmt", planes), np.uint8).reshape(len(frames), -1)
    np.testing.assert_array_equal(
        [frame.luma for frame in frames], coded[:, : height * width].reshape(-1, height, width)
    )
    colour = np.frombuffer(reference(path, "-f", "rawvideo", "-pix_fmt", "rgb24"), np.uint8)
    np.testing.assert_allclose(
        np.array([frame.rgb() for frame in frames], int), colour.reshape(-1, height, width, 3).astype(int), atol=2
    )


def oriented(path, matrix):
    """A copy of an MP4 whose video track has another display matrix."""
    content = bytearray(path.read_bytes())
    place = content.find(b"tkhd") + 44  # behind the fields of the box's version 0
    a, b, c, d = (65536 * value for value in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    copy = path.with_name(f"oriented{matrix}.mp4")
    copy.write_bytes(content)
    return copy


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turned_or_mirrored_video_is_shown_as_by_the_reference(make_clip, orientation):
    """Non-regression: mirror images were read as turned by the angle of their matrix, some of them upside down."""
    path = oriented(make_clip("reference/h264.mp4", n=12, size=(160, 96)), ORIENTATIONS[orientation])
    frame = decoded(path)[0][0]
    height, width = frame.luma.shape
    coded = np.frombuffer(reference(path, "-f", "rawvideo", "-pix_fmt", "yuv420p"), np.uint8)
    np.testing.assert_array_equal(frame.luma, coded[: height * width].reshape(height, width))
    colour = np.frombuffer(reference(path, "-f", "rawvideo", "-pix_fmt", "rgb24"), np.uint8)
    shown = colour[: 3 * height * width].reshape(height, width, 3)
    for rgb in (frame.rgb(), frame.rgb_within(0, 0, width, height)):
        np.testing.assert_allclose(rgb.astype(int), shown.astype(int), atol=2)


def test_times_are_the_reference_s(path):
    lines = reference(path, "-enc_time_base", "demux", "-f", "framecrc").decode().splitlines()
    base = Fraction(next(line for line in lines if line.startswith("#tb 0:")).removeprefix("#tb 0:").strip())
    times = [float(int(line.split(",")[2]) * base) for line in lines if not line.startswith("#")]
    assert [frame.time_s for frame in decoded(path)[0]] == pytest.approx(times, abs=1e-9)


def test_audio_is_the_reference_s(make_clip):
    path = make_clip("reference/tone.mp4", n=12, size=(160, 96), tone_s=0.48)
    _, (audio, start_s) = decoded(path)
    expected = np.frombuffer(reference(path, "-vn", "-f", "f32le", "-ac", "1", "-ar", "16000"), np.float32)
    inner = len(expected) - 200  # the program cuts the codec's padding off at the end, and fades there
    assert start_s == 0
    assert len(expected) <= len(audio) <= len(expected) + 1024 * 16_000 // 44_100
    np.testing.assert_allclose(audio[:inner], expected[:inner], atol=1e-4)
