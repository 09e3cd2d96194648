"""The multilayer perceptron: what a linear model can't learn, gradients against differences, torch left as it was."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import ndtr

from ensemble.learners import mlp
from ensemble.learners.additive import MAX_LOGIT
from ensemble.learners.base import LearnerSettings
from ensemble.learners.logistic import Logistic
from ensemble.learners.mlp import Perceptron
from ensemble.metrics import auc, logit_losses
from ensemble.training_set import Layout

torch = pytest.importorskip("torch")

N, D = 1200, 6
LAYOUT = Layout(("a.x", "b.x", "c.x0", "c.x1", "c.x2", "d.constant"), {"a": 1, "b": 1, "c": 1, "d": 1})


def exclusive_or(seed):
    """Rows whose label is whether the first two columns have different signs; the last column is constant."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D)).astype(np.float32)
    X[:, -1] = 2.0
    return X, ((X[:, 0] > 0) != (X[:, 1] > 0)).astype(np.int64), np.arange(N) // 4


def fresh():
    X, y, _ = exclusive_or(1)
    return X[:300], y[:300]


def fitted_on(X, y, groups, seed=3, n_bags=2):
    return Perceptron(LAYOUT, LearnerSettings(n_bags=n_bags)).fit(X, y, groups, seed)


@pytest.fixture(scope="module")
def learner():
    return fitted_on(*exclusive_or(0))


def test_learns_an_exclusive_or_that_a_linear_model_cannot(learner):
    X, y = fresh()
    linear = Logistic(LAYOUT, LearnerSettings(n_bags=2)).fit(*exclusive_or(0), 3)
    assert auc(y, learner.predict_logit(X)) > 0.95
    assert auc(y, linear.predict_logit(X)) < 0.6


def test_the_families_of_the_rule_share_it_and_a_constant_one_has_no_part(learner):
    X, _ = fresh()
    parts = learner.family_logits(X)
    assert np.abs(parts.sum(axis=1) - learner.predict_logit(X)).max() < 1e-9
    a, b, c, d, _ = np.abs(parts).mean(axis=0)
    assert min(a, b) > 2 * c
    assert d == 0
    assert len(np.unique(parts[:, -1].round(9))) == 1  # the log-odds of the mean row


def test_the_quadrature_leaves_little_to_share_out(learner):
    X, _ = fresh()
    x = learner._with_waves(X)
    layers = learner._layers()
    terms = (x * mlp.mean_gradient(x, layers)).sum(axis=1)
    moved = mlp.log_odds(x, layers) - mlp.log_odds(np.zeros_like(x), layers)
    assert np.abs(terms - moved).max() < 1e-3


def test_the_derivative_of_the_activation_is_its_slope():
    x, h = np.linspace(-5, 5, 101), 1e-5
    value, slope = mlp.gelu(x)
    assert value == pytest.approx(x * ndtr(x))
    assert slope == pytest.approx((mlp.gelu(x + h)[0] - mlp.gelu(x - h)[0]) / (2 * h), abs=1e-8)


def test_numpy_predicts_what_torch_fitted(learner):
    X, _ = fresh()
    Z = learner.inputs.transform(X)
    turns = 2 * np.pi * learner.arrays["frequencies"] * Z[:, :, None]
    x = torch.from_numpy(np.concatenate([Z[:, :, None], np.sin(turns), np.cos(turns) - 1], axis=2).reshape(len(Z), -1))
    total = np.zeros(len(X))
    for bag in range(2):
        w1, b1, w2, b2, w3, b3 = (torch.from_numpy(learner.arrays[name][bag]) for name in mlp.ARRAYS)
        gelu = torch.nn.functional.gelu
        total += (gelu(gelu(x @ w1 + b1) @ w2 + b2) @ w3 + b3)[:, 0].double().numpy() / 2
    assert learner.predict_logit(X) == pytest.approx(total, abs=1e-4)


def test_waves_of_nothing_are_nothing_and_of_a_quarter_of_a_cycle_one():
    waves = mlp.waves(np.array([[0.0], [2.5]]), np.array([[0.1, 0.2]]))
    assert waves == pytest.approx(np.array([[0, 0, 0, 0, 0], [2.5, 1, 0, -1, -2]]), abs=1e-12)


def test_learns_that_the_middle_of_a_cue_counts():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((2 * N, D)).astype(np.float32)
    y = (np.abs(X[:, 0]) < 0.7).astype(np.int64)
    learner = fitted_on(X[:N], y[:N], np.arange(N))
    assert auc(y[N:], learner.predict_logit(X[N:])) > 0.95


def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(mlp, "N_EPOCHS", 1)
    for name, seed in (("kept", 3), ("again", 3), ("other", 4)):
        (tmp_path / name).mkdir()
        torch.rand(1)  # the global generator takes no part
        assert fitted_on(*exclusive_or(0), seed=seed).save(tmp_path / name, "m") == ["m.json", "m.safetensors"]
    kept, again, other = (
        [(tmp_path / name / file).read_bytes() for file in ("m.json", "m.safetensors")]
        for name in ("kept", "again", "other")
    )
    assert kept == again
    assert kept[1] != other[1]


def test_rows_are_predicted_alike_alone_and_in_blocks(learner, monkeypatch):
    X = fresh()[0][:30]
    together = learner.predict_logit(X)
    assert learner.predict_logit(X[:1]) == pytest.approx(together[:1], abs=1e-12)
    parts = learner.family_logits(X)
    monkeypatch.setattr(mlp, "BLOCK_ROWS", 7)
    assert learner.predict_logit(X) == pytest.approx(together, abs=1e-12)
    assert learner.family_logits(X) == pytest.approx(parts, abs=1e-9)
    assert learner.predict_logit(X[:0]).shape == (0,)
    assert learner.family_logits(X[:0]).shape == (0, 5)


