"""The page of one clip, and the list of several.

The page of a clip holds the verdict and what it means, when and on whom the evidence lies, the cues beside genuine
clips, what could not be measured, and what made it. One file opens offline: style, script and images are in it.

A server shows the same page with ``assets``, under a Content-Security-Policy without inline script or style (images
are ``data:`` URIs: ``img-src 'self' data:``), and puts a player into it. Script beside the page speaks with the
timeline through two events on ``document`` and one object, see ``static/clip.js``.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ensemble.missingness import SENTENCES, unmeasured_families
from ensemble.verdict import LIKELY_FAKE_ABOVE, LIKELY_REAL_BELOW, NOTHING, SAID_BY_STATUS, Verdict
from ensemble.wording import NOTE_NO_FINDING, NOTE_PEAK, model_line, track_record
from features.checksums import sha256_of
from features.discovery import families
from features.evidence import ClipEvidence, Person
from features.reasons import Reason
from features.spec import AUDIO_ONLY, family_modules, is_share, lacking
from features.table import description, feature_columns, table_families
from reports import norms
from reports.base_rates import base_rates, odds_in_words
from reports.cue_positions import CENTRAL, FamilyPositions, columns_read, positions
from reports.faces import covered_s, data_uri, people, seen_together
from reports.html import render as render_template
from reports.html import static_text, write_page
from reports.passages import passages_note
from reports.series_words import MINUTE_S, clock
from reports.timeline import blanks, timeline

STATUS_WORDS = {
    "ok": "measured without faults",
    "partial": "measured in part",
    "no_face": "no face was found",
    "no_audio": "without audio",
    "unreadable": "could not be read",
    "too_short": "too short for cues of motion",
    "timeout": "took too long to measure",
    "crashed": "could not be measured",
}
NOTE_MAIN = "Several people are in the clip; Person 1 is the main face. {main_face} Look at all of them."
NOTE_APART = (
    "No two of the tracked faces are seen at the same time: they may be several people, or one person in several "
    "shots. Person 1 is the main face. {main_face} Look at all of them."
)
LEAST_NAMED, MOST_NAMED = 0.1, 3  # of the contributions beside the verdict: log-odds, and families on each side
MUCH = 0.8  # fraction of the clip: the page reports if tracked faces are seen for less


@dataclass(frozen=True)
class ClipFacts:
    """The facts on a page that are not part of the verdict or the evidence."""

    values: Mapping[str, float] = field(default_factory=dict)
    """Column to value, of every family that was measured; undefined ones may be left out."""
    versions: Mapping[str, int] = field(default_factory=dict)
    """Family to version."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Family to the SHA-256 of its weights."""
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    """Family without a defined cue to the reason, also of families that the model does not use."""
    sha256: str = ""
    """Of the clip's file; empty where unknown."""
    command: str = ""
    """The command that made the page, ready to paste."""
    made: str = ""
    """When the page was made, in words."""
    version: str = ""
    """Version of deepcue."""

    @classmethod
    def of_row(cls, table: pa.Table, **facts: str) -> ClipFacts:
        """Return the facts of the first row of a feature table; ``facts`` are the fields that a table lacks."""
        values = {name: table.column(name)[0].as_py() for name in feature_columns(table)}
        return cls(
            values={name: value for name, value in values.items() if value is not None and math.isfinite(value)},
            versions=table_families(table),
            weights=description(table).get("weights", {}),
            unmeasured=unmeasured_families(table)[0],
            **facts,
        )


@dataclass(frozen=True)
class Served:
    """The parts that a server adds to the page of a clip."""

    assets: str = ""
    """URL under which ``clip.css`` and ``clip.js`` of ``reports/static`` are served, with a slash at its end; when
    empty they are written into the page."""
    styles: Sequence[str] = ()
    """URLs of further style sheets."""
    scripts: Sequence[str] = ()
    """URLs of further scripts; they run after ``clip.js``."""
    player: str = ""
    """Trusted HTML above the timeline."""
    navigation: str = ""
    """Trusted HTML above the title."""


