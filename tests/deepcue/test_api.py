import builtins
import dataclasses
import doctest
import inspect
import json
import logging
import os
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from audio_maker import speech, write_wave
from measured_here import measure_here
from toy_model import toy_table

import deepcue
from deepcue import clips, inputs, models
from features import spec
from features.table import read_parquet, write_table

FUNCTIONS = [name for name in deepcue.__all__ if inspect.isfunction(getattr(deepcue, name))]
HEAVY = {"torch", "sklearn", "scipy", "cv2", "librosa", "lightgbm", "pyarrow", "numpy"}


@pytest.mark.usefixtures("measured_here")
@pytest.mark.slow
def test_the_examples_run(clip, folder, tmp_path, request):
    request.addfinalizer(lambda: spec.registry.pop("tempo", None))  # the example's family ends with the test
    globs = {"deepcue": deepcue, "clip": str(clip), "folder": str(folder), "table": toy_table()}
    globs["my_model"] = str(tmp_path / "my_model")
    found = [
        test for module in (clips, models, spec) for test in doctest.DocTestFinder().find(module, extraglobs=globs)
    ]
    tests = {test.name.rpartition(".")[2]: test for test in found if test.examples}
    assert tests.keys() >= set(FUNCTIONS)
    for test in tests.values():
        runner = doctest.DocTestRunner()
        assert runner.run(test).failed == 0, test.name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_documents_its_parameters_its_result_and_its_errors(name):
    text = inspect.getdoc(getattr(deepcue, name))
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"{section}\n---" in text, section
    for parameter in inspect.signature(getattr(deepcue, name)).parameters:
        assert parameter in text.split("Returns\n---")[0]


def test_every_public_name_is_there_and_listed():
    assert deepcue.__all__ == sorted(deepcue.__all__)
    assert set(deepcue.__all__) <= set(dir(deepcue))
    assert all(inspect.getdoc(getattr(deepcue, name)) for name in deepcue.__all__)
    with pytest.raises(AttributeError, match="no attribute 'feature'"):
        _ = deepcue.feature


def test_what_the_functions_take_return_and_raise_is_public():
    named = set()
    for name in FUNCTIONS:
        function = getattr(deepcue, name)
        text = " ".join(
            [inspect.getdoc(function).partition("Raises\n")[2], *map(str, function.__annotations__.values())]
        )
        named |= set(re.findall(r"\b(?:[A-Z]\w*Error|Evaluation|Limits|Model|Observation|Verdict)\b", text))
    assert {"Evaluation", "Limits", "Model", "UnreadableError", "Verdict"} <= named
    assert named - set(dir(builtins)) <= set(deepcue.__all__)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, deepcue; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY.isdisjoint(loaded)


