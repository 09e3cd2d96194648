"""Judge one clip or a folder: ``python -m ensemble.predict clip.mp4``.

Prints the probability of FAKE, the cue families that pushed it either way, and what could not be measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ensemble.apply import ExtractionError, check_families, default_model, measure, measure_clip, unmeasured_families
from ensemble.model import Model
from features.errors import DatasetError, InputError

# "Likely" and "unlikely" as the IPCC's calibrated language has them (Mastrandrea et al. 2010): above 66 %,
# below 33 %. The words are of the probability at the model's target prior.
LIKELY_REAL_BELOW, LIKELY_FAKE_ABOVE = 1 / 3, 2 / 3
LIKELY_REAL, UNCERTAIN, LIKELY_FAKE, NOTHING = "likely real", "uncertain", "likely fake", "nothing measured"
NOTE = "A score is evidence, not proof: it says how clips with such cues fell out in training, nothing about intent."
NOTE_NOTHING = "Nothing could be measured in this clip: the number is the assumed share of FAKE, no finding."
NOTE_PEOPLE = "{n} people are in the clip and one of them may be the forged one: the cues are mainly the main person's."
BAR_WIDTH = 16


@dataclass(frozen=True)
class Verdict:
    """What is said of one clip.

    ``contributions`` and ``base`` are log-odds towards FAKE whose sum is the logit of ``probability``.
    ``unmeasured`` gives a reason for each family without a defined cue.
    """

    filename: str
    probability: float
    verdict: str
    status: str
    error: str
    n_people: int
    duration_s: float | None
    n_frames: int
    base: float
    contributions: dict[str, float] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)

    @property
    def pushes(self) -> list[tuple[str, float]]:
        """Family and log-odds of the measured families, those towards FAKE first."""
        measured = [(name, z) for name, z in self.contributions.items() if name not in self.unmeasured]
        return sorted(measured, key=lambda one: (-one[1], one[0]))

    @property
    def push_unmeasured(self) -> float:
        """Log-odds that come from families being unmeasured."""
        return sum(self.contributions.get(name, 0.0) for name in self.unmeasured)

    @property
    def notes(self) -> list[str]:
        """Sentences that belong beside the number."""
        if self.verdict == NOTHING:
            return [NOTE_NOTHING]
        people = [NOTE_PEOPLE.format(n=self.n_people)] if self.n_people > 1 else []
        return [*people, NOTE]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "filename": self.filename,
            "probability": self.probability,
            "verdict": self.verdict,
            "status": self.status,
            "error": self.error,
            "n_people": self.n_people,
            "duration_s": self.duration_s,
            "n_frames": self.n_frames,
            "log_odds_base": self.base,
            "log_odds_by_family": dict(self.pushes),
            "log_odds_unmeasured": self.push_unmeasured,
            "unmeasured": self.unmeasured,
            "notes": self.notes,
        }


def verdict_of(probability: float) -> str:
    """``likely real`` below one third, ``likely fake`` above two thirds, else ``uncertain``."""
    if probability < LIKELY_REAL_BELOW:
        return LIKELY_REAL
    return LIKELY_FAKE if probability > LIKELY_FAKE_ABOVE else UNCERTAIN


def judge(model: Model, table: pa.Table) -> list[Verdict]:
    """A verdict for each row of a feature table, in its order.

    Raises
    ------
    ModelError
        The table's families or columns are not the model's.
    """
    from scipy.special import expit

    told = model.explain(table)
    probability = expit(told.log_odds)
    unmeasured = unmeasured_families(table)
    rows = table.select(["filename", "status", "error", "n_faces", "duration_s", "n_frames"]).to_pylist()
    known = set(told.contributions)
    verdicts = []
    for number, row in enumerate(rows):
        absent = {name: reason for name, reason in unmeasured[number].items() if name in known}
        duration = row["duration_s"]
        verdicts.append(
            Verdict(
                filename=row["filename"],
                probability=float(probability[number]),
                verdict=NOTHING if known <= absent.keys() else verdict_of(float(probability[number])),
                status=row["status"],
                error=row["error"] or "",
                n_people=int(row["n_faces"] or 0),
                duration_s=duration if duration is not None and math.isfinite(duration) else None,
                n_frames=int(row["n_frames"] or 0),
                base=float(told.base[number]),
                contributions={name: float(z[number]) for name, z in told.contributions.items()},
                unmeasured=absent,
            )
        )
    return verdicts


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


def ranked(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Sorted by probability, highest first; equal ones by name; clips without a finding last."""
    return sorted(verdicts, key=lambda one: (one.verdict == NOTHING, -one.probability, one.filename))


def model_line(manifest: dict[str, Any], folder: Path) -> str:
    """Which model speaks, what it was trained on and how well it did there."""
    summary = manifest.get("summary", {})
    kind = "SYNTHETIC clips" if summary.get("synthetic") else "clips"
    text = f"model {folder}: trained on {summary.get('n_clips', '?')} {kind} of {summary.get('n_groups', '?')} groups"
    scores = manifest.get("metrics", {})
    try:
        stack, constant = scores["stack"]["log_loss"]["value"], scores["constant"]["log_loss"]["value"]
        return f"{text}; log loss out of fold {stack:.3f}, of the constant predictor {constant:.3f}"
    except (KeyError, TypeError):
        return text


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
