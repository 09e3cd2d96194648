"""The mean of the networks' logits with a slope and an intercept, noisy-OR the speech detector's."""

import numpy as np
import pytest

from ensemble.learners import late_fusion
from ensemble.learners.base import LearnerSettings
from ensemble.learners.late_fusion import Cues, Networks, NetworksAndCues, Parameters, noisy_or
from ensemble.training_set import Layout
from features.errors import InputError

LAYOUT = Layout(("a.logit_mean", "a.valid_share", "b.logit_mean", "b.logit_std"), {"a": 1, "b": 1})
WITH_VOICE = Layout((*LAYOUT.columns, "forensic_voice.logit"), {"a": 1, "b": 1, "forensic_voice": 1})


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    y = np.arange(4000) % 2
    z = rng.standard_normal((4000, 2)) + np.where(y == 1, 0.5, -0.5)[:, None]
    X = np.stack([z[:, 0], np.ones(4000), z[:, 1], rng.standard_normal(4000)], axis=1).astype(np.float32)
    return X, y


@pytest.fixture
def with_speech(made):
    """Half of the FAKE have a forged video, half synthetic speech; a third of all clips has no audio."""
    X, y = made
    rng = np.random.default_rng(1)
    voice = (y == 1) & (rng.random(len(y)) < 0.5)
    X = X.copy()
    X[voice, 0:3:2] = rng.standard_normal((voice.sum(), 2)) - 0.5
    heard = rng.standard_normal(len(y)) + np.where(voice, 2.0, -2.0)
    heard[rng.random(len(y)) < 1 / 3] = np.nan
    return np.column_stack([X, heard]).astype(np.float32), y


def fitted(X, y, layout=LAYOUT):
    return Networks(layout, LearnerSettings()).fit(X, y, np.arange(len(y)), 0)


def log_loss(learner, X, y):
    z = learner.predict_logit(X)
    return np.mean(np.logaddexp(0, z) - y * z)


def test_known_slope(made):
    """Two equal Gaussians a unit apart: the log-likelihood ratio of both is their sum, twice their mean."""
    learner = fitted(*made)
    assert learner.parameters.slope == pytest.approx(2, rel=0.1)
    assert learner.parameters.intercept == pytest.approx(0, abs=0.1)


def test_parts_add_up_and_a_missing_network_leaves_the_other(made, tmp_path):
    learner = fitted(*made)
    X = np.array([[1, 1, 3, 0], [np.nan, 0, 3, 0], [np.nan, 0, np.nan, 0]], np.float32)
    z = learner.predict_logit(X)
    expected = learner.parameters.slope * np.array([2, 3, 0]) + learner.parameters.intercept
    np.testing.assert_allclose(z, expected, rtol=1e-6)
    np.testing.assert_allclose(learner.family_logits(X).sum(axis=1), z, rtol=1e-6)
    learner.save(tmp_path, "one")
    np.testing.assert_array_equal(Networks.load(tmp_path, "one", LAYOUT).predict_logit(X), z)


def test_misleading_logits_are_ignored(made):
    X, y = made
    learner = fitted(X, 1 - y)
    assert learner.parameters.slope == 0
    assert learner.predict_logit(X[:3]) == pytest.approx(0, abs=1e-3)


def test_synthetic_speech_is_found_where_the_video_is_real(with_speech):
    X, y = with_speech
    silent = X.copy()
    silent[:, -1] = np.nan
    learner = fitted(X, y, WITH_VOICE)
    assert learner.parameters.voice_slope > 1
    assert log_loss(learner, X, y) < log_loss(fitted(silent, y, WITH_VOICE), silent, y) - 0.05


def test_uninformative_speech_scores_change_nothing(made):
    X, y = made
    noise = np.random.default_rng(2).standard_normal(len(y)).astype(np.float32)
    learner = fitted(np.column_stack([X, noise]), y, WITH_VOICE)
    assert log_loss(learner, np.column_stack([X, noise]), y) == pytest.approx(log_loss(fitted(X, y), X, y), abs=0.005)


def test_parts_of_video_and_speech_add_up(with_speech):
    X, y = with_speech
    learner = fitted(X, y, WITH_VOICE)
    parts = learner.family_logits(X)
    np.testing.assert_allclose(parts.sum(axis=1), learner.predict_logit(X), atol=1e-6)
    np.testing.assert_array_equal(parts[np.isnan(X[:, -1]), 2], 0)
    loud = np.argsort(np.nan_to_num(X[:, -1], nan=-9))[-50:]
    assert (parts[loud, 2] > 1).all()


def test_genuine_speech_does_not_offset_image_evidence():
    learner = Networks(WITH_VOICE, LearnerSettings())
    learner.parameters = Parameters(slope=1.0, voice_slope=1.0, voice_intercept=-2.0)
    X = np.array([[3, 1, 3, 0, -8], [3, 1, 3, 0, np.nan], [-3, 1, -3, 0, 8]], np.float32)
    z = learner.predict_logit(X)
    assert z[0] == pytest.approx(z[1], abs=1e-3)
    assert z[2] == pytest.approx(6, abs=0.1)


