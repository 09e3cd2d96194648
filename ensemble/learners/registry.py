"""The registry of learners: all of them, those that suit a table, the columns that they read, and how to load one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from ensemble.learners.base import Learner, LearnerSettings, settings_for
from ensemble.learners.boosting import FullLightGBM, LightGBM, XGBoost
from ensemble.learners.extra_trees import ExtraTrees
from ensemble.learners.kernel import KernelMachine
from ensemble.learners.late_fusion import Networks, NetworksAndCues
from ensemble.learners.logistic import Logistic
from ensemble.learners.mlp import Perceptron
from ensemble.training_set import Layout
from features.errors import InputError

MAX_ROWS = {"kernel": 20_000, "lightgbm_full": 20_000, "extra_trees": 5_000}
MIN_ROWS = {"mlp": 3_000}
LEARNERS: tuple[type[Learner], ...] = (
    LightGBM,
    FullLightGBM,
    XGBoost,
    Logistic,
    KernelMachine,
    ExtraTrees,
    Perceptron,
    Networks,
    NetworksAndCues,
)
LATE_FUSIONS = {learner.name: learner for learner in (Networks, NetworksAndCues)}
"""Learners that are used only on request; unlike the others they read only some of a table's columns."""


def default_settings(n_rows: int, n_groups: int) -> dict[str, LearnerSettings]:
    """Learner name to settings, for the learners that suit a table of this size.

    The kernel machine is skipped on large tables: its few hundred centres no longer cover them, and it costs more than
    the boosters. LightGBM at its defaults is also skipped: on large tables it no longer adds diversity. Extremely
    randomised trees cost even more and add nothing at 18,000 rows. The multilayer perceptron has more weights than
    a small table can determine. ``networks`` and ``networks_and_cues``, for few clips of many sources, are used only
    on request.

    Parameters
    ----------
    n_rows, n_groups
        Labelled rows, and the groups that they are in.
    """
    names = [name for name in learner_kinds() if MIN_ROWS.get(name, 0) <= n_rows <= MAX_ROWS.get(name, n_rows)]
    names = [name for name in names if name not in LATE_FUSIONS]
    return dict.fromkeys(names, settings_for(n_rows, n_groups))


def learner_kinds() -> dict[str, Callable[[Layout, LearnerSettings], Learner]]:
    """Name to constructor of every base learner; the order is that of the printed table."""
    return {learner.name: learner for learner in LEARNERS}


def check_learners(names: Collection[str]) -> None:
    """Refuse names of learners that do not exist, and no name at all.

    Raises
    ------
    InputError
        The message names the first unknown learner, and those that there are.
    """
    known = learner_kinds()
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"learners: {unknown[0]!r} is unknown; there are {', '.join(known)}")
    if not names:
        raise InputError(f"learners: name at least one of {', '.join(known)}")


def columns_read(columns: Sequence[str], learners: Iterable[str]) -> set[str]:
    """Return the columns, of those of a table, that the named learners read; most learners read all.

    >>> sorted(columns_read(["forensic_cnn.logit_mean", "forensic_cnn.logit_std"], ["networks"]))
    ['forensic_cnn.logit_mean']
    """
    return {
        column
        for name in learners
        for column in (LATE_FUSIONS[name].reads(columns) if name in LATE_FUSIONS else columns)
    }


def load_learner(kind: str, folder: Path, stem: str, layout: Layout) -> Learner:
    """Read one fitted learner of a model folder."""
    constructor: Any = learner_kinds()[kind]
    return constructor.load(folder, stem, layout)
