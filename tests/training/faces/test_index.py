"""Tables of faces, and caches that know what they were made from."""

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import DatasetError
from training.faces import generated, index, recompressed
from training.faces.pools import Pool

ROW = dict(
    key="a", frame=0, fake=1, group="g", source="s", original="", box=[0.0, 0.0, 1.0, 1.0], landmarks=[], jpeg=b"x"
)


def stills_parquet(folder, **columns):
    rows = dict(video=["a", "b"], label=["REAL", "FAKE"], original=["a", "a"], group=[7, 7], jpeg=[b"1", b"2"])
    pq.write_table(pa.table(rows | columns), folder / "part.parquet")
    return folder


def test_stills_get_the_central_box(tmp_path):
    table = index.stills(stills_parquet(tmp_path))
    assert table["fake"].to_pylist() == [0, 1]
    assert table["group"].to_pylist() == ["7", "7"]
    left, top, right, bottom = table["box"][0].as_py()
    assert left + right == top + bottom == 224
    assert (right - left) / 224 == pytest.approx(index.STILL_SHARE)


def test_tables_and_caches_are_read_from_a_path_that_is_no_utf_8(tmp_path):
    """Non-regression test: it ended in a traceback."""
    (folder := tmp_path / "caf\udce9").mkdir()
    (stills_parquet(tmp_path) / "part.parquet").rename(folder / "part.parquet")
    assert index.stills(folder).num_rows == 2
    made = [index.cached(folder / "cache.parquet", iter(rows), "id") for rows in ([ROW], [])]
    assert [table.num_rows for table in made] == [1, 1]  # the second is the first one, kept


def test_labels_of_stills_are_read_as_in_a_data_set(tmp_path):
    assert index.stills(stills_parquet(tmp_path, label=["0", "fake"]))["fake"].to_pylist() == [0, 1]


def test_stills_are_read_in_the_forms_that_they_are_measured_in(tmp_path):
    """Non-regression test: a column of images ended in a traceback."""
    images = [{"bytes": b"1", "path": "a.jpg"}, {"bytes": b"2", "path": "b.jpg"}]
    found = index.stills(stills_parquet(tmp_path, video=[1, 2], jpeg=images, original=["1", "1"]))
    assert (found["key"].to_pylist(), found["jpeg"].to_pylist()) == (["1", "2"], [b"1", b"2"])
    with pytest.raises(DatasetError, match=r"part\.parquet: a still has no 'video'"):
        index.stills(stills_parquet(tmp_path, video=[None, "b"]))


CROPS = dict(
    key=["a", "a", "b"], frame=[0, 9, 0], label=["FAKE", "FAKE", "REAL"], method=["gan", "gan", ""],
    source=["page", "page", "set"], group=["g", "g", "h"], original=["", "", ""],
    box=[[1.0, 2.0, 30.0, 40.0]] * 3, recut=[True, True, False], image=[b"1", b"2", b"3"],
)  # fmt: skip


def crops_parquet(folder, file="clips.parquet", **columns):
    pq.write_table(pa.table(CROPS | columns), folder / file)
    return folder


def test_crops_are_clips_and_images_of_a_method_or_a_source(tmp_path):
    crops_parquet(tmp_path)
    crops_parquet(tmp_path, "images.parquet", key=["c", "d", "e"])
    table = index.crops(tmp_path)
    assert table.schema == index.SCHEMA
    assert table["source"].to_pylist() == ["gan", "gan", "set"] * 2
    assert table["recut"].to_pylist() == [True, True, False] * 2
    clips = {clip.filename: clip for clip in index.clips_of_crops(table)}
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
    assert index.crops(crops_parquet(tmp_path)).num_rows == 3
    before = index.crops_identity(tmp_path)
    crops_parquet(tmp_path, image=[b"1", b"2", b"4"])
    assert index.crops_identity(tmp_path) != before