def test_either_of_two_independent_events():
    p, q = 0.3, 0.6
    odds = noisy_or(np.log([p / (1 - p)]), np.log([q / (1 - q)]))
    assert 1 / (1 + np.exp(-odds[0])) == pytest.approx(1 - (1 - p) * (1 - q))


FACES = Layout(
    ("a.logit_mean", "a.logit_mean_max", "b.logit_mean", "b.logit_mean_max", "blending.ten_core_rest_med"),
    {"a": 1, "b": 1, "blending": 1},
)


@pytest.fixture
def of_faces():
    learner = NetworksAndCues(FACES, LearnerSettings())
    learner.parameters = Parameters(slope=0.5, intercept=0.2)
    learner.cues = Cues(columns=[4], centre=[0.0], scale=[1.0], coefficients=[0.3])
    return learner


def test_the_odds_of_two_faces_are_the_mean_of_those_of_each(of_faces):
    """Either of both may be the forged one, so the likelihood ratio is the mean; both have the main face's cues."""
    X = np.array([[-1, 3, -3, 5, 2]], np.float32)
    main, other = (0.5 * logit + 0.3 * 2 + 0.2 for logit in (-2, 4))
    assert of_faces.predict_logit(X) == pytest.approx(np.log((np.exp(main) + np.exp(other)) / 2))


def test_a_face_that_scores_lower_changes_nothing(of_faces):
    """Its logit is not in the table: the largest is then the main face's own."""
    alone = np.array([[4, np.nan, 2, np.nan, 3]], np.float32)
    beside = np.array([[4, 4, 2, 2, 3]], np.float32)
    assert of_faces.predict_logit(beside) == of_faces.predict_logit(alone) == pytest.approx(0.5 * 3 + 0.3 * 3 + 0.2)


def test_a_face_beside_one_that_was_not_judged_does_not_lower_the_number(of_faces):
    neither = np.array([[np.nan, np.nan, np.nan, np.nan, 0]], np.float32)
    other = np.array([[np.nan, -3, np.nan, -5, 0]], np.float32)
    assert of_faces.predict_logit(other) == of_faces.predict_logit(neither) == pytest.approx(0.2)


def test_a_higher_score_of_another_face_never_lowers_the_number(of_faces):
    largest = np.linspace(-1, 8, 50)
    X = np.column_stack([np.full(50, -1), largest, np.full(50, -1), largest, np.full(50, -2)]).astype(np.float32)
    assert (np.diff(of_faces.predict_logit(X)) > 0).all()


def test_a_network_that_failed_on_the_other_face_is_no_evidence_of_a_higher_score(of_faces):
    """Non-regression test: the mean of one network's logit was compared with the mean of both."""
    failed = np.array([[-2, -2, -6, np.nan, 0]], np.float32)
    alone = np.array([[-2, np.nan, -6, np.nan, 0]], np.float32)
    assert of_faces.predict_logit(failed) == of_faces.predict_logit(alone)
    seen_by_one = np.array([[-2, 1, -6, np.nan, 0]], np.float32)
    higher = of_faces.predict_logit(alone) + np.log((1 + np.exp(0.5 * 3)) / 2)
    assert of_faces.predict_logit(seen_by_one) == pytest.approx(higher)


def test_parts_of_several_faces_add_up(of_faces):
    X = np.random.default_rng(4).standard_normal((50, 5)).astype(np.float32)
    X[::3, 1] = np.nan
    X[::4, 3] = np.nan
    parts = of_faces.family_logits(X)
    np.testing.assert_allclose(parts.sum(axis=1), of_faces.predict_logit(X), atol=1e-6)


def test_a_table_without_networks_is_refused():
    with pytest.raises(InputError, match="logit_mean"):
        Networks(Layout(("blink.rate",), {"blink": 1}), LearnerSettings())


CUES = Layout(
    (
        "a.logit_mean",
        "blending.ten_core_rest_med",
        "blending.valid_share",
        "eyes_teeth.iris_dh",
        "voice.hf_share_db",
        "blending.red_core_rest_med",
        "eyes_teeth.teeth_ten",
    ),
    {"a": 1, "blending": 1, "eyes_teeth": 1, "voice": 1},
)


@pytest.fixture
def with_cues():
    """A network that knows a little, a cue that knows something, noise, and four columns that are the label."""
    rng = np.random.default_rng(3)
    y = np.arange(3000) % 2
    z = rng.standard_normal((3000, 2)) + np.where(y == 1, 0.4, -0.4)[:, None]
    X = np.column_stack([z[:, 0], 100 * z[:, 1] + 50, y, rng.standard_normal(3000), y, y, y]).astype(np.float32)
    return X, y


def fused(X, y, kind=NetworksAndCues):
    return kind(CUES, LearnerSettings()).fit(X, y, np.arange(len(y)), 0)


def test_cues_that_compare_parts_of_a_face_help_and_no_other_is_read(with_cues):
    X, y = with_cues
    learner = fused(X, y)
    assert log_loss(learner, X, y) < log_loss(fused(X, y, Networks), X, y) - 0.02
    assert {CUES.columns[number] for number in learner.cues.columns} == {
        "blending.ten_core_rest_med",
        "eyes_teeth.iris_dh",
    }
    assert abs(learner.cues.coefficients[0]) > 5 * abs(learner.cues.coefficients[1])


