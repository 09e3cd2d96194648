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
import json
import logging

from features.errors import InputError
from training import folds
from training.faces.batches import Mix
from training.faces.trainer import Data, Phase, Run

logger = logging.getLogger(__name__)

UNLABELLED = Mix(labels=6, made=6, clips=0, drawn=4)
FINE = Mix(labels=4, made=3, clips=7, drawn=2)


def _on_clips(start: str, prefix: str, share: float, front: str) -> list[Phase]:
    """Fine-tuning of one network on frames of clips: without each fold, then on all."""
    left_out: list[int | None] = [*range(folds.N_FOLDS), None]
    return [
        Phase(
            f"{prefix}{'final' if fold is None else f'fold{fold}'}", share, 4e-4, FINE, fold, front=front, start=start
        )
        for fold in left_out
    ]


PHASES = (
    Phase("base", 0.28, 1e-3, UNLABELLED, start=""),
    *_on_clips("base", "", 0.08, "rgb"),
    Phase("residual", 0.2, 1e-3, UNLABELLED, front="residual"),
    *_on_clips("residual", "residual_", 0.05, "residual"),
)


def train(options: argparse.Namespace) -> None:
    """Run the phases asked for; each writes ``<phase>.safetensors``."""
    import torch

    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = options.phases.split(",")
    if unknown := set(wanted) - {phase.name for phase in PHASES}:
        raise InputError(f"--phases names {sorted(unknown)[0]!r}; known are {', '.join(p.name for p in PHASES)}")
    data = Data(options)
    for phase in PHASES:
        if phase.name not in wanted or (options.resume and (options.out / f"{phase.name}.safetensors").exists()):
            continue
        started = Run(phase, data, options)
        started.go()
        print(json.dumps({"phase": phase.name, **started.measured()}))
