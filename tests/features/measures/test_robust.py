"""Robust summaries: known values, and NaN below the samples that they need."""

import numpy as np
import pytest

from features.measures import robust


def test_summaries_follow_the_catalogue():
    x = np.arange(101.0)
    assert robust.median(x) == 50.0
    assert robust.quantile(x, 0.9) == 90.0
    assert robust.mad(x) == pytest.approx(1.4826 * 25.0)


@pytest.mark.parametrize(
    ("function", "count"),
    [(robust.median, 4), (lambda x: robust.quantile(x, 0.9), 19), (robust.mad, 7)],
)
def test_too_few_samples_are_nan(rng, function, count):
    x = rng.standard_normal(60)
    x[count:] = np.nan
    assert np.isnan(function(x))
    x[count:] = rng.standard_normal(60 - count)
    assert np.isfinite(function(x[: count + 1]))


def test_constant_series_have_no_correlation_and_no_z():
    assert np.isnan(robust.correlation(np.ones(50), np.arange(50)))
    assert np.isnan(robust.null_z(1.0, null=np.ones(50)))


def test_null_z_counts_robust_deviations(rng):
    null = rng.standard_normal(2001)
    assert robust.null_z(3.0, null=null) == pytest.approx(3.0, abs=0.25)
    assert np.isnan(robust.null_z(3.0, null=null[:29]))


def test_medians_are_of_the_frames_that_a_quantity_is_measured_in():
    """Two kinds of frames; a quantity that too few of them have is NaN, and a column that is no median stays out."""
    faces, patches = [{"noise": 1.0, "rare": 5.0}, {"noise": 3.0}, {"noise": np.nan}], [{"noise_fb": 7.0}] * 2
    found = robust.medians_over_frames(
        ["x.noise_med", "x.noise_fb_med", "x.rare_med", "x.valid_share"],
        lambda name: patches if name == "noise_fb" else faces,
        least=2,
    )
    assert found == {"noise_med": 2.0, "noise_fb_med": 7.0, "rare_med": pytest.approx(np.nan, nan_ok=True)}
