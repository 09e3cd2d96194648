"""Verdicts as text for a terminal: one clip with the contributions of its families, or a line for each of several."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from deepcue.cli import terminal
from ensemble.verdict import NOTHING, Verdict, ranked
from ensemble.wording import (
    NOTE,
    NOTE_FACES_OF_LIST,
    NOTE_LITTLE_OF_LIST,
    NOTE_NO_DETAIL_OF_LIST,
    NOTE_NO_FINDING,
    NOTE_NOTHING,
)
from features.discovery import describe
from features.file_names import printable
from reports.html import probability
from reports.series_words import length_in_words

BAR_WIDTH = 16
INDENT = "  "
LEAST_SHOWN = 0.005  # log-odds: a smaller one is printed as 0 and has no bar


def clip_lines(
    verdict: Verdict, *, notes: Sequence[str] | None = None, mark: str = "█", width: int | None = None
) -> list[str]:
    """Return the lines that are printed for one clip, sentences broken at ``width`` characters if it is given.

    ``notes`` replace those of the verdict, where more is known of the clip.
    """
    lines = [
        printable(verdict.filename),
        f"  P(FAKE) = {_probability(verdict)}   {verdict.verdict}",
        f"  {_summary(verdict)}",
    ]
    if verdict.messages:
        lines += terminal.wrapped(f"warnings: {'; '.join(verdict.messages)}", width, first=INDENT)
    if families := verdict.log_odds_by_family:
        lines += ["", "  contributions of the cue families, in log-odds", f"  {'':<18}{'REAL':>{BAR_WIDTH + 9}} | FAKE"]
        parts = families | ({"(not measured)": verdict.log_odds_unmeasured} if verdict.unmeasured else {})
        largest = max(1.0, *map(abs, parts.values()))  # so that small contributions have short bars
        lines += [_bar_line(name, z, largest, mark) for name, z in parts.items()]
        lines.append(f"  {'base value':<18}{verdict.base:>+8.2f}")
        if abs(verdict.log_odds_limit) >= LEAST_SHOWN:
            lines.append(f"  {'limit of the model':<18}{verdict.log_odds_limit:>+8.2f}")
        lines.append(f"  {'sum':<18}{verdict.log_odds:>+8.2f} {verdict.bound}".rstrip())
        described = {name: describe(name) for name in families}
        lines += ["", "  what each measures", *_described(described, width)]
    if verdict.unmeasured and verdict.verdict != NOTHING:  # else the warnings already say what was wrong
        lines += ["", "  could not be measured"]
        lines += _described(verdict.unmeasured, width)
    shown = verdict.notes if notes is None else notes
    shown = [NOTE_NO_FINDING if note == NOTE_NOTHING else note for note in shown]  # no number is printed
    return [*lines, "", *(line for note in shown for line in terminal.wrapped(note, width, first=INDENT))]


def table_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """Return one line per clip, the most probable FAKE first; then the reasons why clips were not measured."""
    rows = [("P(FAKE)", "verdict", "status", "faces", "strongest cue", "clip")]
    rows += [
        (
            _probability(verdict),
            verdict.verdict,
            verdict.status,
            str(verdict.n_faces),
            _strongest(verdict),
            printable(verdict.filename),
        )
        for verdict in ranked(verdicts)
    ]
    silent = [verdict for verdict in verdicts if verdict.verdict == NOTHING]
    reasons = [f"{printable(clip.filename)}: {NOTHING} ({clip.reason or clip.status})" for clip in silent]
    return [*terminal.table_lines(rows), *(["", *reasons] if reasons else [])]


def list_notes(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the notes below a list of clips."""
    measured_ones = [verdict for verdict in verdicts if verdict.verdict != NOTHING]
    several = [verdict for verdict in measured_ones if verdict.n_faces > 1]
    faces = [NOTE_FACES_OF_LIST.format(main_face=verdict.main_face) for verdict in several[:1]]
    little = [NOTE_LITTLE_OF_LIST] if any(verdict.little_notes for verdict in measured_ones) else []
    detail = [NOTE_NO_DETAIL_OF_LIST] if any(verdict.detail_notes for verdict in measured_ones) else []
    return [*faces, *little, *detail, NOTE]


def bar_mark() -> str:
    """Return the character that bars are made of: a block, or ``#`` where stdout can't print one."""
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#"
    return "█"


def _described(texts: Mapping[str, str], width: int | None) -> list[str]:
    """Return a line or more for each family that has a text."""
    first = {name: f"{INDENT}{name:<18}" for name, text in texts.items() if text}
    return [
        line
        for name, start in first.items()
        for line in terminal.wrapped(texts[name], width, first=start, rest=" " * len(start))
    ]


def _summary(verdict: Verdict) -> str:
    if verdict.audio_only and verdict.duration_s is not None:
        return f"{length_in_words(verdict.duration_s)} of audio, no video, status {verdict.status}"
    faces = "no face" if verdict.n_faces == 0 else f"{verdict.n_faces} {'face' if verdict.n_faces == 1 else 'faces'}"
    frames = f"{verdict.n_frames} {'frame' if verdict.n_frames == 1 else 'frames'}"
    length = "length unknown" if verdict.duration_s is None else f"{length_in_words(verdict.duration_s)}, {frames}"
    return f"{length}, {faces}, status {verdict.status}"


def _probability(verdict: Verdict) -> str:
    """The probability in three digits or more, marked if at the model's bound; a dash if nothing was measured."""
    return "-" if verdict.verdict == NOTHING else f"{probability(verdict.probability, 3)} {verdict.bound}".rstrip()


def _strongest(verdict: Verdict) -> str:
    if not verdict.log_odds_by_family:
        return "-"
    name, z = max(verdict.log_odds_by_family.items(), key=lambda pair: abs(pair[1]))
    return f"{name} {z:+.2f}"


def _bar_line(name: str, z: float, largest: float, mark: str) -> str:
    z = z if abs(z) >= LEAST_SHOWN else 0.0
    bar = mark * max(1, round(BAR_WIDTH * abs(z) / largest)) if z else ""
    left, right = (bar, "") if z < 0 else ("", bar)
    return f"  {name:<18}{z:>+8.2f} {left:>{BAR_WIDTH}} | {right}".rstrip()
