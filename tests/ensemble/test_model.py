from dataclasses import replace

import numpy as np
import pytest

from ensemble.learners.additive import map_parts


@pytest.mark.parametrize("kind", ["bounded", "nonnegative"])
def test_parts_add_up_to_the_prediction(trained, table, kind):
    head = trained[0].head
    model = replace(trained[0], head=replace(head, stack=replace(head.stack, kind=kind)))
    explanation = model.explain(table)
    total = explanation.base + sum(explanation.contributions.values()) + explanation.limit
    assert np.abs(total - explanation.log_odds).max() < 1e-6
    p = model.predict(table)
    assert np.abs(explanation.log_odds - (np.log(p) - np.log1p(-p))).max() < 1e-6


def test_the_clip_of_the_head_is_a_part_of_its_own(trained, table):
    """Non-regression: contributions of a clip at the bound were scaled down, and no number said by how much."""
    model, _ = trained
    wide, narrow = (replace(model, head=replace(model.head, clip=clip)).explain(table) for clip in (0.001, 0.3))
    assert all((wide.contributions[name] == narrow.contributions[name]).all() for name in wide.contributions)
    assert wide.base == pytest.approx(narrow.base, abs=0)
    bound = np.log(0.7 / 0.3)
    assert narrow.log_odds == pytest.approx(np.clip(wide.log_odds - wide.limit, -bound, bound))
    assert 0 < np.count_nonzero(narrow.limit) < len(narrow.limit)


def test_every_family_has_its_part(trained, table):
    assert set(trained[0].explain(table).contributions) == {"eyes", "lips", "noise"}


def test_the_planted_family_contributes_towards_the_label(trained, make_table):
    table = make_table(seed=4)
    explanation = trained[0].explain(table)
    fake = np.array([one == "FAKE" for one in table.column("label").to_pylist()])
    eyes = explanation.contributions["eyes"]
    assert eyes[fake].mean() > 0.3 + eyes[~fake].mean()
    assert np.abs(eyes).mean() > 2 * np.abs(explanation.contributions["noise"]).mean()


def test_nothing_measured_nothing_explained(trained, table):
    explanation = trained[0].explain(table)
    assert explanation.log_odds[3] == 0.0
    assert all(part[3] == 0.0 for part in explanation.contributions.values())


def test_a_clip_in_which_nothing_was_measured_has_the_prior_even_beyond_the_clip(trained, table):
    model, _ = trained
    model = replace(model, head=replace(model.head, target_prior=0.01, clip=0.05))
    p = model.predict(table)
    assert p[[3, 40]] == pytest.approx([0.01, 0.01])
    assert np.delete(p, [3, 40]).min() == pytest.approx(0.05)


def test_a_monotone_map_keeps_signs_and_proportions():
    parts = np.array([[2.0, 1.0, 0.5], [-2.0, 1.0, 0.5], [0.0, 0.0, 0.5]])
    base, mapped = map_parts(parts, np.tanh)
    assert base == pytest.approx(np.tanh([0.5] * 3))
    assert base + mapped.sum(axis=1) == pytest.approx(np.tanh(parts.sum(axis=1)))
    assert mapped[0, 0] / mapped[0, 1] == pytest.approx(2.0)
    assert (np.sign(mapped[:2]) == np.sign(parts[:2, :2])).all()
    assert (mapped[2] == 0).all()


def test_a_part_of_zero_stays_zero_whatever_is_rounded():
    parts = np.random.default_rng(0).standard_normal((500, 4))
    parts[:, 1] = 0.0
    base, mapped = map_parts(parts, lambda z: -0.3 * z + 0.1)
    assert base + mapped.sum(axis=1) == pytest.approx(-0.3 * parts.sum(axis=1) + 0.1, abs=1e-12)
    assert (mapped[:, 1] == 0).all()
    assert not np.signbit(mapped[:, 1]).any()


def test_parts_that_cancel_stay_finite():
    parts = np.array([[1e-13, -1e-13, 0.3], [5.0, -5.0, 0.3]])
    base, mapped = map_parts(parts, lambda z: 2 * z)
    assert np.isfinite(mapped).all()
    assert base + mapped.sum(axis=1) == pytest.approx(2 * parts.sum(axis=1))


def test_explaining_predicts_each_learner_once(trained, table, monkeypatch):
    calls = []
    for models in trained[0].fold_models.values():
        for learner in models:
            for name in ("predict_logit", "family_logits"):
                method = getattr(learner, name)
                monkeypatch.setattr(learner, name, lambda X, method=method, name=name: calls.append(name) or method(X))
    trained[0].explain(table)
    assert set(calls) == {"family_logits"}
