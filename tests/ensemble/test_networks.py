"""The mean of the networks' logits with a slope and an intercept."""

import numpy as np
import pytest

from ensemble.learners import Settings
from ensemble.matrix import Layout
from ensemble.networks import Networks
from features.errors import InputError

LAYOUT = Layout(("a.logit_mean", "a.valid_share", "b.logit_mean", "b.logit_std"), {"a": 1, "b": 1})


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    y = np.arange(4000) % 2
    z = rng.standard_normal((4000, 2)) + np.where(y == 1, 0.5, -0.5)[:, None]
    X = np.stack([z[:, 0], np.ones(4000), z[:, 1], rng.standard_normal(4000)], axis=1).astype(np.float32)
    return X, y


def fitted(X, y):
    return Networks(LAYOUT, Settings()).fit(X, y, np.arange(len(y)), np.ones(len(y)), 0)


def test_known_slope(made):
    """Two equal Gaussians a unit apart: the log-likelihood ratio of both is their sum, twice their mean."""
    learner = fitted(*made)
    assert learner.slope == pytest.approx(2, rel=0.1)
    assert learner.intercept == pytest.approx(0, abs=0.1)


def test_parts_add_up_and_a_missing_network_leaves_the_other(made, tmp_path):
    learner = fitted(*made)
    X = np.array([[1, 1, 3, 0], [np.nan, 0, 3, 0], [np.nan, 0, np.nan, 0]], np.float32)
    z = learner.predict_logit(X)
    expected = learner.slope * np.array([2, 3, 0]) + learner.intercept
    np.testing.assert_allclose(z, expected, rtol=1e-6)
    np.testing.assert_allclose(learner.family_logits(X).sum(axis=1), z, rtol=1e-6)
    learner.save(tmp_path, "one")
    np.testing.assert_array_equal(Networks.load(tmp_path, "one", LAYOUT).predict_logit(X), z)


def test_logits_that_mislead_are_not_followed(made):
    X, y = made
    learner = fitted(X, 1 - y)
    assert learner.slope == 0
    assert learner.predict_logit(X[:3]) == pytest.approx(0, abs=1e-9)


def test_a_table_without_networks_is_refused():
    with pytest.raises(InputError, match="logit_mean"):
        Networks(Layout(("blink.rate",), {"blink": 1}), Settings())
