"""How probable it is that a clip is fake, and why.

Prints the probability, the contributions of the cue families in log-odds, and what could not be measured. Of several
clips it prints a line each, the most probable fake first. Clips are measured in child processes; a feature table
(.parquet) is judged as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from deepcue import inputs
from deepcue.cli import common
from ensemble.model import Model
from ensemble.store import LOCAL_MODEL, check_families, default_model, load_model
from ensemble.verdict import NOTE, NOTHING, Verdict, judge, model_line, ranked
from extract.dataset import Clip
from extract.pipeline import extract
from features.spec import describe
from features.table import read_table

EXAMPLE = "deepcue predict clip.mp4 --report clip.html"

BAR_WIDTH = 16
LEAST_SHOWN = 0.005  # log-odds: a smaller one is printed as 0 and has no bar


def clip_lines(one: Verdict, *, mark: str = "█") -> list[str]:
    """What is printed of one clip."""
    lines = [
        common.printable(one.filename),
        f"  P(FAKE) = {one.probability:.3f}   {one.verdict}",
        f"  {_facts(one)}",
    ]
    if one.error:
        lines.append(f"  remarks: {one.error}")
    if one.family_contributions:
        lines += ["", "  contributions of the cue families, in log-odds", f"  {'':<18}{'REAL':>{BAR_WIDTH + 9}} | FAKE"]
        family_contributions = [
            *one.family_contributions,
            *([("(not measured)", one.contribution_unmeasured)] if one.unmeasured else []),
        ]
        largest = max([abs(z) for _, z in family_contributions]) or 1.0
        lines += [_bar_line(name, z, largest, mark) for name, z in family_contributions]
        lines.append(f"  {'base value':<18}{one.base:>+8.2f}")
        lines.append(f"  {'sum':<18}{one.base + sum(one.contributions.values()):>+8.2f}")
        described = {name: describe(name) for name, _ in one.family_contributions}
        lines += ["", "  what each measures", *(f"  {name:<18}{text}" for name, text in described.items() if text)]
    if one.unmeasured and one.verdict != NOTHING:  # the remarks say what was wrong with the whole clip
        lines += ["", "  could not be measured"]
        lines += [f"  {name:<18}{reason}" for name, reason in one.unmeasured.items()]
    return [*lines, "", *(f"  {note}" for note in one.notes)]


def table_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """A line a clip, the most probably forged first."""
    rows = [("P(FAKE)", "verdict", "status", "faces", "strongest cue", "clip")]
    rows += [
        (
            f"{one.probability:.3f}",
            one.verdict,
            one.status,
            str(one.n_faces),
            _strongest(one),
            common.printable(one.filename),
        )
        for one in ranked(verdicts)
    ]
    return common.table_lines(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("clips", metavar="CLIPS", help="a clip, a folder of clips, a CSV manifest, or a feature table")
    parser.add_argument("--model", type=Path, help="model folder (default: artifacts/model, else the one that ships)")
    common.add_json(parser)
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write a page that opens offline, too")
    parser.add_argument("--work", type=Path, help="keep the feature table here, so that a long run can be resumed")
    common.add_jobs(parser)
    common.add_quiet(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module."""
    folder = arguments.model or default_model(LOCAL_MODEL)
    model = load_model(folder)
    options = {"work": arguments.work, "jobs": arguments.jobs, "quiet": arguments.quiet}
    table = measured(arguments.clips, model, str(folder), **options)
    verdicts = ranked(judge(model, table))
    if arguments.report:
        from reports.clip_report import write_clip_report

        write_clip_report(arguments.report, verdicts, model.manifest, folder)
    if arguments.json:
        print(json.dumps({"model": str(folder), "clips": [one.as_dict() for one in verdicts]}, allow_nan=False))
        return
    single = len(verdicts) == 1
    print("\n".join(clip_lines(verdicts[0], mark=_mark()) if single else [*table_lines(verdicts), "", NOTE]))
    print(f"{'  ' if single else ''}{model_line(model.manifest, folder)}")
    if arguments.report:
        print(f"report {arguments.report}")


def measured(clips: str, model: Model, where: str, *, work: Path | None, jobs: int, quiet: bool) -> pa.Table:
    """The model's cues of a clip, a data set or a table; ``where`` names the model in messages."""
    if inputs.is_table(clips):
        return read_table(clips)
    one_clip = inputs.is_clip(clips)
    check_families(model.layout.families, where)
    with common.clip_progress(quiet=quiet) as progress:
        return extract(
            [Clip(inputs.clip_name(clips), inputs.absolute(clips))] if one_clip else clips,
            out=work / "features.parquet" if work else None,
            families=model.layout.families,
            jobs=jobs,
            progress=progress,
        )


def _facts(one: Verdict) -> str:
    faces = "no face" if one.n_faces == 0 else f"{one.n_faces} {'face' if one.n_faces == 1 else 'faces'}"
    length = "length unknown" if one.duration_s is None else f"{one.duration_s:.1f} s, {one.n_frames} frames"
    return f"{length}, {faces}, status {one.status}"


def _strongest(one: Verdict) -> str:
    if not one.family_contributions:
        return "-"
    name, z = max(one.family_contributions, key=lambda pair: abs(pair[1]))
    return f"{name} {z:+.2f}"


def _bar_line(name: str, z: float, largest: float, mark: str) -> str:
    z = z if abs(z) >= LEAST_SHOWN else 0.0
    bar = mark * max(1, round(BAR_WIDTH * abs(z) / largest)) if z else ""
    left, right = (bar, "") if z < 0 else ("", bar)
    return f"  {name:<18}{z:>+8.2f} {left:>{BAR_WIDTH}} | {right}".rstrip()


def _mark() -> str:
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#"
    return "█"
