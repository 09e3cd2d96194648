"""Make synthetic speech from text by the synthesisers that are installed, as a table for `deepcue train-voice`.

Kokoro and Piper are networks: `make voice` installs their weights, the runtime onnxruntime and eSpeak NG's library,
which spells for them. flite, hts and diphone are the programs Flite and Festival with two of its voices; what is not
installed is left out with a warning. Each says the same English sentences. Thirty sounds of each take some ten minutes
on one core, nearly all of it Kokoro's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import common
from training.voice.spoken import write_spoken
from training.voice.synthesisers import SYNTHESISERS

EXAMPLE = "deepcue speak --out spoken.parquet"
N_SOUNDS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=common.output_file, required=True, help="Parquet file")
    parser.add_argument(
        "--systems", nargs="+", default=list(SYNTHESISERS), choices=list(SYNTHESISERS), help="which (default: all)"
    )
    parser.add_argument(
        "--sounds",
        type=common.positive_int,
        default=N_SOUNDS,
        help="of each system, at most 380 (default: %(default)s)",
    )
    common.add_seed(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    common.make_parent(arguments.out)
    counts = write_spoken(Path(arguments.out), arguments.systems, n=arguments.sounds, seed=arguments.seed)
    print(json.dumps({"sounds": counts}))
