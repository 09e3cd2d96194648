"""Set the scale and the bound of a model with a single learner.

The folds of a table share manipulations, so predictions of unseen manipulations are less certain than these folds
suggest; `deepcue unseen-scores` measures by how much. A given scale and bound replace stack, calibration and OOD
shrinkage. The distance of the learner's log-odds from those of the training prior is multiplied by --scale, so that
clips without evidence keep the prior; probabilities are clipped to --bound and its complement. The scores of the stack
in the model folder are computed again; importances of families are removed. The scale of the shipped model, 1.1, was
set by hand, about log-odds of 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import flags
from deepcue.cli.train import score_lines
from ensemble.folds import FOLDS_FILE
from ensemble.out_of_fold import OOF_FILE
from ensemble.recalibrate import recalibrated
from ensemble.store import load_model, save_model
from features.errors import ModelError
from features.table import read_parquet

EXAMPLE = "deepcue recalibrate artifacts/model --scale 1.1 --bound 0.03"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=Path, help="model folder; it is overwritten")
    parser.add_argument(
        "--scale",
        type=float,
        required=True,
        help="factor on the distance of the log-odds from those of the training prior, above 0",
    )
    parser.add_argument("--bound", type=float, required=True, help="lowest probability, from 1e-12 to below 0.5")
    flags.add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    folder = arguments.model
    model = load_model(folder)
    files = [folder / name for name in (OOF_FILE, FOLDS_FILE)]
    if missing := [file for file in files if not file.is_file()]:
        raise ModelError(
            f"{missing[0]}: is missing, and a model is recalibrated on its out-of-fold predictions; train it again"
        )
    oof, folds = (read_parquet(file) for file in files)
    model, oof = recalibrated(model, oof, scale=arguments.scale, bound=arguments.bound)
    save_model(model, folder, {OOF_FILE: oof, FOLDS_FILE: folds})
    if not arguments.quiet:
        print("\n".join([*score_lines({"stack": model.manifest["metrics"]["stack"]}), "", f"model  {folder}"]))