def test_a_cue_of_few_values_or_of_one_is_not_read(with_cues):
    X, y = with_cues
    X = X.copy()
    X[4:, 3] = np.nan
    assert fused(X, y).cues.columns == [1]
    X[:, 1] = 1
    assert fused(X, y).cues.columns == []


def test_few_clips_say_little_of_cues(with_cues):
    X, y = with_cues
    assert fused(X[:60], y[:60]).cues.coefficients[0] < 0.2 * fused(X, y).cues.coefficients[0]


def test_the_gradient_is_that_of_the_penalised_loss(with_speech):
    X, y = with_speech
    rng = np.random.default_rng(5)
    rows = slice(0, 200)
    inputs = (X[rows, 0].astype(float), X[rows, -1].astype(float), rng.standard_normal((200, 3)), y[rows])
    theta = rng.standard_normal(8) * 0.3
    gradient = late_fusion._penalised_loss(theta, *inputs)[1]
    for number in range(len(theta)):
        step = np.zeros(8)
        step[number] = 1e-5
        ahead, behind = (late_fusion._penalised_loss(theta + sign * step, *inputs)[0] for sign in (1, -1))
        assert gradient[number] == pytest.approx((ahead - behind) / 2e-5, rel=1e-4, abs=1e-4)


def test_cues_move_a_clip_by_a_bounded_amount_and_missing_ones_by_nothing(with_cues):
    X, y = with_cues
    learner = fused(X, y)
    usual = np.zeros((3, len(CUES.columns)), np.float32)
    usual[:, 1], usual[0, 3] = (np.nan, 1e9, -1e9), np.nan
    moved = learner.predict_logit(usual) - learner.parameters.intercept
    assert moved[0] == 0
    assert 0 < moved[1] <= 1 + 1e-6
    assert -1 - 1e-6 <= moved[2] < 0


def test_parts_of_networks_and_cues_add_up_and_are_kept(with_cues, tmp_path):
    X, y = with_cues
    learner = fused(X, y)
    parts = learner.family_logits(X)
    np.testing.assert_allclose(parts.sum(axis=1), learner.predict_logit(X), atol=1e-6)
    assert (np.abs(parts[:, 1]) > 0).any()
    np.testing.assert_array_equal(parts[:, 3], 0)  # the voice's cues compare no parts of a face
    learner.save(tmp_path, "one")
    again = NetworksAndCues.load(tmp_path, "one", CUES)
    np.testing.assert_array_equal(again.predict_logit(X), learner.predict_logit(X))


def test_a_table_without_cues_gives_the_networks_alone(made):
    X, y = made
    learner = NetworksAndCues(LAYOUT, LearnerSettings()).fit(X, y, np.arange(len(y)), 0)
    np.testing.assert_allclose(learner.predict_logit(X), fitted(X, y).predict_logit(X), atol=1e-6)


def test_class_without_audio_does_not_raise_clips_with_audio(made):
    """No effect above 0, and a bounded one below: a data set in which only one class has audio would teach it."""
    X, y = made
    for silent in (0, 1):
        voice = np.where(y == silent, np.nan, -8.0).astype(np.float32)
        learner = fitted(np.column_stack([X, voice]), y, WITH_VOICE)
        assert late_fusion.MIN_HEARD <= learner.parameters.heard <= 0


def test_the_centre_of_a_cue_is_its_median(with_cues):
    X, _ = with_cues
    X = X.copy()
    X[::10, 1] = 1e6  # what a rare failure of measuring gives
    cues = late_fusion.Cues.standardised(X, [1])
    assert cues.centre == pytest.approx([np.median(X[:, 1])])
    assert abs(cues.centre[0] - 50) < 50


ONE_VIEW_WITH_VOICE = Layout(("a.logit_mean", "forensic_voice.logit"), {"a": 1, "forensic_voice": 1})


def test_of_clips_with_speech_fewer_are_fake_because_of_their_video():
    learner = Networks(ONE_VIEW_WITH_VOICE, LearnerSettings())
    learner.parameters = Parameters(slope=1.0, intercept=0.2, voice_slope=1.0, voice_intercept=-20.0, heard=-0.5)
    X = np.array([[3.0, -8.0], [3.0, np.nan]], np.float32)
    assert learner.predict_logit(X) == pytest.approx([2.7, 3.2], abs=1e-6)
    assert learner.family_logits(X).sum(axis=1) == pytest.approx([2.7, 3.2], abs=1e-6)


def test_speech_logits_that_mislead_are_ignored():
    rng = np.random.default_rng(0)
    y = np.arange(2000) % 2
    X = np.column_stack([rng.normal(size=2000), rng.normal(size=2000) + np.where(y == 1, -2.0, 2.0)])
    learner = Networks(ONE_VIEW_WITH_VOICE, LearnerSettings()).fit(X.astype(np.float32), y, np.arange(2000), 0)
    assert learner.parameters.voice_slope >= 0
