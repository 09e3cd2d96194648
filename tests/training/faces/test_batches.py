"""Batches are pairs that depend on their number alone; what is held out or left out is never in them."""

import numpy as np
import pytest

from features.errors import DatasetError
from forge.images.augment import PhotometricAugmentation
from training.faces import batches
from training.faces import pools as pool_module
from training.faces.batches import Batches, Mix
from training.faces.pools import Pool, spread_rows

OF_G1 = frozenset({"c2", "c3"})  # clips of the group g1


def batches_of(pools, mix, transcoded=None, generated=None, **more):
    settings = dict(out=frozenset(), left_out=frozenset(), seed=3, size=64) | more
    return Batches(batches.Sources(*pools, transcoded, generated), mix=mix, **settings)


@pytest.fixture
def asked(monkeypatch):
    """(pool, row) of each face that batches ask for."""
    calls = []
    face = Pool.face

    def spy(self, row, *, with_landmarks):
        calls.append((self, row))
        return face(self, row, with_landmarks=with_landmarks)

    monkeypatch.setattr(Pool, "face", spy)
    return calls


@pytest.fixture
def plain(monkeypatch):
    """No photometric augmentation: colour is these pools' label."""
    monkeypatch.setattr(batches, "sample_photometric", lambda rng: PhotometricAugmentation())


def test_a_batch_is_pairs_and_depends_on_its_number_alone(pools):
    some = batches_of(pools, Mix(stills=3, pseudo_fakes=2, clips=3))
    pixels, targets = some[7]
    assert pixels.shape == (16, 3, 64, 64)
    assert pixels.dtype == np.uint8
    assert targets.tolist() == [0, 1] * 8
    np.testing.assert_array_equal(some[7][0], pixels)
    assert (some[8][0] != pixels).any()


def test_targets_follow_the_labels(pools, plain, monkeypatch):
    monkeypatch.setattr(batches, "P_MATCHED", 0.0)
    pixels, targets = batches_of(pools, Mix(stills=8, pseudo_fakes=0, clips=8))[0]
    red = pixels[:, 0].mean(axis=(1, 2))
    assert ((red > 128) == (targets == 1)).all()


def test_matched_pairs_of_clips_keep_no_label_in_their_colour(pools, plain, monkeypatch):
    monkeypatch.setattr(batches, "P_MATCHED", 1.0)
    pixels, _ = batches_of(pools, Mix(stills=0, pseudo_fakes=0, clips=8))[0]
    red = pixels[:, 0].mean(axis=(1, 2))
    assert np.abs(red[1::2] - red[0::2]).max() < 40  # 245 as they are


@pytest.mark.parametrize("with_transcoded", [False, True])
def test_what_is_held_out_or_left_out_is_never_asked_for(pools, asked, with_transcoded):
    transcoded = pools[2] if with_transcoded else None
    some = batches_of(pools, Mix(4, 8, 6), transcoded, out=frozenset({"0", "3"}), left_out=OF_G1)
    for number in range(12):
        some[number]
    seen = {(pool.source[row], pool.group[row]) for pool, row in asked}
    assert {group for source, group in seen if source == "stills"} == {"1", "2", "4"}
    assert {group for source, group in seen if source in {"real_a", "loopy"}} == {"g0", "g2", "g3"}


def test_half_of_the_clip_pairs_are_of_transcoded_clips(index_table, pools, asked):
    transcoded = Pool(index_table([("c0", False, "g0", "real_a", ""), ("c1", True, "g0", "loopy", "")]))
    some = batches_of(pools, Mix(stills=0, pseudo_fakes=0, clips=8), transcoded)
    for number in range(12):
        some[number]
    flags = [(pool is transcoded, bool(pool.fake[row])) for pool, row in asked]
    is_transcoded, fake = np.array(flags).reshape(-1, 2, 2).transpose(2, 0, 1)
    assert (is_transcoded[:, 0] == is_transcoded[:, 1]).all()  # both of a pair
    assert (fake == [False, True]).all()
    assert 0.35 < is_transcoded.mean() < 0.65