def write_clip_report(
    out: Path,
    verdicts: Sequence[Verdict],
    manifest: Mapping[str, Any],
    folder: Path,
    *,
    facts: ClipFacts | None = None,
    evidence: ClipEvidence | None = None,
    faces: bool = True,
) -> None:
    """Write the page of one clip, or the list of several.

    Parameters
    ----------
    out
        HTML file.
    verdicts
        In the order in which they are shown.
    manifest, folder
        Of the model.
    facts, evidence, faces
        Of a single clip, as :func:`clip_page` takes them.

    Raises
    ------
    InputError
        The file can't be written.
    """
    if len(verdicts) == 1:
        context = clip_context(verdicts[0], manifest, folder, facts=facts, evidence=evidence, faces=faces)
        write_page(out, "clip.html.j2", context)
        return
    context = {
        "clips": [(verdict, what_happened(verdict)) for verdict in verdicts],
        "status_words": STATUS_WORDS,
        "manifest": manifest,
        "css": static_text("clip.css"),
        **_of_model(manifest, folder),
    }
    write_page(out, "clips.html.j2", context)


def clip_page(verdict: Verdict, manifest: Mapping[str, Any], folder: Path, **options: Any) -> str:
    """Render the page of one clip, for a server; the parameters are those of :func:`clip_context`."""
    return render_template("clip.html.j2", clip_context(verdict, manifest, folder, **options))


def clip_context(
    verdict: Verdict,
    manifest: Mapping[str, Any],
    folder: Path,
    *,
    facts: ClipFacts | None = None,
    evidence: ClipEvidence | None = None,
    faces: bool = True,
    served: Served | None = None,
) -> dict[str, Any]:
    """Return the context of the template ``clip.html.j2``.

    Parameters
    ----------
    verdict
        On the clip.
    manifest, folder
        Of the model.
    facts
        Of the measurement; without them nothing is said of norms, versions and checksums of weights.
    evidence
        Of the clip over time; without it the page has no timeline and no faces.
    faces
        False leaves every image out: frames, faces, maps.
    served
        What a server puts around it; by default the page is one file that opens offline.
    """
    served = served or Served()
    facts = facts or ClipFacts(unmeasured=verdict.unmeasured)
    if evidence is not None and not faces:
        evidence = without_images(evidence)
    used = list(manifest.get("families", {}) or verdict.contributions)
    drawn = timeline(evidence, used) if evidence is not None else None
    strip = [(t, data_uri(jpeg)) for t, jpeg in evidence.filmstrip if jpeg] if evidence is not None else []
    return {
        "verdict": verdict,
        "manifest": manifest,
        "facts": facts,
        "faces": faces,
        "what_happened": what_happened(verdict),
        "notes": notes(verdict, evidence),
        "main_contributions": main_contributions(verdict),
        "least_named": LEAST_NAMED,
        "track_record": _track_record(verdict, manifest),
        "evidence": evidence,
        "odds": odds_in_words(verdict.probability, at_bound=verdict.at_bound),
        "rates": base_rates(verdict.probability, manifest),
        "timeline": drawn,
        "people": people(evidence) if evidence is not None else [],
        "not_covered": not_covered(evidence) if evidence is not None else "",
        "filmstrip": strip,
        "blanks": blanks(len(strip), drawn.duration_s, evidence.duration_s) if drawn and evidence else 0,
        "central": CENTRAL,
        "positions": _positions(facts, evidence, columns_read(manifest)),
        "versions": _versions(facts, evidence),
        "unmeasured": _grouped(_unmeasured(facts, verdict, evidence, used)),
        "checksums": _checksums(folder, facts),
        "served": served,
        "css": "" if served.assets else static_text("clip.css"),
        "js": "" if served.assets else static_text("clip.js"),
        **_of_model(manifest, folder),
    }


def what_happened(verdict: Verdict) -> str:
    """Return the status of the measurement in words, with the error.

    >>> error = "no face was found; 20.0 s of audio are missing in between"
    >>> what_happened(Verdict("a.mp4", 0.5, "uncertain", "no_face", error, 0, 9.0, 225, 0.0))
    'no face was found; 20.0 s of audio are missing in between'
    >>> what_happened(Verdict("a.mp4", 0.5, "nothing measured", "unreadable", "no video or audio", 0, None, 0, 0.0))
    'could not be read: no video or audio'
    >>> why, of_model = {"voice": "nothing in the clip was usable for it"}, {"blink": 0.1, "voice": 0.0}
    >>> what_happened(Verdict("a.mp4", 0.5, "uncertain", "ok", "", 1, 9.0, 225, 0.0, of_model, why))
    'measured without faults; 1 of the 2 families that the model reads had nothing to measure'
    """
    if verdict.audio_only:
        return verdict.reason
    words = f"{STATUS_WORDS.get(verdict.status, verdict.status)}{_not_there(verdict)}"
    messages = "; ".join(verdict.messages)
    return f"{words}{'; ' if verdict.status in SAID_BY_STATUS else ': '}{messages}" if messages else words


