"""Extract a feature table from a data set: one row per clip, even for clips that cannot be decoded.

DATA is a folder in the challenge's layout (metadata.json with labels and originals), a plain folder of clips, a CSV
manifest (filename,label,group), or a URL of one of these. After an interruption, run the same command again: only the
missing clips are measured.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

from deepcue.cli import flags, run_outcome, terminal
from extract.output_places import journal_of
from extract.pipeline import extract
from features.errors import without_credentials

EXAMPLE = "deepcue extract train_videos --out artifacts/features.parquet --jobs 8"
BESIDE = "OUT.journal; in the current folder if OUT is a URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("data", help="folder, CSV manifest, or URL (file://, s3://, ...)")
    parser.add_argument("--out", required=True, help="feature table to write: path or URL of a Parquet file")
    parser.add_argument(
        "--observations",
        default="",
        help="folder or URL to keep observations in; later runs measure from them without decoding",
    )
    flags.add_jobs(parser)
    parser.add_argument("--families", type=flags.names, help="comma-separated cue families (default: all)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)  # the default, for scripts that say so
    start.add_argument("--fresh", action="store_true", help="measure every clip again, not only the missing ones")
    flags.add_limits(parser)
    flags.add_max_seconds(parser)
    parser.add_argument(
        "--scheduler", default="", help="address of a Dask scheduler (tcp://host:8786) whose workers measure"
    )
    parser.add_argument(
        "--endpoint-url", default="", help="URL of the S3 endpoint, for example of IBM Cloud Object Storage"
    )
    parser.add_argument("--journal", default="", help=f"file that records finished clips (default: {BESIDE})")
    flags.add_quiet(parser)
    flags.add_json(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what an interrupted run keeps."""
    return run_outcome.goes_on(arguments.journal or journal_of(arguments.out), fresh=arguments.fresh)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    with terminal.clip_progress(quiet=arguments.quiet) as progress:
        table = extract(
            arguments.data,
            out=arguments.out,
            families=arguments.families or None,
            jobs=arguments.jobs,
            observations=arguments.observations,
            journal=arguments.journal or None,
            fresh=arguments.fresh,
            limits=flags.limits(arguments),
            max_seconds=arguments.max_seconds,
            scheduler=arguments.scheduler,
            storage_options={"endpoint_url": arguments.endpoint_url} if arguments.endpoint_url else {},
            progress=progress,
        )
    counts = Counter(table.column("status").to_pylist())
    out = without_credentials(arguments.out)
    if arguments.json:
        summary = {"table": out, "clips": table.num_rows, "columns": table.num_columns, "status": counts}
        print(json.dumps(summary))
    else:
        states = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        print(f"{out}: {table.num_rows} clips, {table.num_columns} columns ({states})")
        for line in run_outcome.failure_lines(table, fresh=arguments.fresh):
            print(line)
    run_outcome.check_any_measured(table)
