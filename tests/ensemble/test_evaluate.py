"""Scores are those of the model that predicts: out of fold, a row has what the model of its fold gives it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, logit

from ensemble import evaluate
from ensemble.folds import assign_folds
from ensemble.recalibrate import recalibrated
from ensemble.stack import Stack, fit_stack
from ensemble.train import manifest_of, train
from ensemble.training_set import training_set

LOGIT = "eyes.logit_mean"
UNREAD, EMPTY = (0, 1, 2, 7, 9), (20, 41)  # rows with other cues than the network's, and with none
BEYOND_CLIP = 0.01  # a prior that no measured row is given


@pytest.fixture(scope="module")
def network_table(make_table):
    """One column of a network, undefined in some rows in which other cues are; some rows without any."""
    table = make_table(unmeasured=EMPTY, seed=3)
    names = [LOGIT if name == "eyes.cue0" else name for name in table.column_names]
    about = {key: value.replace(b"eyes.cue0", LOGIT.encode()) for key, value in table.schema.metadata.items()}
    table = table.rename_columns(names).replace_schema_metadata(about)
    z = table[LOGIT].to_numpy().copy()
    z[list(UNREAD)] = np.nan
    return table.set_column(names.index(LOGIT), pa.field(LOGIT, pa.float32()), pa.array(z, pa.float32()))


@pytest.fixture(params=[("networks",), ("networks", "logistic"), ("logistic",)], ids="+".join)
def learners(request):
    return request.param


@pytest.fixture(params=["fitted", "nonnegative", "bounded"])
def weights(request, learners, monkeypatch):
    """The stack's weights: as fitted, or all for the first learner."""
    if request.param != "fitted":
        fixed = (1.0, *[0.0] * (len(learners) - 1))
        monkeypatch.setattr(
            evaluate,
            "fit_stack",
            lambda Z, *given, **options: (
                Stack(request.param, learners, fixed, 0.3),
                fit_stack(Z, *given, **options)[1],
            ),
        )
    return request.param


@pytest.fixture(scope="module")
def trainings():
    """What was trained already, by learners, weights and prior."""
    return {}


@pytest.fixture
def of_networks(network_table, learners, weights, quick, trainings):
    def trained(target_prior):
        key = (learners, weights, target_prior)
        if key not in trainings:
            data = training_set(network_table)
            fold = assign_folds(data.y, data.group, n_folds=3, seed=0)
            trainings[key] = data, fold, *train(data, fold, settings=quick(learners), target_prior=target_prior)
        return trainings[key]

    return trained


def without_evidence(model):
    """The rows in which nothing is defined that the model reads."""
    return np.isin(np.arange(96), EMPTY if "lips.cue0" in model.columns_read else [*UNREAD, *EMPTY])


@pytest.mark.parametrize("target_prior", [BEYOND_CLIP, None])
def test_every_row_has_what_the_model_of_its_fold_predicts(of_networks, target_prior):
    """Non-regression test: where the model gives the prior, out of fold stood the learner's intercept."""
    data, fold, _, evaluation = of_networks(target_prior)
    measured = evaluation.clips["measured"].to_numpy()
    for number, model in enumerate(evaluation.models):
        out = fold == number
        assert evaluation.target["stack"][out] == pytest.approx(model.log_odds(data.X[out]))
        at_train = replace(model, head=replace(model.head, target_prior=model.head.train_prior))
        assert evaluation.train["stack"][out] == pytest.approx(at_train.log_odds(data.X[out]))
        assert np.array_equal(~measured[out], without_evidence(model)[out])


def test_rows_without_a_cue_that_is_read_have_the_prior_wherever_they_are_predicted(of_networks, network_table):
    _, fold, model, evaluation = of_networks(BEYOND_CLIP)
    rows = without_evidence(model)
    for one in evaluation.models:
        rows &= without_evidence(one)
    assert rows.sum() >= len(EMPTY)
    oof = evaluation.tables()["oof.parquet"]
    assert model.predict(network_table)[rows] == pytest.approx(BEYOND_CLIP)
    assert model.explain(network_table).log_odds[rows] == pytest.approx(logit(BEYOND_CLIP))
    assert oof["stack_target"].to_numpy()[rows] == pytest.approx(BEYOND_CLIP)
    priors = np.array([one.head.train_prior for one in evaluation.models])
    assert oof["stack"].to_numpy()[rows] == pytest.approx(priors[fold][rows])
    assert not oof["measured"].to_numpy()[rows].any()


