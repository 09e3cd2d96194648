"""Judge one clip or a folder: ``python -m ensemble.predict clip.mp4``.

Prints the probability of FAKE, the cue families that pushed it either way, and what could not be measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ensemble.apply import ExtractionError, check_families, default_model, measure, measure_clip
from ensemble.model import Model
from ensemble.verdict import NOTE, NOTHING, Verdict, judge, model_line, ranked
from features.errors import DatasetError, InputError
from features.spec import question

BAR_WIDTH = 16
LEAST_SHOWN = 0.005  # log-odds: a smaller one is printed as 0 and has no bar


def clip_lines(one: Verdict, *, mark: str = "█") -> list[str]:
    """What is printed of one clip."""
    lines = [
        one.filename,
        f"  P(FAKE) = {one.probability:.3f}   {one.verdict}",
        f"  {_facts(one)}",
    ]
    if one.error:
        lines.append(f"  remarks: {one.error}")
    if one.pushes:
        lines += ["", "  what pushed it, in log-odds", f"  {'':<18}{'REAL':>{BAR_WIDTH + 9}} | FAKE"]
        pushes = [*one.pushes, *([("(not measured)", one.push_unmeasured)] if one.unmeasured else [])]
        largest = max([abs(z) for _, z in pushes]) or 1.0
        lines += [_bar_line(name, z, largest, mark) for name, z in pushes]
        lines.append(f"  {'starting point':<18}{one.base:>+8.2f}")
        lines.append(f"  {'sum':<18}{one.base + sum(one.contributions.values()):>+8.2f}")
        asked = {name: question(name) for name, _ in one.pushes}
        lines += ["", "  what each asks", *(f"  {name:<18}{text}" for name, text in asked.items() if text)]
    if one.unmeasured and one.verdict != NOTHING:  # the remarks say what was wrong with the whole clip
        lines += ["", "  could not be measured"]
        lines += [f"  {name:<18}{reason}" for name, reason in one.unmeasured.items()]
    return [*lines, "", *(f"  {note}" for note in one.notes)]


def table_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """A line a clip, the most probably forged first."""
    rows = [("P(FAKE)", "verdict", "status", "people", "strongest cue", "clip")]
    rows += [
        (f"{one.probability:.3f}", one.verdict, one.status, str(one.n_people), _strongest(one), one.filename)
        for one in ranked(verdicts)
    ]
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    one = argparse.ArgumentParser(
        prog="python -m ensemble.predict",
        description="How probable it is that a clip was forged, and why.",
        epilog="example: python -m ensemble.predict clip.mp4 --report clip.html",
    )
    one.add_argument("video", metavar="VIDEO_OR_FOLDER", help="a clip, a folder of clips, or a CSV manifest")
    one.add_argument("--model", type=Path, help="model folder (default: artifacts/model, else the one that ships)")
    one.add_argument("--json", action="store_true", help="print JSON")
    one.add_argument("--report", type=Path, metavar="FILE.html", help="write a page that opens offline, too")
    one.add_argument("--work", type=Path, help="keep the feature table here, so that a long run can be resumed")
    one.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    one.add_argument("--quiet", action="store_true", help="no progress bar")
    return one


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 the user's input can't be used."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ExtractionError as error:
        return error.status
    return 0


def _run(arguments: argparse.Namespace) -> None:
    from ensemble.store import load_model

    folder = arguments.model or default_model()
    model = load_model(folder)
    check_families(model.layout.families, str(folder))
    if arguments.work:
        table = _measured(arguments, model, arguments.work)
    else:
        with tempfile.TemporaryDirectory(prefix="predict-") as work:
            table = _measured(arguments, model, Path(work))
    verdicts = ranked(judge(model, table))
    if arguments.report:
        from ensemble.report import write_clip_report

        write_clip_report(arguments.report, verdicts, model.manifest, folder)
    if arguments.json:
        print(json.dumps({"model": str(folder), "clips": [one.as_dict() for one in verdicts]}, allow_nan=False))
        return
    single = len(verdicts) == 1
    print("\n".join(clip_lines(verdicts[0], mark=_mark()) if single else [*table_lines(verdicts), "", NOTE]))
    print(f"{'  ' if single else ''}{model_line(model.manifest, folder)}")
    if arguments.report:
        print(f"report {arguments.report}")


def _measured(arguments: argparse.Namespace, model: Model, work: Path) -> pa.Table:
    video, families = arguments.video, sorted(model.layout.families)
    if "://" in video or Path(video).is_dir() or video.lower().endswith(".csv"):
        return measure(video, work / "features.parquet", families, jobs=arguments.jobs, quiet=arguments.quiet)
    if not Path(video).exists():
        raise DatasetError(f"{video}: no such file or folder; give a clip or a folder of clips")
    return measure_clip(Path(video), work, families, quiet=arguments.quiet)


def _facts(one: Verdict) -> str:
    people = "nobody" if one.n_people == 0 else f"{one.n_people} {'person' if one.n_people == 1 else 'people'}"
    length = "length unknown" if one.duration_s is None else f"{one.duration_s:.1f} s, {one.n_frames} frames"
    return f"{length}, {people}, status {one.status}"


def _strongest(one: Verdict) -> str:
    if not one.pushes:
        return "-"
    name, z = max(one.pushes, key=lambda push: abs(push[1]))
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


if __name__ == "__main__":
    sys.exit(main())
