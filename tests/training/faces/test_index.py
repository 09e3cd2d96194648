"""Tables of faces, and caches that know what they were made from."""

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.faces import found_faces, generated, index, recompressed
from training.faces.pools import Pool

ROW = dict(
    key="a", frame=0, fake=1, group="g", source="s", original="", box=[0.0, 0.0, 1.0, 1.0], landmarks=[], jpeg=b"x"
)


def test_a_pool_holds_more_than_an_arrow_array_can(index_table):
    """Non-regression test: more than 2 GB of faces ended in an overflow."""
    row = index_table([("a", False, "g", "s", "")])
    large = row.set_column(row.column_names.index("jpeg"), "jpeg", pa.array([bytes(1 << 24)]))
    pool = Pool(pa.concat_tables([large] * 128 + [row.cast(large.schema)]))
    assert (len(pool), pool.face(128, with_landmarks=False)[0].shape) == (129, (64, 64, 3))


@pytest.mark.parametrize("suffix", [".webp", ".png", ".jpg"])
def test_an_image_of_any_format_is_read(suffix):
    image = np.full((32, 32, 3), (200, 120, 40), np.uint8)
    data = cv2.imencode(suffix, image[:, :, ::-1])[1].tobytes()
    assert np.abs(index.decode_image(data).astype(int) - image).max() < 8


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
        found_faces.clips_identity(clips),
        found_faces.clips_identity(mislabelled),
        recompressed.identity(clips, 0),
        recompressed.identity(clips, 1),
        generated.identity("pools", 0),
        generated.identity("pools", 1),
    }
    assert len(identities) == 6
    monkeypatch.setattr(index, "CROP_PX", 10)
    assert not {found_faces.clips_identity(clips), recompressed.identity(clips, 0)} & identities


def test_a_pool_may_be_empty():
    assert len(Pool(pa.Table.from_pylist([], schema=index.SCHEMA))) == 0


def test_jpegs_keep_their_colours():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, :, 0] = 200
    assert np.abs(index.decode_image(index.encode_jpeg(image)).astype(int) - image).max() < 8
