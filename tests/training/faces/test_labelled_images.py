"""Labelled stills and face crops as rows of the index."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.checksums import sha256_of
from features.errors import DatasetError
from training.faces import found_faces, index, labelled_images
from training.faces.pools import Pool
from training.manifest import digest

ROW = dict(
    key="a", frame=0, fake=1, group="g", source="s", original="", box=[0.0, 0.0, 1.0, 1.0], landmarks=[], jpeg=b"x"
)


def encoded(width=224, height=224, shade=0):
    return index.encode_jpeg(np.full((height, width, 3), shade, np.uint8))


ONE, TWO = encoded(shade=1), encoded(shade=200)


def stills_parquet(folder, **columns):
    rows = dict(video=["a", "b"], label=["REAL", "FAKE"], original=["a", "a"], group=[7, 7], jpeg=[ONE, TWO])
    pq.write_table(pa.table(rows | columns), folder / "part.parquet")
    return folder


@pytest.mark.parametrize(
    ("size", "box"),
    [((224, 224), [28, 28, 196, 196]), ((112, 112), [14, 14, 98, 98]), ((300, 200), [75, 25, 225, 175])],
)
def test_stills_get_a_box_in_their_middle(tmp_path, size, box):
    """Non-regression test: a still of any size got the box of one of 224 px, at its lower right corner."""
    table = labelled_images.stills(stills_parquet(tmp_path, jpeg=[encoded(*size), encoded()]))
    assert table["fake"].to_pylist() == [0, 1]
    assert table["group"].to_pylist() == ["7", "7"]
    assert table["box"].to_pylist() == [box, [28, 28, 196, 196]]


def test_clips_without_a_group_are_groups_by_themselves(tmp_path):
    """Non-regression test: they were one group, so no fold could be trained, and intervals had no width."""
    (tmp_path / "stills").mkdir()
    stills = labelled_images.stills(stills_parquet(tmp_path / "stills", group=pa.array([None, 7])))
    assert stills["group"].to_pylist() == ["clip:a", "7"]
    crops = labelled_images.crops(crops_parquet(tmp_path, group=[None, None, ""]))
    assert [clip.group for clip in labelled_images.clips_of_crops(crops)] == ["clip:a", "clip:b"]


def test_only_stills_and_crops_that_were_read_wrongly_have_a_new_identity(tmp_path):
    """So that the caches and checkpoints of earlier versions stay valid."""
    (tmp_path / "stills").mkdir()

    def of_stills(**columns):
        return labelled_images.stills_identity(
            tmp_path / "stills", labelled_images.stills(stills_parquet(tmp_path / "stills", **columns))
        )

    def plain(folder, what, files):
        return digest(what, index.settings(), [sha256_of(folder / file) for file in files])

    def as_before():
        return plain(tmp_path / "stills", "stills", ["part.parquet"])

    assert of_stills() == as_before()
    assert of_stills(jpeg=[ONE, encoded(112, 112)]) != as_before()
    assert of_stills(group=pa.array([None, 7])) != as_before()
    crops_parquet(tmp_path)
    assert labelled_images.crops_identity(tmp_path, labelled_images.crops(tmp_path)) == plain(
        tmp_path, "crops", ["clips.parquet"]
    )
    crops_parquet(tmp_path, group=["g", "g", None])
    assert labelled_images.crops_identity(tmp_path, labelled_images.crops(tmp_path)) != plain(
        tmp_path, "crops", ["clips.parquet"]
    )


@pytest.mark.parametrize("damaged", [b"", b"no image", None])
def test_a_damaged_image_is_named(tmp_path, damaged):
    """Non-regression test: it ended in a traceback that named neither file nor row, perhaps after hours."""
    with pytest.raises(DatasetError, match="the image of 'b' can't be decoded"):
        labelled_images.stills(stills_parquet(tmp_path, jpeg=[ONE, damaged]))
    with pytest.raises(DatasetError, match="the image of 'b' can't be decoded"):
        labelled_images.crops(crops_parquet(tmp_path, image=[ONE, TWO, damaged]))
    columns = dict(name=["b"], person=["p"], set=["s"], jpeg=pa.array([damaged], pa.binary()))
    pq.write_table(pa.table(columns), tmp_path / "faces.parquet")
    with pytest.raises(DatasetError, match=r"faces\.parquet: the image of 'b' can't be decoded"):
        list(found_faces.faces_rows(tmp_path / "faces.parquet"))
    pool = Pool(pa.Table.from_pylist([ROW | {"jpeg": damaged}], schema=index.SCHEMA))
    with pytest.raises(DatasetError, match="the face 'a', frame 0, can't be decoded"):
        pool.face(0, with_landmarks=False)


def test_stills_of_one_name_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="the video 'a' appears 2 times"):
        labelled_images.stills(stills_parquet(tmp_path, video=["a", "a"]))


def test_labels_of_stills_are_read_as_in_a_data_set(tmp_path):
    assert labelled_images.stills(stills_parquet(tmp_path, label=["0", "fake"]))["fake"].to_pylist() == [0, 1]


def test_stills_are_read_in_the_forms_that_they_are_measured_in(tmp_path):
    """Non-regression test: a column of images ended in a traceback."""
    images = [{"bytes": ONE, "path": "a.jpg"}, {"bytes": TWO, "path": "b.jpg"}]
    found = labelled_images.stills(stills_parquet(tmp_path, video=[1, 2], jpeg=images, original=["1", "1"]))
    assert (found["key"].to_pylist(), found["jpeg"].to_pylist()) == (["1", "2"], [ONE, TWO])
    with pytest.raises(DatasetError, match=r"part\.parquet: a still has no 'video'"):
        labelled_images.stills(stills_parquet(tmp_path, video=[None, "b"]))


CROPS = dict(
    key=["a", "a", "b"], frame=[0, 9, 0], label=["FAKE", "FAKE", "REAL"], method=["gan", "gan", ""],
    source=["page", "page", "set"], group=["g", "g", "h"], original=["", "", ""],
    box=[[1.0, 2.0, 30.0, 40.0]] * 3, recut=[True, True, False], image=[ONE, TWO, ONE],
)  # fmt: skip


def crops_parquet(folder, file="clips.parquet", **columns):
    pq.write_table(pa.table(CROPS | columns), folder / file)
    return folder


def test_crops_are_clips_and_images_of_a_method_or_a_source(tmp_path):
    crops_parquet(tmp_path)
    crops_parquet(tmp_path, "images.parquet", key=["c", "d", "e"], group=["g", "h", "h"])
    table = labelled_images.crops(tmp_path)
    assert table.schema == index.SCHEMA
    assert table["source"].to_pylist() == ["gan", "gan", "set"] * 2
    assert table["recut"].to_pylist() == [True, True, False] * 2
    clips = {clip.filename: clip for clip in labelled_images.clips_of_crops(table)}
    assert sorted(clips) == ["a", "b", "c", "d", "e"]
    assert (clips["a"].label, clips["a"].method, clips["a"].group, clips["a"].forged) == (
        "FAKE",
        "gan",
        "g",
        {"picture"},
    )
    assert (clips["b"].label, clips["b"].source, clips["b"].method, clips["b"].forged) == (
        "REAL",
        "set",
        "",
        frozenset(),
    )


def test_crops_may_be_of_clips_alone_and_other_content_is_another_identity(tmp_path):
    assert labelled_images.crops(crops_parquet(tmp_path)).num_rows == 3
    before = labelled_images.crops_identity(tmp_path, labelled_images.crops(tmp_path))
    crops_parquet(tmp_path, image=[ONE, TWO, TWO])
    assert labelled_images.crops_identity(tmp_path, labelled_images.crops(tmp_path)) != before


def test_crops_that_training_cannot_use_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"neither clips\.parquet nor images\.parquet"):
        labelled_images.crops(tmp_path)
    with pytest.raises(DatasetError, match="no label"):
        labelled_images.crops(crops_parquet(tmp_path, label=["FAKE", "FAKE", ""]))
    for trait, columns in (("label", {"label": ["FAKE", "REAL", "REAL"]}), ("group", {"group": ["g", "h", "h"]})):
        with pytest.raises(DatasetError, match=f"the rows of 'a' differ in their {trait}"):
            labelled_images.crops(crops_parquet(tmp_path, **columns))
    crops_parquet(tmp_path, "images.parquet", key=["c", "d", "b"])
    with pytest.raises(DatasetError, match="the rows of 'b' differ in their file"):
        labelled_images.crops(crops_parquet(tmp_path))
    (tmp_path / "images.parquet").unlink()
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "clips.parquet")
    with pytest.raises(DatasetError, match="crops need the columns"):
        labelled_images.crops(tmp_path)


@pytest.mark.parametrize(
    ("columns", "said"), [({"label": ["REAL", "maybe"]}, "maybe"), ({"label": ["REAL", ""]}, "no label")]
)
def test_a_still_without_a_label_is_refused(tmp_path, columns, said):
    with pytest.raises(DatasetError, match=said):
        labelled_images.stills(stills_parquet(tmp_path, **columns))


def test_folders_and_files_that_hold_no_faces_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no Parquet file"):
        labelled_images.stills(tmp_path)
    pq.write_table(pa.table({"video": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DatasetError, match="need the columns"):
        labelled_images.stills(tmp_path)
    with pytest.raises(DatasetError, match="name, person, set, jpeg"):
        list(found_faces.faces_rows(tmp_path / "other.parquet"))
    with pytest.raises(DatasetError, match=r"none\.parquet"):
        found_faces.faces_identity(tmp_path / "none.parquet")


def test_tables_and_caches_are_read_from_a_path_that_is_no_utf_8(tmp_path):
    """Non-regression test: it ended in a traceback."""
    (folder := tmp_path / "caf\udce9").mkdir()
    (stills_parquet(tmp_path) / "part.parquet").rename(folder / "part.parquet")
    assert labelled_images.stills(folder).num_rows == 2
    made = [index.cached(folder / "cache.parquet", iter(rows), "id") for rows in ([ROW], [])]
    assert [table.num_rows for table in made] == [1, 1]  # the second is the first one, kept
