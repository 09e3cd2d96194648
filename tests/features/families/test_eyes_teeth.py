"""What is said of people whose irises, highlights and teeth are drawn."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_faces import Look, person

from features.families import eyes_teeth
from features.measures.geometry import MIRROR
from features.measures.irises import Circle

BLUE, BROWN = (70.0, 95.0, 120.0), (110.0, 75.0, 50.0)


@pytest.fixture
def measured(rng, make_observation):
    def run(look, **more):
        track = person(look, rng, **more)
        return eyes_teeth.measure(make_observation(track), track)

    return run


def test_a_pair_of_equal_eyes(measured):
    values = measured(Look(lights=((0.3, -0.2), (0.3, -0.2))))
    assert values["eyes_teeth.valid_iris_share"] == 1.0
    assert values["eyes_teeth.iris_dlab"] < 2.0
    assert values["eyes_teeth.iris_dv"] < 0.02
    assert values["eyes_teeth.spec_missing_share"] == 0.0
    assert values["eyes_teeth.spec_one_eye_share"] == 0.0
    assert values["eyes_teeth.spec_iou_med"] > 0.6
    assert values["eyes_teeth.spec_offset_med"] < 0.2
    assert values["eyes_teeth.valid_teeth_share"] == 0.0  # a mouth without teeth
    assert np.isnan(values["eyes_teeth.teeth_ten"])


def test_eyes_of_two_colours(measured):
    values = measured(Look(irises=(BLUE, BROWN)))
    assert values["eyes_teeth.iris_dlab"] > 15.0
    assert values["eyes_teeth.iris_dh"] > 0.7
    assert values["eyes_teeth.iris_dlab_mad"] < 1.0
    assert values["eyes_teeth.spec_missing_share"] == 1.0
    assert np.isnan(values["eyes_teeth.spec_iou_med"])


def test_an_eye_that_is_lit_more(measured):
    dim = (50.0, 70.0, 90.0)
    values = measured(Look(irises=(dim, tuple(1.4 * x for x in dim))))
    assert values["eyes_teeth.iris_dv"] == pytest.approx(0.4 * 90 / 255, rel=0.25)
    assert values["eyes_teeth.iris_dh"] < 0.1


def test_highlights_in_one_eye_and_at_two_places(measured):
    values = measured(Look(lights=((0.3, -0.2), None)))
    assert values["eyes_teeth.spec_one_eye_share"] == 1.0
    apart = measured(Look(lights=((0.4, 0.0), (-0.4, 0.0))))
    assert apart["eyes_teeth.spec_offset_med"] == pytest.approx(0.8, abs=0.2)
    assert apart["eyes_teeth.spec_iou_med"] > 0.6  # after the best shift


@pytest.mark.parametrize(
    ("look", "more"),
    [
        (Look(), {"scale_px": 40.0}),
        (Look(), {"closed": 0.8}),
        (Look(gaze=(0.15, -0.15)), {}),
    ],
    ids=["small", "shut", "cross-eyed"],
)
def test_eyes_that_cannot_be_compared(measured, look, more):
    values = measured(look, **more)
    assert values["eyes_teeth.valid_share"] == 1.0
    assert values["eyes_teeth.valid_iris_share"] == 0.0
    assert np.isnan(values["eyes_teeth.iris_dlab"])
    assert np.isnan(values["eyes_teeth.spec_missing_share"])


def test_irises_belong_together():
    widths = np.array([30.0, 30.0])
    middle = Circle(47.5, 27.5, 15.0)
    assert eyes_teeth.belong_together([middle, Circle(50.0, 27.5, 14.0)], widths_px=widths)
    assert not eyes_teeth.belong_together([middle, Circle(60.0, 27.5, 14.0)], widths_px=widths)
    assert not eyes_teeth.belong_together([middle, middle], widths_px=widths / 2)
    assert not eyes_teeth.belong_together([middle, middle], widths_px=np.array([30.0, 52.0]))


def test_teeth_with_and_without_texture(measured):
    flat, rough = (measured(Look(teeth=(215.0, 210.0, 200.0), teeth_noise=noise)) for noise in (0.0, 25.0))
    assert flat["eyes_teeth.valid_teeth_share"] == 1.0
    assert flat["eyes_teeth.teeth_area_share"] == pytest.approx(0.5, abs=0.12)
    for name in ("teeth_laws_rr", "teeth_ten", "teeth_skin_ratio"):
        assert rough[f"eyes_teeth.{name}"] > flat[f"eyes_teeth.{name}"]


def test_below_five_crops_nothing_is_said(rng, make_observation):
    track = person(Look(teeth=(215.0, 210.0, 200.0)), rng)
    few = replace(track, crops=track.crops[:4], crop_index=track.crop_index[:4], crop_box=track.crop_box[:4])
    values = eyes_teeth.measure(make_observation(few), few)
    assert values["eyes_teeth.valid_iris_share"] == 1.0
    assert np.isnan(values["eyes_teeth.iris_dh"])
    assert np.isnan(values["eyes_teeth.teeth_laws_ee"])
    assert eyes_teeth.iris_series(make_observation(few), few) == {}


def test_the_series_is_what_the_column_is_the_median_of(rng, make_observation):
    track = person(Look(irises=(BLUE, BROWN)), rng)
    lost = track.landmarks.copy()
    lost[track.crop_index[3]] = np.nan
    track = replace(track, landmarks=lost)
    observation = make_observation(track)
    (shown,) = eyes_teeth.iris_series(observation, track).values()
    assert np.isnan(shown.values[3])
    assert np.isfinite(shown.values).sum() == len(track.crops) - 1
    values = eyes_teeth.measure(observation, track)
    assert values["eyes_teeth.iris_dlab"] == pytest.approx(np.nanmedian(shown.values))
    assert values["eyes_teeth.valid_share"] == pytest.approx(1 - 1 / len(track.crops))


def test_a_mirror_changes_nothing(rng, make_observation):
    look = Look(irises=(BLUE, BROWN), lights=((0.3, -0.2), (0.1, 0.1)), teeth=(215.0, 210.0, 200.0), teeth_noise=12.0)
    track = person(look, rng)
    observation = make_observation(track)
    width = observation.frame_size[0]
    crop_box = track.crop_box.copy()
    crop_box[:, 0] = width - crop_box[:, 0] - crop_box[:, 2]
    mirrored = replace(
        track,
        landmarks=track.landmarks[:, MIRROR] * np.float32([-1, 1]) + np.float32([width - 1, 0]),
        crops=tuple(np.ascontiguousarray(crop[:, ::-1]) for crop in track.crops),
        crop_box=crop_box,
    )
    one, other = (eyes_teeth.measure(observation, which) for which in (track, mirrored))
    assert np.isfinite(list(one.values())).all()
    assert other == pytest.approx(one, rel=1e-3, abs=1e-4)
