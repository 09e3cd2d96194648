"""What each cue family is worth: ``python -m ensemble.worth --table features.parquet``.

Two questions of every family, each answered out of fold by groups: how far does it get alone, and how much
worse is everything without it? Correlated families share credit: one that gets far alone may add nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.calibrate import clip_logit, logit
from ensemble.folds import N_FOLDS, assign_folds, check_folds, given_folds
from ensemble.learners import Settings, settings_for
from ensemble.matrix import Int, Layout, TrainingSet, family_of, measured_rows, training_set
from ensemble.metrics import Score, auc, log_loss, with_intervals
from ensemble.nested import fit_without
from ensemble.registry import learner_kinds
from features.errors import InputError
from features.table import read_table

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]
LEARNERS = ("lightgbm", "logistic")  # one of trees, one linear: their mean log-odds is judged
HELPS, HURTS, NO_EVIDENCE = "helps", "hurts", "no evidence"
MAX_BOUND = 0.2
KIND = "deepfake-worth"


@dataclass(frozen=True)
class Worth:
    """One family: alone (log loss, AUC) and beside the others (``delta_log_loss``: positive is worth)."""

    family: str
    n_columns: int
    measured_share: float
    log_loss: Score
    auc: Score
    delta_log_loss: Score

    @property
    def verdict(self) -> str:
        """See :func:`verdict_of`."""
        return verdict_of(self.delta_log_loss)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "n_columns": self.n_columns,
            "measured_share": self.measured_share,
            "log_loss": self.log_loss.as_dict(),
            "auc": self.auc.as_dict(),
            "delta_log_loss": self.delta_log_loss.as_dict(),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Judged:
    """The worth of every family, beside all families together and the constant predictor."""

    families: list[Worth]
    everything: dict[str, Score]
    constant: Score
    n_clips: int
    n_groups: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": KIND,
            "n_clips": self.n_clips,
            "n_groups": self.n_groups,
            "all": {name: score.as_dict() for name, score in self.everything.items()},
            "constant": {"log_loss": self.constant.as_dict()},
            "families": {one.family: one.as_dict() for one in self.families},
        }


def verdict_of(delta: Score) -> str:
    """``helps`` or ``hurts`` when the interval of the rise of log loss without the family excludes 0."""
    if delta.low > 0:
        return HELPS
    return HURTS if delta.high < 0 else NO_EVIDENCE


def judge(data: TrainingSet, fold: Int, *, learners: Sequence[str] = LEARNERS, seed: int = 0, jobs: int = 1) -> Judged:
    """Fit all families, each alone, and all but each, out of fold.

    Parameters
    ----------
    fold : ndarray of shape (n,)
        0 .. K-1; groups whole.
    learners
        Names of :func:`ensemble.registry.learner_kinds`; the mean of their log-odds is judged.
    jobs
        Fits side by side; changes no result.
    """
    from joblib import Parallel, delayed

    names = data.layout.family_names
    chosen = [tuple(names)]
    chosen += [(name,) for name in names]
    chosen += [tuple(other for other in names if other != name) for name in names]
    settings = settings_for(len(data), data.n_groups)
    tasks = [(part, k, name) for part in dict.fromkeys(chosen) for name in learners for k in range(int(fold.max()) + 1)]
    results = Parallel(n_jobs=jobs, prefer="threads")(
        delayed(_held_out)(only(data, part), fold, name, settings, k, seed) for part, k, name in tasks
    )
    z: dict[tuple[str, ...], Array] = {part: np.zeros(len(data)) for part in chosen}
    for (part, k, _), values in zip(tasks, results, strict=True):
        z[part][fold == k] += values / len(learners)
    return _scored(data, {part: _probability(values, data) for part, values in z.items()}, seed)


def only(data: TrainingSet, families: Sequence[str]) -> TrainingSet:
    """The training set with the columns of some families, which may be none."""
    kept = [number for number, name in enumerate(data.layout.columns) if family_of(name) in families]
    layout = Layout(
        tuple(data.layout.columns[number] for number in kept),
        {name: version for name, version in data.layout.families.items() if name in families},
    )
    X = np.ascontiguousarray(data.X[:, kept])
    return replace(data, X=X, layout=layout, measured=measured_rows(X, layout))


def table_lines(judged: Judged) -> list[str]:
    """The printed table, the most valuable family first."""
    rows = [("family", "columns", "measured", "log loss alone", "AUC alone", "log loss without it", "verdict")]
    ordered = sorted(judged.families, key=lambda one: -one.delta_log_loss.value)
    rows += [
        (
            one.family,
            str(one.n_columns),
            f"{one.measured_share:.0%}",
            _cell(one.log_loss),
            _cell(one.auc),
            _cell(one.delta_log_loss, sign="+"),
            one.verdict,
        )
        for one in ordered
    ]
    total = str(sum(one.n_columns for one in ordered))
    rows.append(("all", total, "", _cell(judged.everything["log_loss"]), _cell(judged.everything["auc"]), "", ""))
    rows.append(("constant", "0", "", _cell(judged.constant), "0.500", "", ""))
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 the user's input can't be used."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    one = argparse.ArgumentParser(
        prog="python -m ensemble.worth",
        description="What each cue family is worth, alone and beside the others, out of fold by groups.",
        epilog="example: python -m ensemble.worth --table artifacts/features.parquet",
    )
    one.add_argument("--table", required=True, type=Path, help="feature table with labels")
    one.add_argument("--folds", type=int, help="number of folds (default 5, or those of the fold file)")
    one.add_argument("--folds-file", type=Path, help="fold assignment to keep to (default: a new one)")
    one.add_argument("--learners", default=",".join(LEARNERS), help="their mean is judged (default: %(default)s)")
    one.add_argument("--out", type=Path, help="write JSON here, too; `ensemble.report --worth` shows it")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--jobs", type=int, default=1, help="fits side by side (default 1); changes no result")
    one.add_argument("--json", action="store_true", help="print JSON")
    return one


def _run(arguments: argparse.Namespace) -> None:
    learners = [name.strip() for name in arguments.learners.split(",") if name.strip()]
    known = learner_kinds()
    if not learners or (unknown := [name for name in learners if name not in known]):
        told = repr(unknown[0]) if learners else "nothing"
        raise InputError(f"--learners: {told} is no learner; there are {', '.join(known)}")
    data = training_set(read_table(arguments.table), str(arguments.table))
    if arguments.folds_file:
        groups = [data.group_names[one] for one in data.group]
        fold = given_folds(arguments.folds_file, data.filename, groups, data.y, n_folds=arguments.folds)
    else:
        fold = assign_folds(data.y, data.group, n_folds=arguments.folds or N_FOLDS, seed=arguments.seed)
        check_folds(data.y, fold)
    judged = judge(data, fold, learners=learners, seed=arguments.seed, jobs=arguments.jobs)
    if arguments.out:
        write_worth(judged, arguments.out)
    if arguments.json:
        print(json.dumps(judged.as_dict(), allow_nan=False))
        return
    print(
        f"{judged.n_clips} clips in {judged.n_groups} groups; out of fold, 95 % intervals over groups. Learners: "
        f"{', '.join(learners)}.\n"
    )
    print("\n".join(table_lines(judged)))
    print(
        f'\n"log loss without it" is the rise over all families: positive means that the family helps. Among '
        f"{len(judged.families)} families,\none in forty is expected to be called helpful, and one in forty harmful, "
        "by chance alone."
    )


def write_worth(judged: Judged, out: Path) -> None:
    """Write as JSON.

    Raises
    ------
    InputError
        The file can't be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(judged.as_dict(), indent=1, allow_nan=False), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: can't be written ({error}); give another --out") from error


