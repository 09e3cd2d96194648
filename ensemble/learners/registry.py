"""The registry of learners: all of them, those that suit a table of a given size, and how to load one."""

from __future__ import annotations

from collections.abc import Callable
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

MAX_ROWS = {"kernel": 20_000, "lightgbm_full": 20_000, "extra_trees": 5_000}
MIN_ROWS = {"mlp": 3_000}
NAMED_ALONE = ("networks", "networks_and_cues")


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
    names = [name for name in names if name not in NAMED_ALONE]
    return dict.fromkeys(names, settings_for(n_rows, n_groups))


def learner_kinds() -> dict[str, Callable[[Layout, LearnerSettings], Learner]]:
    """Name to constructor of every base learner; the order is that of the printed table."""
    return {
        "lightgbm": LightGBM,
        "lightgbm_full": FullLightGBM,
        "xgboost": XGBoost,
        "logistic": Logistic,
        "kernel": KernelMachine,
        "extra_trees": ExtraTrees,
        "mlp": Perceptron,
        "networks": Networks,
        "networks_and_cues": NetworksAndCues,
    }


def load_learner(kind: str, folder: Path, stem: str, layout: Layout) -> Learner:
    """Read one fitted learner of a model folder."""
    constructor: Any = learner_kinds()[kind]
    return constructor.load(folder, stem, layout)
