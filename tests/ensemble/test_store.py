import errno
import importlib.metadata
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensemble import store
from ensemble.folds import read_folds
from ensemble.manifest import package_versions
from ensemble.store import load_model, save_model
from ensemble.training_set import layout_of
from features.checksums import sha256_of
from features.errors import InputError, ModelError
from features.table import METADATA_KEY
from features.version import __version__


@pytest.fixture
def folder(trained, tmp_path):
    save_model(trained[0], tmp_path / "model")
    return tmp_path / "model"


def edit(folder, change):
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


def test_a_loaded_model_says_the_same_bit_for_bit(trained, folder, table):
    model, _ = trained
    again = load_model(folder)
    assert np.array_equal(again.predict(table), model.predict(table))
    first, second = model.explain(table), again.explain(table)
    assert all(np.array_equal(first.contributions[name], second.contributions[name]) for name in first.contributions)


def test_saving_twice_gives_equal_bytes(trained, folder, tmp_path):
    save_model(trained[0], tmp_path / "again")
    names = sorted(file.name for file in folder.iterdir())
    assert names == sorted(file.name for file in (tmp_path / "again").iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_nothing_in_the_folder_can_be_executed(folder):
    kinds = {file.suffix for file in folder.iterdir()}
    assert kinds <= {".json", ".txt", ".safetensors", ".parquet"}
    assert not any(file.read_bytes().startswith((b"\x80\x04", b"\x80\x05", b"PK")) for file in folder.iterdir())


def test_every_file_has_its_sha256_of(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {file.name for file in folder.iterdir()} - {"manifest.json"}
    assert manifest["checksums"] == {name: sha256_of(folder / name) for name in files}
    assert manifest["kind"] == "deepfake-ensemble"
    assert {"lightgbm", "numpy"} <= set(manifest["created_with"])


def test_the_manifest_names_the_version_that_ran(folder, monkeypatch):
    """Non-regression test: an editable checkout keeps the metadata of the version that was installed first."""
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1" if name == "deepcue" else real(name))
    assert package_versions()["deepcue"] == __version__
    assert json.loads((folder / "manifest.json").read_text())["created_with"]["deepcue"] == __version__


@pytest.mark.parametrize("name", ["head.json", "lightgbm_fold0_bag0.txt", "kernel_fold1.safetensors"])
def test_a_changed_file_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(ModelError, match=f"{name}: changed since"):
        load_model(folder)


def test_a_missing_file_is_refused(folder):
    (folder / "logistic_fold2.json").unlink()
    with pytest.raises(ModelError, match=r"logistic_fold2.json is missing"):
        load_model(folder)


def test_an_added_file_that_would_be_loaded_is_refused(folder):
    (folder / "lightgbm_fold0_bag9.txt").write_text("tree")
    with pytest.raises(ModelError, match="not one of the model's files"):
        load_model(folder)


def test_a_name_that_leaves_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "outside.txt").write_text("secret")
    digest = sha256_of(tmp_path / "outside.txt")
    edit(folder, lambda manifest: manifest["checksums"].update({"../outside.txt": digest}))
    with pytest.raises(ModelError, match="is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(kind="something"), "not the manifest"),
        (lambda m: m.update(schema=99), "model schema 99"),
        (lambda m: m.pop("columns"), "lacks 'columns'"),
        (lambda m: m["learners"].update(oracle=1), "oracle"),
        (lambda m: m["learners"].update({"(oracle": 1}), r"the learner \(oracle"),
        (lambda m: m["checksums"].pop("head.json"), "no checksum"),
        (lambda m: m["learners"].update(lightgbm=9), "can't be read"),
        (lambda m: m.update(columns=5), "'columns' has a value of another kind"),
        (lambda m: m.update(families="x"), "'families' has a value of another kind"),
        (lambda m: m.update(learners=[1]), "'learners' has a value of another kind"),
        (lambda m: m["learners"].update(lightgbm=-1), "'learners' has a value of another kind"),
        (lambda m: m.update(weights=5), "'weights' has a value of another kind"),
        (lambda m: m.update(checksums=None), "'checksums' has a value of another kind"),
    ],
)
def test_another_manifest_is_refused(folder, change, message):
    edit(folder, change)
    with pytest.raises(ModelError, match=message):
        load_model(folder)


