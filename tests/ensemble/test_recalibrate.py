"""Another scale and bound: log-odds are scaled about the training prior, and scores are those of what is kept."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit, logit

from deepcue.cli.main import main as deepcue
from ensemble import metrics
from ensemble.calibrate import Calibration
from ensemble.folds import read_folds
from ensemble.model import EnsembleHead, Model
from ensemble.recalibrate import recalibrated
from ensemble.shrinkage import Shrinkage
from ensemble.stack import Stack
from ensemble.store import load_model, save_model
from ensemble.train import train_table
from ensemble.training_set import Layout
from features.errors import InputError, ModelError


@pytest.fixture(scope="module")
def one_learner(table):
    return train_table(table, learners=["logistic"], n_folds=3)


@pytest.fixture
def folder(one_learner, tmp_path):
    model, evaluation = one_learner
    save_model(model, tmp_path / "model", evaluation.tables())
    return tmp_path / "model"


def test_predictions_are_the_learners_log_odds_scaled_about_the_prior_within_the_bound(folder, table, capsys):
    before = load_model(folder)
    assert deepcue(["recalibrate", str(folder), "--scale", "0.5", "--bound", "0.2"]) == 0
    assert "log loss" in capsys.readouterr().out
    after = load_model(folder)
    z = before.learner_logits(before.inputs(table))[:, 0]
    assert after.head.finish(after.head.stack(z[:, None])) == pytest.approx(
        np.clip(0.5 * (z - logit(after.head.train_prior)) + logit(0.5), logit(0.2), logit(0.8))
    )
    p = after.predict(table)
    assert p.min() >= 0.2 - 1e-12
    assert p.max() <= 0.8 + 1e-12
    assert after.explain(table).log_odds == pytest.approx(logit(p))


@pytest.mark.parametrize("train_prior", [0.2, 0.83])
@pytest.mark.parametrize("scale", [0.5, 0.75, 2.0])
def test_a_clip_without_evidence_stays_at_the_prior_at_any_scale(one_learner, train_prior, scale):
    """Non-regression test: with 83 % FAKE in training it was given 0.40 at scale 0.75."""
    model, evaluation = one_learner
    model = replace(model, head=replace(model.head, train_prior=train_prior, target_prior=0.5))
    oof = evaluation.tables()["oof.parquet"]
    silent = pa.array(np.full(oof.num_rows, train_prior))
    oof = oof.set_column(oof.column_names.index("logistic"), "logistic", silent)
    after, scored = recalibrated(model, oof, scale=scale, bound=0.001)
    assert after.head.finish(after.head.stack(np.array([[logit(train_prior)]]))) == pytest.approx(0.0)
    assert scored["stack"].to_numpy() == pytest.approx(train_prior)
    assert scored["stack_target"].to_numpy() == pytest.approx(0.5)


def test_the_scores_and_out_of_fold_predictions_are_those_of_the_new_scale(folder):
    before = pq.read_table(folder / "oof.parquet")
    assert deepcue(["recalibrate", str(folder), "--scale", "2", "--bound", "0.01", "--quiet"]) == 0
    after = pq.read_table(folder / "oof.parquet")
    z = logit(before["logistic"].to_numpy())
    prior = load_model(folder).head.train_prior
    unmeasured = ~before["measured"].to_numpy()
    assert unmeasured.sum() == 2
    p = np.clip(expit(np.where(unmeasured, logit(prior), 2 * z - logit(prior))), 0.01, 0.99)
    assert after["stack"].to_numpy() == pytest.approx(p)
    assert after["stack_target"].to_numpy()[unmeasured] == pytest.approx(0.5)
    assert after.drop_columns(["stack", "stack_target"]).equals(before.drop_columns(["stack", "stack_target"]))
    y = np.array([label == "FAKE" for label in after["label"].to_pylist()]).astype(int)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["metrics"]["stack"]["log_loss"]["value"] == pytest.approx(metrics.log_loss(y, p, np.ones(len(y))))
    assert manifest["recalibrated"] == {"scale": 2.0, "bound": 0.01}
    assert manifest["clip"] == 0.01


def test_a_folder_whose_name_is_no_utf_8_is_recalibrated(folder):
    """Non-regression test: its predictions ended in a traceback."""
    other = folder.rename(folder.parent / "caf\udce9")
    assert deepcue(["recalibrate", str(other), "--scale", "2", "--bound", "0.01", "--quiet"]) == 0
    assert read_folds(other / "folds.parquet").num_rows
    assert load_model(other).manifest["recalibrated"] == {"scale": 2.0, "bound": 0.01}


def test_what_belongs_to_the_earlier_scale_is_left_out(one_learner):
    model, evaluation = one_learner
    shrunk = replace(model, shrinkage=replace(model.shrinkage, a=4.0, b=2.0))
    shrunk.manifest["reported"] = {"protocol": "unseen people", "log_loss": {"value": 0.1}, "constant": 0.7}
    after, _ = recalibrated(shrunk, evaluation.tables()["oof.parquet"], scale=1.5, bound=0.1)
    assert (after.shrinkage.a, after.shrinkage.b) == (0.0, 0.0)
    assert not {"reported", "permutation_importance", "attribution"} & after.manifest.keys()
    assert model.manifest["metrics"]["constant"] == after.manifest["metrics"]["constant"]


@pytest.mark.parametrize(
    ("scale", "bound"), [(0.0, 0.1), (-1.0, 0.1), (np.inf, 0.1), (np.nan, 0.1), (1.0, 0.0), (1.0, 1e-13), (1.0, 0.5)]
)
def test_numbers_out_of_range_are_refused(one_learner, scale, bound):
    model, evaluation = one_learner
    with pytest.raises(InputError, match="give a scale above 0"):
        recalibrated(model, evaluation.tables()["oof.parquet"], scale=scale, bound=bound)


def test_a_model_of_several_learners_and_one_without_its_predictions_are_refused(trained, folder, tmp_path, capsys):
    save_model(trained[0], tmp_path / "several")
    (folder / "oof.parquet").unlink()
    several, _ = trained
    with pytest.raises(InputError, match="of one learner"):
        recalibrated(several, pq.read_table(folder / "folds.parquet"), scale=1.0, bound=0.1)
    assert deepcue(["recalibrate", str(folder), "--scale", "1", "--bound", "0.1"]) == 2
    assert "oof.parquet" in capsys.readouterr().err


def test_predictions_of_another_model_are_refused(one_learner, folder):
    with pytest.raises(ModelError, match="not of logistic"):
        recalibrated(one_learner[0], pq.read_table(folder / "folds.parquet"), scale=1.0, bound=0.1)


def test_scores_of_the_new_scale_are_at_the_target_prior_and_over_groups():
    head = EnsembleHead(
        Stack("nonnegative", ("one",), (1.0,), 0.0), Calibration("identity", {"a": 1.0, "b": 0.0}), 0.8, 0.5, 0.01
    )
    model = Model(Layout(("a.q",), {"a": 1}), {"one": []}, head, Shrinkage.of(np.zeros((2, 1))), {"metrics": {}})
    p = np.array([0.9, 0.7, 0.8, 0.6])
    told = {"label": ["FAKE", "REAL", "FAKE", "REAL"], "group": ["g"] * 4, "one": p, "stack": p, "stack_target": p}
    after, oof = recalibrated(model, pa.table(told), scale=1.0, bound=0.01)
    scores, y = after.manifest["metrics"]["stack"], np.array([1, 0, 1, 0])
    assert scores["log_loss"]["low"] == scores["log_loss"]["value"] == scores["log_loss"]["high"]  # of a single group
    assert scores["log_loss_target_prior"]["value"] == pytest.approx(
        metrics.log_loss(y, oof["stack_target"].to_numpy(), metrics.prior_weights(y, 0.5))
    )
