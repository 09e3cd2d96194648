"""Train the forensic network: a base on stills and made forgeries, then fine-tuning on frames of clips.

    python -m ensemble.cnn --stills DIR --faces FILE --clips MANIFEST --out artifacts/cnn --minutes 90

Phases: ``base``, and ``residual``, which goes on from it on high-passed pictures, see no labelled clip; ``fold0``.. and
``residual_fold0``.. go on from them and each leave one fold of the clips out (no method and no person of it was seen;
with ``--leave-out people``, no person); ``final`` and ``residual_final`` see all. What these write is halfway, in
weight space, between before and after. A killed run goes on where its last checkpoint was when started again with
``--resume``. Progress goes to stderr and to ``<out>/<phase>.csv``. Four more commands use what was trained: ``python -m
ensemble.cnn oof --help``, ``scores --help``, ``stills --help`` and ``average --help``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ensemble import cnn_data
from ensemble.cnn_data import Mix
from ensemble.cnn_run import Data, Phase, Run, average
from features.errors import InputError

logger = logging.getLogger(__name__)

UNLABELLED = Mix(labels=6, made=6, clips=0, drawn=4)
FINE = Mix(labels=4, made=3, clips=7, drawn=2)


def _on_clips(start: str, prefix: str, share: float, front: str) -> list[Phase]:
    """Fine-tuning of one network on frames of clips: without each fold, then on all."""
    left_out: list[int | None] = [*range(cnn_data.N_FOLDS), None]
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


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 done, 2 the user's input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["oof"]:
        from ensemble import cnn_oof

        return cnn_oof.main(arguments[1:])
    if arguments[:1] == ["scores"]:
        from ensemble import cnn_scores

        return cnn_scores.main(arguments[1:])
    if arguments[:1] == ["stills"]:
        from ensemble import cnn_stills

        return cnn_stills.main(arguments[1:])
    if arguments[:1] == ["average"]:
        return average_main(arguments[1:])
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        train(options)
    except InputError as error:
        logger.error("%s", error)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ensemble.cnn", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="weights that the base starts from (default: those of ImageNet)")
    return parser


def _part(text: str) -> tuple[int, int]:
    """``"1/3"`` as (1, 3)."""
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts) >= 2):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, as 1/3")
    return int(part), int(parts)


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


def average_main(arguments: Sequence[str]) -> int:
    """Average the weights of runs that started from the same base: one network, steadier than each."""
    parser = argparse.ArgumentParser(prog="python -m ensemble.cnn average", description=average_main.__doc__)
    parser.add_argument("weights", type=Path, nargs="+", help="files that the training wrote")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    try:
        average(options.weights, options.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
