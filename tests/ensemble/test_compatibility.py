import shutil

import pytest

from artifacts import PRETRAINED
from ensemble.compatibility import check_families, check_layout, warn_of_other_versions
from ensemble.training_set import Layout
from features import discovery
from features.checksums import sha256_of
from features.errors import ModelError


def test_a_missing_family_or_column_is_named():
    wanted = Layout(("a.x", "b.y"), {"a": 1, "b": 1})
    with pytest.raises(ModelError, match="lacks the families b that"):
        check_layout(Layout(("a.x",), {"a": 1}), wanted)
    with pytest.raises(ModelError, match=r"among them b\.y"):
        check_layout(Layout(("a.x",), {"a": 1, "b": 1}), wanted)
    check_layout(Layout(("a.x", "b.y", "c.z"), {"a": 1, "b": 1, "c": 1}), wanted)


def test_another_length_that_was_looked_at_is_a_warning(caplog):
    wanted = Layout(("a.x",), {"a": 1}, {}, 120.0)
    check_layout(Layout(("a.x",), {"a": 1}), wanted)
    check_layout(Layout(("a.x",), {"a": 1}, {}, 120.0), wanted)
    assert not caplog.records
    check_layout(Layout(("a.x",), {"a": 1}, {}, 30.0), wanted)
    assert "first 30 s of each clip, the model was trained on 120 s" in caplog.text


def test_other_weights_than_the_model_s_are_refused_before_the_work(tmp_path, monkeypatch):
    shipped = sha256_of(PRETRAINED / "forensic_cnn.safetensors")
    layout = Layout((), {"forensic_cnn": discovery.families(["forensic_cnn"])[0].version}, {"forensic_cnn": shipped})
    check_families(layout, "model")
    own = tmp_path / "forensic_cnn.safetensors"
    shutil.copy(PRETRAINED / "forensic_residual.safetensors", own)
    with pytest.raises(ModelError, match=rf"model: was trained on forensic_cnn .*those in use .{own}"):
        check_families(layout, "model", {"forensic_cnn": own})
    monkeypatch.setenv("DEEPFAKE_WEIGHTS", str(tmp_path))
    with pytest.raises(ModelError, match=r"set DEEPFAKE_WEIGHTS to the folder .* or unset it"):
        check_families(layout, "model")


def test_a_model_of_an_imported_table_asks_for_one():
    """Non-regression test: to train it again was advised, which changes nothing."""
    with pytest.raises(ModelError, match=r"its cues were measured elsewhere .* give a table of them") as caught:
        check_families(Layout(("foreign.x",), {"foreign": 1}), "model")
    assert "train the model again" not in str(caught.value)


def test_a_model_of_other_cues_is_refused_before_extraction():
    with pytest.raises(ModelError, match="palm_reading"):
        check_families(Layout((), {"palm_reading": 1}), "model")
    with pytest.raises(ModelError, match=r"version 0, .*; extract its table and train it again"):
        check_families(Layout((), {"blink": 0}), "model")
    with pytest.raises(ModelError, match=r"version 999, .*; update deepcue"):
        check_families(Layout((), {"blink": 999}), "model")


def test_a_table_of_another_version_is_a_warning_before_the_training(caplog):
    """Non-regression test: the advice to train again gave, of the old table, a model that was refused as well."""
    blink, quality = discovery.families(["blink", "quality"])
    warn_of_other_versions(Layout((), {"quality": quality.version, "foreign": 1, "of_a_plug_in": 3}), "t.parquet")
    assert not caplog.records
    warn_of_other_versions(Layout((), {"quality": quality.version, "blink": 1}), "t.parquet")
    assert f"t.parquet: was measured by another version (blink 1, now {blink.version}); a model" in caplog.text