def test_the_package_is_typed():
    assert (Path(deepcue.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("call", [deepcue.observe, deepcue.features, deepcue.extract, deepcue.predict])
def test_a_misspelt_path_is_an_error(call, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tlak\.mp4: no such") as caught:
        call(tmp_path / "tlak.mp4")
    assert isinstance(caught.value, deepcue.InputError)


@pytest.mark.parametrize("call", [deepcue.observe, deepcue.features, deepcue.predict])
def test_a_clip_that_is_no_video_is_an_error_of_its_kind(call, folder):
    with pytest.raises(deepcue.ClipError) as caught:
        call(folder / "broken.mp4")
    assert caught.value.status == "unreadable"


def test_a_folder_is_no_clip(folder):
    with pytest.raises(deepcue.DatasetError, match=r"deepcue\.extract"):
        deepcue.observe(folder)


def test_a_path_is_no_observation():
    with pytest.raises(deepcue.InputError, match=r"not a str: give deepcue\.observe\(clip\), or .*features\(clip\)"):
        deepcue.measure("clip.mp4")


@pytest.mark.parametrize("seconds", [-1, 0, float("nan"), float("inf"), "5", None])
@pytest.mark.parametrize("call", [deepcue.observe, deepcue.extract, deepcue.evidence])
def test_a_length_that_is_no_number_above_0_is_refused_before_the_clip_is_read(call, seconds, clip):
    """Non-regression test: `observe` blamed the clip, or ended in an error of the decoder."""
    with pytest.raises(deepcue.InputError, match=r"max_seconds = .*: must be a finite number above 0"):
        call(clip, max_seconds=seconds)


@pytest.mark.parametrize("call", [deepcue.extract, deepcue.evidence])
def test_limits_are_named_as_their_fields(call, clip):
    with pytest.raises(deepcue.InputError, match=r"^memory_mb = -1: must be a finite number above 0"):
        call(clip, limits=deepcue.Limits(memory_mb=-1))
    with pytest.raises(deepcue.InputError, match=r"limits takes deepcue\.Limits\(.*not a int: 300"):
        call(clip, limits=300)


@pytest.mark.parametrize("call", [deepcue.observe, deepcue.features, deepcue.predict])
def test_a_missing_clip_at_a_url_is_the_same_error_everywhere(call):
    """Non-regression test: `observe` and `features` raised the store's error."""
    with pytest.raises(deepcue.NotFoundError, match=r"memory://gone\.mp4: no such file"):
        call("memory://gone.mp4")


def test_a_path_may_be_bytes(clip):
    assert len(deepcue.observe(os.fsencode(clip)).times_s) == 30
    assert inputs.as_data(b"/clips/caf\xe9") == os.fsdecode(b"/clips/caf\xe9")


@pytest.mark.parametrize("data", [{"a": [1]}, 5, type("DataFrame", (list,), {"columns": ["a"]})(["a"])])
@pytest.mark.parametrize("call", [deepcue.extract, deepcue.predict])
def test_data_of_another_type_is_named(call, data):
    """Non-regression test: the columns of a DataFrame were taken for clips."""
    with pytest.raises(deepcue.InputError, match=f"data is a {type(data).__name__}; give a path or URL, a list of"):
        call(data)


def test_what_is_given_in_place_of_a_path_a_model_or_weights_is_named(clip):
    with pytest.raises(deepcue.InputError, match="5 is not a path; give the path or URL of a clip"):
        deepcue.features(5)
    with pytest.raises(deepcue.InputError, match="5 is not a path; give the path or URL of a clip"):
        deepcue.predict([5])
    with pytest.raises(deepcue.InputError, match=r"is not a path; give .* a feature table, or a pyarrow"):
        deepcue.train({"a": [1]})
    with pytest.raises(deepcue.InputError, match=r"model takes .*not a str; call deepcue\.load_model\('my_model'\)"):
        deepcue.predict(clip, model="my_model")
    with pytest.raises(deepcue.InputError, match=r"weights takes a mapping of cue family to file, not a str: 'x\.safe"):
        deepcue.features(clip, weights="x.safetensors")
    with pytest.raises(deepcue.InputError, match="5 is not a path; give the path or URL of a model folder"):
        deepcue.load_model(5)
    with pytest.raises(deepcue.InputError, match="3 is not a path; give the path or URL of a table to write"):
        deepcue.extract([clip], out=3)
    for names in (5, [5, "blink"]):
        with pytest.raises(deepcue.InputError, match="families: 5 is not a name; give a name or a list of names"):
            deepcue.families(names)
    with pytest.raises(deepcue.UnknownFamilyError):
        deepcue.families(["blnik"])


def test_a_missing_table_model_or_path_with_a_null_byte_is_a_missing_file(tmp_path):
    for call, name in ((deepcue.predict, "no.parquet"), (deepcue.train, "no.parquet"), (deepcue.predict, "a\0b.mp4")):
        with pytest.raises(FileNotFoundError) as caught:
            call(f"{tmp_path}/{name}")
        assert isinstance(caught.value, deepcue.InputError)
    with pytest.raises(deepcue.NotFoundError, match="no model here"):
        deepcue.load_model(tmp_path / "none")


def test_predict_analyses_as_much_of_a_clip_as_the_training_did(clip, monkeypatch):
    asked = []
    monkeypatch.setattr(models, "_row", lambda path, families, weights, seconds: asked.append(seconds))
    monkeypatch.setattr("ensemble.verdict.judge", lambda model, table: [None])
    model = deepcue.load_model()
    for seconds in (None, 0.5):
        trained = dataclasses.replace(model, layout=dataclasses.replace(model.layout, max_seconds=seconds))
        deepcue.predict(clip, model=trained)
        deepcue.predict(clip, model=trained, max_seconds=3)
    assert asked == [120.0, 3, 0.5, 3]


def test_an_unknown_family_is_an_error_before_the_clip_is_decoded(clip, monkeypatch):
    monkeypatch.setattr(clips, "observe", None)
    with pytest.raises(deepcue.InputError, match="blnik"):
        deepcue.features(clip, families=["blnik"])


def test_other_weights_must_be_there_and_belong_to_a_family(clip, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such"):
        deepcue.features(clip, weights={"forensic_cnn": tmp_path / "none.safetensors"})
    with pytest.raises(deepcue.InputError, match="forensic_cn'"):
        deepcue.features(clip, weights={"forensic_cn": tmp_path / "none.safetensors"})


def test_one_family_may_be_named_by_a_string(clip):
    assert {name.split(".")[0] for name in deepcue.features(clip, families="quality")} == {"quality"}


@pytest.mark.slow
def test_features_are_what_the_table_of_a_folder_holds(clip, folder):
    table = deepcue.extract(folder, families=["blink", "quality"])
    assert table["status"].to_pylist() == ["unreadable", "ok"]
    row = table.to_pylist()[1]
    cues = deepcue.features(clip, families=["blink", "quality"])
    assert cues.keys() <= row.keys()
    for name, value in cues.items():
        np.testing.assert_equal(np.float32(row[name]), np.float32(value), err_msg=name)


def test_clips_of_a_list_are_called_by_their_names_or_by_their_paths(clip, folder):
    assert [(one.filename, one.path) for one in inputs.listed_clips([clip])] == [("talk.mp4", str(clip))]
    same = [str(clip), str(folder / "talk.mp4")]
    assert [one.filename for one in inputs.listed_clips(same)] == same
    other = folder / "other.mp4"
    other.touch()
    twice = inputs.listed_clips([clip, str(clip), other])
    assert [one.filename for one in twice] == ["talk.mp4", "other.mp4"], "one that is listed twice renames no other"
    other.unlink()
    with pytest.raises(FileNotFoundError):
        deepcue.extract([clip, "gone.mp4"])


@pytest.mark.slow
def test_one_clip_gets_a_verdict_and_several_get_a_list(clip, folder, tmp_path, monkeypatch):
    measure_here(monkeypatch)
    model = deepcue.load_model()
    one = deepcue.predict(clip, model=model)
    broken, same = deepcue.predict([folder / "broken.mp4", clip], model=model)
    assert same.probability == pytest.approx(one.probability, abs=1e-9)
    assert same.contributions == pytest.approx(one.contributions)
    assert (same.filename, same.status, same.unmeasured) == (one.filename, one.status, one.unmeasured)
    assert broken.status == "unreadable"
    table = deepcue.extract(folder, families=model.layout.families)
    write_table(table, tmp_path / "features.parquet")
    for several in (table, tmp_path / "features.parquet"):
        assert [verdict.probability for verdict in deepcue.predict(several, model=model)] == pytest.approx(
            [broken.probability, same.probability]
        )


def test_a_file_is_a_clip_whatever_its_name_ends_in(tmp_path):
    for name in ("noext", "a.mp4 ", "new\nline", "a.CSV.txt"):
        (tmp_path / name).write_bytes(b"x")
        assert inputs.is_clip(tmp_path / name)
    assert not inputs.is_clip(tmp_path)
    assert inputs.is_clip("s3://bucket/a.MP4")
    assert not inputs.is_clip("s3://bucket/clips")


def test_a_name_that_is_no_utf8_can_stand_in_a_table():
    assert inputs.clip_name(os.fsdecode(b"/clips/caf\xe9.mp4")) == r"caf\xe9.mp4"
    assert inputs.clip_name("/clips/café.mp4") == "café.mp4"


def test_the_model_that_ships_is_the_default_wherever_the_notebook_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "artifacts" / "model").mkdir(parents=True)
    assert deepcue.load_model().layout.families


def test_what_a_notebook_shows_of_a_result_is_one_line(clip):
    assert repr(deepcue.observe(clip)) == "<Observation: 1.20 s, 30 frames of 320x240 px, tracks: 1, audio>"
    evidence = deepcue.ClipEvidence("a.mp4", 1.2, 320, 240, (), 0, {}, ((0.6, b"JPEG" * 9999),), {"blink.count": 1.0})
    assert repr(evidence) == "<ClipEvidence: a.mp4, 1.20 s, 320x240 px, people: 0, 1 cues>"
    model, evaluation = deepcue.train(toy_table(), folds=3, learners=["logistic"])
    assert repr(model).startswith("<Model: 3 logistic; ")
    assert repr(model).endswith("columns of blink, lip_sync, quality>")
    assert repr(evaluation).startswith("<Evaluation: log loss out of fold logistic 0.")


def test_a_model_is_the_same_in_memory_and_in_its_folder(tmp_path):
    table = toy_table()
    write_table(table, tmp_path / "features.parquet")
    counts = []
    options = {"folds": 3, "learners": ["logistic"], "seed": 1, "target_prior": np.float32(0.5)}
    model, evaluation = deepcue.train(table, **options, progress=lambda done, total: counts.append((done, total)))
    saved, _ = deepcue.train(tmp_path / "features.parquet", out=tmp_path / "model", **options, synthetic=np.bool_(True))
    loaded = deepcue.load_model(tmp_path / "model")
    for other in (saved, loaded):
        np.testing.assert_array_equal(other.predict(table), model.predict(table))
        assert other.manifest["summary"]["synthetic"]
    assert counts == [(done, 6) for done in range(1, 7)]
    assert {"stack", "constant", "logistic"} == evaluation.scores.keys()
    assert (tmp_path / "model" / "oof.parquet").is_file()
    assert len(deepcue.predict(table, model=loaded)) == table.num_rows
    assert len({model, saved, loaded, evaluation, model.explain(table)}) == 5  # hashable, and == doesn't raise
    with pytest.raises(deepcue.TableError, match=r"the table: is a str; give a pyarrow\.Table"):
        model.predict("features.parquet")


def test_a_model_that_was_trained_in_memory_can_be_kept(tmp_path):
    table = toy_table()
    model, evaluation = deepcue.train(table, folds=3, learners=["logistic"])
    folder = deepcue.save_model(model, tmp_path / "model", evaluation=evaluation)
    assert {file.name for file in folder.iterdir()} >= {"manifest.json", "folds.parquet", "oof.parquet"}
    again = deepcue.save_model(deepcue.load_model(folder), tmp_path / "again")
    assert not (again / "oof.parquet").exists()
    np.testing.assert_array_equal(deepcue.load_model(again).predict(table), model.predict(table))
    with pytest.raises(deepcue.InputError, match=r"model takes .*not a PosixPath; call deepcue\.load_model"):
        deepcue.save_model(folder, tmp_path / "other")
    with pytest.raises(deepcue.InputError, match=r"evaluation takes what deepcue\.train returns .*not a dict"):
        deepcue.save_model(model, tmp_path / "other", evaluation={})
    assert not (tmp_path / "other").exists()


def test_hyper_parameters_are_given_as_a_mapping_or_as_the_file_of_a_search(tmp_path):
    table, file = toy_table(), tmp_path / "settings.json"
    settings = {"logistic": {"l1_ratio": 1.0}}
    file.write_text(json.dumps({"settings": settings}))
    given, read, default = (
        deepcue.train(table, folds=3, learners=["logistic"], settings=changes)[0] for changes in (settings, file, None)
    )
    assert given.predict(table).tolist() == read.predict(table).tolist() != default.predict(table).tolist()
    assert [model.manifest["tuned"] for model in (given, read, default)] == [True, True, False]
    for wrong, message in (
        ({"logistik": {}}, "settings: no learner is called 'logistik'; there are lightgbm"),
        ({"logistic": {"l2_ratio": 1.0}}, "settings: .*l2_ratio.*; there are n_bags"),
        (5, r"5 is not a path; give the path or URL of the settings\.json"),
    ):
        with pytest.raises(deepcue.InputError, match=message):
            deepcue.train(table, folds=3, learners=["logistic"], settings=wrong)


def test_folds_that_were_made_are_kept_to(tmp_path):
    table = toy_table()
    deepcue.train(table, out=tmp_path / "a", folds=3, learners=["logistic"], seed=1)
    folds = read_parquet(tmp_path / "a" / "folds.parquet")
    one, _ = deepcue.train(table, folds=folds, learners="logistic", seed=2)
    same, _ = deepcue.train(table, out=tmp_path / "a", learners=["logistic"], seed=2)
    assert one.manifest["summary"]["n_folds"] == 3
    np.testing.assert_array_equal(one.predict(table), same.predict(table))


@pytest.mark.parametrize(("n_each", "folds"), [(6, None), (3, 3)])
def test_a_few_clips_of_each_class_can_be_trained_on(n_each, folds):
    table = toy_table(2 * n_each, 1)
    model, _ = deepcue.train(table, folds=folds, learners=["lightgbm", "logistic"])
    probability = model.predict(table)
    assert probability.shape == (2 * n_each,)
    assert np.isfinite(probability).all()


def test_a_table_that_can_not_be_trained_on_is_an_error(tmp_path):
    with pytest.raises(deepcue.TableError, match="the table: no clip has a label"):
        deepcue.train(toy_table(labelled=False))
    with pytest.raises(deepcue.TableError, match=r"gone\.parquet: no such table"):
        deepcue.train(tmp_path / "gone.parquet")
    with pytest.raises(deepcue.InputError, match="crystal_ball"):
        deepcue.train(toy_table(), learners=["crystal_ball"])
    with pytest.raises(deepcue.InputError, match="at least 3"):
        deepcue.train(toy_table(), folds=np.int64(2))
    with pytest.raises(deepcue.InputError, match=r"folds = 3\.0: must be a whole number, a file or a table"):
        deepcue.train(toy_table(), folds=3.0)
    with pytest.raises(deepcue.InputError, match="learners: 3 is not a name; give a name or a list of names"):
        deepcue.train(toy_table(), learners=3)
    with pytest.raises(deepcue.TableError, match="the table: has lost its description"):
        deepcue.train(toy_table().replace_schema_metadata(None))


def state():
    import cv2
    import torch

    return {
        "cv2 threads": cv2.getNumThreads(),
        "torch threads": torch.get_num_threads(),
        "torch random": torch.random.get_rng_state().tolist(),
        "numpy random": repr(np.random.get_state()),
        "random": random.getstate(),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "loggers": (logging.getLogger().level, list(logging.getLogger().handlers)),
        "warnings": list(__import__("warnings").filters),
    }


@pytest.mark.slow
def test_a_call_changes_nothing_else_and_prints_nothing(clip, tmp_path, capfd):
    import cv2
    import librosa.filters  # noqa: F401 (these packages set filters of warnings and the environment when imported)
    import lightgbm  # noqa: F401
    import skimage.measure  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    write_wave(tmp_path / "brief.mp4", speech(0.1))  # of which a process measures nothing that takes a detector
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    cv2.setNumThreads(2)
    before = state()
    model = deepcue.load_model()
    deepcue.features(clip)
    deepcue.predict(clip, model=model)
    small, _ = deepcue.train(toy_table(), folds=3, learners=["logistic"], jobs=2)
    deepcue.predict(tmp_path, model=small, jobs=2)  # its families take no network, so that the processes start sooner
    assert state() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_first_call_of_a_process_prints_nothing_and_draws_no_random_numbers_either(clip):
    code = (
        "import random, deepcue, numpy, torch\n"
        "def state():\n"
        "    return random.getstate(), repr(numpy.random.get_state()), torch.get_rng_state().tolist()\n"
        f"before = state(); deepcue.features({str(clip)!r}); assert state() == before"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.slow
def test_calls_of_several_threads_do_not_disturb_each_other(clip):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda path: deepcue.features(path, families=["blink", "quality"]), [clip, clip])
    np.testing.assert_equal(first, second)
    np.testing.assert_equal(first, deepcue.features(clip, families=["blink", "quality"]))
