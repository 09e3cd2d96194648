"""Train the forensic network: a base on stills and made forgeries, then fine-tuning on frames of clips.

    python -m training.faces.schedule --stills DIR --faces FILE --clips MANIFEST --out artifacts/cnn --minutes 90

Phases: ``base``, and ``residual``, which goes on from it on high-passed pictures, see no labelled clip; ``fold0``.. and
``residual_fold0``.. go on from them and each leave one fold of the clips out (no method and no person of it was seen;
with ``--leave-out people``, no person); ``final`` and ``residual_final`` see all. What these write is halfway, in
weight space, between before and after. A killed run goes on where its last checkpoint was when started again with
``--resume``. Progress goes to stderr and to ``<out>/<phase>.csv``. Four more commands use what was trained: ``python -m
training.faces.schedule oof --help``, ``scores --help``, ``stills --help`` and ``average --help``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import common
from training.faces.schedule import PHASES, train

EXAMPLE = "deepcue train-faces --stills stills/ --faces faces.parquet --clips manifest.csv --out artifacts/cnn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--stills", type=Path, required=True, help="folder of Parquet files of labelled stills")
    parser.add_argument("--faces", type=Path, required=True, help="Parquet file of real faces")
    parser.add_argument("--clips", type=Path, required=True, help="CSV manifest of labelled clips")
    parser.add_argument("--out", type=Path, default=Path("artifacts/cnn"), help="folder of weights, logs and cache")
    parser.add_argument("--minutes", type=float, default=120.0, help="for all phases together (default 120)")
    parser.add_argument(
        "--phases", default=",".join(phase.name for phase in PHASES), help="comma-separated, of: %(default)s"
    )
    parser.add_argument(
        "--leave-out",
        choices=("methods", "people"),
        default="methods",
        help="what no two folds share: people, or methods as well (default)",
    )
    parser.add_argument(
        "--hold-out",
        type=_part,
        metavar="K/N",
        help="hold out part K of N of the stills' people, not the usual few: N runs judge the recipe on all of them",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches (default 0: this one)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in --out")
    common.add_seed(parser)
    parser.add_argument("--start", type=Path, help="weights that the base starts from (default: those of ImageNet)")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    train(arguments)


def _part(text: str) -> tuple[int, int]:
    """``"1/3"`` as (1, 3)."""
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts) >= 2):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, as 1/3")
    return int(part), int(parts)
