"""What ships: the model loads, fits the families and their weights, and says of known cues what it said before.

``shipped_model.json`` holds the cues of some clips and the probability that the model gave when it was shipped. A new
model, or new weights, come with new families' versions and new numbers here.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from artifacts import PRETRAINED
from ensemble.compatibility import check_families
from ensemble.learners.late_fusion import CUES, MAX_CUES
from ensemble.store import load_model
from ensemble.verdict import NOTHING, judge
from ensemble.wording import model_line, track_record
from features import discovery
from features.networks import projection
from features.networks.weights import WEIGHTS_VARIABLE
from features.spec import is_share
from features.table import build, schema
from reports.norms import read_norms

ROOT = Path(__file__).resolve().parents[1]
SHIPPED_MODEL = PRETRAINED / "model"
KNOWN = json.loads(Path(__file__).with_name("shipped_model.json").read_text(encoding="utf-8"))
WEIGHTS = {
    "cnn_embedding": (2, "2d65813c0362d48ef50e6377f31f1171a013d86c5b52a26ac44ca7905ff9f966"),
    "face_contrast": (1, "bd38dc2353c0b4d26e3a69e3293f6efab6448c81a144cf9904935be45559c590"),
    "forensic_cnn": (7, "85dc43e534d14b60de0e75437a69583c032c6c6f4fbcc42dcf61f36437788af4"),
    "forensic_residual": (5, "4539c063d14568ec25d9c35d52b92790e85749621d027a984e27803fc7120d8b"),
    "forensic_voice": (5, "3e3e65560c9029fddc7ca5f4b7c2818641d58c83ee3aba1ead0148cb60dfab86"),
}
"""Family to version and SHA-256 of its weights: other weights give other values, so both change together."""


@pytest.fixture(scope="module")
def model():
    return load_model(SHIPPED_MODEL)


def test_the_model_fits_the_families_as_they_are(model):
    check_families(model.layout, str(SHIPPED_MODEL))
    declared = {column.name for one in discovery.families(model.layout.families) for column in one.table_columns}
    assert set(model.layout.columns) <= declared
    assert set(CUES) <= declared
    assert model.layout.weights == {name: WEIGHTS[name][1] for name in model.layout.families if name in WEIGHTS}


def test_the_model_card_says_how_far_speech_and_cues_move_the_log_odds(model):
    (scale,) = model.head.stack.weights
    heard = np.mean([one.parameters.heard for one in model.fold_models["networks_and_cues"]])
    assert (round(scale * MAX_CUES, 1), round(scale * heard, 1)) == (1.1, -0.1)


def test_the_score_that_is_said_under_a_verdict_is_that_of_the_results(model):
    """Of unseen manipulations and identities; the training's own folds share manipulations and are more favourable."""
    results = json.loads((ROOT / "docs" / "results" / "shipped.json").read_text(encoding="utf-8"))
    losses = {row[0]: row[1] for row in results["rows"]}
    reported = model.manifest["reported"]
    assert list(reported["log_loss"].values()) == losses["all"]
    assert reported["constant"] == losses["constant"]
    areas = {row[0]: row[2] for row in results["rows"]}
    assert list(reported["auc"].values()) == areas["all"]
    assert "in 76 of 100 pairs" in track_record(model.manifest)
    line = model_line(model.manifest, SHIPPED_MODEL)
    assert line.endswith(
        "log loss on unseen manipulations and identities 0.580 [0.548, 0.611], of the constant predictor 0.693"
    )


def test_the_page_of_results_says_which_scale_its_scores_are_at_and_which_ships(model):
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    (scale,) = model.head.stack.weights
    assert f"at the scale 1.0 of log-odds; at {scale:g}, which ships" in page
    sources = json.loads((ROOT / "docs" / "results" / "real_sources.json").read_text(encoding="utf-8"))
    assert max(float(row[2].rstrip("%")) for row in sources["rows"]) == 50  # "up to half of a REAL source's clips"


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_weights_and_version_of_a_family_change_together(name):
    version = discovery.families([name])[0].version
    found = hashlib.sha256((PRETRAINED / f"{name}.safetensors").read_bytes()).hexdigest()
    assert (version, found) == WEIGHTS[name], "raise the version with new weights, then write both here"


def test_every_family_with_weights_is_listed():
    assert {one.name for one in discovery.families() if "weights" in one.needs} == set(WEIGHTS)
    assert {file.stem for file in PRETRAINED.glob("*.safetensors")} == set(WEIGHTS)


def test_the_projections_are_of_the_shipped_networks(monkeypatch):
    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    assert projection.known_networks() == ["forensic_cnn", "forensic_residual"]  # raises for other weights
    _, projections = projection.read_projections(PRETRAINED / "cnn_embedding.safetensors")
    for one in projections.values():
        np.testing.assert_allclose(one.axes.T @ one.axes, np.eye(projection.DIMENSIONS), atol=1e-5)
    assert (PRETRAINED / "cnn_embedding.safetensors").stat().st_size < 400_000


def table_of(cues):
    """A row with these values of the columns of the model's families."""
    families = discovery.families(KNOWN["families"])
    names = [column.name for one in families for column in one.table_columns]
    assert set(names) == set(cues)
    base = {
        "filename": ["clip.mp4"],
        "label": [None],
        "group": [None],
        "source": [None],
        "status": ["ok"],
        "error": [""],
        "duration_s": [2.0],
        "n_frames": [50],
        "n_faces": [1],
    }
    values = np.array([[cues[name] for name in names]], np.float32)  # null is NaN
    return build(base, values, schema(families, extractor="test"))


@pytest.mark.parametrize("row", KNOWN["rows"], ids=lambda row: row["case"].replace(" ", "_"))
def test_a_known_row_still_gets_its_probability(model, row):
    assert model.layout.families == KNOWN["families"]
    assert model.predict(table_of(row["cues"])) == pytest.approx([row["probability"]], abs=1e-6)


def test_a_clip_without_a_number_that_the_model_reads_has_the_prior(model):
    """Non-regression test: with an unread cue defined it had the fusion's intercept, under a note that says prior."""
    cues = KNOWN["rows"][0]["cues"] | dict.fromkeys(model.columns_read)
    (one,) = judge(model, table_of(cues))
    assert (one.verdict, one.probability) == (NOTHING, model.head.target_prior)
    assert any(value is not None for name, value in cues.items() if not is_share(name))


def test_norms_are_of_the_families_as_they_are():
    norms = read_norms({one.name: one.version for one in discovery.families()})
    assert {name.split(".")[0] for name in norms} == {one.name for one in discovery.families()}
    columns = {column.name: column for one in discovery.families() for column in one.table_columns}
    for name, norm in norms.items():
        low, high = columns[name].range
        assert list(norm.quantiles) == sorted(norm.quantiles)
        assert low <= norm.quantiles[0]
        assert norm.quantiles[-1] <= high
