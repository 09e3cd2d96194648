"""Small pools of random images whose colour is their label, and clips of a data set."""

import numpy as np
import pyarrow as pa
import pytest

from extract.entries import ClipEntry
from training.faces import index
from training.faces.pools import Pool


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def index_table(rng):
    """Makes a table of rows (key, fake, group, source, original) with random images; red tells the class."""

    def make(rows):
        records = []
        for number, (key, fake, group, source, original) in enumerate(rows):
            image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            image[:, :, 0] = 250 if fake else 5
            records.append(
                dict(
                    key=key, frame=number, fake=int(fake), group=group, source=source, original=original,
                    box=[10.0, 10.0, 54.0, 54.0], landmarks=[], jpeg=index.encode_jpeg(image),
                )
            )  # fmt: skip
        return pa.Table.from_pylist(records, schema=index.SCHEMA)

    return make


CLIP_ROWS = [(f"c{i}", i % 2 == 1, f"g{i // 2}", ["real_a", "loopy"][i % 2], "") for i in range(8) for _ in range(3)]


@pytest.fixture
def clip_rows():
    """Rows of clips of four groups, each with a REAL and a FAKE one, three frames each."""
    return list(CLIP_ROWS)


@pytest.fixture
def pools(index_table, monkeypatch):
    """Stills of five groups, faces of two sets, clips of four groups: none with landmarks."""
    monkeypatch.setattr(Pool, "_landmarks", lambda self, row, image=None: None)  # random images show no face
    stills = [(f"r{i}", False, str(i % 5), "stills", f"r{i}") for i in range(20)]
    stills += [(f"f{i}", True, str(i % 5), "stills", f"r{i}") for i in range(20)]
    faces = [(f"p{i}", False, f"p{i}", ["lfw", "ffhq"][i % 2], "") for i in range(4)]
    return tuple(Pool(index_table(rows)) for rows in (stills, faces, CLIP_ROWS))


def clip(filename, label, group, method, part="picture"):
    forged = frozenset({part}) if label == "FAKE" else frozenset()
    return ClipEntry(filename, f"/nowhere/{filename}", label, group, source=method, method=method, forged=forged)


@pytest.fixture
def clips():
    """Clips of seven methods and two sources, some of whose groups are linked by a method or a group."""
    found = [clip(f"swap_{i}", "FAKE", f"p{i}", f"ff++_{'ab'[i % 2]}") for i in range(6)]
    found += [clip(f"real_{i}", "REAL", f"p{i}", "real_youtube") for i in range(6)]
    found += [clip(f"more_{i}", "REAL", f"q{i}", "real_youtube") for i in range(3)]
    found += [clip(f"head_{i}", "FAKE", f"h{i % 2}", ["loopy", "vasa1"][i % 2 if i else 1]) for i in range(5)]
    found += [clip(f"link_{i}", "FAKE", "h0", "float") for i in range(2)]
    found += [clip(f"dub_{i}", "FAKE", "ted", "audio_x", "voice") for i in range(4)]
    found += [clip(f"dfdc_{i}", "FAKE", f"d{i}", "dfdc") for i in range(3)]
    found += [clip(f"stock_{i}", "REAL", f"s{i}", "real_stock") for i in range(4)]
    return found


@pytest.fixture
def fold_weights(tmp_path):
    """A folder of networks of two folds, each of which gives one logit whatever it sees."""
    import torch

    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    for name, logit in {"fold0": 1.5, "fold1": -2.5, "residual_fold0": 0.5, "residual_fold1": -0.5}.items():
        net = LiteNet()
        torch.nn.init.zeros_(net.logit.weight)
        torch.nn.init.constant_(net.logit.bias, logit)
        save_weights(net, tmp_path / f"{name}.safetensors", WeightsMetadata())
    return tmp_path
