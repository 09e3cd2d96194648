import numpy as np

from benchmarks.training import synthetic_table


def test_the_synthetic_table_has_the_challenge_s_shape():
    data = synthetic_table(3000, 30)
    assert data.X.shape == (3000, 30)
    assert data.y.mean() == np.clip(data.y.mean(), 0.81, 0.85)
    assert data.n_groups == 482
    assert np.isnan(data.X).mean() == np.clip(np.isnan(data.X).mean(), 0.05, 0.15)
    sizes = np.bincount(data.group)
    assert sizes.min() >= 1
    assert abs(sizes.mean() - 6.2) < 0.1
