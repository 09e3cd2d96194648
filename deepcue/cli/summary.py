"""Print where the files of a run are, and the model's out-of-fold log loss: the last lines of `make demo`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ensemble.manifest import read_manifest
from features.errors import ModelError

EXAMPLE = "deepcue summary --table features.parquet --model model --submission submission.csv --report report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", type=Path, required=True, help="feature table of the training clips")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--submission", type=Path, required=True, help="submission file")
    parser.add_argument("--report", type=Path, required=True, help="HTML report of the model")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    line = score(read_manifest(arguments.model), arguments.model)
    print()
    for name in ("table", "model", "submission", "report"):
        print(f"{name:<11}{getattr(arguments, name)}")
    print(line)


def score(manifest: dict[str, Any], folder: Path) -> str:
    """One line: the stack's out-of-fold log loss with its interval, the constant predictor's, and the kind of data.

    Raises
    ------
    ModelError
        The manifest of ``folder`` lacks the scores.
    """
    try:
        summary, metrics = manifest["summary"], manifest["metrics"]
        loss, constant = metrics["stack"]["log_loss"], metrics["constant"]["log_loss"]
    except KeyError as error:
        raise ModelError(f"{folder}: its manifest lacks {error}; train the model again") from error
    kind = "SYNTHETIC data: it says nothing about real fakes" if summary["synthetic"] else summary["data"]
    return (
        f"out-of-fold log loss {loss['value']:.3f} [{loss['low']:.3f}, {loss['high']:.3f}], constant predictor "
        f"{constant['value']:.3f}; {summary['n_clips']} clips, {summary['n_groups']} groups ({kind})"
    )
