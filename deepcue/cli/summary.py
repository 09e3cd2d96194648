"""The last lines of `make demo`: where everything is, and the out-of-fold log loss."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

EXAMPLE = "deepcue summary --table features.parquet --model model --submission submission.csv --report report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--submission", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    print()
    for name in ("table", "model", "submission", "report"):
        print(f"{name:<11}{getattr(arguments, name)}")
    manifest = json.loads((arguments.model / "manifest.json").read_text())
    print(score(manifest))


def score(manifest: dict) -> str:
    """One line: the stack's out-of-fold log loss, its interval, the constant predictor, and what data it is of."""
    summary, metrics = manifest["summary"], manifest["metrics"]
    loss, constant = metrics["stack"]["log_loss"], metrics["constant"]["log_loss"]
    kind = "SYNTHETIC data: it says nothing about real forgeries" if summary["synthetic"] else summary["data"]
    return (
        f"out-of-fold log loss {loss['value']:.3f} [{loss['low']:.3f}, {loss['high']:.3f}], constant predictor "
        f"{constant['value']:.3f}; {summary['n_clips']} clips, {summary['n_groups']} groups ({kind})"
    )
