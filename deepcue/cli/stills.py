"""A feature table of single-frame cues from labelled stills.

STILLS is a Parquet file, or a folder of them, with the columns ``video, label, group, jpeg`` (the bytes of a
JPEG, PNG or WebP), as face crops of the challenge are published. A still is measured as a clip without motion: what
holds for the one frame becomes a column's median; columns of change are 0 or undefined, so leave them out. A new
single-frame cue can be judged on thousands of people in minutes. Stills are taken to be face crops: where no face is
found, the middle of the still is measured as one.

``--networks`` gives folders of `deepcue train-faces` runs that held out different folds of the stills' identities
(``--hold-out 1/2`` and ``2/2``): families of face networks are then measured on each still by the network that did not
see its people, so that a model may be fitted on them; it sees the middle of a still, as in training, in eight views
(framed wider and closer, mirrored), so that means and spreads over faces are those over views. ``--into`` adds the
columns to a table of the same stills.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import common
from extract.stills import FAMILIES, read_stills, stills_table
from features import table
from features.errors import InputError, UnreadableError
from training.faces.index import STILL_SHARE
from training.stills_columns import out_of_fold

EXAMPLE = "deepcue stills faces/ --out artifacts/stills.parquet --jobs 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("stills", type=Path, help="Parquet file or folder of them")
    parser.add_argument("--out", type=common.output_file, required=True, help="table to write")
    parser.add_argument("--families", default=",".join(FAMILIES), help="comma-separated")
    common.add_jobs(parser)
    common.add_quiet(parser)
    parser.add_argument(
        "--networks",
        type=Path,
        nargs="+",
        help="folders of training runs, each of which held out another fold of the stills",
    )
    parser.add_argument("--phase", default="labels", help="phase whose network in each run is used")
    parser.add_argument("--into", type=Path, help="table of these stills to add the columns to")
    parser.add_argument("--limit", type=common.positive_int, help="only the first LIMIT stills")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    table.check_place(arguments.out)
    stills = read_stills(arguments.stills).slice(0, arguments.limit)
    families = common.names(arguments.families)
    into = table.read_table(arguments.into) if arguments.into else None
    if into is not None and not {*into["filename"].to_pylist()} & {*stills["video"].to_pylist()}:
        raise InputError(f"{arguments.into}: none of these stills is in it; give the table of the same stills")
    with common.clip_progress(quiet=arguments.quiet) as progress:
        if arguments.networks:
            found = out_of_fold(
                stills, arguments.networks, arguments.phase, families, jobs=arguments.jobs, progress=progress
            )
        else:
            found = stills_table(stills, families, missed_share=STILL_SHARE, jobs=arguments.jobs, progress=progress)
    if all(status == UnreadableError.status for status in found["status"].to_pylist()):
        raise InputError(f"{arguments.stills}: no still can be read ({found['error'][0].as_py()}); see to its pictures")
    if into is not None:
        found = table.with_columns(into, found)
    common.make_parent(arguments.out)
    table.write_table(found, arguments.out)
    print(f"{arguments.out}: {found.num_rows} stills")
