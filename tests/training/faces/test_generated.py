"""Generated faces: drawn first, then made in any order, in parts that an interrupted run keeps."""

import contextlib
import functools
from types import SimpleNamespace

import numpy as np
import pytest

from features.errors import DatasetError
from training.faces import generated, index
from training.faces.pools import Pool


class Doubling:
    """A network that repeats every pixel."""

    scale = 2

    def __init__(self, name):
        self.name = name

    def __call__(self, image):
        return image.repeat(2, axis=0).repeat(2, axis=1)


class Shades:
    """A generator of portraits whose shade is their style."""

    def style(self, rng):
        return rng.integers(0, 256)

    def portrait(self, style):
        return np.full((1024, 1024, 3), style, np.uint8)


@contextlib.contextmanager
def backwards(workers):
    """Processes that make the last face first."""
    assert workers == 3
    yield lambda make, *inputs: reversed([make(*task) for task in reversed([*zip(*inputs, strict=True)])])


@pytest.fixture
def rows(pools, monkeypatch):
    """Makes the rows of ten regenerated faces and seven identities, in parts of four."""
    box = np.float32([20, 20, 300, 300])
    finder = SimpleNamespace(still=lambda image, with_landmarks: (box, None))
    for name, network in (("_enhancer", Doubling), ("_generator", Shades), ("_finder", lambda: finder)):
        monkeypatch.setattr(generated, name, functools.cache(network))
    for name, value in (("N_REGENERATED", 10), ("N_NEW_IDENTITIES", 7), ("PART_ROWS", 4)):
        monkeypatch.setattr(generated, name, value)
    return functools.partial(generated.rows, *pools, holdout=frozenset({"0"}))


def test_rows_depend_neither_on_processes_nor_on_an_interruption(rows, tmp_path, monkeypatch):
    made, calls = [], []

    def keep(name, part, most=99):
        file = tmp_path / f"{name}.parquet"
        if not file.exists():
            made.append(name)
            if len(made) > most:
                raise KeyboardInterrupt
        yield from index.cached(file, part, "id").to_pylist()

    serial = list(rows())
    assert [row["key"].split()[-1] for row in serial] == [*map(str, range(10)), *map(str, range(7))]
    with pytest.raises(KeyboardInterrupt):
        list(rows(keep=functools.partial(keep, most=2)))
    monkeypatch.setattr(generated, "_mapping", backwards)
    resumed = list(rows(workers=3, keep=keep, progress=lambda *call: calls.append(call)))
    assert resumed == [row | {"box": np.float32(row["box"]).tolist()} for row in serial]
    names = ["regenerated faces 0", "regenerated faces 4", "regenerated faces 8"]
    assert made == [*names, names[-1], "generated identities 0", "generated identities 4"]
    assert calls[:3] == [("regenerated faces", done, 10) for done in (8, 9, 10)]


def test_a_regenerated_face_names_its_original(rows, pools):
    originals = {f"r{i}" for i in range(20) if i % 5} | {f"p{i}" for i in range(4)}
    originals |= {f"{key} {frame}" for key, frame in zip(pools[2].key, pools[2].frame, strict=True)}
    for row in list(rows())[:10]:
        assert row["original"] in originals
        assert row["key"].startswith(f"{row['source']} ")
        assert row["fake"] == 1
        assert index.decode_image(row["jpeg"]).shape == (64, 64, 3)


def test_nothing_is_regenerated_from_pools_without_real_faces(index_table):
    fakes = Pool(index_table([("f", True, "0", "loopy", "")]))
    with pytest.raises(DatasetError, match="the stills hold no real face"):
        next(generated.rows(fakes, fakes, fakes, holdout=frozenset()))
