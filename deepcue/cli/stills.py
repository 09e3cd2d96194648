"""Measure single-frame cues on labelled stills and write them as a feature table.

STILLS is a Parquet file, or a folder of Parquet files, with the columns ``video, label, group, jpeg`` (the bytes of a
JPEG, PNG or WebP), the format in which face crops of the challenge are published. A still is measured as a clip
without motion: the value of the single frame becomes a column's median; columns of change over time are 0 or
undefined, so leave them out. This evaluates a new single-frame cue on thousands of people in minutes. Stills are
assumed to be face crops: if no face is found, the middle of the still is measured as the face.

``--networks`` gives folders of `deepcue train-faces` runs that held out different folds of the stills' identities
(``--hold-out 1/2`` and ``2/2``). Families of face networks are then measured on each still by the network that was not
trained on its people, so that a model can be fitted on these columns. The network reads the middle of a still, as in
training, in eight views (framed wider and closer, mirrored), so that means and spreads over faces are means and
spreads over views. ``--into`` adds the columns to a table of the same stills.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import flags, terminal
from ensemble.outputs import make_parent
from extract.stills import FAMILIES, read_stills, stills_table
from features import table
from features.errors import InputError, UnreadableError
from training.faces.index import STILL_SHARE
from training.stills_columns import of_stills

EXAMPLE = "deepcue stills faces/ --out artifacts/stills.parquet --jobs 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("stills", type=Path, help="Parquet file, or folder of Parquet files")
    parser.add_argument("--out", type=flags.output_file, required=True, help="feature table to write (Parquet)")
    parser.add_argument("--families", type=flags.names, default=list(FAMILIES), help="comma-separated cue families")
    flags.add_jobs(parser)
    flags.add_quiet(parser)
    parser.add_argument(
        "--networks",
        type=Path,
        nargs="+",
        help="folders of training runs, each of which held out a different fold of the stills",
    )
    parser.add_argument("--phase", default="labels", help="phase whose network in each run is used")
    parser.add_argument("--into", type=Path, help="table of these stills to add the columns to")
    parser.add_argument("--limit", type=flags.positive_int, help="measure only the first LIMIT stills (default: all)")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    table.check_place(arguments.out)
    stills = read_stills(arguments.stills).slice(0, arguments.limit)
    into = table.read_table(arguments.into) if arguments.into else None
    if into is not None and not {*into["filename"].to_pylist()} & {*stills["video"].to_pylist()}:
        raise InputError(f"{arguments.into}: holds none of these stills; give the table of the same stills")
    with terminal.clip_progress(quiet=arguments.quiet) as progress:
        if arguments.networks:
            measured = of_stills(
                stills, arguments.networks, arguments.phase, arguments.families, jobs=arguments.jobs, progress=progress
            )
        else:
            measured = stills_table(
                stills, arguments.families, missed_share=STILL_SHARE, jobs=arguments.jobs, progress=progress
            )
    if all(status == UnreadableError.status for status in measured["status"].to_pylist()):
        raise InputError(
            f"{arguments.stills}: no still can be decoded ({measured['error'][0].as_py()}); check its images"
        )
    if into is not None:
        measured = table.with_columns(into, measured)
    make_parent(arguments.out)
    table.write_table(measured, arguments.out)
    print(f"{arguments.out}: {measured.num_rows} stills")
