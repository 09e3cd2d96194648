"""Scores of the fold networks on the clips that each left out, pooled: as they are, re-encoded, and transcoded.

Prints a table; OUT/scores.json has the logit of every clip, too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from features.networks.efficientnet_lite import Detector
from forge.images.augment import PhotometricAugmentation
from training import folds
from training.faces import batches
from training.faces.scores import FRAMES, _summary_of, lines, out_of_fold_logits

EXAMPLE = "deepcue face-scores --out artifacts/cnn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=Path("artifacts/cnn"), help="folder that the training wrote")
    parser.add_argument(
        "--networks", default="fold", help="name of the phases without the number (default %(default)s)"
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="faces a clip (default %(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    cache = arguments.out / "cache"
    pool, coded = (batches.Pool(pq.read_table(cache / f"{name}.parquet")) for name in ("clips", "coded"))
    fold_of = {name: place.fold for name, place in folds.read(arguments.out / "clip_folds.csv").items()}
    networks = {
        fold: Detector(arguments.out / f"{arguments.networks}{fold}.safetensors") for fold in set(fold_of.values())
    }
    everything: dict[str, Any] = {}
    for name, some, quality in (
        ("as it is", pool, None),
        ("half size, CRF 32", pool, PhotometricAugmentation(reduction=0.5, h264_crf=32)),
        ("sent on", coded, None),
    ):
        everything[name] = _summary_of(some, out_of_fold_logits(some, fold_of, networks, arguments.frames, quality))
        print("\n".join([name, *lines(everything[name]), ""]))
    (arguments.out / "scores.json").write_text(json.dumps(everything, indent=1), encoding="utf-8")