@pytest.fixture
def generated(index_table):
    """Regenerated stills, frames of clips and a face, and four new identities."""
    rows = [(f"d{i}", True, str(i % 5), "realesrgan", f"r{i}") for i in range(20)]
    rows += [(f"d{20 + i}", True, f"g{i // 2}", "realesrgan", f"c{i} {3 * i}") for i in range(0, 8, 2)]
    rows += [("d30", True, "p1", "realesrgan", "p1"), *((f"n{i}", True, f"n{i}", "gan", "") for i in range(4))]
    return Pool(index_table(rows))


def test_a_regenerated_face_is_paired_with_the_real_one(pools, generated, asked, monkeypatch):
    monkeypatch.setattr(batches, "P_NEW_IDENTITY", 0.0)
    mix = Mix(stills=0, pseudo_fakes=0, clips=0, generated=4)
    some = batches_of(pools, mix, generated=generated, out=frozenset({"0", "3"}), left_out=OF_G1)
    for number in range(40):
        pixels, targets = some[number]
        assert targets.tolist() == [0, 1] * 4
        assert (pixels[0::2] != pixels[1::2]).any()
    seen = [pool.original[row].split(" ")[0] if pool is generated else pool.key[row] for pool, row in asked]
    assert seen[0::2] == seen[1::2]
    assert set(seen) == {f"r{i}" for i in range(20) if i % 5 not in {0, 3}} | {"p1", "c0", "c4", "c6"}


def test_half_of_the_generated_pairs_show_a_new_identity(pools, generated, asked):
    some = batches_of(pools, Mix(stills=0, pseudo_fakes=0, clips=0, generated=8), generated=generated)
    for number in range(12):
        some[number]
    new = [pool.original[row] == "" for pool, row in asked if pool is generated]
    assert len(new) == 96
    assert 0.35 < np.mean(new) < 0.65


@pytest.mark.parametrize(
    ("left_out", "lacks"), [({"c1", "c3", "c5", "c7"}, "forged"), ({"c0", "c2", "c4", "c6"}, "real")]
)
def test_clips_of_one_class_are_refused_by_the_batches(pools, left_out, lacks):
    """Non-regression test: a manifest of one class ended in a traceback, after the base was trained."""
    with pytest.raises(DatasetError, match=f"none shows a {lacks} face"):
        batches_of(pools, Mix(stills=0, pseudo_fakes=0, clips=8), left_out=left_out)


def test_stills_of_one_class_are_refused_by_the_batches(pools, index_table):
    stills = Pool(index_table([("f", True, "0", "stills", "r")]))
    with pytest.raises(DatasetError, match="none is REAL"):
        batches_of((stills, *pools[1:]), Mix(stills=1, pseudo_fakes=0, clips=0))


def test_spread_rows_cover_a_clip(pools):
    rows = spread_rows(pools[2], "c3", 2)
    assert set(pools[2].key[rows]) == {"c3"}
    assert len(rows) == 2
    assert len(spread_rows(pools[2], "c3", 16)) == 3


def test_the_nearest_donor_does_not_depend_on_who_was_looked_at_before(index_table, monkeypatch):
    """Non-regression test: only landmarks that earlier batches had found counted, so a resumed run went other ways."""
    base = np.random.default_rng(0).uniform(20, 40, (68, 2)).astype(np.float32)
    monkeypatch.setattr(
        Pool,
        "_measured",
        lambda self, row, image: base + np.float32([0, 3 - row])[None] * np.linspace(0, 1, 68)[:, None],
    )
    monkeypatch.setattr(pool_module.blend, "plausible", lambda points, box: True)
    table = index_table([(f"r{i}", False, "g", "stills", "") for i in range(4)])
    fresh, used = Pool(table), Pool(table)
    used.face(1, with_landmarks=True)
    rows = np.array([0, 1, 2, 3])
    assert fresh.nearest(base, rows) == used.nearest(base, rows) == 3
