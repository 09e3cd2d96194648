"""Which samples of a track are kept: alike for a face that is there throughout, and enough of one that is not."""

import numpy as np
import pytest
from clip_maker import frames_of, write_clip

from extract.clip import crop_reservoir
from extract.clip.crop_reservoir import EMPTY, SPARE, CropReservoir
from extract.clip.decode import ClipReader
from extract.clip.observe import Observer
from extract.clip.square_crop import SquareCrop
from features.observation import CROPS_PER_TRACK

WANTED = CROPS_PER_TRACK + SPARE
BOX = np.float32([0, 0, 100, 100])


class Frame:
    luma = np.zeros((200, 200), np.uint8)
    levels = (16, 235)


@pytest.fixture
def kept(monkeypatch):
    """Run a reservoir over ``n`` samples of a clip: chosen samples, takes, and the most that was ever held."""
    monkeypatch.setattr(crop_reservoir, "face_crop", lambda frame, box: (SquareCrop(0, 0, 8), EMPTY))

    def run(n, *, of, fps):
        reservoir, takes, most = CropReservoir(of, frames_per_second=fps), 0, 0
        for sample in range(n):
            if reservoir.wants(sample):
                reservoir.take(sample, Frame, BOX, np.float32([50, 50]), [])
                takes, most = takes + 1, max(most, len(reservoir._records))
        return [record.sample for record in reservoir.chosen(np.ones(n, bool))], takes, most

    return run


