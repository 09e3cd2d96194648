"""Make out-of-fold predictions with AutoGluon on a table and the folds of a model, for `deepcue compare --against`.

    python benchmarks/autogluon_stack.py TABLE.parquet MODEL/folds.parquet --minutes 60 --out autogluon.csv

Run it in a separate environment, because AutoGluon pins other versions than this project; it imports nothing from here:

    uv pip install 'autogluon.tabular[lightgbm,catboost,xgboost]==1.6.3' torch==2.13.0

AutoGluon bags and stacks over the given folds (``groups=``), so that no model scores people that it was trained on. The
weights of its last layer were fitted to the same predictions, which favours AutoGluon a little. Its check for leaks
between layers (dynamic stacking) splits rows regardless of groups, and is disabled.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FOLD, LABEL = "fold", "label"


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, write the predictions, and print seconds and the number of models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="features.parquet with labels")
    parser.add_argument("folds", type=Path, help="folds.parquet of a model that was trained on the table")
    parser.add_argument("--minutes", type=float, default=60.0, help="time limit of AutoGluon (default: %(default)s)")
    parser.add_argument("--preset", default="best_quality", help="preset of AutoGluon (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="CSV file `filename,label` to write")
    arguments = parser.parse_args(argv)
    names, columns = training_columns(pq.read_table(arguments.table), pq.read_table(arguments.folds))
    wall, cpu = time.monotonic(), time.process_time()
    p, models = out_of_fold(columns, minutes=arguments.minutes, preset=arguments.preset)
    seconds = {"seconds": round(time.monotonic() - wall), "cpu_seconds": round(time.process_time() - cpu)}
    with arguments.out.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([["filename", "label"], *zip(names, p, strict=True)])
    print(json.dumps({"rows": len(names), "columns": len(columns) - 2, "models": models} | seconds))
    return 0


def training_columns(table: pa.Table, folds: pa.Table) -> tuple[list[str], dict[str, list[Any]]]:
    """Return the names of the rows in the folds, and their columns: cues, ``label`` (1 for FAKE) and ``fold``."""
    fold_of = dict(zip(folds["filename"].to_pylist(), folds[FOLD].to_pylist(), strict=True))
    table = table.take([row for row, name in enumerate(table["filename"].to_pylist()) if name in fold_of])
    names = table["filename"].to_pylist()
    cues = [field.name for field in table.schema if "." in field.name]  # family.column; other columns describe the clip
    columns: dict[str, list[Any]] = {name: table[name].to_numpy() for name in cues}
    columns[LABEL] = [int(label == "FAKE") for label in table[LABEL].to_pylist()]
    columns[FOLD] = [fold_of[name] for name in names]
    return names, columns


def out_of_fold(columns: dict[str, list[Any]], *, minutes: float, preset: str) -> tuple[list[float], int]:
    """Return out-of-fold P(FAKE) of each row by AutoGluon's best model, and the number of fitted models."""
    frame = importlib.import_module("pandas").DataFrame(columns)
    predictor_class = importlib.import_module("autogluon.tabular").TabularPredictor
    with tempfile.TemporaryDirectory() as folder:
        predictor = predictor_class(LABEL, eval_metric="log_loss", groups=FOLD, path=folder, verbosity=2)
        predictor.fit(frame, presets=preset, time_limit=60 * minutes, dynamic_stacking=False)
        p = predictor.predict_proba_oof()
        return [float(value) for value in p[1].loc[frame.index]], len(predictor.model_names())


if __name__ == "__main__":
    raise SystemExit(main())
