import csv
import hashlib
import json
from unittest import mock

import numpy as np
import pytest

from deepcue.cli.main import main as deepcue
from features.errors import InputError
from forge.demo import dataset
from forge.demo.dataset import KINDS, PARTS, _plan, make_demo

SMALL = {"SIZES": dataset.SIZES[:1], "RATES_HZ": (15.0,), "RATE_WEIGHTS": (1.0,)}


def make_small(out, *, jobs=1):
    """The demo data of six clips, all of the smallest images and the lowest rate."""

    def made(job, small=SMALL):
        """In another process, which has the usual sizes."""
        from forge.demo import dataset as there

        with mock.patch.multiple(there, **small):
            return there._make(job)

    with mock.patch.multiple(dataset, **SMALL, **({"_make": made} if jobs > 1 else {})):
        make_demo(out, seed=0, n_clips=6, jobs=jobs)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    make_small(out)
    return out


def entries(folder):
    return {
        name: entry
        for file in folder.glob("train/*/metadata.json")
        for name, entry in json.loads(file.read_text()).items()
    }


def rows(file):
    return list(csv.DictReader(file.read_text().splitlines()))


def test_the_layout_is_the_challenges(demo):
    train = entries(demo)
    assert len(train) == 6
    assert {entry["label"] for entry in train.values()} == {"REAL", "FAKE"}
    for file in demo.glob("train/dfdc_train_part_*/metadata.json"):
        for name, entry in json.loads(file.read_text()).items():
            assert (file.parent / name).stat().st_size > 5_000
            if entry["label"] == "FAKE":
                assert (file.parent / entry["original"]).exists()
                assert entry["kind"] in KINDS
                assert entry["encoder"] == train[entry["original"]]["encoder"]  # compression is not the label


def test_a_forgery_draws_other_numbers_than_its_original(demo):
    """Non-regression test: numpy pads seeds with zeros, so the first forgery drew what its original had drawn."""
    for entry in entries(demo).values():
        if entry["label"] == "FAKE":
            own, original = (np.random.default_rng(seed).random() for seed in (entry["seed"], entry["seed"][:2]))
            assert own != original


def test_the_test_folder_tells_nothing(demo):
    clips = sorted(file.name for file in (demo / "test_videos").iterdir())
    assert len(clips) == 2
    assert all(name.endswith(".mp4") for name in clips)
    sample, labels = rows(demo / "sample_submission.csv"), rows(demo / "test_labels.csv")
    assert [row["filename"] for row in sample] == [row["filename"] for row in labels] == clips
    assert {row["label"] for row in sample} == {"0.5"}
    assert {row["label"] for row in labels} == {"REAL", "FAKE"}


def test_extraction_finds_the_clips_with_labels_and_groups(demo):
    from extract.dataset import find_clips

    found = find_clips(str(demo / "train"))
    assert len(found) == 6
    fakes = {clip.filename.split("/")[-1]: clip for clip in found if clip.label == "FAKE"}
    originals = {clip.filename.split("/")[-1]: clip for clip in found if clip.label == "REAL"}
    for name, entry in entries(demo).items():
        if entry["label"] == "FAKE":
            assert fakes[name].group == originals[entry["original"]].group


def test_the_whole_set_has_enough_groups_and_some_without_a_fake(tmp_path):
    jobs = _plan(np.random.default_rng(0), 0, 60, [tmp_path / str(n) for n in range(PARTS)], 0.4)
    assert 15 <= len(jobs) <= 24
    assert len(jobs) + sum(len(job.fakes) for job in jobs) == 60
    assert 2 <= sum(not job.fakes for job in jobs) <= 5
    assert {kind for job in jobs for _, kind in job.fakes} == set(KINDS)
    for folder in {job.folder for job in jobs}:
        assert {job.person for job in jobs if job.folder == folder} == {"astronaut", "hopper"}


def digests(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_jobs(demo, tmp_path):
    make_small(tmp_path / "again", jobs=2)
    assert digests(tmp_path / "again") == digests(demo)


def test_another_seed_plans_other_clips(tmp_path):
    first, second = (_plan(np.random.default_rng(seed), seed, 12, [tmp_path], 0.4) for seed in (0, 1))
    assert not {job.name for job in first} & {job.name for job in second}
    assert not {job.seed for job in first} & {job.seed for job in second}


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--clips", "2"], "must be at least 6"), (["--clips", "-1"], "--clips"), (["--seed", "-1"], "--seed")],
)
def test_wrong_options_are_refused_in_one_sentence(tmp_path, capsys, words, message):
    assert deepcue(["demo-data", str(tmp_path), *words]) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1


def test_a_target_below_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    with pytest.raises(InputError, match="can't be written"):
        make_demo(out, seed=0, n_clips=6)
    assert deepcue(["demo-data", str(out)]) == 2
    text = capsys.readouterr().err
    assert str(tmp_path / "file") in text
    assert text.count("\n") == 1
