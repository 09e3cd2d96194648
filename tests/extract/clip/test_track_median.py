"""The median that moves a followed face is numpy's."""

import numpy as np
import pytest

from extract.clip import tracks


@pytest.mark.parametrize("n", [1, 2, 5, 68])
def test_the_median_of_few_points_is_numpy_s(n):
    points = np.random.default_rng(n).standard_normal((n, 2)).astype(np.float32)
    np.testing.assert_array_equal(tracks._median(points), np.median(points, axis=0))
