"""A made feature table with groups, a planted cue, blocks that go missing and clips that could not be measured."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ensemble.folds import assign_folds
from ensemble.learners import extra_trees
from ensemble.learners.base import settings_for
from ensemble.learners.registry import LATE_FUSIONS, learner_kinds
from ensemble.train import train
from ensemble.training_set import training_set
from features.table import BASE_SCHEMA, METADATA_KEY, SCHEMA_VERSION

FAMILIES = ("eyes", "lips", "noise")
PER_FAMILY = 5


def build_table(n_groups=24, per_group=4, *, signal=1.5, seed=0, unmeasured=(), versions=None, n_sources=3, leak=False):
    """Rows of ``per_group`` a group, alternately REAL and FAKE; ``eyes.cue0`` differs by ``signal``.

    ``leak`` adds to ``noise.cue0`` a number that tells the group and nothing else.
    """
    rng = np.random.default_rng(seed)
    n = n_groups * per_group
    group = np.repeat(np.arange(n_groups), per_group)
    y = np.arange(n) % 2
    names = [f"{family}.{quantity}" for family in FAMILIES for quantity in _quantities()]
    X = rng.standard_normal((n, len(names))) + 0.5 * rng.standard_normal((n_groups, len(names)))[group]
    X[:, names.index("eyes.cue0")] += signal * y
    for number, family in enumerate(FAMILIES):
        silent = (rng.random(n) < 0.1) & (number > 0)
        for column, name in enumerate(names):
            if name.startswith(family):
                X[silent, column] = np.nan
    for column, name in enumerate(names):
        if name.endswith("valid_share"):
            X[:, column] = np.where(np.isnan(X[:, column]), 0.0, 1.0)
    if leak:
        X[:, names.index("noise.cue0")] = group * 10.0
    for row in unmeasured:
        X[row] = [0.0 if name.endswith("valid_share") else np.nan for name in names]
    base = {
        "filename": [f"clip{row:04d}.mp4" for row in range(n)],
        "label": ["FAKE" if one else "REAL" for one in y],
        "group": [f"group{one:03d}" for one in group],
        "source": [f"source{one % n_sources}" if n_sources else None for one in group],
        "status": ["unreadable" if row in unmeasured else "ok" for row in range(n)],
        "error": [""] * n,
        "reasons": ["{}"] * n,
        "duration_s": [4.0] * n,
        "n_frames": [100] * n,
        "n_faces": [1] * n,
    }
    description = {
        "schema": SCHEMA_VERSION,
        "extractor": "made",
        "families": {family: 1 for family in FAMILIES} | (versions or {}),
        "columns": {name: {"unit": "1", "direction": "either", "family": name.split(".")[0]} for name in names},
    }
    arrays = [pa.array(base[field.name], type=field.type) for field in BASE_SCHEMA]
    arrays += [pa.array(X[:, column].astype(np.float32)) for column in range(len(names))]
    fields = [*BASE_SCHEMA, *(pa.field(name, pa.float32()) for name in names)]
    return pa.Table.from_arrays(
        arrays, schema=pa.schema(fields, metadata={METADATA_KEY: json.dumps(description).encode()})
    )


def small_settings(names=None, **changes):
    """Settings with which every learner is fitted in a moment."""
    one = replace(settings_for(100, 24), n_rounds=25, n_bags=2, learning_rate=0.15, **changes)
    return dict.fromkeys(names or [name for name in learner_kinds() if name not in LATE_FUSIONS], one)


def _quantities():
    return ["valid_share", *(f"cue{number}" for number in range(PER_FAMILY))]


@pytest.fixture(scope="session", autouse=True)
def few_trees():
    """Forests of a fifth of the usual trees: a training of the tests grows ten forests and more."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(extra_trees, "N_TREES", extra_trees.N_TREES // 5)
        yield


@pytest.fixture(scope="session")
def make_table():
    return build_table


@pytest.fixture(scope="session")
def quick():
    return small_settings


@pytest.fixture(scope="session")
def table():
    """96 clips in 24 groups, of which two could not be measured."""
    return build_table(unmeasured=(3, 40))


@pytest.fixture(scope="session")
def data(table):
    return training_set(table, "made")


@pytest.fixture(scope="session")
def folds(data):
    return assign_folds(data.y, data.group, n_folds=4, seed=0)


@pytest.fixture(scope="session")
def trained(data, folds):
    """A model with every learner, and its evaluation."""
    return train(data, folds, settings=small_settings(), seed=3)