def test_crops_that_training_cannot_use_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"neither clips\.parquet nor images\.parquet"):
        index.crops(tmp_path)
    with pytest.raises(DatasetError, match="no label"):
        index.crops(crops_parquet(tmp_path, label=["FAKE", "FAKE", ""]))
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "clips.parquet")
    with pytest.raises(DatasetError, match="crops need the columns"):
        index.crops(tmp_path)


@pytest.mark.parametrize("suffix", [".webp", ".png", ".jpg"])
def test_an_image_of_any_format_is_read(suffix):
    image = np.full((32, 32, 3), (200, 120, 40), np.uint8)
    data = cv2.imencode(suffix, image[:, :, ::-1])[1].tobytes()
    assert np.abs(index.decode_image(data).astype(int) - image).max() < 8


@pytest.mark.parametrize(
    ("columns", "said"), [({"label": ["REAL", "maybe"]}, "maybe"), ({"label": ["REAL", ""]}, "no label")]
)
def test_a_still_without_a_label_is_refused(tmp_path, columns, said):
    with pytest.raises(DatasetError, match=said):
        index.stills(stills_parquet(tmp_path, **columns))


def test_folders_and_files_that_hold_no_faces_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no Parquet file"):
        index.stills(tmp_path)
    pq.write_table(pa.table({"video": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DatasetError, match="need the columns"):
        index.stills(tmp_path)
    with pytest.raises(DatasetError, match="name, person, set, jpeg"):
        list(index.faces_rows(tmp_path / "other.parquet"))
    with pytest.raises(DatasetError, match=r"none\.parquet"):
        index.faces_identity(tmp_path / "none.parquet")


def test_a_cache_is_read_while_its_identity_is_the_same_and_made_again_when_it_differs(tmp_path, caplog):
    """Non-regression test: faces with the labels of an older manifest were trained on."""
    file = tmp_path / "cache" / "clips.parquet"
    made = []

    def rows(fake):
        made.append(fake)
        yield ROW | {"fake": fake}

    first = index.cached(file, rows(1), "one")
    again = index.cached(file, rows(0), "one")
    assert made == [1]
    assert again["fake"].to_pylist() == first["fake"].to_pylist() == [1]
    assert not caplog.text
    other = index.cached(file, rows(0), "two")
    assert other["fake"].to_pylist() == index.cached(file, iter(()), "two")["fake"].to_pylist() == [0]
    assert "it is rebuilt" in caplog.text


@pytest.mark.parametrize("content", [b"", b"PAR1 is no table", None])
def test_a_cache_of_something_else_is_made_again(tmp_path, content):
    file = tmp_path / "clips.parquet"
    if content is None:
        pq.write_table(pa.Table.from_pylist([ROW], schema=index.SCHEMA), file)  # of a program that kept no identity
    else:
        file.write_bytes(content)
    assert index.cached(file, iter([ROW | {"key": "new"}]), "one")["key"].to_pylist() == ["new"]


def test_identities_tell_labels_seeds_and_settings(clips, monkeypatch):
    from dataclasses import replace

    mislabelled = [replace(clips[0], label="REAL", forged=frozenset()), *clips[1:]]
    identities = {
        index.clips_identity(clips),
        index.clips_identity(mislabelled),
        recompressed.identity(clips, 0),
        recompressed.identity(clips, 1),
        generated.identity("pools", 0),
        generated.identity("pools", 1),
    }
    assert len(identities) == 6
    monkeypatch.setattr(index, "CROP_PX", 10)
    assert not {index.clips_identity(clips), recompressed.identity(clips, 0)} & identities


def test_nothing_is_regenerated_from_pools_without_real_faces(index_table):
    fakes = Pool(index_table([("f", True, "0", "loopy", "")]))
    with pytest.raises(DatasetError, match="the stills hold no real face"):
        next(generated.rows(fakes, fakes, fakes, holdout=frozenset()))


def test_a_pool_may_be_empty():
    assert len(Pool(pa.Table.from_pylist([], schema=index.SCHEMA))) == 0


def test_jpegs_keep_their_colours():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, :, 0] = 200
    assert np.abs(index.decode_image(index.encode_jpeg(image)).astype(int) - image).max() < 8
