"""Measure the cost of training at the challenge's size: ``python -m benchmarks.training``.

Run the full nested training on a synthetic table with the challenge's 119,146 clips, group sizes and class balance,
and 600 columns with missing blocks. The scores are meaningless, because the table is synthetic.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence

import numpy as np

from ensemble.folds import assign_folds
from ensemble.learners.registry import default_settings
from ensemble.train import train
from ensemble.training_set import Layout, TrainingSet, measured_rows

N_ROWS = 119_146  # DFDC training set (Dolhansky et al. 2020)
N_GROUPS_SHARE = 19_154 / N_ROWS  # number of its REAL clips, each the original of a group
FAKE_SHARE = 0.83
N_COLUMNS, N_FAMILIES = 600, 15
BLOCK_MISSING = 0.1  # fraction of clips in which a family is missing (no audio, face too small)
SIGNAL = 0.12  # shift of an informative column, in its standard deviations


def synthetic_table(n_rows: int, n_columns: int, *, seed: int = 0) -> TrainingSet:
    """Make a synthetic training set: one REAL and about five FAKE clips per group, varied people, missing blocks.

    Parameters
    ----------
    n_rows, n_columns
        Numbers of clips and cues.
    seed
        Random seed.
    """
    rng = np.random.default_rng(seed)
    n_groups = max(int(n_rows * N_GROUPS_SHARE), 10)
    first = np.arange(n_groups)
    group = np.sort(np.concatenate([first, rng.integers(0, n_groups, n_rows - n_groups)]))
    y = np.ones(n_rows, dtype=np.int64)
    y[np.searchsorted(group, first)] = 0
    y[rng.random(n_rows) < 0.01] = 0  # some originals appear twice
    family = np.sort(np.arange(n_columns) % N_FAMILIES)
    informative = np.where(rng.random(n_columns) < 0.3, SIGNAL * rng.standard_normal(n_columns), 0.0)
    X = rng.standard_normal((n_rows, n_columns), dtype=np.float32)
    for column in range(n_columns):
        person = rng.standard_normal(n_groups).astype(np.float32)
        X[:, column] += 0.7 * person[group] + np.float32(informative[column]) * (y - FAKE_SHARE)
    for number in range(N_FAMILIES):
        columns = np.flatnonzero(family == number)
        X[np.ix_(rng.random(n_rows) < BLOCK_MISSING, columns)] = np.nan
    names = [f"family{index:02d}.cue{number:03d}" for number, index in enumerate(family)]
    layout = Layout(tuple(names), {name.split(".")[0]: 1 for name in names})
    return TrainingSet(
        filename=[f"{row:06d}.mp4" for row in range(n_rows)],
        X=X,
        y=y,
        group=group.astype(np.int64),
        group_names=[str(number) for number in first],
        source=[""] * n_rows,
        measured=measured_rows(X, layout),
        layout=layout,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[N_ROWS], help="numbers of rows (default: 119146)")
    parser.add_argument("--columns", type=int, default=N_COLUMNS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    arguments = parser.parse_args(argv)
    print("SYNTHETIC DATA\n    rows  groups  wall s  CPU s  CPU ms/row  peak MiB  log loss")
    for n_rows in arguments.rows:
        print(bench(n_rows, arguments.columns, arguments.jobs, arguments.seed, arguments.quiet), flush=True)
    return 0


def bench(n_rows: int, n_columns: int, jobs: int, seed: int, quiet: bool) -> str:
    """Train on a synthetic table of ``n_rows`` and ``n_columns``; return a line of time, memory and log loss."""
    data = synthetic_table(n_rows, n_columns, seed=seed)
    fold = assign_folds(data.y, data.group, seed=seed)
    wall, cpu = time.perf_counter(), time.process_time()
    settings = default_settings(len(data), data.n_groups)
    _, evaluation = train(
        data, fold, settings=settings, seed=seed, jobs=jobs, progress=None if quiet else _print_progress
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loss = evaluation.scores["stack"]["log_loss"].value
    return (
        f"{n_rows:8d}{data.n_groups:8d}{wall:8.0f}{cpu:7.0f}{1000 * cpu / n_rows:12.2f}{peak:10.0f}"
        f"{loss:10.4f} (constant {evaluation.scores['constant']['log_loss'].value:.4f})"
    )


def _print_progress(done: int, total: int) -> None:
    print(f"\r{done}/{total} fits", end="" if done < total else "\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
