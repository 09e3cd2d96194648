"""Who is held out where: groups and families of manipulations stay whole."""

from dataclasses import replace

import numpy as np
import pytest

from features.errors import DatasetError
from training import folds
from training.manifest import forged_video, method_family


def test_people_alone_may_be_left_out_and_methods_spread(clips):
    fold_of = folds.assign_folds(clips, 3, whole_methods=False)
    by_group, by_method = {}, {}
    for clip in clips:
        by_group.setdefault(clip.group, set()).add(fold_of[clip.filename])
        by_method.setdefault(clip.method, set()).add(fold_of[clip.filename])
    assert all(len(of_group) == 1 for of_group in by_group.values())
    assert len(by_method["ff++_a"]) > 1
    assert len(by_method["real_youtube"]) > 1


def of_fold(clips, fold_of, fold):
    return [clip for clip in clips if fold_of[clip.filename] == fold]


def names(clips):
    return {clip.group for clip in clips}, {method_family(clip.method) for clip in clips if clip.label == "FAKE"}


@pytest.mark.parametrize("whole_methods", [False, True])
def test_a_network_sees_no_group_of_its_fold_and_no_manipulation(clips, whole_methods):
    fold_of = folds.assign_folds(clips, whole_methods=whole_methods)
    assert fold_of.keys() == {clip.filename for clip in clips}
    for fold in range(3):
        tested = of_fold(clips, fold_of, fold)
        out = folds.held_out(clips, fold_of, fold)
        assert {clip.filename for clip in tested} <= out
        (groups, families), (own_groups, own_families) = (
            names([clip for clip in clips if clip.filename not in out]),
            names(tested),
        )
        assert groups
        assert not groups & own_groups
        assert not whole_methods or not families & own_families


def test_without_a_fold_nothing_is_held_out(clips):
    assert folds.held_out(clips, folds.assign_folds(clips), None) == frozenset()


def test_images_are_spread_apart_from_clips(clips):
    """Hundreds of images of one set would otherwise leave its fold without clips."""
    sets = {"gan": 300, "diffusion": 200, "inpainting": 90}
    images = [
        replace(clips[0], filename=f"{name} {i}", path="", group=f"{name} {i}", method=name)
        for name, n in sets.items()
        for i in range(n)
    ]
    fold_of = folds.assign_folds([*clips, *images])
    assert {fold_of["gan 0"], fold_of["diffusion 0"], fold_of["inpainting 0"]} == {0, 1, 2}
    assert {name: fold for name, fold in fold_of.items() if " " not in name} == folds.assign_folds(clips)


def test_forgeries_are_spread_and_sources_held_out_whole(clips):
    fold_of = folds.assign_folds(clips)
    forged = [fold_of[clip.filename] for clip in clips if forged_video(clip)]
    assert np.bincount(forged).tolist() == [6, 5, 5]  # swaps; dfdc and float; loopy and vasa1
    for source in ("real_youtube", "real_stock"):
        assert len({fold_of[clip.filename] for clip in clips if clip.method == source}) == 1


def test_folds_do_not_depend_on_the_order_of_the_clips(clips):
    assert folds.assign_folds(clips[::-1]) == folds.assign_folds(clips)


def test_held_out_groups_are_whole_and_about_large_enough(rng):
    groups = np.array([str(i) for i in rng.integers(0, 40, 5000)], dtype=object)
    out = folds.holdout_groups(groups, seed=0)
    share = np.isin(groups, list(out)).mean()
    assert folds.HOLDOUT_SHARE <= share < 2 * folds.HOLDOUT_SHARE
    assert out == folds.holdout_groups(groups[::-1], seed=0)
    assert out != folds.holdout_groups(groups, seed=1)


def test_folds_of_the_stills_hold_every_group_once(rng):
    groups = np.array([str(i) for i in rng.integers(0, 40, 5000)], dtype=object)
    parts = [folds.groups_of_fold(groups, fold, 3) for fold in (1, 2, 3)]
    assert frozenset.union(*parts) == set(groups)
    assert sum(len(part) for part in parts) == 40
    assert all(0.3 < np.isin(groups, list(part)).mean() < 0.37 for part in parts)


def test_a_fold_of_more_folds_than_groups_is_refused():
    """Non-regression test: it ended in a traceback, after the faces were cut."""
    with pytest.raises(DatasetError, match="the stills have only 2 groups"):
        folds.groups_of_fold(np.array(["a", "b", "b"], dtype=object), 1, 3)


def test_assignments_are_read_as_they_were_written_and_labels_may_be_missing(tmp_path):
    assignments = {"b": folds.FoldAssignment(1, True), "a": folds.FoldAssignment(0, False)}
    folds.write(tmp_path / "f.csv", assignments)
    assert folds.read(tmp_path / "f.csv") == assignments
    (tmp_path / "old.csv").write_text("filename,fold\na,2\n")
    assert folds.read(tmp_path / "old.csv") == {"a": folds.FoldAssignment(2, None)}


@pytest.mark.parametrize("text", [None, "filename\na\n", "filename,fold\na,x\n"])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "folds.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"clip_folds"):
        folds.read(tmp_path / "folds.csv")