def test_no_manifest_and_no_json_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no model here") as caught:
        load_model(tmp_path)
    assert isinstance(caught.value, FileNotFoundError)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ModelError, match="not JSON"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ['{"x":' + "[" * 100_000, '{"kind": ' + "1" * 5_001 + "}"], ids=["deep", "long"])
def test_json_that_can_not_be_parsed_is_a_one_line_error(tmp_path, text):
    """Non-regression test: a RecursionError and a ValueError were reported as faults of deepcue."""
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest.json: not JSON \(.*\); train the model again$"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["head"]["calibration"].update(kind="platt", parameters={"a": float("nan"), "b": 0}), "not finite"),
        (lambda s: s["head"].update(clip=1e30), "clip is 1e"),
        (lambda s: s["head"].update(target_prior=1.0), "target_prior is 1.0"),
        (lambda s: s["head"]["stack"].update(intercept=float("inf")), "not finite"),
        (lambda s: s["head"]["stack"].update(weights="x"), "can't be read"),
        (lambda s: s["shrinkage"].update(a=-1.0), "strengths of OOD shrinkage"),
        (lambda s: s["shrinkage"].update(present=[1.0]), "can't be read"),
        (lambda s: s.update(head=[]), "can't be read"),
    ],
)
def test_a_head_without_usable_numbers_is_refused_when_it_is_loaded(folder, change, message):
    """Non-regression test: `predict` printed P(FAKE) = nan, and `submit` failed after all clips were measured."""
    file = folder / "head.json"
    state = json.loads(file.read_text())
    change(state)
    file.write_text(json.dumps(state))
    edit(folder, lambda manifest: manifest["checksums"].update({"head.json": sha256_of(file)}))
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("folder", ["model", "model/below"])
def test_a_file_in_the_way_is_refused(trained, tmp_path, folder):
    (tmp_path / "model").write_text("not a folder")
    with pytest.raises(InputError, match="is a file"):
        save_model(trained[0], tmp_path / folder)


def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_model(trained, folder, table, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    expected = trained[0].predict(table)
    monkeypatch.setattr(store, "_write_parts", full)
    with pytest.raises(InputError, match=r"can't be written \(No space left on device\)"):
        save_model(trained[0], folder)
    monkeypatch.undo()
    assert np.array_equal(load_model(folder).predict(table), expected)
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]


def test_what_a_killed_run_left_is_removed_with_the_files_of_more_folds(trained, table, folder):
    """Non-regression test: the new model could not be loaded: `lightgbm_fold3_bag0.txt` was not one of its files."""
    (folder / "manifest.json").unlink()  # killed while the files were moved in
    left = [folder / "lightgbm_fold9_bag0.txt", folder / "kernel_fold7.npz", folder / ".writing-x" / "head.json"]
    left[2].parent.mkdir()
    for file in left:
        file.touch()
    (folder / "notes.txt").touch()
    save_model(trained[0], folder)
    assert not [file for file in left if file.exists()]
    assert not left[2].parent.exists()
    assert (folder / "notes.txt").exists()
    assert np.array_equal(load_model(folder).predict(table), trained[0].predict(table))


def test_two_that_write_into_one_folder_do_so_one_after_the_other(trained, table, tmp_path, monkeypatch):
    """Non-regression test: one removed the folder in which the other was still writing."""
    write = store._write_parts

    def slow(*arguments):
        names = write(*arguments)
        time.sleep(0.5)
        return names

    monkeypatch.setattr(store, "_write_parts", slow)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(save_model, [trained[0]] * 2, [tmp_path / "model"] * 2))
    assert np.array_equal(load_model(tmp_path / "model").predict(table), trained[0].predict(table))
    assert not list((tmp_path / "model").glob(".*"))