def _not_there(verdict: Verdict) -> str:
    """Return how many of the model's families had nothing to measure, where no status explains it."""
    n, of = len(verdict.unmeasured), len(verdict.contributions)
    if verdict.status != "ok" or not n:
        return ""
    return f"; {n} of the {of} {'family' if of == 1 else 'families'} that the model reads had nothing to measure"


def main_contributions(verdict: Verdict) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the largest contributions on each side (``FAKE`` or ``REAL``, families, log-odds), the larger side first.

    A side without a contribution of :data:`LEAST_NAMED` is left out.

    >>> of_model = {"blink": -0.61, "voice": 0.2, "texture": 0.04}
    >>> main_contributions(Verdict("a.mp4", 0.4, "uncertain", "ok", "", 1, 9.0, 225, 0.0, of_model))
    [('REAL', [('blink', -0.61)]), ('FAKE', [('voice', 0.2)])]
    """
    ordered = sorted(verdict.log_odds_by_family.items(), key=lambda part: -abs(part[1]))
    named = [(name, z) for name, z in ordered if abs(z) >= LEAST_NAMED]
    sides = [
        ("FAKE", [(name, z) for name, z in named if z > 0][:MOST_NAMED]),
        ("REAL", [(name, z) for name, z in named if z < 0][:MOST_NAMED]),
    ]
    return sorted(filter(lambda side: side[1], sides), key=lambda side: -sum(abs(z) for _, z in side[1]))


def not_covered(evidence: ClipEvidence) -> str:
    """Return what was not evaluated: faces that were not tracked, and time without a tracked face; empty if little.

    >>> not_covered(ClipEvidence("a.mp4", 10.0, 640, 360, (), 2, {}, ()))
    '2 faces were detected, none was tracked.'
    >>> not_covered(ClipEvidence("a.mp4", 10.0, 640, 360, (), 1, {}, ()))
    '1 face was detected, none was tracked.'
    """
    n, seen = len(evidence.people), evidence.n_faces_detected
    sentences = []
    if seen > n:
        followed = {0: "none was", 1: "one was"}.get(n, f"{n} were")
        again = " (a person counts again after a cut)" if seen > 2 * n > 0 else ""
        faces = "1 face was" if seen == 1 else f"{seen} faces were"
        sentences.append(f"{faces} detected{again}, {followed} tracked.")
    covered = covered_s(evidence)
    if n and covered < MUCH * evidence.duration_s:
        minutes = evidence.duration_s >= MINUTE_S
        part, whole = (clock(s, 0, minutes=minutes) for s in (covered, evidence.duration_s))
        sentences.append(f"The tracked faces are seen in {part} of {whole} {'min' if minutes else 's'}.")
    if n and sentences:
        sentences.append("A fake elsewhere would be missed.")
    return " ".join(sentences)


def notes(verdict: Verdict, evidence: ClipEvidence | None) -> list[str]:
    """Return the sentences beside the number: first those for which the evidence over time is known.

    They replace what the verdict alone says of several faces, and of a moment that stands out.
    """
    standing_out = [passages_note(evidence)] if evidence is not None else []
    several = [_several_note(verdict, evidence)] if evidence is not None and len(evidence.people) > 1 else []
    first = [note for note in (*standing_out, *several) if note]
    replaced = {NOTE_PEAK} if any(standing_out) else set()
    replaced |= {verdict.faces_note} if several else set()
    return [*first, *(note for note in verdict.notes if note not in replaced)]


def _several_note(verdict: Verdict, evidence: ClipEvidence) -> str:
    note = NOTE_MAIN if seen_together(evidence) else NOTE_APART
    return note.format(main_face=verdict.main_face)


def without_images(evidence: ClipEvidence) -> ClipEvidence:
    """Return the same evidence without images of frames and faces."""
    return replace(
        evidence,
        filmstrip=tuple((t, b"") for t, _ in evidence.filmstrip),
        people=tuple(_without_images(person) for person in evidence.people),
    )


def _without_images(person: Person) -> Person:
    return replace(person, faces=tuple(replace(face, jpeg=b"") for face in person.faces), face_map_jpeg=b"")


def _of_model(manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "model_line": model_line(dict(manifest), folder),
        "folder": str(folder),
        "clip": float(manifest.get("clip", 0.0)),
        "low": LIKELY_REAL_BELOW,
        "high": LIKELY_FAKE_ABOVE,
        "nothing": NOTHING,
        "no_finding": NOTE_NO_FINDING,
    }


def _positions(facts: ClipFacts, evidence: ClipEvidence | None, read: Container[str]) -> list[FamilyPositions]:
    values = {**(evidence.cues if evidence else {}), **facts.values}
    if not values or not norms.FILE.is_file():
        return []
    versions = _versions(facts, evidence)
    return positions(values, norms.read_norms(versions), read, versions)


def _versions(facts: ClipFacts, evidence: ClipEvidence | None) -> dict[str, int]:
    """Return the version of every family that was measured."""
    cues = evidence.cues if evidence else {}
    return {family.name: family.version for family in families() if f"{family.name}.valid_share" in cues} | dict(
        facts.versions
    )


def _unmeasured(
    facts: ClipFacts, verdict: Verdict, evidence: ClipEvidence | None, used: Sequence[str]
) -> list[tuple[str, str, bool]]:
    """Return family, reason, and whether the model uses it; used ones first. Empty where nothing was measured."""
    if evidence is None and verdict.verdict == NOTHING:
        return []
    reasons = {**facts.unmeasured, **verdict.unmeasured}
    if evidence is not None:
        silent = SENTENCES[Reason.NO_AUDIO] in reasons.values()
        reasons = _of_other_families(evidence, silent=silent, blind=verdict.audio_only) | reasons
    return sorted(
        ((name, why, name in used) for name, why in reasons.items()), key=lambda entry: (not entry[2], entry[0])
    )


def _track_record(verdict: Verdict, manifest: Mapping[str, Any]) -> str:
    """Return how well the model ranks clips; empty where it describes other evidence than this clip's."""
    known = verdict.log_odds_by_family.keys() & set(family_modules())
    with_images = any(not family.needs <= AUDIO_ONLY for family in families(known))
    is_synthetic = manifest.get("summary", {}).get("synthetic", False)
    return track_record(manifest) if with_images and not is_synthetic else ""