def at_whole_steps(n):
    """The samples of a face that is there throughout, by the rule alone: 16 of those at multiples of the stride."""
    every = np.arange(0, n, max(1, n // WANTED))
    if len(every) <= CROPS_PER_TRACK:
        return every.tolist()
    return [int(every[int(position)]) for position in (np.arange(CROPS_PER_TRACK) + 0.5) * len(every) / CROPS_PER_TRACK]


@pytest.mark.parametrize("fps", [10, 25, 29.97, 60, 120])
@pytest.mark.parametrize("seconds", [1, 3, 5, 10, 12.7, 20, 60])
def test_a_face_that_is_there_throughout_is_kept_at_whole_steps(kept, seconds, fps):
    n = round(seconds * fps)
    samples, _, most = kept(n, of=n, fps=fps)
    assert samples == at_whole_steps(n)
    assert most <= 2 * CROPS_PER_TRACK + 1


@pytest.mark.parametrize(("seconds", "of"), [(5, 60), (3.5, 10), (5, 300), (10, 60)])
def test_a_face_that_stays_briefly_has_its_crops(kept, seconds, of):
    samples, _, _ = kept(round(seconds * 25), of=of * 25, fps=25)
    assert len(samples) >= 11
    steps = np.diff(samples)
    assert steps.min() > 0.7 * crop_reservoir.FIRST_STEP_S * 25
    assert steps.max() <= 2 * steps.min() + 1


def test_a_clip_of_300_frames_costs_at_most_30_crops(kept):
    assert kept(300, of=300, fps=30)[1] == 30
    assert kept(300, of=300, fps=25)[1] == 30


@pytest.mark.parametrize("frames", [0, 40, 1000])
def test_memory_is_bounded_however_long_the_clip_turns_out_to_be(kept, frames):
    _, _, most = kept(20_000, of=frames, fps=25)
    assert most <= 2 * CROPS_PER_TRACK + 1


@pytest.mark.parametrize("stride", [7, 15, 75, 131])
def test_longer_steps_meet_samples_of_shorter_ones_alone(stride):
    reservoir = CropReservoir(stride * WANTED, frames_per_second=4.0)  # down to steps of a frame
    finer = None
    while reservoir._parts:
        samples = {sample for sample in range(10 * stride) if reservoir.wants(sample)}
        assert samples >= set(range(0, 10 * stride, stride))
        assert finer is None or samples < finer
        finer, reservoir._parts = samples, reservoir._parts // 2
    assert finer == set(range(0, 10 * stride, stride))


def test_the_background_that_is_followed_does_not_tell_how_long_the_face_stays(monkeypatch):
    """It moves at whole steps, as for a face that is there throughout."""
    places = (SquareCrop(n, 0, 8) for n in range(100))
    monkeypatch.setattr(crop_reservoir, "face_crop", lambda frame, box: (SquareCrop(0, 0, 8), EMPTY))
    monkeypatch.setattr(crop_reservoir, "background_window", lambda *args, **more: next(places))
    reservoir, moved = CropReservoir(20 * WANTED, frames_per_second=40.0), []
    for sample in range(100):
        if reservoir.wants(sample):
            before = reservoir.background
            reservoir.take(sample, Frame, BOX, np.float32([50, 50]), [])
            moved += [sample] if reservoir.background != before else []
    assert moved == [0, 20, 40, 60, 80]


def test_a_person_who_is_there_for_2_s_of_30_has_crops_of_them(portrait, tmp_path):
    frames = frames_of(portrait, 20, (320, 240)) + frames_of(None, 280, (320, 240))
    with ClipReader(str(write_clip(tmp_path / "brief.mp4", frames, fps=10)), max_seconds=60) as clip:
        assert clip.frames_per_second == pytest.approx(10, rel=0.01)
        (track,) = Observer(identities=False).observe(clip).tracks
    assert len(track.crops) >= 6


BLACK = 16


@pytest.fixture
def scene():
    """Luma [360, 480] of noise that is stronger further to the right."""
    rng = np.random.default_rng(3)
    return np.clip(120 + np.linspace(5, 40, 480) * rng.standard_normal((360, 480)), 30, 235).astype(np.uint8)


def background_of(luma, *, avoid=()):
    face = SquareCrop(208, 152, 64).cut(luma)
    return crop_reservoir.background_window(luma, 64, like=face, avoid=list(avoid), black=BLACK)


def columns_within_bars(luma):
    return crop_reservoir._within_bars((luma > BLACK + crop_reservoir.BAR_LEVELS).T)


@pytest.mark.parametrize("bars", [(0, 0, 90, 90), (44, 44, 0, 0), (2, 2, 0, 0), (0, 0, 0, 1)])
def test_black_bars_are_no_background(scene, bars):
    """Non-regression test: the edge of a bar was taken for the detail, and for the coding grid, of the background."""
    top, bottom, left, right = bars
    inside = (slice(top, 360 - bottom), slice(left, 480 - right))
    framed = np.random.default_rng(4).integers(BLACK - 2, BLACK + 4, scene.shape).astype(np.uint8)  # a coded bar
    framed[inside] = scene[inside]
    window = background_of(framed, avoid=[SquareCrop(200, 140, 90)])
    assert window.left >= left
    assert window.top >= top
    assert window.left + window.side <= 480 - right
    assert window.top + window.side <= 360 - bottom
    assert window.left % 8 == window.top % 8 == 0


def test_the_places_of_a_frame_without_bars_are_spread_from_edge_to_edge(scene):
    assert crop_reservoir._places(0, 480 - 64) == [0, 104, 208, 312, 416]
    assert crop_reservoir._places(90, 480 - 90 - 64) == [96, 152, 208, 264, 320]
    scene[100:200, 100:200] = 0  # black within the scene is no bar
    assert columns_within_bars(scene) == slice(0, 480)
    scene[:, :90] = BLACK
    assert columns_within_bars(scene) == slice(94, 480)  # less its blurred edge


def test_black_bars_on_all_sides_are_found(scene):
    framed = np.full_like(scene, BLACK)
    framed[150:210, 170:310] = scene[150:210, 170:310]
    assert columns_within_bars(framed) == slice(174, 306)
    assert crop_reservoir._within_bars(framed > BLACK + 4) == slice(154, 206)


def test_a_dark_stage_beside_the_speaker_is_no_bar(scene):
    """Non-regression test: what lay in the dark at one side was cut off, and all places moved with the light."""
    _, columns = np.mgrid[:360, :480]
    ragged = 90 + np.random.default_rng(5).integers(0, 120, (360, 1))
    stage = np.where(columns < ragged, BLACK, scene).astype(np.uint8)
    assert stage[:, :90].max() == BLACK
    assert columns_within_bars(stage) == slice(0, 480)


def test_a_black_frame_has_no_background(scene):
    assert background_of(np.full_like(scene, BLACK + 3)) is None
    assert background_of(scene) is not None
