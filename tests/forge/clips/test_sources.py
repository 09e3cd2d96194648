"""Which clips are forged, under which names, with whose faces."""

import doctest

import numpy as np
import pytest

from extract.entries import ClipEntry
from features.errors import DatasetError
from forge.clips import sources
from forge.clips.registry import kinds


def test_the_examples_run():
    assert doctest.testmod(sources).attempted
    assert not doctest.testmod(sources).failed


def test_no_two_sources_ever_write_the_same_file():
    stems = [
        "x",
        "X",
        "x",
        "x-1",
        "x__dub",
        "x__dub__reencode",
        "x__reencode",
        "x__self_blend",
        "long" * 99,
        "long" * 99,
    ]
    names = sources.unique_names(stems)
    files = [
        f"{name}{kind}{copy}".casefold()
        for name in names
        for kind in ("", *(f"__{kind}" for kind in kinds() if kind != "reencode"))
        for copy in ("", "__reencode")
    ]
    assert len(files) == len(set(files))
    assert max(map(len, files)) < 240


def test_a_donor_pool_is_a_few_groups_and_every_group_is_in_one():
    clips = [ClipEntry(f"{n}.mp4", f"/data/{n}.mp4", group=f"g{n // 2}") for n in range(22)]
    pools = sources.donor_pools(clips, seed=3)
    assert sorted(pools) == sorted({clip.group for clip in clips})
    sizes = np.unique(list(pools.values()), return_counts=True)[1]
    assert sorted(sizes.tolist()) == [3, 4, 4]
    assert pools == sources.donor_pools(clips, seed=3) != sources.donor_pools(clips, seed=4)


def test_donors_are_clips_of_other_groups_of_the_pool(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.mp4").write_bytes(b"")
    (tmp_path / "manifest.csv").write_text(
        "filename,label,group\na.mp4,REAL,one\nb.mp4,REAL,one\nc.mp4,REAL,two\nd.mp4,FAKE,two\n"
    )
    found = {source.filename: source for source in sources.find_sources(str(tmp_path / "manifest.csv"), 0)}
    assert set(found) == {"a.mp4", "b.mp4", "c.mp4"}
    assert found["a.mp4"].donors == (str(tmp_path / "c.mp4"),)
    assert len(found["c.mp4"].donors) == 2


def test_a_data_set_of_fakes_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "manifest.csv").write_text("filename,label\na.mp4,FAKE\n")
    with pytest.raises(DatasetError, match="all of its clips are labelled FAKE"):
        sources.find_sources(str(tmp_path / "manifest.csv"), 0)