def _grouped(unmeasured: Sequence[tuple[str, str, bool]]) -> list[tuple[list[str], str, bool]]:
    """Return the families that share a reason, the reason, and whether the model uses them."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for name, why, used in unmeasured:
        groups.setdefault((why, used), []).append(name)
    return [(names, why, used) for (why, used), names in groups.items()]


def _of_other_families(evidence: ClipEvidence, *, silent: bool, blind: bool) -> dict[str, str]:
    """Return why families have no cue in this clip, from their needs; a table says so of the model's families only."""
    reasons = {}
    for family in families():
        cues = [evidence.cues.get(column.name, math.nan) for column in family.columns if not is_share(column.name)]
        if f"{family.name}.valid_share" not in evidence.cues or any(map(math.isfinite, cues)):
            continue
        lacks = lacking(family.needs, audio=not silent, video=not blind, face=bool(evidence.people))
        reasons[family.name] = SENTENCES[lacks or Reason.UNUSABLE]
    return reasons


def _checksums(folder: Path, facts: ClipFacts) -> list[tuple[str, str]]:
    """Return the name of each hashed file, and its SHA-256."""
    files = [("manifest of the model", folder / "manifest.json"), ("norms", norms.FILE)]
    sums = [(name, sha256_of(file)) for name, file in files if file.is_file()]
    weights = [(f"weights of {family}", digest) for family, digest in sorted(facts.weights.items())]
    return [*([("clip", facts.sha256)] if facts.sha256 else []), *sums, *weights]
