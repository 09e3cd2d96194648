"""Small tables with a planted cue, a model trained on one, and a stand-in for a model: for the tests of outputs."""

import io
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np

from deepcue.cli.main import main as deepcue
from ensemble.calibrate import logit
from ensemble.model import Explanation
from features import discovery
from features.table import build, schema, write_table

FAMILIES = ("blink", "lip_sync", "quality")
PLANTED = "blink.rate_per_min"
UNREADABLE = "no video or audio that FFmpeg can open"


def toy_table(n_groups=12, per_group=4, *, seed=0, labelled=True, signal=2.5, without_cues=(), without_audio=()):
    """Rows ``clip000.mp4`` ...; even rows REAL; one blink column differs by ``signal`` standard deviations."""
    families = discovery.families(FAMILIES)
    names = [column.name for one in families for column in one.table_columns]
    rng = np.random.default_rng(seed)
    n = n_groups * per_group
    fake = np.arange(n) % 2
    values = rng.standard_normal((n, len(names))).astype(np.float32)
    values[:, names.index(PLANTED)] += signal * fake
    shares = [number for number, name in enumerate(names) if name.endswith(".valid_share")]
    values[:, shares] = 1.0
    status, error, reasons, n_faces = ["ok"] * n, [""] * n, [{}] * n, [1] * n
    for row in without_cues:
        values[row] = np.nan
        values[row, shares] = 0.0
        status[row], error[row], reasons[row], n_faces[row] = "unreadable", UNREADABLE, {"clip": "unreadable"}, 0
    for row in without_audio:
        silent = [number for number, name in enumerate(names) if name.startswith("lip_sync.")]
        values[row, silent] = np.nan
        values[row, names.index("lip_sync.valid_share")] = 0.0
        status[row], error[row], reasons[row] = "no_audio", "no audio", {"lip_sync": "no_sound"}
    base = {
        "filename": [f"clip{row:03d}.mp4" for row in range(n)],
        "label": [("REAL", "FAKE")[one] if labelled else None for one in fake],
        "group": [f"group{row // per_group}" for row in range(n)],
        "source": [("studio", "street")[row // per_group % 2] for row in range(n)],
        "status": status,
        "error": error,
        "reasons": reasons,
        "duration_s": [4.0] * n,
        "n_frames": [100] * n,
        "n_faces": n_faces,
    }
    return build(base, values, schema(families, extractor="test"))


def toy_model(table, folder):
    """Train on ``table`` with the linear learner alone, by the command, into a model folder marked synthetic."""
    file = folder.parent / "toy.parquet"
    write_table(table, file)
    options = ["--learners", "logistic", "--folds", "3", "--synthetic", "--quiet"]
    with redirect_stdout(io.StringIO()):
        assert deepcue(["train", "--table", str(file), "--out", str(folder), *options]) == 0


class FakeModel:
    """Explains any table by the numbers that it was given; reads the columns that are named, or all."""

    def __init__(self, base, contributions, *, columns_read=None, clip=0.0):
        of_toys = {column.name for one in discovery.families(FAMILIES) for column in one.table_columns}
        others = {f"{name}.a_cue" for name in contributions}
        self.columns_read, self.head = columns_read or of_toys | others, SimpleNamespace(clip=clip)
        self.untrained_columns = set()
        self.base = np.asarray(base, dtype=np.float64)
        self.contributions = {name: np.asarray(z, dtype=np.float64) for name, z in contributions.items()}

    def explain(self, table):
        z = self.base + sum(self.contributions.values())
        bound = -logit(self.head.clip) if self.head.clip else np.inf
        limit = np.clip(z, -bound, bound) - z
        return Explanation(self.base, self.contributions, z + limit, limit)
