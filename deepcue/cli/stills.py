"""A feature table of single-frame cues from labelled stills.

STILLS is a Parquet file, or a folder of them, with the columns ``video, label, group, jpeg`` (the bytes of a
JPEG), as face crops of the challenge are published. A still counts as a clip that stands still: what is said of
one frame becomes a column's median, and columns of change say nothing. So a new single-frame cue can be judged
on thousands of people in minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deepcue.cli import common
from extract.stills import FAMILIES, read_stills, stills_table
from features import table

EXAMPLE = "deepcue stills faces/ --out artifacts/stills.parquet --jobs 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("stills", type=Path, help="Parquet file or folder of them")
    parser.add_argument("--out", type=common.output_file, required=True, help="table to write")
    parser.add_argument("--families", default=",".join(FAMILIES), help="comma-separated (default: %(default)s)")
    common.add_jobs(parser)
    common.add_quiet(parser)
    parser.add_argument("--limit", type=common.positive_int, help="only the first so many")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    stills = read_stills(arguments.stills).slice(0, arguments.limit)
    families = common.names(arguments.families)
    with common.clip_progress(quiet=arguments.quiet) as progress:
        found = stills_table(stills, families, jobs=arguments.jobs, progress=progress)
    common.make_parent(arguments.out)
    table.write_table(found, arguments.out)
    print(f"{arguments.out}: {found.num_rows} stills")
