"""Training of the speech network: it learns what differs, steps alone decide the weights, and a run can be taken up."""

import numpy as np
import pytest

from features.errors import ModelError
from features.networks.speech_net import WINDOW
from features.threads import torch_on_one_thread
from training.voice.network import BATCH, CHECKPOINT_STEPS, SMOOTHING, NetworkTraining


@pytest.fixture
def training():
    """Spectrograms of noise; in synthetic ones the upper half does not move."""
    rng = np.random.default_rng(0)
    mel = [rng.standard_normal((64, 100 + 9 * number)).astype(np.float16) for number in range(16)]
    for one in mel[8:]:
        one[32:] *= 0.05
    synthetic = np.arange(16) >= 8

    def make(steps=6, seed=0):
        return NetworkTraining(mel, synthetic, np.ones(16), steps=steps, seed=seed)

    return make


def equal(one, other):
    return all(np.array_equal(one.arrays()[name], other.arrays()[name]) for name in one.arrays())


def test_batches_hold_both_classes_and_smoothed_labels(training):
    x, y = training().batch(0)
    assert x.shape == (BATCH, 1, 64, WINDOW)
    assert y.shape == (BATCH,)
    assert SMOOTHING - 1e-6 <= float(y.min()) < 0.5 < float(y.max()) <= 1 - SMOOTHING + 1e-6


def test_a_row_without_weight_is_never_drawn(training):
    one = training()
    one.p = np.where(np.arange(16) == 3, 1.0, 0.0)
    assert float(one.batch(0)[1].max()) == pytest.approx(SMOOTHING)


def test_it_learns_what_differs(training):
    scorer = training(steps=40).run()
    rng = np.random.default_rng(9)
    for _ in range(5):
        moving = rng.standard_normal((64, 300)).astype(np.float32)
        still = moving.copy()
        still[32:] *= 0.05
        assert scorer.logit(still) > scorer.logit(moving) + 0.05


def test_the_same_seed_gives_the_same_network_and_another_one_another(training):
    one = training().run()
    assert equal(one, training().run())
    assert not equal(one, training(seed=1).run())


def test_a_run_that_is_taken_up_ends_as_if_it_had_not_stopped(training, tmp_path):
    whole = training().run()
    half = training()
    with torch_on_one_thread():  # as run() takes its steps
        for _ in range(3):
            half.one_step()
    half.save(tmp_path / "a.checkpoint")
    rest = training()
    taken_up = rest.run(tmp_path / "a.checkpoint")
    assert rest.step == 6
    assert equal(whole, taken_up)


def test_a_damaged_state_is_refused(training, tmp_path):
    """Non-regression test: it ended in a traceback."""
    (tmp_path / "a.checkpoint").write_bytes(b"no checkpoint")
    with pytest.raises(ModelError, match="delete it to train from the start"):
        training().run(tmp_path / "a.checkpoint")


def test_the_state_is_written_as_it_goes(training, tmp_path, monkeypatch):
    monkeypatch.setattr("training.voice.network.CHECKPOINT_STEPS", 2)
    file = tmp_path / "a.checkpoint"
    training(steps=3).run(file)
    left = training(steps=3)
    left.load(file)
    assert left.step == 2
    assert CHECKPOINT_STEPS > 2