def test_a_folder_that_can_not_be_locked_is_written_all_the_same(trained, tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(store.fcntl, "flock", no_locks)
    save_model(trained[0], tmp_path / "model")
    assert "can't be locked" in caplog.text


def test_a_model_that_can_not_be_read_back_is_not_said_to_be_written(trained, folder, monkeypatch):
    def half(model, folder, tables):
        (folder / "head.json").write_text("{}")
        return ["head.json"]

    monkeypatch.setattr(store, "_write_parts", half)
    with pytest.raises(ModelError, match="can't be read as a model"):
        save_model(trained[0], folder)


def failing_at(path, function):
    """The function; of ``path`` it raises what a faulty disk does."""

    def read(file, *arguments, **options):
        if file == path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return function(file, *arguments, **options)

    return read


@pytest.mark.parametrize("name", ["manifest.json", "head.json"])
def test_a_model_that_a_disk_does_not_give_back_is_not_said_to_lack_room(trained, tmp_path, monkeypatch, name):
    """Non-regression test: the advice was to make room; of the manifest, it was called a fault of deepcue."""
    folder = tmp_path / "model"
    monkeypatch.setattr(store, "sha256_of", failing_at(folder / name, sha256_of))
    monkeypatch.setattr(Path, "read_text", failing_at(folder / name, Path.read_text))
    with pytest.raises(ModelError, match=rf"{name}: can't be read \(Input/output error\); try again"):
        save_model(trained[0], folder)
    monkeypatch.undo()
    load_model(folder)


def test_a_model_folder_that_can_not_be_listed_is_refused(folder, monkeypatch):
    """Non-regression test: it was called a fault of deepcue."""
    monkeypatch.setattr(Path, "iterdir", failing_at(folder, Path.iterdir))
    with pytest.raises(ModelError, match=r"model: can't be read \(Input/output error\)"):
        load_model(folder)


def test_a_folder_s_name_may_hold_a_colon(trained, tmp_path, monkeypatch):
    """Non-regression test: Arrow took `exp` for a protocol, after all the training."""
    model, evaluation = trained
    monkeypatch.chdir(tmp_path)
    save_model(model, "exp:1", evaluation.tables())
    assert load_model("exp:1").layout == model.layout
    assert read_folds(Path("exp:1/folds.parquet")).num_rows == evaluation.clips.num_rows


def test_a_model_of_the_first_schema_is_refused_with_the_remedy(folder):
    edit(folder, lambda manifest: manifest.update(schema=1))
    with pytest.raises(ModelError, match="schema 1, this version reads 2; train the model again") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_columns_are_found_by_name(trained, table):
    model, _ = trained
    names = table.column_names
    turned = table.select(names[:9] + names[9:][::-1])
    assert np.array_equal(model.predict(turned), model.predict(table))


def test_another_family_version_is_refused_with_what_differs(trained, make_table):
    with pytest.raises(ModelError, match="lips 2 in the table, 1 in the model"):
        trained[0].predict(make_table(versions={"lips": 2}))


def test_a_model_knows_the_weights_that_its_table_was_measured_with(trained, table, folder):
    """Non-regression test: with other weights in use its predictions changed without a word."""

    def made_with(digest, seconds=120.0):
        made = json.loads(table.schema.metadata[METADATA_KEY]) | {"weights": {"lips": digest}, "max_seconds": seconds}
        return table.replace_schema_metadata({METADATA_KEY: json.dumps(made)})

    model = replace(trained[0], layout=layout_of(made_with("ab" * 32)))
    save_model(model, folder)
    again = load_model(folder)
    assert (again.layout.weights, again.layout.max_seconds) == ({"lips": "ab" * 32}, 120.0)
    assert np.array_equal(again.predict(made_with("ab" * 32)), again.predict(table))  # which does not say it
    with pytest.raises(ModelError, match=r"weights of lips differ .*DEEPCUE_WEIGHTS .*train the model again"):
        again.predict(made_with("cd" * 32))


def test_a_manifest_of_an_earlier_version_has_no_weights(folder, table):
    edit(folder, lambda manifest: [manifest.pop(key) for key in ("weights", "max_seconds")])
    model = load_model(folder)
    assert model.layout.weights == {}
    assert len(model.predict(table)) == table.num_rows
