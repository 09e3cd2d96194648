"""Out-of-fold predictions of AutoGluon on a table and the folds of a model, for `deepcue compare --against`.

    python benchmarks/autogluon_stack.py TABLE.parquet MODEL/folds.parquet --minutes 60 --out autogluon.csv

Runs in an environment of its own, for AutoGluon pins other versions than this project; it imports nothing from here:

    uv pip install 'autogluon.tabular[lightgbm,catboost,xgboost]==1.6.3' torch==2.13.0

AutoGluon bags and stacks over the folds given (``groups=``), so that no model judges people that it learned from. The
predictions of its last layer were weighted on themselves, which favours it a little. Its check for leaks between layers
(dynamic stacking) divides rows regardless of groups and is left out.
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
    """Fit, write the predictions, print seconds and the number of models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="features.parquet with labels")
    parser.add_argument("folds", type=Path, help="folds.parquet of a model that was trained on it")
    parser.add_argument("--minutes", type=float, default=60.0, help="that AutoGluon may take (default: %(default)s)")
    parser.add_argument("--preset", default="best_quality", help="of AutoGluon (default: %(default)s)")
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
    """Names of the rows that are in the folds, and by name their cues, ``label`` (1 for FAKE) and ``fold``."""
    fold_of = dict(zip(folds["filename"].to_pylist(), folds[FOLD].to_pylist(), strict=True))
    table = table.take([row for row, name in enumerate(table["filename"].to_pylist()) if name in fold_of])
    names = table["filename"].to_pylist()
    cues = [field.name for field in table.schema if "." in field.name]  # family.column; the rest is about the clip
    columns: dict[str, list[Any]] = {name: table[name].to_numpy() for name in cues}
    columns[LABEL] = [int(label == "FAKE") for label in table[LABEL].to_pylist()]
    columns[FOLD] = [fold_of[name] for name in names]
    return names, columns


def out_of_fold(columns: dict[str, list[Any]], *, minutes: float, preset: str) -> tuple[list[float], int]:
    """P(FAKE) of each row by AutoGluon's best model, out of fold, and how many models it fitted."""
    frame = importlib.import_module("pandas").DataFrame(columns)
    predictor_class = importlib.import_module("autogluon.tabular").TabularPredictor
    with tempfile.TemporaryDirectory() as folder:
        predictor = predictor_class(LABEL, eval_metric="log_loss", groups=FOLD, path=folder, verbosity=2)
        predictor.fit(frame, presets=preset, time_limit=60 * minutes, dynamic_stacking=False)
        p = predictor.predict_proba_oof()
        return [float(value) for value in p[1].loc[frame.index]], len(predictor.model_names())


if __name__ == "__main__":
    raise SystemExit(main())