def test_a_row_without_any_value_and_a_column_that_is_new_are_predicted(learner):
    X, _ = fresh()
    X[0] = np.nan
    X[1:, -1] = np.nan  # it was constant
    z = learner.predict_logit(X)
    assert np.isfinite(z).all()
    parts = learner.family_logits(X)
    assert z[0] == pytest.approx(parts[0, -1])
    assert not parts[0, :-1].any()


def test_that_a_column_is_missing_is_an_input():
    X, _, groups = exclusive_or(0)
    y = np.arange(N) % 2
    X[y == 1, 2] = np.where(np.random.default_rng(0).random(N // 2) < 0.5, np.nan, X[y == 1, 2])
    learner = fitted_on(X, y, groups, n_bags=1)
    row = np.zeros((2, D), np.float32)
    row[1, 2] = np.nan
    present, missing = learner.predict_logit(row)
    assert missing > present + 1


def test_log_odds_stay_within_the_bound(learner, monkeypatch):
    X, _ = fresh()
    monkeypatch.setitem(learner.arrays, "weights3", 100 * learner.arrays["weights3"])
    z = learner.predict_logit(X)
    assert np.abs(z).max() == MAX_LOGIT
    assert learner.family_logits(X).sum(axis=1) == pytest.approx(z, abs=1e-9)


@pytest.mark.parametrize(("n_bags", "n_networks"), [(1, 1), (3, 3), (8, mlp.MAX_NETWORKS)])
def test_networks_are_as_many_as_bags_up_to_a_bound(n_bags, n_networks, monkeypatch):
    monkeypatch.setattr(mlp, "N_EPOCHS", 1)
    learner = fitted_on(*exclusive_or(0), n_bags=n_bags)
    assert learner.arrays["weights1"].shape == (n_networks, (D - 1) * (1 + 2 * mlp.N_WAVES), mlp.WIDTHS[0])
    assert len({values.tobytes() for values in learner.arrays["weights1"]}) == n_networks


@pytest.mark.parametrize(
    ("n_rows", "size", "n_steps"),
    [
        (7, 7, 14),
        (64, 16, 14 * 4),
        (70, 16, 14 * 4),
        (1_000, 31, 14 * 32),
        (20_000, 256, 14 * 78),
        (500_000, 256, 1_200),
    ],
)
def test_a_network_is_trained_for_whole_epochs_or_the_most_steps_of_all(n_rows, size, n_steps):
    """Non-regression test: whole epochs alone were counted, 1,953 steps for 500,000 rows."""
    assert mlp.training_steps(n_rows) == (size, n_steps)


def test_more_epochs_lower_the_loss(monkeypatch):
    X, y, groups = exclusive_or(0)
    losses = []
    for n_epochs in (1, 4, mlp.N_EPOCHS):
        monkeypatch.setattr(mlp, "N_EPOCHS", n_epochs)
        losses.append(logit_losses(y, fitted_on(X, y, groups, n_bags=1).predict_logit(X)).mean())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * np.log(2) < losses[0]


def test_every_row_is_in_an_epoch_once():
    batches = list(itertools.islice(mlp.batches(10, 3, torch.Generator().manual_seed(0)), 6))
    for epoch in (batches[:3], batches[3:]):
        assert len(set(torch.cat(epoch).tolist())) == 9
    assert not torch.equal(torch.cat(batches[:3]), torch.cat(batches[3:]))


@pytest.mark.parametrize("n_rows", [2, 3])
def test_a_handful_of_rows_without_a_usable_column_gives_a_constant(n_rows):
    X = np.arange(n_rows * D, dtype=np.float32).reshape(n_rows, D)
    y = np.arange(n_rows) % 2
    learner = fitted_on(X, y, np.arange(n_rows))
    z = learner.predict_logit(X)
    assert np.isfinite(z).all()
    assert np.ptp(z) < 1e-12
    assert learner.family_logits(X).sum(axis=1) == pytest.approx(z)


def test_torch_is_left_as_it_was(monkeypatch):
    monkeypatch.setattr(mlp, "N_EPOCHS", 1)
    X, y, groups = exclusive_or(0)
    seen = []
    train = mlp._train
    monkeypatch.setattr(mlp, "_train", lambda *given: seen.append(torch.get_num_threads()) or train(*given))
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(2)
    try:
        fitted_on(X, y, groups)
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}
    assert after == 2
    assert torch.equal(torch.random.get_rng_state(), state)


def test_fits_side_by_side_give_what_they_give_alone(monkeypatch):
    from joblib import Parallel, delayed

    monkeypatch.setattr(mlp, "N_EPOCHS", 2)
    data = exclusive_or(0)
    both = Parallel(n_jobs=2, prefer="threads")(delayed(fitted_on)(*data, seed=seed) for seed in (3, 4))
    for seed, one in zip((3, 4), both, strict=True):
        alone = fitted_on(*data, seed=seed)
        for name in mlp.ARRAYS:
            assert np.array_equal(one.arrays[name], alone.arrays[name])


def test_a_stored_model_is_used_without_torch(learner, tmp_path):
    learner.save(tmp_path, "m")
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from ensemble.learners.registry import load_learner\n"
        "from ensemble.training_set import Layout\n"
        f"layout = Layout({LAYOUT.columns!r}, {LAYOUT.families!r})\n"
        f"learner = load_learner('mlp', Path({str(tmp_path)!r}), 'm', layout)\n"
        "learner.family_logits(np.zeros((2, 6), np.float32))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
