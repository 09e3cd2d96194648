"""A part of a frame has the pixels that the whole frame has there, whatever its format."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from extract.clip.crop_reservoir import CROP_MAX_PX, CROP_SCALE, face_crop
from extract.clip.frame import Frame
from extract.clip.square_crop import SquareCrop

FULL, LIMITED = 2, 1


def coloured(rng, *, size=(322, 218), pix_fmt="yuv420p", color_range=0, colorspace=None):
    """A frame of random luma and chroma."""
    frame = av.VideoFrame(*size, pix_fmt)
    for plane in frame.planes:
        memory = np.frombuffer(plane, np.uint8)
        memory[:] = rng.integers(0, 256, memory.size, dtype=np.uint8)
    frame.color_range = color_range
    if colorspace is not None:
        frame.colorspace = colorspace
    return frame


def seen(frame):
    return Frame(frame, index=0, time_s=0.0)


KINDS = {
    "ordinary": {},
    "full range": {"color_range": FULL},
    "limited range": {"color_range": LIMITED},
    "full range by format": {"pix_fmt": "yuvj420p"},
    "HD colours": {"colorspace": Colorspace.ITU709},
    "SD colours": {"colorspace": Colorspace.ITU601},
    "odd width": {"size": (321, 218)},
    "odd height": {"size": (322, 217)},
    "full chroma": {"pix_fmt": "yuv444p"},
    "ten bits": {"pix_fmt": "yuv420p10le"},
    "grey": {"pix_fmt": "gray"},
    "RGB": {"pix_fmt": "rgb24"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_has_the_pixels_of_the_whole(kind):
    rng = np.random.default_rng(3)
    frame = coloured(rng, **KINDS[kind])
    whole = seen(frame).rgb()
    height, width = whole.shape[:2]
    corners = [(0, 0, width, height), (width - 1, height - 1, width, height), (0, 0, 1, 1)]
    for _ in range(40):
        (left, right), (top, bottom) = (np.sort(rng.choice(n + 1, 2, replace=False)).tolist() for n in (width, height))
        corners.append((left, top, right, bottom))
    for left, top, right, bottom in corners:
        part = seen(frame).rgb_within(left, top, right, bottom)
        np.testing.assert_array_equal(part, whole[top:bottom, left:right], err_msg=f"{left, top, right, bottom}")


@pytest.mark.parametrize(("turns", "aspect"), [(1, None), (2, None), (0, Fraction(4, 3))])
def test_a_part_of_a_turned_or_stretched_frame_is_as_a_player_shows_it(turns, aspect):
    frame = coloured(np.random.default_rng(7))

    def shown():
        one = Frame(frame, index=0, time_s=0.0, pixel_aspect=aspect)
        one._turns = turns  # what the frame's display matrix says
        return one

    np.testing.assert_array_equal(shown().rgb_within(30, 20, 101, 91), shown().rgb()[20:91, 30:101])


def flat(pix_fmt, *values):
    """A frame whose planes each hold one value of more than 8 bits."""
    frame = av.VideoFrame(64, 48, pix_fmt)
    order = ">u2" if pix_fmt.endswith("be") else "<u2"
    for plane, value in zip(frame.planes, values, strict=True):
        np.frombuffer(plane, np.uint8).view(order)[:] = value
    return frame


DEEP = {
    "yuv420p10le": ((502, 512, 512), 126),  # 125.5
    "yuv422p10le": ((501, 512, 512), 125),
    "yuv444p12be": ((2010, 2048, 2048), 126),  # 125.6
    "yuva420p10le": ((503, 512, 512, 1023), 126),
    "yuv420p16le": ((65535, 32768, 32768), 255),
    "gray10le": ((1023,), 255),
    "gray16le": ((32400,), 126),  # of 65535
    "gbrp10le": ((512, 512, 512), 128),  # of 1023
}


@pytest.mark.parametrize("pix_fmt", DEEP)
def test_a_flat_frame_of_more_than_eight_bits_has_one_grey_level(pix_fmt):
    """Non-regression: FFmpeg reduces to 8 bits with a pattern of 2 px, which stood for noise and peaks."""
    values, level = DEEP[pix_fmt]
    frame = seen(flat(pix_fmt, *values))
    assert frame.luma.dtype == np.uint8
    assert np.unique(frame.luma).tolist() == [level]
    assert np.ptp(frame.rgb(), axis=(0, 1)).max() == 0


def test_a_frame_of_more_bits_has_the_range_it_says():
    limited, full = (flat("yuv420p10le", 502, 512, 512) for _ in range(2))
    full.color_range = FULL
    assert (seen(limited).levels, seen(full).levels) == ((16, 235), (0, 255))


def test_the_range_of_colours_matters():
    rng = np.random.default_rng(4)
    frame = coloured(rng, color_range=LIMITED)
    limited = seen(frame).rgb_within(40, 60, 80, 90).copy()
    frame.color_range = FULL
    assert np.abs(seen(frame).rgb_within(40, 60, 80, 90).astype(int) - limited).max() > 5


def test_a_frame_that_got_another_size_has_the_pixels_of_that():
    frame = seen(coloured(np.random.default_rng(5)))
    frame.fit((161, 109))
    np.testing.assert_array_equal(frame.rgb_within(10, 20, 60, 71), frame.rgb()[20:71, 10:60])


@pytest.mark.parametrize(
    "box",
    [(100, 60, 180, 150), (-40, -30, 60, 80), (250, 120, 340, 230), (0, 0, 322, 218), (400, 300, 460, 380)],
    ids=["inside", "over the left top", "over the right bottom", "larger", "outside"],
)
def test_a_face_s_crop_is_that_of_the_whole_frame(box):
    frame = coloured(np.random.default_rng(6))
    box = np.array(box, np.float32)
    window, crop = face_crop(seen(frame), box)
    assert window == SquareCrop.around(box, CROP_SCALE)
    np.testing.assert_array_equal(crop, window.cut(seen(frame).rgb(), min(window.side, CROP_MAX_PX)))


@pytest.mark.parametrize(
    ("size", "inside"),
    [((64, 64), np.s_[16:48, :]), ((64, 16), np.s_[:, 16:48]), ((32, 16), np.s_[:, :]), ((129, 64), np.s_[:, :])],
)
def test_a_frame_is_fitted_without_a_change_of_its_shape(size, inside):
    frame = av.VideoFrame(64, 32, "yuv420p")
    for plane, value in zip(frame.planes, (180, 128, 128), strict=True):
        np.frombuffer(plane, np.uint8)[:] = value
    shown = seen(frame)
    shown.fit(size)
    assert shown.luma.shape == shown.rgb().shape[:2] == size[::-1]
    for image, bar in ((shown.luma, 16), (shown.rgb(), 0)):
        filled = np.zeros(image.shape[:2], bool)
        filled[inside] = True
        assert (image[filled] > 150).all()
        assert (image[~filled] == bar).all()
