"""Generate synthetic speech from text with the installed synthesisers, as a table for `deepcue train-voice`.

Kokoro and Piper are networks: `make voice` installs their weights, the runtime onnxruntime, and eSpeak NG's library,
which converts text to phonemes. flite is the program Flite; hts and diphone are voices of the program Festival. A
synthesiser that is not installed is skipped with a warning. All synthesisers speak the same English sentences. Thirty
utterances of each take about ten minutes on one core, most of it for Kokoro.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepcue.cli import flags, terminal
from ensemble.outputs import make_parent
from training.voice.spoken import write_spoken
from training.voice.synthesisers import SYNTHESISERS

EXAMPLE = "deepcue speak --out spoken.parquet --systems piper,flite"
N_UTTERANCES = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=flags.output_file, required=True, help="Parquet file to write")
    parser.add_argument(
        "--systems",
        action=flags.NameList,
        known=list(SYNTHESISERS),
        default=list(SYNTHESISERS),
        help=f"comma-separated list of synthesisers (default: {','.join(SYNTHESISERS)})",
    )
    parser.add_argument(
        "--sounds",
        type=flags.positive_int,
        default=N_UTTERANCES,
        help="utterances of each system, at most 380 (default: %(default)s)",
    )
    flags.add_seed(parser)
    flags.add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    make_parent(arguments.out)
    with terminal.stage_progress(quiet=arguments.quiet) as progress:
        counts = write_spoken(
            Path(arguments.out), arguments.systems, n=arguments.sounds, seed=arguments.seed, progress=progress
        )
    print(json.dumps({"sounds": counts}))
