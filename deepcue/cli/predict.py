"""Predict the probability that a clip is fake, and show what it rests on.

For one clip, print the probability, the contributions of the cue families in log-odds, and what could not be measured.
For several clips, print one line per clip, the most probable fake first. Clips are measured in child processes; a
feature table (.parquet) is scored without measuring anything. The HTML page of a single clip (--report) shows at what
time and on which face the evidence lies, and every cue beside its values in genuine clips. Passages whose faces look
much more like a fake than the rest, as in a clip that was forged in part, are then also printed, and listed under
"passages" with --json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from deepcue import inputs
from deepcue.cli import flags, parsing, run_outcome, terminal, verdict_text
from ensemble.compatibility import check_families
from ensemble.model import Model
from ensemble.outputs import make_parent
from ensemble.store import LOCAL_MODEL, default_model, load_model
from ensemble.verdict import CONTEXT_FAMILIES, Verdict, judge, ranked
from ensemble.wording import model_line
from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.pipeline import examine, extract
from features.checksums import sha256_of
from features.errors import NotFoundError, without_credentials
from features.evidence import FACES_PER_SECOND, ClipEvidence
from features.table import read_table, write_table

if TYPE_CHECKING:
    from reports.clip_report import ClipFacts

EXAMPLE = "deepcue predict clip.mp4 --report clip.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("clips", help="a clip, a folder of clips, a CSV manifest, or a feature table")
    parser.add_argument(
        "--model", type=Path, help="model folder (default: artifacts/model if it exists, else the shipped model)"
    )
    flags.add_json(parser)
    parser.add_argument(
        "--report",
        type=flags.output_file,
        metavar="FILE.html",
        help="also write an HTML page that opens offline",
    )
    parser.add_argument(
        "--faces-per-second",
        type=flags.positive_number,
        default=FACES_PER_SECOND,
        metavar="N",
        help="with --report: face crops of each person that the networks score per second",
    )
    parser.add_argument("--no-faces", action="store_true", help="with --report: write the page without images")
    parser.add_argument(
        "--work",
        type=flags.output_folder,
        help="folder to keep the feature table in, so that an interrupted run can be resumed",
    )
    flags.add_limits(parser)
    flags.add_max_seconds(parser, of_model=True)
    flags.add_jobs(parser)
    flags.add_quiet(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what an interrupted run keeps."""
    if arguments.report and _is_clip(arguments.clips):
        return "nothing is kept; a single clip with --report is measured again from the start"
    return (
        run_outcome.goes_on(arguments.work)
        if arguments.work
        else "nothing is kept; with --work DIR finished clips would be"
    )


def _is_clip(data: str) -> bool:
    """Whether the data is a single clip, also one that was removed in the meantime."""
    try:
        return inputs.is_clip(data)
    except NotFoundError:
        return True


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    folder = arguments.model or default_model(LOCAL_MODEL)
    model = load_model(folder)
    if not inputs.is_table(arguments.clips):
        check_families(model.layout, str(folder))
    single = only_clip(arguments)
    table, evidence = measured(arguments, model, single)
    verdicts = ranked(judge(model, table))
    if arguments.report:
        facts = _facts(arguments, table, single) if len(verdicts) == 1 else None
        _write_report(arguments, verdicts, facts, evidence, model, folder)
    if arguments.json:
        clips = [_as_json(verdict, evidence) for verdict in verdicts]
        print(json.dumps({"model": str(folder), "clips": clips}, allow_nan=False))
    else:
        _print(arguments, verdicts, evidence, model, folder)
    if not inputs.is_table(arguments.clips):
        run_outcome.check_any_measured(table)


def _as_json(verdict: Verdict, evidence: ClipEvidence | None) -> dict[str, Any]:
    from reports.clip_report import notes
    from reports.passages import passages

    if evidence is None:
        return verdict.as_dict() | {"passages": None}
    standing_out = [passage.as_dict() for passage in passages(evidence)]
    return verdict.as_dict() | {"passages": standing_out, "notes": notes(verdict, evidence)}