@pytest.mark.parametrize("learners", [("networks",), ("logistic",)], indirect=True)
@pytest.mark.parametrize("weights", ["fitted"], indirect=True)
def test_recalibrated_they_keep_it(of_networks, network_table):
    _, _, model, evaluation = of_networks(BEYOND_CLIP)
    rows = without_evidence(model)
    after, oof = recalibrated(
        replace(model, manifest={"metrics": {}}), evaluation.tables()["oof.parquet"], scale=1.1, bound=0.03
    )
    assert after.predict(network_table)[rows] == pytest.approx(BEYOND_CLIP)
    assert oof["stack_target"].to_numpy()[rows] == pytest.approx(BEYOND_CLIP)
    assert oof["stack"].to_numpy()[rows] == pytest.approx(model.head.train_prior)
    assert oof["stack_target"].to_numpy()[~rows].min() >= 0.03 - 1e-12


@pytest.mark.parametrize("learners", [("networks",)], indirect=True)
@pytest.mark.parametrize("weights", ["fitted"], indirect=True)
def test_rows_that_no_learner_reads_take_no_part(of_networks):
    data, fold, model, evaluation = of_networks(BEYOND_CLIP)
    rows = without_evidence(model)
    assert model.head.train_prior == data.y[~rows].mean()
    manifest = manifest_of(model, data, fold, evaluation, seed=0, synthetic=True, table="t")
    assert manifest["summary"]["n_unmeasured"] == rows.sum()


@pytest.mark.parametrize("learners", [("networks", "logistic")], indirect=True)
@pytest.mark.parametrize("weights", ["fitted"], indirect=True)
def test_the_number_at_the_prior_is_that_of_the_model_not_of_its_folds(of_networks):
    """Non-regression test: a stack that weighs less than its folds do gave the prior to more rows than it said."""
    data, fold, model, evaluation = of_networks(BEYOND_CLIP)
    stack = replace(model.head.stack, learners=("networks", "logistic"), weights=(1.0, 0.0))
    model = replace(model, head=replace(model.head, stack=stack))
    rows = without_evidence(model)
    assert rows.sum() > (~evaluation.clips["measured"].to_numpy()).sum()
    manifest = manifest_of(model, data, fold, evaluation, seed=0, synthetic=True, table="t")
    assert manifest["summary"]["n_unmeasured"] == rows.sum()


@pytest.mark.parametrize("learners", [("networks", "logistic")], indirect=True)
@pytest.mark.parametrize("weights", ["fitted"], indirect=True)
def test_a_learner_alone_has_the_prior_where_it_reads_nothing(of_networks):
    _, fold, _, evaluation = of_networks(BEYOND_CLIP)
    priors = np.array([one.head.train_prior for one in evaluation.models])[fold]
    p = expit(evaluation.train["networks"])
    assert p[list(UNREAD)] == pytest.approx(priors[list(UNREAD)])
    assert np.abs(expit(evaluation.train["logistic"]) - priors)[list(UNREAD)].min() > 1e-4


def test_the_bound_is_that_of_the_target_prior_and_of_the_groups(monkeypatch):
    given = []
    monkeypatch.setattr(evaluate, "clip_bound", lambda *args: given.append(args) or 0.01)
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 5)
    y = (rng.random(200) < 0.8).astype(np.int64)
    Z = rng.normal(size=(200, 1)) + y[:, None]
    for prior in (None, 0.5):
        evaluate.fit_head(Z, y, group, group % 4, learners=["one"], target_prior=prior, seed=0)
    (at_train, *_), (at_target, _, weights, n_groups) = given
    assert at_target - at_train == pytest.approx(-logit(y.mean()))
    assert weights[y == 1].sum() == pytest.approx(weights[y == 0].sum())
    assert n_groups == 40