def read_worth(file: Path) -> dict[str, dict[str, Any]]:
    """Family to ``delta_log_loss``, ``low``, ``high`` from a file of :func:`write_worth`.

    Raises
    ------
    InputError
        Missing or another kind of file.
    """
    remedy = "make it with `python -m ensemble.worth --out`"
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["kind"] != KIND:
            raise ValueError(f"kind {state['kind']!r}")
        deltas = {name: one["delta_log_loss"] for name, one in state["families"].items()}
        return {
            name: {"delta_log_loss": one["value"], "low": one["low"], "high": one["high"]}
            for name, one in deltas.items()
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: not a table of worth ({error}); {remedy}") from error


def _held_out(data: TrainingSet, fold: Int, learner: str, settings: Settings, k: int, seed: int) -> Array:
    """Log-odds of the rows of fold ``k``; the prior's where nothing was measured."""
    out = fold == k
    fitted = data.y[~out & data.measured]
    z = np.full(len(data), logit(float(data.y[~out].mean())))
    if len(np.unique(fitted)) == 2:
        rows, values, _ = fit_without(data, fold, learner, settings, (k,), seed)
        z[rows] = values
    return z[out]


def _probability(z: Array, data: TrainingSet) -> Array:
    """Clipped where one confident error can't outweigh all else: the rule of succession over groups."""
    from scipy.special import expit

    return expit(clip_logit(z, min(1 / (data.n_groups + 2), MAX_BOUND)))


def _scored(data: TrainingSet, p: Mapping[tuple[str, ...], Array], seed: int) -> Judged:
    names, y, group = data.layout.family_names, data.y, data.group
    whole = p[tuple(names)]

    def loss(values: Array):  # type: ignore[no-untyped-def]
        return lambda w: log_loss(y, values, w)

    def area(values: Array):  # type: ignore[no-untyped-def]
        return lambda w: auc(y, values, w)

    def rise(values: Array):  # type: ignore[no-untyped-def]
        return lambda w: log_loss(y, values, w) - log_loss(y, whole, w)

    asked = {"constant": loss(np.full(len(y), y.mean())), "all.log_loss": loss(whole), "all.auc": area(whole)}
    for name in names:
        alone, without = p[(name,)], p[tuple(other for other in names if other != name)]
        asked |= {f"{name}.log_loss": loss(alone), f"{name}.auc": area(alone), f"{name}.delta": rise(without)}
    scores = with_intervals(asked, group, seed=seed)
    parts = {name: only(data, (name,)) for name in names}
    families = [
        Worth(
            name,
            len(parts[name].layout.columns),
            float(parts[name].measured.mean()),
            scores[f"{name}.log_loss"],
            scores[f"{name}.auc"],
            scores[f"{name}.delta"],
        )
        for name in names
    ]
    everything = {"log_loss": scores["all.log_loss"], "auc": scores["all.auc"]}
    return Judged(families, everything, scores["constant"], len(y), data.n_groups)


def _cell(score: Score, sign: str = "") -> str:
    return f"{score.value:{sign}.3f} [{score.low:{sign}.3f}, {score.high:{sign}.3f}]"


if __name__ == "__main__":
    sys.exit(main())