def _print(
    arguments: argparse.Namespace,
    verdicts: Sequence[Verdict],
    evidence: ClipEvidence | None,
    model: Model,
    folder: Path,
) -> None:
    from reports.clip_report import notes as clip_notes

    width = terminal.terminal_width()
    if len(verdicts) == 1:
        indent, notes = verdict_text.INDENT, []
        lines = verdict_text.clip_lines(
            verdicts[0], notes=clip_notes(verdicts[0], evidence), mark=verdict_text.bar_mark(), width=width
        )
    else:
        indent, notes = "", verdict_text.list_notes(verdicts)
        lines = [*verdict_text.table_lines(verdicts), ""]
    for sentence in (*notes, model_line(model.manifest, folder)):
        lines += terminal.wrapped(sentence, width, first=indent)
    print("\n".join(lines))
    if arguments.report:
        print(f"report {arguments.report}")


def only_clip(arguments: argparse.Namespace) -> ClipEntry | None:
    """Return the clip, if the input is a single one; for a page, also the only clip of a manifest or folder.

    Raises
    ------
    DatasetError
        The input doesn't exist, or holds no clip.
    """
    data = arguments.clips
    if inputs.is_table(data):
        return None
    if inputs.is_clip(data):
        inputs.check_is_there(data)
        return ClipEntry(inputs.clip_name(data), inputs.absolute(data))
    clips = find_clips(data) if arguments.report else []
    return clips[0] if len(clips) == 1 else None


def measured(
    arguments: argparse.Namespace, model: Model, single: ClipEntry | None
) -> tuple[pa.Table, ClipEvidence | None]:
    """Return the table of the model's cues, and the evidence of a single clip that gets a page."""
    work = arguments.work
    if inputs.is_table(arguments.clips):
        return read_table(arguments.clips), None
    families = sorted({*model.layout.families, *CONTEXT_FAMILIES})
    out = work / "features.parquet" if work else None
    max_seconds = inputs.seconds_to_analyse(arguments.max_seconds, model)
    with terminal.clip_progress(quiet=arguments.quiet) as progress:
        if single is None or not arguments.report:
            data = arguments.clips if single is None else [single]
            table = extract(
                data,
                out=out,
                families=families,
                jobs=arguments.jobs,
                limits=flags.limits(arguments),
                max_seconds=max_seconds,
                progress=progress,
            )
            return table, None
        progress(0, 1, 0)
        table, evidence = examine(
            single,
            families=families,
            faces_per_second=arguments.faces_per_second,
            show_faces=not arguments.no_faces,
            limits=flags.limits(arguments),
            max_seconds=max_seconds,
        )
        progress(1, 1, int(evidence is None))
    if out is not None:
        make_parent(out)
        write_table(table, out)
    return table, evidence


def _facts(arguments: argparse.Namespace, table: pa.Table, single: ClipEntry | None) -> ClipFacts:
    from deepcue import __version__
    from reports.clip_report import ClipFacts

    return ClipFacts.of_row(
        table,
        sha256=_sha256(single.path) if single else "",
        command=command(arguments),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )


def _write_report(
    arguments: argparse.Namespace,
    verdicts: Sequence[Verdict],
    facts: ClipFacts | None,
    evidence: ClipEvidence | None,
    model: Model,
    folder: Path,
) -> None:
    from reports.clip_report import write_clip_report

    write_clip_report(
        arguments.report, verdicts, model.manifest, folder, facts=facts, evidence=evidence, faces=not arguments.no_faces
    )


def command(arguments: argparse.Namespace) -> str:
    """Return the command line that makes the same page, quoted for a shell."""
    words = ["deepcue", "predict", without_credentials(arguments.clips), "--report", str(arguments.report)]
    words += ["--model", str(arguments.model)] if arguments.model else []
    words += ["--no-faces"] if arguments.no_faces else []
    usual = parsing.Parser()
    add_arguments(usual)
    for name in ("faces_per_second", "timeout", "max_memory", "max_seconds"):
        if (value := getattr(arguments, name)) != usual.get_default(name):
            words += [f"--{name.replace('_', '-')}", f"{value:.12g}"]
    return shlex.join(words)


def _sha256(clip: str) -> str:
    """Return the SHA-256 of a local clip; empty for a URL and for a missing file."""
    return sha256_of(Path(clip)) if Path(clip).is_file() else ""
