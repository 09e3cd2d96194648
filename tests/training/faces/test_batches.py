"""Batches are pairs that depend on their number alone; what is held out or left out is never in them."""

import numpy as np
import pyarrow as pa
import pytest

from features.errors import DatasetError
from forge.images.augment import PhotometricAugmentation
from training.faces import batches
from training.faces import pools as pool_module
from training.faces.batches import Batches, Mix
from training.faces.pools import ClipSampler, Pool, spread_rows

OF_G1 = frozenset({"c2", "c3"})  # clips of the group g1


def batches_of(pools, mix, transcoded=None, generated=None, **more):
    settings = dict(holdout=frozenset(), left_out=frozenset(), seed=3, size=64) | more
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
    some = batches_of(pools, Mix(4, 8, 6), transcoded, holdout=frozenset({"0", "3"}), left_out=OF_G1)
    for number in range(12):
        some[number]
    seen = {(pool.source[row], pool.group[row]) for pool, row in asked}
    assert {group for source, group in seen if source == "stills"} == {"1", "2", "4"}
    assert {group for source, group in seen if source in {"real_a", "loopy"}} == {"g0", "g2", "g3"}


def test_a_real_image_that_is_left_out_is_not_forged_either(pools, asked):
    some = batches_of(pools, Mix(stills=0, pseudo_fakes=8, clips=0), left_out=frozenset({"p0", "p2"}))
    for number in range(12):
        some[number]
    assert {pool.key[row] for pool, row in asked if pool is pools[1]} == {"p1", "p3"}


def test_a_face_of_a_person_who_is_held_out_is_not_seen(pools, generated, asked, monkeypatch):
    """Non-regression test: only clips and crops of a held-out person were left out, not real faces."""
    monkeypatch.setattr(batches, "P_NEW_IDENTITY", 0.0)
    people = frozenset({"p0", "p1", "p2"})
    some = batches_of(pools, Mix(0, 8, 0, generated=2), generated=generated, left_out_people=people)
    for number in range(12):
        some[number]
    assert {pool.key[row] for pool, row in asked if pool is pools[1]} == {"p3"}
    with pytest.raises(DatasetError, match="none is left to train on"):
        batches_of(pools, Mix(stills=0, pseudo_fakes=1, clips=0), left_out_people=people | {"p3"})


@pytest.mark.parametrize("n_frames", [1, 3])
def test_no_face_is_pasted_into_itself(index_table, pools, rng, n_frames):
    """Non-regression test: a single image was its own donor, an unchanged REAL image that was labelled FAKE."""
    clips = [(f"c{i}", i > 5, f"g{i}", "loopy" if i > 5 else "real_a", "") for i in range(8) for _ in range(n_frames)]
    some = batches_of([*pools[:2], Pool(index_table(clips))], Mix(stills=0, pseudo_fakes=1, clips=1))
    pool = some._clips.pool
    for _ in range(40):
        rows = some._clips.clip(rng, fake=False)
        row = int(rng.choice(rows))
        donors = some._donors(pool, rows, row, rng)
        assert len(donors) == batches.N_DONORS
        assert row not in donors
        assert not pool.fake[donors].any()
        if n_frames > 1:
            assert set(pool.key[donors]) == {pool.key[row]}


def test_the_only_real_face_has_no_donor(index_table, rng):
    lone = Pool(index_table([("a", False, "0", "stills", ""), ("b", True, "0", "stills", "a")]))
    some = batches_of(
        [lone, Pool(index_table([("r", False, "x", "real", "")]))], Mix(stills=1, pseudo_fakes=1, clips=0)
    )
    assert not len(some._donors(lone, np.array([0]), 0, rng))
    assert len(some[0][0]) == 4


def test_half_of_the_clip_pairs_are_of_transcoded_clips(index_table, clip_rows, pools, asked):
    transcoded = Pool(index_table(clip_rows))
    some = batches_of(pools, Mix(stills=0, pseudo_fakes=0, clips=8), transcoded)
    for number in range(12):
        some[number]
    flags = [(pool is transcoded, bool(pool.fake[row])) for pool, row in asked]
    is_transcoded, fake = np.array(flags).reshape(-1, 2, 2).transpose(2, 0, 1)
    assert (is_transcoded[:, 0] == is_transcoded[:, 1]).all()  # both of a pair
    assert (fake == [False, True]).all()
    assert 0.35 < is_transcoded.mean() < 0.65


def test_re_encoding_is_no_sign_of_the_label(index_table, clip_rows, pools, asked):
    """Of the pairs, none shows one re-encoded clip beside one that was not: here no REAL clip has a copy."""
    fakes = [row for row in clip_rows if row[1]]
    some = batches_of(pools, Mix(stills=0, pseudo_fakes=0, clips=8), Pool(index_table(fakes)))
    for number in range(12):
        some[number]
    assert len(asked) == 12 * 16
    assert all(pool is pools[2] for pool, _ in asked)


def sampler_of(index_table, rows):
    """Of rows (key, fake, group, source, frames, recut)."""
    table = index_table([(key, fake, group, source, "") for key, fake, group, source, n, _ in rows for _ in range(n)])
    recut = pa.array([recut for *_, n, recut in rows for _ in range(n)])
    pool = Pool(table.set_column(table.column_names.index("recut"), "recut", recut))
    return ClipSampler(pool, np.ones(len(pool), dtype=bool))


def test_a_method_of_hundreds_is_drawn_little_more_than_one_of_tens(index_table, rng):
    sizes = {"page": 200, "ten": 10, "one": 1}
    rows = [(f"{name} {i}", True, f"{name} {i}", name, 1, False) for name, n in sizes.items() for i in range(n)]
    sampler = sampler_of(index_table, [*rows, ("r", False, "r", "real", 1, False)])
    drawn = [sampler.pool.source[sampler.clip(rng, fake=True)[0]] for _ in range(3000)]
    share = {name: drawn.count(name) / 3000 for name in sizes}
    total = 3.5 + np.sqrt(10) + 1
    assert share == {
        "page": pytest.approx(3.5 / total, abs=0.04),
        "ten": pytest.approx(np.sqrt(10) / total, abs=0.04),
        "one": pytest.approx(1 / total, abs=0.04),
    }


@pytest.mark.parametrize(
    ("fake", "trait", "share"),
    [(("f", True, "f", "page", 3, True), "recut", 0.5), (("f", True, "f", "gan", 1, False), "image", 0.7)],
)
def test_a_forgery_stands_beside_a_real_one_of_its_kind(index_table, rng, fake, trait, share):
    """Half of the recut ones beside recut ones, whatever the many others are; images beside images."""
    rows = [fake, ("recut", False, "a", "page", 3, True), ("image", False, "b", "portraits", 1, False)]
    rows += [(f"other {i}", False, f"o{i}", f"o{i}", 3, False) for i in range(60)]
    sampler = sampler_of(index_table, rows)
    drawn = [sampler.pool.key[sampler.real_beside(0, rng)[0]] for _ in range(1500)]
    assert drawn.count(trait) / 1500 == pytest.approx(share + (1 - share) / 62, abs=0.05)


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
    some = batches_of(pools, mix, generated=generated, holdout=frozenset({"0", "3"}), left_out=OF_G1)
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
